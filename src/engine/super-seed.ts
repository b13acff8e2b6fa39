/**
 * Super-seeding (BEP 16): the only seed of a swarm says that it has nothing, and reveals pieces to each peer one or two at a time,
 * other ones to each; the next when somebody else has got the last from there. So each byte leaves the seed about once until the
 * swarm has all, where a seed that shows everything sends the same piece to many.
 *
 * ```
 * shown to P -> P has it -> Q, to whom it was not shown, has it (from P): P is shown the next
 *     |            `------> nobody else lacks it:                         likewise
 *     |            `------> nobody has fetched it for PATIENCE_MS:        likewise
 *     `-> not fetched for PATIENCE_MS: P is shown the next, and another may be shown this one
 * ```
 *
 * Invariants: a piece is shown to nobody while another peer has it or is being shown it, but to a peer that has nothing to fetch
 * here and has got nothing new for STARVED_MS, which is shown the rarest; `copies` are those of connected peers; others than the
 * starved have at most OPEN_MAX pieces open; when it is over, everything has been shown to all, and nothing begins anew.
 */
import { Bitfield } from '../base/index.ts'

/** Two, so that a peer has the next to ask for while the last one spreads. */
const OPEN_MAX = 2
/** A piece that takes longer to be fetched, or to be passed on, is waited for no more. */
const PATIENCE_MS = 60_000
/** Without a new piece from anybody: perhaps it reaches nobody but us. */
const STARVED_MS = 30_000
/** Copies in the swarm, beside the seed's own, with which it can do without. */
const ENOUGH_COPIES = 2

/** A peer as the super-seed sees it. */
export interface ShownPeer {
  /** What it has; undefined before that is known. */
  readonly pieces: { readonly has: Bitfield | undefined }
  readonly upload: {
    /** Says that we have this piece, and serves it from now on. */
    reveal(piece: number): void
    /** Says that we have everything that it lacks. */
    revealAll(has: Bitfield): void
  }
}

interface Account {
  readonly known: Bitfield
  readonly shown: Bitfield
  /** Pieces shown and not passed on, and since when they are waited for. */
  readonly open: Map<number, number>
  /** When it had something new, or was shown something. */
  livedMs: number
}

export class SuperSeed {
  over = false
  readonly #copies: Uint32Array
  /** To how many peers each piece is open. */
  readonly #open: Uint32Array
  readonly #accounts = new Map<ShownPeer, Account>()
  /** Pieces with ENOUGH_COPIES. */
  #plenty = 0
  /** No piece before it is without copies and not open. */
  #next = 0

  constructor(pieceCount: number) {
    this.#copies = new Uint32Array(pieceCount)
    this.#open = new Uint32Array(pieceCount)
  }

  /** A new peer. It is shown something with the next tick, when it has said what it has, if it has anything. */
  met(peer: ShownPeer, nowMs: number): void {
    if (this.over) return
    const pieceCount = this.#copies.length
    const known = new Bitfield(pieceCount)
    const shown = new Bitfield(pieceCount)
    this.#accounts.set(peer, { known, shown, open: new Map(), livedMs: nowMs })
  }

  /** The peer has said what it has. */
  heard(peer: ShownPeer, nowMs: number): void {
    const { has } = peer.pieces
    const account = this.#accounts.get(peer)
    if (this.over || has === undefined || account === undefined) return
    for (let piece = 0; piece < has.length; piece++) {
      if (has.has(piece) && !account.known.has(piece)) this.#learn(account, piece, nowMs)
    }
    this.#settle(nowMs)
  }

  /** The peer has this piece. */
  had(peer: ShownPeer, piece: number, nowMs: number): void {
    const account = this.#accounts.get(peer)
    if (this.over || account === undefined || account.known.has(piece)) return
    this.#learn(account, piece, nowMs)
    this.#settle(nowMs)
  }

  gone(peer: ShownPeer): void {
    const account = this.#accounts.get(peer)
    if (account === undefined) return
    this.#accounts.delete(peer)
    for (const piece of account.open.keys()) this.#close(account, piece)
    for (let piece = 0; piece < this.#copies.length; piece++) {
      if (account.known.has(piece)) this.#lose(piece)
    }
  }

  /** The peer has this piece no more. */
  lost(peer: ShownPeer, piece: number): void {
    const account = this.#accounts.get(peer)
    if (account === undefined || !account.known.has(piece)) return
    account.known.clear(piece)
    this.#lose(piece)
  }

  /** Once a second. */
  tick(nowMs: number): void {
    if (this.over) return
    for (const account of this.#accounts.values()) {
      for (const [piece, sinceMs] of account.open) {
        if (nowMs - sinceMs >= PATIENCE_MS) this.#close(account, piece)
      }
    }
    this.#settle(nowMs)
  }

  /** Shows everything to all, from now on. */
  end(): void {
    if (this.over) return
    this.over = true
    for (const peer of this.#accounts.keys()) peer.upload.revealAll(peer.pieces.has!)
    this.#accounts.clear()
  }

  #learn(account: Account, piece: number, nowMs: number): void {
    account.known.set(piece)
    account.livedMs = nowMs
    if (++this.#copies[piece]! === ENOUGH_COPIES) this.#plenty++
    // From now on it is its turn to pass it on.
    if (account.open.has(piece)) account.open.set(piece, nowMs)
    if (account.shown.has(piece) || this.#open[piece] === 0) return
    for (const other of this.#accounts.values()) {
      if (other !== account && other.known.has(piece)) this.#close(other, piece)
    }
  }

  #lose(piece: number): void {
    if (this.#copies[piece]!-- === ENOUGH_COPIES) this.#plenty--
    this.#next = Math.min(this.#next, piece)
  }

  #close(account: Account, piece: number): void {
    if (!account.open.delete(piece)) return
    this.#open[piece]!--
    this.#next = Math.min(this.#next, piece)
  }

  /** Ends when the swarm can do without; shows each peer what it may be shown now. */
  #settle(nowMs: number): void {
    const accounts = [...this.#accounts.values()]
    if (this.#plenty === this.#copies.length || accounts.some(({ known }) => known.full)) {
      this.end()
      return
    }
    for (const account of accounts) {
      for (const piece of account.open.keys()) {
        const isSpread = this.#copies[piece] === accounts.length
        if (isSpread && account.known.has(piece)) this.#close(account, piece)
      }
    }
    for (const [peer, account] of this.#accounts) this.#showMore(peer, account, nowMs)
  }

  #showMore(peer: ShownPeer, account: Account, nowMs: number): void {
    // A peer that does not read may go while it is shown something.
    while (account.open.size < OPEN_MAX && this.#accounts.has(peer)) {
      const piece = this.#unseen(account)
      if (piece === undefined) break
      this.#show(peer, account, piece, nowMs)
    }
    if (nowMs - account.livedMs < STARVED_MS) return
    for (const piece of account.open.keys()) if (!account.known.has(piece)) return
    const piece = this.#rarest(account)
    if (piece !== undefined) this.#show(peer, account, piece, nowMs)
  }

  #show(peer: ShownPeer, account: Account, piece: number, nowMs: number): void {
    account.shown.set(piece)
    account.open.set(piece, nowMs)
    account.livedMs = nowMs
    this.#open[piece]!++
    peer.upload.reveal(piece)
  }

  /** The first piece that nobody has and nobody is being shown: in order, which the disk likes. */
  #unseen({ shown }: Account): number | undefined {
    const copies = this.#copies
    const open = this.#open
    while (this.#next < copies.length && copies[this.#next]! + open[this.#next]! > 0) this.#next++
    for (let piece = this.#next; piece < copies.length; piece++) {
      if (copies[piece] === 0 && open[piece] === 0 && !shown.has(piece)) return piece
    }
    return undefined
  }

  /** Of what it lacks and was not shown. */
  #rarest({ known, shown }: Account): number | undefined {
    let rarest: number | undefined
    let least = Number.POSITIVE_INFINITY
    for (let piece = 0; piece < this.#copies.length; piece++) {
      const found = this.#copies[piece]! + this.#open[piece]!
      if (found >= least || known.has(piece) || shown.has(piece)) continue
      rarest = piece
      least = found
    }
    return rarest
  }
}
