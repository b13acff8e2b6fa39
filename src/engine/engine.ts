/**
 * The engine: all torrents of a volume, the port that peers reach, and what the torrents share: memory,
 * connections, the queue to the disk, one tick a second.
 *
 * Invariants:
 * - Connections, half-open ones included, are at most `maxConnections`, but for a few that have not said their handshake, and one address
 *   makes at most `maxConnectionsPerAddress` of them; every torrent gets its turn (places.ts).
 * - Stripes use at most `cacheBytes`, uploads at most `readCacheBytes`, messages that have not arrived or left
 *   whole `messageMemoryBytes`.
 * - An info-hash is one torrent (registry.ts).
 * - After `stop` has settled no timer, socket or write is left, and what was verified is durable.
 */
import type { Clock, Logger } from '../base/index.ts'
import { allocateAligned } from '../block-device/index.ts'
import {
  encodePieceLayers,
  fillerOf,
  hasAllLayers,
  type Magnet,
  type PieceLayers,
  readPieceLayers,
  type TorrentInfo,
} from '../metainfo/index.ts'
import type { StoredTorrent, TorrentStore } from '../torrent-store/index.ts'
import { Alarms } from './announce/alarms.ts'
import { createTrackerClient, type TrackerClient, TrackerUrls } from './announce/tracker-client.ts'
import { Budget } from './budget.ts'
import { type Arrival, Connections } from './connections.ts'
import { Dialer } from './dialer.ts'
import { Disks } from './disk.ts'
import type { EncryptionPolicy } from './encryption/policy.ts'
import { engineError } from './errors.ts'
import { Reach } from './gateway/reach.ts'
import type { GatewayStatus } from './gateway/types.ts'
import { type Hasher, inlineHasher } from './hasher.ts'
import { awaitHandshake, type Doorway } from './inbound.ts'
import { parseFetchedInfo } from './metadata.ts'
import { Misdeeds } from './misdeeds.ts'
import type { PeerSocket } from './network.ts'
import { OwnAddress } from './own-address.ts'
import { Places } from './places.ts'
import { Port } from './port.ts'
import { type ReadBlock, ReadCache } from './read-cache.ts'
import { Registry } from './registry.ts'
import { StripePool } from './stripe-pool.ts'
import type { Swarm } from './swarm.ts'
import { SyncPolicy } from './sync-policy.ts'
import { Throttle } from './throttle.ts'
import { Torrent } from './torrent.ts'
import type { TorrentContext } from './torrent-context.ts'
import { TorrentNames } from './torrent-names.ts'
import type {
  AddOptions,
  Engine,
  EngineOptions,
  EngineStatus,
  EngineTorrent,
  Rates,
} from './types.ts'
import { UploadSlots } from './upload-slots.ts'
import { makePeerId } from './wire/handshake.ts'

const TICK_MS = 1_000
const NO_LAYERS: PieceLayers = new Map()
const DEFAULT_READ_CACHE_BYTES = 64 * 1024 * 1024
const DEFAULT_UPLOAD_SLOTS = 16
const DEFAULT_MESSAGE_BYTES = 32 * 1024 * 1024
const DEFAULT_ENCRYPTION: EncryptionPolicy = 'offered'
/** Transfer totals are made durable this often when nothing else is written. */
const TOTALS_MS = 5 * 60_000
/**
 * Listens and serves; torrents are added to what it returns. Rejects with ENGINE_PORT_TAKEN,
 * ENGINE_LISTEN_FAILED, ENGINE_CACHE_SMALL.
 */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const engine = new TorrentEngine(options)
  await engine.listen()
  return engine
}

class TorrentEngine implements Engine {
  readonly #options: EngineOptions
  readonly #volume: TorrentStore
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #torrents = new Registry<Torrent>()
  readonly #connections: Connections
  readonly #places: Places
  readonly #misdeeds = new Misdeeds()
  readonly #slots: UploadSlots
  readonly #inbound = new Set<() => void>()
  readonly #doorway: Doorway
  readonly #trackerClient: TrackerClient
  readonly #syncs: SyncPolicy
  readonly #hasher: Hasher
  readonly #pool: StripePool
  readonly #disks = new Disks<ReadBlock>()
  readonly #uploads: Throttle
  readonly #downloads: Throttle
  #context: TorrentContext | undefined
  #port: Port | undefined
  #cancelTick: (() => void) | undefined
  #lastTickMs = 0
  #turn = 0
  #lastTotalsMs = 0
  #stopping: Promise<void> | undefined

  constructor(options: EngineOptions) {
    this.#options = options
    this.#volume = options.volume
    this.#clock = options.clock
    this.#logger = options.logger
    this.#connections = new Connections({
      max: options.maxConnections,
      maxPerAddress: options.maxConnectionsPerAddress,
      maxHalfOpen: options.maxHalfOpen,
    })
    this.#places = new Places(this.#connections, () => this.#swarms())
    this.#slots = new UploadSlots(options.maxUploadSlots)
    this.#doorway = {
      clock: options.clock,
      random: options.random,
      encryption: options.encryption ?? DEFAULT_ENCRYPTION,
      torrentOf: (mark) => this.#torrents.nameOf(mark),
      turnedAway: (infoHash, host) => this.#torrents.get(infoHash)?.turnedAway(host),
    }
    this.#uploads = new Throttle(options.clock, options.rates?.up)
    this.#downloads = new Throttle(options.clock, options.rates?.down)
    this.#trackerClient = createTrackerClient(options)
    this.#hasher = options.hasher ?? inlineHasher
    this.#pool = new StripePool(
      options.volume.blockBytes,
      options.cacheBytes,
      (bytes) => this.#hasher.allocate(bytes),
      options.clock,
    )
    this.#syncs = new SyncPolicy(
      () => this.#volume.sync(),
      options.clock,
      (error) => this.#syncFailed(error),
      () => this.#disks.pendingWrites > 0,
    )
  }

  async listen(): Promise<void> {
    const { network, random, volume } = this.#options
    try {
      this.#port = await Port.open(this.#options, {
        accept: (socket) => this.#accept(socket),
        found: (infoHash, peer) => this.#torrents.get(infoHash)?.discovery.believe([peer]),
      })
    } catch (error) {
      this.#trackerClient.close()
      await this.#hasher.close()
      throw error
    }
    const { utp, dht, local } = this.#port
    this.#context = {
      volume,
      network,
      clock: this.#clock,
      random,
      logger: this.#logger,
      peerId: makePeerId(random),
      reach: new Reach(this.port),
      key: random.uint32(),
      trackerClient: this.#trackerClient,
      trackerUrls: new TrackerUrls(),
      alarms: new Alarms(this.#clock),
      pool: this.#pool,
      hasher: this.#hasher,
      disks: this.#disks,
      messageMemory: new Budget(this.#options.messageMemoryBytes ?? DEFAULT_MESSAGE_BYTES),
      reads: new ReadCache(
        this.#options.readCacheBytes ?? DEFAULT_READ_CACHE_BYTES,
        volume.blockBytes,
        allocateAligned,
        this.#disks,
      ),
      uploadSlots: this.#options.uploadSlots ?? DEFAULT_UPLOAD_SLOTS,
      firstSlots: this.#slots.first,
      uploads: this.#uploads,
      downloads: this.#downloads,
      changed: ({ disk }) => this.#syncs.changed(disk),
      syncSoon: (stored) => this.#syncs.soon(stored.disk, () => stored.sync()),
      connections: this.#connections,
      maxConnectionsPerTorrent: this.#options.maxConnectionsPerTorrent ?? Number.POSITIVE_INFINITY,
      ownAddress: new OwnAddress(),
      misdeeds: this.#misdeeds,
      dialer: new Dialer(network, this.#clock, utp, this.#options.utp ?? 'off'),
      encryption: this.#doorway.encryption,
      dht,
      local,
    }
    this.#port.map((family, status) => this.#moved(family, status))
    this.#lastTickMs = this.#clock.monotonicMs()
    this.#lastTotalsMs = this.#lastTickMs
    this.#cancelTick = this.#clock.after(TICK_MS, () => this.#tick())
  }

  /** A gateway lets others in, at the port that it says. */
  #moved(family: 4 | 6, status: GatewayStatus | undefined): void {
    const { reach, ownAddress } = this.#context!
    if (status?.isPublic === true) ownAddress.suppose(status.outerAddress!)
    const tcp = status?.outerTcpPort ?? undefined
    const udp = status?.outerUdpPort ?? undefined
    if (!reach.learn(family, { tcp, udp }) || this.#stopping !== undefined) return
    for (const torrent of this.#torrents.values()) torrent.discovery.moved()
  }

  get port(): number {
    return this.#port!.number
  }

  get dhtNodes(): number {
    return this.#port?.dht?.size ?? 0
  }

  dhtState(): Uint8Array | undefined {
    return this.#port?.dht?.state()
  }

  status(): EngineStatus {
    const { total, max, halfOpen, arriving, refused } = this.#connections
    const { givenUp } = this.#places
    let used = 0
    for (const { choking } of this.#swarms()) used += choking.served
    return {
      connections: { total, max, halfOpen, arriving, refused: { ...refused }, givenUp },
      uploadSlots: { used, max: this.#slots.max ?? null },
      misdeeds: this.#misdeeds.counts,
      portMapping: this.#port!.mapping,
    }
  }

  setRates({ up, down }: Rates): void {
    this.#uploads.rate = up
    this.#downloads.rate = down
  }

  torrents(): IterableIterator<EngineTorrent> {
    return this.#torrents.values()
  }

  get(infoHash: Uint8Array): EngineTorrent | undefined {
    return this.#torrents.get(infoHash)
  }

  open(stored: StoredTorrent, info: TorrentInfo, options: AddOptions): EngineTorrent {
    const names = new TorrentNames(stored.infoHash, info.infoHashV2)
    names.learn(info)
    const torrent = this.#make(names, options)
    const { layers = NO_LAYERS } = options
    const needsNothing = info.format === 'v1' || hasAllLayers(info, layers)
    if (stored.complete && needsNothing && options.reload !== undefined) {
      // Nobody has asked for it yet.
      torrent.beginAsleep(stored, info)
    } else if (info.format !== 'v2' || hasAllLayers(info, layers))
      torrent.begin(stored, info, layers)
    else this.#beginLater(torrent, info, options)
    torrent.start()
    torrent.addPeers(options.peers ?? [])
    return torrent
  }

  async add(info: TorrentInfo, options: AddOptions): Promise<EngineTorrent> {
    const names = new TorrentNames(info.infoHash, info.infoHashV2)
    this.#refuseTwice(names)
    if (info.format !== 'v2' || hasAllLayers(info, options.layers ?? NO_LAYERS)) {
      const stored = await this.#store(info.infoHash, info, options)
      return this.open(stored, info, options)
    }
    const torrent = this.#make(names, options)
    this.#beginLater(torrent, info, options)
    torrent.start()
    torrent.addPeers(options.peers ?? [])
    return torrent
  }

  addMagnet(magnet: Magnet, options: AddOptions): EngineTorrent {
    const named = new Set(options.trackers.flat())
    const others = magnet.trackers.filter((url) => !named.has(url))
    const names = new TorrentNames(magnet.infoHash, magnet.infoHashV2)
    const torrent = this.#make(names, {
      ...options,
      trackers: [...options.trackers, ...others.map((url) => [url])],
      webSeeds: [...(options.webSeeds ?? []), ...(magnet.webSeeds ?? [])],
    })
    const begin = async (infoBytes: Uint8Array): Promise<void> => {
      if (!torrent.running) return
      const info = parseFetchedInfo(infoBytes)
      for (const name of this.#torrents.learn(torrent, info)) torrent.discovery.announce(name)
      await this.#begin(torrent, info, options)
    }
    const stored = this.#storedOf(torrent)
    if (stored === undefined) torrent.beginMetadata(begin)
    else {
      stored
        .readInfo()
        .then(begin)
        .catch((error: Error) => torrent.fail(error))
    }
    torrent.start()
    torrent.addPeers([...magnet.peers, ...(options.peers ?? [])])
    return torrent
  }

  #beginLater(torrent: Torrent, info: TorrentInfo, options: AddOptions): void {
    torrent.learnInfo(info)
    this.#begin(torrent, info, options).catch((error: Error) => torrent.fail(error))
  }

  /** Begins a torrent whose info dictionary is known, once its layers are, where it cannot do without. */
  async #begin(torrent: Torrent, info: TorrentInfo, options: AddOptions): Promise<void> {
    const there = this.#storedOf(torrent)
    let layers = options.layers ?? NO_LAYERS
    if (there !== undefined && info.infoHashV2 !== undefined) {
      const kept = await there.readLayers().catch(() => new Uint8Array(0))
      layers = new Map([...layers, ...readPieceLayers(info, kept, { prove: true })])
    }
    if (info.format === 'v2' && !hasAllLayers(info, layers)) {
      torrent.learnInfo(info)
      layers = await torrent.swarm.fetchLayers(info, layers)
      await there?.keepLayers(encodePieceLayers(layers))
    }
    if (!torrent.running) return
    const stored = there ?? (await this.#store(torrent.infoHash, info, { ...options, layers }))
    if (!torrent.running) return
    torrent.begin(stored, info, layers)
    torrent.metadataKnown()
  }

  /** The torrent in the store, by whichever of its names. */
  #storedOf(torrent: Torrent): StoredTorrent | undefined {
    for (const name of torrent.names.all) {
      const stored = this.#volume.get(name)
      if (stored !== undefined) return stored
    }
    return undefined
  }

  async remove(infoHash: Uint8Array): Promise<void> {
    const torrent = this.#torrents.get(infoHash)
    if (torrent === undefined) return
    await torrent.stop()
    await this.#torrents.settled(torrent.infoHash)
    if (!this.#torrents.remove(torrent)) return
    await torrent.stored?.sync()
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    this.#cancelTick?.()
    this.#syncs.stop()
    for (const cutOff of [...this.#inbound]) cutOff()
    const shut = this.#port?.shut()
    await Promise.all(Array.from(this.#torrents.values(), (torrent) => torrent.stop()))
    await this.#torrents.settled()
    await shut
    this.#port?.close()
    this.#trackerClient.close()
    await this.#hasher.close()
    await this.#syncs.now()
  }

  #make(names: TorrentNames, options: AddOptions): Torrent {
    this.#refuseTwice(names)
    const torrent = new Torrent(this.#context!, names, options)
    this.#torrents.add(torrent)
    return torrent
  }

  #refuseTwice(names: TorrentNames): void {
    if (this.#stopping !== undefined) {
      throw engineError('ENGINE_STOPPED', 'the engine has been stopped')
    }
    this.#torrents.refuseTwice(names)
  }

  async #store(
    infoHash: Uint8Array,
    info: TorrentInfo,
    { attributes, layers = NO_LAYERS }: AddOptions,
  ): Promise<StoredTorrent> {
    const { totalBytes, pieceBytes, infoBytes } = info
    const there = this.#volume.get(infoHash)
    if (there !== undefined) return there
    const beside = { layers: encodePieceLayers(layers), filler: fillerOf(info) }
    const made = this.#volume.create(
      { infoHash, totalBytes, pieceBytes },
      infoBytes,
      attributes,
      beside,
    )
    return this.#torrents.whileMaking(infoHash, made)
  }

  #accept(socket: PeerSocket): void {
    const arrival =
      this.#stopping === undefined ? this.#connections.arrive(socket.remoteAddress) : undefined
    if (arrival === undefined) {
      socket.destroy()
      return
    }
    const cutOff = awaitHandshake(
      socket,
      this.#doorway,
      (infoHash, first, socket) => {
        this.#inbound.delete(cutOff)
        const torrent = this.#torrents.get(infoHash)
        if (torrent === undefined || !this.#hasPlace(torrent, socket, arrival)) {
          socket.onClose = () => {}
          socket.destroy()
          arrival.ended()
          return
        }
        torrent.accept(socket, arrival, first)
      },
      (misdeed) => {
        this.#inbound.delete(cutOff)
        arrival.ended()
        if (misdeed !== undefined) this.#misdeeds.count(misdeed)
      },
    )
    this.#inbound.add(cutOff)
  }

  /** Whether there is room for a peer that has just said which torrent it is for, or somebody goes for it. */
  #hasPlace({ swarm }: Torrent, socket: PeerSocket, arrival: Arrival): boolean {
    arrival.connected()
    if (!this.#connections.isOver) return true
    const { remoteAddress: host, remotePort: port } = socket
    const hasPlace = this.#places.makeRoom(swarm, { host, port }, this.#clock.monotonicMs())
    if (!hasPlace) this.#connections.turnedAway()
    return hasPlace
  }

  *#swarms(): Generator<Swarm> {
    for (const { swarmIfAny } of this.#torrents.values()) if (swarmIfAny) yield swarmIfAny
  }

  #tick(): void {
    const nowMs = this.#clock.monotonicMs()
    const elapsedMs = nowMs - this.#lastTickMs
    this.#lastTickMs = nowMs
    // Another one is the first each time: whoever is first takes what there is.
    const torrents = [...this.#torrents.values()]
    this.#turn = (this.#turn + 1) % Math.max(1, torrents.length)
    for (let i = 0; i < torrents.length; i++) {
      torrents[(this.#turn + i) % torrents.length]!.tick(elapsedMs)
    }
    this.#places.tick(nowMs)
    const claimants = Array.from(this.#swarms(), ({ choking }) => choking)
    this.#slots.share(claimants, nowMs)
    this.#pool.tick()
    if (nowMs - this.#lastTotalsMs >= TOTALS_MS) {
      this.#lastTotalsMs = nowMs
      this.#syncs.changed()
    }
    this.#cancelTick = this.#clock.after(TICK_MS, () => this.#tick())
  }

  /** Nobody can say what is durable there: no torrent that is being written to a failed device may go on. */
  #syncFailed(error: Error): void {
    this.#logger.error({ error }, 'a device could not be synced')
    for (const torrent of this.#torrents.values()) {
      const failure = torrent.stored?.failure
      if (torrent.state === 'downloading' && failure !== undefined) torrent.fail(failure)
    }
  }
}
