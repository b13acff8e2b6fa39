/**
 * Which extent is the rarest: for every extent the smallest availability among its missing pieces,
 * and the extents in buckets by it.
 *
 * ```
 * bucket   1: 17 4        extents whose rarest missing piece one peer has
 *          2: 9           (peers that have everything are counted apart, in `seeds`: they change
 *          3: 0 2 11 …     no order)
 * ```
 *
 * Invariants (`check`):
 * - An extent is in the bucket of its rarity, once, unless it is taken, or nothing of it is missing,
 *   or no peer has anything of what is missing.
 * - Rarity is the least availability of its missing pieces; pieces that nobody has do not count.
 *
 * A have costs O(1) amortised: an extent's pieces are read again only when the last of its rarest got
 * another copy. A peer that comes or goes costs O(pieces).
 */
import { assert, type Bitfield, below, type Random } from '../base/index.ts'
import type { Geometry } from './geometry.ts'

const NONE = -1
/** Extents tried in the buckets before a peer with little is searched by its own pieces. */
const TRIES = 256

export class RarityIndex {
  /** Peers that have everything. */
  seeds = 0
  readonly #geometry: Geometry
  readonly #have: Bitfield
  readonly #random: Random
  /** Copies of each piece among the peers that have not everything. */
  readonly #availability: Uint32Array
  readonly #rarity: Int32Array
  /** Missing pieces of the extent whose availability is its rarity. */
  readonly #rarest: Uint32Array
  readonly #taken: Uint8Array
  readonly #buckets: number[][] = []
  /** Place in its bucket. */
  readonly #place: Int32Array

  /** `have` is read, never changed: tell `pieceHad` after setting a bit. */
  constructor(geometry: Geometry, have: Bitfield, random: Random) {
    this.#geometry = geometry
    this.#have = have
    this.#random = random
    this.#availability = new Uint32Array(geometry.pieceCount)
    this.#rarity = new Int32Array(geometry.extentCount).fill(NONE)
    this.#rarest = new Uint32Array(geometry.extentCount)
    this.#taken = new Uint8Array(geometry.extentCount)
    this.#place = new Int32Array(geometry.extentCount)
  }

  /** Copies of the piece among the peers, seeds included. */
  availability(piece: number): number {
    return this.#availability[piece]! + this.seeds
  }

  /** Copies of the piece among the peers that have not everything. */
  copies(piece: number): number {
    return this.#availability[piece]!
  }

  /** Of the extent's rarest missing piece, among the peers that have not everything. */
  leastCopies(extent: number): number {
    return this.#rarity[extent]!
  }

  addSeed(): void {
    this.seeds++
    if (this.seeds === 1) this.#rebuild()
  }

  removeSeed(): void {
    assert(this.seeds > 0, 'a seed left that never came')
    this.seeds--
    if (this.seeds === 0) this.#rebuild()
  }

  addPeer(has: Bitfield): void {
    if (has.count === 0) return
    for (let piece = 0; piece < has.length; piece++) {
      if (has.has(piece)) this.#availability[piece]!++
    }
    this.#rebuild()
  }

  removePeer(has: Bitfield): void {
    if (has.count === 0) return
    for (let piece = 0; piece < has.length; piece++) {
      if (has.has(piece)) this.#availability[piece]!--
    }
    this.#rebuild()
  }

  /** One more peer has `piece`. */
  addHave(piece: number): void {
    const before = this.#availability[piece]!++
    if (this.#have.has(piece)) return
    const extent = this.#geometry.extentOf(piece)
    if (before < this.#floor) {
      // Nobody had it: it counts from now on.
      this.#join(extent, before + 1)
    } else if (before === this.#rarity[extent]) {
      this.#rarest[extent]!--
      if (this.#rarest[extent] === 0) this.#refresh(extent)
    }
  }

  /** One peer less has `piece`. O(pieces of the extent). */
  removeHave(piece: number): void {
    this.#availability[piece]!--
    if (!this.#have.has(piece)) this.#refresh(this.#geometry.extentOf(piece))
  }

  /** We have `piece` now. */
  pieceHad(piece: number): void {
    const extent = this.#geometry.extentOf(piece)
    if (this.#availability[piece] !== this.#rarity[extent]) return
    this.#rarest[extent]!--
    if (this.#rarest[extent] === 0) this.#refresh(extent)
  }

  /** Takes the extent out of the choice, or puts it back. */
  setTaken(extent: number, taken: boolean): void {
    if ((this.#taken[extent] === 1) === taken) return
    if (taken) this.#unlist(extent)
    this.#taken[extent] = taken ? 1 : 0
    if (!taken) this.#list(extent)
  }

  isRarer(extent: number, other: number): boolean {
    return this.#rarity[extent]! < this.#rarity[other]!
  }

  /** Something of the extent is missing and can be had, and nobody has taken it. */
  isOpen(extent: number): boolean {
    return this.#taken[extent] === 0 && this.#rarity[extent] !== NONE
  }

  /** The peer has a piece of the extent that we lack. */
  isOffered(has: Bitfield, extent: number): boolean {
    return this.#offers(has, extent)
  }

  /**
   * The rarest extent of which the peer has a missing piece, or -1. Among equally rare ones the one
   * after `near` wins, then the one before it, then chance.
   */
  choose(has: Bitfield, near: number): number {
    let tries = TRIES
    for (let rarity = 0; rarity < this.#buckets.length; rarity++) {
      const bucket = this.#buckets[rarity]!
      if (bucket.length === 0) continue
      if (this.#isListed(near + 1, rarity) && this.#offers(has, near + 1)) return near + 1
      if (this.#isListed(near - 1, rarity) && this.#offers(has, near - 1)) return near - 1
      let at = below(this.#random, bucket.length)
      for (let i = 0; i < bucket.length; i++) {
        if (tries-- === 0) return this.#search(has)
        const extent = bucket[at]!
        if (this.#offers(has, extent)) return extent
        at = at + 1 === bucket.length ? 0 : at + 1
      }
    }
    return NONE
  }

  /** Whether the one is as rare as the other, or rarer. */
  isAsRare(extent: number, other: number): boolean {
    return this.#rarity[extent] !== NONE && this.#rarity[extent]! <= this.#rarity[other]!
  }

  /** The rarest of what a peer with little offers, by walking its pieces. */
  #search(has: Bitfield): number {
    let best = NONE
    const mine = this.#have.bytes
    for (let i = 0; i < mine.length; i++) {
      if ((has.bytes[i]! & ~mine[i]!) === 0) continue
      for (let piece = i * 8; piece < Math.min(i * 8 + 8, has.length); piece++) {
        if (!has.has(piece) || this.#have.has(piece)) continue
        const extent = this.#geometry.extentOf(piece)
        if (this.#taken[extent] === 1 || extent === best) continue
        if (best === NONE || this.#rarity[extent]! < this.#rarity[best]!) best = extent
      }
    }
    return best
  }

  #isListed(extent: number, rarity: number): boolean {
    if (extent < 0 || extent >= this.#rarity.length) return false
    return this.#taken[extent] === 0 && this.#rarity[extent] === rarity
  }

  #offers(has: Bitfield, extent: number): boolean {
    const end = this.#geometry.endPiece(extent)
    for (let piece = this.#geometry.firstPiece(extent); piece < end; piece++) {
      if (has.has(piece) && !this.#have.has(piece)) return true
    }
    return false
  }

  /** Below this availability a piece does not count: nobody has it. */
  get #floor(): number {
    return this.seeds > 0 ? 0 : 1
  }

  #rebuild(): void {
    this.#buckets.length = 0
    for (let extent = 0; extent < this.#rarity.length; extent++) {
      this.#measure(extent)
      this.#list(extent)
    }
  }

  /** Reads the extent's pieces again. */
  #measure(extent: number): void {
    const floor = this.#floor
    let rarity: number = NONE
    let rarest = 0
    const end = this.#geometry.endPiece(extent)
    for (let piece = this.#geometry.firstPiece(extent); piece < end; piece++) {
      if (this.#have.has(piece)) continue
      const copies = this.#availability[piece]!
      if (copies < floor) continue
      if (rarity === NONE || copies < rarity) {
        rarity = copies
        rarest = 1
      } else if (copies === rarity) rarest++
    }
    this.#rarity[extent] = rarity
    this.#rarest[extent] = rarest
  }

  #refresh(extent: number): void {
    this.#unlist(extent)
    this.#measure(extent)
    this.#list(extent)
  }

  /** A missing piece of the extent has got its first copy, which makes `copies`. */
  #join(extent: number, copies: number): void {
    const rarity = this.#rarity[extent]!
    if (rarity === copies) {
      this.#rarest[extent]!++
    } else if (rarity === NONE || copies < rarity) {
      this.#unlist(extent)
      this.#rarity[extent] = copies
      this.#rarest[extent] = 1
      this.#list(extent)
    }
  }

  #list(extent: number): void {
    const rarity = this.#rarity[extent]!
    if (rarity === NONE || this.#taken[extent] === 1) return
    while (this.#buckets.length <= rarity) this.#buckets.push([])
    this.#place[extent] = this.#buckets[rarity]!.push(extent) - 1
  }

  #unlist(extent: number): void {
    const rarity = this.#rarity[extent]!
    if (rarity === NONE || this.#taken[extent] === 1) return
    const bucket = this.#buckets[rarity]!
    const last = bucket.pop()!
    if (last === extent) return
    const place = this.#place[extent]!
    bucket[place] = last
    this.#place[last] = place
  }

  /** Throws when an invariant does not hold. For tests: reads everything. */
  check(): void {
    let listed = 0
    for (const [rarity, bucket] of this.#buckets.entries()) {
      for (const [place, extent] of bucket.entries()) {
        assert(this.#place[extent] === place, `extent ${extent} is not where it says`)
        assert(this.#rarity[extent] === rarity, `extent ${extent} is in the bucket of another`)
        assert(this.#taken[extent] === 0, `extent ${extent} is listed and taken`)
        listed++
      }
    }
    for (let extent = 0; extent < this.#rarity.length; extent++) {
      const rarity = this.#rarity[extent]
      const rarest = this.#rarest[extent]
      this.#measure(extent)
      assert(rarity === this.#rarity[extent], `extent ${extent} has another rarity`)
      assert(rarest === this.#rarest[extent], `extent ${extent} has another count of rarest pieces`)
      if (rarity !== NONE && this.#taken[extent] === 0) listed--
    }
    assert(listed === 0, 'an extent is listed twice or not at all')
  }
}
