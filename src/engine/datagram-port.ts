/**
 * The peer port over UDP: one socket of each family, which the DHT and uTP share, as clients do, because others know one
 * port of ours.
 *
 * ```
 *               .-- first byte `d`: a dictionary -------> the DHT's side
 * datagram -----+-- first byte 0x01, 0x11 … 0x41 -------> uTP's side
 *               `-- else: nobody's
 * ```
 *
 * Invariants: each side hears what is meant for it alone, and can answer it; one that is closed hears and says nothing.
 */
import { type Logger, SeedbedError } from '../base/index.ts'
import type { Network, OpenDatagramSocket } from './network.ts'
import { isUtp } from './utp/packet.ts'

/** `d` */
const DICTIONARY = 0x64

/** By family. */
export type DatagramSockets = ReadonlyMap<4 | 6, OpenDatagramSocket>

/**
 * Opens UDP `port` on the first address of each family. Rejects with ENGINE_PORT_TAKEN, ENGINE_LISTEN_FAILED; a machine
 * without IPv6 is one of IPv4 alone.
 */
export async function openDatagrams(
  network: Pick<Network, 'openDatagram'>,
  bind: readonly string[],
  port: number,
  logger: Logger,
): Promise<DatagramSockets> {
  const sockets = new Map<4 | 6, OpenDatagramSocket>()
  for (const family of [4, 6] as const) {
    const address = bind.find((address) => address.includes(':') === (family === 6))
    if (address === undefined) continue
    try {
      sockets.set(family, await network.openDatagram(address, port))
    } catch (error) {
      const isLack = error instanceof SeedbedError && error.code === 'ENGINE_NO_FAMILY'
      if (isLack && sockets.size > 0) {
        logger.info({ address }, 'this machine has no IPv6: no datagram is awaited there')
        continue
      }
      for (const socket of sockets.values()) socket.close()
      throw error
    }
  }
  return sockets
}

export interface SharedDatagrams {
  readonly dht: DatagramSockets
  readonly utp: DatagramSockets
}

/** Two sides of each socket; the sockets stay the caller's to close. */
export function shareDatagrams(sockets: DatagramSockets): SharedDatagrams {
  const dht = new Map<4 | 6, OpenDatagramSocket>()
  const utp = new Map<4 | 6, OpenDatagramSocket>()
  for (const [family, socket] of sockets) {
    const sides = { dht: new Side(socket), utp: new Side(socket) }
    socket.onMessage = (bytes, host, port) => {
      // It is forged, and cannot be answered: node throws at the attempt.
      if (port === 0) return
      const side = isUtp(bytes) ? sides.utp : bytes[0] === DICTIONARY ? sides.dht : undefined
      if (side?.isOpen === true) side.onMessage(bytes, host, port)
    }
    socket.onQuiet = () => {
      for (const side of [sides.dht, sides.utp]) if (side.isOpen) side.onQuiet()
    }
    dht.set(family, sides.dht)
    utp.set(family, sides.utp)
  }
  return { dht, utp }
}

class Side implements OpenDatagramSocket {
  onMessage: OpenDatagramSocket['onMessage'] = () => {}
  onQuiet: () => void = () => {}
  isOpen = true
  readonly #socket: OpenDatagramSocket

  constructor(socket: OpenDatagramSocket) {
    this.#socket = socket
  }

  get port(): number {
    return this.#socket.port
  }

  get backlog(): number {
    return this.#socket.backlog
  }

  send(bytes: Uint8Array, host: string, port: number): void {
    if (this.isOpen) this.#socket.send(bytes, host, port)
  }

  close(): void {
    this.isOpen = false
  }
}
