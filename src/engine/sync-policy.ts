/**
 * When the volume is made durable: every few seconds while there is something to make durable, and at
 * once when somebody waits for it.
 *
 * Invariants: one sync runs at a time; whoever called `now` has all that was written before the call
 * durable when it resolves; without changes the device is left alone.
 */
import type { Clock } from '../base/index.ts'

export const SYNC_INTERVAL_MS = 5_000

export class SyncPolicy {
  readonly #sync: () => Promise<void>
  readonly #clock: Clock
  readonly #failed: (error: Error) => void
  #running: Promise<void> | undefined
  /** The sync after the running one, which those wait for who came too late for it. */
  #next: Promise<void> | undefined
  #cancelTimer: (() => void) | undefined
  #stopped = false

  /** `failed` hears of every sync that failed, before those who wait for it. */
  constructor(sync: () => Promise<void>, clock: Clock, failed: (error: Error) => void) {
    this.#sync = sync
    this.#clock = clock
    this.#failed = failed
  }

  /** There is something to make durable. */
  changed(): void {
    if (this.#stopped || this.#cancelTimer !== undefined) return
    this.#cancelTimer = this.#clock.after(SYNC_INTERVAL_MS, () => {
      this.now().catch(ignore)
    })
  }

  now(): Promise<void> {
    if (this.#next !== undefined) return this.#next
    if (this.#running === undefined) return this.#run()
    const before = this.#running
    this.#next = before.then(ignore, ignore).then(() => {
      this.#next = undefined
      return this.#run()
    })
    return this.#next
  }

  /** No periodic sync any more. */
  stop(): void {
    this.#stopped = true
    this.#cancelTimer?.()
  }

  #run(): Promise<void> {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    const running = this.#sync().then(
      () => {
        this.#running = undefined
      },
      (error: unknown) => {
        this.#running = undefined
        this.#failed(error instanceof Error ? error : new Error(String(error)))
        throw error
      },
    )
    this.#running = running
    return running
  }
}

const ignore = (): void => {}
