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

/** Resolves after `delayMs` of `clock`. */
export function delay(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve)
  })
}

interface ManualTask {
  readonly dueMs: number
  readonly sequence: number
  readonly task: () => void
}

/**
 * A clock that stands still until `advance` is called; due tasks run in order of their time, then of
 * their making.
 */
export class ManualClock implements Clock {
  #nowMs: number
  #sequence = 0
  #tasks: ManualTask[] = []

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
    const entry = { dueMs: this.#nowMs + Math.max(0, delayMs), sequence: this.#sequence++, task }
    this.#tasks.push(entry)
    return () => {
      this.#tasks = this.#tasks.filter((other) => other !== entry)
    }
  }

  advance(byMs: number): void {
    const endMs = this.#nowMs + byMs
    for (;;) {
      let next: ManualTask | undefined
      for (const entry of this.#tasks) {
        if (entry.dueMs > endMs) continue
        if (
          next === undefined ||
          entry.dueMs < next.dueMs ||
          (entry.dueMs === next.dueMs && entry.sequence < next.sequence)
        ) {
          next = entry
        }
      }
      if (next === undefined) break
      const chosen = next
      this.#tasks = this.#tasks.filter((entry) => entry !== chosen)
      this.#nowMs = Math.max(this.#nowMs, chosen.dueMs)
      chosen.task()
    }
    this.#nowMs = endMs
  }
}
