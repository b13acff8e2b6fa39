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
 * Chunks are numbered across the extent: `(piece - firstPiece) * chunksPerPiece + chunk` (`at`). A number
 * without a chunk (behind a short last piece, or in a piece that we have) is `absent`.
 *
 * Invariants (`check`): a free chunk has no owner; a requested one has one or two, different ones; of a received
 * one `owner` is the peer that delivered it; `free`, `left` and those of each piece are the counts their names say.
 */
import { assert, type Bitfield } from '../base/index.ts'
import type { Geometry } from './geometry.ts'

export const ChunkState = { absent: 0, free: 1, requested: 2, receiving: 3, received: 4 } as const

/** How long a piece that failed is one peer's alone. */
export const SOLE_MS = 60_000

/** No peer; the ids of peers begin at 1. */
export const NOBODY = 0

export class ActiveExtent {
  readonly geometry: Geometry
  readonly index: number
  readonly firstPiece: number
  readonly pieceCount: number
  readonly state: Uint8Array
  readonly owner: Int32Array
  /** Asked as well, because the owner is late or the end is near. */
  readonly second: Int32Array
  /** Was asked for it before and told to cancel; what it had sent by then is welcome. */
  readonly former: Int32Array
  /** When it was last asked for; when it began to arrive. */
  readonly sinceMs: Float64Array
  /** Chunks not received of each piece; 0 for a piece that we have. */
  readonly pieceLeft: Uint32Array
  /** Free chunks of each piece. */
  readonly pieceFree: Uint32Array
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
    this.geometry = geometry
    this.index = index
    this.firstPiece = geometry.firstPiece(index)
    this.pieceCount = geometry.endPiece(index) - this.firstPiece
    const chunks = this.pieceCount * geometry.chunksPerPiece
    this.state = new Uint8Array(chunks)
    this.owner = new Int32Array(chunks)
    this.second = new Int32Array(chunks)
    this.former = new Int32Array(chunks)
    this.sinceMs = new Float64Array(chunks)
    this.pieceLeft = new Uint32Array(this.pieceCount)
    this.pieceFree = new Uint32Array(this.pieceCount)
    this.openStripe = geometry.firstStripe(this.firstPiece)
    this.lastProgressMs = nowMs
    for (let i = 0; i < this.pieceCount; i++) {
      if (!have.has(this.firstPiece + i)) this.freePiece(this.firstPiece + i)
    }
  }

  at(piece: number, chunk: number): number {
    return (piece - this.firstPiece) * this.geometry.chunksPerPiece + chunk
  }

  pieceAt(at: number): number {
    return this.firstPiece + Math.floor(at / this.geometry.chunksPerPiece)
  }

  chunkAt(at: number): number {
    return at % this.geometry.chunksPerPiece
  }

  /** Every chunk of the piece is free (again). */
  freePiece(piece: number): void {
    const { geometry } = this
    const first = this.at(piece, 0)
    const count = geometry.chunkCount(piece)
    this.pieceLeft[piece - this.firstPiece] = count
    this.left += count
    for (let at = first; at < first + count; at++) this.#free(at)
    this.openStripe = Math.min(this.openStripe, geometry.firstStripe(piece))
  }

  /** A chunk that was received is free again. */
  freeChunk(at: number): void {
    this.pieceLeft[this.pieceAt(at) - this.firstPiece]!++
    this.left++
    this.#free(at)
  }

  #free(at: number): void {
    this.state[at] = ChunkState.free
    this.owner[at] = NOBODY
    this.second[at] = NOBODY
    this.former[at] = NOBODY
    this.pieceFree[this.pieceAt(at) - this.firstPiece]!++
    this.free++
    this.cursor = Math.min(this.cursor, at)
  }

  /** A free chunk is asked of the peer. */
  request(at: number, peer: number, nowMs: number): void {
    this.state[at] = ChunkState.requested
    this.owner[at] = peer
    this.sinceMs[at] = nowMs
    this.pieceFree[this.pieceAt(at) - this.firstPiece]!--
    this.free--
  }

  /** The chunk has arrived. */
  receive(at: number, nowMs: number): void {
    this.state[at] = ChunkState.received
    this.second[at] = NOBODY
    this.left--
    this.pieceLeft[this.pieceAt(at) - this.firstPiece]!--
    this.lastProgressMs = nowMs
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
    if (this.owner[at] === NOBODY) this.#free(at)
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

  /** Throws when an invariant does not hold. For tests: reads everything. */
  check(): void {
    const pieceFree = new Uint32Array(this.pieceCount)
    const pieceLeft = new Uint32Array(this.pieceCount)
    for (const [at, state] of this.state.entries()) {
      const piece = this.pieceAt(at) - this.firstPiece
      const owner = this.owner[at]!
      const second = this.second[at]!
      if (state !== ChunkState.absent && state !== ChunkState.received) pieceLeft[piece]!++
      if (state === ChunkState.free) {
        pieceFree[piece]!++
        assert(owner === NOBODY && second === NOBODY, 'a free chunk has an owner')
        assert(at >= this.cursor, 'a free chunk lies before the cursor')
      }
      if (state === ChunkState.requested || state === ChunkState.receiving) {
        assert(owner !== NOBODY && owner !== second, 'a requested chunk has no proper owner')
      }
    }
    const isSame = (counts: Uint32Array, kept: Uint32Array, sum: number): boolean =>
      counts.every((count, i) => count === kept[i]) && counts.reduce((a, b) => a + b, 0) === sum
    assert(isSame(pieceFree, this.pieceFree, this.free), 'an extent counts its free chunks wrong')
    assert(
      isSame(pieceLeft, this.pieceLeft, this.left),
      'an extent counts what is left of it wrong',
    )
  }
}
