/**
 * What we ask of one peer and what it delivers: our interest, its choke, the pipeline of requests, the
 * way of a chunk from the socket into its stripe.
 *
 * Invariants:
 * - Requests under way are at most `#depth`, which is at most what the peer says it keeps.
 * - Payload goes straight into the stripe, and only for chunks that the picker says are the peer's to
 *   deliver; everything else is read past, and counted against the peer.
 * - What was asked for and is still owed has been taken from the torrent's share of the rate, where there is a limit.
 * - A peer that owes chunks and delivers none is overdue after STALL_TIMEOUT_MS.
 */
import { Bitfield } from '../base/index.ts'
import { protocolError } from './errors.ts'
import { CHUNK_BYTES } from './geometry.ts'
import type { PeerPieces } from './peer-pieces.ts'
import type { PeerTorrent } from './peer-torrent.ts'
import type { PeerWriter } from './peer-writer.ts'
import { type PickerPeer, suggest } from './picker-peer.ts'
import { RateMeter } from './rate.ts'
import type { Taker } from './throttle.ts'
import * as messages from './wire/messages.ts'

const FIRST_DEPTH = 32
const MIN_DEPTH = 4
/** Of a peer that does not say how many requests it keeps. */
const DEFAULT_REQUEST_QUEUE = 250
const MAX_DEPTH = 2_000
/** Pieces that a peer may allow while it chokes: ten are usual. */
const MAX_ALLOWED = 100
/** So much of what a peer delivers is on its way at any time. */
const PIPELINE_S = 2
/** Without a byte of payload though chunks are owed. */
const STALL_TIMEOUT_MS = 60_000
/** Chunks that arrive though they are not awaited, before the peer is cut off. */
const MAX_WASTED_BYTES = 64 * 1024 * 1024

/** Pairs (piece, chunk) from the picker: one for all peers, since picking is synchronous. */
const picked = new Int32Array(2 * MAX_DEPTH)

export class PeerDownload implements Taker {
  readonly rate: RateMeter = new RateMeter()
  /** The peer knows that we want something that it has. */
  interested = false
  /** The peer refuses to serve. */
  choked = true
  /** It answers each request, with the chunk or a reject, also when it chokes (BEP 6). */
  answersEach = false
  readonly #torrent: PeerTorrent
  readonly #pieces: PeerPieces
  readonly #writer: PeerWriter
  /** What the peer lets us ask for while it chokes. */
  #allowed: Bitfield | undefined
  #depth = FIRST_DEPTH
  #maxDepth = DEFAULT_REQUEST_QUEUE
  #slowStart = true
  #lastRate = 0
  #scratch: Uint8Array | undefined
  #intoScratch = false
  #wastedBytes = 0
  /** Taken from the share for chunks that have not arrived. */
  #reservedBytes = 0
  #payloadMs: number

  constructor(torrent: PeerTorrent, pieces: PeerPieces, writer: PeerWriter) {
    this.#torrent = torrent
    this.#pieces = pieces
    this.#writer = writer
    this.#payloadMs = torrent.nowMs
  }

  /** How many requests the peer says that it keeps (`reqq` of BEP 10), if it says so. */
  set requestQueue(requests: number | undefined) {
    this.#maxDepth = Math.min(requests ?? DEFAULT_REQUEST_QUEUE, MAX_DEPTH)
  }

  /** To be called after a change of what the peer has, or of what we lack. */
  updateInterest(): void {
    const interested = this.#pieces.wanted > 0
    if (interested === this.interested) return
    this.interested = interested
    this.#writer.message(
      messages.BARE_BYTES,
      interested ? messages.writeInterested : messages.writeNotInterested,
    )
  }

  onChoke(): void {
    this.choked = true
    const { picking } = this.#pieces
    if (picking !== undefined) picking.limit = this.#allowed
    if (this.answersEach || picking === undefined) return
    this.#torrent.payload.content?.download?.picker.releaseAll(picking)
    this.#torrent.payload.onReleased()
  }

  onUnchoke(): void {
    this.choked = false
    const { picking } = this.#pieces
    if (picking !== undefined) picking.limit = undefined
  }

  /** BEP 6: chunks of the piece may be asked for while we are choked. */
  onAllowedFast(piece: number): void {
    const { content } = this.#torrent.payload
    if (content === undefined) return
    const { pieceCount } = content.geometry
    if (piece >= pieceCount) throw protocolError(`allowed fast of piece ${piece}`)
    this.#allowed ??= new Bitfield(pieceCount)
    if (this.#allowed.count >= MAX_ALLOWED) return
    this.#allowed.set(piece)
    const { picking } = this.#pieces
    if (this.choked && picking !== undefined) picking.limit = this.#allowed
  }

  /** BEP 6: the piece costs the peer little. A hint: among equally rare ones it comes first. */
  onSuggest(piece: number): void {
    const { content } = this.#torrent.payload
    if (content === undefined) return
    if (piece >= content.geometry.pieceCount) throw protocolError(`suggestion of piece ${piece}`)
    const { picking } = this.#pieces
    if (picking !== undefined) suggest(picking, piece)
  }

  /** Nothing may be asked for. */
  get #silenced(): boolean {
    return this.choked && this.#allowed === undefined
  }

  onReject(piece: number, begin: number, length: number): void {
    const { content } = this.#torrent.payload
    const { picking } = this.#pieces
    if (content?.download === undefined || picking === undefined) return
    const chunk = content.geometry.chunkAt(piece, begin, length)
    if (chunk < 0) throw protocolError('a reject of what was never requested')
    if (content.download.picker.release(picking, piece, chunk)) this.#torrent.payload.onReleased()
  }

  /** Asks for as much as the pipeline lacks, in one write. */
  refill(): void {
    const { picking } = this.#pieces
    if (this.#reservedBytes > 0) this.#settle(picking?.outstanding ?? 0)
    if (picking === undefined || this.#silenced || picking.wanted === 0) return
    if (this.choked) picking.limit = this.#allowed
    const room = this.#depth - picking.outstanding
    if (room <= 0 || room * 4 < this.#depth) return
    const { geometry, download } = this.#torrent.payload.content!
    const { nowMs } = this.#torrent
    const { downloadShare } = this.#torrent.traffic
    const taken = downloadShare.take(this, CHUNK_BYTES, room)
    if (taken === 0) return
    if (picking.outstanding === 0) this.#startClock(picking, nowMs)
    const count = download!.picker.pick(picking, taken, nowMs, picked)
    if (downloadShare.limited) {
      downloadShare.give((taken - count) * CHUNK_BYTES)
      this.#reservedBytes += count * CHUNK_BYTES
    }
    if (count === 0) return
    const bytes = Buffer.allocUnsafe(count * messages.REQUEST_BYTES)
    let at = 0
    for (let i = 0; i < count; i++) {
      const piece = picked[2 * i]!
      const chunk = picked[2 * i + 1]!
      const length = geometry.chunkLength(piece, chunk)
      at += messages.writeRequest(bytes, at, piece, chunk * CHUNK_BYTES, length)
    }
    this.#writer.send(bytes)
  }

  /**
   * It owes chunks from now on. Who was given up on while it owed others goes on where it was: else it would be asked
   * first again, each time before it is found to be overdue.
   */
  #startClock(picking: PickerPeer, nowMs: number): void {
    const { forsakenMs } = picking
    picking.forsakenMs = undefined
    const silentMs = forsakenMs === undefined ? 0 : Math.max(0, forsakenMs - this.#payloadMs)
    this.#payloadMs = nowMs - silentMs
  }

  onTurn(): void {
    this.#torrent.readClock()
    this.refill()
  }

  /** Gives back what was taken for chunks that the peer owes no longer: rejected, choked, delivered by another. */
  #settle(owed: number): void {
    const excess = this.#reservedBytes - owed * CHUNK_BYTES
    if (excess <= 0) return
    this.#reservedBytes -= excess
    this.#torrent.traffic.downloadShare.give(excess)
  }

  close(): void {
    this.#settle(0)
    this.#torrent.traffic.downloadShare.leave(this)
  }

  /** Another peer has delivered the chunk, or will sooner. */
  cancel(piece: number, chunk: number): void {
    const length = this.#torrent.payload.content!.geometry.chunkLength(piece, chunk)
    this.#writer.message(messages.REQUEST_BYTES, (bytes, at) =>
      messages.writeCancel(bytes, at, piece, chunk * CHUNK_BYTES, length),
    )
  }

  /** Where the chunk's bytes go; null when nobody asked the peer for it. */
  onPieceStart(piece: number, begin: number, length: number): Uint8Array | null {
    const { content } = this.#torrent.payload
    const { picking } = this.#pieces
    if (content?.download === undefined || picking === undefined) return null
    const chunk = content.geometry.chunkAt(piece, begin, length)
    if (chunk < 0) return null
    const { picker, stripes } = content.download
    if (!picker.beginReceive(picking, piece, chunk, this.#torrent.nowMs)) return null
    const target = stripes.target(piece, begin, length)
    this.#intoScratch = target === null
    if (target !== null) return target
    this.#scratch ??= new Uint8Array(CHUNK_BYTES)
    return this.#scratch.subarray(0, length)
  }

  onPieceEnd(piece: number, begin: number, length: number, accepted: boolean): void {
    const { nowMs } = this.#torrent
    this.#payloadMs = nowMs
    this.rate.add(length)
    const reserved = Math.min(length, this.#reservedBytes)
    this.#reservedBytes -= reserved
    this.#torrent.traffic.downloadShare.give(reserved - length)
    this.#torrent.traffic.countDownload(length)
    const download = this.#torrent.payload.content?.download
    const { picking } = this.#pieces
    if (!accepted || download === undefined || picking === undefined) {
      this.#wasted(length)
      return
    }
    if (this.#intoScratch) download.stripes.put(piece, begin, this.#scratch!.subarray(0, length))
    if (this.#slowStart && this.#depth < this.#maxDepth) this.#depth++
    download.picker.received(picking, piece, begin / CHUNK_BYTES, nowMs)
    this.#torrent.payload.onChunk(piece)
  }

  /** Late chunks and lost races are to be expected; a stream of what nobody asked for is not. */
  #wasted(bytes: number): void {
    this.#wastedBytes += bytes
    const bound = Math.max(MAX_WASTED_BYTES, this.rate.total / 2)
    if (this.#wastedBytes > bound) throw protocolError('chunks that nobody asked for', 'floods')
  }

  /** The peer owes chunks and has delivered none for too long. */
  isOverdue(nowMs: number): boolean {
    // Also one that chokes: it would have to reject what it does not deliver.
    const owes = (this.#pieces.picking?.outstanding ?? 0) > 0
    return owes && nowMs - this.#payloadMs > STALL_TIMEOUT_MS
  }

  /** Once a second, after `rate` has been told: adapts the pipeline and fills it. */
  tick(): void {
    this.#adaptDepth()
    this.refill()
  }

  /**
   * As many requests as the peer answers in PIPELINE_S. Until its rate grows no more, one is added for
   * each that it answers (`onPieceEnd`).
   */
  #adaptDepth(): void {
    const rate = this.rate.lastPerSecond
    const answered = Math.ceil((Math.max(rate, this.rate.perSecond) * PIPELINE_S) / CHUNK_BYTES)
    if (this.#slowStart) {
      const grows = rate > this.#lastRate * 1.1 && this.#depth <= 2 * answered
      this.#lastRate = rate
      if (grows || rate === 0) return
      this.#slowStart = false
    }
    this.#depth = Math.max(Math.min(answered, this.#maxDepth), Math.min(MIN_DEPTH, this.#maxDepth))
  }
}
