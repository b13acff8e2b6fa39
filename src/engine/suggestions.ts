/**
 * What peers are told to ask us for first (BEP 6). While the swarm does not have all that we have, pieces are dealt like cards: to each
 * peer that may ask, other ones that nobody has, so that each piece is sent once before any is sent twice. Afterwards what is in
 * memory is suggested, which costs no reading.
 *
 * ```
 * lacking -> dealt to P -> P has it: spread; P is dealt the next
 *    ^           `-> P was choked, has gone, or took longer than DEAL_MS
 *    `---------------'
 * ```
 *
 * It is a hint: who does not follow it is served all the same, and pieces that come to peers by other ways are spread, too. A super-seed
 * (super-seed.ts) enforces the same by hiding what it has, at the price of a slower swarm.
 *
 * Invariants: a piece is dealt to one peer at a time, and only when nobody has it; `#spread` has every piece of a connected peer, and
 * perhaps some of peers that have gone, until the next tick; nothing is kept while nobody asks.
 */
import { Bitfield, below, type Random } from '../base/index.ts'
import { TURN_BYTES } from './choker.ts'
import type { Content } from './content.ts'
import type { Peer } from './peer.ts'
import type { ReadCache } from './read-cache.ts'

/** Pieces in memory that are suggested a second. */
const CACHED = 4
/** Dealt ahead: as much as a peer asks for when it begins, later of what it takes in AHEAD_S, but at least MIN_PIECES. */
const FIRST_BYTES = 512 * 1024
const AHEAD_S = 3
const MIN_PIECES = 2
/** Peers forget the oldest of more. */
const MAX_PIECES = 32
const DEAL_MS = 60_000

export class Suggestions {
  readonly #peers: ReadonlySet<Peer>
  readonly #reads: ReadCache
  readonly #random: Random
  /** Pieces that some peer has. Undefined: to be surveyed. */
  #spread: Bitfield | undefined
  /** Pieces that are dealt to somebody. */
  #dealt: Bitfield | undefined
  /** Of each peer, the pieces dealt to it, and when. */
  readonly #deals = new Map<Peer, Map<number, number>>()
  /** Where dealing goes on: neighbours lie in one block of the read cache. */
  #next = 0

  constructor(peers: ReadonlySet<Peer>, reads: ReadCache, random: Random) {
    this.#peers = peers
    this.#reads = reads
    this.#random = random
  }

  /** The peer has said what it has; or, that it has one more piece. */
  onHas(peer: Peer, piece: number | undefined, content: Content | undefined, nowMs: number): void {
    if (piece === undefined) {
      // Surveyed anew with the next tick.
      if (peer.pieces.has?.count !== 0) this.#spread = undefined
      return
    }
    this.#spread?.set(piece)
    if (this.#deals.get(peer)?.delete(piece) !== true) return
    this.#dealt!.clear(piece)
    if (this.#spread !== undefined) this.deal(peer, content, nowMs)
  }

  gone(peer: Peer): void {
    this.#takeBack(peer)
    if ((peer.pieces.has?.count ?? 0) > 0) this.#spread = undefined
  }

  /** What a slot is to move before it goes on to another: while pieces are dealt a little to each, so that many can pass them on. */
  turnBytes(content: Content | undefined): number {
    const isDealing = content?.verified.full === true && this.#spread?.full === false
    return isDealing ? Math.min(TURN_BYTES, MIN_PIECES * content.geometry.pieceBytes) : TURN_BYTES
  }

  /** The peer may ask, or is about to: hands it what it lacks of its part. */
  deal(peer: Peer, content: Content | undefined, nowMs: number): void {
    if (content?.verified.full !== true || !peer.upload.knowsRejects || this.#isAlone) return
    const spread = this.#survey(content)
    if (spread.full) return
    let deal = this.#deals.get(peer)
    if (deal === undefined) {
      deal = new Map()
      this.#deals.set(peer, deal)
    }
    const { pieceCount, pieceBytes } = content.geometry
    const rate = peer.upload.rate.perSecond
    const ahead = Math.ceil((rate === 0 ? FIRST_BYTES : rate * AHEAD_S) / pieceBytes)
    const wanted = Math.min(MAX_PIECES, Math.max(MIN_PIECES, ahead))
    const dealt = this.#dealt!
    for (let i = 0; i < pieceCount && deal.size < wanted; i++) {
      const piece = this.#next
      this.#next = piece + 1 === pieceCount ? 0 : piece + 1
      if (spread.has(piece) || dealt.has(piece)) continue
      dealt.set(piece)
      deal.set(piece, nowMs)
      peer.upload.suggest(piece)
    }
  }

  /** Once a second. */
  tick(content: Content | undefined, nowMs: number): void {
    if (content === undefined) return
    const asking = new Set<Peer>()
    for (const peer of this.#peers) if (peer.interested && peer.unchoked) asking.add(peer)
    for (const [peer, deal] of this.#deals) {
      if (!asking.has(peer)) this.#takeBack(peer)
      else this.#expire(deal, nowMs)
    }
    if (asking.size === 0) {
      this.#spread = undefined
      this.#dealt = undefined
    }
    if (asking.size < 2) return
    if (content.verified.full && !this.#survey(content).full) {
      for (const peer of asking) this.deal(peer, content, nowMs)
      return
    }
    for (const piece of this.#reads.pieces(content.source, CACHED)) {
      for (const peer of asking)
        if (peer.pieces.has?.has(piece) === false) peer.upload.suggest(piece)
    }
  }

  /** Who is alone knows what it asked for. */
  get #isAlone(): boolean {
    let interested = 0
    for (const peer of this.#peers) if (peer.interested) interested++
    return interested < 2
  }

  #survey({ geometry }: Content): Bitfield {
    const { pieceCount } = geometry
    if (this.#dealt === undefined) {
      this.#dealt = new Bitfield(pieceCount)
      this.#next = below(this.#random, pieceCount)
    }
    if (this.#spread !== undefined) return this.#spread
    const spread = new Bitfield(pieceCount)
    for (const { pieces } of this.#peers) {
      const { has } = pieces
      if (has === undefined || has.count === 0) continue
      for (let piece = 0; piece < pieceCount; piece++) if (has.has(piece)) spread.set(piece)
    }
    this.#spread = spread
    return spread
  }

  #expire(deal: Map<number, number>, nowMs: number): void {
    for (const [piece, sinceMs] of deal) {
      if (nowMs - sinceMs < DEAL_MS) continue
      deal.delete(piece)
      this.#dealt?.clear(piece)
    }
  }

  #takeBack(peer: Peer): void {
    for (const piece of this.#deals.get(peer)?.keys() ?? []) this.#dealt?.clear(piece)
    this.#deals.delete(peer)
  }
}
