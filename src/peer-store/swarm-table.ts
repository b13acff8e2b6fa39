/**
 * The swarms of a shard: an extendible hash table whose records lie where their hash says.
 *
 *     directory: 2^depth entries, chosen by the hash bits after those that chose the shard
 *                entry = address of a segment (a multiple of 8) + its size class
 *     segment:   8 words: local depth | used | …;   then 7, 15, 31, 50, 63, 84, 101 or 127 records
 *     record, 8 words: 0…4 info-hash
 *                      5, 6  IPv4: address | port, age, role          one peer, inline
 *                            or    block address | NO_AGE             none or several (swarm-peers.ts)
 *                      7     IPv6: block address
 *     free record: word 6 is 0 (an age never is)
 *
 * A record lies at or after the place that the other half of the hash says: linear probing, at most 17/20
 * full. The class in the entry saves looking at the segment's head: a lookup misses the cache once, and a neighbour now and then.
 * A full segment takes the next class, and the largest splits in two: growth copies 4 KiB, never the whole table. Deletion shifts back, so
 * there are no tombstones; segments shrink and unite as they empty.
 *
 * Invariants: a swarm's record is reached from its home without crossing a free one; a segment of local depth l stands in
 * 2^(depth - l) entries in a row; the shard's line counts the segments whose local depth is the directory's.
 */

import * as age from './age.ts'
import type { Arena } from './arena.ts'
import type { KeyedHash } from './keyed-hash.ts'
import type { BlockVisitor } from './layout.ts'
import * as layout from './layout.ts'
import { SwarmKey } from './swarm-key.ts'

const { NO_AGE } = age
const {
  RECORD_SHIFT,
  RECORD_WORDS,
  R_META4,
  R_PEERS4,
  R_PEERS6,
  SHARD_WORDS,
  S_DEEPEST,
  S_DEPTH,
  S_DIRECTORY,
  S_ENTRY,
} = layout

const LOCAL_DEPTH = 0
const USED = 1
const CAPACITIES = Int32Array.of(7, 15, 31, 50, 63, 84, 101, 127)
const LIMITS: Int32Array = CAPACITIES.map((capacity) => Math.floor((capacity * 17) / 20))
const LAST_CLASS = 7
const MAX_DEPTH = 20

export class SwarmTable extends SwarmKey {
  readonly #words: Int32Array
  readonly #arena: Arena
  readonly #hash: KeyedHash
  constructor(words: Int32Array, arena: Arena, hash: KeyedHash, shards: number, shardBits: number) {
    super(hash, shards, shardBits)
    this.#words = words
    this.#arena = arena
    this.#hash = hash
  }

  /** Makes the empty table of a shard. False: no memory. */
  create(shard: number): boolean {
    const segment = this.#newSegment(0, 0)
    if (segment === 0) return false
    this.#words[shard + S_DEPTH] = 0
    this.#words[shard + S_DIRECTORY] = shard + S_ENTRY
    this.#words[shard + S_ENTRY] = segment
    this.#words[shard + S_DEEPEST] = 1
    return true
  }

  /** Takes in the info-hash of a record. */
  enterRecord(record: number): void {
    this.enterWords(this.#words, record)
  }

  /** The record of the info-hash at hand, or 0. Safe without a lock, if the result is then thrown away. */
  find(): number {
    const words = this.#words
    const entry = words[this.#entry()]!
    const slot = Math.imul(this.home, CAPACITIES[entry & 7]!) >>> 16
    const record = ((entry & -8) + RECORD_WORDS + (slot << RECORD_SHIFT)) | 0
    if (words[(record + R_META4) | 0] === 0) return 0
    // Most lie at home.
    if (
      words[record] === this.a &&
      words[(record + 1) | 0] === this.b &&
      words[(record + 2) | 0] === this.c &&
      words[(record + 3) | 0] === this.d &&
      words[(record + 4) | 0] === this.e
    ) {
      return record
    }
    return this.#findAfter(record, entry)
  }

  #findAfter(home: number, entry: number): number {
    const words = this.#words
    const { a, b, c, d, e } = this
    const capacity = CAPACITIES[entry & 7]!
    const first = ((entry & -8) + RECORD_WORDS) | 0
    const end = (first + (capacity << RECORD_SHIFT)) | 0
    let record = home
    for (let probes = 1; probes < capacity; probes++) {
      record = (record + RECORD_WORDS) | 0
      if (record === end) record = first
      if (words[(record + R_META4) | 0] === 0) return 0
      if (
        words[record] === a &&
        words[(record + 1) | 0] === b &&
        words[(record + 2) | 0] === c &&
        words[(record + 3) | 0] === d &&
        words[(record + 4) | 0] === e
      ) {
        return record
      }
    }
    return 0
  }

  /** The word at which `find` will begin: to be touched beforehand. */
  touch(): number {
    const entry = this.#words[this.#entry()]!
    const slot = Math.imul(this.home, CAPACITIES[entry & 7]!) >>> 16
    return (entry & -8) + RECORD_WORDS + (slot << RECORD_SHIFT)
  }

  /** How many records after its home the record of the info-hash at hand lies: for measurements. */
  distance(record: number): number {
    const entry = this.#words[this.#entry()]!
    const capacity = CAPACITIES[entry & 7]!
    const slot = (record - (entry & -8) - RECORD_WORDS) >>> RECORD_SHIFT
    const home = Math.imul(this.home, capacity) >>> 16
    return slot - home + (slot < home ? capacity : 0)
  }

  /** A record without peers for the info-hash at hand, which is not there. 0: no memory. */
  insert(): number {
    const words = this.#words
    for (;;) {
      const at = this.#entry()
      const entry = words[at]!
      const segment = entry & -8
      const klass = entry & 7
      const used = words[segment + USED]!
      if (used < LIMITS[klass]! || !this.#grow(entry)) {
        // Without memory a segment may fill up, but for the free record at which searches end.
        if (used + 1 >= CAPACITIES[klass]!) return 0
        words[segment + USED] = used + 1
        const record = this.#place(segment, klass, this.home)
        words[record] = this.a
        words[record + 1] = this.b
        words[record + 2] = this.c
        words[record + 3] = this.d
        words[record + 4] = this.e
        words[record + R_PEERS4] = 0
        words[record + R_META4] = NO_AGE
        words[record + R_PEERS6] = 0
        return record
      }
    }
  }

  /** Removes the record of the info-hash at hand. Other records move. */
  remove(removed: number): void {
    const words = this.#words
    const entry = words[this.#entry()]!
    const segment = entry & -8
    const capacity = CAPACITIES[entry & 7]!
    const first = segment + RECORD_WORDS
    let hole = (removed - first) >>> RECORD_SHIFT
    for (let slot = hole + 1; ; slot++) {
      if (slot === capacity) slot = 0
      const record = first + (slot << RECORD_SHIFT)
      if (words[record + R_META4] === 0) break
      this.#hashRecord(record)
      const home = Math.imul(this.#hash.low >>> 16, capacity) >>> 16
      const fromHome = slot - home + (slot < home ? capacity : 0)
      const fromHole = slot - hole + (slot < hole ? capacity : 0)
      if (fromHome < fromHole) continue
      this.#copyRecord(record, first + (hole << RECORD_SHIFT))
      hole = slot
    }
    words[first + (hole << RECORD_SHIFT) + R_META4] = 0
    const used = words[segment + USED]! - 1
    words[segment + USED] = used
    if (used * 4 <= capacity) this.#shrink()
  }

  /** The entry of the segment that holds `position`, a prefix of the hash bits after the shard's, as uint32. */
  segmentOf(shard: number, position: number): number {
    const depth = this.#words[shard + S_DEPTH]!
    const index = depth === 0 ? 0 : position >>> (32 - depth)
    return this.#words[this.#words[shard + S_DIRECTORY]! + index]!
  }

  /** The first position of the segment that holds `position`. */
  startOf(shard: number, position: number): number {
    const size = this.#positions(shard, position)
    return Math.floor(position / size) * size
  }

  /** The first position after those of the segment that holds `position`; 2^32 after the last. */
  after(shard: number, position: number): number {
    return this.startOf(shard, position) + this.#positions(shard, position)
  }

  /** The position of a record in its shard. */
  positionOf(record: number): number {
    this.#hashRecord(record)
    return (this.#hash.high << this.usedBits) >>> 0
  }

  /** Records in a segment, free ones included. */
  capacityOf(entry: number): number {
    return CAPACITIES[entry & 7]!
  }

  recordOf(entry: number, slot: number): number {
    return (entry & -8) + RECORD_WORDS + (slot << RECORD_SHIFT)
  }

  isFree(record: number): boolean {
    return this.#words[record + R_META4] === 0
  }

  /** How many positions the segment that holds `position` has. */
  #positions(shard: number, position: number): number {
    return 2 ** (32 - this.#words[(this.segmentOf(shard, position) & -8) + LOCAL_DEPTH]!)
  }

  visitDirectory(shard: number, visit: BlockVisitor): void {
    const depth = this.#words[shard + S_DEPTH]!
    if (depth > 0) visit(this.#words[shard + S_DIRECTORY]!, 1 << depth)
  }

  visitSegment(entry: number, visit: BlockVisitor): void {
    visit(entry & -8, (CAPACITIES[entry & 7]! + 1) << RECORD_SHIFT)
  }

  #hashRecord(record: number): void {
    const words = this.#words
    this.#hash.five(
      words[record]!,
      words[record + 1]!,
      words[record + 2]!,
      words[record + 3]!,
      words[record + 4]!,
    )
  }

  /** Address of the directory entry of the info-hash at hand. */
  #entry(): number {
    const words = this.#words
    const { shard } = this
    const depth = words[(shard + S_DEPTH) | 0]!
    if (depth === 0) return (shard + S_ENTRY) | 0
    return (words[(shard + S_DIRECTORY) | 0]! + (this.rest >>> (32 - depth))) | 0
  }

  /** Address + class of a new empty segment; 0: no memory. */
  #newSegment(klass: number, localDepth: number): number {
    const size = (CAPACITIES[klass]! + 1) << RECORD_SHIFT
    const segment = this.#arena.allocate(size)
    if (segment === 0) return 0
    this.#words.fill(0, segment, segment + size)
    this.#words[segment + LOCAL_DEPTH] = localDepth
    return segment + klass
  }

  #freeSegment(entry: number): void {
    this.#arena.free(entry & -8, (CAPACITIES[entry & 7]! + 1) << RECORD_SHIFT)
  }

  /** The free record for a key of that home. */
  #place(segment: number, klass: number, home: number): number {
    const words = this.#words
    const capacity = CAPACITIES[klass]!
    const first = segment + RECORD_WORDS
    let slot = Math.imul(home, capacity) >>> 16
    while (words[first + (slot << RECORD_SHIFT) + R_META4] !== 0) if (++slot === capacity) slot = 0
    return first + (slot << RECORD_SHIFT)
  }

  #copyRecord(from: number, to: number): void {
    const words = this.#words
    for (let i = 0; i < RECORD_WORDS; i++) words[to + i] = words[from + i]!
  }

  /** Copies a record into a segment that has room for it. */
  #moveRecord(record: number, entry: number): void {
    this.#hashRecord(record)
    const segment = entry & -8
    this.#copyRecord(record, this.#place(segment, entry & 7, this.#hash.low >>> 16))
    this.#words[segment + USED] = this.#words[segment + USED]! + 1
  }

  #moveAll(from: number, to: number): void {
    const capacity = CAPACITIES[from & 7]!
    for (let slot = 0; slot < capacity; slot++) {
      const record = this.recordOf(from, slot)
      if (!this.isFree(record)) this.#moveRecord(record, to)
    }
    this.#freeSegment(from)
  }

  /** Gives the segment of the info-hash at hand another class, or splits it. False: no memory. */
  #grow(entry: number): boolean {
    const klass = entry & 7
    if (klass === LAST_CLASS) return this.#split(entry)
    const larger = this.#newSegment(klass + 1, this.#words[(entry & -8) + LOCAL_DEPTH]!)
    if (larger === 0) return false
    this.#moveAll(entry, larger)
    this.#enterDirectory(larger, this.rest)
    return true
  }

  /** Writes a segment into all its entries, of which `rest` leads to one. */
  #enterDirectory(entry: number, rest: number): void {
    const words = this.#words
    const depth = words[this.shard + S_DEPTH]!
    const local = words[(entry & -8) + LOCAL_DEPTH]!
    const directory = words[this.shard + S_DIRECTORY]!
    const first = local === 0 ? 0 : (rest >>> (32 - local)) << (depth - local)
    words.fill(entry, directory + first, directory + first + (1 << (depth - local)))
  }

  #split(entry: number): boolean {
    const words = this.#words
    const shard = this.shard
    const local = words[(entry & -8) + LOCAL_DEPTH]!
    if (local === Math.min(MAX_DEPTH, 32 - this.usedBits)) return false
    const bit = (record: number): number => (this.positionOf(record) << local) >>> 31
    const capacity = CAPACITIES[entry & 7]!
    let ones = 0
    let all = 0
    for (let slot = 0; slot < capacity; slot++) {
      const record = this.recordOf(entry, slot)
      if (this.isFree(record)) continue
      all++
      ones += bit(record)
    }
    if (local === words[shard + S_DEPTH]! && !this.#doubleDirectory()) return false
    const left = this.#newSegment(classFor(all - ones + 1), local + 1)
    const right = left === 0 ? 0 : this.#newSegment(classFor(ones + 1), local + 1)
    if (right === 0) {
      if (left !== 0) this.#freeSegment(left)
      return false
    }
    for (let slot = 0; slot < capacity; slot++) {
      const record = this.recordOf(entry, slot)
      if (!this.isFree(record)) this.#moveRecord(record, bit(record) === 0 ? left : right)
    }
    this.#freeSegment(entry)
    const top = 0x80000000 >>> local
    this.#enterDirectory(left, this.rest & ~top)
    this.#enterDirectory(right, this.rest | top)
    if (local + 1 === words[shard + S_DEPTH]!)
      words[shard + S_DEEPEST] = words[shard + S_DEEPEST]! + 2
    return true
  }

  #doubleDirectory(): boolean {
    const words = this.#words
    const shard = this.shard
    const depth = words[shard + S_DEPTH]!
    const old = words[shard + S_DIRECTORY]!
    const directory = this.#arena.allocate(2 << depth)
    if (directory === 0) return false
    for (let i = (1 << depth) - 1; i >= 0; i--) {
      words[directory + 2 * i] = words[old + i]!
      words[directory + 2 * i + 1] = words[old + i]!
    }
    if (depth > 0) this.#arena.free(old, 1 << depth)
    words[shard + S_DIRECTORY] = directory
    words[shard + S_DEPTH] = depth + 1
    words[shard + S_DEEPEST] = 0
    return true
  }

  /** Gives the segment of the info-hash at hand less room, and unites it with its other half where they fit. */
  #shrink(): void {
    const words = this.#words
    for (;;) {
      const entry = words[this.#entry()]!
      const segment = entry & -8
      const local = words[segment + LOCAL_DEPTH]!
      if (local > 0 && this.#unite(entry, local)) continue
      const klass = classFor(words[segment + USED]! * 2)
      if (klass >= (entry & 7)) return
      const smaller = this.#newSegment(klass, local)
      if (smaller === 0) return
      this.#moveAll(entry, smaller)
      this.#enterDirectory(smaller, this.rest)
      return
    }
  }

  #unite(entry: number, local: number): boolean {
    const words = this.#words
    const shard = this.shard
    const depth = words[shard + S_DEPTH]!
    const otherRest = this.rest ^ (0x80000000 >>> (local - 1))
    const other = words[words[shard + S_DIRECTORY]! + (otherRest >>> (32 - depth))]!
    if (words[(other & -8) + LOCAL_DEPTH] !== local) return false
    const used = words[(entry & -8) + USED]! + words[(other & -8) + USED]!
    if (used > LIMITS[LAST_CLASS]! / 2) return false
    const united = this.#newSegment(classFor(used + (used >>> 2)), local - 1)
    if (united === 0) return false
    this.#moveAll(entry, united)
    this.#moveAll(other, united)
    this.#enterDirectory(united, this.rest)
    if (local === depth) {
      words[shard + S_DEEPEST] = words[shard + S_DEEPEST]! - 2
      this.#halveDirectory()
    }
    return true
  }

  #halveDirectory(): void {
    const words = this.#words
    const shard = this.shard
    while (words[shard + S_DEEPEST] === 0 && words[shard + S_DEPTH]! > 0) {
      const depth = words[shard + S_DEPTH]! - 1
      const old = words[shard + S_DIRECTORY]!
      const directory = depth === 0 ? shard + S_ENTRY : this.#arena.allocate(1 << depth)
      if (directory === 0) return
      let deepest = 0
      for (let i = 0; i < 1 << depth; i++) {
        const entry = words[old + 2 * i]!
        words[directory + i] = entry
        if (words[(entry & -8) + LOCAL_DEPTH] === depth) deepest++
      }
      this.#arena.free(old, 2 << depth)
      words[shard + S_DIRECTORY] = directory
      words[shard + S_DEPTH] = depth
      words[shard + S_DEEPEST] = deepest
    }
  }
}

/** The smallest class that holds so many records without having to grow. */
function classFor(records: number): number {
  let klass = 0
  while (klass < LAST_CLASS && LIMITS[klass]! < records) klass++
  return klass
}

export const EMPTY_SEGMENT_BYTES: number = (CAPACITIES[0]! + 1) * RECORD_WORDS * 4
export const SHARD_BYTES: number = SHARD_WORDS * 4
