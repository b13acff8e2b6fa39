/**
 * A torrent's web seeds: which of them are connected, and when one that failed is tried again.
 *
 * Invariants: at most MAX_WEB_SEEDS are looked at; each is one connection at a time, counted like others; one that failed
 * rests for 10 seconds, then 20, 40, … an hour.
 */
import { webSeedHost } from './url.ts'

const MAX_WEB_SEEDS = 16
const FIRST_REST_MS = 5_000
const MAX_REST_MS = 60 * 60_000

interface WebSeed {
  readonly url: string
  readonly host: string
  failures: number
  notBeforeMs: number
}

export class WebSeeds<P> {
  readonly #seeds: readonly WebSeed[]
  readonly #connected = new Map<P, WebSeed>()

  /** URLs that are not http(s) are left out. */
  constructor(urls: readonly string[]) {
    const seeds: WebSeed[] = []
    for (const url of new Set(urls)) {
      const host = webSeedHost(url)
      if (host !== undefined) seeds.push({ url, host, failures: 0, notBeforeMs: 0 })
    }
    this.#seeds = seeds.slice(0, MAX_WEB_SEEDS)
  }

  /** Connects to those that may be; `open` answers undefined when there are connections enough. */
  connect(
    nowMs: number,
    isBanned: (host: string) => boolean,
    open: (url: string) => P | undefined,
  ): void {
    const busy = new Set(this.#connected.values())
    for (const seed of this.#seeds) {
      if (busy.has(seed) || nowMs < seed.notBeforeMs || isBanned(seed.host)) continue
      const peer = open(seed.url)
      if (peer === undefined) return
      this.#connected.set(peer, seed)
    }
  }

  /** The connection is over; true when it was one of ours. `useful`: something came over it. */
  ended(peer: P, useful: boolean, nowMs: number): boolean {
    const seed = this.#connected.get(peer)
    if (seed === undefined) return false
    this.#connected.delete(peer)
    seed.failures = useful ? 1 : seed.failures + 1
    seed.notBeforeMs = nowMs + Math.min(MAX_REST_MS, FIRST_REST_MS * 2 ** seed.failures)
    return true
  }
}
