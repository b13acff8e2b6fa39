/**
 * Lets large writes into the kernel one after the other.
 *
 * The kernel cuts a large direct write into requests of a MiB or less, in the thread that called it. When two threads do so at
 * once their requests come mixed, and a disk whose queue nobody sorts seeks for each of them:
 *
 * ```
 * at once:         a0 b0 a1 b1 a2 b2 a3 b3        through here:  a0 a1 a2 a3 b0 b1 b2 b3
 * ```
 *
 * When the kernel has taken all of a write it does not say. So the next goes in when the one before is done, or is under
 * way for ENTRY_MS: long for cutting four MiB, short beside their time on a disk that spins (20 ms and more), so that
 * the disk has its next request before it is done with this one.
 *
 * Invariants: writes go in in the order of their coming; while a large one goes in, no other does, and at most `atMost` large
 * ones are under way; a small one goes in and holds up nobody.
 */
import type { Clock } from '../base/index.ts'

/** Fewer bytes are one request, as good as always. */
export const LARGE_BYTES: number = 512 * 1024
export const ENTRY_MS = 4

interface Waiting {
  readonly bytes: number
  begin(): void
}

export class Turnstile {
  readonly #clock: Clock
  readonly #atMost: number
  readonly #waiting: Waiting[] = []
  /** Large ones. */
  #underWay = 0
  /** Ends the wait for the one that goes in. */
  #cancelTimer: (() => void) | undefined

  constructor(clock: Clock, atMost: number = Number.POSITIVE_INFINITY) {
    this.#clock = clock
    this.#atMost = atMost
  }

  /** Runs `write`, which writes so many bytes, when it is its turn. */
  pass(bytes: number, write: () => Promise<void>): Promise<void> {
    if (this.#waiting.length === 0 && this.#mayEnter(bytes)) return this.#enter(bytes, write)
    return new Promise((resolve, reject) => {
      const begin = (): void => void this.#enter(bytes, write).then(resolve, reject)
      this.#waiting.push({ bytes, begin })
    })
  }

  #mayEnter(bytes: number): boolean {
    if (this.#cancelTimer !== undefined) return false
    return bytes < LARGE_BYTES || this.#underWay < this.#atMost
  }

  #enter(bytes: number, write: () => Promise<void>): Promise<void> {
    if (bytes < LARGE_BYTES) return write()
    this.#underWay++
    const cancelTimer = this.#clock.after(ENTRY_MS, () => {
      this.#cancelTimer = undefined
      this.#next()
    })
    this.#cancelTimer = cancelTimer
    const written = write()
    const ended = (): void => {
      this.#underWay--
      if (this.#cancelTimer === cancelTimer) {
        cancelTimer()
        this.#cancelTimer = undefined
      }
      this.#next()
    }
    written.then(ended, ended)
    return written
  }

  #next(): void {
    while (this.#waiting.length > 0 && this.#mayEnter(this.#waiting[0]!.bytes)) {
      this.#waiting.shift()!.begin()
    }
  }
}
