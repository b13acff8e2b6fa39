/**
 * One torrent's stripes on their way to the disk, through the queue that all torrents share.
 *
 * Invariants: a stripe is written once at a time, and neither released nor changed where it is being
 * written; each write is answered once, in the order of completion; `idle` resolves when none is under way.
 */
import type { StoredTorrent } from '../torrent-store/index.ts'
import type { FreshParts, Stripe } from './stripe.ts'
import type { WriteQueue } from './write-queue.ts'

/** `error` is undefined when the parts are on the volume, `WITHDRAWN` when the write never began. */
export type Written = (error: Error | undefined) => void

export const WITHDRAWN: Error = new Error('the torrent was stopped before the write began')

export class StripeWrites {
  readonly #stored: StoredTorrent
  readonly #stripeBytes: number
  readonly #queue: WriteQueue
  #underWay = 0
  #waiters: (() => void)[] = []

  constructor(stored: StoredTorrent, stripeBytes: number, queue: WriteQueue) {
    this.#stored = stored
    this.#stripeBytes = stripeBytes
    this.#queue = queue
  }

  get underWay(): number {
    return this.#underWay
  }

  /** Writes the parts to the volume. `written` is called when the stripe is not `writing` any more. */
  add(stripe: Stripe, parts: FreshParts, written: Written): void {
    stripe.writing = true
    this.#underWay++
    const start = stripe.index * this.#stripeBytes
    const answer = (error: Error | undefined): void => {
      stripe.writing = false
      this.#underWay--
      try {
        written(error)
      } finally {
        if (this.#underWay === 0) this.#wake()
      }
    }
    this.#queue.add({
      owner: this,
      stripe: stripe.index,
      run: async () => {
        for (const { from, to } of parts.runs) {
          await this.#stored.write(start + from, stripe.buffer.subarray(from, to))
        }
      },
      done: () => answer(undefined),
      failed: answer,
    })
  }

  /** Answers the writes that have not begun with WITHDRAWN. */
  withdraw(): void {
    for (const job of this.#queue.withdraw(this)) job.failed(WITHDRAWN)
  }

  /** Resolves when no write is under way. */
  async idle(): Promise<void> {
    while (this.#underWay > 0) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
  }

  #wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const resolve of waiters) resolve()
  }
}
