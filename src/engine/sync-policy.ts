/**
 * When the volume is made durable: every few seconds while there is something to make durable, and when
 * somebody waits for it: at once (`now`), or as soon as it does not keep a busy disk from its work
 * (`soon`). On a disk that spins a sync is two seeks and a few small writes; torrents that become complete
 * one after the other share it, and it is the periodic one, too, where nothing else has changed.
 *
 * Invariants: one sync of `now` runs at a time; whoever called `now` or `soon` has all that was written before the
 * call durable when it resolves; a change is durable SYNC_INTERVAL_MS later or a sync of it has begun; without changes
 * the device is left alone; after `stop` no timer is left.
 */
import type { Clock } from '../base/index.ts'

export const SYNC_INTERVAL_MS = 5_000
/** While the disk has other work, syncs that can wait take at most this part of its time. */
const SHARE = 1 / 50
const LOOK_MS = 50

export class SyncPolicy {
  readonly #sync: () => Promise<void>
  readonly #clock: Clock
  readonly #failed: (error: Error) => void
  readonly #busy: () => boolean
  #running: Promise<void> | undefined
  /** The sync after the running one, which those wait for who came too late for it. */
  #next: Promise<void> | undefined
  /** What those who can wait are waiting for. */
  #resting: Promise<void> | undefined
  #underWay = 0
  #endRest: (() => void) | undefined
  #restUntilMs = 0
  /** Disks with something to make durable; the store itself when nobody knows on which. */
  readonly #changed = new Set<object>()
  #cancelTimer: (() => void) | undefined
  #stopped = false

  /**
   * `failed` hears of every sync that failed, before those who wait for it; `busy` says whether the disk
   * has other work.
   */
  constructor(
    sync: () => Promise<void>,
    clock: Clock,
    failed: (error: Error) => void,
    busy: () => boolean = () => false,
  ) {
    this.#sync = sync
    this.#clock = clock
    this.#failed = failed
    this.#busy = busy
  }

  /** There is something to make durable: on this disk, or on any. */
  changed(disk: object = this): void {
    if (this.#stopped) return
    this.#changed.add(disk)
    if (this.#cancelTimer !== undefined) return
    this.#cancelTimer = this.#clock.after(SYNC_INTERVAL_MS, () => {
      this.now().catch(ignore)
    })
  }

  /**
   * Runs `sync`, which makes all of `disk` durable, but not before the disk is idle or has rested from
   * syncs. Those who wait begin in one turn, so a volume makes them one.
   */
  async soon(disk: object, sync: () => Promise<void>): Promise<void> {
    this.#resting ??= this.#rest().then(() => {
      this.#resting = undefined
    })
    await this.#resting
    if (this.#changed.delete(disk) && this.#changed.size === 0) this.#endTimer()
    try {
      await this.#measured(sync)
    } catch (error) {
      this.changed(disk)
      throw error
    }
  }

  #rest(): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        const rested = this.#underWay === 0 && this.#clock.monotonicMs() >= this.#restUntilMs
        if (this.#stopped || rested || !this.#busy()) {
          this.#endRest = undefined
          resolve()
          return
        }
        const cancel = this.#clock.after(LOOK_MS, look)
        this.#endRest = () => {
          cancel()
          look()
        }
      }
      look()
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
    this.#endRest?.()
    this.#endTimer()
  }

  #endTimer(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
  }

  #run(): Promise<void> {
    this.#endTimer()
    this.#changed.clear()
    const running = this.#measured(this.#sync).then(
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

  async #measured(sync: () => Promise<void>): Promise<void> {
    const startMs = this.#clock.monotonicMs()
    this.#underWay++
    try {
      await sync()
    } finally {
      this.#underWay--
      const endMs = this.#clock.monotonicMs()
      const restMs = Math.min((endMs - startMs) / SHARE, SYNC_INTERVAL_MS)
      this.#restUntilMs = Math.max(this.#restUntilMs, endMs + restMs)
    }
  }
}

const ignore = (): void => {}
