/**
 * Which filesystem blocks are free, and which is given out next. The kinds differ in the order only;
 * the article measured both: the sequential one keeps a rotating disk writing forward.
 *
 * Invariants: block 0 is never free; `freeBlocks` is the number of clear bits; a block is given out
 * at most once until it is freed.
 */
import { assert } from '../base/index.ts'

export type AllocationPurpose = 'data' | 'metadata'
export type AllocatorKind = 'sequential' | 'ordered'

export interface Allocator {
  readonly kind: AllocatorKind
  readonly totalBlocks: number
  readonly freeBlocks: number
  /** Where a sequential allocator goes on; a hint that is kept across mounts. */
  readonly cursor: number
  isFree(block: number): boolean
  /** Takes a certain block. False when it was not free. */
  take(block: number): boolean
  /** The next free block, or 0 when there is none. */
  allocate(purpose: AllocationPurpose): number
  /**
   * The next stretch of free blocks for data: one of `blocks`, or where there is none so long the longest
   * there is; undefined when the volume is full. Nothing is taken (`take`), but the next stretch is
   * looked for behind this one, so that whoever fills it slowly is left alone as long as there is room.
   * With `fits` the shortest stretch that is long enough: for less than a run, so that long ones stay long.
   */
  nextRun(blocks: number, fits: boolean): FreeExtent | undefined
  free(block: number): void
  /** There are more blocks now; the new ones are free. */
  grow(totalBlocks: number): void
  /** Stretches of free blocks, ascending. Looks at every word of the map. */
  freeExtents(): IterableIterator<FreeExtent>
}

export interface FreeExtent {
  readonly block: number
  readonly blocks: number
}

export function makeAllocator(kind: AllocatorKind, totalBlocks: number, cursor = 1): Allocator {
  return kind === 'sequential'
    ? new SequentialAllocator(totalBlocks, cursor)
    : new OrderedAllocator(totalBlocks)
}

/** One bit a block, set = in use; bits beyond the end are set. */
abstract class BitmapAllocator implements Allocator {
  abstract readonly kind: AllocatorKind
  protected words: Uint32Array
  #totalBlocks: number
  #freeBlocks: number

  constructor(totalBlocks: number) {
    this.#totalBlocks = totalBlocks
    this.words = wordsFor(totalBlocks)
    this.words[0] = this.words[0]! | 1
    this.#freeBlocks = totalBlocks - 1
  }

  get totalBlocks(): number {
    return this.#totalBlocks
  }

  get freeBlocks(): number {
    return this.#freeBlocks
  }

  abstract readonly cursor: number
  abstract allocate(purpose: AllocationPurpose): number
  abstract nextRun(blocks: number, fits: boolean): FreeExtent | undefined

  isFree(block: number): boolean {
    // Beyond the last word nothing says that a block is in use.
    return (
      block < this.#totalBlocks && (this.words[Math.floor(block / 32)]! & (1 << (block % 32))) === 0
    )
  }

  take(block: number): boolean {
    if (!this.isFree(block)) return false
    const word = Math.floor(block / 32)
    this.words[word] = this.words[word]! | (1 << (block % 32))
    this.#freeBlocks--
    return true
  }

  free(block: number): void {
    assert(block > 0 && block < this.totalBlocks, `block ${block} is not to be freed`)
    assert(!this.isFree(block), `block ${block} is free already`)
    const word = Math.floor(block / 32)
    this.words[word] = this.words[word]! & ~(1 << (block % 32))
    this.#freeBlocks++
  }

  grow(totalBlocks: number): void {
    const before = this.#totalBlocks
    assert(totalBlocks >= before, 'an allocator does not become smaller')
    const words = wordsFor(totalBlocks)
    words.set(this.words)
    // The bits beyond the old end were set; those of the new blocks are not.
    const inWord = before % 32
    if (inWord > 0) {
      const at = Math.floor(before / 32)
      const kept = words[at]! & (0xffffffff >>> (32 - inWord))
      words[at] = at === words.length - 1 ? kept | beyondEnd(totalBlocks) : kept
    }
    this.words = words
    this.#totalBlocks = totalBlocks
    this.#freeBlocks += totalBlocks - before
  }

  *freeExtents(): Generator<FreeExtent> {
    for (let at = this.firstFree(1, this.totalBlocks); at !== 0; ) {
      const end = this.#firstUsed(at)
      yield { block: at, blocks: end - at }
      at = end < this.totalBlocks ? this.firstFree(end, this.totalBlocks) : 0
    }
  }

  /** The first block from `from` on that is in use, or the end. */
  #firstUsed(from: number): number {
    for (let word = Math.floor(from / 32); word < this.words.length; word++) {
      let set = this.words[word]!
      if (word * 32 < from) set = (set & (0xffffffff << (from % 32))) >>> 0
      if (set !== 0) return Math.min(this.totalBlocks, word * 32 + 31 - Math.clz32(set & -set))
    }
    return this.totalBlocks
  }

  /** The shortest stretch of at least `blocks`; undefined when all are shorter. */
  protected tightest(blocks: number): FreeExtent | undefined {
    let best: FreeExtent | undefined
    for (const extent of this.freeExtents()) {
      if (extent.blocks < blocks || (best !== undefined && extent.blocks >= best.blocks)) continue
      best = extent
      if (extent.blocks === blocks) return best
    }
    return best
  }

  /** The first stretch of `blocks` that begins in [from, to), else the longest; undefined without a free block. */
  protected findRun(from: number, to: number, blocks: number): FreeExtent | undefined {
    let longest: FreeExtent | undefined
    for (let at = this.firstFree(from, to); at !== 0; ) {
      const end = this.#firstUsed(at)
      if (end - at >= blocks) return { block: at, blocks }
      if (longest === undefined || end - at > longest.blocks) {
        longest = { block: at, blocks: end - at }
      }
      at = end < to ? this.firstFree(end, to) : 0
    }
    return longest
  }

  /** The first free block of [from, to), or 0. */
  protected firstFree(from: number, to: number): number {
    for (let word = Math.floor(from / 32); word * 32 < to; word++) {
      let clear = ~this.words[word]! >>> 0
      if (word * 32 < from) clear = (clear & (0xffffffff << (from % 32))) >>> 0
      if (clear === 0) continue
      const block = word * 32 + 31 - Math.clz32(clear & -clear)
      return block < to ? block : 0
    }
    return 0
  }

  /** The last free block, or 0. */
  protected lastFree(before: number): number {
    for (let word = Math.floor((before - 1) / 32); word >= 0; word--) {
      let clear = ~this.words[word]! >>> 0
      const beyond = (word + 1) * 32 - before
      if (beyond > 0) clear = (clear & (0xffffffff >>> beyond)) >>> 0
      if (clear !== 0) return word * 32 + 31 - Math.clz32(clear)
    }
    return 0
  }
}

/** Words of clear bits, those beyond the end set. */
function wordsFor(totalBlocks: number): Uint32Array {
  const words = new Uint32Array(Math.ceil(totalBlocks / 32))
  words[words.length - 1] = beyondEnd(totalBlocks)
  return words
}

/** The last word of a map of nothing but free blocks. */
function beyondEnd(totalBlocks: number): number {
  const inWord = totalBlocks % 32
  return inWord === 0 ? 0 : (0xffffffff << inWord) >>> 0
}

/** A ring: the next free block after the last one given out. */
export class SequentialAllocator extends BitmapAllocator {
  readonly kind = 'sequential'
  #cursor: number

  constructor(totalBlocks: number, cursor = 1) {
    super(totalBlocks)
    this.#cursor = cursor > 0 && cursor < totalBlocks ? cursor : 1
  }

  get cursor(): number {
    return this.#cursor
  }

  allocate(): number {
    if (this.freeBlocks === 0) return 0
    const block = this.firstFree(this.#cursor, this.totalBlocks) || this.firstFree(1, this.#cursor)
    assert(block !== 0 && this.take(block), 'a free block is counted but not there')
    this.#goOn(block + 1)
    return block
  }

  nextRun(blocks: number, fits: boolean): FreeExtent | undefined {
    const tightest = fits ? this.tightest(blocks) : undefined
    if (tightest !== undefined) {
      if (tightest.block === this.#cursor) this.#goOn(tightest.block + blocks)
      return { block: tightest.block, blocks }
    }
    const ahead = this.findRun(this.#cursor, this.totalBlocks, blocks)
    const behind = ahead?.blocks === blocks ? undefined : this.findRun(1, this.#cursor, blocks)
    const run = (behind?.blocks ?? 0) > (ahead?.blocks ?? 0) ? behind : ahead
    if (run !== undefined) this.#goOn(run.block + run.blocks)
    return run
  }

  #goOn(block: number): void {
    this.#cursor = block < this.totalBlocks ? block : 1
  }
}

/** Data from the front, metadata from the back. */
export class OrderedAllocator extends BitmapAllocator {
  readonly kind = 'ordered'
  /** No free block lies before the one or after the other. */
  #lowest = 1
  #highest: number

  constructor(totalBlocks: number) {
    super(totalBlocks)
    this.#highest = totalBlocks - 1
  }

  get cursor(): number {
    return 1
  }

  allocate(purpose: AllocationPurpose): number {
    if (this.freeBlocks === 0) return 0
    const data = purpose === 'data'
    const block = data
      ? this.firstFree(this.#lowest, this.totalBlocks)
      : this.lastFree(this.#highest + 1)
    assert(block !== 0 && this.take(block), 'a free block is counted but not there')
    if (data) this.#lowest = block
    else this.#highest = block
    return block
  }

  nextRun(blocks: number): FreeExtent | undefined {
    return this.findRun(this.#lowest, this.totalBlocks, blocks)
  }

  override grow(totalBlocks: number): void {
    if (totalBlocks > this.totalBlocks) {
      this.#highest = totalBlocks - 1
      this.#lowest = Math.min(this.#lowest, this.totalBlocks)
    }
    super.grow(totalBlocks)
  }

  override free(block: number): void {
    super.free(block)
    this.#lowest = Math.min(this.#lowest, block)
    this.#highest = Math.max(this.#highest, block)
  }
}
