/**
 * What one peer asks of us: its interest, our choke, its requests and our refusals.
 *
 * Invariants:
 * - A request is queued only when it lies within a piece that we offer it and the peer is not choked, or is
 *   allowed to ask for that piece all the same (allowed-fast.ts), ALLOWED_TIMES over; every other one is
 *   rejected, if the peer knows rejects (BEP 6).
 * - A choke empties the queue.
 */
import { Bitfield } from '../base/index.ts'
import { Allowance } from './allowance.ts'
import { ALLOWED_FAST, allowedFast } from './allowed-fast.ts'
import type { Content } from './content.ts'
import { protocolError } from './errors.ts'
import type { PeerTorrent } from './peer-torrent.ts'
import type { PeerWriter } from './peer-writer.ts'
import { RateMeter } from './rate.ts'
import { MAX_REQUEST_BYTES, UploadQueue } from './upload-queue.ts'
import * as messages from './wire/messages.ts'

/** A chunk may be asked for again: the first try may have been rejected, or come too late. */
const ALLOWED_TIMES = 2
/** Suggestions that are remembered, so as not to be repeated. */
const MAX_SUGGESTED = 64

export class PeerUpload {
  readonly rate: RateMeter = new RateMeter()
  choking = true
  /** The peer wants something that we have. */
  interested = false
  /** When `choking` changed last, and what was sent since. */
  changedMs: number
  sentBytes = 0
  /** The peer knows rejects (BEP 6); others are left to find out. */
  knowsRejects = false
  readonly #torrent: PeerTorrent
  readonly #writer: PeerWriter
  #content: Content | undefined
  /** The only pieces that the peer is served, where not all are (super-seed.ts). */
  #offered: Bitfield | undefined
  #queue: UploadQueue | undefined
  /** Bytes that the peer may have of pieces while it is choked. */
  #allowance: Allowance | undefined
  /** Pieces suggested last; most peers are never suggested any. */
  #suggested: Set<number> | undefined

  constructor(torrent: PeerTorrent, writer: PeerWriter) {
    this.#torrent = torrent
    this.#writer = writer
    this.changedMs = torrent.nowMs
  }

  /** There is something to serve from now on. */
  begin(content: Content): void {
    this.#content = content
  }

  /** Made with the first request: most connections never have one. */
  #queueOf(content: Content): UploadQueue {
    const { reads, traffic } = this.#torrent
    this.#queue ??= new UploadQueue(this.#writer, reads, content, traffic.uploadShare, (bytes) => {
      this.rate.add(bytes)
      this.sentBytes += bytes
      traffic.countUpload(bytes)
    })
    return this.#queue
  }

  /** We have these pieces no more: what waits for them is refused. */
  lost(pieces: ReadonlySet<number>): void {
    this.#queue?.drop(pieces, (piece, begin, length) => this.#reject(piece, begin, length))
    this.#allowance?.forget(pieces)
  }

  // --- Super-seeding (BEP 16) ---

  /** Nothing is offered but what is revealed from now on. */
  hideAll(): void {
    this.#offered = new Bitfield(this.#content!.geometry.pieceCount)
  }

  reveal(piece: number): void {
    this.#offered!.set(piece)
    this.#sendHave(piece)
  }

  /** All is offered from now on. `has` is what the peer has, and need not be told of. */
  revealAll(has: Bitfield): void {
    const offered = this.#offered!
    this.#offered = undefined
    const bytes = Buffer.allocUnsafe(offered.length * messages.HAVE_BYTES)
    let end = 0
    for (let piece = 0; piece < offered.length; piece++) {
      if (!offered.has(piece) && !has.has(piece)) end += messages.writeHave(bytes, end, piece)
    }
    if (end > 0) this.#writer.send(bytes.subarray(0, end))
  }

  #sendHave(piece: number): void {
    this.#writer.message(messages.HAVE_BYTES, (bytes, at) => messages.writeHave(bytes, at, piece))
  }

  #offers(piece: number): boolean {
    return this.#offered === undefined
      ? this.#content!.verified.has(piece)
      : this.#offered.has(piece)
  }

  choke(): void {
    if (this.choking) return
    this.choking = true
    this.changedMs = this.#torrent.nowMs
    this.#writer.message(messages.BARE_BYTES, messages.writeChoke)
    this.#queue?.clear((piece, begin, length) => this.#reject(piece, begin, length))
    this.#allowance?.renew((piece) => this.#allowedBytes(this.#content!, piece))
  }

  unchoke(): void {
    if (!this.choking) return
    this.choking = false
    this.changedMs = this.#torrent.nowMs
    this.sentBytes = 0
    this.#writer.message(messages.BARE_BYTES, messages.writeUnchoke)
  }

  /** We have these pieces now. `bytes` are whole have messages, shared by all peers. */
  sendHaves(bytes: Uint8Array): void {
    if (this.#content !== undefined) this.#writer.send(bytes)
  }

  onRequest(piece: number, begin: number, length: number): void {
    const content = this.#content
    if (content === undefined) {
      this.#reject(piece, begin, length)
      return
    }
    const { geometry, hashServer } = content
    // libtorrent takes the last piece of v2 for a whole one, the rest of it filler.
    const isV2 = hashServer !== undefined
    const within =
      piece < geometry.pieceCount &&
      length > 0 &&
      length <= MAX_REQUEST_BYTES &&
      begin + length <= (isV2 ? geometry.pieceBytes : geometry.wireLength(piece))
    if (!within) throw protocolError(`a request for ${length} bytes at ${begin} of piece ${piece}`)
    const allowed = !this.choking || this.#allowance?.take(piece, length) === true
    const served =
      allowed && this.#offers(piece) && this.#queueOf(content).add(piece, begin, length)
    if (!served) this.#reject(piece, begin, length)
  }

  // --- BEP 6 ---

  /** To be called when the peer has said what it has: one with little may ask for a few while choked. */
  allowFast(host: string, infoHash: Uint8Array, has: Bitfield | undefined): void {
    const content = this.#content
    if (!this.knowsRejects || content === undefined || has === undefined) return
    // Under a limit as many are served as get something whole of it: everybody's first ten pieces would be late.
    if (this.#offered !== undefined || this.#torrent.traffic.uploadShare.limited) return
    if (this.#allowance !== undefined || has.count >= ALLOWED_FAST) return
    const { pieceCount } = content.geometry
    const pieces = allowedFast(host, infoHash, pieceCount).filter(
      (piece) => content.verified.has(piece) && !has.has(piece),
    )
    this.#allowance = new Allowance(pieces, (piece) => this.#allowedBytes(content, piece))
    for (const piece of pieces) {
      this.#writer.message(messages.HAVE_BYTES, (bytes, at) =>
        messages.writeAllowedFast(bytes, at, piece),
      )
    }
  }

  #allowedBytes({ geometry }: Content, piece: number): number {
    return ALLOWED_TIMES * geometry.wireLength(piece)
  }

  /** Suggests a piece (suggestions.ts), once. */
  suggest(piece: number): void {
    if (!this.knowsRejects || !this.#offers(piece)) return
    const suggested = this.#suggested ?? new Set()
    this.#suggested = suggested
    if (suggested.has(piece)) return
    suggested.add(piece)
    if (suggested.size > MAX_SUGGESTED) suggested.delete(suggested.values().next().value!)
    this.#writer.message(messages.HAVE_BYTES, (bytes, at) =>
      messages.writeSuggest(bytes, at, piece),
    )
  }

  onCancel(piece: number, begin: number, length: number): void {
    if (this.#queue?.cancel(piece, begin, length)) this.#reject(piece, begin, length)
  }

  /** Hands over what waits, as far as the socket takes it. */
  pump(): void {
    this.#queue?.pump()
  }

  /** All that was written has left. */
  drained(): void {
    this.#queue?.drained()
  }

  close(): void {
    this.#queue?.close()
  }

  #reject(piece: number, begin: number, length: number): void {
    if (!this.knowsRejects) return
    this.#writer.message(messages.REQUEST_BYTES, (bytes, at) =>
      messages.writeReject(bytes, at, piece, begin, length),
    )
  }
}
