/**
 * An extent that is being downloaded: the state of each of its chunks.
 *
 * ```
 * free --request--> requested --first byte--> receiving --last byte--> received
 *   ^                |                          |                        |
 *   `----------------+--- its last owner goes --+                        |
 *   `------------------------------------------- the piece fails its hash, or the chunk its own
 * ```
 *
 * Chunks are numbered across the extent: `(piece - firstPiece) * chunksPerPiece + chunk`. A number
 * without a chunk (behind a short last piece, or in a piece that we have) is `absent`.
 *
 * Invariants: a free chunk has no owner; a requested one has one or two, different ones; of a received
 * one `owner` is the peer that delivered it; `free` and `left` are the counts their names say.
 */
import type { Bitfield } from '../base/index.ts'
import type { Geometry } from './geometry.ts'

export const ChunkState = { absent: 0, free: 1, requested: 2, receiving: 3, received: 4 } as const

/** How long a piece that failed is one peer's alone. */
export const SOLE_MS = 60_000

/** No peer; the ids of peers begin at 1. */
export const NOBODY = 0

export class ActiveExtent {
  readonly index: number
  readonly firstPiece: number
  readonly pieceCount: number
  readonly state: Uint8Array
  readonly owner: Int32Array
  /** Asked as well, because the owner is late or the end is near. */
  readonly second: Int32Array
  /** When it was last asked for; when it began to arrive. */
  readonly sinceMs: Float64Array
  /** Chunks not received of each piece; 0 for a piece that we have. */
  readonly pieceLeft: Uint32Array
  /** Free chunks. */
  free = 0
  /** Chunks not received. */
  left = 0
  /** No free chunk lies before it. */
  cursor = 0
  /** Stripes from the extent's first up to before this one have a buffer. */
  openStripe: number
  lastProgressMs: number
  /** Pieces that failed their hash, with the one peer that delivers them now, or nobody yet. */
  soles: Map<number, { peer: number; sinceMs: number }> | undefined
  /** Not worth looking for late chunks before. */
  nextLateScanMs = 0

  constructor(geometry: Geometry, have: Bitfield, index: number, nowMs: number) {
    this.index = index
    this.firstPiece = geometry.firstPiece(index)
    this.pieceCount = geometry.endPiece(index) - this.firstPiece
    const chunks = this.pieceCount * geometry.chunksPerPiece
    this.state = new Uint8Array(chunks)
    this.owner = new Int32Array(chunks)
    this.second = new Int32Array(chunks)
    this.sinceMs = new Float64Array(chunks)
    this.pieceLeft = new Uint32Array(this.pieceCount)
    this.openStripe = geometry.firstStripe(this.firstPiece)
    this.lastProgressMs = nowMs
    for (let i = 0; i < this.pieceCount; i++) {
      if (!have.has(this.firstPiece + i)) this.freePiece(geometry, this.firstPiece + i)
    }
  }

  /** Every chunk of the piece is free (again). */
  freePiece(geometry: Geometry, piece: number): void {
    const at = (piece - this.firstPiece) * geometry.chunksPerPiece
    const count = geometry.chunkCount(piece)
    for (let i = at; i < at + count; i++) {
      this.state[i] = ChunkState.free
      this.owner[i] = NOBODY
      this.second[i] = NOBODY
    }
    this.pieceLeft[piece - this.firstPiece] = count
    this.free += count
    this.left += count
    this.cursor = Math.min(this.cursor, at)
    this.openStripe = Math.min(this.openStripe, geometry.firstStripe(piece))
  }

  /** A chunk that was received is free again. */
  freeChunk(at: number, piece: number): void {
    this.state[at] = ChunkState.free
    this.owner[at] = NOBODY
    this.second[at] = NOBODY
    this.pieceLeft[piece - this.firstPiece]!++
    this.free++
    this.left++
    this.cursor = Math.min(this.cursor, at)
  }

  /** Takes one owner off a chunk that has not been received; it is free when nobody is left. */
  disown(at: number, peer: number): boolean {
    const state = this.state[at]
    if (state !== ChunkState.requested && state !== ChunkState.receiving) return false
    if (this.owner[at] === peer) {
      this.owner[at] = this.second[at]!
      // The one who was sending is the owner (`receive` sees to it): nobody is sending now.
      this.state[at] = ChunkState.requested
    } else if (this.second[at] !== peer) return false
    this.second[at] = NOBODY
    if (this.owner[at] === NOBODY) {
      this.state[at] = ChunkState.free
      this.free++
      this.cursor = Math.min(this.cursor, at)
    }
    return true
  }

  /** Whether the peer may deliver this piece, if it failed before: the first who asks gets all of it. */
  claim(piece: number, peer: number, nowMs: number): boolean {
    const sole = this.soles?.get(piece)
    if (sole === undefined || sole.peer === peer) return true
    if (sole.peer === NOBODY) {
      sole.peer = peer
      sole.sinceMs = nowMs
      return true
    }
    if (nowMs - sole.sinceMs < SOLE_MS) return false
    this.soles!.delete(piece)
    return true
  }
}
