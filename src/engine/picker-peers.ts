/**
 * The peers that a picker knows, and who has what: counted into the rarity of pieces, and into what each can give us.
 *
 * Invariants (`check`):
 * - The rarity index counts every peer once: as a seed, or by its pieces.
 * - `wanted` of a peer is the number of pieces that it has and we lack.
 * - Who has lost a piece is never a seed again (`unsteady`).
 */
import { assert, type Bitfield } from '../base/index.ts'
import type { PickerPeer } from './picker-peer.ts'
import type { RarityIndex } from './rarity.ts'

export class PickerPeers {
  /** By their ids. */
  readonly byId: Map<number, PickerPeer> = new Map()
  readonly #have: Bitfield
  readonly #rarity: RarityIndex
  #nextId = 1

  /** `have` is what we have, or do not want; it is read alone. */
  constructor(have: Bitfield, rarity: RarityIndex) {
    this.#have = have
    this.#rarity = rarity
  }

  /** `has` is the peer's from now on: changed here alone. */
  add(has: Bitfield): PickerPeer {
    const peer: PickerPeer = {
      id: this.#nextId++,
      has,
      seed: has.full,
      unsteady: false,
      limit: undefined,
      suggested: [],
      wanted: 0,
      outstanding: 0,
      forsakenMs: undefined,
    }
    for (let i = 0; i < has.bytes.length; i++) {
      peer.wanted += BITS[has.bytes[i]! & ~this.#have.bytes[i]!]!
    }
    if (peer.seed) this.#rarity.addSeed()
    else this.#rarity.addPeer(has)
    this.byId.set(peer.id, peer)
    return peer
  }

  remove(peer: PickerPeer): void {
    if (peer.seed) this.#rarity.removeSeed()
    else this.#rarity.removePeer(peer.has)
    this.byId.delete(peer.id)
  }

  /** It has the piece. False when it had it before. */
  gained(peer: PickerPeer, piece: number): boolean {
    if (!peer.has.set(piece)) return false
    if (!this.#have.has(piece)) peer.wanted++
    this.#rarity.addHave(piece)
    if (peer.has.full && !peer.seed && !peer.unsteady) {
      this.#rarity.removePeer(peer.has)
      this.#rarity.addSeed()
      peer.seed = true
    }
    return true
  }

  /** It has the piece no more, which it had. */
  lost(peer: PickerPeer, piece: number): void {
    peer.unsteady = true
    if (peer.seed) {
      peer.seed = false
      this.#rarity.removeSeed()
      peer.has.clear(piece)
      this.#rarity.addPeer(peer.has)
    } else {
      peer.has.clear(piece)
      this.#rarity.removeHave(piece)
    }
    if (!this.#have.has(piece)) peer.wanted--
  }

  /** We have the piece now, and lacked it. */
  pieceHad(piece: number): void {
    this.#rarity.pieceHad(piece)
    for (const peer of this.byId.values()) if (peer.has.has(piece)) peer.wanted--
  }

  /** Throws when an invariant does not hold. For tests: reads everything. */
  check(): void {
    this.#rarity.check()
    for (const peer of this.byId.values()) {
      let wanted = 0
      for (let piece = 0; piece < this.#have.length; piece++) {
        if (peer.has.has(piece) && !this.#have.has(piece)) wanted++
      }
      assert(peer.wanted === wanted, 'a peer is wanted for another number of pieces')
      assert(!(peer.seed && peer.unsteady), 'a peer that has lost a piece is counted as a seed')
    }
  }
}

/** Set bits of a byte. */
const BITS: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => {
  let bits = 0
  for (let rest = byte; rest !== 0; rest &= rest - 1) bits++
  return bits
})
