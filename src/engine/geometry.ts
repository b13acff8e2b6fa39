/**
 * How one torrent is cut, four ways, over the same address space of `totalBytes`:
 *
 * ```
 * stripes   |       0       |       1       |    2     |   one filesystem block each (4 MiB)
 * pieces    | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |10|   what hashes cover
 * chunks    |'''|'''|'''|'''|'''|'''|'''|'''|'''|'''|''|   16 KiB, what one request asks for
 * extents   |       0       |       1       |    2     |   the pieces that begin in one stripe
 * ```
 *
 * A piece may be smaller than a stripe, as large, or larger, and need not be a power of two: then it
 * spans stripes, and a stripe at the seam belongs to two extents. A piece larger than a stripe is an
 * extent of its own.
 *
 * With v2 a piece is of one file and ends with it: what follows up to the next piece is filler, which is in
 * a stripe, but in no chunk. A filler may be as long as whole stripes, which are never opened then.
 *
 * Invariants: extents partition the pieces in order; every byte but filler is in one piece, one stripe, one
 * chunk; only the last piece, those that end in filler, and the last chunk of a piece are shorter than the
 * others; where there is filler, pieces and stripes are powers of two.
 */
import { assert, type Bitfield } from '../base/index.ts'

/** What one request asks for (BEP 3). */
export const CHUNK_BYTES = 16_384

/**
 * Stripes that are filled and written together where the disk is what one waits for: what lies together in
 * the torrent lies together on the disk then. Sixteen of 4 MiB are as long as the filesystem's own runs.
 */
export const RUN_STRIPES = 16
/** Elsewhere a torrent has so many runs: all its leechers would want the same at once, had it two. */
const RUNS = 8

export class Geometry {
  readonly totalBytes: number
  readonly pieceBytes: number
  readonly pieceCount: number
  readonly stripeBytes: number
  readonly stripeCount: number
  /** Of every piece but the last, which may have fewer. */
  readonly chunksPerPiece: number
  readonly extentCount: number
  /** `totalBytes` without filler. */
  readonly contentBytes: number
  readonly #short: ReadonlyMap<number, number>

  /** `short`: how much of the pieces that end in filler is content. */
  constructor(
    totalBytes: number,
    pieceBytes: number,
    stripeBytes: number,
    short: ReadonlyMap<number, number> = new Map(),
  ) {
    assert(Number.isSafeInteger(totalBytes) && totalBytes >= 0, `a torrent of ${totalBytes} bytes`)
    assert(Number.isSafeInteger(pieceBytes) && pieceBytes > 0, `pieces of ${pieceBytes} bytes`)
    assert(Number.isSafeInteger(stripeBytes) && stripeBytes > 0, `stripes of ${stripeBytes} bytes`)
    this.totalBytes = totalBytes
    this.pieceBytes = pieceBytes
    this.stripeBytes = stripeBytes
    this.pieceCount = Math.ceil(totalBytes / pieceBytes)
    this.stripeCount = Math.ceil(totalBytes / stripeBytes)
    this.chunksPerPiece = Math.ceil(pieceBytes / CHUNK_BYTES)
    this.extentCount = this.pieceCount === 0 ? 0 : this.extentOf(this.pieceCount - 1) + 1
    this.#short = short
    let contentBytes = totalBytes
    for (const [piece, length] of short) contentBytes -= this.wireLength(piece) - length
    this.contentBytes = contentBytes
  }

  /** Content of the pieces of a bitfield. */
  bytesOf(pieces: Bitfield): number {
    if (pieces.full) return this.contentBytes
    if (pieces.count === 0) return 0
    let bytes = pieces.count * this.pieceBytes
    const last = this.pieceCount - 1
    if (pieces.has(last)) bytes -= this.pieceBytes - this.wireLength(last)
    for (const [piece, length] of this.#short) {
      if (pieces.has(piece)) bytes -= this.wireLength(piece) - length
    }
    return bytes
  }

  pieceOffset(piece: number): number {
    return piece * this.pieceBytes
  }

  /** Of the content of a piece: what is hashed by v2, requested and stored. */
  pieceLength(piece: number): number {
    return this.#short.get(piece) ?? this.wireLength(piece)
  }

  /** Of a piece with its filler: what peers of v1 know. */
  wireLength(piece: number): number {
    return Math.min(this.pieceBytes, this.totalBytes - piece * this.pieceBytes)
  }

  chunkCount(piece: number): number {
    return Math.ceil(this.pieceLength(piece) / CHUNK_BYTES)
  }

  chunkLength(piece: number, chunk: number): number {
    return Math.min(CHUNK_BYTES, this.pieceLength(piece) - chunk * CHUNK_BYTES)
  }

  /** The chunk that a request for `length` bytes at `begin` of `piece` names exactly, or -1. */
  chunkAt(piece: number, begin: number, length: number): number {
    if (piece >= this.pieceCount || begin % CHUNK_BYTES !== 0) return -1
    const chunk = begin / CHUNK_BYTES
    if (chunk >= this.chunkCount(piece) || length !== this.chunkLength(piece, chunk)) return -1
    return chunk
  }

  extentOf(piece: number): number {
    if (this.pieceBytes >= this.stripeBytes) return piece
    return Math.floor((piece * this.pieceBytes) / this.stripeBytes)
  }

  firstPiece(extent: number): number {
    if (this.pieceBytes >= this.stripeBytes) return extent
    return Math.ceil((extent * this.stripeBytes) / this.pieceBytes)
  }

  /** The first piece after the extent. */
  endPiece(extent: number): number {
    return extent + 1 >= this.extentCount ? this.pieceCount : this.firstPiece(extent + 1)
  }

  /** Stripes of a short run: a torrent has RUNS of them, as far as it has stripes. */
  get shortRunStripes(): number {
    return Math.max(1, Math.min(RUN_STRIPES, Math.floor(this.stripeCount / RUNS)))
  }

  /** The number of the run of so many stripes that the extent's first stripe is in. */
  runOf(extent: number, runStripes: number): number {
    return Math.floor(this.firstStripe(this.firstPiece(extent)) / runStripes)
  }

  stripeLength(stripe: number): number {
    return Math.min(this.stripeBytes, this.totalBytes - stripe * this.stripeBytes)
  }

  firstStripe(piece: number): number {
    return Math.floor((piece * this.pieceBytes) / this.stripeBytes)
  }

  lastStripe(piece: number): number {
    const last = piece * this.pieceBytes + this.pieceLength(piece) - 1
    return Math.floor(last / this.stripeBytes)
  }

  firstPieceIn(stripe: number): number {
    return Math.floor((stripe * this.stripeBytes) / this.pieceBytes)
  }

  lastPieceIn(stripe: number): number {
    const last = stripe * this.stripeBytes + this.stripeLength(stripe) - 1
    return Math.floor(last / this.pieceBytes)
  }

  /** Most stripes that one extent touches. */
  get stripesPerExtent(): number {
    if (this.stripeBytes % this.pieceBytes === 0) return 1
    if (this.pieceBytes % this.stripeBytes === 0) return this.pieceBytes / this.stripeBytes
    return Math.max(2, Math.floor(this.pieceBytes / this.stripeBytes) + 2)
  }
}
