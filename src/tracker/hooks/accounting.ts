/**
 * `accounting`: an append-only log of who moved how much, for another system to read. One line of JSON an announce:
 *
 *     {"time":1700000000000,"owner":"alice","infoHash":"…","peerId":"…","event":"completed",
 *      "uploaded":0,"downloaded":1048576,"leftChange":-1048576,"left":0}
 *
 * `uploaded` and `downloaded` are what was moved since the announce before; `"unknown":true` says that nothing was known of
 * it (the tracker or its hooks had started anew), and both are 0. Numbers are whole and below 2^53: what clients say may be anything of 64 bits, and
 * readers with signed or with exact numbers would stumble over it. Lines are written every second; the file is opened for each
 * write, so it can be moved away at any time.
 *
 * Front ends in other threads bring their announces here in rings (accounting-ring.ts): there is one writer, and one memory of who said what.
 *
 * Invariant: what waits to be written is bounded. When the disk does not keep up lines are lost, counted and logged; announces
 * are not held up.
 */
import { appendFile, open } from 'node:fs/promises'
import { type Clock, errnoOf, type Logger, type Random, toHex } from '../../base/index.ts'
import {
  type AnnounceAnswer,
  type AnnounceRequest,
  EVENT_COMPLETED,
  EVENT_STARTED,
  EVENT_STOPPED,
} from '../announce-request.ts'
import { unwritable } from '../errors.ts'
import { type AccountedAnnounce, AccountingRing } from './accounting-ring.ts'
import { AccountingTable } from './accounting-table.ts'
import type { Hook } from './hook.ts'
import type { HookShare } from './hook-share.ts'

const WRITE_MS = 1000
/** How long announces of other threads wait. */
const DRAIN_MS = 25
const MAX_PENDING_CHARACTERS = 16 * 2 ** 20

export interface AccountingOptions {
  readonly file: string
  readonly memoryBytes: number
}

const EVENT_NAMES: ReadonlyMap<number, string> = new Map([
  [EVENT_STARTED, 'started'],
  [EVENT_STOPPED, 'stopped'],
  [EVENT_COMPLETED, 'completed'],
])

export class Accounting implements Hook {
  readonly #file: string
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #table: AccountingTable
  #pending: string[] = []
  #pendingCharacters = 0
  #lost = 0
  #writing: Promise<void> = Promise.resolve()
  readonly #rings = new Map<number, AccountingRing>()
  #cancel = (): void => {}
  #cancelDrain = (): void => {}
  #stopped = false

  constructor(options: AccountingOptions, clock: Clock, random: Random, logger: Logger) {
    this.#file = options.file
    this.#clock = clock
    this.#logger = logger
    this.#table = new AccountingTable(random, options.memoryBytes)
  }

  observe(request: AnnounceRequest, _answer: AnnounceAnswer): void {
    this.#account(request, this.#clock.wallMs())
  }

  /** A ring for each thread, also for the one that takes the place of another. */
  share(thread: number): HookShare {
    let ring = this.#rings.get(thread)
    if (ring === undefined) {
      ring = new AccountingRing()
      this.#rings.set(thread, ring)
      if (this.#rings.size === 1) this.#drainLater()
    }
    return { name: 'accounting', ring: ring.buffer }
  }

  #account(
    announce: Pick<
      AccountedAnnounce,
      'owner' | 'infoHash' | 'peerId' | 'event' | 'uploaded' | 'downloaded' | 'left'
    >,
    wallMs: number,
  ): void {
    const { owner, infoHash, peerId, event } = announce
    const left = exact(announce.left)
    const totals = {
      uploaded: exact(announce.uploaded),
      downloaded: exact(announce.downloaded),
      left,
    }
    const begins = event === EVENT_STARTED
    const ends = event === EVENT_STOPPED
    const second = 1 + Math.floor(this.#clock.monotonicMs() / 1000)
    const moved = this.#table.note(owner, infoHash, peerId, totals, begins, ends, second)
    if (this.#pendingCharacters > MAX_PENDING_CHARACTERS) {
      this.#lost++
      return
    }
    const line = `${JSON.stringify({
      time: wallMs,
      owner,
      infoHash: toHex(infoHash),
      peerId: toHex(peerId),
      event: EVENT_NAMES.get(event) ?? '',
      uploaded: moved.uploaded,
      downloaded: moved.downloaded,
      leftChange: moved.left,
      left,
      ...(moved.unknown ? { unknown: true } : {}),
    })}\n`
    this.#pending.push(line)
    this.#pendingCharacters += line.length
  }

  /** Takes what other threads saw, in the order of their clocks. */
  #drain(): void {
    const rings = [...this.#rings.values()]
    for (const ring of rings) this.#lost += ring.takeLost()
    for (;;) {
      let first: AccountingRing | undefined
      let firstMs = Number.POSITIVE_INFINITY
      for (const ring of rings) {
        const { oldestMs } = ring
        if (oldestMs === undefined || oldestMs >= firstMs) continue
        first = ring
        firstMs = oldestMs
      }
      const announce = first?.shift()
      if (announce === undefined) return
      this.#account(announce, announce.wallMs)
    }
  }

  #drainLater(): void {
    if (this.#stopped) return
    this.#cancelDrain = this.#clock.after(DRAIN_MS, () => {
      this.#drain()
      this.#drainLater()
    })
  }

  /** Makes the file if it is not there, so that one that cannot be written is known at once. */
  async start(): Promise<void> {
    try {
      await appendFile(this.#file, '')
    } catch (cause) {
      throw unwritable(this.#file, cause)
    }
    this.#writeLater()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    this.#cancelDrain()
    this.#drain()
    await this.#write()
  }

  #writeLater(): void {
    if (this.#stopped) return
    this.#cancel = this.#clock.after(WRITE_MS, () => {
      void this.#write().then(() => this.#writeLater())
    })
  }

  /** All of it or nothing: what a full disk took of it would be there again when it is tried again. */
  async #append(text: string): Promise<void> {
    const file = await open(this.#file, 'a')
    try {
      const { size } = await file.stat()
      try {
        await file.appendFile(text)
      } catch (error) {
        await file.truncate(size).catch(() => {})
        throw error
      }
    } finally {
      await file.close()
    }
  }

  /** One write after the other; on failure the lines stay, as far as there is room. */
  #write(): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      if (this.#pending.length === 0) return
      const lines = this.#pending
      const characters = this.#pendingCharacters
      this.#pending = []
      try {
        await this.#append(lines.join(''))
        this.#pendingCharacters -= characters
        if (this.#lost > 0)
          this.#logger.error({ file: this.#file, lines: this.#lost }, 'accounting: lines were lost')
        this.#lost = 0
      } catch (error) {
        this.#pending = [...lines, ...this.#pending]
        this.#logger.error(
          { file: this.#file, error: errnoOf(error) },
          'accounting: not written, tried again',
        )
      }
    })
    return this.#writing
  }
}

function exact(value: number): number {
  return Math.min(value, Number.MAX_SAFE_INTEGER)
}
