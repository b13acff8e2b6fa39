/**
 * One torrent: its peers, what is missing of it, and its way from magnet to seed.
 *
 * ```
 * metadata --> downloading --> seeding
 *     |             |             |
 *     `-------------+-------------+--> failed (keeps what it has) or stopped
 * ```
 *
 * A verified piece is announced to peers at once and served from its stripe until it is on the volume:
 * memory that was verified is as good as a disk, and a stripe may take minutes to become whole.
 *
 * Invariants: `verified` is the have-bits of the volume and the pieces verified since; after `failed` or
 * `stopped` there is no peer and no timer; `complete` is emitted once, after the volume was synced.
 */
import { Bitfield, bytesEqual, type Clock, type Logger, type Random, toHex } from '../base/index.ts'
import type { StoredTorrent, Volume } from '../filesystem/index.ts'
import { parseInfo, type TorrentInfo } from '../metainfo/index.ts'
import { AddressBook, type PeerAddress } from './addresses.ts'
import { type Announcer, createAnnouncer, type TrackerStatus } from './announce/announcer.ts'
import type { TrackerClient } from './announce/tracker-client.ts'
import { CHOKE_ROUND_MS, chooseUnchoked, OPTIMISTIC_ROUND_MS } from './choker.ts'
import type { Content } from './content.ts'
import { Emitter } from './emitter.ts'
import { engineError } from './errors.ts'
import { Geometry } from './geometry.ts'
import { MetadataFetch } from './metadata.ts'
import type { Network, PeerSocket } from './network.ts'
import { Peer } from './peer.ts'
import type { PeerHost } from './peer-host.ts'
import { Picker } from './picker.ts'
import { RateMeter } from './rate.ts'
import { type ReadCache, ReadSource } from './read-cache.ts'
import { StripeCache } from './stripe-cache.ts'
import type { StripePool } from './stripe-pool.ts'
import { Suspects } from './suspects.ts'
import type { EngineTorrent, TorrentEvents, TorrentProgress, TorrentState } from './types.ts'
import {
  encodeMetadataData,
  encodeMetadataReject,
  metadataPieceCount,
  parseMetadataMessage,
} from './wire/extended.ts'
import { HAVE_BYTES, writeHave } from './wire/messages.ts'
import type { WriteQueue } from './write-queue.ts'

/** What the engine lends to its torrents. */
export interface TorrentContext {
  readonly volume: Volume
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly peerId: Uint8Array
  readonly listenPort: number
  /** For trackers: the same for all torrents of a run. */
  readonly key: number
  readonly trackerClient: TrackerClient
  readonly pool: StripePool
  readonly writes: WriteQueue
  readonly reads: ReadCache
  readonly uploadSlots: number
  /** Something was written or marked that a sync has to make durable. */
  changed(): void
  syncNow(): Promise<void>
  /** Leave to open a connection; each is ended by one `connectionEnded`. */
  mayConnect(): boolean
  connectionBegun(): void
  connectionOpened(): void
  connectionEnded(opened: boolean): void
}

/** Haves leave together, and freed chunks are asked for again, after this time at most. */
const FLUSH_MS = 50
const STRIPE_TICK_MS = 5_000
/** A stripe without progress for this long is written as far as it is verified. */
const STRIPE_IDLE_MS = 30_000
const STOP_ANNOUNCE_MS = 3_000
const MAX_ACTIVE_EXTENTS = 64
const MAX_OUTGOING = 200
/** Two seeds have nothing to say to each other. */
const SEED_RETRY_MS = 30 * 60_000

export class Torrent extends Emitter<TorrentEvents> implements EngineTorrent, PeerHost {
  readonly infoHash: Uint8Array
  readonly peerId: Uint8Array
  readonly listenPort: number
  readonly reads: ReadCache
  info: TorrentInfo | undefined
  stored: StoredTorrent | undefined
  content: Content | undefined
  error: Error | undefined
  nowMs: number
  readonly #context: TorrentContext
  readonly #logger: Logger
  readonly #announcer: Announcer
  readonly #peers = new Set<Peer>()
  readonly #addresses = new AddressBook()
  readonly #outgoing = new Map<Peer, PeerAddress>()
  readonly #downloaded = new RateMeter()
  readonly #uploaded = new RateMeter()
  #state: TorrentState = 'metadata'
  #metadata: MetadataFetch | undefined
  #suspects = new Suspects()
  #hashFailures = 0
  #haves: number[] = []
  #cancelFlush: (() => void) | undefined
  #optimistic: Peer | undefined
  #nextChokeMs = 0
  #nextOptimisticMs = 0
  #nextStripeMs = 0
  #stopping: Promise<void> | undefined

  constructor(
    context: TorrentContext,
    infoHash: Uint8Array,
    trackers: readonly (readonly string[])[],
  ) {
    super()
    this.#context = context
    this.infoHash = infoHash
    this.peerId = context.peerId
    this.listenPort = context.listenPort
    this.reads = context.reads
    this.nowMs = context.clock.monotonicMs()
    this.#logger = context.logger
    this.#announcer = createAnnouncer({
      trackers,
      infoHash,
      peerId: context.peerId,
      port: context.listenPort,
      key: context.key,
      network: context.network,
      clock: context.clock,
      random: context.random,
      logger: context.logger,
      client: context.trackerClient,
      // Our links have a tier for each address family: a swarm is whole only when all are told.
      announceToAllTiers: true,
      counters: () => ({
        uploaded: this.#uploaded.total,
        downloaded: this.#downloaded.total,
        left: this.#leftBytes(),
      }),
      onPeers: (peers) => this.addPeers(peers),
    })
  }

  get state(): TorrentState {
    return this.#state
  }

  get running(): boolean {
    return this.#state !== 'failed' && this.#state !== 'stopped'
  }

  // --- Beginning ---

  /** The torrent is on the volume: seed what it has, download the rest. Reads nothing. */
  begin(stored: StoredTorrent, info: TorrentInfo): void {
    const { clock, volume, pool, writes, random } = this.#context
    this.info = info
    this.stored = stored
    const geometry = new Geometry(info.totalBytes, info.pieceBytes, volume.blockBytes)
    const verified = new Bitfield(geometry.pieceCount)
    for (let piece = 0; piece < verified.length; piece++) {
      if (stored.have.has(piece)) verified.set(piece)
    }
    const source = new ReadSource(stored, geometry, (error) => this.fail(error))
    const content: Content = { geometry, verified, source, download: undefined }
    this.content = content
    if (verified.full) {
      this.#state = 'seeding'
      return
    }
    this.#state = 'downloading'
    const picker = new Picker({
      geometry,
      have: verified,
      random,
      maxActive: 1,
      admit: (stripe, extent) => stripes.admit(stripe, extent),
    })
    const stripes = new StripeCache({
      geometry,
      stored,
      pieceHashes: info.pieceHashes,
      picker,
      pool,
      writes,
      clock,
      events: {
        verified: (piece) => this.#pieceVerified(piece),
        hashFailed: (piece, senders) => this.#hashFailed(piece, senders),
        held: () => this.#pieceHeld(),
        failed: (error) => this.fail(error),
        onRoom: () => this.#refillAll(),
      },
    })
    content.download = { picker, stripes }
    this.#limitExtents()
  }

  /** A magnet: the info dictionary is fetched from peers first. */
  beginMetadata(done: (infoBytes: Uint8Array) => Promise<void>): void {
    this.#metadata = new MetadataFetch(
      this.infoHash,
      (infoBytes) => {
        this.#metadata = undefined
        done(infoBytes).catch((error: unknown) => this.fail(asError(error)))
      },
      (peer) => this.#ban(peer as Peer, 'it sent an info dictionary that is not the one'),
    )
  }

  /** The metadata is there and `begin` was called: peers that came before take part now. */
  metadataKnown(): void {
    for (const peer of [...this.#peers]) peer.contentKnown(this.content!)
    this.emit('metadata', this.info!)
    this.#closeSeeds()
  }

  /** To be called once, after `begin` or `beginMetadata`. */
  start(): void {
    this.#announcer.start()
    this.#connect()
  }

  get infoBytes(): Uint8Array | undefined {
    return this.info?.infoBytes
  }

  readClock(): void {
    this.nowMs = this.#context.clock.monotonicMs()
  }

  // --- Peers ---

  addPeers(peers: readonly { readonly host: string; readonly port: number }[]): void {
    if (!this.running) return
    for (const { host, port } of peers) this.#addresses.add(host, port)
    this.#connect()
  }

  /** A peer connected to us and named this torrent; `first` is what it has sent so far. */
  accept(socket: PeerSocket, first: Uint8Array): void {
    const { connectionBegun, connectionOpened, connectionEnded } = this.#context
    connectionBegun()
    connectionOpened()
    if (!this.running || this.#addresses.isBanned(socket.remoteAddress)) {
      socket.onClose = () => {}
      socket.destroy()
      connectionEnded(true)
      return
    }
    this.readClock()
    const peer = new Peer(this, socket, false)
    this.#peers.add(peer)
    peer.receive(first)
  }

  #connect(): void {
    const { network } = this.#context
    while (this.running && this.#outgoing.size < MAX_OUTGOING && this.#context.mayConnect()) {
      this.readClock()
      const address = this.#addresses.next(this.nowMs)
      if (address === undefined) return
      this.#context.connectionBegun()
      const socket = network.connect(address.host, address.port)
      const peer = new Peer(this, socket, true)
      this.#peers.add(peer)
      this.#outgoing.set(peer, address)
      socket.onConnect = () => {
        if (peer.closed) return
        peer.opened = true
        this.#context.connectionOpened()
        this.readClock()
        peer.sendHandshake()
      }
    }
  }

  onHandshake(peer: Peer): boolean {
    const id = peer.peerId!
    if (bytesEqual(id, this.peerId)) {
      const address = this.#outgoing.get(peer)
      if (address !== undefined) this.#addresses.forget(address)
      return false
    }
    for (const other of this.#peers) {
      if (other === peer || other.peerId === undefined || !bytesEqual(other.peerId, id)) continue
      if (other.outgoing === peer.outgoing) return false
      // Both connected at once: both sides keep the connection that the smaller peer id made.
      const mine = toHex(this.peerId) < toHex(id)
      if (peer.outgoing !== mine) return false
      other.close()
    }
    return true
  }

  onExtended(peer: Peer): void {
    this.#metadata?.add(peer, this.nowMs)
  }

  onMetadata(peer: Peer, payload: Uint8Array): void {
    const message = parseMetadataMessage(payload)
    if (message === null) return
    if (message.type !== 'request') {
      this.#metadata?.receive(peer, message, this.nowMs)
      return
    }
    const { infoBytes } = this
    const known = infoBytes !== undefined && message.piece < metadataPieceCount(infoBytes.length)
    peer.sendMetadata(
      known ? encodeMetadataData(message.piece, infoBytes) : encodeMetadataReject(message.piece),
    )
  }

  onPeerClosed(peer: Peer, error: Error | undefined): void {
    this.#peers.delete(peer)
    if (this.#optimistic === peer) this.#optimistic = undefined
    this.#context.connectionEnded(peer.opened)
    const address = this.#outgoing.get(peer)
    if (address !== undefined) {
      this.#outgoing.delete(peer)
      this.#addresses.ended(address, peer.peerId !== undefined, this.nowMs)
      const bothSeed = this.content?.verified.full === true && peer.pieces.isSeed
      if (bothSeed) address.notBeforeMs = this.nowMs + SEED_RETRY_MS
    }
    this.#metadata?.remove(peer, this.nowMs)
    if (peer.pieces.leave()) this.onReleased()
    if (error !== undefined) {
      this.#logger.debug({ host: peer.host, port: peer.port, error }, 'a peer was cut off')
    }
  }

  #ban(peer: Peer, reason: string): void {
    this.#logger.info({ host: peer.host, reason }, 'a peer is banned')
    this.#addresses.ban(peer.host)
    peer.close()
    for (const other of [...this.#peers]) if (other.host === peer.host) other.close()
  }

  #closeSeeds(): void {
    if (this.content?.verified.full !== true) return
    for (const peer of [...this.#peers]) if (peer.pieces.isSeed) peer.close()
  }

  // --- Download ---

  onChunk(piece: number, chunk: number, other: number): void {
    if (other !== 0) {
      for (const peer of this.#peers) {
        if (peer.pieces.picking?.id === other) peer.download.cancel(piece, chunk)
      }
    }
    this.content!.download!.stripes.landed(piece)
  }

  onReleased(): void {
    this.#scheduleFlush()
  }

  #pieceVerified(piece: number): void {
    const { download, verified } = this.content!
    this.#haves.push(piece)
    this.#scheduleFlush()
    for (const peer of this.#peers) peer.pieceVerified()
    const guilty = this.#suspects.verified(piece, (chunk) => download!.stripes.chunk(piece, chunk))
    for (const peer of [...this.#peers]) {
      if (peer.pieces.picking !== undefined && guilty.has(peer.pieces.picking.id)) {
        this.#ban(peer, 'it sent a corrupt chunk')
      }
    }
    this.emit('piece', piece)
    if (verified.full) download!.stripes.finish()
  }

  #hashFailed(piece: number, senders: Int32Array): void {
    this.#hashFailures++
    const ids = new Set(senders)
    this.#logger.warn({ piece, senders: ids.size }, 'a piece failed its hash')
    if (ids.size > 1) {
      const { stripes } = this.content!.download!
      this.#suspects.failed(piece, senders, (chunk) => stripes.chunk(piece, chunk))
      return
    }
    for (const peer of [...this.#peers]) {
      if (peer.pieces.picking !== undefined && ids.has(peer.pieces.picking.id)) {
        this.#ban(peer, 'it sent a corrupt piece')
      }
    }
  }

  #pieceHeld(): void {
    this.#context.changed()
    if (this.stored!.have.full) this.#finish().catch((error: unknown) => this.fail(asError(error)))
  }

  async #finish(): Promise<void> {
    await this.#context.syncNow()
    if (this.#state !== 'downloading') return
    const { download } = this.content!
    this.content!.download = undefined
    for (const peer of [...this.#peers]) peer.downloadEnded()
    await download!.stripes.close()
    if (this.#state !== 'downloading') return
    this.#state = 'seeding'
    this.#suspects = new Suspects()
    this.#announcer.completed()
    this.#flush()
    this.#closeSeeds()
    this.#logger.info({ infoHash: toHex(this.infoHash) }, 'a torrent is complete')
    this.emit('complete')
  }

  /** As many extents at once as its share of the memory can hold, with room for those being written. */
  #limitExtents(): void {
    const { content } = this
    if (content?.download === undefined) return
    const extents = (this.#context.pool.share * 3) / 4 / content.geometry.stripesPerExtent
    const limit = Math.max(1, Math.min(MAX_ACTIVE_EXTENTS, Math.floor(extents)))
    content.download.picker.maxActive = limit
  }

  #refillAll(): void {
    this.readClock()
    for (const peer of this.#peers) peer.download.refill()
  }

  #scheduleFlush(): void {
    if (this.#cancelFlush !== undefined || !this.running) return
    this.#cancelFlush = this.#context.clock.after(FLUSH_MS, () => {
      this.#cancelFlush = undefined
      this.#flush()
      this.#refillAll()
    })
  }

  /** Tells all peers of the pieces verified since the last time. */
  #flush(): void {
    const count = this.#haves.length
    if (count === 0) return
    const bytes = Buffer.allocUnsafe(count * HAVE_BYTES)
    for (const [i, piece] of this.#haves.entries()) writeHave(bytes, i * HAVE_BYTES, piece)
    this.#haves = []
    for (const peer of this.#peers) peer.upload.sendHaves(bytes)
  }

  countDownload(bytes: number): void {
    this.#downloaded.add(bytes)
    if (this.stored !== undefined) this.stored.downloadedBytes += bytes
  }

  // --- Upload ---

  countUpload(bytes: number): void {
    this.#uploaded.add(bytes)
    this.stored!.uploadedBytes += bytes
  }

  /** A free slot is given at once; the next round sorts it out. */
  onInterest(peer: Peer): void {
    if (!peer.interested) return
    let unchoked = 0
    for (const other of this.#peers) if (other.unchoked && other.interested) unchoked++
    if (unchoked < this.#context.uploadSlots) peer.upload.unchoke()
  }

  #chokeRound(): void {
    const { random, uploadSlots } = this.#context
    if (this.nowMs >= this.#nextOptimisticMs) {
      this.#optimistic = undefined
      this.#nextOptimisticMs = this.nowMs + OPTIMISTIC_ROUND_MS
    }
    const peers = [...this.#peers].filter((peer) => peer.peerId !== undefined)
    const { unchoked, optimistic } = chooseUnchoked(peers, {
      slots: uploadSlots,
      seeding: this.#state === 'seeding',
      nowMs: this.nowMs,
      random,
      optimistic: this.#optimistic,
    })
    this.#optimistic = optimistic
    for (const peer of peers) if (!unchoked.has(peer)) peer.upload.choke()
    for (const peer of unchoked) peer.upload.unchoke()
  }

  // --- Time ---

  /** Once a second. */
  tick(elapsedMs: number): void {
    if (!this.running) return
    this.readClock()
    this.#downloaded.tick(elapsedMs)
    this.#uploaded.tick(elapsedMs)
    this.#connect()
    if (this.#peers.size === 0 && this.content?.download === undefined) return
    this.#limitExtents()
    for (const peer of [...this.#peers]) peer.tick(this.nowMs, elapsedMs)
    if (this.#state === 'seeding') this.#closeSeeds()
    this.#metadata?.pump(this.nowMs)
    if (this.nowMs >= this.#nextChokeMs) {
      this.#nextChokeMs = this.nowMs + CHOKE_ROUND_MS
      this.#chokeRound()
    }
    if (this.nowMs >= this.#nextStripeMs) {
      this.#nextStripeMs = this.nowMs + STRIPE_TICK_MS
      this.content?.download?.stripes.tick(this.nowMs, STRIPE_IDLE_MS)
    }
    const hungry = this.#state === 'downloading' || this.#state === 'metadata'
    if (hungry && this.#peers.size < 10) this.#announcer.announceNow()
  }

  #leftBytes(): number {
    if (this.info === undefined) return 1
    return this.info.totalBytes - this.#haveBytes()
  }

  #haveBytes(): number {
    const { content } = this
    if (content === undefined) return 0
    const { verified, geometry } = content
    const last = geometry.pieceCount - 1
    let bytes = verified.count * geometry.pieceBytes
    if (last >= 0 && verified.has(last)) bytes -= geometry.pieceBytes - geometry.pieceLength(last)
    return bytes
  }

  progress(): TorrentProgress {
    return {
      state: this.#state,
      totalBytes: this.info?.totalBytes ?? 0,
      haveBytes: this.#haveBytes(),
      pieceCount: this.info?.pieceCount ?? 0,
      havePieces: this.content?.verified.count ?? 0,
      downloadRate: this.#downloaded.perSecond,
      uploadRate: this.#uploaded.perSecond,
      downloadedBytes: this.stored?.downloadedBytes ?? this.#downloaded.total,
      uploadedBytes: this.stored?.uploadedBytes ?? this.#uploaded.total,
      peers: this.#peers.size,
      hashFailures: this.#hashFailures,
    }
  }

  // --- End ---

  /** Something is wrong with the torrent or its storage: it keeps what it has, and the error. */
  fail(error: Error): void {
    if (!this.running) return
    this.#state = 'failed'
    this.error = error
    this.#logger.error({ infoHash: toHex(this.infoHash), error }, 'a torrent failed')
    this.#cutOff()
    const dropped = this.content?.download?.stripes.drop()
    const left = this.#announcer.stop(STOP_ANNOUNCE_MS)
    this.#stopping = Promise.all([left, dropped]).then(() => {})
    this.emit('failed', error)
  }

  trackers(): readonly TrackerStatus[] {
    return this.#announcer.status()
  }

  /** Says goodbye to trackers, cuts off peers, writes what is verified. Durable after the next sync. */
  stop(): Promise<void> {
    if (this.running) {
      this.#state = 'stopped'
      this.#cutOff()
      const written = this.content?.download?.stripes.close()
      this.#stopping = Promise.all([this.#announcer.stop(STOP_ANNOUNCE_MS), written]).then(() => {})
    }
    return this.#stopping ?? Promise.resolve()
  }

  #cutOff(): void {
    this.#cancelFlush?.()
    this.#cancelFlush = undefined
    for (const peer of [...this.#peers]) peer.close()
    if (this.content !== undefined) this.reads.drop(this.content.source)
  }
}

/** Checks the info dictionary of a magnet. Throws ENGINE_BAD_METADATA. */
export function parseFetchedInfo(infoBytes: Uint8Array): TorrentInfo {
  try {
    return parseInfo(infoBytes)
  } catch (cause) {
    throw engineError(
      'ENGINE_BAD_METADATA',
      `the torrent of the magnet is invalid: ${asError(cause).message}`,
      { cause },
    )
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
