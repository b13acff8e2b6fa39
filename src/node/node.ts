/**
 * A seedbed node: one volume or folder, one engine over it, and beside them a tracker that everything on the
 * volume is announced to.
 *
 * Start: tracker ports, volume, peer ports, then every torrent of the volume is opened (nothing is
 * hashed). Stop runs the other way round: the engine says goodbye and flushes, the tracker closes
 * (it had to hear the goodbyes), the volume closes last.
 */
import { join } from 'node:path'
import { type Clock, errnoOf, type Logger, type Random, toHex } from '../base/index.ts'
import {
  type EncryptionPolicy,
  type Engine,
  type EngineTorrent,
  type Network,
  startEngine,
  type TorrentProgress,
} from '../engine/index.ts'
import { parseInfo, type TorrentInfo } from '../metainfo/index.ts'
import { createPeerStore } from '../peer-store/index.ts'
import type { StoredTorrent, TorrentStore } from '../torrent-store/index.ts'
import { startTracker, type Tracker } from '../tracker/index.ts'
import { decodeAttributes, encodeAttributes } from './attributes.ts'
import type { NodeEvent } from './events.ts'
import type { FetchSource } from './fetch-source.ts'
import { announceTiers } from './hosts.ts'
import { type Imported, type ImportOptions, importSource } from './import.ts'
import { ImportRecords } from './import-records.ts'
import { contentPath, openPlace, type Place } from './place.ts'
import { scrubTorrent } from './scrub.ts'
import { shareInPlace } from './share-in-place.ts'
import type { Source } from './source.ts'
import { checkRoom, checkRoomBeneath } from './storage.ts'
import { magnetOf, writeTorrentFile } from './torrent-files.ts'

type Tiers = readonly (readonly string[])[]

export interface NodeOptions {
  /** A device, an image (made when it is not there), or a folder of ordinary files. */
  readonly device: string
  /** `device` is a folder of ordinary files, made when it is not there. */
  readonly folder?: boolean
  readonly imageBytes?: number
  /** Where to note what is asked of the device; a file that `seedbed plot` draws. */
  readonly accessLog?: string
  /** Keeps .torrent files and import records. */
  readonly dataDir: string
  /** Absent: no tracker of our own. */
  readonly tracker?: { readonly port: number; readonly hosts: readonly string[] }
  readonly peerPort: number
  readonly bind: readonly string[]
  readonly cacheBytes: number
  readonly maxConnections: number
  readonly encryption?: EncryptionPolicy
  readonly clock: Clock
  readonly random: Random
  readonly network: Network
  readonly logger: Logger
  onEvent(event: NodeEvent): void
}

export class SeedbedNode {
  readonly #options: NodeOptions
  readonly #place: Place
  readonly #engine: Engine
  readonly #tracker: Tracker | undefined
  readonly #ownTiers: Tiers
  readonly #records: ImportRecords
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
      const place = await openPlace(options.device, {
        folder: options.folder === true,
        clock,
        random,
        create: true,
        ...(options.imageBytes === undefined ? {} : { imageBytes: options.imageBytes }),
        ...(options.accessLog === undefined
          ? {}
          : {
              accessLog: {
                path: options.accessLog,
                onFailure: (error) =>
                  logger.warn({ err: error }, 'the access log ends: it cannot be written'),
              },
            }),
      })
      undo.push(() => place.discard())
      for (const problem of place.problems) {
        logger.warn({ ...problem }, 'a torrent cannot be served; seedbed fsck tells more')
      }
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
        ...(options.encryption === undefined ? {} : { encryption: options.encryption }),
      })
      undo.push(() => engine.stop())
      const ownTiers =
        tracker === undefined ? [] : announceTiers(options.tracker!.hosts, tracker.port)
      const records = await ImportRecords.load(join(options.dataDir, 'imports.json'))
      const node = new SeedbedNode(options, place, engine, tracker, ownTiers, records)
      await node.#openAll()
      await node.#ready()
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

  get device(): string {
    return this.#place.path
  }

  /** The file or folder of a torrent; the device where it lies on one. */
  contentPath(infoHash: Uint8Array): string {
    return contentPath(this.#place, infoHash)
  }

  async #openAll(): Promise<void> {
    for (const stored of this.store.torrents()) {
      try {
        const info = parseInfo(await stored.readInfo())
        // Of a whole torrent each file is looked at when it is read first.
        if (!stored.complete) await this.#recheck(stored, info)
        const attributes = decodeAttributes(await stored.readAttributes())
        const trackers = this.#tiersFor(info, attributes.trackers)
        this.#watch(this.#engine.open(stored, info, { trackers }))
      } catch (error) {
        // One damaged torrent must not keep the others from being seeded.
        this.#failed(stored.infoHash, error)
      }
    }
  }

  /** Hashes what is in doubt: pieces of files that somebody else, or a crash, has changed. */
  async #recheck(stored: StoredTorrent, info: TorrentInfo): Promise<void> {
    const { clock, onEvent } = this.#options
    const infoHash = toHex(info.infoHash)
    await scrubTorrent(this.store, stored, info, {
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
      device: this.device,
      created: this.#place.created,
      torrents: [...this.store.torrents()].length,
      freeBytes,
    })
  }

  /** Imports a file or folder, unless it is known and unchanged, and seeds it. */
  async share(source: Source, signal?: AbortSignal): Promise<void> {
    const { onEvent } = this.#options
    const path = source.root
    for (const left of source.skipped) {
      onEvent({ event: 'skipped', path: left, reason: 'not a file inside the folder' })
    }
    const recorded = this.#records.find(source)
    const stored = recorded === undefined ? undefined : this.store.get(recorded)
    let info: TorrentInfo
    let known = false
    if (stored?.complete === true) {
      info = parseInfo(await stored.readInfo())
      known = true
    } else {
      const imported = await this.#import(source, signal)
      info = imported.info
      known = imported.known
      if (this.#engine.get(info.infoHash) === undefined) {
        this.#watch(
          this.#engine.open(imported.stored, info, { trackers: this.#tiersFor(info, []) }),
        )
      }
      await this.#records.remember(source, info.infoHash)
    }
    const torrentFile = await writeTorrentFile(
      join(this.#options.dataDir, 'torrents'),
      info,
      this.#ownTiers,
    )
    onEvent({
      event: 'shared',
      infoHash: toHex(info.infoHash),
      magnet: magnetOf(info, this.#ownTiers),
      torrentFile,
      name: info.name,
      bytes: info.totalBytes,
      path,
      known,
    })
  }

  /** A volume takes a copy; in a folder of ordinary files it is shared from where it lies. */
  async #import(source: Source, signal: AbortSignal | undefined): Promise<Imported> {
    const place = this.#place
    const options: ImportOptions = {
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
    await checkRoomBeneath(this.device, source.totalBytes)
    return importSource(place.store, source, options)
  }

  /** Downloads, unless it is there already. */
  async fetch(source: FetchSource): Promise<EngineTorrent> {
    const named = source.kind === 'magnet' ? source.magnet : source.metainfo.info
    const there = this.#engine.get(named.infoHash)
    if (there !== undefined) return there
    let torrent: EngineTorrent
    if (source.kind === 'magnet') {
      const trackers = source.magnet.trackers.map((url) => [url])
      torrent = this.#engine.addMagnet(source.magnet, {
        trackers: this.#tiersFor(undefined, trackers),
        peers: source.magnet.peers,
        attributes: encodeAttributes({ trackers }),
      })
    } else {
      const { info, trackers } = source.metainfo
      await this.#checkRoom(info.totalBytes)
      torrent = await this.#engine.add(info, {
        trackers: this.#tiersFor(info, trackers),
        attributes: encodeAttributes({ trackers }),
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

  async #checkRoom(bytes: number): Promise<void> {
    if (this.#place.kind === 'folder') await checkRoom(this.device, bytes)
    else await checkRoomBeneath(this.device, bytes)
  }

  #watch(torrent: EngineTorrent): void {
    const { onEvent } = this.#options
    const infoHash = toHex(torrent.infoHash)
    torrent.on('metadata', (info) => {
      onEvent({ event: 'metadata', infoHash, name: info.name, bytes: info.totalBytes })
    })
    torrent.on('complete', () => {
      const info = torrent.info!
      onEvent({
        event: 'complete',
        infoHash,
        name: info.name,
        bytes: info.totalBytes,
        path: this.contentPath(torrent.infoHash),
      })
    })
    torrent.on('failed', (error) => this.#failed(torrent.infoHash, error))
  }

  #failed(infoHash: Uint8Array, error: unknown): void {
    this.#options.onEvent({
      event: 'failed',
      infoHash: toHex(infoHash),
      code: errnoOf(error) ?? 'TORRENT_FAILED',
      message: error instanceof Error ? error.message : String(error),
    })
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
    await this.#engine.stop()
    await this.#tracker?.stop()
    await this.store.close()
  }
}

export function downloadEvent(torrent: EngineTorrent, progress: TorrentProgress): NodeEvent {
  return {
    event: 'progress',
    phase: 'download',
    infoHash: toHex(torrent.infoHash),
    name: torrent.info?.name ?? null,
    bytes: progress.haveBytes,
    totalBytes: progress.totalBytes,
    downloadRate: progress.downloadRate,
    uploadRate: progress.uploadRate,
    peers: progress.peers,
  }
}
