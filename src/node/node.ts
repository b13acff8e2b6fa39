/**
 * A seedbed node: one volume or folder, one engine over it, and beside them a tracker that everything on the
 * volume is announced to.
 *
 * Start: tracker ports, volume, peer ports, then every torrent of the volume is opened (nothing is
 * hashed). Stop runs the other way round: the engine says goodbye and flushes, the tracker closes
 * (it had to hear the goodbyes), the volume closes last.
 */
import { availableParallelism } from 'node:os'
import { toHex } from '../base/index.ts'
import {
  type Engine,
  type EngineTorrent,
  startEngine,
  ThreadHasher,
  type TorrentProgress,
} from '../engine/index.ts'
import { createPeerStore } from '../peer-store/index.ts'
import type { TorrentStore } from '../torrent-store/index.ts'
import { startTracker, type Tracker } from '../tracker/index.ts'
import { DhtMemory } from './dht-memory.ts'
import type { NodeEvent } from './events.ts'
import { announceTiers } from './hosts.ts'
import type { NodeOptions } from './node-options.ts'
import { contentPath, openPlace, type Place } from './place.ts'
import { Served, type Tiers } from './served.ts'
import { Sharing } from './sharing.ts'
import { deviceTrouble, roomOf, Upkeep, volumesOf } from './upkeep.ts'

interface Parts {
  readonly options: NodeOptions
  readonly place: Place
  readonly engine: Engine
  readonly tracker: Tracker | undefined
  readonly dhtMemory: DhtMemory | undefined
  readonly served: Served
  readonly sharing: Sharing
}

export class SeedbedNode {
  readonly store: TorrentStore
  readonly engine: Engine
  readonly served: Served
  readonly sharing: Sharing
  readonly upkeep: Upkeep
  readonly #parts: Parts
  #stopping: Promise<void> | undefined

  private constructor(parts: Parts) {
    this.store = parts.place.store
    this.engine = parts.engine
    this.served = parts.served
    this.sharing = parts.sharing
    this.upkeep = new Upkeep(parts.options, parts.place, parts.served)
    this.#parts = parts
  }

  /** What was begun is undone when a later step fails. */
  static async start(options: NodeOptions): Promise<SeedbedNode> {
    const undo: (() => Promise<void>)[] = []
    try {
      const tracker = await startOwnTracker(options)
      undo.push(async () => tracker?.stop())
      const place = await openPlaceOf(options)
      undo.push(() => place.discard())
      const dhtMemory = dhtMemoryOf(options)
      const engine = await startEngineOf(options, place, await dhtMemory?.load())
      undo.push(() => engine.stop())
      dhtMemory?.keep(() => engine.dhtState())
      undo.push(async () => dhtMemory?.stop())
      const ownTiers =
        tracker === undefined ? [] : announceTiers(options.tracker!.hosts, tracker.port)
      const served = new Served(options, place, engine, ownTiers)
      const sharing = await Sharing.open(options, place, served, ownTiers)
      await served.openAll()
      await tellReady({ options, place, engine, tracker, ownTiers })
      return new SeedbedNode({ options, place, engine, tracker, dhtMemory, served, sharing })
    } catch (error) {
      // What it failed for is what is to be told.
      await inTurn(undo.reverse()).catch((undoing: unknown) =>
        options.logger.error({ err: undoing }, 'what was begun could not be undone'),
      )
      throw error
    }
  }

  /** The file or folder of a torrent; the device where it lies on one. */
  contentPath(infoHash: Uint8Array): string {
    return contentPath(this.#parts.place, infoHash)
  }

  /** Emits a status event. */
  reportStatus(): void {
    this.#parts.options.onEvent({ event: 'status', ...this.engine.status() })
  }

  /** Emits a progress event for each torrent that is not whole yet. */
  reportProgress(): void {
    for (const torrent of this.engine.torrents()) {
      const progress = torrent.progress()
      if (progress.state !== 'downloading' && progress.state !== 'metadata') continue
      this.#parts.options.onEvent(downloadEvent(torrent, progress))
    }
  }

  /** Drains; safe to call again. Rejects when something could not be made durable; all is closed then, too. */
  stop(): Promise<void> {
    this.#stopping ??= this.#drain()
    return this.#stopping
  }

  async #drain(): Promise<void> {
    const { engine, tracker, dhtMemory } = this.#parts
    await Promise.all([this.served.stopRetrying(), this.upkeep.stop()])
    dhtMemory?.stop()
    await dhtMemory?.save(engine.dhtState())
    await inTurn([() => engine.stop(), async () => tracker?.stop(), () => this.store.close()])
  }
}

/** Runs all of them, also when one fails; rejects with the first failure. */
async function inTurn(steps: readonly (() => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = []
  for (const step of steps) await step().catch((error: unknown) => failures.push(error))
  if (failures.length > 0) throw failures[0]
}

/**
 * Addresses for the peers of our own tracker, some ten million swarms. Not half of the machine as for a tracker alone: where the system counts
 * what is reserved, a process that reserves as much as there is cannot start another, such as flock(1).
 */
const OWN_TRACKER_BYTES: number = 512 * 2 ** 20

/** Nothing when the node is to have none. */
async function startOwnTracker(options: NodeOptions): Promise<Tracker | undefined> {
  const { clock, random, logger, bind } = options
  if (options.tracker === undefined) return undefined
  return startTracker({
    store: createPeerStore({ clock, random, maxMemoryBytes: OWN_TRACKER_BYTES }),
    clock,
    random,
    logger,
    bind,
    port: options.tracker.port,
    // It serves a handful of torrents: a thread would cost more memory than it saves time.
    frontEnd: 'portable',
  })
}

async function openPlaceOf(options: NodeOptions): Promise<Place> {
  const { clock, random, logger } = options
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
  for (const problem of place.problems) {
    logger.warn({ ...problem }, 'a torrent cannot be served as it is; seedbed fsck tells more')
  }
  for (const { path, error } of place.kind === 'pool' ? place.devices.absent : []) {
    options.onEvent(deviceTrouble('absent', path, error))
  }
  return place
}

function startEngineOf(
  options: NodeOptions,
  place: Place,
  dhtState: Uint8Array | undefined,
): Promise<Engine> {
  return startEngine({
    volume: place.store,
    network: options.network,
    clock: options.clock,
    random: options.random,
    logger: options.logger,
    hasher: new ThreadHasher({ ...options, processors: availableParallelism() }),
    peerPort: options.peerPort,
    bind: options.bind,
    cacheBytes: options.cacheBytes,
    maxConnections: options.maxConnections,
    ...options.limits,
    ...(options.rates === undefined ? {} : { rates: options.rates }),
    ...(options.encryption === undefined ? {} : { encryption: options.encryption }),
    ...(options.utp === undefined ? {} : { utp: options.utp }),
    lsd: options.lsd === true,
    ...(options.portMapping !== undefined && {
      portMapping: {
        ...options.portMapping,
        onChange: (status) => options.onEvent({ event: 'port-mapping', ...status }),
      },
    }),
    ...(options.dht === undefined
      ? {}
      : { dht: { ...options.dht, ...(dhtState && { state: dhtState }) } }),
  })
}

function dhtMemoryOf({ dht, clock, logger }: NodeOptions): DhtMemory | undefined {
  if (dht?.statePath === undefined) return undefined
  return new DhtMemory(dht.statePath, clock, logger)
}

async function tellReady({
  options,
  place,
  engine,
  tracker,
  ownTiers,
}: Pick<Parts, 'options' | 'place' | 'engine' | 'tracker'> & { ownTiers: Tiers }): Promise<void> {
  const freeBytes = await place.freeBytes()
  options.onEvent({
    event: 'ready',
    tracker: tracker === undefined ? null : { port: tracker.port, urls: ownTiers.flat() },
    peerPort: engine.port,
    device: place.path,
    devices: volumesOf(place).map(roomOf),
    created: place.created,
    torrents: [...place.store.torrents()].length,
    freeBytes,
  })
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
    bans: progress.bans,
    utpPeers: progress.utpPeers,
  }
}
