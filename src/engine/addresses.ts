/**
 * The addresses at which a torrent's peers may be: who is to be tried next, who has failed how often,
 * who is never to be tried again.
 *
 * Of those that may be tried the one with the fewest failures is next, then the one of the highest priority, then who has waited longest.
 *
 * Invariants: at most `MAX_ADDRESSES` are kept, a new one in place of that which failed most often; one that is connected, or being connected, or banned, is
 * not offered; one that failed is offered again after 2 seconds, then 4, 8, … 10 minutes, and given up
 * after MAX_FAILURES when there are enough others.
 */
import type { Attempt } from './encryption/policy.ts'
import type { Transport } from './network.ts'

export interface PeerAddress {
  readonly host: string
  readonly port: number
  /** BEP 40; the higher the better. */
  priority: number
  failures: number
  /** Not to be tried before. */
  notBeforeMs: number
  /** Connected or being connected. */
  busy: boolean
  /** How the last connection went. */
  last?: Attempt & {
    readonly transport: Transport
    /** It is the first half of an attempt: the other is encrypted where it was not, or the other way round. */
    readonly isHalf: boolean
  }
}

const MAX_ADDRESSES = 2_000
const MAX_FAILURES = 6
const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 10 * 60_000
/** So many are never given up: a magnet's only peer may be away for an hour. */
const KEPT_ADDRESSES = 16
const MAX_BANNED = 1_000
/** Whose disk or memory was at fault may have mended it; who lies is found out again. */
export const BAN_MS: number = 60 * 60_000

export class AddressBook {
  readonly #addresses = new Map<string, PeerAddress>()
  /** Until when: monotonic milliseconds. */
  readonly #banned = new Map<string, number>()
  readonly #priorityOf: (address: { host: string; port: number }) => number

  /** `priorityOf` is asked when an address is added, and again by `rank`. */
  constructor(priorityOf: (address: { host: string; port: number }) => number = () => 0) {
    this.#priorityOf = priorityOf
  }

  /** Priorities are others now. */
  rank(): void {
    for (const address of this.#addresses.values()) address.priority = this.#priorityOf(address)
  }

  /** Nobody is known, nor banned. */
  get isEmpty(): boolean {
    return this.#addresses.size === 0 && this.#banned.size === 0
  }

  get size(): number {
    return this.#addresses.size
  }

  /** False when it is known, banned, impossible, or one too many. */
  add(host: string, port: number, nowMs: number): boolean {
    if (!Number.isInteger(port) || port < 1 || port > 65_535) return false
    if (host === '' || this.isBanned(host, nowMs)) return false
    const key = keyOf({ host, port })
    if (this.#addresses.has(key)) return false
    if (this.#addresses.size >= MAX_ADDRESSES && !this.#giveUpWorst()) return false
    const priority = this.#priorityOf({ host, port })
    const address = { host, port, priority, failures: 0, notBeforeMs: 0, busy: false }
    this.#addresses.set(key, address)
    return true
  }

  /** Whoever fills the book with addresses where nobody is must not keep others out. False when none has failed. */
  #giveUpWorst(): boolean {
    let worst: PeerAddress | undefined
    for (const address of this.#addresses.values()) {
      // Ours is kept, so as not to be tried again.
      if (address.busy || address.notBeforeMs === Number.POSITIVE_INFINITY) continue
      if (address.failures > (worst?.failures ?? 0)) worst = address
    }
    return worst !== undefined && this.#addresses.delete(keyOf(worst))
  }

  isAnyDue(nowMs: number): boolean {
    for (const address of this.#addresses.values()) {
      if (!address.busy && nowMs >= address.notBeforeMs) return true
    }
    return false
  }

  /** The next to try, which is busy from now on until `ended`. */
  next(nowMs: number): PeerAddress | undefined {
    let best: PeerAddress | undefined
    for (const address of this.#addresses.values()) {
      if (address.busy || nowMs < address.notBeforeMs) continue
      if (best === undefined || isBetter(address, best)) best = address
    }
    if (best === undefined) return undefined
    best.busy = true
    // To the end: others that are as good have their turn before it has its next.
    const key = keyOf(best)
    this.#addresses.delete(key)
    this.#addresses.set(key, best)
    return best
  }

  /** The connection has ended. `useful`: it was worth having. Not to be tried again for `restMs` at least. */
  ended(address: PeerAddress, useful: boolean, nowMs: number, restMs = 0): void {
    address.busy = false
    address.failures = useful ? 0 : address.failures + 1
    const hopeless = address.failures >= MAX_FAILURES && this.#addresses.size > KEPT_ADDRESSES
    if (hopeless && restMs < Number.POSITIVE_INFINITY) this.#addresses.delete(keyOf(address))
    const retryMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** address.failures)
    address.notBeforeMs = nowMs + Math.max(retryMs, restMs)
  }

  /** The attempt is not over: it goes on with another connection, which may be made at once. */
  goesOn(address: PeerAddress, nowMs: number): void {
    address.busy = false
    address.notBeforeMs = nowMs
  }

  /** Somebody is there at the host after all: may be tried at once. False when none of its addresses is known. */
  wake(host: string, nowMs: number): boolean {
    let known = false
    for (const address of this.#addresses.values()) {
      if (address.host !== host || address.notBeforeMs === Number.POSITIVE_INFINITY) continue
      known = true
      address.notBeforeMs = Math.min(address.notBeforeMs, nowMs)
    }
    return known
  }

  /** Peers are wanted again: whoever rests may be tried at once, but for those never to be tried. */
  wakeAll(): void {
    for (const address of this.#addresses.values()) {
      if (address.notBeforeMs < Number.POSITIVE_INFINITY) address.notBeforeMs = 0
    }
  }

  /** For BAN_MS. Of many banned hosts the one banned first is pardoned. */
  ban(host: string, nowMs: number): void {
    this.#banned.delete(host)
    this.#banned.set(host, nowMs + BAN_MS)
    if (this.#banned.size > MAX_BANNED) this.#banned.delete(this.#banned.keys().next().value!)
    for (const [key, address] of this.#addresses) {
      if (address.host === host) this.#addresses.delete(key)
    }
  }

  isBanned(host: string, nowMs: number): boolean {
    const untilMs = this.#banned.get(host)
    if (untilMs === undefined) return false
    if (nowMs < untilMs) return true
    this.#banned.delete(host)
    return false
  }
}

function isBetter(one: PeerAddress, other: PeerAddress): boolean {
  const failures = failuresOf(one) - failuresOf(other)
  return failures < 0 || (failures === 0 && one.priority > other.priority)
}

/** Half an attempt is half a failure: whoever was not tried at all comes first, whoever has failed altogether later. */
function failuresOf({ failures, last }: PeerAddress): number {
  return last?.isHalf === true ? failures + 0.5 : failures
}

function keyOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${host} ${port}`
}
