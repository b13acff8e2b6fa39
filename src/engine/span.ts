/**
 * The hash of a piece that lies in several stripes: it advances part by part, in order, as soon as the
 * chunks have arrived, so that no stripe has to wait for the others.
 *
 * Invariants: the parts before `nextStripe` have gone into the hash, or the last of them is on its way; one attempt has one Span, and what
 * is written for an attempt that failed counts for no other.
 */
import { CHUNK_BYTES, type Geometry } from './geometry.ts'
import type { Found, RunningCheck } from './piece-checks.ts'

export class Span {
  /** The hash was right. */
  verified = false
  /** Parts that are not on the volume. */
  unwritten: number
  /** The stripe of the part to be hashed next. */
  nextStripe: number
  readonly #geometry: Geometry
  readonly #piece: number
  readonly #check: RunningCheck
  /** Chunks received without a gap from the first. */
  #chunks = 0

  constructor(geometry: Geometry, piece: number, check: RunningCheck) {
    this.#check = check
    this.#geometry = geometry
    this.#piece = piece
    this.nextStripe = geometry.firstStripe(piece)
    this.unwritten = geometry.lastStripe(piece) - this.nextStripe + 1
  }

  /** Whether all of the next part has arrived. `hasChunk` says which chunks have. */
  hasNext(hasChunk: (chunk: number) => boolean): boolean {
    const chunkCount = this.#geometry.chunkCount(this.#piece)
    while (this.#chunks < chunkCount && hasChunk(this.#chunks)) this.#chunks++
    const length = this.#geometry.pieceLength(this.#piece)
    const start = this.#geometry.pieceOffset(this.#piece)
    const end = Math.min((this.nextStripe + 1) * this.#geometry.stripeBytes - start, length)
    return Math.min(this.#chunks * CHUNK_BYTES, length) >= end
  }

  /** A part is being hashed; the next one waits for it. */
  get busy(): boolean {
    return this.#check.busy
  }

  /** Hashes the next part; finds whether the piece is right when that was the last one. */
  take(bytes: Uint8Array, found: Found): void {
    this.nextStripe++
    this.#check.update(bytes, this.nextStripe > this.#geometry.lastStripe(this.#piece), found)
  }

  /** The try has failed, or is given up. */
  cancel(): void {
    this.#check.cancel()
  }
}
