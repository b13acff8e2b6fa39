/**
 * Memory for what is written in one turn of the event loop. Most of it has gone to the kernel when the turn ends, and is used again:
 * new memory for every frame would cost more than the frames.
 *
 * Invariant: memory that a socket still holds is never given out again.
 */
const SLAB_BYTES = 65_536
const MAX_SLAB_BYTES = 2 ** 20

export class Arena {
  #slab: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES)
  #used = 0

  /** So many bytes, until the end of the turn or as long as a socket holds them. */
  room(bytes: number): Buffer {
    if (this.#used + bytes > this.#slab.length) {
      if (bytes > SLAB_BYTES / 2) return Buffer.allocUnsafeSlow(bytes)
      // A turn in which much is said; the slab before goes when what is in it is written.
      this.#slab = Buffer.allocUnsafeSlow(Math.min(2 * this.#slab.length, MAX_SLAB_BYTES))
      this.#used = 0
    }
    const from = this.#used
    this.#used += bytes
    return this.#slab.subarray(from, from + bytes)
  }

  /** At the end of a turn: whether all that was given out is written. */
  endTurn(isWritten: boolean): void {
    if (this.#used === 0) return
    if (!isWritten) this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
    this.#used = 0
  }
}
