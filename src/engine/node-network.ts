/**
 * The network as node offers it: node:net for peers, node:dgram and node:http for trackers.
 *
 * Outgoing connections read into one buffer that they share: libuv asks for memory at the moment it
 * reads, and calls back before it reads again, so between two callbacks nobody's bytes lie in it. On
 * Windows a read is posted ahead of its data and holds its buffer, so there each read gets its own, as
 * it does for connections that were accepted, where node has no such option.
 */
import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { connect, isIP, isIPv6, type OnReadOpts } from 'node:net'
import { type Clock, type Logger, silentLogger, systemClock } from '../base/index.ts'
import { engineError } from './errors.ts'
import type {
  DatagramSocket,
  Network,
  OpenDatagramSocket,
  PeerSocket,
  ResolvedAddress,
} from './network.ts'
import { gatewaysOf } from './node-gateways.ts'
import { httpGet } from './node-http.ts'
import { hasNoIPv6, listenError, listenOnAll } from './node-listener.ts'
import { openMulticast } from './node-multicast.ts'
import { KEEP_ALIVE_DELAY_MS, NodePeerSocket } from './node-socket.ts'

export interface NodeNetworkOptions {
  readonly clock?: Clock
  readonly logger?: Logger
  /** Size of the buffer that outgoing connections share. */
  readonly readBufferBytes?: number
  /** Connections are made from this address of the machine; by default the system chooses for each. */
  readonly localAddress?: string
}

/**
 * What it holds is still in the nearest caches when it is copied to its stripe: of 1 GiB 1.38 CPU s, with 128 KiB 1.40, with 256 KiB
 * 1.47, and twice as much waits in stripes.
 */
const DEFAULT_READ_BUFFER_BYTES = 64 * 1024

/**
 * Windows of several peers of uTP arrive while something else is done; the usual 208 KiB hold ninety packets. The system
 * gives what it allows (`net.core.rmem_max`).
 */
const DATAGRAM_BUFFER_BYTES = 2 * 1024 * 1024

/** A name with more addresses than this is cut: nobody's tracker has more, and each costs a request. */
const MAX_ADDRESSES = 16

export function nodeNetwork(options: NodeNetworkOptions = {}): Network {
  const clock = options.clock ?? systemClock
  const logger = options.logger ?? silentLogger
  const sharesReads = process.platform !== 'win32'
  const readBuffer = Buffer.alloc(options.readBufferBytes ?? DEFAULT_READ_BUFFER_BYTES)
  const { localAddress } = options
  return {
    connect(host, port) {
      return connectPeer(host, port, localAddress, sharesReads ? readBuffer : undefined)
    },
    listen(addresses, port, accept) {
      return listenOnAll(addresses, port, accept, logger)
    },
    resolve: resolveHost,
    datagram: connectDatagram,
    gateways: gatewaysOf,
    openDatagram,
    openMulticast,
    httpGet(url, getOptions) {
      return httpGet(url, getOptions, clock)
    },
  }
}

function connectPeer(
  host: string,
  port: number,
  localAddress: string | undefined,
  readBuffer: Buffer | undefined,
): PeerSocket & { onConnect: () => void } {
  const onread: OnReadOpts | undefined = readBuffer && {
    buffer: readBuffer,
    callback(count, bytes) {
      peer.onData(bytes.subarray(0, count))
      return true
    },
  }
  const socket = connect({
    host,
    port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
    ...(localAddress === undefined ? {} : { localAddress }),
    ...(onread === undefined ? {} : { onread }),
  })
  const peer = new NodePeerSocket(socket, host, port)
  if (onread === undefined) peer.read()
  return peer
}

async function resolveHost(host: string): Promise<readonly ResolvedAddress[]> {
  const bare = host.replace(/^\[|\]$/g, '')
  const family = isIP(bare)
  if (family === 4 || family === 6) return [{ address: bare, family }]
  try {
    const found = await lookup(bare, { all: true, verbatim: true })
    return found
      .slice(0, MAX_ADDRESSES)
      .map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }))
  } catch (cause) {
    throw engineError('ENGINE_RESOLVE_FAILED', `${host} has no address`, { cause })
  }
}

function connectDatagram(host: string, port: number, from?: string): Promise<DatagramSocket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
    if (from !== undefined) socket.bind(0, from)
    let open = true
    const face: DatagramSocket = {
      onMessage: () => {},
      onError: () => {},
      send(bytes) {
        if (!open) return
        socket.send(bytes, (error) => {
          if (error !== null && open) face.onError(error)
        })
      },
      close() {
        if (!open) return
        open = false
        socket.close()
      },
    }
    socket.on('message', (bytes) => {
      if (open) face.onMessage(bytes)
    })
    // Also how a connect that failed is told.
    const refuse = (error: Error): void => {
      face.close()
      reject(error)
    }
    socket.once('error', refuse)
    socket.connect(port, host, () => {
      socket.off('error', refuse)
      socket.on('error', (error) => {
        if (open) face.onError(error)
      })
      resolve(face)
    })
  })
}

function openDatagram(address: string, port: number): Promise<OpenDatagramSocket> {
  return new Promise((resolve, reject) => {
    const isV6 = isIPv6(address)
    const socket = createSocket({
      type: isV6 ? 'udp6' : 'udp4',
      ipv6Only: isV6,
      recvBufferSize: DATAGRAM_BUFFER_BYTES,
      sendBufferSize: DATAGRAM_BUFFER_BYTES,
      // Nodes are addresses: the default would ask the resolver for each.
      lookup: (host, _options, callback) => callback(null, host, isV6 ? 6 : 4),
    })
    let open = true
    const face: OpenDatagramSocket = {
      get port() {
        return socket.address().port
      },
      onMessage: () => {},
      onQuiet: () => {},
      get backlog() {
        return open ? socket.getSendQueueCount() : 0
      },
      send(bytes, host, to) {
        if (open && host.includes(':') === isV6) socket.send(bytes, to, host)
      },
      close() {
        if (!open) return
        open = false
        socket.close()
      },
    }
    let isQuiet = true
    const quiet = (): void => {
      isQuiet = true
      if (open) face.onQuiet()
    }
    socket.on('message', (bytes, from) => {
      if (!open) return
      // The system hands over some tens at a time before anything else has its turn.
      if (isQuiet) setImmediate(quiet)
      isQuiet = false
      const { address } = from
      face.onMessage(bytes, isV6 ? address.replace(/%.*$/, '') : address, from.port)
    })
    const refuse = (cause: Error): void => {
      face.close()
      reject(
        hasNoIPv6(address, cause)
          ? engineError('ENGINE_NO_FAMILY', `${address}: this machine has no IPv6`, { cause })
          : listenError(cause, address, port),
      )
    }
    socket.once('error', refuse)
    socket.bind({ address, port, exclusive: true }, () => {
      socket.off('error', refuse)
      // What the network reports of earlier datagrams.
      socket.on('error', ignore)
      socket.unref()
      resolve(face)
    })
  })
}

/** With a callback, a failed send is not an error of the socket. */
function ignore(): void {}
