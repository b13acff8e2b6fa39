/**
 * What is the shortest way of a packet, of all that were seen in the last minutes (RFC 6817, section 2.4.2): the rest
 * of a packet's delay is time spent in queues.
 *
 * A delay here is the difference of two clocks that nobody has set, in microseconds, modulo 2^32: only differences of
 * delays mean something, and they are compared modulo 2^32.
 *
 * Invariants: the base is the lowest delay of this minute and the BUCKETS - 1 before it, as long as all lie within 35
 * minutes of each other; a route that has become longer is believed after BUCKETS minutes.
 */

const BUCKETS = 10
const BUCKET_MS = 60_000
/** Of the last delays the lowest counts: one late packet is no queue. */
const FILTER = 4

/** Whether `a` is the lower one, on a circle. */
function isLower(a: number, b: number): boolean {
  return ((a - b) | 0) < 0
}

export class DelayHistory {
  readonly #buckets = new Uint32Array(BUCKETS)
  readonly #recent = new Uint32Array(FILTER)
  #bucket = 0
  #bucketEndMs = 0
  #samples = 0
  #base = 0

  /** The lowest delay known, modulo 2^32; 0 before the first. */
  get base(): number {
    return this.#base
  }

  get isEmpty(): boolean {
    return this.#samples === 0
  }

  /** Takes a delay in. Allocates nothing. */
  add(delayMicros: number, nowMs: number): void {
    if (this.#samples === 0) {
      this.#buckets.fill(delayMicros)
      this.#recent.fill(delayMicros)
      this.#bucketEndMs = nowMs + BUCKET_MS
      this.#base = delayMicros >>> 0
    }
    this.#recent[this.#samples++ % FILTER] = delayMicros
    if (nowMs >= this.#bucketEndMs) {
      this.#bucketEndMs = nowMs + BUCKET_MS
      this.#bucket = (this.#bucket + 1) % BUCKETS
      this.#buckets[this.#bucket] = delayMicros
      this.#survey()
    } else if (isLower(delayMicros, this.#buckets[this.#bucket]!)) {
      this.#buckets[this.#bucket] = delayMicros
      if (isLower(delayMicros, this.#base)) this.#base = delayMicros >>> 0
    }
  }

  #survey(): void {
    let base = this.#buckets[0]!
    for (const delay of this.#buckets) if (isLower(delay, base)) base = delay
    this.#base = base
  }

  /** The clocks drift apart: every delay is `micros` more than it was when it was taken. */
  shift(micros: number): void {
    for (let i = 0; i < BUCKETS; i++) this.#buckets[i]! += micros
    for (let i = 0; i < FILTER; i++) this.#recent[i]! += micros
    this.#survey()
  }

  /** Microseconds that packets spend in queues now; 0 when that is not known. */
  get queueMicros(): number {
    if (this.#samples === 0) return 0
    let lowest = this.#recent[0]!
    for (const delay of this.#recent) if (isLower(delay, lowest)) lowest = delay
    const queue = (lowest - this.#base) | 0
    return queue > 0 ? queue : 0
  }
}
