/**
 * A rate as tokens that come with time: a token is a byte. Of what comes while nobody wants it little is kept. Of what comes while
 * somebody waits more is: then it is we who are late, because something else took the processor.
 *
 * Invariants: what is taken over any time is at most the rate by that time, what may be saved up, and the last
 * taking; so long as it is not positive, nothing should be taken. Without a rate it is always infinite.
 */
import { assert, type Clock } from '../base/index.ts'

/** So much of a rate may be saved up while nobody wants it. */
const SAVED_MS = 200
/** And so much while somebody waits: a busy machine stops a process for as long. */
const LATE_MS = 2_000

export class TokenBucket {
  readonly #clock: Clock
  #perMs = Number.POSITIVE_INFINITY
  #level = 0
  #filledMs: number

  /** `rate`: bytes a second; undefined: no limit. */
  constructor(clock: Clock, rate: number | undefined) {
    this.#clock = clock
    this.#filledMs = clock.monotonicMs()
    this.rate = rate
  }

  set rate(rate: number | undefined) {
    assert(rate === undefined || rate > 0, 'a rate of nothing')
    if (this.limited) this.level(false)
    else this.#level = 0
    this.#filledMs = this.#clock.monotonicMs()
    this.#perMs = rate === undefined ? Number.POSITIVE_INFINITY : rate / 1000
  }

  get rate(): number | undefined {
    return this.limited ? this.#perMs * 1000 : undefined
  }

  get limited(): boolean {
    return this.#perMs < Number.POSITIVE_INFINITY
  }

  /** Bytes that may be taken now; negative when more was taken than there was. `wanted`: somebody has waited for them. */
  level(wanted: boolean): number {
    if (!this.limited) return Number.POSITIVE_INFINITY
    const nowMs = this.#clock.monotonicMs()
    const filled = this.#level + (nowMs - this.#filledMs) * this.#perMs
    this.#filledMs = nowMs
    const most = (wanted ? LATE_MS : SAVED_MS) * this.#perMs
    // What has been kept is not taken away.
    this.#level = Math.min(filled, Math.max(this.#level, most))
    return this.#level
  }

  /** Takes bytes, also those that are not there; negative ones are given back. */
  take(bytes: number): void {
    if (this.limited) this.#level -= bytes
  }
}
