/**
 * Who of a torrent's peers may download from us, over time: a free slot is given at once, and a round of
 * choking (choker.ts) every CHOKE_ROUND_MS sorts it out.
 *
 * Invariant: after a round at most `slots()` interested peers are unchoked.
 */
import type { Random } from '../base/index.ts'
import { CHOKE_ROUND_MS, chooseUnchoked, OPTIMISTIC_ROUND_MS } from './choker.ts'
import type { Peer } from './peer.ts'

const MIN_SLOTS = 4
/** A slot slower than this makes pieces whole so late that nobody else can have them from the peer meanwhile. */
const SLOT_BYTES_PER_SECOND = 64 * 1024

/** How many peers to serve at a time, at most `most`, when so many bytes a second may leave. */
export function slotsFor(most: number, bytesPerSecond: number): number {
  return Math.min(most, Math.max(MIN_SLOTS, Math.floor(bytesPerSecond / SLOT_BYTES_PER_SECOND)))
}

export class Choking {
  readonly #peers: ReadonlySet<Peer>
  readonly #slots: () => number
  readonly #random: Random
  #optimistic: Peer | undefined
  #nextRoundMs = 0
  #nextOptimisticMs = 0

  constructor(peers: ReadonlySet<Peer>, slots: () => number, random: Random) {
    this.#peers = peers
    this.#slots = slots
    this.#random = random
  }

  /** The peer's interest has changed. */
  onInterest(peer: Peer): void {
    if (!peer.interested) return
    let unchoked = 0
    for (const other of this.#peers) if (other.unchoked && other.interested) unchoked++
    if (unchoked < this.#slots()) peer.upload.unchoke()
  }

  gone(peer: Peer): void {
    if (this.#optimistic === peer) this.#optimistic = undefined
  }

  /** Once a second. */
  tick(nowMs: number, seeding: boolean): void {
    if (nowMs < this.#nextRoundMs) return
    this.#nextRoundMs = nowMs + CHOKE_ROUND_MS
    if (nowMs >= this.#nextOptimisticMs) {
      this.#optimistic = undefined
      this.#nextOptimisticMs = nowMs + OPTIMISTIC_ROUND_MS
    }
    const peers = [...this.#peers].filter((peer) => peer.peerId !== undefined)
    const { unchoked, optimistic } = chooseUnchoked(peers, {
      slots: this.#slots(),
      seeding,
      nowMs,
      random: this.#random,
      optimistic: this.#optimistic,
    })
    this.#optimistic = optimistic
    for (const peer of peers) if (!unchoked.has(peer)) peer.upload.choke()
    for (const peer of unchoked) peer.upload.unchoke()
  }
}
