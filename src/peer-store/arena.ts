/**
 * Blocks of 32-bit words out of spans, for every thread.
 *
 *     block of up to 2048 words: one of the blocks of its size class in a span
 *     larger block:              a run of spans of its own (spans.ts)
 *     address:                   word in the buffer; 0 is no block
 *
 * Freed blocks of a span are chained through their first word. A block is as it was left: callers that need zeros
 * write them.
 *
 * Invariants: a span is in its class's list if and only if it has room; a span without a live block
 * goes back to the runs, for any class or shard; `allocate` returns 0 instead of passing the reservation, and callers
 * then leave everything as it was.
 */

import type { BlockVisitor } from './layout.ts'
import * as layout from './layout.ts'
import type { Memory } from './memory.ts'
import { Spans } from './spans.ts'

const {
  D_FREED,
  DESCRIPTOR_WORDS,
  D_FRESH,
  D_KIND,
  D_LIVE,
  D_NEXT,
  D_PREVIOUS,
  H_ALLOCATOR_LOCK,
  H_FIRST_SPAN,
  H_FREE_SPANS,
  H_FRONTIER,
  H_PARTIAL,
  H_TOTAL_SPANS,
  H_USED_WORDS,
  SPAN_BYTES,
  SPAN_SHIFT,
  SPAN_WORDS,
} = layout

/** Larger blocks are runs of spans. */
export const MAX_SMALL_WORDS: number = SPAN_WORDS / 2

/** Every even size up to 32, eight to the doubling above, and the odd sizes of segments (swarm-table.ts). */
const CLASS_WORDS: number[] = [408, 680, 816]
for (let words = 2; words <= 32; words += 2) CLASS_WORDS.push(words)
for (let power = 32; power < MAX_SMALL_WORDS; power *= 2) {
  for (let eighth = 1; eighth <= 8; eighth++) CLASS_WORDS.push(power + (power / 8) * eighth)
}
CLASS_WORDS.sort((a, b) => a - b)
const CLASS_OF = new Uint8Array(MAX_SMALL_WORDS + 1)
for (let words = 1, klass = 0; words <= MAX_SMALL_WORDS; words++) {
  if (words > CLASS_WORDS[klass]!) klass++
  CLASS_OF[words] = klass
}

/** While the books are rebuilt: the span is part of a run. */
const RUN = 0x7fffffff

export class Arena {
  readonly #memory: Memory
  readonly #words: Int32Array
  readonly #spans: Spans
  /** A bit for each pair of words: a live block begins there. In use while the books are rebuilt. */
  #live = new Uint8Array(0)

  constructor(memory: Memory) {
    this.#memory = memory
    this.#words = memory.words
    this.#spans = new Spans(memory.words)
  }

  /** Bytes of blocks in use, as rounded to their classes. */
  get bytesUsed(): number {
    return this.#words[H_USED_WORDS]! * 4
  }

  /** Bytes of spans that were ever used. */
  get bytesReserved(): number {
    return (this.#words[H_FRONTIER]! - this.#words[H_FIRST_SPAN]!) * SPAN_BYTES
  }

  /** Bytes of spans that wait for a use: free runs, and what lies beyond the frontier. */
  get bytesFree(): number {
    const words = this.#words
    return (words[H_FREE_SPANS]! + words[H_TOTAL_SPANS]! - words[H_FRONTIER]!) * SPAN_BYTES
  }

  /** Words that a block of `size` takes. */
  sizeOf(size: number): number {
    if (size > MAX_SMALL_WORDS) return ((size + SPAN_WORDS - 1) >>> SPAN_SHIFT) << SPAN_SHIFT
    return CLASS_WORDS[CLASS_OF[size]!]!
  }

  /** Address of a block of at least `size` words, or 0 when there is no memory left for it. */
  allocate(size: number): number {
    if (!this.#memory.tryLock(H_ALLOCATOR_LOCK)) return 0
    const address = size > MAX_SMALL_WORDS ? this.#takeRun(size) : this.#takeBlock(size)
    this.#memory.unlock(H_ALLOCATOR_LOCK)
    return address
  }

  /** `size` as it was asked for. A block that cannot be given back now is found by the recovery that is due then. */
  free(address: number, size: number): void {
    if (!this.#memory.tryLock(H_ALLOCATOR_LOCK)) return
    if (size > MAX_SMALL_WORDS) this.#giveRun(address, size)
    else this.#giveBlock(address, size)
    this.#memory.unlock(H_ALLOCATOR_LOCK)
  }

  /** What could be allocated without passing the frontier: free runs, and the holes and the fresh rest of spans of blocks. */
  visitFree(visit: BlockVisitor): void {
    const words = this.#words
    this.#spans.visitFree(visit)
    for (let klass = 0; klass < CLASS_WORDS.length; klass++) {
      for (let span = words[H_PARTIAL + klass]!; span !== 0; ) {
        const at = this.#spans.descriptor(span)
        for (let block = words[at + D_FREED]!; block !== 0; block = words[block]!) {
          visit(block, CLASS_WORDS[klass]!)
        }
        const fresh = words[at + D_FRESH]!
        visit(fresh, ((span + 1) << SPAN_SHIFT) - fresh)
        span = words[at + D_NEXT]!
      }
    }
  }

  /** Forgets all blocks; `rebuildBlock` says which there are. Under the allocator's lock, until `endRebuild`. */
  beginRebuild(): void {
    const words = this.#words
    words.fill(0, H_PARTIAL, H_PARTIAL + CLASS_WORDS.length)
    words[H_USED_WORDS] = 0
    this.#spans.forget()
    const granules = (words[H_FRONTIER]! - words[H_FIRST_SPAN]!) << (SPAN_SHIFT - 1)
    this.#live = new Uint8Array(Math.ceil(granules / 8))
  }

  rebuildBlock(address: number, asked: number): void {
    const words = this.#words
    const at = this.#spans.descriptor(address >>> SPAN_SHIFT)
    if (asked > MAX_SMALL_WORDS) {
      const count = (asked + SPAN_WORDS - 1) >>> SPAN_SHIFT
      for (let i = 0; i < count; i++) words[at + i * DESCRIPTOR_WORDS + D_KIND] = RUN
      words[H_USED_WORDS] = words[H_USED_WORDS]! + count * SPAN_WORDS
      return
    }
    const klass = CLASS_OF[asked]!
    const granule = this.#granule(address)
    this.#live[granule >>> 3] = this.#live[granule >>> 3]! | (1 << (granule & 7))
    words[at + D_KIND] = klass + 1
    words[at + D_LIVE] = words[at + D_LIVE]! + 1
    words[H_USED_WORDS] = words[H_USED_WORDS]! + CLASS_WORDS[klass]!
  }

  endRebuild(): void {
    const words = this.#words
    const end = words[H_FRONTIER]!
    for (let span = words[H_FIRST_SPAN]!, free = span; span <= end; span++) {
      const kind = span === end ? RUN : words[this.#spans.descriptor(span) + D_KIND]!
      if (kind === 0) continue
      if (free < span) this.#spans.give(free, span - free)
      free = span + 1
      if (kind !== RUN) this.#rebuildSpan(span, kind - 1)
      else if (span < end) words[this.#spans.descriptor(span) + D_KIND] = 0
    }
    this.#live = new Uint8Array(0)
  }

  /** Makes the span that was kept back part of what can be allocated. False: it is already. */
  takeReserve(): boolean {
    return this.#spans.takeReserve()
  }

  /** Chains the holes between the live blocks of a span; what comes after the last is fresh. */
  #rebuildSpan(span: number, klass: number): void {
    const words = this.#words
    const at = this.#spans.descriptor(span)
    const size = CLASS_WORDS[klass]!
    const first = span << SPAN_SHIFT
    let fresh = first
    let left = words[at + D_LIVE]!
    words[at + D_FREED] = 0
    for (let block = first; left > 0; block += size) {
      const granule = this.#granule(block)
      fresh = block + size
      if ((this.#live[granule >>> 3]! & (1 << (granule & 7))) !== 0) {
        left--
      } else {
        words[block] = words[at + D_FREED]!
        words[at + D_FREED] = block
      }
    }
    words[at + D_FRESH] = fresh
    if ((words[at + D_LIVE]! + 1) * size <= SPAN_WORDS) this.#link(klass, span)
  }

  /** Number of the pair of words at which a block begins: all sizes are even. */
  #granule(address: number): number {
    return (address - (this.#words[H_FIRST_SPAN]! << SPAN_SHIFT)) >>> 1
  }

  #takeRun(size: number): number {
    const count = (size + SPAN_WORDS - 1) >>> SPAN_SHIFT
    const span = this.#spans.take(count)
    if (span !== 0) this.#words[H_USED_WORDS] = this.#words[H_USED_WORDS]! + count * SPAN_WORDS
    return span << SPAN_SHIFT
  }

  #giveRun(address: number, size: number): void {
    const count = (size + SPAN_WORDS - 1) >>> SPAN_SHIFT
    this.#words[H_USED_WORDS] = this.#words[H_USED_WORDS]! - count * SPAN_WORDS
    this.#spans.give(address >>> SPAN_SHIFT, count)
  }

  #takeBlock(asked: number): number {
    const words = this.#words
    const klass = CLASS_OF[asked]!
    const size = CLASS_WORDS[klass]!
    let span = words[H_PARTIAL + klass]!
    if (span === 0) {
      span = this.#openSpan(klass)
      if (span === 0) return 0
    }
    const at = this.#spans.descriptor(span)
    let block = words[at + D_FREED]!
    if (block !== 0) {
      words[at + D_FREED] = words[block]!
    } else {
      block = words[at + D_FRESH]!
      words[at + D_FRESH] = block + size
    }
    const live = words[at + D_LIVE]! + 1
    words[at + D_LIVE] = live
    if ((live + 1) * size > SPAN_WORDS) this.#unlink(klass, span)
    words[H_USED_WORDS] = words[H_USED_WORDS]! + size
    return block
  }

  #giveBlock(address: number, asked: number): void {
    const words = this.#words
    const klass = CLASS_OF[asked]!
    const size = CLASS_WORDS[klass]!
    const span = address >>> SPAN_SHIFT
    const at = this.#spans.descriptor(span)
    const live = words[at + D_LIVE]! - 1
    words[at + D_LIVE] = live
    words[H_USED_WORDS] = words[H_USED_WORDS]! - size
    if ((live + 2) * size > SPAN_WORDS) this.#link(klass, span)
    if (live === 0) {
      this.#unlink(klass, span)
      words[at + D_KIND] = 0
      this.#spans.give(span, 1)
      return
    }
    words[address] = words[at + D_FREED]!
    words[at + D_FREED] = address
  }

  #openSpan(klass: number): number {
    const span = this.#spans.take(1)
    if (span === 0) return 0
    const at = this.#spans.descriptor(span)
    this.#words[at + D_KIND] = klass + 1
    this.#words[at + D_LIVE] = 0
    this.#words[at + D_FREED] = 0
    this.#words[at + D_FRESH] = span << SPAN_SHIFT
    this.#link(klass, span)
    return span
  }

  #link(klass: number, span: number): void {
    const words = this.#words
    const at = this.#spans.descriptor(span)
    const next = words[H_PARTIAL + klass]!
    words[at + D_PREVIOUS] = 0
    words[at + D_NEXT] = next
    if (next !== 0) words[this.#spans.descriptor(next) + D_PREVIOUS] = span
    words[H_PARTIAL + klass] = span
  }

  #unlink(klass: number, span: number): void {
    const words = this.#words
    const at = this.#spans.descriptor(span)
    const previous = words[at + D_PREVIOUS]!
    const next = words[at + D_NEXT]!
    if (previous === 0) words[H_PARTIAL + klass] = next
    else words[this.#spans.descriptor(previous) + D_NEXT] = next
    if (next !== 0) words[this.#spans.descriptor(next) + D_PREVIOUS] = previous
  }
}
