/**
 * A set of any number of peers in hashed buckets: linear hashing, one bucket split or united at a time.
 *
 *     set: 0 count | 1 -1 | 2 buckets | 3 top | 4 words of top | 5 largest bucket ever | 6 being swept
 *          8 … 135: of each class, its last span and the blocks used in it
 *     top:       addresses of directory pages
 *     directory: 512 pairs: block, number of peers | class << 16
 *     block:     bucket number | peers, in no order
 *     span:      previous span of the class | - | blocks
 *
 * A bucket is one block of the class that its peers need. The blocks of a class lie in spans without a
 * gap: a block that is freed is overwritten by the last one of its class, whose bucket is told. So there
 * is no fragmentation, whatever buckets grow and shrink: the cost beyond the peers is 12 bytes a bucket
 * and the step from class to class, together 6 %.
 *
 * Buckets hold 64 peers on average, at most twice that and chance. A random peer is a random bucket and a
 * random place below the largest count ever, drawn again where the bucket is shorter: exactly uniform.
 *
 * Invariants: the bucket of a peer is the low bits of its hash, one bit fewer where that bucket does not exist yet; a block's number leads to
 * the pair that points at it; all peers have one role.
 */

import type { Arena } from './arena.ts'
import type { Endpoint } from './endpoint.ts'
import type { BlockVisitor } from './layout.ts'
import * as layout from './layout.ts'
import type { SweepTerms } from './sweep-terms.ts'

const { SET_CAPACITY, SET_COUNT, SET_SWEEPING } = layout

const BUCKETS = 2
const TOP = 3
const TOP_WORDS = 4
const LARGEST = 5
const CLASSES = 8
/** A span holds from 4 to 64 blocks; the number is the class. */
const LEAST_BLOCKS = 4
const MOST_BLOCKS = 64
const SET_WORDS: number = CLASSES + 2 * MOST_BLOCKS
const SPAN_HEADER = 2
const PAGE_SHIFT = 9
const PAGE_WORDS = 1024
const FIRST_TOP_WORDS = 16
const SPLIT_ABOVE = 64
const UNITE_BELOW = 44

export class BucketSet {
  /** Most peers of one bucket. */
  readonly bucketCapacity: number
  readonly #words: Int32Array
  readonly #arena: Arena
  readonly #endpoint: Endpoint
  readonly #peerWords: number
  readonly #spanWords: number
  readonly #blockWords = new Int32Array(MOST_BLOCKS + 1)
  /** The class of the smallest block that holds a number of peers. */
  readonly #classFor: Uint8Array

  constructor(words: Int32Array, arena: Arena, endpoint: Endpoint) {
    this.#words = words
    this.#arena = arena
    this.#endpoint = endpoint
    const peerWords = endpoint.peerWords
    this.#peerWords = peerWords
    this.#spanWords = endpoint.family === 4 ? 2048 : 8192
    const capacity = (blocks: number): number =>
      Math.floor((Math.floor((this.#spanWords - SPAN_HEADER) / blocks) - 1) / peerWords)
    for (let blocks = LEAST_BLOCKS; blocks <= MOST_BLOCKS; blocks++) {
      this.#blockWords[blocks] = Math.floor((this.#spanWords - SPAN_HEADER) / blocks)
    }
    this.bucketCapacity = capacity(LEAST_BLOCKS)
    this.#classFor = new Uint8Array(this.bucketCapacity + 1)
    for (let peers = 0, blocks = MOST_BLOCKS; peers <= this.bucketCapacity; peers++) {
      while (capacity(blocks) < peers) blocks--
      this.#classFor[peers] = blocks
    }
  }

  /** A set for about `expected` peers, empty; 0: no memory. */
  create(expected: number): number {
    const words = this.#words
    const set = this.#arena.allocate(SET_WORDS)
    if (set === 0) return 0
    words.fill(0, set, set + SET_WORDS)
    words[set + SET_CAPACITY] = -1
    const top = this.#arena.allocate(FIRST_TOP_WORDS)
    if (top === 0) {
      this.#arena.free(set, SET_WORDS)
      return 0
    }
    words[set + TOP] = top
    words[set + TOP_WORDS] = FIRST_TOP_WORDS
    const buckets = Math.max(1, Math.ceil(expected / SPLIT_ABOVE))
    while (words[set + BUCKETS]! < buckets) {
      if (!this.#addBucket(set)) {
        this.release(set)
        return 0
      }
    }
    return set
  }

  release(set: number): void {
    const words = this.#words
    for (let blocks = LEAST_BLOCKS; blocks <= MOST_BLOCKS; blocks++) {
      for (let span = words[set + CLASSES + 2 * (blocks - 1)]!; span !== 0; ) {
        const previous = words[span]!
        this.#arena.free(span, this.#spanWords)
        span = previous
      }
    }
    const top = words[set + TOP]!
    for (let page = 0; page < this.#pages(set); page++) {
      this.#arena.free(words[top + page]!, PAGE_WORDS)
    }
    this.#arena.free(top, words[set + TOP_WORDS]!)
    this.#arena.free(set, SET_WORDS)
  }

  visitBlocks(set: number, visit: BlockVisitor): void {
    const words = this.#words
    for (let blocks = LEAST_BLOCKS; blocks <= MOST_BLOCKS; blocks++) {
      for (let span = words[set + CLASSES + 2 * (blocks - 1)]!; span !== 0; span = words[span]!) {
        visit(span, this.#spanWords)
      }
    }
    const top = words[set + TOP]!
    for (let page = 0; page < this.#pages(set); page++) visit(words[top + page]!, PAGE_WORDS)
    visit(top, words[set + TOP_WORDS]!)
    visit(set, SET_WORDS)
  }

  buckets(set: number): number {
    return this.#words[set + BUCKETS]!
  }

  /** Address of the pair of a bucket: block, number of peers. */
  pair(set: number, bucket: number): number {
    const page = this.#words[this.#words[set + TOP]! + (bucket >>> PAGE_SHIFT)]!
    return page + ((bucket & 511) << 1)
  }

  /** Address of the endpoint's peer, or -1. */
  find(set: number): number {
    const words = this.#words
    const pair = this.pair(set, this.#bucketOf(set, this.#endpoint.hash()))
    const peerWords = this.#peerWords
    let at = words[pair]! + 1
    // The bound holds when another thread changes the set under a reader without a lock.
    const end = at + Math.min(words[pair + 1]! & 0xffff, this.bucketCapacity) * peerWords
    for (; at < end; at += peerWords) if (this.#endpoint.isAt(at)) return at
    return -1
  }

  /** Adds the endpoint, which is not there. False: no memory, or (never, under a secret key) no room. */
  add(set: number, meta: number): boolean {
    const at = this.#makePlace(set, this.#bucketOf(set, this.#endpoint.hash()))
    if (at === 0) return false
    this.#endpoint.writeAt(at, meta)
    const words = this.#words
    const count = words[set + SET_COUNT]! + 1
    words[set + SET_COUNT] = count
    if (count > words[set + BUCKETS]! * SPLIT_ABOVE) this.#split(set)
    return true
  }

  /** Adds a copy of the peer at `from`. */
  addCopy(set: number, from: number): boolean {
    const at = this.#makePlace(set, this.#bucketOf(set, this.#endpoint.hashAt(from)))
    if (at === 0) return false
    this.#endpoint.copy(from, at)
    this.#words[set + SET_COUNT] = this.#words[set + SET_COUNT]! + 1
    return true
  }

  /** Removes the peer at address `at`. */
  remove(set: number, at: number): void {
    this.#removeFrom(set, this.#bucketOf(set, this.#endpoint.hashAt(at)), at)
  }

  /** Unites buckets while there are too many, up to `most` times; not while the set is being swept. */
  settle(set: number, most: number): void {
    const words = this.#words
    for (let i = 0; i < most; i++) {
      if (words[set + SET_SWEEPING] !== 0) return
      if (words[set + SET_COUNT]! >= words[set + BUCKETS]! * UNITE_BELOW) return
      if (!this.#unite(set)) return
    }
  }

  /**
   * Sweeps buckets from `from` until `budget` peers were looked at; see DenseSet.sweep. Returns the next bucket, or
   * -1 after the last. Splits meanwhile put peers behind the cursor's way, where they are met; unions would not.
   */
  sweep(set: number, from: number, budget: number, terms: SweepTerms): number {
    const words = this.#words
    words[set + SET_SWEEPING] = 1
    let seen = 0
    for (let bucket = from; bucket < words[set + BUCKETS]!; bucket++) {
      if (seen >= budget) return bucket
      const pair = this.pair(set, bucket)
      const count = words[pair + 1]! & 0xffff
      seen += count + 1
      for (let i = count - 1; i >= 0; i--) {
        const at = words[pair]! + 1 + i * this.#peerWords
        if (terms.drops(this.#endpoint.metaAt(at))) this.#removeFrom(set, bucket, at)
      }
    }
    words[set + SET_SWEEPING] = 0
    return -1
  }

  /** The count that no bucket exceeds: bound for a random place. */
  largest(set: number): number {
    return this.#words[set + LARGEST]!
  }

  /** Of the directory. */
  #pages(set: number): number {
    return (this.#words[set + BUCKETS]! + 511) >>> PAGE_SHIFT
  }

  #bucketOf(set: number, hash: number): number {
    const buckets = this.#words[set + BUCKETS]!
    const mask = buckets === 1 ? 0 : 0xffffffff >>> Math.clz32(buckets - 1)
    const bucket = hash & mask
    return bucket < buckets ? bucket : bucket & (mask >>> 1)
  }

  /** The address of one more place in a bucket, counted already; 0: none. */
  #makePlace(set: number, bucket: number): number {
    const words = this.#words
    const pair = this.pair(set, bucket)
    const count = words[pair + 1]! & 0xffff
    if (count === this.bucketCapacity) return 0
    const wanted = this.#classFor[count + 1]!
    // A class is its number of blocks in a span: larger blocks, smaller number.
    if (count === 0 || wanted < words[pair + 1]! >>> 16) {
      if (!this.#moveBucket(set, bucket, pair, wanted)) return 0
    }
    words[pair + 1] = words[pair + 1]! + 1
    if (count >= words[set + LARGEST]!) words[set + LARGEST] = count + 1
    return words[pair]! + 1 + count * this.#peerWords
  }

  #removeFrom(set: number, bucket: number, at: number): void {
    const words = this.#words
    const pair = this.pair(set, bucket)
    const count = (words[pair + 1]! & 0xffff) - 1
    const last = words[pair]! + 1 + count * this.#peerWords
    if (at !== last) this.#endpoint.copy(last, at)
    words[pair + 1] = words[pair + 1]! - 1
    words[set + SET_COUNT] = words[set + SET_COUNT]! - 1
    this.#shrinkBucket(set, bucket, pair)
  }

  /** Two peers of slack, so that one who comes and goes does not make the block do so. */
  #shrinkBucket(set: number, bucket: number, pair: number): void {
    const words = this.#words
    const count = words[pair + 1]! & 0xffff
    const klass = words[pair + 1]! >>> 16
    if (count === 0) {
      if (words[pair] !== 0) this.#free(set, words[pair]!, klass)
      words[pair] = 0
      words[pair + 1] = 0
      return
    }
    const wanted = this.#classFor[Math.min(count + 2, this.bucketCapacity)]!
    // Without memory the block stays larger than it must be.
    if (wanted > klass) this.#moveBucket(set, bucket, pair, wanted)
  }

  /** Puts a bucket into a block of another class, or into its first. False: no memory. */
  #moveBucket(set: number, bucket: number, pair: number, klass: number): boolean {
    const words = this.#words
    const block = this.#allocate(set, klass)
    if (block === 0) return false
    const old = words[pair]!
    const count = words[pair + 1]! & 0xffff
    if (old !== 0) words.copyWithin(block, old, old + 1 + count * this.#peerWords)
    words[block] = bucket
    const oldClass = words[pair + 1]! >>> 16
    words[pair] = block
    words[pair + 1] = (klass << 16) | count
    if (old !== 0) this.#free(set, old, oldClass)
    return true
  }

  #allocate(set: number, klass: number): number {
    const words = this.#words
    const entry = set + CLASSES + 2 * (klass - 1)
    if (words[entry] === 0 || words[entry + 1] === klass) {
      const span = this.#arena.allocate(this.#spanWords)
      if (span === 0) return 0
      words[span] = words[entry]!
      words[entry] = span
      words[entry + 1] = 0
    }
    const used = words[entry + 1]!
    words[entry + 1] = used + 1
    return words[entry]! + SPAN_HEADER + used * this.#blockWords[klass]!
  }

  /** Moves the last block of the class into the hole: addresses of blocks do not hold over this call. */
  #free(set: number, block: number, klass: number): void {
    const words = this.#words
    const entry = set + CLASSES + 2 * (klass - 1)
    const span = words[entry]!
    const used = words[entry + 1]! - 1
    const size = this.#blockWords[klass]!
    const last = span + SPAN_HEADER + used * size
    if (block !== last) {
      words.copyWithin(block, last, last + size)
      words[this.pair(set, words[block]!)] = block
    }
    words[entry + 1] = used
    if (used > 0) return
    const previous = words[span]!
    this.#arena.free(span, this.#spanWords)
    words[entry] = previous
    words[entry + 1] = previous === 0 ? 0 : klass
  }

  #addBucket(set: number): boolean {
    const words = this.#words
    const bucket = words[set + BUCKETS]!
    if ((bucket & 511) === 0) {
      const page = bucket >>> PAGE_SHIFT
      if (page === words[set + TOP_WORDS] && !this.#growTop(set)) return false
      const address = this.#arena.allocate(PAGE_WORDS)
      if (address === 0) return false
      words.fill(0, address, address + PAGE_WORDS)
      words[words[set + TOP]! + page] = address
    }
    words[set + BUCKETS] = bucket + 1
    return true
  }

  #growTop(set: number): boolean {
    const words = this.#words
    const old = words[set + TOP]!
    const size = words[set + TOP_WORDS]!
    const top = this.#arena.allocate(size * 2)
    if (top === 0) return false
    words.copyWithin(top, old, old + size)
    this.#arena.free(old, size)
    words[set + TOP] = top
    words[set + TOP_WORDS] = size * 2
    return true
  }

  #dropBucket(set: number): void {
    const words = this.#words
    const bucket = words[set + BUCKETS]! - 1
    words[set + BUCKETS] = bucket
    if ((bucket & 511) !== 0) return
    this.#arena.free(words[words[set + TOP]! + (bucket >>> PAGE_SHIFT)]!, PAGE_WORDS)
  }

  /** Splits the bucket whose turn it is. Without memory buckets are longer for a while. */
  #split(set: number): void {
    const words = this.#words
    const bucket = words[set + BUCKETS]!
    const mask = 0xffffffff >>> Math.clz32(bucket)
    const partner = bucket & (mask >>> 1)
    if (!this.#addBucket(set)) return
    const pair = this.pair(set, bucket)
    const from = this.pair(set, partner)
    const peerWords = this.#peerWords
    let moving = 0
    const count = words[from + 1]! & 0xffff
    for (let i = 0; i < count; i++) {
      const at = words[from]! + 1 + i * peerWords
      if ((this.#endpoint.hashAt(at) & mask) === bucket) moving++
    }
    if (moving === 0) return
    if (!this.#moveBucket(set, bucket, pair, this.#classFor[moving]!)) {
      this.#dropBucket(set)
      return
    }
    const block = words[from]!
    const target = words[pair]! + 1
    let left = count
    let moved = 0
    for (let i = count - 1; i >= 0; i--) {
      const at = block + 1 + i * peerWords
      if ((this.#endpoint.hashAt(at) & mask) !== bucket) continue
      this.#endpoint.copy(at, target + moved * peerWords)
      moved++
      left--
      const last = block + 1 + left * peerWords
      if (at !== last) this.#endpoint.copy(last, at)
    }
    words[pair + 1] = words[pair + 1]! + moved
    words[from + 1] = words[from + 1]! - moved
    this.#shrinkBucket(set, partner, from)
  }

  /** Unites the last bucket with the one it came from. False: no memory, or they do not fit one. */
  #unite(set: number): boolean {
    const words = this.#words
    const bucket = words[set + BUCKETS]! - 1
    if (bucket === 0) return false
    const partner = bucket & (0x7fffffff >>> Math.clz32(bucket))
    const pair = this.pair(set, bucket)
    const to = this.pair(set, partner)
    const moving = words[pair + 1]! & 0xffff
    const count = words[to + 1]! & 0xffff
    if (moving > 0) {
      if (moving + count > this.bucketCapacity) return false
      const wanted = this.#classFor[moving + count]!
      if (
        (count === 0 || wanted < words[to + 1]! >>> 16) &&
        !this.#moveBucket(set, partner, to, wanted)
      ) {
        return false
      }
      const from = words[pair]! + 1
      const target = words[to]! + 1 + count * this.#peerWords
      words.copyWithin(target, from, from + moving * this.#peerWords)
      words[to + 1] = words[to + 1]! + moving
      if (moving + count > words[set + LARGEST]!) words[set + LARGEST] = moving + count
      const klass = words[pair + 1]! >>> 16
      this.#free(set, words[pair]!, klass)
    }
    words[pair] = 0
    words[pair + 1] = 0
    this.#dropBucket(set)
    return true
  }
}
