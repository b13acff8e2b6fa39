/**
 * Peers on the local network (BEP 14): what is shared here is told to a multicast group of each family, and who tells
 * the same is met.
 *
 * Invariants:
 * - Each name is told at most once in INTERVAL_MS, all of them in at most one datagram of each family in PACE_MS.
 * - Of what is heard at most MAX_HEARD datagrams a second are read; our own are known by their cookie.
 * - After `stop` there is no socket and no timer.
 */
import { type Clock, type Logger, type Random, toHex, toLatin1 } from '../../base/index.ts'
import type { MulticastSocket, Network } from '../network.ts'
import { encodeLocal, MAX_HASHES, parseLocal } from './message.ts'

export const LOCAL_PORT = 6771
export const LOCAL_GROUPS: readonly string[] = ['239.192.152.143', 'ff15::efc0:988f']
const INTERVAL_MS = 5 * 60_000
const PACE_MS = 1_000
const MAX_HEARD = 100

export interface LocalTools {
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** Somebody says that it shares this. */
  onPeer(infoHash: Uint8Array, peer: { readonly host: string; readonly port: number }): void
}

export class LocalDiscovery {
  readonly #tools: LocalTools
  /** Where we are reached by TCP. */
  readonly #port: number
  readonly #cookie: string
  readonly #sockets: { readonly host: string; readonly socket: MulticastSocket }[] = []
  /** Names that nobody has been told yet. */
  readonly #fresh = new Map<string, Uint8Array>()
  /** When the others were told last, the one told longest ago first. */
  readonly #told = new Map<string, { readonly name: Uint8Array; readonly atMs: number }>()
  #saidMs = Number.NEGATIVE_INFINITY
  #heard = 0
  #heardSinceMs = 0
  #cancelTimer: (() => void) | undefined
  #stopped = false

  private constructor(tools: LocalTools, port: number) {
    this.#tools = tools
    this.#port = port
    const cookie = new Uint8Array(8)
    tools.random.fill(cookie)
    this.#cookie = toHex(cookie)
  }

  /** Joins the group of each family that there is; where there is none it is mute, and says so in the log. */
  static async open(
    tools: LocalTools,
    bind: readonly string[],
    port: number,
  ): Promise<LocalDiscovery> {
    const local = new LocalDiscovery(tools, port)
    for (const group of LOCAL_GROUPS) {
      const isV6 = group.includes(':')
      const ours = bind.filter((address) => address.includes(':') === isV6)
      if (ours.length === 0) continue
      try {
        const socket = await tools.network.openMulticast(group, LOCAL_PORT, ours)
        socket.onMessage = (bytes, host) => local.#receive(bytes, host)
        local.#sockets.push({
          host: isV6 ? `[${group}]:${LOCAL_PORT}` : `${group}:${LOCAL_PORT}`,
          socket,
        })
      } catch (error) {
        tools.logger.warn({ error, group }, 'peers of the local network are not heard')
      }
    }
    return local
  }

  /** This is shared here, and may be told to everybody. */
  announce(name: Uint8Array): void {
    const key = toLatin1(name)
    if (this.#told.has(key) || this.#fresh.has(key)) return
    this.#fresh.set(key, name)
    this.#schedule()
  }

  /** It is not shared any more, or not to be told of. */
  withdraw(name: Uint8Array): void {
    const key = toLatin1(name)
    this.#fresh.delete(key)
    this.#told.delete(key)
  }

  #schedule(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    if (this.#stopped || this.#sockets.length === 0) return
    const { clock } = this.#tools
    const oldest: { readonly atMs: number } | undefined = this.#told.values().next().value
    let dueMs = oldest === undefined ? Number.POSITIVE_INFINITY : oldest.atMs + INTERVAL_MS
    if (this.#fresh.size > 0) dueMs = 0
    if (dueMs === Number.POSITIVE_INFINITY) return
    const delayMs = Math.max(dueMs, this.#saidMs + PACE_MS) - clock.monotonicMs()
    this.#cancelTimer = clock.after(Math.max(0, delayMs), () => this.#tell())
  }

  #tell(): void {
    const nowMs = this.#tools.clock.monotonicMs()
    const due: Uint8Array[] = []
    for (const [, name] of this.#fresh) {
      if (due.length < MAX_HASHES) due.push(name)
    }
    for (const [, { name, atMs }] of this.#told) {
      if (due.length >= MAX_HASHES || nowMs - atMs < INTERVAL_MS) break
      due.push(name)
    }
    for (const name of due) {
      this.withdraw(name)
      this.#told.set(toLatin1(name), { name, atMs: nowMs })
    }
    if (due.length > 0) {
      this.#saidMs = nowMs
      const message = { port: this.#port, infoHashes: due, cookie: this.#cookie }
      for (const { host, socket } of this.#sockets) socket.send(encodeLocal(host, message))
    }
    this.#schedule()
  }

  #receive(bytes: Uint8Array, host: string): void {
    const nowMs = this.#tools.clock.monotonicMs()
    if (nowMs - this.#heardSinceMs >= 1_000) {
      this.#heardSinceMs = nowMs
      this.#heard = 0
    }
    if (this.#stopped || ++this.#heard > MAX_HEARD) return
    const message = parseLocal(bytes)
    if (message === null || message.cookie === this.#cookie) return
    for (const infoHash of message.infoHashes) {
      this.#tools.onPeer(infoHash, { host, port: message.port })
    }
  }

  stop(): void {
    this.#stopped = true
    this.#cancelTimer?.()
    for (const { socket } of this.#sockets) socket.close()
  }
}
