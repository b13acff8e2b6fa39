/**
 * One connection to a peer: the protocol's state on both sides, what we ask of it, what it asks of us.
 *
 * ```
 * connect -> handshake -> bitfield / have all / have none, extended handshake -> messages -> closed
 * ```
 *
 * The peer decides nothing about the torrent: the torrent (`PeerHost`) owns the picker, the stripes and
 * the list of peers. A magnet's torrent has no content yet; what the peer says it has is kept until then.
 *
 * Invariants:
 * - Whatever a peer sends is bounded: requests by MAX_REQUESTS, what is queued for it by PeerWriter, haves
 *   and bits by the number of pieces, the memory for chunks by what was asked of it.
 * - Payload goes from the socket straight into the stripe, and only for chunks that are its to deliver.
 * - After `close` nothing is called, received or sent; the host is told once.
 */
import { Bitfield } from '../base/index.ts'
import type { Content } from './content.ts'
import { engineError } from './errors.ts'
import { CHUNK_BYTES } from './geometry.ts'
import type { PeerSocket } from './network.ts'
import { PeerWriter } from './peer-writer.ts'
import type { PickerPeer } from './picker.ts'
import { RateMeter } from './rate.ts'
import type { ReadCache } from './read-cache.ts'
import { MAX_REQUEST_BYTES, MAX_REQUESTS, UploadQueue } from './upload-queue.ts'
import {
  EXTENDED_HANDSHAKE_ID,
  type ExtendedHandshake,
  encodeExtendedHandshake,
  parseExtendedHandshake,
} from './wire/extended.ts'
import { HANDSHAKE_BYTES, type Handshake, writeHandshake } from './wire/handshake.ts'
import * as messages from './wire/messages.ts'
import { WireReader, type WireSink } from './wire/reader.ts'

export interface PeerHost {
  readonly infoHash: Uint8Array
  readonly peerId: Uint8Array
  readonly listenPort: number
  /** The time as `readClock` read it last. */
  readonly nowMs: number
  /** Reads the clock: once for each slice that arrives. */
  readClock(): void
  readonly content: Content | undefined
  readonly infoBytes: Uint8Array | undefined
  readonly reads: ReadCache
  /** False when the peer is not wanted: ourselves, known already, one too many. */
  onHandshake(peer: Peer): boolean
  onInterest(peer: Peer): void
  onMetadata(peer: Peer, payload: Uint8Array): void
  onExtended(peer: Peer): void
  /** A chunk of the piece has been put into its stripe; `other` was asked for it as well, or 0. */
  onChunk(peer: Peer, piece: number, chunk: number, other: number): void
  /** Chunks that were asked of this peer are free for others. */
  onReleased(): void
  onPeerClosed(peer: Peer, error: Error | undefined): void
  countDownload(bytes: number, wasted: boolean): void
  countUpload(bytes: number): void
}

/** Our numbers for the extensions that we speak. */
export const UT_METADATA_ID = 1
const OUR_EXTENSIONS: ReadonlyMap<string, number> = new Map([['ut_metadata', UT_METADATA_ID]])
const CLIENT = 'seedbed 0.1'

const FIRST_DEPTH = 32
const MIN_DEPTH = 4
/** Of a peer that does not say how many requests it keeps. */
const DEFAULT_REQUEST_QUEUE = 250
const MAX_DEPTH = 2_000
/** So much of what a peer delivers is on its way at any time. */
const PIPELINE_S = 2
const HANDSHAKE_TIMEOUT_MS = 20_000
const IDLE_TIMEOUT_MS = 150_000
const KEEP_ALIVE_MS = 100_000
/** Without a byte of payload though chunks are owed; without reading what waits for it. */
const STALL_TIMEOUT_MS = 60_000
/** Chunks that arrive though they are not awaited, before the peer is cut off. */
const MAX_WASTED_BYTES = 64 * 1024 * 1024
/** Haves that are remembered before the metadata is known. */
const MAX_EARLY_HAVES = 4_096

/** Pairs (piece, chunk) from the picker: one for all peers, since picking is synchronous. */
const picked = new Int32Array(2 * MAX_DEPTH)

type Early = { kind: 'none' | 'all' } | { kind: 'bits'; bytes: Uint8Array }

export class Peer implements WireSink {
  readonly host: string
  readonly port: number
  readonly outgoing: boolean
  readonly downloaded: RateMeter = new RateMeter()
  readonly uploaded: RateMeter = new RateMeter()
  readonly connectedMs: number
  /** 20 bytes; undefined until the handshake. */
  peerId: Uint8Array | undefined
  extended: ExtendedHandshake | undefined
  amChoking = true
  amInterested = false
  peerChoking = true
  peerInterested = false
  /** When `amChoking` changed last, and what was sent since. */
  chokeChangedMs: number
  sentSinceUnchoke = 0
  closed = false
  /** Connected; false while it is being connected to. */
  opened: boolean
  /** What the picker knows of it; undefined when nothing is to be downloaded. */
  picking: PickerPeer | undefined
  /** What it has; undefined before the metadata is known. */
  has: Bitfield | undefined
  readonly #torrent: PeerHost
  readonly #socket: PeerSocket
  readonly #reader: WireReader
  readonly #writer: PeerWriter
  #uploads: UploadQueue | undefined
  #supportsFast = false
  #supportsExtended = false
  #early: Early | undefined
  #earlyHaves: number[] = []
  #depth = FIRST_DEPTH
  #maxDepth = DEFAULT_REQUEST_QUEUE
  #slowStart = true
  #lastRate = 0
  #scratch: Uint8Array | undefined
  #intoScratch = false
  #wastedBytes = 0
  #heardMs: number
  #payloadMs: number
  #spokeMs: number
  #drainedMs: number

  constructor(torrent: PeerHost, socket: PeerSocket, outgoing: boolean) {
    this.#torrent = torrent
    this.#socket = socket
    this.outgoing = outgoing
    this.opened = !outgoing
    this.host = socket.remoteAddress
    this.port = socket.remotePort
    this.#reader = new WireReader(this)
    this.#writer = new PeerWriter(socket)
    this.connectedMs = torrent.nowMs
    this.chokeChangedMs = torrent.nowMs
    this.#heardMs = torrent.nowMs
    this.#payloadMs = torrent.nowMs
    this.#spokeMs = torrent.nowMs
    this.#drainedMs = torrent.nowMs
    socket.onData = (bytes) => this.receive(bytes)
    socket.onDrain = () => this.#drained()
    socket.onClose = (error) => this.close(error)
  }

  get interested(): boolean {
    return this.peerInterested
  }

  get unchoked(): boolean {
    return !this.amChoking
  }

  get downloadRate(): number {
    return this.downloaded.perSecond
  }

  get uploadRate(): number {
    return this.uploaded.perSecond
  }

  get changedMs(): number {
    return this.chokeChangedMs
  }

  get sentBytes(): number {
    return this.sentSinceUnchoke
  }

  get isSeed(): boolean {
    return this.has?.full ?? false
  }

  /** The connection stands: our handshake goes first when we made it. */
  sendHandshake(): void {
    const bytes = Buffer.allocUnsafe(HANDSHAKE_BYTES)
    writeHandshake(bytes, this.#torrent)
    this.#send(bytes)
  }

  /** Cuts the connection. Harmless when it is cut already. */
  close(error?: Error): void {
    if (this.closed) return
    this.closed = true
    this.#reader.stop()
    this.#socket.destroy()
    this.#uploads?.close()
    this.#torrent.onPeerClosed(this, error)
  }

  /** Bytes from the socket; the receiver's only during the call. */
  receive(bytes: Uint8Array): void {
    if (this.closed) return
    this.#torrent.readClock()
    this.#heardMs = this.#torrent.nowMs
    try {
      this.#reader.push(bytes)
    } catch (error) {
      if (!(error instanceof Error) || !('code' in error)) throw error
      this.close(error)
      return
    }
    if (this.closed) return
    this.refill()
    this.#uploads?.pump()
  }

  #send(bytes: Uint8Array): void {
    if (this.closed) return
    this.#spokeMs = this.#torrent.nowMs
    if (!this.#writer.send(bytes)) this.close(protocolError('a peer that does not read'))
  }

  #drained(): void {
    if (this.closed) return
    this.#torrent.readClock()
    this.#drainedMs = this.#torrent.nowMs
    this.#writer.drained()
    this.#uploads?.drained()
  }

  // --- Handshakes ---

  onHandshake(handshake: Handshake): void {
    this.peerId = handshake.peerId
    this.#supportsFast = handshake.supportsFast
    this.#supportsExtended = handshake.supportsExtended
    if (!this.#torrent.onHandshake(this)) {
      this.close()
      return
    }
    this.#writer.cork()
    if (!this.outgoing) this.sendHandshake()
    const content = this.#torrent.content
    if (content === undefined) {
      if (this.#supportsFast) this.#sendBare(messages.writeHaveNone)
    } else {
      this.#prepare(content)
      this.#sayWhatWeHave(content.verified)
    }
    if (this.#supportsExtended) this.#sendExtendedHandshake()
    this.#writer.uncork()
  }

  /** The metadata is known now: what the peer said it has gets its meaning. */
  contentKnown(content: Content): void {
    if (this.peerId === undefined || this.closed) return
    this.#prepare(content)
    for (let piece = 0; piece < content.verified.length; piece++) {
      if (content.verified.has(piece)) this.#sendHave(piece)
    }
    const early = this.#early
    const haves = this.#earlyHaves
    this.#early = undefined
    this.#earlyHaves = []
    if (early?.kind === 'all') this.onHaveAll()
    else if (early?.kind === 'none') this.onHaveNone()
    else if (early?.kind === 'bits') this.onBitfield(early.bytes)
    for (const piece of haves) if (!this.closed) this.onHave(piece)
    if (!this.closed) this.refill()
  }

  #prepare(content: Content): void {
    this.#reader.bitfieldBytes = content.verified.bytes.length
    this.has = new Bitfield(content.verified.length)
    this.#uploads = new UploadQueue(this.#writer, this.#torrent.reads, content, (bytes) => {
      this.uploaded.add(bytes)
      this.sentSinceUnchoke += bytes
      this.#torrent.countUpload(bytes)
    })
  }

  #sayWhatWeHave(verified: Bitfield): void {
    if (verified.count === 0) {
      if (this.#supportsFast) this.#sendBare(messages.writeHaveNone)
    } else if (verified.full && this.#supportsFast) this.#sendBare(messages.writeHaveAll)
    else {
      const bytes = Buffer.allocUnsafe(messages.BITFIELD_HEADER_BYTES + verified.bytes.length)
      messages.writeBitfield(bytes, 0, verified.bytes)
      this.#send(bytes)
    }
  }

  #sendHave(piece: number): void {
    const bytes = Buffer.allocUnsafe(messages.HAVE_BYTES)
    messages.writeHave(bytes, 0, piece)
    this.#send(bytes)
  }

  #sendExtendedHandshake(): void {
    this.sendExtended(
      EXTENDED_HANDSHAKE_ID,
      encodeExtendedHandshake({
        messages: OUR_EXTENSIONS,
        client: CLIENT,
        port: this.#torrent.listenPort,
        requestQueue: MAX_REQUESTS,
        metadataBytes: this.#torrent.infoBytes?.length,
        yourAddress: this.host,
      }),
    )
  }

  /** The size of the info dictionary that it offers (BEP 9), a claim. */
  get metadataBytes(): number | undefined {
    const id = this.extended?.messages.get('ut_metadata') ?? 0
    return id > 0 ? this.extended?.metadataBytes : undefined
  }

  /** A ut_metadata message; nothing when the peer does not speak it. */
  sendMetadata(payload: Uint8Array): void {
    const id = this.extended?.messages.get('ut_metadata') ?? 0
    if (id > 0) this.sendExtended(id, payload)
  }

  /** An extended message with the receiver's number for it. */
  sendExtended(id: number, payload: Uint8Array): void {
    const bytes = Buffer.allocUnsafe(messages.EXTENDED_HEADER_BYTES + payload.length)
    messages.writeExtended(bytes, 0, id, payload)
    this.#send(bytes)
  }

  onExtended(id: number, payload: Uint8Array): void {
    if (id === EXTENDED_HANDSHAKE_ID) {
      this.extended = parseExtendedHandshake(payload)
      const queue = this.extended.requestQueue ?? DEFAULT_REQUEST_QUEUE
      this.#maxDepth = Math.min(queue, MAX_DEPTH)
      this.#torrent.onExtended(this)
    } else if (id === UT_METADATA_ID) this.#torrent.onMetadata(this, payload)
  }

  onKeepAlive(): void {}

  // --- What it has ---

  onBitfield(bits: Uint8Array): void {
    const content = this.#torrent.content
    if (content === undefined) {
      this.#remember({ kind: 'bits', bytes: Uint8Array.from(bits) })
      return
    }
    const has = Bitfield.fromWire(bits, content.geometry.pieceCount)
    if (has === null) throw protocolError('a bitfield that does not fit the torrent')
    this.#learn(content, has)
  }

  onHaveAll(): void {
    const content = this.#torrent.content
    if (content === undefined) {
      this.#remember({ kind: 'all' })
      return
    }
    const has = new Bitfield(content.geometry.pieceCount)
    has.setAll()
    this.#learn(content, has)
  }

  onHaveNone(): void {
    const content = this.#torrent.content
    if (content === undefined) this.#remember({ kind: 'none' })
    else this.#learn(content, new Bitfield(content.geometry.pieceCount))
  }

  onHave(piece: number): void {
    const content = this.#torrent.content
    if (content === undefined) {
      if (this.#earlyHaves.push(piece) > MAX_EARLY_HAVES) throw protocolError('too many haves')
      return
    }
    if (piece >= content.geometry.pieceCount) throw protocolError(`have of piece ${piece}`)
    this.#enroll(content)
    this.#add(content, piece)
    this.#updateInterest()
  }

  #add(content: Content, piece: number): void {
    if (this.picking === undefined) this.has!.set(piece)
    else content.download?.picker.peerHas(this.picking, piece)
  }

  #remember(early: Early): void {
    this.#early = early
  }

  /**
   * BEP 3 wants a bitfield at the beginning or never, but aria2 sends one later on in place of many HAVEs:
   * it adds what it names. Nobody gives up a piece that way.
   */
  #learn(content: Content, has: Bitfield): void {
    if (this.picking === undefined && this.has!.count === 0) {
      this.has = has
      this.#enroll(content)
    } else {
      for (let piece = 0; piece < has.length; piece++) {
        if (has.has(piece) && !this.has!.has(piece)) this.#add(content, piece)
      }
    }
    this.#updateInterest()
  }

  /** Makes it known to the picker, once. */
  #enroll(content: Content): void {
    if (content.download === undefined || this.picking !== undefined) return
    this.picking = content.download.picker.addPeer(this.has!)
  }

  /** Nothing is downloaded any more. */
  downloadEnded(): void {
    this.picking = undefined
    this.#updateInterest()
  }

  // --- Download ---

  #updateInterest(): void {
    const interested = (this.picking?.wanted ?? 0) > 0
    if (interested === this.amInterested) return
    this.amInterested = interested
    this.#sendBare(interested ? messages.writeInterested : messages.writeNotInterested)
  }

  /** Called when a piece was verified: the last that it had for us, perhaps. */
  pieceVerified(): void {
    if (this.amInterested && this.picking?.wanted === 0) this.#updateInterest()
  }

  onChoke(): void {
    this.peerChoking = true
    // With the fast extension each request is rejected, or served, on its own (BEP 6).
    if (this.#supportsFast || this.picking === undefined) return
    this.#torrent.content?.download?.picker.releaseAll(this.picking)
    this.#torrent.onReleased()
  }

  onUnchoke(): void {
    this.peerChoking = false
    this.#payloadMs = this.#torrent.nowMs
  }

  onReject(piece: number, begin: number, length: number): void {
    const content = this.#torrent.content
    if (content?.download === undefined || this.picking === undefined) return
    const chunk = content.geometry.chunkAt(piece, begin, length)
    if (chunk < 0) throw protocolError('a reject of what was never requested')
    if (content.download.picker.release(this.picking, piece, chunk)) this.#torrent.onReleased()
  }

  onSuggest(): void {}

  onAllowedFast(): void {}

  /** Asks for as much as the pipeline lacks, in one write. */
  refill(): void {
    const { picking } = this
    if (picking === undefined || this.peerChoking || this.closed || picking.wanted === 0) return
    const room = this.#depth - picking.outstanding
    if (room <= 0 || room * 4 < this.#depth) return
    const { geometry, download } = this.#torrent.content!
    const nowMs = this.#torrent.nowMs
    if (picking.outstanding === 0) this.#payloadMs = nowMs
    const count = download!.picker.pick(picking, room, nowMs, picked)
    if (count === 0) return
    const bytes = Buffer.allocUnsafe(count * messages.REQUEST_BYTES)
    let at = 0
    for (let i = 0; i < count; i++) {
      const piece = picked[2 * i]!
      const chunk = picked[2 * i + 1]!
      const length = geometry.chunkLength(piece, chunk)
      at += messages.writeRequest(bytes, at, piece, chunk * CHUNK_BYTES, length)
    }
    this.#send(bytes)
  }

  /** Another peer delivered the chunk first. */
  cancel(piece: number, chunk: number): void {
    const bytes = Buffer.allocUnsafe(messages.REQUEST_BYTES)
    const length = this.#torrent.content!.geometry.chunkLength(piece, chunk)
    messages.writeCancel(bytes, 0, piece, chunk * CHUNK_BYTES, length)
    this.#send(bytes)
  }

  onPieceStart(piece: number, begin: number, length: number): Uint8Array | null {
    const content = this.#torrent.content
    if (content?.download === undefined || this.picking === undefined) return null
    const chunk = content.geometry.chunkAt(piece, begin, length)
    if (chunk < 0) return null
    const { picker, stripes } = content.download
    if (!picker.beginReceive(this.picking, piece, chunk, this.#torrent.nowMs)) return null
    const target = stripes.target(piece, begin, length)
    this.#intoScratch = target === null
    if (target !== null) return target
    this.#scratch ??= new Uint8Array(CHUNK_BYTES)
    return this.#scratch.subarray(0, length)
  }

  onPieceEnd(piece: number, begin: number, length: number, accepted: boolean): void {
    const nowMs = this.#torrent.nowMs
    this.#payloadMs = nowMs
    this.downloaded.add(length)
    this.#torrent.countDownload(length, !accepted)
    const download = this.#torrent.content?.download
    if (!accepted || download === undefined || this.picking === undefined) {
      this.#wasted(length)
      return
    }
    if (this.#intoScratch) download.stripes.put(piece, begin, this.#scratch!.subarray(0, length))
    if (this.#slowStart && this.#depth < this.#maxDepth) this.#depth++
    const chunk = begin / CHUNK_BYTES
    const other = download.picker.received(this.picking, piece, chunk, nowMs)
    this.#torrent.onChunk(this, piece, chunk, other)
  }

  /** Late chunks and lost races are to be expected; a stream of what nobody asked for is not. */
  #wasted(bytes: number): void {
    this.#wastedBytes += bytes
    const bound = Math.max(MAX_WASTED_BYTES, this.downloaded.total / 2)
    if (this.#wastedBytes > bound) throw protocolError('chunks that nobody asked for')
  }

  // --- Upload ---

  choke(): void {
    if (this.amChoking || this.closed) return
    this.amChoking = true
    this.chokeChangedMs = this.#torrent.nowMs
    this.#sendBare(messages.writeChoke)
    this.#uploads?.clear((piece, begin, length) => this.#reject(piece, begin, length))
  }

  unchoke(): void {
    if (!this.amChoking || this.closed) return
    this.amChoking = false
    this.chokeChangedMs = this.#torrent.nowMs
    this.sentSinceUnchoke = 0
    this.#sendBare(messages.writeUnchoke)
  }

  /** We have these pieces now. `bytes` are whole have messages, shared by all peers. */
  sendHaves(bytes: Uint8Array): void {
    if (this.#uploads !== undefined) this.#send(bytes)
  }

  onInterested(): void {
    this.peerInterested = true
    this.#torrent.onInterest(this)
  }

  onNotInterested(): void {
    this.peerInterested = false
    this.#torrent.onInterest(this)
  }

  onRequest(piece: number, begin: number, length: number): void {
    const content = this.#torrent.content
    if (content === undefined || this.#uploads === undefined) {
      this.#reject(piece, begin, length)
      return
    }
    const { geometry, verified } = content
    const within =
      piece < geometry.pieceCount &&
      length > 0 &&
      length <= MAX_REQUEST_BYTES &&
      begin + length <= geometry.pieceLength(piece)
    if (!within) throw protocolError(`a request for ${length} bytes at ${begin} of piece ${piece}`)
    const served = !this.amChoking && verified.has(piece) && this.#uploads.add(piece, begin, length)
    if (!served) this.#reject(piece, begin, length)
  }

  onCancel(piece: number, begin: number, length: number): void {
    if (this.#uploads?.cancel(piece, begin, length)) this.#reject(piece, begin, length)
  }

  /** Only the fast extension knows refusals; others are left to find out. */
  #reject(piece: number, begin: number, length: number): void {
    if (!this.#supportsFast) return
    const bytes = Buffer.allocUnsafe(messages.REQUEST_BYTES)
    messages.writeReject(bytes, 0, piece, begin, length)
    this.#send(bytes)
  }

  #sendBare(write: (target: Uint8Array, offset: number) => number): void {
    const bytes = Buffer.allocUnsafe(messages.BARE_BYTES)
    write(bytes, 0)
    this.#send(bytes)
  }

  // --- Time ---

  /** Once a second. */
  tick(nowMs: number, elapsedMs: number): void {
    this.downloaded.tick(elapsedMs)
    this.uploaded.tick(elapsedMs)
    const reason = this.#overdue(nowMs)
    if (reason !== undefined) {
      this.close(protocolError(reason))
      return
    }
    if (this.peerId === undefined) return
    if (nowMs - this.#spokeMs >= KEEP_ALIVE_MS) {
      const bytes = Buffer.allocUnsafe(messages.KEEP_ALIVE_BYTES)
      messages.writeKeepAlive(bytes, 0)
      this.#send(bytes)
    }
    this.#adaptDepth()
    this.refill()
  }

  #overdue(nowMs: number): string | undefined {
    if (this.peerId === undefined) {
      return nowMs - this.connectedMs > HANDSHAKE_TIMEOUT_MS ? 'no handshake' : undefined
    }
    if (nowMs - this.#heardMs > IDLE_TIMEOUT_MS) return 'nothing heard for too long'
    if (this.#writer.blocked && nowMs - this.#drainedMs > STALL_TIMEOUT_MS) {
      return 'a peer that does not read'
    }
    if (!this.#writer.blocked) this.#drainedMs = nowMs
    const owes = this.picking !== undefined && this.picking.outstanding > 0 && !this.peerChoking
    if (owes && nowMs - this.#payloadMs > STALL_TIMEOUT_MS) return 'chunks owed for too long'
    return undefined
  }

  /**
   * As many requests as the peer answers in PIPELINE_S. Until its rate grows no more, one is added for
   * each that it answers (`onPieceEnd`).
   */
  #adaptDepth(): void {
    const rate = this.downloaded.lastPerSecond
    const answered = Math.ceil(
      (Math.max(rate, this.downloaded.perSecond) * PIPELINE_S) / CHUNK_BYTES,
    )
    if (this.#slowStart) {
      const grows = rate > this.#lastRate * 1.1 && this.#depth <= 2 * answered
      this.#lastRate = rate
      if (grows || rate === 0) return
      this.#slowStart = false
    }
    this.#depth = Math.max(Math.min(answered, this.#maxDepth), Math.min(MIN_DEPTH, this.#maxDepth))
  }
}

function protocolError(message: string): Error {
  return engineError('ENGINE_PROTOCOL', message)
}
