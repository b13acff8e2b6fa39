/**
 * A torrent's gossip about its peers (BEP 11): once a minute each peer is told who has come and gone since.
 *
 * The first message to a peer tells of those connected; the ones after it are the same for all, made once. Who is told of:
 * peers that have shaken hands and whose listening port is known, by our connection or by their word.
 *
 * Invariants: a message a peer and minute, of at most 50 peers of each family; of what a peer says more often than every 45 seconds
 * nothing is believed.
 */
import type { PeerAddress } from './announce/types.ts'
import {
  encodePex,
  MAX_PEX_PEERS,
  PEX_REACHABLE,
  PEX_SEED,
  type PexPeer,
  parsePex,
} from './wire/pex.ts'

const INTERVAL_MS = 60_000
/** Clocks differ, and packets are late. */
const MIN_INTERVAL_MS = 45_000

/** A peer as gossip sees it. */
export interface Gossip {
  readonly host: string
  /** Where it listens; undefined while that is not known. */
  readonly listenPort: number | undefined
  readonly outgoing: boolean
  readonly isSeed: boolean
  /** Whether it wants to be told. */
  readonly wantsPex: boolean
  sendPex(payload: Uint8Array): void
}

export class PeerExchange<P extends Gossip> {
  /** Who is there as of the last message. */
  #known = new Map<string, PexPeer>()
  readonly #told = new WeakSet<P>()
  readonly #heardMs = new WeakMap<P, number>()
  #dueMs: number

  constructor(nowMs: number) {
    this.#dueMs = nowMs + INTERVAL_MS
  }

  /** Once a second or so. */
  tick(nowMs: number, peers: Iterable<P>): void {
    const isDue = nowMs >= this.#dueMs
    const all = [...peers]
    const fresh = all.filter((peer) => peer.wantsPex && !this.#told.has(peer))
    if (!isDue && fresh.length === 0) return
    if (isDue) {
      this.#dueMs = nowMs + INTERVAL_MS
      this.#tellChanges(all)
    }
    const everybody = [...this.#known.values()]
    for (const peer of fresh) {
      this.#told.add(peer)
      // Itself it knows; what is too much will be told by others.
      const others = everybody.filter(({ host }) => host !== peer.host)
      if (others.length > 0) peer.sendPex(encodePex(others, []))
    }
  }

  #tellChanges(peers: readonly P[]): void {
    const now = new Map<string, PexPeer>()
    let added4 = 0
    let added6 = 0
    for (const { host, listenPort, outgoing, isSeed } of peers) {
      if (listenPort === undefined) continue
      const key = `${host} ${listenPort}`
      // Beyond what a message holds they wait for the next one.
      if (!this.#known.has(key)) {
        const count = host.includes(':') ? ++added6 : ++added4
        if (count > MAX_PEX_PEERS) continue
      }
      const flags = (isSeed ? PEX_SEED : 0) | (outgoing ? PEX_REACHABLE : 0)
      now.set(key, { host, port: listenPort, flags })
    }
    const added = [...now].filter(([key]) => !this.#known.has(key)).map(([, peer]) => peer)
    const dropped = [...this.#known].filter(([key]) => !now.has(key)).map(([, peer]) => peer)
    this.#known = now
    if (added.length === 0 && dropped.length === 0) return
    const payload = encodePex(added, dropped)
    for (const peer of peers) if (peer.wantsPex && this.#told.has(peer)) peer.sendPex(payload)
  }

  /** What a peer said; empty when it says too much. Throws ENGINE_PROTOCOL. */
  receive(peer: P, payload: Uint8Array, nowMs: number): readonly PeerAddress[] {
    const heardMs = this.#heardMs.get(peer)
    if (heardMs !== undefined && nowMs - heardMs < MIN_INTERVAL_MS) return []
    this.#heardMs.set(peer, nowMs)
    return parsePex(payload)
  }
}
