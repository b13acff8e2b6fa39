/**
 * HTTP and HTTPS over node:net, everywhere. What becomes of a connection is http-connections.ts, what is said on it http-handler.ts.
 *
 * Invariant: a slot is used again only after its socket has closed, or was handed over.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { type SecureContext, TLSSocket } from 'node:tls'
import type { Clock } from '../base/index.ts'
import { isLockLost } from '../peer-store/index.ts'
import { parseAddress } from './addresses.ts'
import type { Counters } from './counters.ts'
import {
  type ConnectionLimits,
  HttpConnections,
  type HttpTransport,
  SWEEP_MS,
} from './http-connections.ts'
import type { HttpHandler } from './http-handler.ts'

export interface HttpLimits extends ConnectionLimits {
  /** For the addresses that speak TLS; used for every connection from now on. */
  readonly tls?: SecureContext
}

/**
 * Takes a connection over whose request asks to go on as WebSocket. `bytes` is all that has been read from the beginning of that
 * request on; what comes later is for the taker to read. `remote` is the other end, behind a PROXY header but not behind headers
 * of HTTP. Limits and deadlines are the taker's from now on.
 */
export type TakeOver = (socket: Socket, remote: Uint8Array, bytes: Uint8Array) => void

export class HttpServer {
  readonly #clock: Clock
  readonly #connections: HttpConnections
  #tls: SecureContext | undefined
  readonly #servers: Server[] = []
  /** By slot. */
  readonly #links: (Link | undefined)[] = []
  readonly #freeSlots: number[] = []
  #cancelSweep: (() => void) | undefined

  constructor(
    clock: Clock,
    handler: HttpHandler,
    counters: Counters,
    limits: HttpLimits,
    takeOver?: TakeOver,
  ) {
    this.#clock = clock
    this.#tls = limits.tls
    const transport = this.#transport(takeOver)
    this.#connections = new HttpConnections(clock, handler, counters, limits, transport)
  }

  /** For requests from now on, also those of connections that are there. */
  reconfigure(handler: HttpHandler, limits: HttpLimits): void {
    this.#connections.reconfigure(handler, limits)
    this.#tls = limits.tls
  }

  /** Listens; resolves to the port. Rejects with node's error. */
  listen(address: string, port: number, secure = false, fd?: number): Promise<number> {
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) =>
      this.#accept(socket, secure),
    )
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      const place = { host: address, port, ipv6Only: address.includes(':') }
      server.listen(fd === undefined ? place : { fd }, () => {
        server.off('error', reject)
        // A failed accept (no more descriptors) concerns that connection only.
        server.on('error', () => {})
        this.#servers.push(server)
        const bound = server.address()
        resolve(typeof bound === 'object' && bound !== null ? bound.port : port)
      })
    })
  }

  async close(): Promise<void> {
    this.#cancelSweep?.()
    this.#cancelSweep = undefined
    const closed = this.#servers
      .splice(0)
      .map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
    this.#connections.closeAll()
    await Promise.all(closed)
  }

  #accept(socket: Socket, secure: boolean): void {
    const connections = this.#connections
    const remote = parseAddress(socket.remoteAddress ?? '')
    connections.readClock()
    const slot = this.#freeSlots.pop() ?? this.#links.length
    const welcome =
      remote !== null && connections.open(slot, remote, 0, remote.length === 4 ? 4 : 6, secure)
    this.#links[slot] = undefined
    if (!welcome) {
      this.#freeSlots.push(slot)
      socket.destroy()
      return
    }
    if (secure && !connections.awaitsPreamble(slot)) this.#beginTls(slot, socket)
    else this.#link(slot, socket)
    this.#sweepLater()
  }

  #link(slot: number, socket: Socket): void {
    this.#links[slot] = new Link(slot, socket, this.#connections, () => this.#free(slot))
  }

  #beginTls(slot: number, socket: Socket): void {
    const secureContext = this.#tls
    // Errors come to the outer socket as well.
    socket.on('error', () => {})
    const options = { isServer: true, ...(secureContext === undefined ? {} : { secureContext }) }
    this.#link(slot, new TLSSocket(socket, options))
  }

  #free(slot: number): void {
    this.#links[slot] = undefined
    this.#freeSlots.push(slot)
  }

  #transport(takeOver: TakeOver | undefined): HttpTransport {
    const linkOf = (slot: number): Link => this.#links[slot]!
    return {
      send: (slot, bytes, start, end) => linkOf(slot).send(bytes.subarray(start, end)),
      finish: (slot, abrupt) => linkOf(slot).finish(abrupt),
      cut: (slot) => linkOf(slot).socket.destroy(),
      secure: (slot, bytes, start, end) => {
        const { socket } = linkOf(slot)
        linkOf(slot).unlink()
        socket.pause()
        if (start < end) socket.unshift(bytes.slice(start, end))
        this.#beginTls(slot, socket)
      },
      ...(takeOver === undefined
        ? {}
        : {
            takeOver: (slot, remote, bytes, start, end) => {
              const { socket } = linkOf(slot)
              linkOf(slot).unlink()
              socket.pause()
              this.#free(slot)
              takeOver(socket, remote.slice(), bytes.slice(start, end))
            },
          }),
    }
  }

  #sweepLater(): void {
    this.#cancelSweep ??= this.#clock.after(SWEEP_MS, () => {
      this.#cancelSweep = undefined
      this.#connections.sweep()
      if (this.#connections.count > 0) this.#sweepLater()
    })
  }
}

/** A socket and its slot, until it closes or is handed over. */
class Link {
  readonly socket: Socket
  readonly #slot: number
  readonly #connections: HttpConnections
  readonly #freed: () => void

  constructor(slot: number, socket: Socket, connections: HttpConnections, freed: () => void) {
    this.socket = socket
    this.#slot = slot
    this.#connections = connections
    this.#freed = freed
    // Resets are everyday; `close` follows.
    socket.on('error', ignore)
    socket.on('data', this.#onData)
    socket.on('drain', this.#onDrain)
    socket.on('end', this.#onEnd)
    socket.on('close', this.#onClose)
  }

  /** Takes a copy; false while more is waiting to leave than should. */
  send(bytes: Uint8Array): boolean {
    const leaves = this.socket.write(Buffer.from(bytes))
    if (!leaves) this.socket.pause()
    return leaves
  }

  finish(abrupt: boolean): void {
    // What is still coming is read and dropped: a reset because of it could overtake the last answer.
    this.socket.resume()
    if (abrupt) this.socket.end()
    else this.socket.destroySoon()
  }

  unlink(): void {
    this.socket.off('data', this.#onData)
    this.socket.off('drain', this.#onDrain)
    this.socket.off('end', this.#onEnd)
    this.socket.off('close', this.#onClose)
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#serve(() => this.#connections.received(this.#slot, chunk, 0, chunk.length))
  }

  readonly #onDrain = (): void => {
    this.socket.resume()
    this.#serve(() => this.#connections.flushed(this.#slot))
  }

  /** A lock that a dead worker left costs this connection; the process has yet to learn of that death, to mend it. */
  #serve(serve: () => void): void {
    this.#connections.readClock()
    try {
      serve()
    } catch (error) {
      if (!isLockLost(error)) throw error
      this.socket.destroy()
    }
  }

  readonly #onEnd = (): void => {
    this.#connections.readClock()
    this.#connections.ended(this.#slot)
  }

  readonly #onClose = (): void => {
    this.#connections.closed(this.#slot)
    this.#freed()
  }
}

function ignore(): void {}
