/**
 * A set of peers of one role, dense while it is small and in buckets when it is not.
 *
 * Sets move when they grow, shrink or change their kind: every call that changes one returns where it is now, and 0
 * stands for the empty set, which has no memory.
 *
 * Invariants: dense sets have at most MAX_DENSE peers; a bucket set that fell below BUCKETS_BELOW becomes dense when it settles.
 */

import type { Arena } from './arena.ts'
import { BucketSet } from './bucket-set.ts'
import { DenseSet } from './dense-set.ts'
import type { Endpoint } from './endpoint.ts'
import type { BlockVisitor } from './layout.ts'
import * as layout from './layout.ts'
import type { Sampler } from './sampler.ts'
import type { SweepTerms } from './sweep-terms.ts'

const { MAX_DENSE, SET_CAPACITY, SET_COUNT, SET_SWEEPING } = layout

const BUCKETS_BELOW = 8192
/** Random places tried for each peer wanted, before the rest is taken in a row: never seen but in garbage. */
const TRIES = 400

export class PeerSet {
  readonly dense: DenseSet
  readonly buckets: BucketSet
  readonly #words: Int32Array
  readonly #endpoint: Endpoint
  /** Addresses taken by `sampleBuckets`, open addressing; grows with the number wanted. */
  #taken = new Int32Array(512)

  constructor(words: Int32Array, arena: Arena, endpoint: Endpoint) {
    this.#words = words
    this.#endpoint = endpoint
    this.dense = new DenseSet(words, arena, endpoint)
    this.buckets = new BucketSet(words, arena, endpoint)
  }

  isDense(set: number): boolean {
    return this.#words[set + SET_CAPACITY]! >= 0
  }

  count(set: number): number {
    return set === 0 ? 0 : this.#words[set + SET_COUNT]!
  }

  /** Address of the endpoint's peer, or -1. */
  find(set: number): number {
    if (set === 0) return -1
    if (!this.isDense(set)) return this.buckets.find(set)
    const position = this.dense.find(set)
    return position < 0 ? -1 : this.dense.peerAt(set, position)
  }

  /** Adds the endpoint, which is not there. 0: no memory, and nothing was changed. */
  add(set: number, meta: number): number {
    const words = this.#words
    let to = set
    if (to === 0) {
      to = this.dense.create(0)
      if (to === 0) return 0
    } else if (!this.isDense(to)) {
      return this.buckets.add(to, meta) ? to : 0
    } else if (words[to + SET_COUNT]! >= words[to + SET_CAPACITY]!) {
      const capacity = words[to + SET_CAPACITY]!
      if (capacity < MAX_DENSE) {
        to = this.dense.resize(to, capacity + Math.max(8, capacity >>> 2))
      } else {
        to = this.#toBuckets(to)
        if (to === 0) return 0
        return this.buckets.add(to, meta) ? to : 0
      }
      if (to === 0) return 0
    }
    this.dense.add(to, meta)
    return to
  }

  /** Removes the peer at address `at`. Returns where the set is now; 0: it is empty. */
  remove(set: number, at: number): number {
    if (!this.isDense(set)) {
      this.buckets.remove(set, at)
    } else {
      this.dense.remove(set, (at - this.dense.peerAt(set, 0)) / this.#endpoint.peerWords)
    }
    return this.settle(set, 2)
  }

  /** Gives back what the set does not need any more; up to `most` buckets. */
  settle(set: number, most: number): number {
    const words = this.#words
    const count = words[set + SET_COUNT]!
    if (!this.isDense(set)) {
      if (words[set + SET_SWEEPING] !== 0) return set
      if (count > BUCKETS_BELOW) {
        this.buckets.settle(set, most)
        return set
      }
      if (count > 0) return this.#toDense(set) || set
    } else if (count > 0) {
      const capacity = words[set + SET_CAPACITY]!
      if (capacity <= 16 || count * 2 > capacity) return set
      return this.dense.resize(set, count + (count >>> 2)) || set
    }
    this.release(set)
    return 0
  }

  release(set: number): void {
    if (set === 0) return
    if (this.isDense(set)) this.dense.release(set)
    else this.buckets.release(set)
  }

  visitBlocks(set: number, visit: BlockVisitor): void {
    if (set === 0) return
    if (this.isDense(set)) this.dense.visitBlocks(set, visit)
    else this.buckets.visitBlocks(set, visit)
  }

  /**
   * Writes up to `wanted` addresses of different random peers, never that of `self`, to the sampler's `chosen`, and
   * returns how many.
   */
  sample(set: number, wanted: number, self: number, sampler: Sampler): number {
    const available = this.count(set) - (self >= 0 ? 1 : 0)
    const count = Math.min(wanted, available)
    if (count <= 0) return 0
    sampler.reserve(count)
    const chosen = sampler.chosen
    if (!this.isDense(set)) {
      if (count === available) return this.#allOfBuckets(set, count, self, chosen)
      return this.#sampleBuckets(set, count, self, sampler)
    }
    const first = this.dense.peerAt(set, 0)
    const { peerWords } = this.#endpoint
    const bound = Math.min(available, MAX_DENSE)
    // `self` or the last one is left out, so that the bound is of the others.
    sampler.choose(count, bound, first, peerWords, self, first + bound * peerWords)
    return count
  }

  /**
   * Sweeps on from `cursor` (0 at first) for about `budget` peers. Returns the next cursor, or -1 when it is done; the set stays
   * where it is, and must be settled after.
   */
  sweep(set: number, cursor: number, budget: number, terms: SweepTerms): number {
    if (!this.isDense(set)) return this.buckets.sweep(set, cursor, budget, terms)
    // The cursor counts what is left to see, so that 0 can mean both ends.
    const before = cursor === 0 ? MAX_DENSE : cursor
    const next = this.dense.sweep(set, before, budget, terms)
    return next === 0 ? -1 : next
  }

  #allOfBuckets(set: number, count: number, self: number, chosen: Int32Array): number {
    const words = this.#words
    const buckets = this.buckets.buckets(set)
    let found = 0
    // The bound holds when another thread changes the set under a reader without a lock: a bucket is two words of the memory at least.
    const end = Math.min(buckets, words.length >>> 1)
    for (let bucket = 0; bucket < end && found < count; bucket++) {
      const pair = this.buckets.pair(set, bucket)
      const peers = words[pair + 1]! & 0xffff
      let at = words[pair]! + 1
      for (let i = 0; i < peers && found < count; i++, at += this.#endpoint.peerWords) {
        if (at !== self) chosen[found++] = at
      }
    }
    return found
  }

  /** Random places, where one that is beyond its bucket, taken or `self` is drawn again. */
  #sampleBuckets(set: number, count: number, self: number, sampler: Sampler): number {
    const words = this.#words
    const { chosen } = sampler
    const taken = this.#emptyTaken(count)
    const mask = taken.length - 1
    const buckets = this.buckets.buckets(set)
    const largest = this.buckets.largest(set)
    // Written so that garbage under a reader without a lock fails it too.
    if (!(buckets > 0 && largest > 0)) return 0
    const peerWords = this.#endpoint.peerWords
    let found = 0
    for (let tries = count * TRIES; tries > 0 && found < count; tries--) {
      const pair = this.buckets.pair(set, sampler.below(buckets))
      const place = sampler.below(largest)
      if (place >= (words[pair + 1]! & 0xffff)) continue
      const at = words[pair]! + 1 + place * peerWords
      if (at === self) continue
      let slot = Math.imul(at, 0x9e3779b1) & mask
      while (taken[slot] !== 0 && taken[slot] !== at) slot = (slot + 1) & mask
      if (taken[slot] === at) continue
      taken[slot] = at
      chosen[found++] = at
    }
    return found
  }

  #emptyTaken(count: number): Int32Array {
    if (count * 2 > this.#taken.length) {
      this.#taken = new Int32Array(1 << (33 - Math.clz32(count)))
    } else {
      this.#taken.fill(0)
    }
    return this.#taken
  }

  #toBuckets(set: number): number {
    const count = this.#words[set + SET_COUNT]!
    const to = this.buckets.create(count)
    if (to === 0) return 0
    for (let position = 0; position < count; position++) {
      if (this.buckets.addCopy(to, this.dense.peerAt(set, position))) continue
      this.buckets.release(to)
      return 0
    }
    this.dense.release(set)
    return to
  }

  #toDense(set: number): number {
    const words = this.#words
    const count = words[set + SET_COUNT]!
    const to = this.dense.create(count + (count >>> 2))
    if (to === 0) return 0
    const buckets = this.buckets.buckets(set)
    for (let bucket = 0; bucket < buckets; bucket++) {
      const pair = this.buckets.pair(set, bucket)
      const end = words[pair + 1]! & 0xffff
      for (let i = 0; i < end; i++) {
        this.dense.addCopy(to, words[pair]! + 1 + i * this.#endpoint.peerWords)
      }
    }
    this.buckets.release(set)
    return to
  }
}
