/**
 * One connection to a peer: what it is made of, and the way of each message to the part it is for.
 *
 * ```
 * connect -> handshake -> bitfield / have all / have none, extended handshake -> messages -> closed
 *
 *               .-- handshake    who it is                   (peer-handshake.ts)
 *               |-- extensions   what each takes besides     (peer-extensions.ts)
 * socket -> reader -- pieces     what it has                 (peer-pieces.ts)
 *      |        |-- download     what we ask of it           (peer-download.ts)   each of them -> writer -> socket
 *      |        `-- upload       what it asks of us          (peer-upload.ts)
 *      `----------- liveness     whether it is there at all  (peer-liveness.ts)
 * ```
 *
 * The peer decides nothing about the torrent: the torrent (`PeerHost`) owns the picker, the stripes and
 * the list of peers. A magnet's torrent has no content yet; what the peer says it has is kept until then.
 *
 * Invariants:
 * - Whatever a peer sends is bounded: requests by MAX_REQUESTS, what is queued for it by PeerWriter, haves
 *   and bits by the number of pieces, the memory for chunks by what was asked of it.
 * - What a peer sends wrongly ends this connection and nothing else.
 * - After `close` nothing is called, received or sent; the host is told once.
 */
import { type Bitfield, SeedbedError } from '../base/index.ts'
import type { HashRange } from '../metainfo/index.ts'
import type { Budget } from './budget.ts'
import type { ChokeCandidate } from './choker.ts'
import type { Content } from './content.ts'
import { OverSocket } from './encryption/socket.ts'
import { protocolError } from './errors.ts'
import type { PeerSocket, Transport } from './network.ts'
import { PeerDownload } from './peer-download.ts'
import { type ExtensionsTorrent, OUR_IDS, PeerExtensions } from './peer-extensions.ts'
import { type HandshakeTorrent, PeerHandshake } from './peer-handshake.ts'
import { PeerLiveness } from './peer-liveness.ts'
import { PeerPieces } from './peer-pieces.ts'
import type { PeerTorrent } from './peer-torrent.ts'
import { PeerUpload } from './peer-upload.ts'
import { PeerWriter } from './peer-writer.ts'
import { DONT_HAVE, encodeDontHave, parseDontHave } from './wire/dont-have.ts'
import { EXTENDED_HANDSHAKE_ID } from './wire/extended.ts'
import type { Handshake } from './wire/handshake.ts'
import {
  HASH_REQUEST_BYTES,
  writeHashes,
  writeHashReject,
  writeHashRequest,
} from './wire/hashes.ts'
import * as messages from './wire/messages.ts'
import { WireReader, type WireSink } from './wire/reader.ts'

/** The torrent as its peers see it. */
export interface PeerHost extends PeerTorrent, HandshakeTorrent, ExtensionsTorrent {
  /** For what peers have said in part, or do not read. */
  readonly messageMemory: Budget
  onDhtPort(peer: Peer, port: number): void
  /** BEP 16: we say that we have nothing, and then reveal one piece after the other. */
  readonly superSeeds: boolean
  /** It has said what it has: all, or that it has got one more piece. */
  onHas(peer: Peer, piece?: number): void
  /** It has the piece no more (BEP 54). */
  onLost(peer: Peer, piece: number): void
  /** False when the peer is not wanted: ourselves, known already, one too many. */
  onHandshake(peer: Peer): boolean
  /** Both handshakes have been sent: messages may follow. */
  onMet(peer: Peer): void
  onInterest(peer: Peer): void
  onMetadata(peer: Peer, payload: Uint8Array): void
  onPex(peer: Peer, payload: Uint8Array): void
  onHolepunch(peer: Peer, payload: Uint8Array): void
  onExtended(peer: Peer): void
  /** BEP 52. The bytes are the receiver's only during the call. */
  onHashRequest(peer: Peer, root: Uint8Array, range: HashRange): void
  onHashes(peer: Peer, root: Uint8Array, range: HashRange, hashes: Uint8Array): void
  onHashReject(peer: Peer, root: Uint8Array, range: HashRange): void
  onPeerClosed(peer: Peer, error: Error | undefined): void
}

export class Peer implements WireSink, ChokeCandidate {
  readonly host: string
  readonly port: number
  readonly extensions: PeerExtensions
  readonly pieces: PeerPieces
  readonly download: PeerDownload
  readonly upload: PeerUpload
  closed = false
  readonly #torrent: PeerHost
  readonly #socket: PeerSocket
  readonly #reader: WireReader
  readonly #writer: PeerWriter
  readonly #handshake: PeerHandshake
  readonly #liveness: PeerLiveness
  #saidPort = false

  /** `name` is the torrent's when we connect; undefined when the peer did, which names it then. */
  constructor(torrent: PeerHost, socket: PeerSocket, name: Uint8Array | undefined) {
    this.#torrent = torrent
    this.#socket = socket
    this.host = socket.remoteAddress
    this.port = socket.remotePort
    this.#reader = new WireReader(this, { memory: torrent.messageMemory })
    this.#writer = new PeerWriter(socket, torrent, torrent.messageMemory, () =>
      this.close(protocolError('a peer that does not read', 'floods')),
    )
    this.#handshake = new PeerHandshake(torrent, name)
    this.#liveness = new PeerLiveness(this.#writer, torrent.nowMs)
    this.extensions = new PeerExtensions(torrent, this.#writer, this.host)
    this.pieces = new PeerPieces()
    this.download = new PeerDownload(torrent, this.pieces, this.#writer)
    this.upload = new PeerUpload(torrent, this.#writer)
    socket.onData = (bytes) => this.receive(bytes)
    socket.onDrain = () => this.#drained()
    socket.onClose = (error) => this.close(error)
  }

  get transport(): Transport {
    return this.#socket.transport
  }

  get connectedMs(): number {
    return this.#liveness.connectedMs
  }

  /** We connected. */
  get outgoing(): boolean {
    return this.#handshake.outgoing
  }

  /** 20 bytes; undefined until the handshake. */
  get peerId(): Uint8Array | undefined {
    return this.#handshake.peerId
  }

  // --- As the choker sees it ---

  get interested(): boolean {
    return this.upload.interested
  }

  get unchoked(): boolean {
    return !this.upload.choking
  }

  get downloadRate(): number {
    return this.download.rate.perSecond
  }

  get uploadRate(): number {
    return this.upload.rate.perSecond
  }

  get changedMs(): number {
    return this.upload.changedMs
  }

  get sentBytes(): number {
    return this.upload.sentBytes
  }

  /** Nothing comes or goes but talk. */
  get isIdle(): boolean {
    return this.downloadRate + this.uploadRate < 1
  }

  // --- The connection ---

  /** The connection stands: our handshake goes first when we made it. */
  sendHandshake(): void {
    this.#handshake.send(this.#writer, this.host)
  }

  /** Cuts the connection. Harmless when it is cut already. */
  close(error?: Error): void {
    if (this.closed) return
    this.closed = true
    this.#reader.stop()
    this.#writer.stop()
    this.#socket.destroy()
    this.upload.close()
    this.download.close()
    this.#torrent.onPeerClosed(this, error)
  }

  /** Bytes from the socket; the receiver's only during the call. */
  receive(bytes: Uint8Array): void {
    if (this.closed) return
    this.#torrent.readClock()
    this.#liveness.heard(this.#torrent.nowMs)
    try {
      this.#reader.push(bytes)
    } catch (error) {
      this.#endFor(error)
    }
    if (this.closed) return
    this.download.refill()
    this.upload.pump()
  }

  /** What it said wrongly is its own end, wherever that is found out. A mistake of ours is thrown on. */
  #endFor(error: unknown): void {
    if (!(error instanceof SeedbedError)) throw error
    this.close(error)
  }

  #drained(): void {
    if (this.closed) return
    this.#torrent.readClock()
    this.#liveness.drained(this.#torrent.nowMs)
    this.#writer.drained()
    this.upload.drained()
  }

  // --- Handshakes ---

  onHandshake(handshake: Handshake): void {
    this.#handshake.receive(handshake)
    this.download.answersEach = handshake.supportsFast
    this.upload.knowsRejects = handshake.supportsFast
    if (!this.#torrent.onHandshake(this)) {
      this.close()
      return
    }
    this.#writer.cork()
    if (!this.outgoing) this.sendHandshake()
    const { content } = this.#torrent.payload
    if (content === undefined) {
      if (handshake.supportsFast) this.#writer.message(messages.BARE_BYTES, messages.writeHaveNone)
    } else {
      this.#begin(content)
      this.#sayWhatWeHave(content.verified)
    }
    if (handshake.supportsExtended) this.extensions.sendHandshake()
    if (handshake.supportsDht) this.#sendDhtPort()
    this.#writer.uncork()
    this.#torrent.onMet(this)
  }

  #sendDhtPort(): void {
    const port = this.#torrent.dhtPort(this.host)
    if (port === undefined) return
    this.#writer.message(messages.PORT_BYTES, (bytes, at) => messages.writePort(bytes, at, port))
  }

  /** It knows v2 (BEP 52), and the torrent has a v2 part, as far as we know. */
  get speaksV2(): boolean {
    return this.#handshake.speaksV2
  }

  /** The metadata is known now: what the peer said it has gets its meaning. */
  contentKnown(content: Content): void {
    if (this.peerId === undefined || this.closed) return
    this.#begin(content)
    for (let piece = 0; piece < content.verified.length; piece++) {
      if (!content.verified.has(piece)) continue
      this.#writer.message(messages.HAVE_BYTES, (bytes, at) => messages.writeHave(bytes, at, piece))
    }
    try {
      this.pieces.recall()
    } catch (error) {
      this.#endFor(error)
    }
    if (this.closed) return
    this.download.updateInterest()
    this.download.refill()
  }

  #begin(content: Content): void {
    this.#reader.bitfieldBytes = content.verified.bytes.length
    this.pieces.begin(content)
    this.upload.begin(content)
  }

  #sayWhatWeHave(verified: Bitfield): void {
    const hides = this.#torrent.superSeeds
    if (hides) this.upload.hideAll()
    if (hides || verified.count === 0) {
      if (this.#handshake.supportsFast)
        this.#writer.message(messages.BARE_BYTES, messages.writeHaveNone)
    } else if (verified.full && this.#handshake.supportsFast) {
      this.#writer.message(messages.BARE_BYTES, messages.writeHaveAll)
    } else {
      const size = messages.BITFIELD_HEADER_BYTES + verified.bytes.length
      this.#writer.message(size, (bytes, at) => messages.writeBitfield(bytes, at, verified.bytes))
    }
  }

  /** The size of the info dictionary that it offers (BEP 9), a claim. */
  get metadataBytes(): number | undefined {
    return this.extensions.metadataBytes
  }

  /** A ut_metadata message; nothing when the peer does not speak it. */
  sendMetadata(payload: Uint8Array): void {
    this.extensions.send('ut_metadata', payload)
  }

  /** Where it listens; undefined while that is not known. */
  get listenPort(): number | undefined {
    if (this.peerId === undefined) return undefined
    // A web seed has none.
    return this.outgoing ? this.port || undefined : this.extensions.theirs?.port
  }

  get isSeed(): boolean {
    return this.pieces.isSeed
  }

  /** It is best connected to encrypted: it has been, or says so. */
  get encrypts(): boolean {
    return this.#socket instanceof OverSocket || this.extensions.theirs?.prefersEncryption === true
  }

  /** Whether it wants to be told of other peers (BEP 11). */
  get wantsPex(): boolean {
    return this.extensions.takes('ut_pex')
  }

  /** It can meet others through us, and bring us to others (BEP 55). */
  get holepunches(): boolean {
    return this.extensions.takes('ut_holepunch')
  }

  sendHolepunch(payload: Uint8Array): void {
    this.extensions.send('ut_holepunch', payload)
  }

  sendPex(payload: Uint8Array): void {
    this.extensions.send('ut_pex', payload)
  }

  // --- What it says, and whom that concerns ---

  onExtended(id: number, payload: Uint8Array): void {
    if (id === EXTENDED_HANDSHAKE_ID) {
      this.download.requestQueue = this.extensions.onHandshake(payload).requestQueue
      this.#torrent.onExtended(this)
    } else if (id === OUR_IDS.ut_metadata) this.#torrent.onMetadata(this, payload)
    else if (id === OUR_IDS.ut_pex) this.#torrent.onPex(this, payload)
    else if (id === OUR_IDS.ut_holepunch) this.#torrent.onHolepunch(this, payload)
    else if (id === OUR_IDS[DONT_HAVE]) this.#onDontHave(parseDontHave(payload))
  }

  #onDontHave(piece: number): void {
    if (this.pieces.lost(piece)) this.#torrent.payload.onReleased()
    this.download.updateInterest()
    this.#torrent.onLost(this, piece)
  }

  /** Said again it is not heard: each would cost a datagram to an address of the peer's choice. */
  onPort(port: number): void {
    if (this.#saidPort || port === 0) return
    this.#saidPort = true
    this.#torrent.onDhtPort(this, port)
  }

  onHashRequest(root: Uint8Array, range: HashRange): void {
    this.#torrent.onHashRequest(this, root, range)
  }

  onHashes(root: Uint8Array, range: HashRange, hashes: Uint8Array): void {
    this.#torrent.onHashes(this, root, range, hashes)
  }

  onHashReject(root: Uint8Array, range: HashRange): void {
    this.#torrent.onHashReject(this, root, range)
  }

  sendHashRequest(root: Uint8Array, range: HashRange): void {
    this.#writer.message(HASH_REQUEST_BYTES, (bytes, at) =>
      writeHashRequest(bytes, at, root, range),
    )
  }

  /** The answer to a request; null: a reject. */
  sendHashes(root: Uint8Array, range: HashRange, hashes: Uint8Array | null): void {
    if (this.closed) return
    this.#writer.message(HASH_REQUEST_BYTES + (hashes?.length ?? 0), (bytes, at) =>
      hashes === null
        ? writeHashReject(bytes, at, root, range)
        : writeHashes(bytes, at, root, range, hashes),
    )
  }

  onKeepAlive(): void {}

  onSuggest(piece: number): void {
    this.download.onSuggest(piece)
  }

  onAllowedFast(piece: number): void {
    this.download.onAllowedFast(piece)
  }

  onBitfield(bits: Uint8Array): void {
    this.pieces.bitfield(bits)
    this.#heardWhatItHas()
  }

  onHaveAll(): void {
    this.pieces.all()
    this.#heardWhatItHas()
  }

  onHaveNone(): void {
    this.pieces.none()
    this.#heardWhatItHas()
  }

  #heardWhatItHas(): void {
    this.download.updateInterest()
    this.upload.allowFast(this.host, this.#torrent.names.primary, this.pieces.has)
    this.#torrent.onHas(this)
  }

  onHave(piece: number): void {
    this.pieces.have(piece)
    this.download.updateInterest()
    this.#torrent.onHas(this, piece)
  }

  onChoke(): void {
    this.download.onChoke()
  }

  onUnchoke(): void {
    this.download.onUnchoke()
  }

  onReject(piece: number, begin: number, length: number): void {
    this.download.onReject(piece, begin, length)
  }

  onPieceStart(piece: number, begin: number, length: number): Uint8Array | null {
    return this.download.onPieceStart(piece, begin, length)
  }

  onPieceEnd(piece: number, begin: number, length: number, accepted: boolean): void {
    this.download.onPieceEnd(piece, begin, length, accepted)
  }

  onInterested(): void {
    this.upload.interested = true
    this.#torrent.onInterest(this)
  }

  onNotInterested(): void {
    this.upload.interested = false
    this.#torrent.onInterest(this)
  }

  onRequest(piece: number, begin: number, length: number): void {
    this.upload.onRequest(piece, begin, length)
  }

  onCancel(piece: number, begin: number, length: number): void {
    this.upload.onCancel(piece, begin, length)
  }

  // --- What the torrent says ---

  /** A piece was verified: the last that the peer had for us, perhaps. */
  pieceVerified(): void {
    if (this.download.interested && this.pieces.picking !== undefined) {
      this.download.updateInterest()
    }
  }

  /** Something is downloaded (again). */
  downloadBegun(): void {
    this.pieces.downloadBegun()
    this.download.updateInterest()
    this.download.refill()
  }

  /** Nothing is downloaded any more. */
  downloadEnded(): void {
    this.pieces.downloadEnded()
    this.download.updateInterest()
    this.tellUploadOnly()
  }

  /** We have these pieces no more. False when it cannot be told so (BEP 54), and would go on asking. */
  piecesLost(pieces: ReadonlySet<number>): boolean {
    if (this.peerId === undefined) return true
    if (!this.extensions.takes(DONT_HAVE)) return false
    this.upload.lost(pieces)
    this.#writer.cork()
    for (const piece of pieces) this.extensions.send(DONT_HAVE, encodeDontHave(piece))
    this.#writer.uncork()
    return true
  }

  /** BEP 21: who hears that we want nothing need not offer; and that we want again, need not stay away. */
  tellUploadOnly(): void {
    if (this.extensions.theirs !== undefined) this.extensions.sendHandshake()
  }

  /** It wants nothing of us: it has all, or says so (BEP 21). */
  get wantsNothing(): boolean {
    return this.pieces.isSeed || this.extensions.theirs?.uploadOnly === true
  }

  /** Once a second. */
  tick(nowMs: number, elapsedMs: number): void {
    this.download.rate.tick(elapsedMs)
    this.upload.rate.tick(elapsedMs)
    const isMet = this.peerId !== undefined
    const reason = this.#liveness.overdue(nowMs, isMet) ?? this.#owes(nowMs)
    if (reason !== undefined) {
      this.close(reason)
      return
    }
    if (!isMet) return
    this.#liveness.keepAlive(nowMs)
    this.download.tick()
  }

  #owes(nowMs: number): Error | undefined {
    if (!this.download.isOverdue(nowMs)) return undefined
    return protocolError('chunks owed for too long', 'stalls')
  }
}
