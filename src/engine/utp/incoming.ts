/**
 * What a connection of uTP receives: packets in any order become a stream.
 *
 * ```
 *  packet -> next? -> gathered with what arrives beside it -> onData
 *                `-no-> inbox          paused: kept instead
 * ```
 *
 * Invariants: at most RECEIVE_WINDOW is kept, paid for out of the memory of all: what finds none was never here, and is not
 * acknowledged; not paused, nothing is kept but what came before its turn.
 */
import { assert } from '../../base/index.ts'
import type { Budget } from '../budget.ts'
import { Inbox } from './inbox.ts'
import { U16 } from './packet.ts'

/** As libtorrent has it: 10 MB/s over 100 ms. */
export const RECEIVE_WINDOW: number = 1024 * 1024

export class Incoming {
  /** All that the other side had to say has arrived. */
  atEnd = false
  paused = false
  /** Packets that count and were not acknowledged. */
  unacknowledged = 0
  /** The other side has to hear of something at once. */
  isUrgent = false
  readonly #memory: Budget
  readonly #gather: (payload: Uint8Array) => void
  readonly #inbox: Inbox
  readonly #kept: Uint8Array[] = []
  #keptBytes = 0
  #finSeq: number | undefined
  #deaf = false

  /** `ack` is the last number that has arrived, or is not to be waited for; `gather` takes the stream. */
  constructor(ack: number, memory: Budget, gather: (payload: Uint8Array) => void) {
    this.#memory = memory
    this.#gather = gather
    this.#inbox = new Inbox(ack, memory)
  }

  get ack(): number {
    return this.#inbox.ack
  }

  /** Bytes that we would take beyond what we acknowledge. */
  get windowBytes(): number {
    return Math.max(0, RECEIVE_WINDOW - this.#keptBytes - this.#inbox.bytes)
  }

  /** Something is missing before what has arrived. */
  get hasGap(): boolean {
    return !this.#inbox.isEmpty
  }

  get hasKept(): boolean {
    return this.#kept.length > 0
  }

  writeSack(target: Uint8Array, at: number): number {
    return this.#inbox.writeSack(target, at)
  }

  /** Whatever was said has acknowledged; what is missing only a STATE can say. */
  acknowledged(): void {
    this.unacknowledged = 0
    if (!this.hasGap) this.isUrgent = false
  }

  arrive(seq: number, payload: Uint8Array): void {
    const inbox = this.#inbox
    if (seq !== ((inbox.ack + 1) & U16)) {
      this.isUrgent = true
      if (!inbox.isOld(seq) && payload.length <= this.windowBytes) inbox.keep(seq, payload)
      return
    }
    if (this.atEnd) return
    if (!this.#hasRoom(payload.length)) {
      // That we are here has to be heard, or we are given up.
      this.isUrgent = true
      return
    }
    this.#take(payload)
    this.unacknowledged++
    if (this.hasGap) this.isUrgent = true
    for (;;) {
      const following = inbox.advance()
      if (following === undefined) break
      this.#take(following)
    }
    this.#endAtFin()
  }

  arriveFin(seq: number): void {
    this.isUrgent = true
    if (this.#inbox.isOld(seq)) return
    this.#finSeq ??= seq
    this.#endAtFin()
  }

  #endAtFin(): void {
    if (this.atEnd || this.#finSeq !== ((this.#inbox.ack + 1) & U16)) return
    this.#inbox.advance()
    this.#inbox.clear()
    this.isUrgent = true
    this.atEnd = true
  }

  #hasRoom(bytes: number): boolean {
    if (!this.paused || this.#deaf) return true
    if (bytes > this.windowBytes || !this.#memory.take(bytes)) return false
    this.#memory.give(bytes)
    return true
  }

  #take(payload: Uint8Array): void {
    if (this.#deaf) return
    if (!this.paused) {
      this.#gather(payload)
      return
    }
    const isPaid = this.#memory.take(payload.length)
    assert(isPaid, 'what comes out of the inbox was paid for, and what comes in was asked about')
    this.#kept.push(new Uint8Array(payload))
    this.#keptBytes += payload.length
  }

  /** What was gathered, and came before all that was kept since the pause; false when there is no memory for it. */
  keepFirst(bytes: Uint8Array): boolean {
    if (!this.#memory.take(bytes.length)) return false
    this.#kept.unshift(new Uint8Array(bytes))
    this.#keptBytes += bytes.length
    return true
  }

  /** The first of what was kept; undefined when there is none. */
  takeKept(): Uint8Array | undefined {
    const bytes = this.#kept.shift()
    if (bytes === undefined) return undefined
    this.#keptBytes -= bytes.length
    this.#memory.give(bytes.length)
    return bytes
  }

  /** Nobody listens any more: what comes counts, and is forgotten. Gives all memory back. */
  clear(): void {
    this.#deaf = true
    this.#inbox.clear()
    this.#memory.give(this.#keptBytes)
    this.#keptBytes = 0
    this.#kept.length = 0
  }
}
