/**
 * A limit on what all torrents send, or ask for, and limits on what each of them does; what there is goes round.
 *
 * ```
 *                     .-> torrent (its own limit) -+-> peer
 * limit of the engine +-> torrent                  `-> peer
 *                     `-> resting: its own limit is used up
 * ```
 *
 * Who wants more than there is waits; every WAKE_MS those who wait are served in turn: one torrent after the other, and
 * of each one peer after the other, of torrents the one first that has had least, with what brings it up to the others, but at least a chunk.
 *
 * Invariants:
 * - Nobody takes anything while somebody waits for the same limit, but whose turn it is.
 * - What is taken exceeds a limit by one taking at most, which is made up for.
 * - A timer runs only while somebody waits. Without limits nothing is kept, and taking is one comparison.
 */
import type { Clock } from '../base/index.ts'
import { CHUNK_BYTES } from './geometry.ts'
import { TokenBucket } from './token-bucket.ts'

const WAKE_MS = 50
/** Who misses turns, because it waits for the disk or the network, is made up for so much. */
const ARREARS_BYTES = 1024 * 1024

/** Who sends, or asks. */
export interface Taker {
  /** Its turn has come: it may take, once or several times, before it returns. */
  onTurn(): void
  /** It is in the midst of something that is of use only as a whole: its next turn comes before the others'. */
  readonly keepsTurn?: boolean
}

export class Throttle {
  readonly clock: Clock
  readonly #bucket: TokenBucket
  /** Torrents that wait for the limit of all, in the order of their turns. */
  readonly #waiting = new Set<Share>()
  /** Torrents that have used up their own. */
  readonly #resting = new Set<Share>()
  #serving: Taker | undefined
  /** What whose turn it is may still take. */
  #portion = 0
  /** How much whoever was served last had had before. */
  #reached = 0
  #cancelTimer: (() => void) | undefined

  /** `rate`: bytes a second; undefined: no limit. */
  constructor(clock: Clock, rate: number | undefined) {
    this.clock = clock
    this.#bucket = new TokenBucket(clock, rate)
  }

  get rate(): number | undefined {
    return this.#bucket.rate
  }

  set rate(rate: number | undefined) {
    this.#bucket.rate = rate
  }

  get limited(): boolean {
    return this.#bucket.limited
  }

  /** A torrent's part. */
  share(rate: number | undefined): Share {
    return new Share(this, new TokenBucket(this.clock, rate))
  }

  /** For `Share` alone. */
  take(share: Share, taker: Taker, unit: number, count: number): number {
    const isTurn = taker === this.#serving
    const own = share.bucket.level(share.crowd > 0)
    const all = this.#bucket.level(this.#waiting.size > 0)
    const crowded = share.crowd > 0 || (this.limited && this.#waiting.size > 0)
    const there = Math.min(own, all, isTurn ? this.#portion : Number.POSITIVE_INFINITY)
    if (there <= 0 || (crowded && !isTurn)) {
      this.#wait(share, taker)
      return 0
    }
    const taken = Math.min(count, Math.max(1, Math.floor(there / unit)))
    this.#move(share, taken * unit)
    return taken
  }

  give(share: Share, bytes: number): void {
    this.#move(share, -bytes)
  }

  #move(share: Share, bytes: number): void {
    share.bucket.take(bytes)
    share.served += bytes
    this.#bucket.take(bytes)
    if (this.#serving !== undefined) this.#portion -= bytes
  }

  #wait(share: Share, taker: Taker): void {
    share.takers.add(taker)
    this.#queue(share)
    this.#wakeLater()
  }

  #queue(share: Share): void {
    const rests = share.bucket.level(true) <= 0
    if (rests) this.#waiting.delete(share)
    else this.#resting.delete(share)
    share.served = Math.max(share.served, this.#reached - ARREARS_BYTES)
    const queue = rests ? this.#resting : this.#waiting
    queue.add(share)
  }

  /** For `Share` alone: it wants nothing any more. */
  leave(share: Share): void {
    this.#waiting.delete(share)
    this.#resting.delete(share)
    if (this.#waiting.size === 0 && this.#resting.size === 0) this.#sleep()
  }

  #wake(): void {
    this.#cancelTimer = undefined
    for (const share of [...this.#resting]) this.#queue(share)
    while (this.#waiting.size > 0 && this.#bucket.level(true) > 0) this.#round()
    if (this.#waiting.size > 0 || this.#resting.size > 0) this.#wakeLater()
    else this.#sleep()
  }

  #wakeLater(): void {
    this.#cancelTimer ??= this.clock.after(WAKE_MS, () => this.#wake())
  }

  #sleep(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
  }

  /** Each is brought up to the same mark, the one behind most first, as far as it goes. */
  #round(): void {
    const order = [...this.#waiting].sort((a, b) => a.served - b.served)
    const mark = markOf(order, this.#bucket.level(true))
    for (const share of order) {
      if (this.#bucket.level(true) <= 0) return
      if (!this.#waiting.delete(share)) continue
      this.#reached = Math.max(this.#reached, share.served)
      this.#serve(share, mark - share.served)
      if (share.crowd > 0) this.#queue(share)
    }
  }

  #serve(share: Share, part: number): void {
    const first = share.first
    const taker: Taker =
      first !== undefined && share.takers.has(first) ? first : share.takers.values().next().value!
    share.first = undefined
    this.#portion = Math.max(CHUNK_BYTES, Math.min(part, share.bucket.level(true) / share.crowd))
    share.takers.delete(taker)
    this.#serving = taker
    try {
      taker.onTurn()
    } finally {
      this.#serving = undefined
    }
    if (taker.keepsTurn === true) share.first = taker
  }
}

/** Up to where `bytes` bring those who were served least, all to the same: water poured into a vessel of steps. */
function markOf(order: readonly Share[], bytes: number): number {
  let sum = bytes
  for (const [i, share] of order.entries()) {
    sum += share.served
    const next = order[i + 1]
    const mark = sum / (i + 1)
    if (next === undefined || mark <= next.served) return mark
  }
  return 0
}

/** What one torrent may take, and which of its peers wait for it. */
export class Share {
  readonly bucket: TokenBucket
  #takers: Set<Taker> | undefined
  /** Whose turn is not over. */
  first: Taker | undefined
  /** Bytes taken; of who was away for long it is raised, so that it gets no more than its part when it comes back. */
  served = 0
  readonly #throttle: Throttle

  constructor(throttle: Throttle, bucket: TokenBucket) {
    this.#throttle = throttle
    this.bucket = bucket
  }

  /** In the order of their turns. */
  get takers(): Set<Taker> {
    this.#takers ??= new Set()
    return this.#takers
  }

  /** How many wait for their turn. */
  get crowd(): number {
    return this.#takers?.size ?? 0
  }

  get limited(): boolean {
    return this.bucket.limited || this.#throttle.limited
  }

  get rate(): number | undefined {
    return this.bucket.rate
  }

  set rate(rate: number | undefined) {
    this.bucket.rate = rate
  }

  /** Bytes a second that it can have at best. */
  get mostPerSecond(): number {
    const { rate: all = Number.POSITIVE_INFINITY } = this.#throttle
    return Math.min(this.rate ?? Number.POSITIVE_INFINITY, all)
  }

  /**
   * Takes up to `count` times `unit` bytes; answers how many times. Who gets nothing waits, and is called when its
   * turn has come.
   */
  take(taker: Taker, unit: number, count: number): number {
    return this.limited ? this.#throttle.take(this, taker, unit, count) : count
  }

  /** What was taken and has not been used after all; negative: what was used without having been taken. */
  give(bytes: number): void {
    if (this.limited && bytes !== 0) this.#throttle.give(this, bytes)
  }

  /** The taker wants nothing any more. */
  leave(taker: Taker): void {
    if (this.first === taker) this.first = undefined
    if (this.#takers?.delete(taker) === true && this.crowd === 0) this.#throttle.leave(this)
  }
}
