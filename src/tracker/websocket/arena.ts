/**
 * Memory for the frames of one turn. Most have gone to the system when the turn ends, and it is used again: new memory for every frame
 * would cost more than the frames, and so would an object for each. A frame is two offsets.
 *
 * Invariant: memory that a socket still holds is never given out again.
 */
const SLAB_BYTES = 65_536
/** Grows as long as turns fill it. */
const MAX_SLAB_BYTES = 2 ** 20

export class Arena {
  /** Where the offsets of `room` are; another one after each call of it that found none. */
  memory: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES)
  /** Memory for several frames in a row, which whoever uses it sends at once. */
  row: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES)
  #used = 0
  #onFull = (): void => {}

  /** `onFull` has all frames written, and then calls `endTurn`. */
  whenFull(onFull: () => void): void {
    this.#onFull = onFull
  }

  /** The offset of so many bytes, until the end of the turn. A frame is written and sent before the next room is asked for. */
  room(bytes: number): number {
    if (this.#used + bytes > this.memory.length) this.#grow(bytes)
    const from = this.#used
    this.#used += bytes
    return from
  }

  /** At the end of a turn: whether all that was given out is written. */
  endTurn(isWritten: boolean): void {
    if (!isWritten && this.#used > 0) this.memory = Buffer.allocUnsafeSlow(SLAB_BYTES)
    this.#used = 0
  }

  /** `row` of at least so many bytes. */
  rowOf(bytes: number): Buffer {
    if (bytes > this.row.length) this.row = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(bytes)))
    return this.row
  }

  /** A socket holds what lies in `row`. */
  leaveRow(): void {
    this.row = Buffer.allocUnsafeSlow(SLAB_BYTES)
  }

  #grow(bytes: number): void {
    this.#onFull()
    const wanted = Math.max(bytes, Math.min(2 * this.memory.length, MAX_SLAB_BYTES))
    if (wanted > this.memory.length) this.memory = Buffer.allocUnsafeSlow(wanted)
    this.#used = 0
  }
}
