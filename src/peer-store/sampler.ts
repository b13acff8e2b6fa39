/**
 * Uniform choice of k different numbers below n, in work that depends on k alone.
 *
 * Floyd's algorithm: for j = n-k … n-1 draw t in [0, j]; take t, or j if t is taken already. Every subset
 * of size k is equally likely; there is one draw a number and no retry. (A walk with a random start and a random
 * stride would be cheaper, but can reach only a few of the subsets: neighbours would always be met together.)
 * What is taken is kept in a small open-addressing set that a generation number empties.
 */
import type { Random } from '../base/index.ts'

const FIRST_CAPACITY = 256

export class Sampler {
  /** The result of `choose`. */
  chosen: Uint32Array = new Uint32Array(FIRST_CAPACITY)
  readonly #random: Random
  #members = new Uint32Array(FIRST_CAPACITY * 4)
  #generations = new Uint32Array(FIRST_CAPACITY * 4)
  #generation = 0

  constructor(random: Random) {
    this.#random = random
  }

  /**
   * Fills `chosen[0…count)` with different numbers below `bound`; `count` is at most `bound`. Allocates only when
   * `count` is larger than ever before.
   */
  choose(count: number, bound: number): void {
    if (count > this.chosen.length) this.#enlarge(count)
    const chosen = this.chosen
    if (count === bound) {
      for (let i = 0; i < count; i++) chosen[i] = i
      return
    }
    this.#generation = (this.#generation + 1) >>> 0
    if (this.#generation === 0) {
      this.#generations.fill(0)
      this.#generation = 1
    }
    for (let i = 0, last = bound - count; i < count; i++, last++) {
      const drawn = this.#below(last + 1)
      if (this.#take(drawn)) {
        chosen[i] = drawn
      } else {
        // Never taken before: all that was taken is below it.
        this.#take(last)
        chosen[i] = last
      }
    }
  }

  /** Uniform over [0, bound): the bits that bound needs, drawn again (less than every second time) if beyond. */
  #below(bound: number): number {
    const mask = 0xffffffff >>> Math.clz32(bound - 1)
    if (bound === 1) return 0
    for (;;) {
      const value = this.#random.uint32() & mask
      if (value >>> 0 < bound) return value >>> 0
    }
  }

  /** False when `value` was taken already. */
  #take(value: number): boolean {
    const mask = this.#members.length - 1
    let slot = Math.imul(value, 0x9e3779b1) >>> Math.clz32(mask)
    for (; this.#generations[slot] === this.#generation; slot = (slot + 1) & mask) {
      if (this.#members[slot] === value) return false
    }
    this.#generations[slot] = this.#generation
    this.#members[slot] = value
    return true
  }

  #enlarge(count: number): void {
    let capacity = this.chosen.length
    while (capacity < count) capacity *= 2
    this.chosen = new Uint32Array(capacity)
    this.#members = new Uint32Array(capacity * 4)
    this.#generations = new Uint32Array(capacity * 4)
  }
}
