/**
 * Torrents that their storage has paused are tried again: a disk that was full, unplugged or busy may be well.
 *
 * Invariants: the first try comes after FIRST_MS, each further one after twice the time, at most LAST_MS; one
 * that ran for LAST_MS begins anew; other errors than those of storage are for good; nothing runs after `stop`.
 */
import { type Clock, errnoOf } from '../base/index.ts'
import type { EngineTorrent } from '../engine/index.ts'

export const FIRST_MS = 30_000
export const LAST_MS: number = 10 * 60_000
const STORAGE = /^(DEVICE|FS|FILES)_/

interface Trying {
  tries: number
  /** When it went on last. */
  resumedMs: number
  cancel: () => void
}

export class Retries {
  readonly #clock: Clock
  readonly #resume: (infoHash: Uint8Array) => Promise<void>
  readonly #trying = new Map<EngineTorrent, Trying>()
  readonly #running = new Set<Promise<void>>()
  #stopped = false

  constructor(clock: Clock, resume: (infoHash: Uint8Array) => Promise<void>) {
    this.#clock = clock
    this.#resume = resume
  }

  /** The torrent has failed. Returns after which time it is tried again; null: never. */
  failed(torrent: EngineTorrent): number | null {
    const retriable = torrent.stored !== undefined && STORAGE.test(errnoOf(torrent.error) ?? '')
    if (!retriable || this.#stopped) return null
    let trying = this.#trying.get(torrent)
    if (trying === undefined) {
      trying = { tries: 0, resumedMs: Number.NEGATIVE_INFINITY, cancel: () => {} }
      this.#trying.set(torrent, trying)
    } else if (this.#clock.monotonicMs() - trying.resumedMs >= LAST_MS) trying.tries = 0
    return this.#schedule(torrent, trying)
  }

  #schedule(torrent: EngineTorrent, trying: Trying): number {
    trying.cancel()
    const delayMs = Math.min(LAST_MS, FIRST_MS * 2 ** trying.tries)
    trying.tries++
    trying.cancel = this.#clock.after(delayMs, () => this.#try(torrent, trying), true)
    return delayMs
  }

  #try(torrent: EngineTorrent, trying: Trying): void {
    const running = this.#resume(torrent.infoHash).then(
      () => {
        trying.resumedMs = this.#clock.monotonicMs()
      },
      () => {
        if (!this.#stopped) this.#schedule(torrent, trying)
      },
    )
    this.#running.add(running)
    running.then(() => this.#running.delete(running))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    for (const { cancel } of this.#trying.values()) cancel()
    await Promise.all(this.#running)
  }
}
