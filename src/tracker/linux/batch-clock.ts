/**
 * A clock that is looked at once a round: between two `take`s its monotonic time stands still. A look costs as much as a good part of
 * answering a request. Its time is that of the main thread, whatever thread it is in.
 *
 * Its thread never returns to node's event loop, which has the timers. So what is to be done later is done in the round that `runDue` ends,
 * never early, and as late as rounds are long.
 */
import { type Clock, clockOriginMs } from '../../base/index.ts'

interface Task {
  readonly dueMs: number
  readonly run: () => void
}

export class BatchClock implements Clock {
  readonly #clock: Clock
  readonly #offsetMs: number
  #nowMs: number
  readonly #tasks = new Set<Task>()

  /** `originMs` is that of the main thread's clock. */
  constructor(clock: Clock, originMs: number) {
    this.#clock = clock
    this.#offsetMs = clockOriginMs(clock) - originMs
    this.#nowMs = Math.floor(this.exactMs())
  }

  /** The same time, looked at whenever it is asked for. */
  get exact(): Clock {
    return {
      monotonicMs: () => this.exactMs(),
      wallMs: () => this.wallMs(),
      after: (delayMs, task) => this.after(delayMs, task),
    }
  }

  take(): void {
    this.#nowMs = Math.floor(this.exactMs())
  }

  /** At the last `take`, in whole milliseconds: a fraction would be an object on the heap for each who asks. */
  monotonicMs(): number {
    return this.#nowMs
  }

  /** Now, not at the last `take`. */
  exactMs(): number {
    return this.#clock.monotonicMs() + this.#offsetMs
  }

  wallMs(): number {
    return this.#clock.wallMs()
  }

  after(delayMs: number, run: () => void): () => void {
    const task = { dueMs: this.exactMs() + delayMs, run }
    this.#tasks.add(task)
    return () => this.#tasks.delete(task)
  }

  /** Does what is due at the last `take`. There are few such tasks: each is looked at. */
  runDue(): void {
    for (const task of this.#tasks) {
      if (task.dueMs > this.#nowMs) continue
      this.#tasks.delete(task)
      task.run()
    }
  }
}
