/**
 * The hash of a piece that lies in several stripes: it advances part by part, in order, as soon as the
 * chunks have arrived, so that no stripe has to wait for the others.
 *
 * Invariants: the parts before `nextStripe` have gone into the hash; one attempt has one Span, and what
 * is written for an attempt that failed counts for no other.
 */
import type { PieceCheck, Verdict } from '../metainfo/index.ts'
import { CHUNK_BYTES, type Geometry } from './geometry.ts'

export class Span {
  /** The hash was right. */
  verified = false
  /** Parts that are not on the volume. */
  unwritten: number
  /** The stripe of the part to be hashed next. */
  nextStripe: number
  readonly #geometry: Geometry
  readonly #piece: number
  readonly #check: PieceCheck
  /** Chunks received without a gap from the first. */
  #chunks = 0

  constructor(geometry: Geometry, piece: number, check: PieceCheck) {
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

  /** Hashes the next part. The verdict on the piece when that was the last one. */
  take(bytes: Uint8Array): Verdict | undefined {
    this.#check.update(bytes)
    this.nextStripe++
    const isLast = this.nextStripe > this.#geometry.lastStripe(this.#piece)
    return isLast ? this.#check.verdict() : undefined
  }
}
