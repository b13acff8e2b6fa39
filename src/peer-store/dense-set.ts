/**
 * A set of up to 32768 peers without holes, with an index of two bytes a slot.
 *
 *     set: 0 count | 1 capacity | 2 log2 of the index's slots | 3 words in all | peers … | index …
 *     index slot, 16 bits: position + 1; 0 is empty; linear probing, at most 3/4 full
 *
 * A random peer is a random position; removal moves the last peer into the hole. All peers of a set have one role.
 *
 * Invariants: positions 0 … count-1 hold peers, each with exactly one slot, reachable from its home slot without
 * crossing an empty one.
 */

import type { Arena } from './arena.ts'
import type { Endpoint } from './endpoint.ts'
import type { BlockVisitor } from './layout.ts'
import * as layout from './layout.ts'
import type { SweepTerms } from './sweep-terms.ts'

const { MAX_DENSE, SET_CAPACITY, SET_COUNT } = layout

const BITS = 2
const WORDS = 3
const PEERS = 4
const FIRST_CAPACITY = 16

export class DenseSet {
  readonly #words: Int32Array
  readonly #arena: Arena
  readonly #endpoint: Endpoint
  readonly #peerWords: number

  constructor(words: Int32Array, arena: Arena, endpoint: Endpoint) {
    this.#words = words
    this.#arena = arena
    this.#endpoint = endpoint
    this.#peerWords = endpoint.peerWords
  }

  /** Address of the peer at a position. */
  peerAt(set: number, position: number): number {
    return set + PEERS + position * this.#peerWords
  }

  /** A new set with room for at least `least` peers; 0: no memory. */
  create(least: number): number {
    const capacity = Math.min(MAX_DENSE, Math.max(FIRST_CAPACITY, least))
    const bits = 32 - Math.clz32(Math.ceil((capacity * 4) / 3) - 1)
    const indexWords = 1 << (bits - 1)
    const size = PEERS + capacity * this.#peerWords + indexWords
    const set = this.#arena.allocate(size)
    if (set === 0) return 0
    const words = this.#words
    words[set + SET_COUNT] = 0
    words[set + SET_CAPACITY] = capacity
    words[set + BITS] = bits
    words[set + WORDS] = size
    words.fill(0, set + size - indexWords, set + size)
    return set
  }

  release(set: number): void {
    this.#arena.free(set, this.#words[set + WORDS]!)
  }

  visitBlocks(set: number, visit: BlockVisitor): void {
    visit(set, this.#words[set + WORDS]!)
  }

  /** A copy of `set` with room for at least `least`, which replaces it; 0: no memory, `set` stays. */
  resize(set: number, least: number): number {
    const to = this.create(least)
    if (to === 0) return 0
    const words = this.#words
    const count = words[set + SET_COUNT]!
    const from = set + PEERS
    words.copyWithin(to + PEERS, from, from + count * this.#peerWords)
    words[to + SET_COUNT] = count
    for (let position = 0; position < count; position++) this.#index(to, position)
    this.release(set)
    return to
  }

  /** Position of the endpoint, or -1. */
  find(set: number): number {
    const words = this.#words
    const bits = words[set + BITS]!
    const index = this.#indexOf(set)
    const mask = (1 << bits) - 1
    let slot = this.#endpoint.hash() >>> (32 - bits)
    // The bound holds when another thread changes the set under a reader without a lock.
    for (let probes = 0; probes < MAX_DENSE * 2; probes++) {
      const position = ((words[index + (slot >>> 1)]! >>> ((slot & 1) << 4)) & 0xffff) - 1
      if (position < 0) return -1
      if (this.#endpoint.isAt(set + PEERS + position * this.#peerWords)) return position
      slot = (slot + 1) & mask
    }
    return -1
  }

  /** Appends the endpoint, which is not there; there is room. */
  add(set: number, meta: number): void {
    const position = this.#words[set + SET_COUNT]!
    this.#endpoint.writeAt(this.peerAt(set, position), meta)
    this.#words[set + SET_COUNT] = position + 1
    this.#index(set, position)
  }

  /** Appends a copy of the peer at `from`; there is room. */
  addCopy(set: number, from: number): void {
    const position = this.#words[set + SET_COUNT]!
    this.#endpoint.copy(from, this.peerAt(set, position))
    this.#words[set + SET_COUNT] = position + 1
    this.#index(set, position)
  }

  remove(set: number, position: number): void {
    const last = this.#words[set + SET_COUNT]! - 1
    this.#unindex(set, position)
    if (position !== last) {
      const from = this.peerAt(set, last)
      this.#setSlot(set, this.#slotOf(set, last), position + 1)
      this.#endpoint.copy(from, this.peerAt(set, position))
    }
    this.#words[set + SET_COUNT] = last
  }

  /**
   * Drops peers among positions below `before`, from the last down, and looks at no more than `budget`. Returns where
   * to go on; 0: done. Downwards, because what a removal moves then was looked at already.
   */
  sweep(set: number, before: number, budget: number, terms: SweepTerms): number {
    let position = Math.min(before, this.#words[set + SET_COUNT]!)
    for (const end = Math.max(0, position - budget); position > end; ) {
      position--
      if (terms.drops(this.#endpoint.metaAt(this.peerAt(set, position)))) this.remove(set, position)
    }
    return position
  }

  #indexOf(set: number): number {
    return set + PEERS + this.#words[set + SET_CAPACITY]! * this.#peerWords
  }

  #slot(set: number, slot: number): number {
    return (this.#words[this.#indexOf(set) + (slot >>> 1)]! >>> ((slot & 1) << 4)) & 0xffff
  }

  #setSlot(set: number, slot: number, value: number): void {
    const at = this.#indexOf(set) + (slot >>> 1)
    const shift = (slot & 1) << 4
    this.#words[at] = (this.#words[at]! & ~(0xffff << shift)) | (value << shift)
  }

  #home(set: number, position: number): number {
    return this.#endpoint.hashAt(this.peerAt(set, position)) >>> (32 - this.#words[set + BITS]!)
  }

  #index(set: number, position: number): void {
    const mask = (1 << this.#words[set + BITS]!) - 1
    let slot = this.#home(set, position)
    while (this.#slot(set, slot) !== 0) slot = (slot + 1) & mask
    this.#setSlot(set, slot, position + 1)
  }

  #slotOf(set: number, position: number): number {
    const mask = (1 << this.#words[set + BITS]!) - 1
    let slot = this.#home(set, position)
    while (this.#slot(set, slot) !== position + 1) slot = (slot + 1) & mask
    return slot
  }

  /** Empties the slot of a position and shifts back what was displaced over it. */
  #unindex(set: number, position: number): void {
    const mask = (1 << this.#words[set + BITS]!) - 1
    let hole = this.#slotOf(set, position)
    for (let slot = (hole + 1) & mask; ; slot = (slot + 1) & mask) {
      const value = this.#slot(set, slot)
      if (value === 0) break
      const home = this.#home(set, value - 1)
      // It may move when its home does not lie between the hole and itself.
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue
      this.#setSlot(set, hole, value)
      hole = slot
    }
    this.#setSlot(set, hole, 0)
  }
}
