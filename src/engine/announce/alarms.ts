/**
 * When somebody wants to be called: one timer for all of them, where ten thousand torrents would have one for each tracker.
 *
 * Invariants: it is a heap by `dueMs`, each alarm knows its place in it; the timer runs while there is one, and calls nobody early; who
 * is called is out of the heap.
 */
import type { Clock } from '../../base/index.ts'

export interface Alarm {
  dueMs: number
  /** Among those that wait; -1: it is not set. For `Alarms` alone. */
  place: number
  /** What it sets then is for later. */
  ring(): void
}

export class Alarms {
  readonly #clock: Clock
  readonly #heap: Alarm[] = []
  #cancelTimer: (() => void) | undefined
  #timerMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Calls at `dueMs`, or as soon as may be, but never from within this call; in place of what was set before. */
  set(alarm: Alarm, dueMs: number): void {
    if (alarm.place < 0) alarm.place = this.#heap.push(alarm) - 1
    alarm.dueMs = dueMs
    this.#settle(alarm)
    this.#arm()
  }

  clear(alarm: Alarm): void {
    if (alarm.place < 0) return
    this.#remove(alarm)
    if (this.#heap.length === 0) this.#disarm()
  }

  #arm(): void {
    const first = this.#heap[0]
    if (first === undefined || (this.#cancelTimer !== undefined && this.#timerMs <= first.dueMs)) {
      return
    }
    this.#disarm()
    this.#timerMs = first.dueMs
    const delayMs = Math.max(0, first.dueMs - this.#clock.monotonicMs())
    this.#cancelTimer = this.#clock.after(delayMs, () => this.#ring())
  }

  #disarm(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
  }

  #ring(): void {
    this.#cancelTimer = undefined
    const nowMs = this.#clock.monotonicMs()
    for (let first = this.#heap[0]; first !== undefined && first.dueMs <= nowMs; ) {
      this.#remove(first)
      first.ring()
      first = this.#heap[0]
    }
    this.#arm()
  }

  #remove(alarm: Alarm): void {
    const last = this.#heap.pop()!
    if (last !== alarm) {
      this.#put(last, alarm.place)
      this.#settle(last)
    }
    alarm.place = -1
  }

  /** Up or down to where it belongs. */
  #settle(alarm: Alarm): void {
    const heap = this.#heap
    for (;;) {
      const parent = heap[(alarm.place - 1) >> 1]
      if (alarm.place === 0 || parent!.dueMs <= alarm.dueMs) break
      this.#swap(alarm, parent!)
    }
    for (;;) {
      const left = heap[2 * alarm.place + 1]
      const right = heap[2 * alarm.place + 2]
      if (left === undefined) return
      const least = right !== undefined && right.dueMs < left.dueMs ? right : left
      if (least.dueMs >= alarm.dueMs) return
      this.#swap(alarm, least)
    }
  }

  #swap(one: Alarm, other: Alarm): void {
    const { place } = one
    this.#put(one, other.place)
    this.#put(other, place)
  }

  #put(alarm: Alarm, place: number): void {
    this.#heap[place] = alarm
    alarm.place = place
  }
}
