/**
 * The pickers that are compared: what one downloader asks a given peer for next, a whole piece at a time.
 *
 * ```
 * random        any piece that the peer has and we lack
 * rarest        the one with the fewest copies, among equals by chance
 * affinity      what lies in an extent that was begun, else the rarest; at most `active` extents are remembered,
 *               and others are begun beside them (the rule of libtorrent's piece_extent_affinity)
 * guarded       the same, but only pieces with at most one copy more than the rarest on offer
 * extent        the engine's own `Picker` (src/engine/picker.ts): the code itself, not a copy of its rule
 * dealt         the same where the seed suggests (BEP 6) to each other pieces that nobody has, as the engine's does
 *               (src/engine/suggestions.ts; the swarm mirrors its rule)
 * sequential    the first
 * ```
 *
 * Nobody asks two peers for the same piece: end-game is left out of all alike, and nothing comes twice.
 * Invariant: a piece that was picked is not picked again until it was cancelled.
 */
import { assert, Bitfield, type Random } from '../../src/base/index.ts'
import { Geometry } from '../../src/engine/geometry.ts'
import { Picker } from '../../src/engine/picker.ts'
import { type PickerPeer, suggest } from '../../src/engine/picker-peer.ts'
import { anyOf, type Copies, drop, isIn, lowestBit, put, wordsFor } from './copies.ts'

export const STRATEGIES = [
  'random',
  'rarest',
  'affinity',
  'guarded',
  'extent',
  'dealt',
  'sequential',
] as const
export type Strategy = (typeof STRATEGIES)[number]

const STILL_MS = 0

const BOUNDED: ReadonlySet<Strategy> = new Set(['affinity', 'guarded', 'extent', 'dealt'])

/** Whether the number of active extents means something to it. */
export const isBounded = (strategy: Strategy): boolean => BOUNDED.has(strategy)

export interface Chooser {
  came(peer: number, has: Uint32Array): void
  left(peer: number): void
  has(peer: number, piece: number): void
  /** The peer would rather send this piece. */
  suggest(peer: number, piece: number): void
  /** A piece to ask of the peer, or -1. */
  pick(peer: number, has: Uint32Array): number
  received(peer: number, piece: number): void
  cancelled(peer: number, piece: number): void
}

export interface ChooserOptions {
  readonly strategy: Strategy
  readonly active: number
  readonly pieceCount: number
  readonly pieceBytes: number
  readonly stripeBytes: number
  /** What is had from the beginning, or not wanted. */
  readonly closed: Uint32Array
  /** Of the swarm. */
  readonly copies: Copies
  readonly random: Random
}

export const makeChooser = (options: ChooserOptions): Chooser =>
  options.strategy === 'extent' || options.strategy === 'dealt'
    ? new EngineChooser(options)
    : new PieceChooser(options)

/** Every picker but ours. */
class PieceChooser implements Chooser {
  readonly #options: ChooserOptions
  /** Had, not wanted, or asked for. */
  readonly #closed: Uint32Array
  readonly #all: Uint32Array
  readonly #perExtent: number
  /** Pieces of an extent that are to come. */
  readonly #left: Uint16Array
  #begun: number[] = []

  constructor(options: ChooserOptions) {
    this.#options = options
    this.#closed = options.closed.slice()
    this.#all = wordsFor(options.pieceCount)
    this.#perExtent = options.stripeBytes / options.pieceBytes
    this.#left = new Uint16Array(Math.ceil(options.pieceCount / this.#perExtent))
    for (let piece = 0; piece < options.pieceCount; piece++) {
      put(this.#all, piece)
      if (!isIn(this.#closed, piece)) this.#left[Math.floor(piece / this.#perExtent)]!++
    }
  }

  came(): void {}
  left(): void {}
  has(): void {}
  suggest(): void {}

  pick(_peer: number, has: Uint32Array): number {
    const piece = this.#choose(has)
    if (piece >= 0) put(this.#closed, piece)
    return piece
  }

  received(_peer: number, piece: number): void {
    const extent = Math.floor(piece / this.#perExtent)
    this.#left[extent]!--
    if (this.#left[extent] === 0) this.#begun = this.#begun.filter((begun) => begun !== extent)
  }

  cancelled(_peer: number, piece: number): void {
    drop(this.#closed, piece)
  }

  #choose(has: Uint32Array): number {
    const { strategy, copies, random, active } = this.#options
    if (strategy === 'random') return anyOf(this.#all, has, this.#closed, random)
    if (strategy === 'sequential') return this.#first(has)
    if (strategy === 'rarest') return copies.rarest(has, this.#closed, random)
    let most = Number.POSITIVE_INFINITY
    if (strategy === 'guarded') {
      const least = copies.leastOf(has, this.#closed)
      if (least < 0) return -1
      most = least + 1
    }
    for (const extent of this.#begun) {
      const first = extent * this.#perExtent
      for (let piece = first; piece < first + this.#perExtent; piece++) {
        if (isIn(has, piece) && !isIn(this.#closed, piece) && copies.of[piece]! <= most)
          return piece
      }
    }
    const piece = copies.rarest(has, this.#closed, random)
    if (piece < 0) return -1
    const extent = Math.floor(piece / this.#perExtent)
    if (this.#begun.length < active && !this.#begun.includes(extent)) this.#begun.push(extent)
    return piece
  }

  #first(has: Uint32Array): number {
    for (let i = 0; i < has.length; i++) {
      const word = has[i]! & ~this.#closed[i]!
      if (word !== 0) return i * 32 + lowestBit(word)
    }
    return -1
  }
}

/**
 * The engine's picker, with a buffer for every stripe that it begins; its chunks are taken a piece at a time. Its clock stands still, so that
 * nothing that was asked of one peer is asked of another.
 */
class EngineChooser implements Chooser {
  readonly #picker: Picker
  readonly #pieceCount: number
  readonly #peers = new Map<number, PickerPeer>()
  readonly #out: Int32Array
  readonly #chunks: number

  constructor({ pieceCount, pieceBytes, stripeBytes, closed, random, active }: ChooserOptions) {
    const geometry = new Geometry(pieceCount * pieceBytes, pieceBytes, stripeBytes)
    this.#pieceCount = pieceCount
    this.#chunks = geometry.chunksPerPiece
    this.#out = new Int32Array(2 * this.#chunks)
    this.#picker = new Picker({
      geometry,
      have: bitfieldOf(closed, pieceCount),
      random,
      admit: () => true,
      maxActive: active,
    })
  }

  came(peer: number, has: Uint32Array): void {
    this.#peers.set(peer, this.#picker.addPeer(bitfieldOf(has, this.#pieceCount)))
  }

  left(peer: number): void {
    this.#picker.removePeer(this.#peers.get(peer)!)
    this.#peers.delete(peer)
  }

  has(peer: number, piece: number): void {
    this.#picker.peerHas(this.#peers.get(peer)!, piece)
  }

  suggest(peer: number, piece: number): void {
    suggest(this.#peers.get(peer)!, piece)
  }

  pick(peer: number): number {
    const out = this.#out
    const count = this.#picker.pick(this.#peers.get(peer)!, this.#chunks, STILL_MS, out)
    if (count === 0) return -1
    const piece = out[0]!
    assert(count === this.#chunks && out[2 * count - 2] === piece, 'not one piece was picked')
    return piece
  }

  received(peer: number, piece: number): void {
    const from = this.#peers.get(peer)!
    for (let chunk = 0; chunk < this.#chunks; chunk++) {
      this.#picker.beginReceive(from, piece, chunk, STILL_MS)
      this.#picker.received(from, piece, chunk, STILL_MS)
    }
    this.#picker.pieceVerified(piece)
  }

  cancelled(peer: number, piece: number): void {
    const from = this.#peers.get(peer)!
    for (let chunk = 0; chunk < this.#chunks; chunk++) this.#picker.release(from, piece, chunk)
  }
}

function bitfieldOf(set: Uint32Array, length: number): Bitfield {
  const field = new Bitfield(length)
  for (let piece = 0; piece < length; piece++) if (isIn(set, piece)) field.set(piece)
  return field
}
