/**
 * A torrent's gossip about its peers (BEP 11): who is new is told at once of those connected, and from then on once a minute
 * of who has come and gone.
 *
 * The messages after the first are the same for all, made once. Who is told of: peers that have shaken hands and whose
 * listening port is known, by our connection or by their word.
 *
 * Invariants: a message a peer and minute, of at most 50 peers of each family; of what a peer says more often than every 45 seconds
 * nothing is believed.
 */
import type { PeerAddress } from './announce/types.ts'
import type { Transport } from './network.ts'
import {
  encodePex,
  MAX_PEX_PEERS,
  PEX_ENCRYPTION,
  PEX_HOLEPUNCH,
  PEX_REACHABLE,
  PEX_SEED,
  PEX_UTP,
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
  readonly transport: Transport
  /** It is best connected to encrypted. */
  readonly encrypts: boolean
  /** It speaks ut_holepunch. */
  readonly holepunches: boolean
  /** Whether it wants to be told. */
  readonly wantsPex: boolean
  sendPex(payload: Uint8Array): void
}

export class PeerExchange<P extends Gossip> {
  /** Who is there as of the last message to all. */
  #known: ReadonlyMap<string, PexPeer> = new Map()
  /** When a peer was told of everybody. */
  readonly #toldMs = new WeakMap<P, number>()
  /** Told so shortly before the others that it would have been twice: next time it is told of everybody again. */
  readonly #behind = new WeakSet<P>()
  readonly #heardMs = new WeakMap<P, number>()
  #dueMs: number

  constructor(nowMs: number) {
    this.#dueMs = nowMs + INTERVAL_MS
  }

  /** Once a second or so. */
  tick(nowMs: number, peers: Iterable<P>): void {
    const isDue = nowMs >= this.#dueMs
    const all = [...peers]
    const fresh = all.filter((peer) => peer.wantsPex && !this.#toldMs.has(peer))
    if (!isDue && fresh.length === 0) return
    if (isDue) {
      this.#dueMs = nowMs + INTERVAL_MS
      this.#tellChanges(all, nowMs)
    }
    if (fresh.length === 0) return
    const everybody = connected(all, new Map())
    for (const peer of fresh) this.#tellEverybody(peer, everybody, nowMs)
  }

  /** Who is alone with us is told when others come. */
  #tellEverybody(peer: P, everybody: ReadonlyMap<string, PexPeer>, nowMs: number): void {
    const itself = keyOf(peer.host, peer.listenPort)
    const others = [...everybody].filter(([key]) => key !== itself).map(([, other]) => other)
    if (others.length === 0) return
    this.#toldMs.set(peer, nowMs)
    peer.sendPex(encodePex(others, []))
  }

  #tellChanges(peers: readonly P[], nowMs: number): void {
    const now = connected(peers, this.#known)
    const added = [...now].filter(([key]) => !this.#known.has(key)).map(([, peer]) => peer)
    const dropped = [...this.#known].filter(([key]) => !now.has(key)).map(([, peer]) => peer)
    this.#known = now
    const payload = added.length + dropped.length > 0 ? encodePex(added, dropped) : undefined
    for (const peer of peers) {
      const toldMs = this.#toldMs.get(peer)
      if (toldMs === undefined) continue
      if (nowMs - toldMs < MIN_INTERVAL_MS) this.#behind.add(peer)
      else if (this.#behind.delete(peer)) this.#tellEverybody(peer, now, nowMs)
      else if (payload !== undefined) peer.sendPex(payload)
    }
  }

  /** What a peer said; empty when it says too much. Throws ENGINE_PROTOCOL. */
  receive(peer: P, payload: Uint8Array, nowMs: number): readonly PeerAddress[] {
    const heardMs = this.#heardMs.get(peer)
    if (heardMs !== undefined && nowMs - heardMs < MIN_INTERVAL_MS) return []
    this.#heardMs.set(peer, nowMs)
    return parsePex(payload)
  }
}

function keyOf(host: string, port: number | undefined): string {
  return `${host} ${port}`
}

/** Those of `peers` who can be told of; of who is not in `known` as many as a message holds: the others wait for the next one. */
function connected(
  peers: readonly Gossip[],
  known: ReadonlyMap<string, PexPeer>,
): Map<string, PexPeer> {
  const found = new Map<string, PexPeer>()
  let added4 = 0
  let added6 = 0
  for (const peer of peers) {
    const { host, listenPort } = peer
    if (listenPort === undefined) continue
    const key = keyOf(host, listenPort)
    if (!known.has(key)) {
      const count = host.includes(':') ? ++added6 : ++added4
      if (count > MAX_PEX_PEERS) continue
    }
    found.set(key, { host, port: listenPort, flags: flagsOf(peer) })
  }
  return found
}

function flagsOf({ isSeed, outgoing, transport, encrypts, holepunches }: Gossip): number {
  return (
    (encrypts ? PEX_ENCRYPTION : 0) |
    (isSeed ? PEX_SEED : 0) |
    (transport === 'utp' ? PEX_UTP : 0) |
    (holepunches ? PEX_HOLEPUNCH : 0) |
    (outgoing ? PEX_REACHABLE : 0)
  )
}
