/**
 * Which chunks of a piece of v2 are wrong (BEP 52): the leaves of its tree, 16 KiB each, are asked of peers, prove themselves by the
 * hash of the piece, and are compared with what arrived. So one wrong chunk costs one chunk and names who sent it, where
 * SHA-1 knows only that something in the piece is wrong.
 *
 * ```
 * piece fails -- its leaves are known -----------> its wrong chunks
 *            `-- asked for -- they come ----------> its wrong chunks
 *                          `- not in WAIT_MS -----> undefined: all of it is in doubt
 * ```
 *
 * Invariants: at most MAX_PIECES are asked for, or remembered, at a time; a piece that waits is answered once; after `stop` no timer is left.
 */
import { createHash } from 'node:crypto'
import { bytesEqual, type Clock } from '../base/index.ts'
import {
  type HashRange,
  MERKLE_HASH_BYTES,
  type PieceHashes,
  provesRange,
} from '../metainfo/index.ts'
import type { Geometry } from './geometry.ts'
import type { HashJob } from './hash-requests.ts'
import { MAX_HASHES } from './wire/hashes.ts'

/** The piece is not asked for again meanwhile. */
const WAIT_MS = 5_000
const MAX_PIECES = 64

export interface LeafBlameHost {
  /** The bytes of a chunk as they arrived; undefined when they are in memory no more. */
  chunk(piece: number, chunk: number): Uint8Array | undefined
  /** Asks peers; false when nobody can be asked. */
  ask(job: HashJob): boolean
  /** Which chunks of a piece that waited are wrong; undefined when nobody said in time. */
  judged(piece: number, wrong: readonly number[] | undefined): void
}

export class LeafBlame {
  readonly #hashes: PieceHashes
  readonly #geometry: Geometry
  readonly #clock: Clock
  readonly #host: LeafBlameHost
  /** Proven leaves of pieces that have failed, the oldest first. */
  readonly #leaves = new Map<number, Uint8Array>()
  /** By piece: ends the wait. */
  readonly #waiting = new Map<number, () => void>()
  #stopped = false

  constructor(hashes: PieceHashes, geometry: Geometry, clock: Clock, host: LeafBlameHost) {
    this.#hashes = hashes
    this.#geometry = geometry
    this.#clock = clock
    this.#host = host
  }

  /** The piece failed: its wrong chunks, `wait` when `judged` will tell them, or undefined when they cannot be known. */
  failed(piece: number): readonly number[] | 'wait' | undefined {
    const leaves = this.#leaves.get(piece)
    if (leaves !== undefined) return this.#compare(piece, leaves)
    const mayAsk = !this.#stopped && this.#waiting.size < MAX_PIECES
    const job = mayAsk ? this.#jobOf(piece) : undefined
    if (job === undefined || this.#waiting.has(piece)) return undefined
    const cancel = this.#clock.after(WAIT_MS, () => {
      this.#waiting.delete(piece)
      this.#host.judged(piece, undefined)
    })
    this.#waiting.set(piece, cancel)
    if (this.#host.ask(job)) return 'wait'
    cancel()
    this.#waiting.delete(piece)
    return undefined
  }

  /** It is right now. */
  verified(piece: number): void {
    this.#leaves.delete(piece)
  }

  stop(): void {
    this.#stopped = true
    for (const cancel of this.#waiting.values()) cancel()
    this.#waiting.clear()
  }

  /** Undefined for v1, for a piece of one chunk, and for one of more leaves than are asked for at once. */
  #jobOf(piece: number): HashJob | undefined {
    const node = this.#hashes.merkleOf(piece)
    const file = this.#hashes.fileOf(piece)
    if (node === undefined || file === undefined || node.height === 0) return undefined
    const length = 2 ** node.height
    if (length > MAX_HASHES) return undefined
    const range: HashRange = { baseLayer: 0, index: file.index * length, length, proofLayers: 0 }
    const within = { ...range, index: 0 }
    return {
      root: file.root,
      range,
      isOver: () => !this.#waiting.has(piece),
      proves: (hashes) => provesRange(hashes, within, node.digest, node.height),
      take: (hashes) => this.#take(piece, Uint8Array.from(hashes)),
    }
  }

  #take(piece: number, leaves: Uint8Array): void {
    const cancel = this.#waiting.get(piece)
    if (cancel === undefined) return
    cancel()
    this.#waiting.delete(piece)
    this.#leaves.set(piece, leaves)
    if (this.#leaves.size > MAX_PIECES) this.#leaves.delete(this.#leaves.keys().next().value!)
    this.#host.judged(piece, this.#compare(piece, leaves))
  }

  #compare(piece: number, leaves: Uint8Array): readonly number[] | undefined {
    const wrong: number[] = []
    for (let chunk = 0; chunk < this.#geometry.chunkCount(piece); chunk++) {
      const bytes = this.#host.chunk(piece, chunk)
      if (bytes === undefined) return undefined
      const digest = createHash('sha256').update(bytes).digest()
      const from = chunk * MERKLE_HASH_BYTES
      if (!bytesEqual(digest, leaves.subarray(from, from + MERKLE_HASH_BYTES))) wrong.push(chunk)
    }
    // None, though the piece is wrong: the bytes are others by now.
    return wrong.length === 0 ? undefined : wrong
  }
}
