/**
 * Runs of spans of 16 KiB, from one reservation: a buddy allocator that gives back the rest.
 *
 *     descriptor of a span (8 words): 0 kind  1 live  2 freed  3 fresh  4 previous  5 next
 *     kind: class + 1 of a span of blocks (arena.ts); -(order + 1) of the first span of a free run; else 0
 *
 * A run of n spans is cut from a free one of 2^k or from the frontier, beyond which nothing was used
 * yet; what it does not need goes to the free lists at once. A freed run is cut into aligned powers of two, each
 * of which unites with its free neighbour.
 *
 * Invariants: a free run is in exactly one list; no two free buddies lie side by side; no span at or beyond the frontier
 * is in use. Every call is made under the allocator's lock.
 */
import type { BlockVisitor } from './layout.ts'
import * as layout from './layout.ts'

const {
  DESCRIPTOR_WORDS,
  D_KIND,
  D_NEXT,
  D_PREVIOUS,
  H_DESCRIPTORS,
  H_FIRST_SPAN,
  H_RESERVE_SPANS,
  H_FREE_RUNS,
  H_FREE_SPANS,
  H_FRONTIER,
  H_TOTAL_SPANS,
  RUN_ORDERS,
  SPAN_SHIFT,
} = layout

export class Spans {
  readonly #words: Int32Array
  readonly #descriptors: number

  constructor(words: Int32Array) {
    this.#words = words
    this.#descriptors = words[H_DESCRIPTORS]!
  }

  /** Address of a span's descriptor. */
  descriptor(span: number): number {
    return this.#descriptors + span * DESCRIPTOR_WORDS
  }

  /** The first of `count` spans in a row, or 0. */
  take(count: number): number {
    const words = this.#words
    let order = 32 - Math.clz32(count - 1)
    const least = order
    while (order < RUN_ORDERS && words[H_FREE_RUNS + order] === 0) order++
    if (least >= RUN_ORDERS || order >= RUN_ORDERS) return this.#takeFromFrontier(count, least)
    const span = words[H_FREE_RUNS + order]!
    this.#unlink(span, order)
    words[H_FREE_SPANS] = words[H_FREE_SPANS]! - (1 << order)
    this.give(span + count, (1 << order) - count)
    return span
  }

  give(first: number, count: number): void {
    this.#words[H_FREE_SPANS] = this.#words[H_FREE_SPANS]! + count
    for (let span = first, left = count; left > 0; ) {
      const aligned = 31 - Math.clz32(span & -span)
      const order = Math.min(aligned, 31 - Math.clz32(left), RUN_ORDERS - 1)
      this.#insert(span, order)
      span += 1 << order
      left -= 1 << order
    }
  }

  visitFree(visit: BlockVisitor): void {
    const words = this.#words
    for (let order = 0; order < RUN_ORDERS; order++) {
      for (let span = words[H_FREE_RUNS + order]!; span !== 0; ) {
        visit(span << SPAN_SHIFT, 1 << (order + SPAN_SHIFT))
        span = words[this.descriptor(span) + D_NEXT]!
      }
    }
  }

  /** Forgets what is free and what is not, below the frontier. */
  forget(): void {
    const words = this.#words
    words.fill(0, H_FREE_RUNS, H_FREE_RUNS + RUN_ORDERS)
    words[H_FREE_SPANS] = 0
    words.fill(0, this.descriptor(words[H_FIRST_SPAN]!), this.descriptor(words[H_FRONTIER]!))
  }

  /** Lets one span more be used than the limit allows; there is room for it. False: so it was already. */
  takeReserve(): boolean {
    const words = this.#words
    if (words[H_RESERVE_SPANS] === 0) return false
    words[H_RESERVE_SPANS] = 0
    words[H_TOTAL_SPANS] = words[H_TOTAL_SPANS]! + 1
    return true
  }

  #takeFromFrontier(count: number, order: number): number {
    const words = this.#words
    const frontier = words[H_FRONTIER]!
    const alignment = 1 << Math.min(order, RUN_ORDERS - 1)
    const span = (frontier + alignment - 1) & -alignment
    if (span + count > words[H_TOTAL_SPANS]!) {
      // Unaligned is as good; only uniting again later would be better.
      if (frontier + count > words[H_TOTAL_SPANS]!) return 0
      words[H_FRONTIER] = frontier + count
      return frontier
    }
    words[H_FRONTIER] = span + count
    this.give(frontier, span - frontier)
    return span
  }

  #insert(first: number, firstOrder: number): void {
    const words = this.#words
    let span = first
    let order = firstOrder
    while (order < RUN_ORDERS - 1) {
      const buddy = span ^ (1 << order)
      if (buddy >= words[H_FRONTIER]! || words[this.descriptor(buddy)] !== -(order + 1)) break
      this.#unlink(buddy, order)
      span = Math.min(span, buddy)
      order++
    }
    const at = this.descriptor(span)
    const next = words[H_FREE_RUNS + order]!
    words[at + D_KIND] = -(order + 1)
    words[at + D_PREVIOUS] = 0
    words[at + D_NEXT] = next
    if (next !== 0) words[this.descriptor(next) + D_PREVIOUS] = span
    words[H_FREE_RUNS + order] = span
  }

  #unlink(span: number, order: number): void {
    const words = this.#words
    const at = this.descriptor(span)
    const previous = words[at + D_PREVIOUS]!
    const next = words[at + D_NEXT]!
    if (previous === 0) words[H_FREE_RUNS + order] = next
    else words[this.descriptor(previous) + D_NEXT] = next
    if (next !== 0) words[this.descriptor(next) + D_PREVIOUS] = previous
    words[at + D_KIND] = 0
  }
}
