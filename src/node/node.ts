/**
 * A seedbed node: one volume or folder, one engine over it, and beside them a tracker that everything on the
 * volume is announced to.
 *
 * Start: tracker ports, volume, peer ports, then every torrent of the volume is opened (nothing is
 * hashed). Stop runs the other way round: the engine says goodbye and flushes, the tracker closes
 * (it had to hear the goodbyes), the volume closes last.
 */
import { join } from 'node:path'
import {
  type Clock,
  errnoOf,
  type Logger,
  type Random,
  SeedbedError,
  toHex,
} from '../base/index.ts'
import {
  type AddOptions,
  type EncryptionPolicy,
  type Engine,
  type EngineTorrent,
  type Network,
  type Rates,
  startEngine,
  type TorrentProgress,
} from '../engine/index.ts'
import type { MountedVolume } from '../filesystem/index.ts'
import {
  HASH_BYTES,
  hasAllLayers,
  type TorrentFormat,
  type TorrentInfo,
} from '../metainfo/index.ts'
import { createPeerStore } from '../peer-store/index.ts'
import type { StoredTorrent, TorrentStore } from '../torrent-store/index.ts'
import { startTracker, type Tracker } from '../tracker/index.ts'
import { decodeAttributes, encodeAttributes } from './attributes.ts'
import { type Described, describeStored } from './described.ts'
import { DhtMemory } from './dht-memory.ts'
import type { DeviceRoom, NodeEvent } from './events.ts'
import type { FetchSource } from './fetch-source.ts'
import { announceTiers } from './hosts.ts'
import { type Imported, type ImportOptions, importSource } from './import.ts'
import { ImportRecords } from './import-records.ts'
import { contentPath, openPlace, type Place } from './place.ts'
import { Retries } from './retries.ts'
import { scrubTorrent } from './scrub.ts'
import { Scrubber, type ScrubSchedule } from './scrubber.ts'
import { selectFiles } from './selection.ts'
import { shareInPlace } from './share-in-place.ts'
import type { Source } from './source.ts'
import { checkRoom, checkRoomBeneath } from './storage.ts'
import { magnetOf, writeTorrentFile } from './torrent-files.ts'

type Tiers = readonly (readonly string[])[]

/** Info dictionaries that are read side by side at the start: a disk likes several at a time. */
const OPENED_AT_ONCE = 16

/** Everybody reads it; decisions.md says why not a hybrid. */
const DEFAULT_FORMAT: TorrentFormat = 'v1'

export interface NodeOptions {
  /**
   * Devices and images, which are one pool (images are made when none of them is there), or one folder of
   * ordinary files. At least one.
   */
  readonly devices: readonly string[]
  /** The one of `devices` is a folder of ordinary files, made when it is not there. */
  readonly folder?: boolean
  readonly imageBytes?: number
  /** Where to note what is asked of the devices; a file for each that `seedbed plot` draws. */
  readonly accessLog?: string
  /** Reads and hashes again, while it runs, all that is held. */
  readonly scrub?: ScrubSchedule
  /** Keeps .torrent files and import records. */
  readonly dataDir: string
  /** Absent: no tracker of our own. */
  readonly tracker?: { readonly port: number; readonly hosts: readonly string[] }
  readonly peerPort: number
  readonly bind: readonly string[]
  readonly cacheBytes: number
  readonly maxConnections: number
  /** Of all torrents together. */
  readonly rates?: Rates
  readonly encryption?: EncryptionPolicy
  /** Begin the swarms of torrents that are whole with as little upload as can be (BEP 16). */
  readonly superSeed?: boolean
  /** URLs at which a web server has what is shared: named in magnets and .torrent files (BEP 19). */
  readonly webSeeds?: readonly string[]
  /** Find peers on the local networks too. */
  readonly lsd?: boolean
  /** Find peers by the DHT too, beginning with these nodes; what it learns is kept in the file, if one is named. */
  readonly dht?: {
    readonly bootstrap: readonly { readonly host: string; readonly port: number }[]
    readonly statePath?: string
  }
  /** Of torrents made of what is shared; v1 by default. */
  readonly format?: TorrentFormat
  readonly clock: Clock
  readonly random: Random
  readonly network: Network
  readonly logger: Logger
  onEvent(event: NodeEvent): void
}

export interface FetchOptions {
  /** Patterns of the files that are wanted (selection.ts); the others are skipped. */
  readonly only?: readonly string[]
  /** The beginning before the end. */
  readonly sequential?: boolean
}

export class SeedbedNode {
  readonly #options: NodeOptions
  readonly #place: Place
  readonly #engine: Engine
  readonly #tracker: Tracker | undefined
  readonly #ownTiers: Tiers
  readonly #records: ImportRecords
  readonly #retries: Retries
  #scrubber: Scrubber | undefined
  #refreshing: Promise<void> | undefined
  #dhtMemory: DhtMemory | undefined
  #stopping: Promise<void> | undefined

  private constructor(
    options: NodeOptions,
    place: Place,
    engine: Engine,
    tracker: Tracker | undefined,
    ownTiers: Tiers,
    records: ImportRecords,
  ) {
    this.#options = options
    this.#place = place
    this.#engine = engine
    this.#tracker = tracker
    this.#ownTiers = ownTiers
    this.#records = records
    this.#retries = new Retries(options.clock, (infoHash) => this.resume(infoHash))
  }

  /** What was begun is undone when a later step fails. */
  static async start(options: NodeOptions): Promise<SeedbedNode> {
    const { clock, random, logger } = options
    const undo: (() => Promise<void>)[] = []
    try {
      let tracker: Tracker | undefined
      if (options.tracker !== undefined) {
        const store = createPeerStore({ clock, random })
        tracker = await startTracker({
          store,
          clock,
          random,
          logger,
          bind: options.bind,
          port: options.tracker.port,
          // It serves a handful of torrents: a thread would cost more memory than it saves time.
          frontEnd: 'portable',
        })
        undo.push(() => tracker!.stop())
      }
      const place = await openPlace(options.devices, {
        folder: options.folder === true,
        clock,
        random,
        create: true,
        onFailure: (device, error) => options.onEvent(deviceTrouble('failed', device, error)),
        onLogFailure: (device, error) =>
          logger.warn({ device, err: error }, 'the access log ends: it cannot be written'),
        ...(options.imageBytes === undefined ? {} : { imageBytes: options.imageBytes }),
        ...(options.accessLog === undefined ? {} : { accessLog: options.accessLog }),
      })
      undo.push(() => place.discard())
      for (const problem of place.problems) {
        logger.warn({ ...problem }, 'a torrent cannot be served as it is; seedbed fsck tells more')
      }
      for (const { path, error } of place.kind === 'pool' ? place.devices.absent : []) {
        options.onEvent(deviceTrouble('absent', path, error))
      }
      const memory = memoryOf(options)
      const dhtState = await memory?.load()
      const engine = await startEngine({
        volume: place.store,
        network: options.network,
        clock,
        random,
        logger,
        peerPort: options.peerPort,
        bind: options.bind,
        cacheBytes: options.cacheBytes,
        maxConnections: options.maxConnections,
        ...(options.rates === undefined ? {} : { rates: options.rates }),
        ...(options.encryption === undefined ? {} : { encryption: options.encryption }),
        lsd: options.lsd === true,
        ...(options.dht === undefined
          ? {}
          : { dht: { ...options.dht, ...(dhtState && { state: dhtState }) } }),
      })
      undo.push(() => engine.stop())
      memory?.keep(() => engine.dhtState())
      undo.push(async () => memory?.stop())
      const ownTiers =
        tracker === undefined ? [] : announceTiers(options.tracker!.hosts, tracker.port)
      const records = await ImportRecords.load(join(options.dataDir, 'imports.json'))
      const node = new SeedbedNode(options, place, engine, tracker, ownTiers, records)
      node.#dhtMemory = memory
      await node.#openAll()
      await node.#ready()
      node.#beginScrubs()
      return node
    } catch (error) {
      for (const step of undo.reverse()) await step()
      throw error
    }
  }

  get store(): TorrentStore {
    return this.#place.store
  }

  get engine(): Engine {
    return this.#engine
  }

  /** The file or folder of a torrent; the device where it lies on one. */
  contentPath(infoHash: Uint8Array): string {
    return contentPath(this.#place, infoHash)
  }

  async #openAll(): Promise<void> {
    const torrents = [...this.store.torrents()].reverse()
    const next = async (): Promise<void> => {
      for (let stored = torrents.pop(); stored !== undefined; stored = torrents.pop()) {
        await this.#open(stored)
      }
    }
    await Promise.all(Array.from({ length: OPENED_AT_ONCE }, next))
  }

  async #open(stored: StoredTorrent): Promise<void> {
    try {
      const [described, kept] = await Promise.all([describeStored(stored), stored.readAttributes()])
      const { info, layers } = described
      // Of a whole torrent each file is looked at when it is read first.
      if (!stored.complete) await this.#recheck(stored, described)
      const attributes = decodeAttributes(kept)
      const trackers = this.#tiersFor(info, attributes.trackers)
      const wanted = attributes.only === undefined ? {} : selectionOf(attributes.only)
      const { webSeeds = [] } = attributes
      const reload = (): Promise<Described> => describeStored(stored)
      this.#watch(
        this.#engine.open(stored, info, {
          trackers,
          webSeeds,
          layers,
          reload,
          superSeed: this.#options.superSeed === true,
          ...wanted,
        }),
      )
    } catch (error) {
      // One damaged torrent must not keep the others from being seeded.
      this.#failed(stored.infoHash, error)
    }
  }

  /** Hashes what is in doubt: pieces of files that somebody else, or a crash, has changed. */
  async #recheck(stored: StoredTorrent, described: Described): Promise<void> {
    const { clock, onEvent } = this.#options
    const { info } = described
    // Nothing of it can be judged, or was: it waits for its layers.
    if (info.format === 'v2' && !hasAllLayers(info, described.layers)) return
    const infoHash = toHex(info.infoHash)
    await scrubTorrent(this.store, stored, described, {
      clock,
      doubtedOnly: true,
      onProgress: (bytes, totalBytes) =>
        onEvent({
          event: 'progress',
          phase: 'check',
          infoHash,
          name: info.name,
          bytes,
          totalBytes,
        }),
    })
  }

  /** A private torrent (BEP 27) is announced to its own trackers only. */
  #tiersFor(info: TorrentInfo | undefined, trackers: Tiers): Tiers {
    return info?.private === true && trackers.length > 0
      ? trackers
      : [...trackers, ...this.#ownTiers]
  }

  async #ready(): Promise<void> {
    const freeBytes = await this.#place.freeBytes()
    this.#options.onEvent({
      event: 'ready',
      tracker:
        this.#tracker === undefined
          ? null
          : { port: this.#tracker.port, urls: this.#ownTiers.flat() },
      peerPort: this.#engine.port,
      device: this.#place.path,
      devices: this.#volumes().map(roomOf),
      created: this.#place.created,
      torrents: [...this.store.torrents()].length,
      freeBytes,
    })
  }

  /** Imports a file or folder, unless it is known and unchanged, and seeds it. */
  async share(source: Source, signal?: AbortSignal): Promise<void> {
    const { onEvent, webSeeds = [] } = this.#options
    const path = source.root
    for (const left of source.skipped) {
      onEvent({ event: 'skipped', path: left, reason: 'not a file inside the folder' })
    }
    const { format = DEFAULT_FORMAT } = this.#options
    const recorded = this.#records.find(source, format)
    const stored = recorded === undefined ? undefined : this.store.get(recorded)
    let described: Described
    let known = false
    if (stored?.complete === true) {
      described = await describeStored(stored)
      known = true
    } else {
      const imported = await this.#import(source, format, signal)
      described = imported
      known = imported.known
      const { info, layers } = imported
      if (this.#engine.get(info.infoHash) === undefined) {
        const trackers = this.#tiersFor(info, [])
        const superSeed = this.#options.superSeed === true
        this.#watch(this.#engine.open(imported.stored, info, { trackers, layers, superSeed }))
      }
      await this.#records.remember(source, format, info.infoHash)
    }
    const { info } = described
    const torrentFile = await writeTorrentFile(
      join(this.#options.dataDir, 'torrents'),
      described,
      this.#ownTiers,
      webSeeds,
    )
    onEvent({
      event: 'shared',
      infoHash: toHex(info.infoHash),
      infoHashV2: info.infoHashV2 === undefined ? null : toHex(info.infoHashV2),
      magnet: magnetOf(info, this.#ownTiers, webSeeds),
      torrentFile,
      name: info.name,
      bytes: info.contentBytes,
      path,
      known,
    })
  }

  /** A volume takes a copy; in a folder of ordinary files it is shared from where it lies. */
  async #import(
    source: Source,
    format: TorrentFormat,
    signal: AbortSignal | undefined,
  ): Promise<Imported> {
    const place = this.#place
    const options: ImportOptions = {
      format,
      attributes: encodeAttributes({ trackers: [] }),
      release: (infoHash) => this.#engine.remove(infoHash),
      ...(signal === undefined ? {} : { signal }),
      onProgress: (bytes) =>
        this.#options.onEvent({
          event: 'progress',
          phase: 'import',
          path: source.root,
          bytes,
          totalBytes: source.totalBytes,
        }),
    }
    if (place.kind === 'folder') return shareInPlace(place.store, source, options)
    await this.#checkRoom(source.totalBytes)
    return importSource(place.store, source, options)
  }

  /** Downloads, unless it is there already. */
  async fetch(source: FetchSource, options: FetchOptions = {}): Promise<EngineTorrent> {
    const { only, sequential = false } = options
    const named = source.kind === 'magnet' ? source.magnet : source.metainfo.info
    const wanted = {
      sequential,
      ...(only === undefined ? {} : selectionOf(only)),
    }
    const kept = only === undefined ? {} : { only }
    const there = this.#engine.get(named.infoHash) ?? this.#byV2(named.infoHashV2)
    if (there !== undefined) {
      there.setSequential(sequential)
      if (only !== undefined && there.info !== undefined) {
        await there.setPriorities(selectFiles(there.info, only))
      }
      return there
    }
    if (source.kind === 'metainfo' && only !== undefined) selectFiles(source.metainfo.info, only)
    let torrent: EngineTorrent
    if (source.kind === 'magnet') {
      const trackers = source.magnet.trackers.map((url) => [url])
      torrent = this.#engine.addMagnet(source.magnet, {
        trackers: this.#tiersFor(undefined, trackers),
        peers: source.magnet.peers,
        attributes: encodeAttributes({
          trackers,
          webSeeds: source.magnet.webSeeds ?? [],
          ...kept,
        }),
        ...wanted,
      })
    } else {
      const { info, layers, trackers, webSeeds } = source.metainfo
      await this.#checkRoom(info.contentBytes)
      torrent = await this.#engine.add(info, {
        trackers: this.#tiersFor(info, trackers),
        layers,
        webSeeds,
        attributes: encodeAttributes({ trackers, webSeeds, ...kept }),
        ...wanted,
      })
    }
    this.#options.onEvent({
      event: 'added',
      infoHash: toHex(torrent.infoHash),
      name: named.name ?? null,
    })
    this.#watch(torrent)
    return torrent
  }

  /** A hybrid may be there under its other name. */
  #byV2(infoHashV2: Uint8Array | undefined): EngineTorrent | undefined {
    return infoHashV2 === undefined
      ? undefined
      : this.#engine.get(infoHashV2.subarray(0, HASH_BYTES))
  }

  async #checkRoom(bytes: number): Promise<void> {
    const place = this.#place
    if (place.kind === 'folder') return checkRoom(place.path, bytes)
    await checkRoomBeneath(place.store.choose(bytes)?.path ?? place.path, bytes)
  }

  #watch(torrent: EngineTorrent): void {
    const { onEvent } = this.#options
    const infoHash = toHex(torrent.infoHash)
    torrent.on('metadata', (info) => {
      onEvent({ event: 'metadata', infoHash, name: info.name, bytes: info.contentBytes })
    })
    torrent.on('complete', () => {
      const info = torrent.info!
      onEvent({
        event: 'complete',
        infoHash,
        name: info.name,
        bytes: info.contentBytes,
        path: this.contentPath(torrent.infoHash),
      })
    })
    torrent.on('failed', (error) => {
      this.#failed(torrent.infoHash, error, this.#retries.failed(torrent))
    })
  }

  /**
   * Goes on with a torrent that an error has paused; what is in doubt since is hashed first. Happens by itself
   * after a while; this is for who knows that the cause has gone. Rejects when it has not.
   */
  async resume(infoHash: Uint8Array): Promise<void> {
    const torrent = this.#engine.get(infoHash)
    const stored = torrent?.stored
    if (torrent?.error === undefined || stored === undefined) return
    const described = await describeStored(stored)
    const { info } = described
    await this.#recheck(stored, described)
    await torrent.resume()
    this.#options.onEvent({ event: 'resumed', infoHash: toHex(infoHash), name: info.name })
  }

  /** Stops serving a torrent and deletes it with its data; what is shared from where it lies stays there. */
  async remove(infoHash: Uint8Array): Promise<void> {
    await this.#engine.remove(infoHash)
    await this.store.remove(infoHash)
  }

  #failed(infoHash: Uint8Array, error: unknown, retryMs: number | null = null): void {
    this.#options.onEvent({
      event: 'failed',
      retryMs,
      infoHash: toHex(infoHash),
      code: errnoOf(error) ?? 'TORRENT_FAILED',
      message: error instanceof Error ? error.message : String(error),
    })
  }

  /**
   * Looks at the devices again: takes back what was absent or failed, gives volumes what their devices
   * gained, and tries torrents again that failed. A second call joins the first.
   */
  refresh(): Promise<void> {
    if (this.#stopping !== undefined) return Promise.resolve()
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined
    })
    return this.#refreshing
  }

  async #refresh(): Promise<void> {
    const place = this.#place
    if (place.kind === 'pool') {
      for (const volume of [...place.store.volumes]) {
        if (volume.failure === undefined) continue
        for (const { infoHash } of volume.torrents()) await this.#release(infoHash)
        await place.devices.giveUp(volume, asSeedbedError(volume.failure))
      }
      for (const change of await place.devices.refresh()) {
        if (change.state === 'absent') {
          this.#options.onEvent(deviceTrouble('absent', change.path, change.error))
          continue
        }
        const { state, volume } = change
        this.#options.onEvent({ event: 'device', state, ...roomOf(volume) })
      }
    }
    for (const torrent of [...this.#engine.torrents()]) {
      if (torrent.error !== undefined && torrent.stored !== undefined) {
        await this.#release(torrent.infoHash)
      }
    }
    for (const stored of [...this.store.torrents()]) {
      if (this.#engine.get(stored.infoHash) === undefined) await this.#open(stored)
    }
  }

  /** The engine knows it no more; what it could not make durable then was told already. */
  async #release(infoHash: Uint8Array): Promise<void> {
    await this.#engine.remove(infoHash).catch((error: unknown) => {
      this.#options.logger.debug({ err: error }, 'a torrent was let go without a sync')
    })
  }

  /** Begins to note what is asked of the devices in files at `base`, or ends it. Of a folder nothing is noted. */
  async toggleAccessLog(base: string): Promise<void> {
    const place = this.#place
    if (place.kind === 'folder') return
    const { devices } = place
    const was = devices.logs(base)
    if (was.some(({ on }) => on)) await devices.stopLogs()
    else await devices.startLogs(base)
    for (const log of devices.logs(base)) this.#options.onEvent({ event: 'access-log', ...log })
  }

  #beginScrubs(): void {
    const { scrub, clock, random, logger, onEvent } = this.#options
    if (scrub === undefined) return
    this.#scrubber = new Scrubber(
      {
        clock,
        random,
        logger,
        stores: () => (this.#place.kind === 'folder' ? [this.store] : this.#volumes()),
        describe: describeStored,
        heal: (stored, info, pieces) => this.#heal(stored, info, pieces),
        scrubbed: (info, report) =>
          onEvent({
            event: 'scrubbed',
            infoHash: toHex(info.infoHash),
            name: info.name,
            ...report,
          }),
      },
      scrub,
    )
  }

  /** Peers were told that we have these pieces, and cannot be told else: all are met anew. */
  async #heal(stored: StoredTorrent, info: TorrentInfo, pieces: readonly number[]): Promise<void> {
    const served = this.#engine.get(info.infoHash)?.stored === stored
    if (served) await this.#release(stored.infoHash)
    for (const piece of pieces) stored.clearHave(piece)
    await stored.sync()
    if (served) await this.#open(stored)
  }

  #volumes(): readonly MountedVolume[] {
    return this.#place.kind === 'pool' ? this.#place.store.volumes : []
  }

  /** Emits a progress event for each torrent that is not whole yet. */
  reportProgress(): void {
    for (const torrent of this.#engine.torrents()) {
      const progress = torrent.progress()
      if (progress.state !== 'downloading' && progress.state !== 'metadata') continue
      this.#options.onEvent(downloadEvent(torrent, progress))
    }
  }

  /** Drains; safe to call again. */
  stop(): Promise<void> {
    this.#stopping ??= this.#drain()
    return this.#stopping
  }

  async #drain(): Promise<void> {
    await this.#retries.stop()
    await this.#scrubber?.stop()
    await this.#refreshing?.catch(() => {})
    this.#dhtMemory?.stop()
    await this.#dhtMemory?.save(this.#engine.dhtState())
    await this.#engine.stop()
    await this.#tracker?.stop()
    await this.store.close()
  }
}

function selectionOf(only: readonly string[]): Pick<AddOptions, 'priorities'> {
  return { priorities: (info) => selectFiles(info, only) }
}

function memoryOf({ dht, clock, logger }: NodeOptions): DhtMemory | undefined {
  if (dht?.statePath === undefined) return undefined
  return new DhtMemory(dht.statePath, clock, logger)
}

export function downloadEvent(torrent: EngineTorrent, progress: TorrentProgress): NodeEvent {
  return {
    event: 'progress',
    phase: 'download',
    infoHash: toHex(torrent.infoHash),
    name: torrent.name ?? null,
    bytes: progress.haveBytes,
    totalBytes: progress.totalBytes,
    wantedBytes: progress.wantedBytes,
    downloadRate: progress.downloadRate,
    uploadRate: progress.uploadRate,
    peers: progress.peers,
  }
}

function roomOf(volume: MountedVolume): DeviceRoom {
  const { totalBytes, freeBytes, torrents } = volume.room()
  return { device: volume.path, torrents, totalBytes, freeBytes }
}

function deviceTrouble(state: 'absent' | 'failed', device: string, error: Error): NodeEvent {
  const code = errnoOf(error) ?? 'DEVICE_IO'
  return { event: 'device', state, device, code, message: error.message }
}

function asSeedbedError(error: Error): SeedbedError {
  return error instanceof SeedbedError ? error : new SeedbedError('FS_FAILED', error.message)
}
