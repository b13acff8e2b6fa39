/**
 * Time as a dependency. Nothing outside this file reads the system's clocks or starts timers, so a
 * test can hand in a clock that it advances itself.
 */
export interface Clock {
  /** Milliseconds on a clock that never steps. Zero is arbitrary. */
  monotonicMs(): number
  /** Milliseconds since 1970 as the system believes them to be; may step. */
  wallMs(): number
  /**
   * Runs `task` once after `delayMs`; the result cancels it. In the background it does not keep the
   * process alive.
   */
  after(delayMs: number, task: () => void, background?: boolean): () => void
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, task, background = false) {
    const timer = setTimeout(task, delayMs)
    if (background) timer.unref()
    return () => clearTimeout(timer)
  },
}

/** Of so many looks at two clocks the one counts between which the least time went by. */
const ORIGIN_LOOKS = 16

/**
 * Where a clock's zero lies on the monotonic clock of the machine. Every thread of node counts from its own start; the
 * difference of two origins says how far two clocks are apart, to some microseconds even where threads wait for a processor.
 */
export function clockOriginMs(clock: Clock): number {
  let originMs = 0
  let leastMs = Number.POSITIVE_INFINITY
  for (let look = 0; look < ORIGIN_LOOKS; look++) {
    const beforeMs = machineMs()
    const nowMs = clock.monotonicMs()
    const tookMs = machineMs() - beforeMs
    if (tookMs >= leastMs) continue
    leastMs = tookMs
    originMs = beforeMs + tookMs / 2 - nowMs
  }
  return originMs
}

function machineMs(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}

/** Resolves after `delayMs` of `clock`. */
export function delay(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve)
  })
}

/** As `delay`, but over as soon as `signal` is aborted. */
export async function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => {
    const end = (): void => {
      cancel()
      signal.removeEventListener('abort', end)
      resolve()
    }
    const cancel = clock.after(delayMs, end)
    signal.addEventListener('abort', end, { once: true })
  })
}

interface ManualTask {
  readonly dueMs: number
  readonly sequence: number
  /** Undefined when it was cancelled. */
  task: (() => void) | undefined
}

/**
 * A clock that stands still until `advance` or `step` is called; due tasks run in order of their time,
 * then of their making. The tasks are a heap, so that whole swarms can run on one.
 */
export class ManualClock implements Clock {
  #nowMs: number
  #sequence = 0
  readonly #heap: ManualTask[] = []

  constructor(startMs = 0) {
    this.#nowMs = startMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, task: () => void): () => void {
    const entry: ManualTask = {
      dueMs: this.#nowMs + Math.max(0, delayMs),
      sequence: this.#sequence++,
      task,
    }
    this.#push(entry)
    return () => {
      entry.task = undefined
    }
  }

  /** Runs the next task, at its time. False when there is none, or none until `endMs`. */
  step(endMs: number = Number.POSITIVE_INFINITY): boolean {
    for (;;) {
      const next = this.#heap[0]
      if (next === undefined || next.dueMs > endMs) return false
      this.#pop()
      const { task } = next
      if (task === undefined) continue
      next.task = undefined
      this.#nowMs = Math.max(this.#nowMs, next.dueMs)
      task()
      return true
    }
  }

  advance(byMs: number): void {
    const endMs = this.#nowMs + byMs
    while (this.step(endMs));
    this.#nowMs = endMs
  }

  #push(entry: ManualTask): void {
    const heap = this.#heap
    let at = heap.push(entry) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(entry, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = entry
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
  }
}

function isBefore(a: ManualTask, b: ManualTask): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.sequence < b.sequence)
}
