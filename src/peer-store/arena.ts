/**
 * Memory for blocks of 32-bit words, cut from fixed slabs and given back to them.
 *
 *     slab (1 MiB)   = 64 spans; span 0 holds the headers of the other 63
 *     span (16 KiB)  = blocks of one size class, or part of a run of 1, 2, 4 … 32 spans
 *     block address  = slab number << 18 | word in the slab; 0 is no block
 *
 *     header of span s, words 8s…8s+5 of its slab:
 *     0 class + 1 (0: free or a run)   1 live blocks   2 first freed block (word in the slab, 0: none)
 *     3 first word never used          4, 5 previous and next span of the class with room (span id)
 *
 * Blocks of more than half a slab take whole slabs, which then have no header. Freed blocks are chained
 * through their first word. Contents of a new block are whatever was there before.
 *
 * Invariants: a span is in its class's list if and only if it has room; a span with no live block
 * goes back to its slab, so any class may have it next; slabs are never moved or copied.
 */
import { assert } from '../base/index.ts'

const SLAB_SHIFT = 18
export const SLAB_WORDS: number = 1 << SLAB_SHIFT
export const SLAB_MASK: number = SLAB_WORDS - 1
export const SLAB_BYTES: number = SLAB_WORDS * 4
export const MAX_SLABS: number = 1 << 14
const SPAN_SHIFT = 12
const SPAN_WORDS = 1 << SPAN_SHIFT
const SPANS = SLAB_WORDS / SPAN_WORDS
/** One for each block that a put may allocate, and a run for a directory that doubles. */
const SPANS_A_PUT_MAY_TAKE = 16
/** Larger blocks are runs of spans. */
const MAX_SMALL_WORDS = SPAN_WORDS / 2

const KIND = 0
const LIVE = 1
const FREED = 2
const FRESH = 3
const PREVIOUS = 4
const NEXT = 5

/** Sizes in words: every even one up to 32, then eight to the doubling. */
const CLASS_WORDS: number[] = []
for (let words = 2; words <= 32; words += 2) CLASS_WORDS.push(words)
for (let power = 32; power < MAX_SMALL_WORDS; power *= 2) {
  for (let eighth = 1; eighth <= 8; eighth++) CLASS_WORDS.push(power + (power / 8) * eighth)
}
const CLASS_OF = new Uint8Array(MAX_SMALL_WORDS + 1)
for (let words = 1, klass = 0; words <= MAX_SMALL_WORDS; words++) {
  if (words > CLASS_WORDS[klass]!) klass++
  CLASS_OF[words] = klass
}

export class Arena {
  /** The word at `address` is `slabs[address >>> 18][address & SLAB_MASK]`. */
  readonly slabs: Uint32Array[] = []
  bytesUsed = 0
  readonly #maximumSlabs: number
  /** Free spans of each slab, as bits 0…63; none for a slab taken whole. */
  readonly #freeLow: number[] = []
  readonly #freeHigh: number[] = []
  readonly #wholeSlabs: number[] = []
  readonly #partial: Uint32Array = new Uint32Array(CLASS_WORDS.length)
  #freeSpans = 0
  /** No slab before this one has a free span. */
  #firstFree = 0

  constructor(maximumBytes: number) {
    this.#maximumSlabs = Math.min(MAX_SLABS, Math.floor(maximumBytes / SLAB_BYTES))
  }

  get bytesReserved(): number {
    return this.slabs.length * SLAB_BYTES
  }

  /**
   * Whether one more peer may be put: all that this can need, growth of tables included, is there. The maximum
   * is shared with `otherBytes` of whole slabs elsewhere.
   * A fragmented arena may still pass its maximum by the slab that a large table takes.
   */
  hasRoom(otherBytes: number): boolean {
    const slabs = this.slabs.length + Math.ceil(otherBytes / SLAB_BYTES)
    if (slabs > this.#maximumSlabs) return false
    const freeSpans = this.#freeSpans + this.#wholeSlabs.length * (SPANS - 1)
    return slabs < this.#maximumSlabs || freeSpans >= SPANS_A_PUT_MAY_TAKE
  }

  allocate(words: number): number {
    if (words > MAX_SMALL_WORDS) return this.#allocateRun(words)
    const klass = CLASS_OF[words]!
    const size = CLASS_WORDS[klass]!
    let id = this.#partial[klass]!
    if (id === 0) id = this.#openSpan(klass)
    const slab = this.slabs[id >>> 6]!
    const header = (id & 63) << 3
    let word = slab[header + FREED]!
    if (word !== 0) {
      slab[header + FREED] = slab[word]!
    } else {
      word = slab[header + FRESH]!
      slab[header + FRESH] = word + size
    }
    const live = slab[header + LIVE]! + 1
    slab[header + LIVE] = live
    if ((live + 1) * size > SPAN_WORDS) this.#unlink(klass, id)
    this.bytesUsed += size * 4
    return (id >>> 6) * SLAB_WORDS + word
  }

  /** `words` as they were asked for. */
  free(address: number, words: number): void {
    if (words > MAX_SMALL_WORDS) {
      this.#freeRun(address, words)
      return
    }
    const number = address >>> SLAB_SHIFT
    const slab = this.slabs[number]!
    const word = address & SLAB_MASK
    const span = word >>> SPAN_SHIFT
    const header = span << 3
    const klass = CLASS_OF[words]!
    const size = CLASS_WORDS[klass]!
    assert(slab[header + KIND] === klass + 1, 'a block is freed with the size it was asked for')
    const live = slab[header + LIVE]! - 1
    slab[header + LIVE] = live
    this.bytesUsed -= size * 4
    const id = number * SPANS + span
    if ((live + 2) * size > SPAN_WORDS) this.#link(klass, id)
    if (live === 0) {
      this.#unlink(klass, id)
      this.#giveSpans(number, span, 1)
      return
    }
    slab[word] = slab[header + FREED]!
    slab[header + FREED] = word
  }

  /** Sets `words` words at `address` to zero. */
  clear(address: number, words: number): void {
    for (let at = address; at < address + words; ) {
      const start = at & SLAB_MASK
      const end = Math.min(SLAB_WORDS, start + address + words - at)
      this.slabs[at >>> SLAB_SHIFT]!.fill(0, start, end)
      at += end - start
    }
  }

  #openSpan(klass: number): number {
    const id = this.#takeSpans(1)
    const slab = this.slabs[id >>> 6]!
    const header = (id & 63) << 3
    slab[header + KIND] = klass + 1
    slab[header + LIVE] = 0
    slab[header + FREED] = 0
    slab[header + FRESH] = (id & 63) << SPAN_SHIFT
    this.#link(klass, id)
    return id
  }

  #link(klass: number, id: number): void {
    const slab = this.slabs[id >>> 6]!
    const header = (id & 63) << 3
    const next = this.#partial[klass]!
    slab[header + PREVIOUS] = 0
    slab[header + NEXT] = next
    if (next !== 0) this.slabs[next >>> 6]![((next & 63) << 3) + PREVIOUS] = id
    this.#partial[klass] = id
  }

  #unlink(klass: number, id: number): void {
    const slab = this.slabs[id >>> 6]!
    const header = (id & 63) << 3
    const previous = slab[header + PREVIOUS]!
    const next = slab[header + NEXT]!
    if (previous === 0) this.#partial[klass] = next
    else this.slabs[previous >>> 6]![((previous & 63) << 3) + NEXT] = next
    if (next !== 0) this.slabs[next >>> 6]![((next & 63) << 3) + PREVIOUS] = previous
  }

  #allocateRun(words: number): number {
    if (words > SLAB_WORDS / 2) return this.#takeSlabs(Math.ceil(words / SLAB_WORDS)) * SLAB_WORDS
    const spans = runSpans(words)
    const id = this.#takeSpans(spans)
    this.bytesUsed += spans * SPAN_WORDS * 4
    return (id >>> 6) * SLAB_WORDS + ((id & 63) << SPAN_SHIFT)
  }

  #freeRun(address: number, words: number): void {
    const number = address >>> SLAB_SHIFT
    if (words > SLAB_WORDS / 2) {
      const slabs = Math.ceil(words / SLAB_WORDS)
      for (let i = 0; i < slabs; i++) this.#wholeSlabs.push(number + i)
      this.bytesUsed -= slabs * SLAB_BYTES
      return
    }
    const spans = runSpans(words)
    this.bytesUsed -= spans * SPAN_WORDS * 4
    this.#giveSpans(number, (address & SLAB_MASK) >>> SPAN_SHIFT, spans)
  }

  /** The id of the first of `spans` free ones; runs are aligned to their length. */
  #takeSpans(spans: number): number {
    for (let number = this.#firstFree; number < this.slabs.length; number++) {
      const low = this.#freeLow[number]!
      const high = this.#freeHigh[number]!
      if (low === 0 && high === 0) {
        if (number === this.#firstFree) this.#firstFree++
        continue
      }
      const inLow = alignedRun(low, spans)
      if (inLow >= 0) return this.#claim(number, inLow, spans)
      const inHigh = alignedRun(high, spans)
      if (inHigh >= 0) return this.#claim(number, 32 + inHigh, spans)
    }
    const number = this.#wholeSlabs.pop() ?? this.#takeNewSlab()
    this.#freeLow[number] = ~1
    this.#freeHigh[number] = ~0
    this.#freeSpans += SPANS - 1
    this.#firstFree = Math.min(this.#firstFree, number)
    this.slabs[number]!.fill(0, 0, SPANS * 8)
    return this.#claim(number, spans === 32 ? 32 : spans, spans)
  }

  #claim(number: number, span: number, spans: number): number {
    const mask = runMask(spans) << (span & 31)
    if (span < 32) this.#freeLow[number] = this.#freeLow[number]! & ~mask
    else this.#freeHigh[number] = this.#freeHigh[number]! & ~mask
    this.#freeSpans -= spans
    return number * SPANS + span
  }

  #giveSpans(number: number, span: number, spans: number): void {
    const mask = runMask(spans) << (span & 31)
    if (span < 32) this.#freeLow[number] = this.#freeLow[number]! | mask
    else this.#freeHigh[number] = this.#freeHigh[number]! | mask
    this.slabs[number]![(span << 3) + KIND] = 0
    this.#freeSpans += spans
    this.#firstFree = Math.min(this.#firstFree, number)
  }

  #takeSlabs(count: number): number {
    this.bytesUsed += count * SLAB_BYTES
    if (count === 1) return this.#wholeSlabs.pop() ?? this.#takeNewSlab()
    const first = this.#takeNewSlab()
    for (let i = 1; i < count; i++) this.#takeNewSlab()
    return first
  }

  #takeNewSlab(): number {
    assert(this.slabs.length < MAX_SLABS, 'the store keeps within the memory that it can address')
    this.#freeLow.push(0)
    this.#freeHigh.push(0)
    return this.slabs.push(new Uint32Array(new SharedArrayBuffer(SLAB_BYTES))) - 1
  }
}

function runSpans(words: number): number {
  let spans = 1
  while (spans * SPAN_WORDS < words) spans *= 2
  return spans
}

function runMask(spans: number): number {
  return spans === 32 ? ~0 : (1 << spans) - 1
}

/** Where in `bits` the first aligned run of `spans` set bits begins, or -1. */
function alignedRun(bits: number, spans: number): number {
  const mask = runMask(spans)
  for (let at = 0; at < 32; at += spans) if (((bits >>> at) & mask) === mask) return at
  return -1
}
