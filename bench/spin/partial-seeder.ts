/**
 * A partial seeder's end of one connection: says hello, what it has, and that nobody is choked; answers requests.
 * It never learns more. How bytes travel is its heirs' business: in virtual time (seeders.ts) or by TCP
 * (disk/seeder-process.ts).
 *
 * Invariants: requests are answered in order, each once, unless cancelled before its turn.
 */
import { HANDSHAKE_BYTES, type Handshake, writeHandshake } from '../../src/engine/wire/handshake.ts'
import * as messages from '../../src/engine/wire/messages.ts'
import { DeafSink } from '../../src/engine/wire/sink.ts'
import { CHUNK_BYTES, fillChunk } from './payload.ts'
import type { Shared, Shares } from './shares.ts'

/** The largest that `answer` writes. */
export const ANSWER_BYTES: number = messages.PIECE_HEADER_BYTES + CHUNK_BYTES

/** Answered requests that are kept before their memory is taken back. */
const KEPT = 1_000

export abstract class PartialSeeder extends DeafSink {
  readonly #shares: Shares
  readonly #who: number
  #shared: Shared | undefined
  #rejects = false
  /** Pairs (piece, begin); those before `#at` are answered. */
  #queue: number[] = []
  #at = 0

  constructor(shares: Shares, who: number) {
    super()
    this.#shares = shares
    this.#who = who
  }

  /** Sends a message that is not payload; the memory is its own. */
  protected abstract say(bytes: Uint8Array): void
  /** There is something to answer. */
  protected abstract wake(): void
  /** Nothing is known of the torrent that was asked for. */
  protected abstract leave(): void

  /** Requests that are not answered. */
  protected get waiting(): number {
    return (this.#queue.length - this.#at) / 2
  }

  /** Writes the next answer; returns its length, 0 when nothing waits. Allocates nothing. */
  protected answer(target: Uint8Array, offset: number): number {
    if (this.#at === this.#queue.length) return 0
    const piece = this.#queue[this.#at]!
    const begin = this.#queue[this.#at + 1]!
    this.#at += 2
    if (this.#at > KEPT) {
      this.#queue = this.#queue.slice(this.#at)
      this.#at = 0
    }
    const length = this.#length(piece, begin)
    const head = messages.writePieceHeader(target, offset, piece, begin, length)
    const { number, info } = this.#shared!
    const chunk = (piece * info.pieceBytes + begin) / CHUNK_BYTES
    const from = offset + head
    fillChunk(target.subarray(from, from + length), number, chunk)
    return head + length
  }

  override onHandshake({ infoHash, supportsFast }: Handshake): void {
    const shared = this.#shares.find(infoHash)
    if (shared === undefined) {
      this.leave()
      return
    }
    this.#shared = shared
    this.#rejects = supportsFast
    const bits = shared.has[this.#who]!.bytes
    const peerId = new Uint8Array(20).fill(65 + this.#who)
    const hello = new Uint8Array(
      HANDSHAKE_BYTES + messages.BITFIELD_HEADER_BYTES + bits.length + messages.BARE_BYTES,
    )
    writeHandshake(hello, { infoHash, peerId })
    let at = HANDSHAKE_BYTES
    at += messages.writeBitfield(hello, at, bits)
    messages.writeUnchoke(hello, at)
    this.say(hello)
  }

  override onRequest(piece: number, begin: number): void {
    this.#queue.push(piece, begin)
    this.wake()
  }

  override onCancel(piece: number, begin: number): void {
    for (let at = this.#at; at < this.#queue.length; at += 2) {
      if (this.#queue[at] !== piece || this.#queue[at + 1] !== begin) continue
      this.#queue.splice(at, 2)
      if (!this.#rejects) return
      const bytes = new Uint8Array(messages.REQUEST_BYTES)
      messages.writeReject(bytes, 0, piece, begin, this.#length(piece, begin))
      this.say(bytes)
      return
    }
  }

  #length(piece: number, begin: number): number {
    const { pieceBytes, totalBytes } = this.#shared!.info
    return Math.min(CHUNK_BYTES, totalBytes - piece * pieceBytes - begin)
  }
}
