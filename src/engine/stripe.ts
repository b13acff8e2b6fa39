/**
 * One stripe in memory: a buffer of one filesystem block, and how far each piece's part of it has come.
 *
 * ```
 * pieces    |   7   |   8   |   9   |        parts    absent -> fresh -> written
 * stripe       |       buffer       |                 (bytes may still change; final; on the volume)
 * ```
 *
 * Invariants:
 * - `pending` is the number of parts, claimed by an extent that downloads into the stripe, that are absent.
 * - `freshBytes` is the length of the fresh parts.
 * - A part's bytes do not change once it is fresh.
 */
import { assert } from '../base/index.ts'
import type { Geometry } from './geometry.ts'

/** State of a piece's part of a stripe: not there, there and to be written, there and written. */
export const Part = { absent: 0, fresh: 1, written: 2 } as const

/** Fresh parts to be written: their pieces, and the runs of the buffer that they make up. */
export interface FreshParts {
  readonly pieces: readonly number[]
  readonly runs: readonly { readonly from: number; readonly to: number }[]
}

export class Stripe {
  readonly index: number
  readonly buffer: Uint8Array
  readonly firstPiece: number
  pending = 0
  freshBytes = 0
  /** On its way to the disk. */
  writing = false
  /** When a part became ready last. */
  touchedMs: number
  /** When the part became ready that waits to be written for longest; of any use only while one does. */
  freshSinceMs: number
  readonly #geometry: Geometry
  readonly #isHad: (piece: number) => boolean
  readonly #parts: Uint8Array
  /** Extents that download into it. */
  #claims: number[] = []

  /** `isHad` says whether a piece was verified. */
  constructor(
    geometry: Geometry,
    index: number,
    buffer: Uint8Array,
    isHad: (piece: number) => boolean,
    nowMs: number,
  ) {
    this.#geometry = geometry
    this.#isHad = isHad
    this.index = index
    this.buffer = buffer
    this.firstPiece = geometry.firstPieceIn(index)
    this.#parts = new Uint8Array(geometry.lastPieceIn(index) - this.firstPiece + 1)
    this.touchedMs = nowMs
    this.freshSinceMs = nowMs
  }

  get claims(): readonly number[] {
    return this.#claims
  }

  /** Nothing in it is to be written or awaited. */
  get isSpent(): boolean {
    return this.pending === 0 && this.freshBytes === 0
  }

  /** No missing piece has a part in it that is absent. */
  get isWhole(): boolean {
    for (const [at, part] of this.#parts.entries()) {
      if (part === Part.absent && !this.#isHad(this.firstPiece + at)) return false
    }
    return true
  }

  /** The bytes of `piece` in the buffer. */
  bytesOf(piece: number): Uint8Array {
    const { stripeBytes } = this.#geometry
    const start = this.index * stripeBytes
    const from = Math.max(0, this.#geometry.pieceOffset(piece) - start)
    const to = this.#geometry.pieceOffset(piece) + this.#geometry.pieceLength(piece) - start
    return this.buffer.subarray(from, Math.min(to, stripeBytes))
  }

  /** The part of `piece` is final: it may be served from here. */
  isReady(piece: number): boolean {
    return this.#parts[piece - this.firstPiece] !== Part.absent
  }

  isClaimedBy(extent: number): boolean {
    return this.#claims.includes(extent)
  }

  /** The extent downloads into the stripe from now on. False when it did already. */
  claim(extent: number): boolean {
    if (this.#claims.includes(extent)) return false
    this.#claims.push(extent)
    this.pending += this.#absentOf(extent)
    return true
  }

  /** The extent does not download into it any more. False when it did not. */
  unclaim(extent: number): boolean {
    if (!this.#claims.includes(extent)) return false
    this.pending -= this.#absentOf(extent)
    this.#claims = this.#claims.filter((other) => other !== extent)
    return true
  }

  ready(piece: number, nowMs: number): void {
    const at = piece - this.firstPiece
    assert(this.#parts[at] === Part.absent, `piece ${piece} is ready twice`)
    this.#parts[at] = Part.fresh
    if (this.freshBytes === 0) this.freshSinceMs = nowMs
    this.freshBytes += this.bytesOf(piece).length
    this.pending--
    this.touchedMs = nowMs
  }

  /** What is here of the piece is not its content; it is awaited again. */
  forget(piece: number): void {
    const at = piece - this.firstPiece
    if (this.#parts[at] !== Part.fresh) return
    this.#parts[at] = Part.absent
    this.freshBytes -= this.bytesOf(piece).length
    this.pending++
  }

  /** Nothing more comes: only what was verified is left to be written. */
  keepVerified(): void {
    for (const [at, part] of this.#parts.entries()) {
      const piece = this.firstPiece + at
      if (part !== Part.fresh || this.#isHad(piece)) continue
      this.#parts[at] = Part.absent
      this.freshBytes -= this.bytesOf(piece).length
    }
    this.pending = 0
  }

  /** The fresh parts, written as far as this stripe is concerned; `verifiedOnly`: those of verified pieces. */
  takeFresh(verifiedOnly: boolean): FreshParts {
    let last = -1
    const pieces: number[] = []
    const runs: { from: number; to: number }[] = []
    for (const [at, part] of this.#parts.entries()) {
      const piece = this.firstPiece + at
      if (part !== Part.fresh || (verifiedOnly && !this.#isHad(piece))) continue
      const bytes = this.bytesOf(piece)
      const from = bytes.byteOffset - this.buffer.byteOffset
      const run = runs.at(-1)
      if (run !== undefined && last === at - 1) {
        // One write is better than two: filler between them goes along, as the zeros that it stands for.
        this.buffer.fill(0, run.to, from)
        run.to = from + bytes.length
      } else runs.push({ from, to: from + bytes.length })
      last = at
      this.#parts[at] = Part.written
      this.freshBytes -= bytes.length
      pieces.push(piece)
    }
    return { pieces, runs }
  }

  /** Missing pieces of the extent whose part of the stripe is absent. */
  #absentOf(extent: number): number {
    const first = Math.max(this.firstPiece, this.#geometry.firstPiece(extent))
    const end = Math.min(this.firstPiece + this.#parts.length, this.#geometry.endPiece(extent))
    let count = 0
    for (let piece = first; piece < end; piece++) {
      if (!this.#isHad(piece) && this.#parts[piece - this.firstPiece] === Part.absent) count++
    }
    return count
  }
}
