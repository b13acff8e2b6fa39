/**
 * Under which addresses others see us, by what they say (`yourip` of BEP 10): what most of those say who have been asked last. Until
 * two of them agree it is what our gateway says, which may itself be behind another one.
 *
 * Invariants: a host has one vote, its last; at most MAX_VOTES are kept of each family, the oldest goes.
 */
import { isIP } from 'node:net'

const MAX_VOTES = 64
/** One alone may be mistaken, or lie. */
const MIN_VOTES = 2

export class OwnAddress {
  /** By family: who said what. */
  readonly #votes = new Map<number, Map<string, string>>()
  readonly #known = new Map<number, string>()
  /** Families of which two have said the same. */
  readonly #agreed = new Set<number>()
  /** Counts the times that something else was found. */
  changes = 0

  /** Undefined while too few have said the same. */
  of(family: 4 | 6): string | undefined {
    return this.#known.get(family)
  }

  /** The one that somebody with this address sees; undefined while that is not known. */
  towards(host: string): string | undefined {
    return this.#known.get(isIP(host))
  }

  /** The gateway says that this is ours outside. */
  suppose(address: string): void {
    const family = isIP(address)
    if (family === 0 || this.#agreed.has(family)) return
    this.#learn(family, address)
  }

  heard(from: string, address: string): void {
    const family = isIP(address)
    if (family === 0) return
    let votes = this.#votes.get(family)
    if (votes === undefined) {
      votes = new Map()
      this.#votes.set(family, votes)
    }
    votes.delete(from)
    votes.set(from, address)
    if (votes.size > MAX_VOTES) votes.delete(votes.keys().next().value!)
    const counts = new Map<string, number>()
    let best: string | undefined
    for (const said of votes.values()) {
      const count = (counts.get(said) ?? 0) + 1
      counts.set(said, count)
      if (count >= MIN_VOTES && count > (best === undefined ? 0 : counts.get(best)!)) best = said
    }
    if (best === undefined) return
    this.#agreed.add(family)
    this.#learn(family, best)
  }

  #learn(family: number, address: string): void {
    if (address === this.#known.get(family)) return
    this.#known.set(family, address)
    this.changes++
  }
}
