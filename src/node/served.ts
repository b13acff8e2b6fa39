/**
 * The torrents that a node serves: what of its store is in the engine, told of in events, and tried again when storage has failed.
 *
 * Invariants: one damaged torrent keeps no other from being served; a private torrent (BEP 27) is announced to its own
 * trackers only; what is in doubt is hashed before it is served.
 */
import { bytesEqual, errnoOf, inLanes, toHex } from '../base/index.ts'
import type { AddOptions, Engine, EngineTorrent, TorrentWatcher } from '../engine/index.ts'
import {
  HASH_BYTES,
  hasAllLayers,
  type Magnet,
  type PieceLayers,
  parseInfo,
  type TorrentInfo,
} from '../metainfo/index.ts'
import type { About, StoredTorrent } from '../torrent-store/index.ts'
import { decodeAttributes, encodeAttributes } from './attributes.ts'
import { type Described, describeStored } from './described.ts'
import type { FetchSource } from './fetch-source.ts'
import type { Imported } from './import.ts'
import type { FetchOptions, NodeOptions } from './node-options.ts'
import { contentPath, type Place } from './place.ts'
import { Retries } from './retries.ts'
import { scrubTorrent } from './scrub.ts'
import { type Selection, selectFiles } from './selection.ts'

/** BEP 12 tiers of announce URLs. */
export type Tiers = readonly (readonly string[])[]

/** Info dictionaries that are read side by side at the start: a disk likes several at a time. */
const OPENED_AT_ONCE = 16
const NO_LAYERS: PieceLayers = new Map()

export class Served {
  readonly engine: Engine
  readonly #options: NodeOptions
  readonly #place: Place
  readonly #ownTiers: Tiers
  readonly #retries: Retries
  readonly #watcher: TorrentWatcher
  /** What is being added, by all of its names. */
  readonly #fetching = new Map<string, Promise<EngineTorrent>>()

  /** `ownTiers`: the node's own tracker. */
  constructor(options: NodeOptions, place: Place, engine: Engine, ownTiers: Tiers) {
    this.#options = options
    this.#place = place
    this.engine = engine
    this.#ownTiers = ownTiers
    this.#retries = new Retries(options.clock, (infoHash) => this.resume(infoHash))
    this.#watcher = this.#watch()
  }

  #watch(): TorrentWatcher {
    const { onEvent } = this.#options
    return {
      metadata({ infoHash }, { name, contentBytes: bytes }) {
        onEvent({ event: 'metadata', infoHash: toHex(infoHash), name, bytes })
      },
      complete: ({ infoHash, info }) => {
        onEvent({
          event: 'complete',
          infoHash: toHex(infoHash),
          name: info!.name,
          bytes: info!.contentBytes,
          path: contentPath(this.#place, infoHash),
        })
      },
      failed: (torrent, error) => {
        this.#failed(torrent.infoHash, error, this.#retries.failed(torrent))
      },
    }
  }

  async openAll(): Promise<void> {
    const torrents = [...this.#place.store.torrents()]
    torrents.sort((a, b) => a.aboutPosition - b.aboutPosition)
    await inLanes(torrents, OPENED_AT_ONCE, async (stored) => {
      if (this.#options.signal?.aborted !== true) await this.open(stored)
    })
  }

  async open(stored: StoredTorrent): Promise<void> {
    try {
      const isOpen =
        stored.complete && (await stored.peek((about) => this.#openWhole(stored, about)))
      if (!isOpen) await this.#openPart(stored)
    } catch (error) {
      if (errnoOf(error) === 'INTERRUPTED') return
      // One damaged torrent must not keep the others from being seeded.
      this.#failed(stored.infoHash, error)
    }
  }

  /** Keeps nothing of `about`. False when that does not say all: v2 has layers, too. */
  #openWhole(stored: StoredTorrent, { infoBytes, attributes }: About): boolean {
    const info = parseInfo(infoBytes)
    if (info.format !== 'v1') return false
    // Each file is looked at when it is read first.
    this.#open(stored, { info, layers: NO_LAYERS }, attributes)
    return true
  }

  async #openPart(stored: StoredTorrent): Promise<void> {
    const [described, kept] = await Promise.all([describeStored(stored), stored.readAttributes()])
    if (!stored.complete) await this.#recheck(stored, described)
    this.#open(stored, described, kept)
  }

  #open(stored: StoredTorrent, { info, layers }: Described, kept: Uint8Array): void {
    const { trackers, webSeeds, only } = decodeAttributes(kept)
    this.engine.open(stored, info, {
      trackers: this.#tiersFor(info, trackers),
      ...(webSeeds === undefined ? {} : { webSeeds }),
      layers,
      reload: describeStored,
      watcher: this.#watcher,
      superSeed: this.#options.superSeed === true,
      ...(only === undefined ? {} : selectionOf(only)),
    })
  }

  /** What was imported is served, unless it is already. */
  begin({ stored, info, layers }: Imported): void {
    if (this.engine.get(info.infoHash) !== undefined) return
    const trackers = this.#tiersFor(info, [])
    const superSeed = this.#options.superSeed === true
    const watcher = this.#watcher
    const options = { trackers, layers, superSeed, watcher, reload: describeStored }
    this.engine.open(stored, info, options)
  }

  /** Hashes what is in doubt: pieces of files that somebody else, or a crash, has changed. */
  async #recheck(stored: StoredTorrent, described: Described): Promise<void> {
    const { clock, onEvent, signal } = this.#options
    const { info } = described
    // Nothing of it can be judged, or was: it waits for its layers.
    if (info.format === 'v2' && !hasAllLayers(info, described.layers)) return
    const infoHash = toHex(info.infoHash)
    await scrubTorrent(this.#place.store, stored, described, {
      clock,
      doubtedOnly: true,
      ...(signal === undefined ? {} : { signal }),
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
    if (trackers.length === 0) return this.#ownTiers
    return info?.private === true ? trackers : [...trackers, ...this.#ownTiers]
  }

  /** Downloads, unless it is there already. */
  async fetch(source: FetchSource, options: FetchOptions = {}): Promise<EngineTorrent> {
    const { infoHash, infoHashV2 } = nameIn(source)
    const names = [infoHash, infoHashV2?.subarray(0, HASH_BYTES) ?? infoHash].map(toHex)
    const begun = (): Promise<unknown> | undefined =>
      this.#fetching.get(names[0]!) ?? this.#fetching.get(names[1]!)
    // Asked for twice it is one torrent: the second finds what the first has made.
    for (let before = begun(); before !== undefined; before = begun()) await before.catch(() => {})
    const fetching = this.#fetch(source, options)
    for (const name of names) this.#fetching.set(name, fetching)
    try {
      return await fetching
    } finally {
      for (const name of names) this.#fetching.delete(name)
    }
  }

  async #fetch(source: FetchSource, options: FetchOptions): Promise<EngineTorrent> {
    const { sequential = false } = options
    const only = options.only ?? selectionIn(source)
    const named = nameIn(source)
    const wanted = {
      sequential,
      reload: describeStored,
      watcher: this.#watcher,
      ...(only === undefined ? {} : selectionOf(only)),
    }
    const kept = only === undefined ? {} : { only }
    const there = this.engine.get(named.infoHash) ?? this.#byV2(named.infoHashV2)
    if (there !== undefined) {
      if (source.kind === 'magnet') there.addPeers(source.magnet.peers)
      there.setSequential(sequential)
      if (only !== undefined && there.stored !== undefined)
        await this.#select(there, there.stored, only)
      return there
    }
    if (source.kind === 'metainfo' && only !== undefined) selectFiles(source.metainfo.info, only)
    let torrent: EngineTorrent
    if (source.kind === 'magnet') {
      const trackers = source.magnet.trackers.map((url) => [url])
      torrent = this.engine.addMagnet(source.magnet, {
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
      await this.#place.checkRoom(info.contentBytes)
      torrent = await this.engine.add(info, {
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
    return torrent
  }

  /** Wants these files from now on, also after a restart. */
  async #select(torrent: EngineTorrent, stored: StoredTorrent, only: Selection): Promise<void> {
    const { info } = torrent.info === undefined ? await describeStored(stored) : torrent
    await torrent.setPriorities(selectFiles(info!, only))
    const before = await stored.readAttributes()
    const attributes = encodeAttributes({ ...decodeAttributes(before), only })
    if (!bytesEqual(attributes, before)) await stored.keepAttributes(attributes)
  }

  /** A hybrid may be there under its other name. */
  #byV2(infoHashV2: Uint8Array | undefined): EngineTorrent | undefined {
    return infoHashV2 === undefined
      ? undefined
      : this.engine.get(infoHashV2.subarray(0, HASH_BYTES))
  }

  /**
   * Goes on with a torrent that an error has paused; what is in doubt since is hashed first. Happens by itself
   * after a while; this is for who knows that the cause has gone. Rejects when it has not.
   */
  async resume(infoHash: Uint8Array): Promise<void> {
    const torrent = this.engine.get(infoHash)
    const stored = torrent?.stored
    if (torrent?.error === undefined || stored === undefined) return
    const described = await describeStored(stored)
    const { info } = described
    await this.#recheck(stored, described)
    await torrent.resume()
    this.#options.onEvent({ event: 'resumed', infoHash: toHex(infoHash), name: info.name })
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

  /** The engine knows it no more; what it could not make durable then was told already. */
  async release(infoHash: Uint8Array): Promise<void> {
    await this.engine.remove(infoHash).catch((error: unknown) => {
      this.#options.logger.debug({ err: error }, 'a torrent was let go without a sync')
    })
  }

  /** These pieces have rotted. */
  async heal(stored: StoredTorrent, info: TorrentInfo, pieces: readonly number[]): Promise<void> {
    const torrent = this.engine.get(info.infoHash)
    if (torrent?.stored === stored) {
      await torrent.forget(pieces)
      return
    }
    for (const piece of pieces) stored.clearHave(piece)
    await stored.sync()
  }

  /** Nothing is tried again from now on. */
  stopRetrying(): Promise<void> {
    return this.#retries.stop()
  }
}

function selectionOf(only: Selection): Pick<AddOptions, 'priorities'> {
  return { priorities: (info) => selectFiles(info, only) }
}

function nameIn(source: FetchSource): Magnet | TorrentInfo {
  return source.kind === 'magnet' ? source.magnet : source.metainfo.info
}

/** What a magnet says is wanted (BEP 53). */
export function selectionIn(source: FetchSource): Selection | undefined {
  return source.kind === 'magnet' ? source.magnet.selected : undefined
}
