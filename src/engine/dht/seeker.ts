/**
 * When a torrent asks the DHT: at once, then every quarter of an hour; sooner while it looks for peers and found none.
 *
 * Invariants: one search at a time; nothing is asked while the DHT knows nobody.
 */
import { below, type Random } from '../../base/index.ts'
import type { PeerAddress } from '../announce/types.ts'
import type { Dht } from './dht.ts'

const INTERVAL_MS = 15 * 60_000
/** So that the torrents of a node do not ask all at once. */
const SPREAD_MS = 60_000
const FIRST_RETRY_MS = 15_000
const FEW_NODES = 8

export class DhtSeeker {
  readonly #dht: Dht
  readonly #infoHash: Uint8Array
  readonly #portFor: (host: string) => number
  readonly #random: Random
  readonly #onPeers: (peers: readonly PeerAddress[]) => void
  #dueMs = Number.NEGATIVE_INFINITY
  #retryMs = FIRST_RETRY_MS
  #searching = false
  /** What was told during this search is not so any more. */
  #isStale = false
  #found = 0

  /** `portFor`: where somebody with that address reaches us by TCP, which is announced. */
  constructor(
    dht: Dht,
    infoHash: Uint8Array,
    portFor: (host: string) => number,
    random: Random,
    onPeers: (peers: readonly PeerAddress[]) => void,
  ) {
    this.#dht = dht
    this.#infoHash = infoHash
    this.#portFor = portFor
    this.#random = random
    this.#onPeers = onPeers
  }

  /** Now and then. `hungry`: peers are wanted. */
  tick(nowMs: number, hungry: boolean): void {
    if (this.#searching || nowMs < this.#dueMs || this.#dht.size === 0) return
    this.#searching = true
    this.#isStale = false
    this.#found = 0
    this.#dht
      .search({
        infoHash: this.#infoHash,
        portFor: this.#portFor,
        onPeers: (peers) => {
          this.#found += peers.length
          this.#onPeers(peers)
        },
      })
      .then(() => {
        this.#searching = false
        // With so few nodes the others may know each other only.
        const isVain = this.#found === 0 && (hungry || this.#dht.size < FEW_NODES)
        this.#dueMs =
          nowMs + (isVain ? this.#retryMs : INTERVAL_MS + below(this.#random, SPREAD_MS))
        this.#retryMs = isVain ? Math.min(INTERVAL_MS, 2 * this.#retryMs) : FIRST_RETRY_MS
        if (this.#isStale) this.#dueMs = Number.NEGATIVE_INFINITY
      })
  }

  /** The port that was announced is another now. */
  announceAgain(): void {
    this.#isStale = true
    if (!this.#searching) this.#dueMs = Number.NEGATIVE_INFINITY
  }
}
