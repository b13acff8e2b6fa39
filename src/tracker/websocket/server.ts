/**
 * The connections of WebSocket: who is let in, what is due, and what waits to be written. Sockets come from the HTTP front end, with
 * the request that asks for the upgrade; one sweep a second does what is due, so an idle connection costs no timer.
 *
 * Invariants: there are at most `maxConnections`, and at most `maxPerAddress` of one address (of one /64 in IPv6); a connection that is
 * gone is in no swarm.
 */
import { type Clock, type Random, toLatin1 } from '../../base/index.ts'
import type { TrustedProxies } from '../client-address.ts'
import type { Counters } from '../counters.ts'
import type { HookList } from '../hooks/hook.ts'
import { HttpRoutes } from '../http-routes.ts'
import type { RateLimiter } from '../rate-limiter.ts'
import { OTHER_ACTION } from '../responses.ts'
import { Arena } from './arena.ts'
import { Connection, type ConnectionLimits, type SignalFront } from './connection.ts'
import { CLOSE_GOING_AWAY } from './frames.ts'
import { SignalHandler, type SignalPolicy } from './handler.ts'
import { type HandshakeRules, readHandshake, refusalOf } from './handshake.ts'
import type { SignalSocket } from './signal-socket.ts'
import { Swarms } from './swarms.ts'

export interface WebSocketSettings {
  readonly enabled: boolean
  readonly policy: SignalPolicy
  readonly limits: ConnectionLimits
  readonly maxConnections: number
  readonly maxPerAddress: number
  readonly allowedOrigins: readonly string[]
  readonly announceRoutes: readonly string[]
  readonly realIpHeader: string
  readonly proxies: TrustedProxies
}

export interface WebSocketContext {
  readonly settings: WebSocketSettings
  readonly hooks: HookList
  readonly limiter: RateLimiter | null
}

/** What it is made of, for as long as it lives. */
export interface WebSocketParts {
  readonly clock: Clock
  /** For timing answers, where the other clock is looked at once a round. */
  readonly exact: Clock
  readonly random: Random
  readonly counters: Counters
  /** Does `work` when what can be done now is done. */
  soon(work: () => void): void
}

const SWEEP_MS = 1000

export class WebSocketServer {
  readonly #clock: Clock
  readonly #counters: Counters
  readonly #soon: (work: () => void) => void
  readonly #swarms: Swarms
  readonly #front: SignalFront
  readonly #connections = new Set<Connection>()
  readonly #perAddress = new Map<string, number>()
  #settings: WebSocketSettings
  #rules: HandshakeRules
  readonly #arena = new Arena()
  #dirty: Connection[] = []
  #cancelSweep: (() => void) | undefined
  #closed = false

  constructor({ clock, exact, random, counters, soon }: WebSocketParts, context: WebSocketContext) {
    this.#clock = clock
    this.#counters = counters
    this.#soon = soon
    this.#swarms = new Swarms(random)
    this.#settings = context.settings
    this.#rules = rulesOf(context.settings)
    this.#arena.whenFull(this.#flush)
    this.#front = {
      counters,
      handler: this.#handlerOf(context),
      limits: context.settings.limits,
      nowMs: clock.monotonicMs(),
      unsentBytes: 0,
      arena: this.#arena,
      monotonicMs: () => clock.monotonicMs(),
      exactMs: () => exact.monotonicMs(),
      flushLater: (connection) => this.#flushLater(connection),
      leave: (member) => {
        this.#swarms.leave(member)
        this.#count()
      },
      forget: (connection) => this.#forget(connection),
    }
  }

  /** For messages from now on. Connections and swarms stay. */
  reconfigure(context: WebSocketContext): void {
    this.#settings = context.settings
    this.#rules = rulesOf(context.settings)
    this.#front.limits = context.settings.limits
    this.#front.handler = this.#handlerOf(context)
  }

  /**
   * Takes a connection whose request asks for the upgrade. `remote` is the other end of the socket, `bytes` all that was read from
   * the request on.
   */
  readonly takeOver = (socket: SignalSocket, remote: Uint8Array, bytes: Uint8Array): void => {
    const shake = readHandshake(remote, bytes, this.#rules)
    if (typeof shake === 'number') {
      this.#refuse(socket, remote, shake)
      return
    }
    const key = addressKey(shake.address)
    const { maxConnections, maxPerAddress } = this.#settings
    const full =
      this.#connections.size >= maxConnections || (this.#perAddress.get(key) ?? 0) >= maxPerAddress
    if (full || this.#closed) {
      this.#refuse(socket, shake.address, 503)
      return
    }
    this.#perAddress.set(key, (this.#perAddress.get(key) ?? 0) + 1)
    const connection = new Connection(socket, shake, this.#front)
    this.#connections.add(connection)
    this.#counters.websocket.connections++
    const rest = bytes.subarray(shake.length)
    if (rest.length > 0) connection.received(Buffer.from(rest), rest.length)
    socket.resume()
    if (this.#cancelSweep === undefined) this.#sweepLater()
  }

  /** Says goodbye to all; nobody is let in after. */
  close(): void {
    this.#closed = true
    this.#cancelSweep?.()
    this.#cancelSweep = undefined
    for (const connection of [...this.#connections]) {
      connection.close(CLOSE_GOING_AWAY)
      connection.destroy()
    }
  }

  #handlerOf({ settings, hooks, limiter }: WebSocketContext): SignalHandler {
    const counters = this.#counters
    const second = (): number => Math.floor(this.#front.nowMs / 1000)
    const swarms = this.#swarms
    const { policy } = settings
    const arena = this.#arena
    return new SignalHandler({ swarms, policy, hooks, counters, limiter, arena, second })
  }

  #refuse(socket: SignalSocket, address: Uint8Array, status: number): void {
    const family = address.length === 4 ? 4 : 6
    this.#counters.error(family === 4 ? 'ws4' : 'ws6', `http ${status}`)
    this.#counters.responses.note('ws', OTHER_ACTION, family, `http ${status}`, -1)
    // What else it sends is read and thrown away, for its end to be seen.
    const end = (): void => socket.destroy()
    socket.attach({ received() {}, ended: end, drained() {}, closed() {} })
    const refusal = Buffer.from(refusalOf(status), 'latin1')
    socket.send(refusal, 0, refusal.length)
    socket.finish()
    socket.resume()
    this.#clock.after(SWEEP_MS, end, true)
  }

  #forget(connection: Connection): void {
    if (!this.#connections.delete(connection)) return
    const key = addressKey(connection.address)
    const left = (this.#perAddress.get(key) ?? 1) - 1
    if (left === 0) this.#perAddress.delete(key)
    else this.#perAddress.set(key, left)
    this.#counters.websocket.connections--
    this.#count()
  }

  #flushLater(connection: Connection): void {
    if (this.#dirty.length === 0) this.#soon(this.#flush)
    this.#dirty.push(connection)
  }

  readonly #flush = (): void => {
    const dirty = this.#dirty
    this.#dirty = []
    let isWritten = true
    for (const connection of dirty) if (!connection.flush()) isWritten = false
    this.#arena.endTurn(isWritten)
    this.#count()
  }

  #count(): void {
    const { websocket } = this.#counters
    websocket.swarms = this.#swarms.size
    websocket.seeders = this.#swarms.seeders
    websocket.leechers = this.#swarms.leechers
  }

  #sweepLater(): void {
    this.#cancelSweep = this.#clock.after(SWEEP_MS, () => {
      this.#cancelSweep = undefined
      const now = this.#clock.monotonicMs()
      this.#front.nowMs = now
      for (const connection of this.#connections) connection.sweep(now)
      if (this.#connections.size > 0) this.#sweepLater()
    })
  }
}

function rulesOf(settings: WebSocketSettings): HandshakeRules {
  const { announceRoutes, realIpHeader, proxies, allowedOrigins } = settings
  const header =
    realIpHeader === '' ? null : new Uint8Array(Buffer.from(realIpHeader.toLowerCase(), 'latin1'))
  return {
    routes: new HttpRoutes(announceRoutes, []),
    realIpHeader: header,
    proxies: header === null ? null : proxies,
    allowedOrigins,
  }
}

/** IPv4 whole, IPv6 its /64. */
function addressKey(address: Uint8Array): string {
  return toLatin1(address.length === 4 ? address : address.subarray(0, 8))
}
