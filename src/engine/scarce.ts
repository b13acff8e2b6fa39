/**
 * What goes before the order of extents while the disk keeps up: pieces that next to nobody has. Leechers that fill their extents in ascending
 * order want the same pieces of the same seed as soon as they have caught up with each other; taken by rarity, from a place of
 * chance on, each fetches what the others lack. The extents are the same ones, and are written whole all the same.
 */
import { below, type Random } from '../base/index.ts'
import type { ActiveExtent } from './active-extent.ts'
import { mayAsk, type PickerPeer } from './picker-peer.ts'
import type { RarityIndex } from './rarity.ts'

/** Copies of a scarce piece, beside those of peers that have everything. */
export const SCARCE_COPIES = 2
/** Peers that lack something, below which nobody could trade. */
const MIN_LEECHERS = 2
/** Of a piece of which some chunks are asked for: it goes first, since nobody can pass it on before it is whole. */
const BEGUN = -1
/** Of a piece that the peer is not to be asked for. */
const CLOSED: number = Number.POSITIVE_INFINITY

type Take = (extent: ActiveExtent, piece: number) => boolean

export class Scarce {
  readonly #rarity: RarityIndex
  readonly #random: Random

  constructor(rarity: RarityIndex, random: Random) {
    this.#rarity = rarity
    this.#random = random
  }

  /** Whether rarity matters in a swarm of so many peers. */
  isPossible(peers: number): boolean {
    return peers - this.#rarity.seeds >= MIN_LEECHERS
  }

  /** The least copies of any piece of these extents that the peer can be asked for and nobody was; Infinity without any. */
  leastCopies(extents: readonly ActiveExtent[], peer: PickerPeer): number {
    let least = CLOSED
    for (const extent of extents) {
      if (extent.free === 0) continue
      for (let i = 0; i < extent.pieceCount; i++) {
        const rank = this.#rankOf(extent, i, peer)
        if (rank !== BEGUN && rank < least) least = rank
      }
    }
    return least
  }

  /** Has the pieces taken that were begun, then those with so many copies, until `take` answers false. */
  take(extents: readonly ActiveExtent[], peer: PickerPeer, copies: number, take: Take): void {
    if (this.#takeRank(extents, peer, BEGUN, take)) this.#takeRank(extents, peer, copies, take)
  }

  #takeRank(extents: readonly ActiveExtent[], peer: PickerPeer, rank: number, take: Take): boolean {
    const from = below(this.#random, extents.length)
    for (let e = 0; e < extents.length; e++) {
      const extent = extents[(from + e) % extents.length]!
      if (extent.free === 0) continue
      const first = below(this.#random, extent.pieceCount)
      for (let i = 0; i < extent.pieceCount; i++) {
        const index = (first + i) % extent.pieceCount
        if (this.#rankOf(extent, index, peer) !== rank) continue
        if (!take(extent, extent.firstPiece + index)) return false
      }
    }
    return true
  }

  #rankOf(extent: ActiveExtent, index: number, peer: PickerPeer): number {
    const piece = extent.firstPiece + index
    const free = extent.pieceFree[index]!
    if (free === 0 || !mayAsk(peer, piece)) return CLOSED
    return free < extent.geometry.chunkCount(piece) ? BEGUN : this.#rarity.copies(piece)
  }
}
