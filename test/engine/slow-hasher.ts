/**
 * A hasher that takes its time, on a clock that the test advances: answers come after other things have happened, and in
 * another order than the questions. It holds its callers to what they owe it (src/engine/hasher.ts).
 */
import assert from 'node:assert/strict'
import { below, type Clock, type Random } from '../../src/base/index.ts'
import type { HashAnswer, Hasher, HashTask } from '../../src/engine/hasher.ts'
import { PieceDigester, type PieceRecipe } from '../../src/metainfo/index.ts'

export interface SlowHasherOptions {
  readonly clock: Clock
  readonly random: Random
  /** How long an update takes. */
  readonly tookMs: (random: Random) => number
  /** Of a hundred updates so many lose their task. */
  readonly lostPercent?: number
}

/** Mostly no time, sometimes milliseconds, now and then longer than a stripe may be idle. */
export function unevenMs(random: Random): number {
  const sort = below(random, 64)
  if (sort < 32) return 0
  return sort < 60 ? below(random, 60) : below(random, 60_000)
}

export class SlowHasher implements Hasher {
  /** Tasks that have an update under way. */
  busy = 0
  closed = false
  readonly #options: SlowHasherOptions

  constructor(options: SlowHasherOptions) {
    this.#options = options
  }

  allocate(bytes: number): Uint8Array {
    return new Uint8Array(bytes)
  }

  begin(recipe: PieceRecipe): HashTask {
    assert.ok(!this.closed, 'a task is begun after the hasher was closed')
    const { clock, random, tookMs, lostPercent = 0 } = this.#options
    const digester = new PieceDigester(recipe)
    let cancelTimer: (() => void) | undefined
    let isOver = false
    let isLost = false
    return {
      update: (bytes, isLast, done) => {
        assert.ok(!isOver && cancelTimer === undefined, 'a task has one update at a time')
        const before = bytes.slice()
        this.busy++
        cancelTimer = clock.after(tookMs(random), () => {
          cancelTimer = undefined
          this.busy--
          assert.ok(Buffer.compare(before, bytes) === 0, 'bytes changed while they were hashed')
          digester.update(bytes)
          let answer: HashAnswer = isLast ? digester.digests() : 'more'
          isLost ||= below(random, 100) < lostPercent
          if (isLost) answer = 'lost'
          isOver = isLast
          done(answer)
        })
      },
      cancel: () => {
        isOver = true
        if (cancelTimer === undefined) return
        cancelTimer()
        cancelTimer = undefined
        this.busy--
      },
    }
  }

  async close(): Promise<void> {
    this.closed = true
    assert.equal(this.busy, 0, 'the hasher is closed while it has work')
  }
}
