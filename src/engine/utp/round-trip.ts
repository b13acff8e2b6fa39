/**
 * How long a round trip takes, and how long to wait for one that does not end: BEP 29, as in RFC 6298.
 *
 * Invariant: the time to wait is MIN_TIMEOUT_MS to MAX_TIMEOUT_MS, doubled with each that passed in vain since the
 * last round trip.
 */

const FIRST_TIMEOUT_MS = 1_000
const MIN_TIMEOUT_MS = 500
const MAX_TIMEOUT_MS = 30_000

export class RoundTrip {
  /** Smoothed; 0 before the first. */
  meanMs = 0
  #deviationMs = 0
  /** Of all. */
  leastMs: number = Number.POSITIVE_INFINITY
  #timeoutMs = FIRST_TIMEOUT_MS

  get timeoutMs(): number {
    return this.#timeoutMs
  }

  /** One of a packet that was sent once (Karn): nobody knows which of two was answered. Allocates nothing. */
  add(ms: number): void {
    if (ms < this.leastMs) this.leastMs = ms
    if (this.meanMs === 0) {
      this.meanMs = ms
      this.#deviationMs = ms / 2
    } else {
      this.#deviationMs += (Math.abs(this.meanMs - ms) - this.#deviationMs) / 4
      this.meanMs += (ms - this.meanMs) / 8
    }
    this.#timeoutMs = Math.min(
      MAX_TIMEOUT_MS,
      Math.max(MIN_TIMEOUT_MS, this.meanMs + 4 * this.#deviationMs),
    )
  }

  /** Nothing was heard in time. */
  passed(): void {
    this.#timeoutMs = Math.min(MAX_TIMEOUT_MS, 2 * this.#timeoutMs)
  }
}
