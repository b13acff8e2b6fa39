/**
 * One torrent: its way from magnet to seed, its peers, and what it tells the outside.
 *
 * ```
 * metadata --> downloading --> seeding
 *     |             |             |
 *     `-------------+-------------+--> failed (keeps what it has; resumed when that has passed) or stopped
 * ```
 *
 * What it does not do itself: connector.ts finds peers, download.ts gets what is missing, choking.ts
 * says who may upload from us, metadata.ts fetches the info dictionary.
 *
 * Invariants: `verified` is the have-bits of the volume and the pieces verified since; after `failed` or
 * `stopped` there is no peer and no timer; `complete` is emitted once, after the volume was synced.
 */
import { Readable } from 'node:stream'
import { Bitfield, bytesEqual, type Logger, toHex } from '../base/index.ts'
import {
  encodePieceLayers,
  type HashRange,
  hasAllLayers,
  type PieceHashes,
  type PieceLayers,
  type TorrentInfo,
} from '../metainfo/index.ts'
import type { StoredTorrent } from '../torrent-store/index.ts'
import type { TrackerStatus } from './announce/announcer.ts'
import type { AnnounceCounters, PeerAddress } from './announce/types.ts'
import type { Budget } from './budget.ts'
import { Choking, slotsFor } from './choking.ts'
import type { Arrival } from './connections.ts'
import { Connector } from './connector.ts'
import type { Content } from './content.ts'
import { Discovery, type DiscoveryHost } from './discovery.ts'
import { Download, type DownloadHost } from './download.ts'
import { Emitter } from './emitter.ts'
import { engineError } from './errors.ts'
import { MetadataFetch } from './metadata.ts'
import type { PeerSocket } from './network.ts'
import { openContent } from './open-content.ts'
import type { Peer, PeerHost } from './peer.ts'
import type { Priority, Window } from './pick-order.ts'
import { RateMeter } from './rate.ts'
import type { ReadCache } from './read-cache.ts'
import { openReadStream, type ReadableTorrent } from './read-stream.ts'
import { DOZE_MS, type Known, Sleep } from './sleep.ts'
import { SuperSeed } from './super-seed.ts'
import type { Share } from './throttle.ts'
import type { TorrentContext } from './torrent-context.ts'
import { TorrentHashes } from './torrent-hashes.ts'
import type { TorrentNames } from './torrent-names.ts'
import type {
  AddOptions,
  EngineTorrent,
  Rates,
  TorrentEvents,
  TorrentProgress,
  TorrentState,
} from './types.ts'
import { Wanted } from './wanted.ts'
import { WebSeedSocket } from './web-seed/socket.ts'
import { WebSeeds } from './web-seed/web-seeds.ts'
import {
  encodeMetadataData,
  encodeMetadataReject,
  metadataPieceCount,
  parseMetadataMessage,
} from './wire/extended.ts'

/** Pieces in memory that are suggested a second (BEP 6). */
const SUGGESTIONS = 4
/** With fewer peers a download asks its trackers as often as they allow. */
const FEW_PEERS = 10

export class Torrent
  extends Emitter<TorrentEvents>
  implements EngineTorrent, PeerHost, DownloadHost, ReadableTorrent, DiscoveryHost
{
  readonly names: TorrentNames
  readonly peerId: Uint8Array
  readonly listenPort: number
  readonly reads: ReadCache
  readonly uploadShare: Share
  readonly downloadShare: Share
  readonly messageMemory: Budget
  info: TorrentInfo | undefined
  stored: StoredTorrent | undefined
  content: Content | undefined
  error: Error | undefined
  nowMs: number
  readonly peers: Set<Peer> = new Set()
  readonly #context: TorrentContext
  readonly #logger: Logger
  readonly #trackers: readonly (readonly string[])[]
  #discovery: Discovery<Peer>
  readonly #webSeeds: WebSeeds<Peer>
  readonly #hashes: TorrentHashes
  readonly #connector: Connector
  readonly #choking: Choking
  readonly #downloaded = new RateMeter()
  readonly #uploaded = new RateMeter()
  #state: TorrentState = 'metadata'
  #metadata: MetadataFetch | undefined
  #download: Download | undefined
  #hashFailures = 0
  #bans = 0
  /** To begin as the swarm's first seed (BEP 16); done once. */
  #beginsSwarm: boolean
  #superSeed: SuperSeed | undefined
  readonly #wanted: Wanted
  readonly #sleep: Sleep
  #choosing: Promise<void> = Promise.resolve()
  /** Resolves when the stripes of a download that has ended are written. */
  #leaving: Promise<void> = Promise.resolve()
  /** When a peer was connected last. */
  #busyMs: number
  #stopping: Promise<void> | undefined
  /** Taken out of the engine, or the engine stops. */
  #ended = false

  constructor(
    context: TorrentContext,
    names: TorrentNames,
    {
      trackers,
      priorities,
      sequential = false,
      webSeeds = [],
      rates,
      reload,
      superSeed,
    }: AddOptions,
  ) {
    super()
    this.#wanted = new Wanted(priorities, sequential)
    this.#sleep = new Sleep(reload)
    this.#beginsSwarm = superSeed === true
    this.#context = context
    this.names = names
    this.#trackers = trackers
    this.#webSeeds = new WebSeeds(webSeeds)
    this.peerId = context.peerId
    this.listenPort = context.listenPort
    this.reads = context.reads
    this.uploadShare = context.uploads.share(rates?.up)
    this.downloadShare = context.downloads.share(rates?.down)
    this.messageMemory = context.messageMemory
    this.nowMs = context.clock.monotonicMs()
    this.#busyMs = this.nowMs
    this.#logger = context.logger
    this.#connector = new Connector(context, this, () => this.#connect())
    const slots = (): number => slotsFor(context.uploadSlots, this.uploadShare.mostPerSecond)
    this.#choking = new Choking(this.peers, slots, context.random)
    this.#hashes = new TorrentHashes(
      () => this.nowMs,
      (peer, reason) => this.ban(peer, reason),
    )
    this.#discovery = this.#discover()
  }

  get infoHash(): Uint8Array {
    return this.names.primary
  }

  #discover(): Discovery<Peer> {
    const discovery = new Discovery<Peer>(this.#context, this, this.#trackers)
    for (const name of this.names.all) discovery.announce(name)
    return discovery
  }

  /** The torrent is known by this name, too. */
  announce(name: Uint8Array): void {
    this.#discovery.announce(name)
  }

  /** Not known of a magnet whose info dictionary is not there yet. */
  get isPrivate(): boolean {
    return this.info?.private ?? this.#sleep.summary?.private ?? false
  }

  counters(): AnnounceCounters {
    return {
      uploaded: this.#uploaded.total,
      downloaded: this.#downloaded.total,
      left: this.#leftBytes(),
      isPartialSeed: this.#state === 'seeding' && this.#leftBytes() > 0,
    }
  }

  get state(): TorrentState {
    return this.#state
  }

  get running(): boolean {
    return this.#state !== 'failed' && this.#state !== 'stopped'
  }

  // --- Beginning ---

  /** The info dictionary is known: peers may ask for it, and may be asked for hashes. */
  learnInfo(info: TorrentInfo): void {
    this.info = info
    for (const peer of this.peers) if (peer.peerId !== undefined) this.#hashes.add(peer)
  }

  /** Layers that `known` lacks, from peers: without them nothing of v2 can be verified. */
  fetchLayers(info: TorrentInfo, known: PieceLayers): Promise<PieceLayers> {
    return new Promise((resolve) => this.#hashes.fetch(info, known, this.peers, resolve))
  }

  /**
   * The torrent is on the volume: seed what it has, download the rest. Reads nothing. `layers` are all that
   * v2 needs; of a hybrid they may be fewer, and are fetched beside.
   */
  begin(stored: StoredTorrent, info: TorrentInfo, layers: PieceLayers): void {
    this.learnInfo(info)
    this.stored = stored
    const { blockBytes } = this.#context.volume
    const content = openContent(stored, info, layers, blockBytes, (error) => this.fail(error))
    this.content = content
    if (info.format === 'hybrid' && !hasAllLayers(info, layers)) {
      this.#fetchBeside(stored, content.hashes)
    }
    this.#wanted.learn(info)
    this.#enter()
  }

  /** Seeding or downloading, by what is wanted and not there. */
  #enter(): void {
    const content = this.content!
    const stored = this.stored!
    const { geometry, verified } = content
    const wanted = this.#wanted
    wanted.survey(this.info!, geometry, stored.have)
    if (wanted.missing === 0) {
      this.#state = 'seeding'
      if (verified.full && this.#beginsSwarm) this.#superSeed ??= new SuperSeed(verified.length)
      return
    }
    this.#state = 'downloading'
    const download = new Download(
      this.#context,
      this,
      stored,
      content.hashes,
      geometry,
      verified,
      wanted.priorities,
    )
    wanted.brief(download.order)
    this.#download = download
    content.download = download
  }

  /** A hybrid goes by SHA-1 until its layers are there; they are kept, for those who know v2 alone. */
  #fetchBeside(stored: StoredTorrent, hashes: PieceHashes): void {
    const learn = async (layers: PieceLayers): Promise<void> => {
      hashes.learn(layers)
      await stored.keepLayers(encodePieceLayers(layers))
    }
    try {
      this.#hashes.fetch(hashes.info, hashes.layers, this.peers, (layers) => {
        learn(layers).catch((error: unknown) => this.#notKept(error))
      })
    } catch (error) {
      this.#notKept(error)
    }
  }

  #notKept(error: unknown): void {
    this.#logger.warn({ infoHash: toHex(this.infoHash), error }, 'piece layers were not kept')
  }

  /** BEP 21. */
  get uploadOnly(): boolean {
    // Who has nothing and wants nothing would be left: a super-seed seems to be one.
    return this.#state === 'seeding' && this.#superSeed === undefined
  }

  get superSeeds(): boolean {
    return this.#superSeed !== undefined
  }

  get name(): string | undefined {
    return this.info?.name ?? this.#sleep.summary?.name
  }

  // --- Idleness ---

  /** Lets go of what is only needed while peers are there. */
  doze(): void {
    const { info, content } = this
    const idle = this.peers.size === 0 && !this.#wanted.isBeingRead && this.#sleep.mayBegin
    if (!idle || this.#state !== 'seeding') return
    if (info === undefined || content === undefined || !content.verified.full) return
    this.#sleep.begin(info)
    this.reads.drop(content.source)
    this.info = undefined
    this.content = undefined
  }

  /** Resolves when it is awake; or has failed, because what it needs cannot be read. */
  wake(): Promise<void> {
    return this.#sleep.end(
      ({ info, layers }) => {
        if (!this.running) return
        this.#sleep.summary = undefined
        this.begin(this.stored!, info, layers)
        this.#busyMs = this.#context.clock.monotonicMs()
      },
      (error) => this.fail(asError(error)),
    )
  }

  // --- What is wanted ---

  async setPriorities(files: readonly Priority[]): Promise<void> {
    await this.wake()
    if (this.content === undefined) throw noMetadata(this.infoHash)
    if (files.length !== this.info!.files.length) {
      throw new RangeError(`${files.length} priorities for ${this.info!.files.length} files`)
    }
    this.#wanted.files = [...files]
    // One change at a time: the last one says what is wanted.
    const before = this.#choosing
    this.#choosing = before.then(() => this.#chooseAnew())
    await this.#choosing
  }

  async #chooseAnew(): Promise<void> {
    if (!this.running) return
    const wasDownloading = this.#state === 'downloading'
    if (this.#download !== undefined) await this.#endDownload()
    if (!this.running) return
    this.#enter()
    this.#wanted.changed()
    for (const peer of [...this.peers]) {
      if (this.#state === 'downloading') peer.downloadBegun()
      peer.tellUploadOnly()
    }
    if (this.#state === 'downloading') this.#connector.wakeAll()
    if (wasDownloading && this.#state === 'seeding') {
      await this.stored!.sync()
      if (this.#state === 'seeding') this.#completed()
    }
    this.#connect()
  }

  /** Writes what is verified; what is not whole is forgotten. */
  #endDownload(): Promise<void> {
    const download = this.#download!
    const content = this.content!
    content.download = undefined
    content.leaving = download.stripes
    this.#download = undefined
    this.#hashFailures += download.hashFailures
    for (const peer of [...this.peers]) peer.downloadEnded()
    download.flush()
    download.stop()
    this.#leaving = download.stripes.close().then(() => {
      content.leaving = undefined
    })
    return this.#leaving
  }

  setSequential(sequential: boolean): void {
    this.#wanted.sequential = sequential
    if (this.#download !== undefined) this.#download.order.sequential = sequential
  }

  setRates({ up, down }: Rates): void {
    this.uploadShare.rate = up
    this.downloadShare.rate = down
  }

  createReadStream(file: number, range: { start?: number; end?: number } = {}): Readable {
    if (this.#sleep.summary === undefined) return openReadStream(this, file, range)
    const awake = (): Promise<void> => this.wake()
    const open = (): Readable => openReadStream(this, file, range)
    return Readable.from(
      (async function* (): AsyncGenerator<Uint8Array> {
        await awake()
        yield* open()
      })(),
      { objectMode: false },
    )
  }

  // --- As those who read it see it ---

  isSkipped(piece: number): boolean {
    return this.#wanted.isSkipped(piece)
  }

  onChange(listener: () => void): () => void {
    return this.#wanted.onChange(listener)
  }

  addWindow(window: Window): void {
    this.#wanted.addWindow(window)
    this.#download?.order.addWindow(window)
    this.#download?.hurry()
  }

  windowMoved(): void {
    this.#download?.hurry()
  }

  deleteWindow(window: Window): void {
    this.#wanted.deleteWindow(window)
    this.#download?.order.deleteWindow(window)
    this.#download?.picker.reorder()
  }

  /** A magnet: the info dictionary is fetched from peers first. */
  beginMetadata(done: (infoBytes: Uint8Array) => Promise<void>): void {
    this.#metadata = new MetadataFetch(
      (infoBytes) => {
        const verdict = this.names.judge(infoBytes)
        if (verdict === 'torn') {
          const what = 'the magnet names the v1 part of one torrent and the v2 part of another'
          this.fail(engineError('ENGINE_BAD_METADATA', what))
        }
        return verdict === 'right'
      },
      (infoBytes) => {
        this.#metadata = undefined
        done(infoBytes).catch((error: unknown) => this.fail(asError(error)))
      },
      (peer) => this.ban(peer as Peer, 'it sent an info dictionary that is not the one'),
    )
  }

  /** The metadata is there and `begin` was called: peers that came before take part now. */
  metadataKnown(): void {
    for (const peer of [...this.peers]) peer.contentKnown(this.content!)
    this.emit('metadata', this.info!)
    this.#closeSeeds()
  }

  /** To be called once, after `begin` or `beginMetadata`. */
  start(): void {
    this.#discovery.start()
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
    this.#connector.add(peers)
    this.#connect()
  }

  /** Peers that somebody else than a tracker has named. */
  believe(peers: readonly PeerAddress[]): void {
    this.#discovery.believe(peers)
  }

  dhtPort(host: string): number | undefined {
    return this.isPrivate ? undefined : this.#context.dht?.portFor(host)
  }

  onDhtPort(peer: Peer, port: number): void {
    if (!this.isPrivate) this.#context.dht?.meet({ host: peer.host, port })
  }

  onPex(peer: Peer, payload: Uint8Array): void {
    this.#discovery.onPex(peer, payload)
  }

  /** A peer connected to us and named this torrent; `first` is what it has sent so far. */
  accept(socket: PeerSocket, arrival: Arrival, first: Uint8Array): void {
    if (this.#sleep.summary === undefined || !this.running) {
      this.#admit(socket, arrival, first)
      return
    }
    this.#sleep.knock(socket, arrival, first, this.wake(), (said) =>
      this.#admit(socket, arrival, said),
    )
  }

  #admit(socket: PeerSocket, arrival: Arrival, first: Uint8Array): void {
    const peer = this.#connector.accept(socket, arrival, this.running)
    if (peer === undefined) return
    this.peers.add(peer)
    peer.receive(first)
  }

  #connect(): void {
    if (this.#sleep.summary !== undefined) {
      if (this.running && this.#connector.mayConnect) this.wake().then(() => this.#connect())
      return
    }
    while (this.running) {
      const peer = this.#connector.connect()
      if (peer === undefined) return
      this.peers.add(peer)
    }
  }

  onHandshake(peer: Peer): boolean {
    const id = peer.peerId!
    if (bytesEqual(id, this.peerId)) {
      // Only the end that connected knows the address: it has to hear our answer.
      this.#connector.isSelf(peer)
      return !peer.outgoing
    }
    for (const other of this.peers) {
      if (other === peer || other.peerId === undefined || !bytesEqual(other.peerId, id)) continue
      // Both connected at once: both sides keep the connection that the smaller peer id made.
      const mine = toHex(this.peerId) < toHex(id)
      if (other.outgoing === peer.outgoing || peer.outgoing !== mine) {
        this.#connector.isTwice(peer)
        return false
      }
      this.#connector.isTwice(other)
      other.close()
    }
    return true
  }

  onMet(peer: Peer): void {
    this.#hashes.add(peer)
    this.#superSeed?.met(peer, this.nowMs)
  }

  onHas(peer: Peer, piece?: number): void {
    const superSeed = this.#superSeed
    if (superSeed === undefined) return
    if (piece === undefined) superSeed.heard(peer, this.nowMs)
    else superSeed.had(peer, piece, this.nowMs)
    if (superSeed.over) this.#endSuperSeed()
  }

  /** From now on it is a seed like any other. */
  #endSuperSeed(): void {
    const superSeed = this.#superSeed
    if (superSeed === undefined) return
    this.#superSeed = undefined
    this.#beginsSwarm = false
    superSeed.end()
    for (const peer of [...this.peers]) peer.tellUploadOnly()
    this.#logger.info(
      { infoHash: toHex(this.infoHash) },
      'the swarm has all: no super-seed any more',
    )
  }

  onHashRequest(peer: Peer, root: Uint8Array, range: HashRange): void {
    this.#hashes.onRequest(peer, this.content, root, range)
  }

  onHashes(peer: Peer, root: Uint8Array, range: HashRange, hashes: Uint8Array): void {
    this.#hashes.onHashes(peer, root, range, hashes)
  }

  onHashReject(peer: Peer, root: Uint8Array, range: HashRange): void {
    this.#hashes.onReject(peer, root, range)
  }

  #connectWebSeeds(): void {
    this.#webSeeds.connect(
      this.nowMs,
      (host) => this.#connector.isBanned(host),
      (url) => {
        const peer = this.#connector.meet(() => new WebSeedSocket(url, this.info!, this.#context))
        if (peer !== undefined) this.peers.add(peer)
        return peer
      },
    )
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
    this.peers.delete(peer)
    this.#superSeed?.gone(peer)
    this.#choking.gone(peer)
    if (this.#state === 'seeding' && peer.wantsNothing) this.#connector.bothSeed(peer)
    this.#connector.ended(peer)
    this.#webSeeds.ended(peer, peer.download.rate.total > 0, this.nowMs)
    this.#metadata?.remove(peer, this.nowMs)
    this.#hashes.remove(peer)
    const { picking } = peer.pieces
    if (picking !== undefined) this.#download?.left(picking.id, peer.host)
    if (peer.pieces.leave()) this.onReleased()
    if (error !== undefined) {
      this.#logger.debug({ host: peer.host, port: peer.port, error }, 'a peer was cut off')
    }
  }

  ban(peer: Peer, reason: string): void {
    this.banHost(peer.host, reason)
  }

  /** Nobody from there is connected to, or let in, for BAN_MS. */
  banHost(host: string, reason: string): void {
    this.#logger.info({ host, reason }, 'a peer is banned')
    this.#bans++
    this.#connector.ban(host)
    for (const peer of [...this.peers]) if (peer.host === host) peer.close()
  }

  #closeSeeds(): void {
    if (this.#state !== 'seeding') return
    for (const peer of [...this.peers]) if (peer.wantsNothing) peer.close()
  }

  // --- Download ---

  onChunk(piece: number, chunk: number, other: number): void {
    this.#download!.onChunk(piece, chunk, other)
  }

  onReleased(): void {
    this.#download?.onReleased()
  }

  pieceVerified(piece: number): void {
    this.emit('piece', piece)
  }

  pieceHeld(piece: number): void {
    this.#context.changed()
    if (this.#wanted.held(piece))
      this.#finish().catch((error: unknown) => this.fail(asError(error)))
  }

  async #finish(): Promise<void> {
    await this.#context.syncSoon(() => this.stored!.sync())
    // Something else may be wanted by now, or about to be.
    if (this.#state !== 'downloading' || this.#wanted.missing > 0 || this.#download === undefined)
      return
    this.#state = 'seeding'
    await this.#endDownload()
    if (this.#state === 'seeding') this.#completed()
  }

  #completed(): void {
    if (this.content!.verified.full) this.#discovery.completed()
    this.#closeSeeds()
    this.#logger.info({ infoHash: toHex(this.infoHash) }, 'a torrent is complete')
    this.emit('complete')
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

  onInterest(peer: Peer): void {
    this.#choking.onInterest(peer)
  }

  /** What is in memory is offered to those who may ask and do not have it. */
  #suggest(): void {
    const source = this.content?.source
    if (source === undefined || source.blocks.size === 0) return
    const asking = [...this.peers].filter((peer) => peer.interested && peer.unchoked)
    // Who is alone knows what it asked for.
    if (asking.length < 2) return
    for (const piece of this.reads.pieces(source, SUGGESTIONS)) {
      for (const peer of asking)
        if (peer.pieces.has?.has(piece) === false) peer.upload.suggest(piece)
    }
  }

  // --- Time ---

  /** Once a second. */
  tick(elapsedMs: number): void {
    if (!this.running) return
    this.readClock()
    this.#downloaded.tick(elapsedMs)
    this.#uploaded.tick(elapsedMs)
    this.#connect()
    if (this.#state === 'downloading') this.#connectWebSeeds()
    const hungry =
      (this.#state === 'downloading' || this.#state === 'metadata') && this.peers.size < FEW_PEERS
    this.#discovery.tick(hungry, this.peers)
    if (this.peers.size === 0 && this.#state === 'seeding') {
      if (this.nowMs - this.#busyMs >= DOZE_MS) this.doze()
      return
    }
    this.#busyMs = this.nowMs
    for (const peer of [...this.peers]) peer.tick(this.nowMs, elapsedMs)
    if (this.#state === 'seeding') this.#closeSeeds()
    this.#metadata?.pump(this.nowMs)
    this.#hashes.tick()
    this.#superSeed?.tick(this.nowMs)
    this.#choking.tick(this.nowMs, this.#state === 'seeding')
    this.#suggest()
    this.#download?.tick(this.nowMs)
  }

  #leftBytes(): number {
    if (this.#sleep.summary !== undefined) return 0
    if (this.info === undefined) return 1
    return this.info.contentBytes - this.#haveBytes()
  }

  #haveBytes(): number {
    if (this.#sleep.summary !== undefined) return this.#sleep.summary.contentBytes
    return this.content?.geometry.bytesOf(this.content.verified) ?? 0
  }

  #wantedBytes(): number {
    if (this.#sleep.summary !== undefined) return this.#sleep.summary.contentBytes
    if (this.content === undefined) return 0
    const { geometry } = this.content
    const wanted = new Bitfield(geometry.pieceCount)
    for (let piece = 0; piece < wanted.length; piece++) {
      if (!this.isSkipped(piece)) wanted.set(piece)
    }
    return geometry.bytesOf(wanted)
  }

  progress(): TorrentProgress {
    return {
      state: this.#state,
      totalBytes: (this.info ?? this.#sleep.summary)?.contentBytes ?? 0,
      wantedBytes: this.#wantedBytes(),
      haveBytes: this.#haveBytes(),
      pieceCount: (this.info ?? this.#sleep.summary)?.pieceCount ?? 0,
      havePieces: this.content?.verified.count ?? this.#sleep.summary?.pieceCount ?? 0,
      downloadRate: this.#downloaded.perSecond,
      uploadRate: this.#uploaded.perSecond,
      downloadedBytes: this.stored?.downloadedBytes ?? this.#downloaded.total,
      uploadedBytes: this.stored?.uploadedBytes ?? this.#uploaded.total,
      peers: this.peers.size,
      bans: this.#bans,
      hashFailures: this.#hashFailures + (this.#download?.hashFailures ?? 0),
    }
  }

  // --- End ---

  /** Something is wrong with the torrent or its storage: it keeps what it has, and the error. */
  fail(error: Error): void {
    if (!this.running) {
      if (error === this.error) return
      this.#logger.warn({ infoHash: toHex(this.infoHash), error }, 'an error after the end')
      return
    }
    this.#state = 'failed'
    this.error = error
    this.#logger.error({ infoHash: toHex(this.infoHash), error }, 'a torrent failed')
    this.#cutOff()
    const dropped = Promise.all([this.content?.download?.stripes.drop(), this.#leaving])
    this.#stopping = Promise.all([this.#discovery.stop(), dropped]).then(() => {})
    this.emit('failed', error)
  }

  async resume(): Promise<void> {
    await this.#stopping
    if (this.#state !== 'failed' || this.#ended) return
    const { stored } = this
    const known = await this.#known()
    if (stored === undefined || known === undefined) throw this.error
    if (stored.failure !== undefined) throw stored.failure
    this.#sleep.summary = undefined
    this.error = undefined
    this.#stopping = undefined
    this.#discovery = this.#discover()
    this.#hashFailures += this.#download?.hashFailures ?? 0
    this.#download = undefined
    this.begin(stored, known.info, known.layers)
    this.#connector.wakeAll()
    this.start()
  }

  /** What `begin` needs: as it is in memory, or read again. */
  async #known(): Promise<Known | undefined> {
    const { info, content } = this
    if (info !== undefined && content !== undefined) return { info, layers: content.hashes.layers }
    return this.stored === undefined ? undefined : this.#sleep.reload?.()
  }

  trackers(): readonly TrackerStatus[] {
    return this.#discovery.trackers()
  }

  /** Says goodbye to trackers, cuts off peers, writes what is verified. Durable after the next sync. */
  stop(): Promise<void> {
    this.#ended = true
    if (this.running) {
      this.#state = 'stopped'
      this.#cutOff()
      const written = Promise.all([this.content?.download?.stripes.close(), this.#leaving])
      this.#stopping = Promise.all([this.#discovery.stop(), written]).then(() => {})
    }
    return this.#stopping ?? Promise.resolve()
  }

  #cutOff(): void {
    this.#wanted.changed()
    this.#sleep.turnAway()
    this.#download?.stop()
    this.#metadata = undefined
    for (const peer of [...this.peers]) peer.close()
    if (this.content !== undefined) this.reads.drop(this.content.source)
  }
}

function noMetadata(infoHash: Uint8Array): Error {
  return engineError('ENGINE_NO_METADATA', `nobody has sent the metadata of ${toHex(infoHash)} yet`)
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
