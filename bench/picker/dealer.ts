/**
 * What the seed suggests: to each peer that it serves other pieces that nobody has, so that each is sent once before any is
 * sent twice. The rule is that of src/engine/suggestions.ts, which hangs on connections and so cannot run here: as
 * much ahead as a slot sends in 3 s, 2 to 32 pieces; a slot moves on after two pieces while pieces are dealt.
 *
 * Invariant: a piece is dealt to one peer at a time, and only when nobody has it.
 */
import { below, type Random } from '../../src/base/index.ts'
import { type Copies, drop, isIn, put, wordsFor } from './copies.ts'

const AHEAD_S = 3
const MIN_PIECES = 2
const MAX_PIECES = 32

export class Dealer {
  readonly #copies: Copies
  readonly #pieceBytes: number
  readonly #dealt: Uint32Array
  readonly #deals: readonly Set<number>[]
  #next: number

  constructor(copies: Copies, pieceBytes: number, peers: number, random: Random) {
    this.#copies = copies
    this.#pieceBytes = pieceBytes
    this.#dealt = wordsFor(copies.pieceCount)
    this.#deals = Array.from({ length: peers }, () => new Set())
    this.#next = below(random, copies.pieceCount)
  }

  deal(to: number, rate: number, suggest: (piece: number) => void): void {
    const { pieceCount, of, atLevel } = this.#copies
    if (atLevel[0] === 0) return
    const deal = this.#deals[to]!
    const ahead = Math.ceil((rate * AHEAD_S) / this.#pieceBytes)
    const wanted = Math.min(MAX_PIECES, Math.max(MIN_PIECES, ahead))
    for (let i = 0; i < pieceCount && deal.size < wanted; i++) {
      const piece = this.#next
      this.#next = piece + 1 === pieceCount ? 0 : piece + 1
      if (of[piece]! > 0 || isIn(this.#dealt, piece)) continue
      put(this.#dealt, piece)
      deal.add(piece)
      suggest(piece)
    }
  }

  has(peer: number, piece: number): void {
    if (this.#deals[peer]!.delete(piece)) drop(this.#dealt, piece)
  }

  takeBack(peer: number): void {
    for (const piece of this.#deals[peer]!) drop(this.#dealt, piece)
    this.#deals[peer]!.clear()
  }

  /** How long a slot stays with a peer; undefined when nothing is dealt any more. */
  turnS(rate: number): number | undefined {
    return this.#copies.atLevel[0] === 0 ? undefined : (MIN_PIECES * this.#pieceBytes) / rate
  }
}
