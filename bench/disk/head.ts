/**
 * The head of a disk in real time: requests arrive, are served one at a time in the order of the
 * drive's queue, and are done when the model says so. It reads no clock and waits for nothing.
 *
 * Whoever asks is always a little late. So what is served next begins when the one before was done, not
 * when that was noticed: the lateness of a loop that sleeps does not add up.
 *
 * Invariants: one request is served at a time; each is done once; a request does not begin before it
 * arrived; with all requests there from the beginning, the last is done at the sum of their times.
 */
import { type DiskModel, DiskQueue, type DiskRequest } from '../../src/block-device/index.ts'

export class DiskHead<T extends DiskRequest> {
  readonly #model: DiskModel
  readonly #queue: DiskQueue<Arrived<T>>
  #serving: T | undefined
  #dueMs = Number.POSITIVE_INFINITY
  /** Hears of each request as its service begins. */
  onServed: (request: T, startMs: number) => void = () => {}

  constructor(model: DiskModel, queueDepth: number) {
    this.#model = model
    this.#queue = new DiskQueue(queueDepth)
  }

  /** Where the request under the head is done; infinite when there is none. */
  get dueMs(): number {
    return this.#dueMs
  }

  /** Those that wait, and the one that is served. */
  get length(): number {
    return this.#queue.length + (this.#serving === undefined ? 0 : 1)
  }

  arrive(request: T, nowMs: number): void {
    const { kind, offset, bytes } = request
    this.#queue.add({ kind, offset, bytes, request, arrivedMs: nowMs })
    if (this.#serving === undefined) this.#begin(nowMs)
  }

  /** The request that is done by `nowMs`, or undefined; ask until there is none. */
  finish(nowMs: number): T | undefined {
    const done = this.#serving
    if (done === undefined || this.#dueMs > nowMs) return undefined
    this.#serving = undefined
    this.#begin(this.#dueMs)
    return done
  }

  #begin(freeMs: number): void {
    const next = this.#queue.take(this.#model.head)
    if (next === undefined) {
      this.#dueMs = Number.POSITIVE_INFINITY
      return
    }
    const { request, arrivedMs, kind, offset, bytes } = next
    const startMs = Math.max(freeMs, arrivedMs)
    this.#serving = request
    this.onServed(request, startMs)
    this.#dueMs = startMs + this.#model.serve(kind, offset, bytes)
  }
}

interface Arrived<T> extends DiskRequest {
  readonly request: T
  readonly arrivedMs: number
}
