/** `interval variation`: spreads announces, so that clients that came together do not come back together. */
import { below, type Random } from '../../base/index.ts'
import type { AnnounceAnswer, AnnounceRequest } from '../announce-request.ts'
import type { Hook } from './hook.ts'
import type { HookShare, IntervalVariationOptions } from './hook-share.ts'

export class IntervalVariation implements Hook {
  readonly #options: IntervalVariationOptions
  readonly #random: Random

  constructor(options: IntervalVariationOptions, random: Random) {
    this.#options = options
    this.#random = random
  }

  share(): HookShare {
    return { name: 'interval variation', options: this.#options }
  }

  vary(_request: AnnounceRequest, answer: AnnounceAnswer): void {
    const { probability, maxIncreaseSeconds, modifyMinInterval } = this.#options
    if (this.#random.uint32() >= probability * 2 ** 32) return
    const increase = 1 + below(this.#random, maxIncreaseSeconds)
    answer.intervalSeconds += increase
    if (modifyMinInterval) answer.minIntervalSeconds += increase
  }
}
