/**
 * Sets of pieces as words of 32 bits, and how many copies of each piece there are, by levels: one set of
 * the pieces with no copy, one of those with one, and so on, so that the rarest of what a peer offers is
 * found by looking at words.
 *
 * Invariants: a piece is in the one set of its number of copies; `sum` and `squares` are those of all numbers;
 * no number is negative.
 */
import { assert, below, type Random } from '../../src/base/index.ts'

export const wordsFor = (pieces: number): Uint32Array => new Uint32Array(Math.ceil(pieces / 32))

export const isIn = (set: Uint32Array, piece: number): boolean =>
  ((set[piece >>> 5]! >>> (piece & 31)) & 1) === 1

export function put(set: Uint32Array, piece: number): void {
  set[piece >>> 5]! |= 1 << (piece & 31)
}

export function drop(set: Uint32Array, piece: number): void {
  set[piece >>> 5]! &= ~(1 << (piece & 31))
}

/** Pieces that are in both. */
export function countBoth(a: Uint32Array, b: Uint32Array): number {
  let count = 0
  for (let i = 0; i < a.length; i++) {
    for (let rest = a[i]! & b[i]!; rest !== 0; rest &= rest - 1) count++
  }
  return count
}

/** A bit of a word that is not 0, the first at or behind a random place. */
export function anyBit(word: number, random: Random): number {
  const turn = random.uint32() & 31
  const turned = (word >>> turn) | (turn === 0 ? 0 : word << (32 - turn))
  return (lowestBit(turned) + turn) & 31
}

export const lowestBit = (word: number): number => 31 - Math.clz32(word & -word)

export class Copies {
  readonly pieceCount: number
  readonly of: Uint16Array
  readonly levels: Uint32Array[]
  readonly atLevel: Uint32Array
  sum = 0
  squares = 0

  constructor(pieceCount: number, most: number) {
    this.pieceCount = pieceCount
    this.of = new Uint16Array(pieceCount)
    this.levels = Array.from({ length: most + 1 }, () => wordsFor(pieceCount))
    this.atLevel = new Uint32Array(most + 1)
    for (let piece = 0; piece < pieceCount; piece++) put(this.levels[0]!, piece)
    this.atLevel[0] = pieceCount
  }

  add(piece: number): void {
    this.#move(piece, this.of[piece]! + 1)
  }

  remove(piece: number): void {
    assert(this.of[piece]! > 0, `piece ${piece} has fewer copies than none`)
    this.#move(piece, this.of[piece]! - 1)
  }

  get least(): number {
    return this.atLevel.findIndex((count) => count > 0)
  }

  get mean(): number {
    return this.sum / this.pieceCount
  }

  /** Standard deviation by mean; 0 where there is no copy. */
  get variation(): number {
    if (this.sum === 0) return 0
    const variance = this.squares / this.pieceCount - this.mean ** 2
    return Math.sqrt(Math.max(0, variance)) / this.mean
  }

  /** The level of the rarest piece that is offered and open, or -1. */
  leastOf(offered: Uint32Array, closed: Uint32Array): number {
    for (let level = 0; level < this.levels.length; level++) {
      if (this.atLevel[level] === 0) continue
      const set = this.levels[level]!
      for (let i = 0; i < set.length; i++) {
        if ((set[i]! & offered[i]! & ~closed[i]!) !== 0) return level
      }
    }
    return -1
  }

  /** One of the rarest pieces that are offered and open, by chance, or -1. */
  rarest(offered: Uint32Array, closed: Uint32Array, random: Random): number {
    for (let level = 0; level < this.levels.length; level++) {
      if (this.atLevel[level] === 0) continue
      const piece = anyOf(this.levels[level]!, offered, closed, random)
      if (piece >= 0) return piece
    }
    return -1
  }

  #move(piece: number, to: number): void {
    const from = this.of[piece]!
    drop(this.levels[from]!, piece)
    put(this.levels[to]!, piece)
    this.atLevel[from]!--
    this.atLevel[to]!++
    this.of[piece] = to
    this.sum += to - from
    this.squares += to * to - from * from
  }
}

/** Words tried by chance before all are walked. */
const TRIES = 4

/** A piece of `set` that is offered and open, by chance, or -1. */
export function anyOf(
  set: Uint32Array,
  offered: Uint32Array,
  closed: Uint32Array,
  random: Random,
): number {
  const words = set.length
  let at = 0
  for (let i = 0; i < TRIES; i++) {
    at = below(random, words)
    const word = set[at]! & offered[at]! & ~closed[at]!
    if (word !== 0) return at * 32 + anyBit(word, random)
  }
  for (let i = 0; i < words; i++) {
    at = at + 1 === words ? 0 : at + 1
    const word = set[at]! & offered[at]! & ~closed[at]!
    if (word !== 0) return at * 32 + anyBit(word, random)
  }
  return -1
}
