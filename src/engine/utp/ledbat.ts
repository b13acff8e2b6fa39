/**
 * How many bytes may be under way: LEDBAT (RFC 6817), which gives way to other traffic because it keeps the queue that
 * it makes at TARGET_MICROS, while others fill it up.
 *
 * ```
 * slow start: the window grows by what is acknowledged, until the queue is 3/4 of the target, or a packet is lost
 * below the target:  one packet a round trip
 * above the target:  one packet less window / 5 * (queue / target - 1) a round trip
 * loss:              half, once a round trip         silence: one packet
 * ```
 *
 * RFC 6817 alone shares badly: who comes later takes the queue of those before it for the length of the way, and drives
 * them out; and any share of two flows at the target stays as it is. So what is above the target is taken off in
 * proportion to the window, and a window that holds a queue is closed now and then, until that is gone and all have seen
 * the way without it (both from draft-irtf-iccrg-ledbat-plus-plus). That costs at most a tenth of the time.
 *
 * Invariants: the window is at least one packet and, but for silence, MIN_PACKETS; at most what was handed in; it grows
 * only while it is used up.
 */

/** BEP 29. */
export const TARGET_MICROS = 100_000
/** Two, because an acknowledgement may wait for the second packet. */
const MIN_PACKETS = 2
const SLOW_START_END = 0.75 * TARGET_MICROS
/**
 * What is above the target counts so much. With 1, 100 packets stand 1 ms above it, and the millisecond that a packet takes
 * decides who gets twice as much as the other.
 */
const SLOPE = 0.2
/** How many times as long as it was closed and not as open as before it stays open. */
const OPEN_FACTOR = 9
/** A queue that is smaller is hardly ours, and hides nothing from others. */
const PAUSE_MICROS = TARGET_MICROS / 2

export class Ledbat {
  readonly #packetBytes: number
  readonly #maxBytes: number
  #window: number
  /** Slow start ends here. */
  #threshold = Number.POSITIVE_INFINITY
  /** Until when it stays closed; 0: it does not. */
  #closedUntilMs = 0
  /** When it was closed last, while it is not as open as before. */
  #closedMs: number | undefined
  #nextPauseMs = Number.POSITIVE_INFINITY

  constructor(packetBytes: number, maxBytes: number) {
    this.#packetBytes = packetBytes
    this.#maxBytes = maxBytes
    this.#window = MIN_PACKETS * packetBytes
  }

  /** Bytes that may be under way. */
  get windowBytes(): number {
    return this.#window
  }

  /**
   * `bytes` were acknowledged, packets spend `queueMicros` in queues, the shortest round trip took `roundMs`; `isUsed`: the window
   * was full before. Allocates nothing.
   */
  acked(bytes: number, queueMicros: number, roundMs: number, isUsed: boolean, nowMs: number): void {
    if (nowMs < this.#closedUntilMs) return
    if (this.#window < this.#threshold) this.#slowStart(bytes, queueMicros, isUsed, nowMs)
    else this.#steer(bytes, queueMicros, isUsed)
    if (nowMs < this.#nextPauseMs || this.#window < this.#threshold) return
    if (queueMicros >= PAUSE_MICROS) this.#close(queueMicros / 1000 + roundMs, nowMs)
    else this.#nextPauseMs = nowMs + roundMs
  }

  #slowStart(bytes: number, queueMicros: number, isUsed: boolean, nowMs: number): void {
    const returns = this.#closedMs !== undefined
    if (!returns && queueMicros > SLOW_START_END) {
      this.#threshold = this.#window
      this.#nextPauseMs = nowMs
      return
    }
    if (isUsed) this.#set(Math.min(this.#window + bytes, this.#threshold))
    if (this.#window < this.#threshold && this.#window < this.#maxBytes) return
    if (returns) this.#nextPauseMs = nowMs + OPEN_FACTOR * (nowMs - this.#closedMs!)
    else if (this.#nextPauseMs === Number.POSITIVE_INFINITY) this.#nextPauseMs = nowMs
    this.#closedMs = undefined
    this.#threshold = this.#window
  }

  #steer(bytes: number, queueMicros: number, isUsed: boolean): void {
    const gain = (this.#packetBytes * bytes) / this.#window
    const over = queueMicros / TARGET_MICROS - 1
    if (over <= 0) {
      if (isUsed) this.#set(this.#window + gain)
    } else this.#set(this.#window + Math.max(gain - SLOPE * bytes * over, -bytes / 2))
    // What was lost of it is no goal.
    this.#threshold = Math.min(this.#threshold, this.#window)
  }

  #close(ms: number, nowMs: number): void {
    this.#threshold = this.#window
    this.#window = MIN_PACKETS * this.#packetBytes
    this.#closedMs = nowMs
    this.#closedUntilMs = nowMs + ms
    this.#nextPauseMs = Number.POSITIVE_INFINITY
  }

  #set(bytes: number): void {
    this.#window = Math.min(this.#maxBytes, Math.max(MIN_PACKETS * this.#packetBytes, bytes))
  }

  /** Something of what was under way is lost; to be called once a round trip. */
  lost(nowMs: number): void {
    const returns = this.#closedMs !== undefined
    // On its way back it has to be half of what it was before it was closed.
    const full = returns ? this.#threshold : this.#window
    this.#threshold = Math.max(MIN_PACKETS * this.#packetBytes, full / 2)
    this.#set(Math.min(this.#window, this.#threshold))
    if (!returns && this.#nextPauseMs === Number.POSITIVE_INFINITY) this.#nextPauseMs = nowMs
  }

  /** Nothing was heard for a long time: what is under way is lost, and nothing is known. */
  silent(): void {
    this.#threshold = Math.max(MIN_PACKETS * this.#packetBytes, this.#window / 2)
    this.#window = this.#packetBytes
    this.#closedMs = undefined
    this.#closedUntilMs = 0
  }

  /** Nothing was under way for a while: what the way bears has to be found out again. */
  rested(): void {
    if (this.#window <= MIN_PACKETS * this.#packetBytes) return
    this.#threshold = this.#window
    this.#window = MIN_PACKETS * this.#packetBytes
  }
}
