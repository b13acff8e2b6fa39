/**
 * What one peer asks of us: its interest, our choke, its requests and our refusals.
 *
 * Invariants:
 * - A request is queued only when it lies within a piece that we have and the peer is not choked;
 *   every other one is rejected, if the peer knows rejects (BEP 6).
 * - A choke empties the queue.
 */
import type { Content } from './content.ts'
import { protocolError } from './errors.ts'
import type { PeerTorrent } from './peer-torrent.ts'
import type { PeerWriter } from './peer-writer.ts'
import { RateMeter } from './rate.ts'
import { MAX_REQUEST_BYTES, UploadQueue } from './upload-queue.ts'
import * as messages from './wire/messages.ts'

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
  #queue: UploadQueue | undefined

  constructor(torrent: PeerTorrent, writer: PeerWriter) {
    this.#torrent = torrent
    this.#writer = writer
    this.changedMs = torrent.nowMs
  }

  /** There is something to serve from now on. */
  begin(content: Content): void {
    this.#content = content
    this.#queue = new UploadQueue(this.#writer, this.#torrent.reads, content, (bytes) => {
      this.rate.add(bytes)
      this.sentBytes += bytes
      this.#torrent.countUpload(bytes)
    })
  }

  choke(): void {
    if (this.choking) return
    this.choking = true
    this.changedMs = this.#torrent.nowMs
    this.#writer.message(messages.BARE_BYTES, messages.writeChoke)
    this.#queue?.clear((piece, begin, length) => this.#reject(piece, begin, length))
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
    if (this.#content === undefined || this.#queue === undefined) {
      this.#reject(piece, begin, length)
      return
    }
    const { geometry, verified } = this.#content
    const within =
      piece < geometry.pieceCount &&
      length > 0 &&
      length <= MAX_REQUEST_BYTES &&
      begin + length <= geometry.wireLength(piece)
    if (!within) throw protocolError(`a request for ${length} bytes at ${begin} of piece ${piece}`)
    const served = !this.choking && verified.has(piece) && this.#queue.add(piece, begin, length)
    if (!served) this.#reject(piece, begin, length)
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
