/**
 * Scrubs while a node runs: pass after pass, all that its devices hold is read and hashed again, each
 * device by itself and no faster than it is told to, so that uploads and downloads go on beside it.
 *
 * The torrents of a pass come in an order that is drawn: a node that is restarted often reaches all of
 * them all the same, and nothing need be remembered.
 *
 * Invariants: of each device one torrent is scrubbed at a time; a pass begins at most every `everyMs`;
 * once `stop` has resolved nothing is read any more.
 */
import {
  below,
  type Clock,
  errnoOf,
  type Logger,
  pause,
  type Random,
  toHex,
} from '../base/index.ts'
import type { TorrentInfo } from '../metainfo/index.ts'
import type { StoredTorrent, TorrentStore } from '../torrent-store/index.ts'
import type { Described } from './described.ts'
import { type ScrubReport, scrubTorrent } from './scrub.ts'

/** Rotten pieces of a torrent that is in use are taken back together: it costs those connections whose peers know no BEP 54. */
const HEAL_EVERY_MS = 60_000

export interface ScrubSchedule {
  /** Bytes a second, of each device. */
  readonly rateBytes: number
  /** From the beginning of one pass to that of the next, at least. */
  readonly everyMs: number
}

export interface ScrubberHost {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** What is scrubbed side by side. */
  stores(): readonly TorrentStore[]
  describe(stored: StoredTorrent): Promise<Described>
  /** Takes the have-bits of rotten pieces back, durably, and the promise to peers with them. */
  heal(stored: StoredTorrent, info: TorrentInfo, pieces: readonly number[]): Promise<void>
  scrubbed(info: TorrentInfo, report: ScrubReport): void
}

export class Scrubber {
  readonly #host: ScrubberHost
  readonly #schedule: ScrubSchedule
  readonly #ending = new AbortController()
  readonly #running: Promise<void>

  constructor(host: ScrubberHost, schedule: ScrubSchedule) {
    this.#host = host
    this.#schedule = schedule
    this.#running = this.#run()
  }

  /** What was found until then is healed. */
  stop(): Promise<void> {
    this.#ending.abort()
    return this.#running
  }

  async #run(): Promise<void> {
    const { clock } = this.#host
    const { signal } = this.#ending
    while (!signal.aborted) {
      const beganMs = clock.monotonicMs()
      await Promise.all(this.#host.stores().map((store) => this.#pass(store)))
      const restMs = beganMs + this.#schedule.everyMs - clock.monotonicMs()
      // At least a moment, so that a node without torrents does not spin.
      await pause(clock, Math.max(restMs, 1000), signal)
    }
  }

  async #pass(store: TorrentStore): Promise<void> {
    const { random, logger } = this.#host
    const torrents = [...store.torrents()]
    while (torrents.length > 0 && !this.#ending.signal.aborted) {
      const at = below(random, torrents.length)
      const stored = torrents[at]!
      torrents[at] = torrents.at(-1)!
      torrents.pop()
      try {
        await this.#scrub(store, stored)
      } catch (error) {
        // Removed meanwhile, or damaged, or its device failed: the others can be scrubbed.
        if (errnoOf(error) === 'INTERRUPTED') return
        logger.warn({ infoHash: toHex(stored.infoHash), err: error }, 'a torrent was not scrubbed')
      }
    }
  }

  async #scrub(store: TorrentStore, stored: StoredTorrent): Promise<void> {
    const { clock } = this.#host
    const described = await this.#host.describe(stored)
    const { info } = described
    let rotten: number[] = []
    let healedMs = Number.NEGATIVE_INFINITY
    const heal = async (): Promise<void> => {
      const pieces = rotten
      rotten = []
      healedMs = clock.monotonicMs()
      if (pieces.length > 0) await this.#host.heal(stored, info, pieces)
    }
    try {
      const report = await scrubTorrent(store, stored, described, {
        clock,
        rateBytes: this.#schedule.rateBytes,
        signal: this.#ending.signal,
        onRotten: async (piece) => {
          rotten.push(piece)
          if (clock.monotonicMs() - healedMs >= HEAL_EVERY_MS) await heal()
        },
      })
      await heal()
      if (report.checkedPieces > 0) this.#host.scrubbed(info, report)
    } finally {
      await heal()
    }
  }
}
