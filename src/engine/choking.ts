/**
 * Who of a torrent's peers may download from us, over time: a free slot is given at once, and a round of
 * choking (choker.ts) every CHOKE_ROUND_MS sorts it out.
 *
 * Invariant: after a round at most as many interested peers are unchoked as there are slots; there are as many as the torrent may have by
 * itself, and as its part is of what all torrents may have (upload-slots.ts).
 */
import type { Random } from '../base/index.ts'
import { CHOKE_ROUND_MS, chooseUnchoked, OPTIMISTIC_ROUND_MS } from './choker.ts'
import type { Peer } from './peer.ts'
import type { Claimant } from './upload-slots.ts'

const MIN_SLOTS = 4
/** A slot slower than this makes pieces whole so late that nobody else can have them from the peer meanwhile. */
const SLOT_BYTES_PER_SECOND = 64 * 1024

/** How many peers to serve at a time, at most `most`, when so many bytes a second may leave. */
export function slotsFor(most: number, bytesPerSecond: number): number {
  return Math.min(most, Math.max(MIN_SLOTS, Math.floor(bytesPerSecond / SLOT_BYTES_PER_SECOND)))
}

export class Choking implements Claimant {
  /** Of what all torrents may have. */
  slots: number
  readonly #peers: ReadonlySet<Peer>
  readonly #ownSlots: () => number
  readonly #random: Random
  readonly #beforeUnchoke: (peer: Peer) => void
  #optimistic: Peer | undefined
  #nextRoundMs = 0
  #nextOptimisticMs = 0

  /** `ownSlots` says how many the torrent may have by itself, `slots` is its first part of those of all. */
  constructor(
    peers: ReadonlySet<Peer>,
    ownSlots: () => number,
    slots: number,
    random: Random,
    beforeUnchoke: (peer: Peer) => void,
  ) {
    this.#beforeUnchoke = beforeUnchoke
    this.#peers = peers
    this.#ownSlots = ownSlots
    this.slots = slots
    this.#random = random
  }

  get slotsWanted(): number {
    let interested = 0
    for (const peer of this.#peers) if (peer.interested) interested++
    return Math.min(interested, this.#ownSlots())
  }

  /** Peers that may download and want to. */
  get served(): number {
    let served = 0
    for (const peer of this.#peers) if (peer.unchoked && peer.interested) served++
    return served
  }

  get #slots(): number {
    return Math.min(this.#ownSlots(), this.slots)
  }

  /** The peer's interest has changed. */
  onInterest(peer: Peer): void {
    if (peer.interested || peer.unchoked) this.#fill()
  }

  gone(peer: Peer): void {
    if (this.#optimistic === peer) this.#optimistic = undefined
    if (peer.interested && peer.unchoked) this.#fill()
  }

  /** Free slots are given at once: to who gives us most, then to who has waited longest. */
  #fill(): void {
    const free = this.#slots - this.served
    if (free <= 0) return
    const waiting: Peer[] = []
    for (const peer of this.#peers) {
      if (peer.interested && !peer.unchoked && peer.peerId !== undefined) waiting.push(peer)
    }
    waiting.sort((a, b) => b.downloadRate - a.downloadRate || a.changedMs - b.changedMs)
    for (const peer of waiting.slice(0, free)) this.#unchoke(peer)
  }

  #unchoke(peer: Peer): void {
    if (peer.unchoked) return
    this.#beforeUnchoke(peer)
    peer.upload.unchoke()
  }

  /** Once a second. `turnBytes`: of a slot, when we seed (choker.ts). */
  tick(nowMs: number, seeding: boolean, turnBytes?: number): void {
    if (nowMs < this.#nextRoundMs && !this.#partHasChanged()) return
    this.#nextRoundMs = nowMs + CHOKE_ROUND_MS
    if (nowMs >= this.#nextOptimisticMs) {
      this.#optimistic = undefined
      this.#nextOptimisticMs = nowMs + OPTIMISTIC_ROUND_MS
    }
    const peers = [...this.#peers].filter((peer) => peer.peerId !== undefined)
    const { unchoked, optimistic } = chooseUnchoked(peers, {
      slots: this.#slots,
      seeding,
      nowMs,
      random: this.#random,
      optimistic: this.#optimistic,
      ...(turnBytes === undefined ? {} : { turnBytes }),
    })
    this.#optimistic = optimistic
    for (const peer of peers) if (!unchoked.has(peer)) peer.upload.choke()
    for (const peer of unchoked) this.#unchoke(peer)
  }

  /** More are served than may be, or fewer though somebody waits: not so for long only with a limit of all torrents. */
  #partHasChanged(): boolean {
    if (this.slots === Number.POSITIVE_INFINITY) return false
    const { served } = this
    return served > this.#slots || served < Math.min(this.slotsWanted, this.#slots)
  }
}
