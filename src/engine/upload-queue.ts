/**
 * What one peer has asked for, and its way into the socket: in the order of asking, in batches that leave
 * together, uncopied from the read cache.
 *
 * Invariants: at most `MAX_REQUESTS` wait; a batch is handed over only when the one before has left, so
 * at most `BATCH_BYTES` and a chunk of payload are in flight; blocks are pinned while their bytes are.
 */
import type { Content } from './content.ts'
import { CHUNK_BYTES } from './geometry.ts'
import type { PeerWriter } from './peer-writer.ts'
import type { BlockWaiter, ReadBlock, ReadCache } from './read-cache.ts'
import type { Share, Taker } from './throttle.ts'
import { copyVerified, readVerified } from './verified-bytes.ts'
import { PIECE_HEADER_BYTES, writePieceHeader } from './wire/messages.ts'

/** Requests that wait for one peer; told to it as `reqq` (BEP 10). */
export const MAX_REQUESTS = 2_000
/** Larger requests are refused, as everywhere. */
export const MAX_REQUEST_BYTES: number = 8 * CHUNK_BYTES
const BATCH_BYTES = 512 * 1024
const BATCH_CHUNKS = 64
/** Requests looked ahead for blocks to read. */
const LOOK_AHEAD = 64

/** A chunk that lies in no one block: half in another, still in a stripe, or partly filler. */
interface Assembly {
  readonly piece: number
  readonly begin: number
  readonly bytes: Uint8Array
  done: boolean
}

export class UploadQueue implements BlockWaiter, Taker {
  readonly #writer: PeerWriter
  readonly #reads: ReadCache
  readonly #content: Content
  readonly #share: Share
  readonly #sent: (bytes: number) => void
  /** Threes of piece, begin, length; length 0 has been cancelled. */
  readonly #requests: number[] = []
  #head = 0
  /** Requests by where they begin in the torrent, for cancels: counted from the first that was ever shrunk away. */
  readonly #places = new Map<number, number>()
  #shrunk = 0
  #pinned: ReadBlock[] = []
  #assembly: Assembly | undefined
  /** Taken from the share and not used yet. */
  #paidBytes = 0
  #closed = false
  /** The piece whose chunk was sent last, and how much of it in one go. */
  #runPiece = -1
  #runBytes = 0

  constructor(
    writer: PeerWriter,
    reads: ReadCache,
    content: Content,
    share: Share,
    sent: (bytes: number) => void,
  ) {
    this.#writer = writer
    this.#reads = reads
    this.#content = content
    this.#share = share
    this.#sent = sent
  }

  get length(): number {
    return (this.#requests.length - this.#head) / 3
  }

  /** False when too many wait already. The request must lie within a piece that we have. */
  add(piece: number, begin: number, length: number): boolean {
    if (this.length >= MAX_REQUESTS) return false
    this.#places.set(this.#placeOf(piece, begin), this.#shrunk + this.#requests.length)
    this.#requests.push(piece, begin, length)
    return true
  }

  #placeOf(piece: number, begin: number): number {
    return this.#content.geometry.pieceOffset(piece) + begin
  }

  /** True when the request was waiting; of several for the same, the last. */
  cancel(piece: number, begin: number, length: number): boolean {
    const requests = this.#requests
    if (piece >= this.#content.geometry.pieceCount) return false
    const place = this.#placeOf(piece, begin)
    const at = (this.#places.get(place) ?? -1) - this.#shrunk
    if (at < this.#head || requests[at] !== piece || requests[at + 2] !== length) return false
    requests[at + 2] = 0
    this.#places.delete(place)
    return true
  }

  /** Drops what waits, each request told to `dropped`. */
  clear(dropped: (piece: number, begin: number, length: number) => void): void {
    const requests = this.#requests
    for (let i = this.#head; i < requests.length; i += 3) {
      if (requests[i + 2] !== 0) dropped(requests[i]!, requests[i + 1]!, requests[i + 2]!)
    }
    this.#forgetAll()
    this.#assembly = undefined
  }

  /** Drops what waits for these pieces, each request told to `dropped`. */
  drop(
    pieces: ReadonlySet<number>,
    dropped: (piece: number, begin: number, length: number) => void,
  ): void {
    const requests = this.#requests
    for (let i = this.#head; i < requests.length; i += 3) {
      const length = requests[i + 2]!
      if (length === 0 || !pieces.has(requests[i]!)) continue
      requests[i + 2] = 0
      dropped(requests[i]!, requests[i + 1]!, length)
    }
    if (this.#assembly !== undefined && pieces.has(this.#assembly.piece)) this.#assembly = undefined
  }

  onBlock(): void {
    this.pump()
  }

  onTurn(): void {
    this.pump()
  }

  /** Within a piece, which nobody can pass on before it is whole; for a second's worth of the limit at most. */
  get keepsTurn(): boolean {
    if (this.#head === this.#requests.length) return false
    return (
      this.#requests[this.#head] === this.#runPiece && this.#runBytes < this.#share.mostPerSecond
    )
  }

  /** All that was written has left. */
  drained(): void {
    for (const block of this.#pinned) this.#reads.unpin(block)
    this.#pinned.length = 0
    this.pump()
  }

  close(): void {
    this.#closed = true
    this.#share.leave(this)
    this.clear(() => {})
    this.drained()
  }

  /** Hands the next batch to the socket, as far as its bytes are in memory. */
  pump(): void {
    if (this.#closed || this.#writer.blocked || this.#head === this.#requests.length) return
    const requests = this.#requests
    const headers = Buffer.allocUnsafe(
      PIECE_HEADER_BYTES * Math.min(BATCH_CHUNKS, (requests.length - this.#head) / 3),
    )
    let headerAt = 0
    let bytes = 0
    let waits = false
    this.#writer.cork()
    while (
      this.#head < requests.length &&
      bytes < BATCH_BYTES &&
      headerAt + PIECE_HEADER_BYTES <= headers.length
    ) {
      const piece = requests[this.#head]!
      const begin = requests[this.#head + 1]!
      const length = requests[this.#head + 2]!
      if (length > 0) {
        // Before its block is read: who waits for a turn holds no memory.
        if (this.#share.limited && !this.#pay(length)) {
          waits = true
          break
        }
        const payload = this.#payload(piece, begin, length)
        if (payload === undefined) break
        this.#paidBytes = Math.max(0, this.#paidBytes - length)
        writePieceHeader(headers, headerAt, piece, begin, length)
        this.#writer.payload(headers.subarray(headerAt, headerAt + PIECE_HEADER_BYTES))
        this.#writer.payload(payload)
        headerAt += PIECE_HEADER_BYTES
        bytes += length
        if (piece !== this.#runPiece || this.#runBytes >= this.#share.mostPerSecond) {
          this.#runPiece = piece
          this.#runBytes = 0
        }
        this.#runBytes += length
      }
      this.#head += 3
    }
    this.#writer.uncork()
    this.#shrink()
    if (bytes > 0) this.#sent(bytes)
    if (!waits) this.#lookAhead()
  }

  /**
   * Takes the bytes of the next request, and of those after it as far as its part goes, from the share; false when its
   * turn has not come. What was taken is kept while the block is read: after another turn it might be gone again.
   */
  #pay(length: number): boolean {
    if (this.#paidBytes >= length) return true
    const count = Math.min(BATCH_CHUNKS, this.length)
    this.#paidBytes += length * this.#share.take(this, length, count)
    return this.#paidBytes >= length
  }

  #shrink(): void {
    if (this.#head === this.#requests.length) this.#forgetAll()
    else if (this.#head >= 3 * MAX_REQUESTS) {
      this.#requests.splice(0, this.#head)
      this.#shrunk += this.#head
      this.#head = 0
      for (const [place, at] of this.#places) if (at < this.#shrunk) this.#places.delete(place)
    }
  }

  #forgetAll(): void {
    this.#share.give(this.#paidBytes)
    this.#paidBytes = 0
    this.#requests.length = 0
    this.#head = 0
    this.#shrunk = 0
    this.#places.clear()
  }

  /** The chunk's bytes, pinned; undefined when they have to be awaited (`pump` is called again then). */
  #payload(piece: number, begin: number, length: number): Uint8Array | undefined {
    const { source, geometry } = this.#content
    const offset = geometry.pieceOffset(piece) + begin
    const inContent = begin + length <= geometry.pieceLength(piece)
    if (!inContent || !source.stored.have.has(piece) || !this.#reads.fits(source, offset, length)) {
      return this.#assembled(piece, begin, length)
    }
    const block = this.#reads.get(source, offset, length)
    if (block === undefined) {
      this.#reads.load(source, offset, this)
      return undefined
    }
    if (this.#pinned.at(-1) !== block) {
      this.#reads.pin(block)
      this.#pinned.push(block)
    }
    const at = offset - block.from
    return block.cell!.bytes.subarray(at, at + length)
  }

  #assembled(piece: number, begin: number, length: number): Uint8Array | undefined {
    let assembly = this.#assembly
    const same =
      assembly?.piece === piece && assembly.begin === begin && assembly.bytes.length === length
    if (assembly === undefined || !same) {
      assembly = { piece, begin, bytes: new Uint8Array(length), done: false }
      this.#assembly = assembly
      assembly.done = copyVerified(this.#content, piece, begin, assembly.bytes) === length
      if (!assembly.done) this.#assemble(assembly)
    }
    if (!assembly.done) return undefined
    this.#assembly = undefined
    return assembly.bytes
  }

  async #assemble(assembly: Assembly): Promise<void> {
    const { piece, begin, bytes } = assembly
    try {
      await readVerified(this.#content, piece, begin, bytes)
      assembly.done = true
    } catch (error) {
      this.#content.source.failed(error instanceof Error ? error : new Error(String(error)))
      return
    }
    if (this.#assembly === assembly) this.pump()
  }

  /** Has the blocks read that the next requests lie in. */
  #lookAhead(): void {
    const { source, geometry } = this.#content
    const requests = this.#requests
    const end = Math.min(requests.length, this.#head + 3 * LOOK_AHEAD)
    let last = -1
    for (let i = this.#head; i < end; i += 3) {
      const piece = requests[i]!
      if (requests[i + 1]! >= geometry.pieceLength(piece)) continue
      const offset = geometry.pieceOffset(piece) + requests[i + 1]!
      const number = Math.floor(offset / source.readBytes)
      if (number === last || requests[i + 2] === 0) continue
      last = number
      if (source.blocks.has(number) || !source.stored.have.has(piece)) continue
      this.#reads.load(source, offset, undefined)
    }
  }
}
