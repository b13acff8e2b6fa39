/**
 * HTTP and HTTPS over node:net: connections, their buffers and their deadlines. What is said on them is http-handler.ts.
 *
 * Each connection has one deadline at a time: to begin a request (idle), to finish one (head), or to take what was
 * written to it (write). One sweep a second closes those past it, so ten thousand idle connections cost no timer each.
 *
 * Invariants: a connection keeps at most one incomplete head plus what came with it in one read; while its
 * answers do not leave, nothing more is read from it.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { type SecureContext, TLSSocket } from 'node:tls'
import type { Clock } from '../base/index.ts'
import { parseAddress, unmapped } from './addresses.ts'
import type { TrustedProxies } from './client-address.ts'
import type { Counters } from './counters.ts'
import { HttpHead, parseHead } from './http-codec.ts'
import type { HttpHandler } from './http-handler.ts'
import { parseProxyHeader } from './proxy-protocol.ts'

export interface HttpLimits {
  /** Connections at a time, over all addresses. */
  readonly maxConnections: number
  /** Time to begin a request, also the first. */
  readonly idleTimeoutMs: number
  /** Time from the first byte of a head to its last. */
  readonly headTimeoutMs: number
  /** Time to take the answers that are waiting. */
  readonly writeTimeoutMs: number
  /** False: every answer is the last of its connection. Default true. */
  readonly keepAlive?: boolean
  /** Proxies that begin every connection with a PROXY header; with it only they are served. Default: none. */
  readonly proxyProtocol?: TrustedProxies | null
  /** Whether answers are timed. Default false. */
  readonly timed?: boolean
  /** For the addresses that speak TLS; used for every connection from now on. */
  readonly tls?: SecureContext
}

/**
 * Takes a connection over whose request asks to go on as WebSocket. `bytes` is all that has been read from the beginning of that
 * request on; what comes later is for the taker to read. `remote` is the other end, behind a PROXY header but not behind headers
 * of HTTP. Limits and deadlines are the taker's from now on.
 */
export type TakeOver = (socket: Socket, remote: Uint8Array, bytes: Uint8Array) => void

/** What connections share, and what is replaced for all of them at once. */
interface Front {
  readonly counters: Counters
  readonly takeOver: TakeOver | undefined
  /** The connection is nobody's concern here any more. */
  readonly forget: (visitor: Visitor) => void
  handler: HttpHandler
  limits: HttpLimits
}

const SWEEP_MS = 1000
/** For the answer to leave when the connection is closed from our side. */
const LINGER_MS = 2000

export class HttpServer {
  readonly #clock: Clock
  readonly #counters: Counters
  readonly #front: Front
  readonly #servers: Server[] = []
  readonly #connections = new Set<Visitor>()
  /** Those whose end has not come yet, also those past their deadline. */
  readonly #present = new Set<Visitor>()
  #cancelSweep: (() => void) | undefined

  constructor(
    clock: Clock,
    handler: HttpHandler,
    counters: Counters,
    limits: HttpLimits,
    takeOver?: TakeOver,
  ) {
    this.#clock = clock
    this.#counters = counters
    const forget = (visitor: Visitor): void => this.#forget(visitor)
    this.#front = { counters, handler, limits, takeOver, forget }
  }

  /** For requests from now on, also those of connections that are there. */
  reconfigure(handler: HttpHandler, limits: HttpLimits): void {
    this.#front.handler = handler
    this.#front.limits = limits
  }

  /** Listens; resolves to the port. Rejects with node's error. */
  listen(address: string, port: number, secure = false): Promise<number> {
    const server = createServer({ noDelay: true }, (socket) => this.#accept(socket, secure))
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host: address, port, ipv6Only: address.includes(':') }, () => {
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
    for (const connection of this.#connections) connection.destroy()
    await Promise.all(closed)
  }

  #accept(socket: Socket, secure: boolean): void {
    const { maxConnections, proxyProtocol = null } = this.#front.limits
    const remote = parseAddress(socket.remoteAddress ?? '')
    const welcome = remote !== null && this.#connections.size < maxConnections
    if (!welcome || (proxyProtocol !== null && !proxyProtocol.has(remote))) {
      if (remote !== null) this.#dropped(remote)
      socket.destroy()
      return
    }
    if (proxyProtocol === null) this.#open(socket, remote, secure)
    else this.#readPreamble(socket, remote, secure)
    if (this.#cancelSweep === undefined) this.#sweepLater()
  }

  /** What a proxy says comes before all else, also before TLS. */
  #readPreamble(socket: Socket, proxy: Uint8Array, secure: boolean): void {
    const deadlineMs = this.#clock.monotonicMs() + this.#front.limits.headTimeoutMs
    const preamble = new Preamble(socket, proxy, deadlineMs, (client) => {
      this.#forget(preamble)
      if (client === null) this.#dropped(proxy)
      else this.#open(socket, client, secure)
    })
    this.#remember(preamble, socket)
  }

  #open(socket: Socket, remote: Uint8Array, secure: boolean): void {
    const { tls } = this.#front.limits
    if (!secure || tls === undefined) {
      this.#remember(new Connection(socket, remote, this.#clock, this.#front), socket)
      socket.resume()
      return
    }
    // Errors come to the outer socket as well.
    socket.on('error', () => {})
    const outer = new TLSSocket(socket, { isServer: true, secureContext: tls })
    this.#remember(new Connection(outer, remote, this.#clock, this.#front), outer)
  }

  #remember(visitor: Visitor, socket: Socket): void {
    this.#connections.add(visitor)
    this.#present.add(visitor)
    this.#counters.httpConnections++
    socket.on('close', () => this.#forget(visitor))
  }

  #forget(visitor: Visitor): void {
    if (!this.#present.delete(visitor)) return
    this.#connections.delete(visitor)
    this.#counters.httpConnections--
  }

  #sweepLater(): void {
    this.#cancelSweep = this.#clock.after(SWEEP_MS, () => {
      this.#cancelSweep = undefined
      const now = this.#clock.monotonicMs()
      for (const connection of this.#connections) {
        if (now < connection.deadlineMs) continue
        if (connection.isMidway) this.#dropped(connection.remote)
        // Its `close` comes later than the next sweep may.
        this.#connections.delete(connection)
        connection.destroy()
      }
      if (this.#connections.size > 0) this.#sweepLater()
    })
  }

  #dropped(remote: Uint8Array): void {
    this.#counters.transports[remote.length === 4 ? 'http4' : 'http6'].dropped++
  }
}

/** Whoever is connected and has a deadline. */
interface Visitor {
  readonly remote: Uint8Array
  readonly deadlineMs: number
  /** Owes something: cutting it off is worth counting. */
  readonly isMidway: boolean
  destroy(): void
}

/** A proxy that has not yet said whose connection it is. */
class Preamble implements Visitor {
  readonly remote: Uint8Array
  readonly deadlineMs: number
  readonly isMidway = true
  readonly #socket: Socket

  /** `done` gets the client's address, or null when it is no PROXY header and the connection is closed. */
  constructor(
    socket: Socket,
    proxy: Uint8Array,
    deadlineMs: number,
    done: (client: Uint8Array | null) => void,
  ) {
    this.remote = proxy
    this.deadlineMs = deadlineMs
    this.#socket = socket
    let pending: Buffer = Buffer.alloc(0)
    const receive = (chunk: Buffer): void => {
      pending = Buffer.concat([pending, chunk])
      const header = parseProxyHeader(pending)
      if (header === 'more') return
      socket.off('data', receive)
      if (header === 'invalid') {
        socket.destroy()
        done(null)
        return
      }
      socket.pause()
      if (pending.length > header.length) socket.unshift(pending.subarray(header.length))
      done(header.source === null ? proxy : unmapped(header.source))
    }
    socket.on('data', receive)
    socket.on('error', () => {})
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

class Connection implements Visitor {
  readonly remote: Uint8Array
  deadlineMs = 0
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #front: Front
  readonly #head = new HttpHead()
  /** What has come and is not answered yet. */
  #pending: Buffer | undefined
  #waitsForDrain = false
  #closes = false
  #leaves = false

  constructor(socket: Socket, remote: Uint8Array, clock: Clock, front: Front) {
    this.remote = remote
    this.#socket = socket
    this.#clock = clock
    this.#front = front
    this.#expectWithin(front.limits.idleTimeoutMs)
    socket.on('data', this.#onData)
    socket.on('drain', this.#onDrain)
    // Resets are everyday; `close` follows.
    socket.on('error', () => {})
  }

  readonly #onData = (chunk: Buffer): void => this.#receive(chunk)
  readonly #onDrain = (): void => this.#drained()

  /** True while the client owes something: the rest of a head, or the reading of an answer. */
  get isMidway(): boolean {
    return this.#pending !== undefined || this.#waitsForDrain
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #expectWithin(timeoutMs: number): void {
    this.deadlineMs = this.#clock.monotonicMs() + timeoutMs
  }

  #receive(chunk: Buffer): void {
    if (this.#closes) return
    const pending = this.#pending
    if (pending === undefined) this.#expectWithin(this.#front.limits.headTimeoutMs)
    this.#answer(pending === undefined ? chunk : Buffer.concat([pending, chunk]))
  }

  #drained(): void {
    if (!this.#waitsForDrain || this.#closes) return
    this.#waitsForDrain = false
    this.#expectWithin(this.#front.limits.headTimeoutMs)
    const pending = this.#pending
    this.#pending = undefined
    this.#socket.resume()
    this.#answer(pending ?? Buffer.alloc(0))
  }

  /** Answers what is whole in `bytes`, keeps the rest. */
  #answer(bytes: Buffer): void {
    const socket = this.#socket
    let at = 0
    socket.cork()
    while (at < bytes.length && !this.#closes && !this.#leaves && !this.#waitsForDrain) {
      const consumed = this.#answerOne(bytes, at)
      if (consumed === 0) break
      at += consumed
    }
    socket.uncork()
    if (this.#leaves) {
      this.#leave(bytes.subarray(at))
      return
    }
    if (this.#closes) {
      this.#pending = undefined
    } else if (at < bytes.length) {
      // A copy: the read's own memory is 64 KiB, too much to keep for a few bytes.
      this.#pending = Buffer.from(bytes.subarray(at))
      if (at > 0) this.#expectWithin(this.#front.limits.headTimeoutMs)
    } else {
      this.#pending = undefined
      this.#expectWithin(this.#front.limits.idleTimeoutMs)
    }
    if (this.#waitsForDrain) {
      socket.pause()
      this.#expectWithin(this.#front.limits.writeTimeoutMs)
    }
  }

  /** Hands the connection over, with the request that asked for it. */
  #leave(bytes: Buffer): void {
    const socket = this.#socket
    this.#pending = undefined
    socket.off('data', this.#onData)
    socket.off('drain', this.#onDrain)
    socket.pause()
    this.#front.forget(this)
    this.#front.takeOver!(socket, this.remote, bytes)
  }

  /** Bytes of the request answered; 0 when it is not whole, or not ours to answer. */
  #answerOne(bytes: Buffer, start: number): number {
    const head = this.#head
    const { handler, limits } = this.#front
    head.note = handler.realIpHeader
    const parsed = parseHead(bytes, start, bytes.length, head)
    if (parsed === 'more') return 0
    if (parsed === 'request' && head.upgrade && this.#front.takeOver !== undefined) {
      this.#leaves = true
      return 0
    }
    if (limits.keepAlive === false) head.keepAlive = false
    const timed = limits.timed === true
    const begunMs = timed ? this.#clock.monotonicMs() : 0
    if (parsed === 'request') handler.handle(bytes, head, this.remote)
    else handler.refuse(parsed, this.remote, 'close', head.isHead)
    const elapsedMs = timed ? this.#clock.monotonicMs() - begunMs : -1
    const { action, family, reason } = handler
    this.#front.counters.responses.note('http', action, family, reason, elapsedMs)
    const { start: from, end } = handler
    const reply = Buffer.from(handler.reply.subarray(from, end))
    if (parsed === 'request' && head.keepAlive) {
      this.#waitsForDrain = !this.#socket.write(reply)
    } else {
      this.#closes = true
      this.#expectWithin(LINGER_MS)
      this.#socket.end(reply)
    }
    return head.length
  }
}
