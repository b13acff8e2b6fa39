/**
 * One torrent: its life, from magnet to seed.
 *
 * ```
 * metadata --> downloading <--> seeding <--> asleep (seeding, with nobody there)
 *     |             |              |
 *     `-------------+--------------+--> failed (keeps what it has; resumed when that has passed) or stopped
 * ```
 *
 * What it is made of: swarm.ts, its peers; payload.ts, what it has and downloads; discovery.ts, where peers are found;
 * traffic.ts, what it moves; sleep.ts.
 *
 * Invariants: after `failed` or `stopped` there is no peer and no timer; `complete` is emitted once for what is
 * wanted, after the volume was synced.
 */
import type { Readable } from 'node:stream'
import { type Logger, toHex } from '../base/index.ts'
import {
  encodePieceLayers,
  hasAllLayers,
  type PieceHashes,
  type PieceLayers,
  type TorrentInfo,
} from '../metainfo/index.ts'
import type { StoredTorrent } from '../torrent-store/index.ts'
import { type TrackerStatus, tiersOf } from './announce/announcer.ts'
import type { AnnounceCounters, PeerAddress } from './announce/types.ts'
import type { Arrival } from './connections.ts'
import { Discovery, type DiscoveryHost } from './discovery.ts'
import { Emitter } from './emitter.ts'
import { engineError } from './errors.ts'
import type { PeerSocket } from './network.ts'
import { Payload, type PayloadHost } from './payload.ts'
import type { Peer } from './peer.ts'
import type { Priority } from './pick-order.ts'
import { openReadStream, type ReadableTorrent } from './read-stream.ts'
import { DOZE_MS, type Known, Sleep, type Summary } from './sleep.ts'
import { Swarm, type SwarmHost } from './swarm.ts'
import type { TorrentContext } from './torrent-context.ts'
import type { TorrentNames } from './torrent-names.ts'
import { Traffic } from './traffic.ts'
import type {
  AddOptions,
  EngineTorrent,
  Rates,
  TorrentEvents,
  TorrentProgress,
  TorrentState,
  TorrentWatcher,
} from './types.ts'

const NO_URLS: readonly string[] = []
const NOBODY: ReadonlySet<Peer> = new Set()

export class Torrent
  extends Emitter<TorrentEvents>
  implements EngineTorrent, SwarmHost, PayloadHost, DiscoveryHost, ReadableTorrent
{
  readonly names: TorrentNames
  readonly payload: Payload
  readonly traffic: Traffic
  /** Another one after `resume`. */
  discovery: Discovery<Peer>
  info: TorrentInfo | undefined
  error: Error | undefined
  readonly #context: TorrentContext
  readonly #logger: Logger
  readonly #webSeeds: readonly string[]
  readonly #superSeed: boolean
  readonly #watcher: TorrentWatcher | undefined
  #swarm: Swarm | undefined
  readonly #sleep: Sleep
  #over: 'failed' | 'stopped' | undefined
  /** When a peer was connected last. */
  #busyMs: number
  #stopping: Promise<void> | undefined
  /** Taken out of the engine, or the engine stops. */
  #ended = false

  constructor(context: TorrentContext, names: TorrentNames, options: AddOptions) {
    super()
    const { trackers, webSeeds = NO_URLS, superSeed = false, rates, reload, watcher } = options
    this.#context = context
    this.#logger = context.logger
    this.names = names
    this.#webSeeds = webSeeds
    this.#superSeed = superSeed
    this.#watcher = watcher
    this.#sleep = new Sleep(reload)
    this.traffic = new Traffic(context.uploads, context.downloads, rates)
    this.payload = new Payload(context, this, options)
    this.#busyMs = context.clock.monotonicMs()
    const tiers = tiersOf(trackers, context.trackerUrls, context.logger)
    this.discovery = new Discovery<Peer>(context, this, names.all, tiers)
  }

  /** Its peers; made when there may be some. */
  get swarm(): Swarm {
    this.#swarm ??= new Swarm(this, this.#context, this.#webSeeds, this.#superSeed)
    return this.#swarm
  }

  /** Undefined where nobody is known: thousands of idle torrents have none. */
  get swarmIfAny(): Swarm | undefined {
    return this.#swarm
  }

  get infoHash(): Uint8Array {
    return this.names.primary
  }

  get name(): string | undefined {
    return this.#about?.name
  }

  /** What is known of it, asleep or awake. */
  get #about(): Summary | undefined {
    return this.info ?? this.#sleep.summary
  }

  get stored(): StoredTorrent | undefined {
    return this.payload.stored
  }

  get state(): TorrentState {
    return this.#over ?? this.payload.phase ?? 'metadata'
  }

  get running(): boolean {
    return this.#over === undefined
  }

  /** Not known of a magnet whose info dictionary is not there yet. */
  get isPrivate(): boolean {
    return this.#about?.private ?? false
  }

  // --- Beginning ---

  /** A magnet: the info dictionary is fetched from peers first. */
  beginMetadata(done: (infoBytes: Uint8Array) => Promise<void>): void {
    const isRight = (infoBytes: Uint8Array): boolean => {
      const verdict = this.names.judge(infoBytes)
      if (verdict === 'torn') {
        const what = 'the magnet names the v1 part of one torrent and the v2 part of another'
        this.fail(engineError('ENGINE_BAD_METADATA', what))
      }
      return verdict === 'right'
    }
    this.swarm.fetchMetadata(isRight, (infoBytes) => {
      done(infoBytes).catch((error: unknown) => this.fail(asError(error)))
    })
  }

  /** The info dictionary is known: peers may ask for it, and may be asked for hashes. */
  learnInfo(info: TorrentInfo): void {
    this.info = info
    this.#swarm?.infoKnown()
  }

  /**
   * The torrent is on the volume: seed what it has, download the rest. Reads nothing. `layers` are all that
   * v2 needs; of a hybrid they may be fewer, and are fetched beside.
   */
  begin(stored: StoredTorrent, info: TorrentInfo, layers: PieceLayers): void {
    this.learnInfo(info)
    this.traffic.stored = stored
    const { hashes } = this.payload.open(stored, info, layers)
    if (this.#superSeed) this.swarm.begin()
    if (info.format === 'hybrid' && !hasAllLayers(info, layers)) this.#fetchBeside(stored, hashes)
  }

  /** As `begin`, of a whole torrent that nobody wants anything of yet: keeps nothing of `info` but a summary. */
  beginAsleep(stored: StoredTorrent, info: TorrentInfo): void {
    this.traffic.stored = stored
    this.payload.openAsleep(stored)
    this.#sleep.begin(info)
  }

  /** A hybrid goes by SHA-1 until its layers are there; they are kept, for those who know v2 alone. */
  #fetchBeside(stored: StoredTorrent, hashes: PieceHashes): void {
    const keep = async (layers: PieceLayers): Promise<void> => {
      hashes.learn(layers)
      await stored.keepLayers(encodePieceLayers(layers))
    }
    this.swarm
      .fetchLayers(hashes.info, hashes.layers)
      .then(keep)
      .catch((error: unknown) =>
        this.#logger.warn({ infoHash: toHex(this.infoHash), error }, 'piece layers were not kept'),
      )
  }

  /** The metadata is there and `begin` was called: peers that came before take part now. */
  metadataKnown(): void {
    this.swarm.contentKnown()
    this.emit('metadata', this.info!)
    this.#watcher?.metadata(this, this.info!)
    this.swarm.closeSeeds()
  }

  /** To be called once, after `begin` or `beginMetadata`. */
  start(): void {
    this.discovery.start()
    this.#swarm?.connect()
  }

  // --- Peers, and those who know them ---

  counters(): AnnounceCounters {
    const { uploaded, downloaded } = this.traffic
    const left = this.#leftBytes()
    const isPartialSeed = this.state === 'seeding' && left > 0
    return { uploaded: uploaded.total, downloaded: downloaded.total, left, isPartialSeed }
  }

  trackers(): readonly TrackerStatus[] {
    return this.discovery.trackers()
  }

  addPeers(peers: readonly PeerAddress[]): void {
    if (this.running && peers.length > 0) this.swarm.add(peers)
  }

  /** A peer connected to us and named this torrent; `first` is what it has sent so far. */
  accept(socket: PeerSocket, arrival: Arrival, first: Uint8Array): void {
    if (!this.asleep || !this.running) {
      this.swarm.admit(socket, arrival, first)
      return
    }
    this.#sleep.knock(socket, arrival, first, this.wake(), (said) =>
      this.swarm.admit(socket, arrival, said),
    )
  }

  /**
   * Somebody at the host was turned away because it spoke plaintext, and may not come back soon: libtorrent waits for a minute.
   * So we connect to it, encrypted; where it listens the trackers know, if not we.
   */
  turnedAway(host: string): void {
    if (!this.running || this.#swarm?.turnedAway(host) === true) return
    this.discovery.askAround()
  }

  // --- Idleness ---

  get asleep(): boolean {
    return this.#sleep.summary !== undefined
  }

  /** Lets go of what is only needed while peers are there. */
  #doze(): void {
    const { info } = this
    const { content, wanted } = this.payload
    const idle = (this.#swarm?.peers.size ?? 0) === 0 && !wanted.isBeingRead && this.#sleep.mayBegin
    if (!idle || this.state !== 'seeding') return
    if (info === undefined || content === undefined || !content.verified.full) return
    this.#sleep.begin(info)
    this.payload.sleep()
    this.traffic.rest()
    this.info = undefined
    // Whether the swarm was begun already (BEP 16) is known to nobody else.
    if (this.#swarm?.knowsNobody !== true || this.#superSeed) return
    this.#swarm.close()
    this.#swarm = undefined
  }

  /** Resolves when it is awake; or has failed, because what it needs cannot be read. */
  wake(): Promise<void> {
    return this.#sleep.end(
      this.stored,
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
    if (this.payload.content === undefined) {
      const what = `nobody has sent the metadata of ${toHex(this.infoHash)} yet`
      throw engineError('ENGINE_NO_METADATA', what)
    }
    if (files.length !== this.info!.files.length) {
      throw new RangeError(`${files.length} priorities for ${this.info!.files.length} files`)
    }
    await this.payload.choose(files, this.info!)
    this.swarm.connect()
  }

  async forget(pieces: readonly number[]): Promise<void> {
    await this.wake()
    await this.payload.forget(pieces, this.info)
    this.swarm.connect()
  }

  pieceVerified(piece: number): void {
    this.emit('piece', piece)
  }

  completed(): void {
    if (this.payload.content!.verified.full) this.discovery.completed()
    this.swarm.closeSeeds()
    this.#logger.info({ infoHash: toHex(this.infoHash) }, 'a torrent is complete')
    this.emit('complete')
    this.#watcher?.complete(this)
  }

  setSequential(sequential: boolean): void {
    this.payload.sequential = sequential
  }

  setRates(rates: Rates): void {
    this.traffic.limit(rates)
  }

  createReadStream(file: number, range: { start?: number; end?: number } = {}): Readable {
    return openReadStream(this, file, range)
  }

  // --- Time ---

  /** Once a second. */
  tick(elapsedMs: number): void {
    if (!this.running) return
    this.traffic.tick(elapsedMs)
    const nowMs = this.#context.clock.monotonicMs()
    const isSeeding = this.state === 'seeding'
    const swarm = isSeeding ? this.#swarm : this.swarm
    swarm?.gather()
    this.discovery.tick(nowMs, swarm?.isHungry === true, swarm?.peers ?? NOBODY)
    if (swarm === undefined || (isSeeding && swarm.peers.size === 0)) {
      if (nowMs - this.#busyMs >= DOZE_MS) this.#doze()
      return
    }
    this.#busyMs = nowMs
    swarm.tick(elapsedMs)
    this.payload.tick(nowMs)
  }

  #leftBytes(): number {
    if (this.asleep) return 0
    if (this.info === undefined) return 1
    return this.info.contentBytes - this.payload.haveBytes
  }

  progress(): TorrentProgress {
    const { payload, traffic } = this
    const swarm = this.#swarm
    const about = this.#about
    const { summary } = this.#sleep
    return {
      state: this.state,
      totalBytes: about?.contentBytes ?? 0,
      wantedBytes: summary?.contentBytes ?? payload.wantedBytes,
      haveBytes: summary?.contentBytes ?? payload.haveBytes,
      pieceCount: about?.pieceCount ?? 0,
      havePieces: payload.content?.verified.count ?? summary?.pieceCount ?? 0,
      downloadRate: traffic.downloaded.perSecond,
      uploadRate: traffic.uploaded.perSecond,
      downloadedBytes: traffic.downloadedEver,
      uploadedBytes: traffic.uploadedEver,
      peers: swarm?.peers.size ?? 0,
      utpPeers: swarm?.utpPeers ?? 0,
      bans: swarm?.bans ?? 0,
      hashFailures: payload.hashFailures,
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
    this.#over = 'failed'
    this.error = error
    this.#logger.error({ infoHash: toHex(this.infoHash), error }, 'a torrent failed')
    this.#cutOff()
    this.#stopping = settled(this.payload.drop(), this.discovery.stop())
    this.emit('failed', error)
    this.#watcher?.failed(this, error)
  }

  async resume(): Promise<void> {
    await this.#stopping
    if (this.#over !== 'failed' || this.#ended) return
    const { stored } = this
    const known = await this.#known()
    if (stored === undefined || known === undefined) throw this.error
    if (stored.failure !== undefined) throw stored.failure
    this.#sleep.summary = undefined
    this.#over = undefined
    this.error = undefined
    this.#stopping = undefined
    const { discovery } = this
    this.discovery = new Discovery<Peer>(this.#context, this, this.names.all, discovery.tiers())
    this.begin(stored, known.info, known.layers)
    this.swarm.wakeAll()
    this.start()
  }

  /** What `begin` needs: as it is in memory, or read again. */
  async #known(): Promise<Known | undefined> {
    const { info } = this
    const { content } = this.payload
    if (info !== undefined && content !== undefined) return { info, layers: content.hashes.layers }
    return this.stored === undefined ? undefined : this.#sleep.reload?.(this.stored)
  }

  /** Says goodbye to trackers, cuts off peers, writes what is verified. Durable after the next sync. */
  stop(): Promise<void> {
    this.#ended = true
    if (this.running) {
      this.#over = 'stopped'
      this.#cutOff()
      this.#stopping = settled(this.payload.close(), this.discovery.stop())
    }
    return this.#stopping ?? Promise.resolve()
  }

  #cutOff(): void {
    this.#sleep.turnAway()
    this.#swarm?.close()
    this.payload.halt()
  }
}

async function settled(...ends: readonly Promise<void>[]): Promise<void> {
  await Promise.all(ends)
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
