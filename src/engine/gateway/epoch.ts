/**
 * The clock of a gateway: seconds since it began to keep its mappings. One that does not go on as ours does has begun anew, and
 * the mappings are gone (RFC 6886, section 3.6; RFC 6887, section 8.5).
 */
import type { Protocol } from './types.ts'

/** Both clocks are read in whole seconds, and answers wait on their way. */
const SLACK_S = 2

export class Epoch {
  #epochS: number | undefined
  #atMs = 0

  /** Whether a gateway that says this still has what it had when it was heard last. */
  fits(protocol: Protocol, epochS: number, nowMs: number): boolean {
    if (this.#epochS === undefined) return true
    const ourS = (nowMs - this.#atMs) / 1000
    const theirS = epochS - this.#epochS
    if (protocol === 'nat-pmp') return theirS + SLACK_S >= (ourS * 7) / 8
    if (theirS < -1) return false
    return ourS + SLACK_S >= (theirS * 15) / 16 && theirS + SLACK_S >= (ourS * 15) / 16
  }

  heard(epochS: number, nowMs: number): void {
    this.#epochS = epochS
    this.#atMs = nowMs
  }

  forget(): void {
    this.#epochS = undefined
  }
}
