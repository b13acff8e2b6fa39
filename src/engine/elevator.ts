/**
 * What waits to be read from one disk, in the order of an elevator that goes one way: by ascending place,
 * then from the lowest again.
 *
 * ```
 *  place  -->   2   5  [cursor]  9  12  20      served: 9, 12, 20, 2, 5
 * ```
 *
 * Invariants: the next is the nearest at or after the cursor, or the lowest; among equal places, whoever
 * came first. Nothing is passed over by more than MAX_PASSED others: then it is its turn, and the cursor is
 * where it lies, so that nobody who asks for the same neighbourhood again and again keeps the others waiting.
 */
import { assert } from '../base/index.ts'

export const MAX_PASSED = 256

interface Waiting<Item> {
  readonly item: Item
  readonly place: number
  /** How many had been served when it came. */
  readonly since: number
}

export class Elevator<Item extends object> {
  /** By place, then by coming. */
  readonly #sorted: Waiting<Item>[] = []
  /** By coming. */
  readonly #byItem = new Map<Item, Waiting<Item>>()
  #cursor = 0
  #served = 0

  get size(): number {
    return this.#sorted.length
  }

  add(item: Item, place: number): void {
    assert(!this.#byItem.has(item), 'an item waits twice')
    const waiting = { item, place, since: this.#served }
    this.#byItem.set(item, waiting)
    this.#sorted.splice(this.#firstAfter(place), 0, waiting)
  }

  /** False when it does not wait. */
  delete(item: Item): boolean {
    const waiting = this.#byItem.get(item)
    if (waiting === undefined) return false
    this.#byItem.delete(item)
    this.#sorted.splice(this.#indexOf(waiting), 1)
    return true
  }

  /** The next, which goes on waiting; undefined when none waits. */
  peek(): Item | undefined {
    return this.#sorted[this.#nextIndex()]?.item
  }

  /** The next, which waits no more; undefined when none does. */
  take(): Item | undefined {
    if (this.#sorted.length === 0) return undefined
    const [next] = this.#sorted.splice(this.#nextIndex(), 1)
    this.#byItem.delete(next!.item)
    this.#cursor = next!.place
    this.#served++
    return next!.item
  }

  /** 0 when none waits. */
  #nextIndex(): number {
    const [oldest] = this.#byItem.values()
    if (oldest === undefined) return 0
    if (this.#served - oldest.since >= MAX_PASSED) return this.#indexOf(oldest)
    const index = this.#firstAt(this.#cursor)
    return index === this.#sorted.length ? 0 : index
  }

  #indexOf(waiting: Waiting<Item>): number {
    let index = this.#firstAt(waiting.place)
    while (this.#sorted[index] !== waiting) index++
    return index
  }

  /** The first whose place is at least `place`. */
  #firstAt(place: number): number {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#sorted[middle]!.place >= place) high = middle
      else low = middle + 1
    }
    return low
  }

  /** The first whose place is beyond `place`. */
  #firstAfter(place: number): number {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#sorted[middle]!.place > place) high = middle
      else low = middle + 1
    }
    return low
  }
}
