/**
 * A multicast group over node:dgram: one socket that hears it on several interfaces, and one for each interface to speak.
 *
 * What is heard is bound to the group's address, where the system allows it, so that nobody can speak to it from
 * outside by our own. What is sent has a hop limit of 1.
 */
import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { engineError } from './errors.ts'
import type { MulticastSocket } from './network.ts'
import { listenError } from './node-listener.ts'

const MAX_INTERFACES = 32

/** An interface, by what node wants to hear of it. */
interface Link {
  /** Where to speak from. */
  readonly address: string
  /** `::%eth0`, or an IPv4 address. */
  readonly membership: string
}

export async function openMulticast(
  group: string,
  port: number,
  bind: readonly string[],
): Promise<MulticastSocket> {
  const isV6 = isIPv6(group)
  const links = linksFor(bind, isV6)
  if (links.length === 0) {
    throw engineError('ENGINE_NO_FAMILY', `no interface of this machine leads to ${group}`)
  }
  const sockets: Socket[] = []
  try {
    const hears = process.platform === 'win32' ? (isV6 ? '::' : '0.0.0.0') : group
    const ear = await openSocket(sockets, isV6, hears, port)
    for (const { membership } of links) ear.addMembership(group, membership)
    const mouths: Socket[] = []
    for (const { address, membership } of links) {
      const mouth = await openSocket(sockets, isV6, address, 0)
      mouth.setMulticastInterface(membership)
      mouth.setMulticastTTL(1)
      mouth.setMulticastLoopback(true)
      mouths.push(mouth)
    }
    let open = true
    const face: MulticastSocket = {
      onMessage: () => {},
      send(bytes) {
        if (open) for (const mouth of mouths) mouth.send(bytes, port, group, ignore)
      },
      close() {
        if (!open) return
        open = false
        for (const socket of sockets) socket.close()
      },
    }
    ear.on('message', (bytes, from) => {
      if (open) face.onMessage(bytes, from.address.replace(/%.*$/, ''))
    })
    return face
  } catch (cause) {
    for (const socket of sockets) socket.close()
    throw listenError(cause, group, port)
  }
}

function openSocket(
  sockets: Socket[],
  isV6: boolean,
  address: string,
  port: number,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({
      type: isV6 ? 'udp6' : 'udp4',
      ipv6Only: isV6,
      // Other programs of this machine hear the same group.
      reuseAddr: true,
      lookup: (host, _options, callback) => callback(null, host, isV6 ? 6 : 4),
    })
    socket.once('error', reject)
    socket.bind({ address, port, exclusive: true }, () => {
      socket.off('error', reject)
      socket.on('error', ignore)
      socket.unref()
      sockets.push(socket)
      resolve(socket)
    })
  })
}

/** One for each interface: its first address that is bound to, by itself or by a wildcard. */
function linksFor(bind: readonly string[], isV6: boolean): Link[] {
  const links: Link[] = []
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    const ours = (addresses ?? []).find(
      ({ address, family, internal }) =>
        (family === 'IPv6') === isV6 &&
        (bind.includes(address) || (!internal && bind.includes(isV6 ? '::' : '0.0.0.0'))),
    )
    if (ours === undefined || links.length === MAX_INTERFACES) continue
    const zone = ours.address.startsWith('fe80:') ? `%${name}` : ''
    links.push({
      address: `${ours.address}${zone}`,
      membership: isV6 ? `::%${name}` : ours.address,
    })
  }
  return links
}

/** With a callback, a failed send is not an error of the socket: what cannot be sent is lost. */
function ignore(): void {}
