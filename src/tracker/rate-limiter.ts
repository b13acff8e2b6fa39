/**
 * So many requests a minute from an address, and no more: in memory that is fixed, however many addresses there are.
 *
 *     address (IPv4 whole, IPv6 its /64) --keyed hash--> one cell in each of two rows
 *     cell    when its next request would be due, in milliseconds modulo 2^32
 *
 * A cell is the "theoretical arrival time" of the generic cell rate algorithm: a request moves it on by one interval, and is
 * refused when it is more than a burst ahead of now. Addresses share cells; one is refused only when both of its
 * cells say so, that is when it shares each with somebody busy. Nobody can choose addresses that share cells with a
 * victim: the hash has a key.
 *
 * Invariants: a refused request moves nothing, so who keeps asking is let in again at the rate; cells
 * that are behind are as good as empty, so nothing is ever collected. Threads share the table without a lock: two requests at
 * the same moment may count as one, no more.
 */
import { type Clock, type Random, readI32BE } from '../base/index.ts'
import { SipHash } from './siphash.ts'

const CELL_BYTES = 4
const ROWS = 2
const MINUTE_MS = 60_000

export interface RateLimit {
  /** At most 60,000. */
  readonly requestsPerMinute: number
  /** How many may come at once; at least 1. */
  readonly burst: number
  /** For the table; rounded down to a power of two. */
  readonly memoryBytes: number
}

/** The table and its key, for every thread that asks; may be posted. */
export interface RateLimiterShare {
  readonly limit: RateLimit
  readonly key: Uint8Array
  readonly startMs: number
  readonly buffer: SharedArrayBuffer
}

/** An empty table under a new key. */
export function makeRateLimiter(clock: Clock, random: Random, limit: RateLimit): RateLimiterShare {
  const key = new Uint8Array(16)
  random.fill(key)
  const cells = 2 ** Math.floor(Math.log2(limit.memoryBytes / ROWS / CELL_BYTES))
  const buffer = new SharedArrayBuffer(cells * ROWS * CELL_BYTES)
  return { limit, key, buffer, startMs: clock.monotonicMs() }
}

export class RateLimiter {
  readonly #clock: Clock
  readonly #hash: SipHash
  readonly #intervalMs: number
  readonly #toleranceMs: number
  readonly #mask: number
  readonly #cells: Int32Array
  readonly #message4 = new Uint8Array(4)
  readonly #message6 = new Uint8Array(8)
  readonly #digest = new Uint8Array(8)
  readonly #startMs: number

  /** `clock` says the same as the one that the share was made with. */
  constructor(clock: Clock, { limit, key, buffer, startMs }: RateLimiterShare) {
    this.#hash = new SipHash(key)
    this.#clock = clock
    this.#startMs = startMs
    this.#intervalMs = Math.max(1, Math.round(MINUTE_MS / limit.requestsPerMinute))
    this.#toleranceMs = this.#intervalMs * (limit.burst - 1)
    this.#cells = new Int32Array(buffer)
    this.#mask = this.#cells.length / ROWS - 1
  }

  /** Whether a request of `address` (4 or 16 bytes) may be answered; counts it if so. Allocates nothing. */
  allows(address: Uint8Array): boolean {
    const message = address.length === 4 ? this.#message4 : this.#message6
    for (let i = 0; i < message.length; i++) message[i] = address[i]!
    this.#hash.write(message, this.#digest)
    const first = readI32BE(this.#digest, 0) & this.#mask
    const second = (readI32BE(this.#digest, 4) & this.#mask) + this.#mask + 1
    // Zero is what an untouched cell says: now is kept ahead of it by a minute.
    const now = (this.#clock.monotonicMs() - this.#startMs + MINUTE_MS) | 0
    const aheadMs = Math.min(this.#ahead(first, now), this.#ahead(second, now))
    if (aheadMs > this.#toleranceMs) return false
    const due = (now + aheadMs + this.#intervalMs) | 0
    this.#raise(first, now, due)
    this.#raise(second, now, due)
    return true
  }

  get bytes(): number {
    return this.#cells.byteLength
  }

  /** By how much a cell is ahead of now, at least 0. What seems to be more than can be is of long ago. */
  #ahead(cell: number, now: number): number {
    const ahead = (this.#cells[cell]! - now) | 0
    return ahead > 0 && ahead <= this.#toleranceMs + this.#intervalMs ? ahead : 0
  }

  #raise(cell: number, now: number, due: number): void {
    if (this.#ahead(cell, now) < ((due - now) | 0)) this.#cells[cell] = due
  }
}
