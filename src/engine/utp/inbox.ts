/**
 * Packets that have arrived before those that come first.
 *
 * ```
 *   ack   ack+1   ack+2  ack+3 ...
 *    v    missing   [p]    .    [p]            p: kept here; bit 0 of a selective acknowledgement is ack + 2
 * ```
 *
 * Invariants: what is kept lies within MAX_AHEAD after the first that is missing, and is paid for out of a memory that
 * all connections share; the first that is missing is never here.
 */
import type { Budget } from '../budget.ts'
import { ahead, U16 } from './packet.ts'

const MAX_AHEAD = 1024
/** What a packet takes beside its payload: many tiny ones are paid for, too. */
const OVERHEAD_BYTES = 256
/** Bytes of a selective acknowledgement: 512 packets. It is to fit into any datagram beside the header. */
export const MAX_SACK_BYTES = 64

export class Inbox {
  /** The last packet up to which all have arrived. */
  ack: number
  /** Bytes kept. */
  bytes = 0
  readonly #memory: Budget
  readonly #packets = new Map<number, Uint8Array>()
  /** The highest that was kept since there was none. */
  #last = 0

  constructor(ack: number, memory: Budget) {
    this.ack = ack
    this.#memory = memory
  }

  get isEmpty(): boolean {
    return this.#packets.size === 0
  }

  /** Keeps a copy of the payload of a packet that is not the next; not when it is known, too far, or memory is short. */
  keep(seq: number, payload: Uint8Array): void {
    const distance = ahead(seq, this.ack + 1)
    if (distance === 0 || distance > MAX_AHEAD || this.#packets.has(seq)) return
    if (!this.#memory.take(payload.length + OVERHEAD_BYTES)) return
    if (this.isEmpty || distance > ahead(this.#last, this.ack + 1)) this.#last = seq
    this.#packets.set(seq, new Uint8Array(payload))
    this.bytes += payload.length
  }

  /** Whether a packet is one that has come already. */
  isOld(seq: number): boolean {
    return ahead(seq, this.ack + 1) > U16 >> 1
  }

  /** The next has arrived: counts it, and gives out what was kept and follows it, if anything. */
  advance(): Uint8Array | undefined {
    this.ack = (this.ack + 1) & U16
    return this.#take()
  }

  /** The next, when it is kept; it is counted by the `advance` after it. */
  #take(): Uint8Array | undefined {
    if (this.#packets.size === 0) return undefined
    const seq = (this.ack + 1) & U16
    const payload = this.#packets.get(seq)
    if (payload === undefined) return undefined
    this.#packets.delete(seq)
    this.bytes -= payload.length
    this.#memory.give(payload.length + OVERHEAD_BYTES)
    return payload
  }

  /** Writes the bits of a selective acknowledgement, of an inbox that is not empty; their size is a multiple of 4. */
  writeSack(target: Uint8Array, at: number): number {
    const bits = ahead(this.#last, this.ack + 2) + 1
    const bytes = Math.min(MAX_SACK_BYTES, Math.ceil(bits / 32) * 4)
    target.fill(0, at, at + bytes)
    for (let i = 0; i < Math.min(bits, bytes * 8); i++) {
      if (this.#packets.has((this.ack + 2 + i) & U16)) target[at + (i >> 3)]! |= 1 << (i & 7)
    }
    return bytes
  }

  clear(): void {
    this.#memory.give(this.bytes + this.#packets.size * OVERHEAD_BYTES)
    this.bytes = 0
    this.#packets.clear()
  }
}
