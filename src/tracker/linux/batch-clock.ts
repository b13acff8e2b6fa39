/**
 * A clock that is looked at once a round: between two `take`s its monotonic time stands still. A look costs as much as a good part of
 * answering a request. Its time is that of the main thread, whatever thread it is in.
 */
import { type Clock, clockOriginMs } from '../../base/index.ts'

export class BatchClock implements Clock {
  readonly #clock: Clock
  readonly #offsetMs: number
  #nowMs: number

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
      after: (delayMs, task, background) => this.after(delayMs, task, background),
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

  after(delayMs: number, task: () => void, background?: boolean): () => void {
    return this.#clock.after(delayMs, task, background)
  }
}
