/**
 * The peers that others have announced to us (BEP 5, announce_peer), for a while.
 *
 * Invariants: at most MAX_SWARMS info-hashes and MAX_PEERS peers each, MAX_TOTAL in all; a peer that was not announced again for
 * LIFETIME_MS is told to nobody; what is too much is refused, and those longest there go first when they are over.
 */
import { below, type Random, toLatin1 } from '../../base/index.ts'

const MAX_SWARMS = 4_000
const MAX_PEERS = 200
const MAX_TOTAL = 40_000
const LIFETIME_MS = 30 * 60_000

export class AnnouncedPeers {
  /** Compact endpoint to when it was announced, the longest ago first. */
  readonly #swarms = new Map<string, Map<string, number>>()
  #total = 0

  get total(): number {
    return this.#total
  }

  /** `endpoint`: address and port, compact. False when there is no room. */
  add(infoHash: Uint8Array, endpoint: Uint8Array, nowMs: number): boolean {
    const key = toLatin1(infoHash)
    let swarm = this.#swarms.get(key)
    if (swarm === undefined) {
      if (this.#swarms.size >= MAX_SWARMS) return false
      swarm = new Map()
      this.#swarms.set(key, swarm)
    }
    this.#expire(key, swarm, nowMs)
    const peer = toLatin1(endpoint)
    const known = swarm.delete(peer)
    if (!known && (swarm.size >= MAX_PEERS || this.#total >= MAX_TOTAL)) {
      if (swarm.size === 0) this.#swarms.delete(key)
      return false
    }
    swarm.set(peer, nowMs)
    this.#swarms.set(key, swarm)
    if (!known) this.#total++
    return true
  }

  /** Up to `most` endpoints of `bytes` bytes each, drawn at random. */
  some(infoHash: Uint8Array, bytes: number, most: number, nowMs: number, random: Random): Buffer[] {
    const key = toLatin1(infoHash)
    const swarm = this.#swarms.get(key)
    if (swarm === undefined) return []
    this.#expire(key, swarm, nowMs)
    const peers = [...swarm.keys()].filter((peer) => peer.length === bytes)
    const chosen = Math.min(most, peers.length)
    for (let i = 0; i < chosen; i++) {
      const j = i + below(random, peers.length - i)
      const other = peers[i]!
      peers[i] = peers[j]!
      peers[j] = other
    }
    return peers.slice(0, chosen).map((peer) => Buffer.from(peer, 'latin1'))
  }

  /** Drops all that is over. */
  sweep(nowMs: number): void {
    for (const [key, swarm] of this.#swarms) this.#expire(key, swarm, nowMs)
  }

  #expire(key: string, swarm: Map<string, number>, nowMs: number): void {
    for (const [peer, announcedMs] of swarm) {
      if (nowMs - announcedMs < LIFETIME_MS) break
      swarm.delete(peer)
      this.#total--
    }
    if (swarm.size === 0) this.#swarms.delete(key)
  }
}
