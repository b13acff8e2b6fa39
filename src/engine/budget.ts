/**
 * Memory that many connections share: what each holds for a peer that has said half a message, or that does
 * not read what it was told. Whoever finds none left is cut off.
 *
 * Invariant: `used` is what was taken and not given back, and at most `limit`.
 */
import { assert } from '../base/index.ts'

export class Budget {
  readonly limit: number
  #used = 0

  constructor(limit: number) {
    this.limit = limit
  }

  get used(): number {
    return this.#used
  }

  /** False when there is not that much left: nothing is taken then. */
  take(bytes: number): boolean {
    if (this.#used + bytes > this.limit) return false
    this.#used += bytes
    return true
  }

  give(bytes: number): void {
    assert(bytes <= this.#used, 'more is given back than was taken')
    this.#used -= bytes
  }
}
