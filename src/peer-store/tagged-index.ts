/**
 * A hash index from keys that lie elsewhere to their numbers, in 4 bytes an entry.
 *
 *     root (4 words):     table | depth | entries | -
 *     table, depth 0:     address of the only segment (0: none)
 *     table, depth d > 0: address of a directory of 2^d segment addresses, chosen by the top d bits of
 *                         `high`; a segment of local depth l stands in 2^(d - l) entries in a row
 *     segment:            local depth | used | slots …       64, 128, … 1024 words in all
 *     slot:               tag (6 bits) << 26 | number (26 bits); 0 is empty
 *
 * Open addressing with linear probing from slot (low >>> 6) scaled to the segment; the tag is the low
 * six bits. A stranger's slot costs a visit to its key once in 64 times. A full segment doubles up to
 * 1024 words, then splits in two: growth copies 4 KiB, never the whole index. Deletion shifts back, so
 * there are no tombstones to clean up.
 *
 * Invariants: a segment is never fuller than 4/5; every entry is reachable from its home slot without
 * crossing an empty one; an index without entries holds no memory.
 */
import { assert } from '../base/index.ts'
import { type Arena, SLAB_MASK } from './arena.ts'

export const ROOT_WORDS = 4
export const NUMBER_MASK: number = (1 << 26) - 1
const TAG_SHIFT = 26
const TABLE = 0
const DEPTH = 1
const ENTRIES = 2
const HEADER_WORDS = 2
const FIRST_SEGMENT_WORDS = 64
const MAX_SEGMENT_WORDS = 1024
const MAX_DEPTH = 20

/** Hashes the key of a number anew, into `high` and `low`. */
export interface KeySource {
  readonly high: number
  readonly low: number
  rehash(number: number): void
}

export class TaggedIndex {
  readonly #arena: Arena
  readonly #keys: KeySource
  // The probe under way: view, first slot, number of slots, current slot, tag.
  #words: Uint32Array = new Uint32Array(0)
  #first = 0
  #slots = 0
  #slot = 0
  #tag = 0

  constructor(arena: Arena, keys: KeySource) {
    this.#arena = arena
    this.#keys = keys
  }

  /**
   * The first number that may be the key's, or 0; `next` gives the others. The caller compares keys.
   * Allocates nothing.
   */
  first(root: number, high: number, low: number): number {
    const segment = this.#arena.slabs[root >>> 18]![root & SLAB_MASK]!
    if (segment === 0) return 0
    this.#enter(this.#segmentOf(root, high), low)
    return this.#scan()
  }

  next(): number {
    this.#step()
    return this.#scan()
  }

  /** Adds an entry that is not there yet. */
  insert(root: number, high: number, low: number, number: number): void {
    const arena = this.#arena
    const rootWords = arena.slabs[root >>> 18]!
    const rootAt = root & SLAB_MASK
    if (rootWords[rootAt + TABLE] === 0) {
      rootWords[rootAt + TABLE] = this.#newSegment(FIRST_SEGMENT_WORDS, 0)
      rootWords[rootAt + DEPTH] = 0
    }
    let segment = this.#segmentOf(root, high)
    for (;;) {
      const words = arena.slabs[segment >>> 18]!
      const at = segment & SLAB_MASK
      const used = words[at + 1]! & 0xffff
      if ((used + 1) * 5 <= (segmentWords(words[at + 1]!) - HEADER_WORDS) * 4) break
      this.#grow(root, high, segment)
      segment = this.#segmentOf(root, high)
    }
    this.#place(segment, low, number)
    rootWords[rootAt + ENTRIES] = rootWords[rootAt + ENTRIES]! + 1
  }

  /** The address of the slot that holds `number`, which is there. */
  slotOf(root: number, high: number, low: number, number: number): number {
    const segment = this.#segmentOf(root, high)
    this.#enter(segment, low)
    let found = this.#scan()
    while (found !== number) {
      assert(found !== 0, 'a number is looked up only where it is')
      this.#step()
      found = this.#scan()
    }
    return segment + HEADER_WORDS + this.#slot
  }

  /** Puts another number into a slot found by `slotOf`. */
  renumber(slot: number, number: number): void {
    const words = this.#arena.slabs[slot >>> 18]!
    const at = slot & SLAB_MASK
    words[at] = ((words[at]! & ~NUMBER_MASK) | number) >>> 0
  }

  /** Takes the entry out. `keys.rehash` must still answer for every number of the index. */
  remove(root: number, high: number, low: number, number: number): void {
    this.slotOf(root, high, low, number)
    const segment = this.#segmentOf(root, high)
    const words = this.#words
    const first = this.#first
    const slots = this.#slots
    let hole = this.#slot
    for (let slot = hole; ; ) {
      if (++slot === slots) slot = 0
      const entry = words[first + slot]!
      if (entry === 0) break
      this.#keys.rehash(entry & NUMBER_MASK)
      const home = homeSlot(this.#keys.low, slots)
      // The entry may fill the hole unless that would put it before its home.
      if (distance(home, slot, slots) >= distance(hole, slot, slots)) {
        words[first + hole] = entry
        hole = slot
      }
    }
    words[first + hole] = 0
    words[(segment & SLAB_MASK) + 1]!--
    const rootWords = this.#arena.slabs[root >>> 18]!
    const rootAt = root & SLAB_MASK
    const entries = rootWords[rootAt + ENTRIES]! - 1
    rootWords[rootAt + ENTRIES] = entries
    if (entries === 0) this.clear(root)
  }

  /** Frees every segment and the directory: an empty index. */
  clear(root: number): void {
    const arena = this.#arena
    const rootWords = arena.slabs[root >>> 18]!
    const rootAt = root & SLAB_MASK
    const table = rootWords[rootAt + TABLE]!
    const depth = rootWords[rootAt + DEPTH]!
    rootWords.fill(0, rootAt, rootAt + ROOT_WORDS)
    if (table === 0) return
    if (depth === 0) {
      this.#freeSegment(table)
      return
    }
    for (let i = 0; i < 1 << depth; ) {
      const segment = this.#read(table + i)
      i += 1 << (depth - this.#read(segment))
      this.#freeSegment(segment)
    }
    arena.free(table, 1 << depth)
  }

  #read(address: number): number {
    return this.#arena.slabs[address >>> 18]![address & SLAB_MASK]!
  }

  #segmentOf(root: number, high: number): number {
    const words = this.#arena.slabs[root >>> 18]!
    const at = root & SLAB_MASK
    const table = words[at + TABLE]!
    const depth = words[at + DEPTH]!
    return depth === 0 ? table : this.#read(table + (high >>> (32 - depth)))
  }

  #enter(segment: number, low: number): void {
    const words = this.#arena.slabs[segment >>> 18]!
    const at = segment & SLAB_MASK
    this.#words = words
    this.#first = at + HEADER_WORDS
    this.#slots = segmentWords(words[at + 1]!) - HEADER_WORDS
    this.#slot = homeSlot(low, this.#slots)
    this.#tag = low & 63
  }

  #scan(): number {
    const words = this.#words
    const first = this.#first
    const tag = this.#tag
    let slot = this.#slot
    for (;;) {
      const entry = words[first + slot]!
      if (entry === 0 || entry >>> TAG_SHIFT === tag) {
        this.#slot = slot
        return entry & NUMBER_MASK
      }
      if (++slot === this.#slots) slot = 0
    }
  }

  #step(): void {
    if (++this.#slot === this.#slots) this.#slot = 0
  }

  #place(segment: number, low: number, number: number): void {
    this.#enter(segment, low)
    const words = this.#words
    while (words[this.#first + this.#slot] !== 0) this.#step()
    words[this.#first + this.#slot] = (((low & 63) << TAG_SHIFT) | number) >>> 0
    words[this.#first - 1]!++
  }

  #newSegment(size: number, localDepth: number): number {
    const segment = this.#arena.allocate(size)
    this.#arena.clear(segment, size)
    const words = this.#arena.slabs[segment >>> 18]!
    words[segment & SLAB_MASK] = localDepth
    words[(segment & SLAB_MASK) + 1] = size << 16
    return segment
  }

  #freeSegment(segment: number): void {
    this.#arena.free(segment, segmentWords(this.#read(segment + 1)))
  }

  /** Replaces a full segment by one of twice its size, or by two. */
  #grow(root: number, high: number, segment: number): void {
    const localDepth = this.#read(segment)
    const size = segmentWords(this.#read(segment + 1))
    const rootWords = this.#arena.slabs[root >>> 18]!
    const rootAt = root & SLAB_MASK
    const splits = size >= MAX_SEGMENT_WORDS && localDepth < MAX_DEPTH
    if (splits && localDepth === rootWords[rootAt + DEPTH]) this.#doubleDirectory(root)
    const nextDepth = splits ? localDepth + 1 : localDepth
    const nextSize = splits ? size : size * 2
    const lower = this.#newSegment(nextSize, nextDepth)
    const upper = splits ? this.#newSegment(nextSize, nextDepth) : lower
    const depth = rootWords[rootAt + DEPTH]!
    const table = rootWords[rootAt + TABLE]!
    if (depth === 0) {
      rootWords[rootAt + TABLE] = lower
    } else {
      const width = 1 << (depth - localDepth)
      const from = (high >>> (32 - depth)) & ~(width - 1)
      for (let i = 0; i < width; i++) {
        const address = table + from + i
        const target = i * 2 < width ? lower : upper
        this.#arena.slabs[address >>> 18]![address & SLAB_MASK] = target
      }
    }
    const words = this.#arena.slabs[segment >>> 18]!
    const first = (segment & SLAB_MASK) + HEADER_WORDS
    for (let i = 0; i < size - HEADER_WORDS; i++) {
      const number = words[first + i]! & NUMBER_MASK
      if (number === 0) continue
      this.#keys.rehash(number)
      const isUpper = splits && ((this.#keys.high >>> (31 - localDepth)) & 1) === 1
      this.#place(isUpper ? upper : lower, this.#keys.low, number)
    }
    this.#arena.free(segment, size)
  }

  #doubleDirectory(root: number): void {
    const rootWords = this.#arena.slabs[root >>> 18]!
    const rootAt = root & SLAB_MASK
    const depth = rootWords[rootAt + DEPTH]!
    const old = rootWords[rootAt + TABLE]!
    const table = this.#arena.allocate(2 << depth)
    for (let i = 0; i < 2 << depth; i++) {
      const address = table + i
      this.#arena.slabs[address >>> 18]![address & SLAB_MASK] =
        depth === 0 ? old : this.#read(old + (i >>> 1))
    }
    if (depth > 0) this.#arena.free(old, 1 << depth)
    rootWords[rootAt + TABLE] = table
    rootWords[rootAt + DEPTH] = depth + 1
  }
}

/** Words of a segment, from its second header word (size << 16 | used). */
function segmentWords(header: number): number {
  return header >>> 16
}

function homeSlot(low: number, slots: number): number {
  return (((low >>> 6) & 0xffff) * slots) >>> 16
}

function distance(from: number, to: number, slots: number): number {
  return to >= from ? to - from : to - from + slots
}
