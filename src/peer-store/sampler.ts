/**
 * Uniform choice of k different numbers below n, in work that depends on k alone.
 *
 * Floyd's algorithm: for j = n-k … n-1 draw t in [0, j]; take t, or j if t is taken already. Every subset
 * of size k is equally likely; there is one draw a number and no retry. (A walk with a random start and a random
 * stride would be cheaper, but can reach only a few of the subsets: neighbours would always be met together.)
 * What is taken is stamped with the number of the call in an array of one entry a position.
 *
 * Where n is at most 256, as in nearly all swarms, and much of it is taken, Floyd's numbers are taken already again and again, and the processor
 * guesses wrong as often. There the first k of a shuffle are drawn (Fisher and Yates), each a swap: there is an order of each n, and any
 * order will do to begin with, so it stays as the last call left it.
 *
 * A draw is exact: 16 random bits times the bound, of which the upper half is the result and a lower half
 * below 65536 mod bound is drawn again (Lemire, Fast Random Integer Generation in an Interval).
 * The generator is xoshiro128**, seeded from the Random that was handed in: who is met is no secret.
 */
import type { Random } from '../base/index.ts'
import { MAX_DENSE } from './layout.ts'

/** Bound on n: positions of small and dense swarms. */
const MAX_POSITIONS: number = MAX_DENSE
/** Bounds up to this one have an order, whose numbers are bytes. */
const MAX_ORDERED = 256

export class Sampler {
  /** The result of `choose`. */
  chosen: Int32Array = new Int32Array(MAX_POSITIONS)
  readonly #stamps = new Int32Array(MAX_POSITIONS)
  #stamp = 0
  /** The order of n begins at n (n - 1) / 2. */
  readonly #orders = new Uint8Array((MAX_ORDERED * (MAX_ORDERED + 1)) / 2)
  #s0: number
  #s1: number
  #s2: number
  #s3: number
  /** State of `#again`. */
  #seldom: number

  constructor(random: Random) {
    for (let bound = 1; bound <= MAX_ORDERED; bound++) {
      for (let i = 0; i < bound; i++) this.#orders[(bound * (bound - 1)) / 2 + i] = i
    }
    this.#seldom = random.uint32() | 0
    this.#s0 = random.uint32() | 0
    this.#s1 = random.uint32() | 0
    this.#s2 = random.uint32() | 0
    // All zeros would stay all zeros.
    this.#s3 = random.uint32() | 1
  }

  /** Makes room for `count` results. Allocates only when `count` is larger than ever before. */
  reserve(count: number): void {
    if (count > this.chosen.length) this.chosen = new Int32Array(count)
  }

  /** 32 random bits, as int32. */
  next(): number {
    const s1 = this.#s1
    const product = Math.imul(s1, 5)
    const result = Math.imul((product << 7) | (product >>> 25), 9)
    const t = s1 << 9
    const s2 = this.#s2 ^ this.#s0
    const s3 = this.#s3 ^ s1
    this.#s1 = s1 ^ s2
    this.#s0 ^= s3
    this.#s2 = s2 ^ t
    this.#s3 = (s3 << 11) | (s3 >>> 21)
    return result
  }

  /** Uniform over [0, bound), for a bound from 1 to 2^26: exact. */
  below(bound: number): number {
    const mask = bound === 1 ? 0 : 0xffffffff >>> Math.clz32(bound - 1)
    for (;;) {
      const value = this.next() & mask
      if (value >>> 0 < bound) return value >>> 0
    }
  }

  /**
   * Fills `chosen[0…count)` with different ones of the addresses `base + p * stride`, p below `bound`; where `self` would be chosen,
   * `last` is, which is none of them. `bound` is at most MAX_POSITIONS, `count` at most `bound`. Allocates nothing.
   */
  choose(
    count: number,
    bound: number,
    base: number,
    stride: number,
    self: number,
    last: number,
  ): void {
    const chosen = this.chosen
    if (count >= bound) {
      for (let i = 0, at = base; i < count; i++, at += stride) chosen[i] = at === self ? last : at
      return
    }
    if (bound <= MAX_ORDERED) {
      this.#shuffle(count, bound, base, stride, self, last)
      return
    }
    const stamps = this.#stamps
    this.#stamp = (this.#stamp + 1) | 0
    if (this.#stamp === 0) {
      stamps.fill(0)
      this.#stamp = 1
    }
    const stamp = this.#stamp
    let s0 = this.#s0
    let s1 = this.#s1
    let s2 = this.#s2
    let s3 = this.#s3
    // One generator step serves two draws. `| 0` where nothing can overflow: a third of the time went into looking.
    for (let i = 0, range = (bound - count + 1) | 0; i < count; range = (range + 2) | 0) {
      const five = Math.imul(s1, 5)
      const bits = Math.imul((five << 7) | (five >>> 25), 9)
      const t = s1 << 9
      s2 ^= s0
      s3 ^= s1
      s1 ^= s2
      s0 ^= s3
      s2 ^= t
      s3 = (s3 << 11) | (s3 >>> 21)
      let product = Math.imul(bits & 0xffff, range)
      let value = product >>> 16
      if ((product & 0xffff) < range && (product & 0xffff) < 65536 % range) {
        value = this.#again(range)
      }
      // Were `value` taken, the last of the range cannot be: all that was taken is below it.
      if (stamps[value] === stamp) value = (range - 1) | 0
      stamps[value] = stamp
      let at = (base + Math.imul(value, stride)) | 0
      chosen[i] = at === self ? last : at
      i = (i + 1) | 0
      if (i === count) break
      product = Math.imul(bits >>> 16, (range + 1) | 0)
      value = product >>> 16
      if ((product & 0xffff) <= range && (product & 0xffff) < 65536 % (range + 1)) {
        value = this.#again(range + 1)
      }
      if (stamps[value] === stamp) value = range
      stamps[value] = stamp
      at = (base + Math.imul(value, stride)) | 0
      chosen[i] = at === self ? last : at
      i = (i + 1) | 0
    }
    this.#s0 = s0
    this.#s1 = s1
    this.#s2 = s2
    this.#s3 = s3
  }

  /** `choose` for a bound that has an order, and fewer than all of it. */
  #shuffle(
    count: number,
    bound: number,
    base: number,
    stride: number,
    self: number,
    last: number,
  ): void {
    const chosen = this.chosen
    const orders = this.#orders
    let s0 = this.#s0
    let s1 = this.#s1
    let s2 = this.#s2
    let s3 = this.#s3
    let place = (bound * (bound - 1)) >>> 1
    for (let i = 0, range = bound | 0; i < count; ) {
      const five = Math.imul(s1, 5)
      const bits = Math.imul((five << 7) | (five >>> 25), 9)
      const t = s1 << 9
      s2 ^= s0
      s3 ^= s1
      s1 ^= s2
      s0 ^= s3
      s2 ^= t
      s3 = (s3 << 11) | (s3 >>> 21)
      let product = Math.imul(bits & 0xffff, range)
      let draw = product >>> 16
      if ((product & 0xffff) < range && (product & 0xffff) < 65536 % range) {
        draw = this.#again(range)
      }
      let value = orders[(place + draw) | 0]!
      orders[(place + draw) | 0] = orders[place]!
      orders[place] = value
      let at = (base + Math.imul(value, stride)) | 0
      chosen[i] = at === self ? last : at
      place = (place + 1) | 0
      range = (range - 1) | 0
      i = (i + 1) | 0
      if (i === count) break
      product = Math.imul(bits >>> 16, range)
      draw = product >>> 16
      if ((product & 0xffff) < range && (product & 0xffff) < 65536 % range) {
        draw = this.#again(range)
      }
      value = orders[(place + draw) | 0]!
      orders[(place + draw) | 0] = orders[place]!
      orders[place] = value
      at = (base + Math.imul(value, stride)) | 0
      chosen[i] = at === self ? last : at
      place = (place + 1) | 0
      range = (range - 1) | 0
      i = (i + 1) | 0
    }
    this.#s0 = s0
    this.#s1 = s1
    this.#s2 = s2
    this.#s3 = s3
  }

  /** A draw that must be made again, by a generator of its own: that of `choose` is in its hands. */
  #again(range: number): number {
    for (;;) {
      this.#seldom = (Math.imul(this.#seldom, 0x915f77f5) + 0x6a09e667) | 0
      const product = Math.imul(this.#seldom >>> 16, range)
      if ((product & 0xffff) >= 65536 % range) return product >>> 16
    }
  }
}
