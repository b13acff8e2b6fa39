/**
 * What a node shares from files: imported, unless it is known and unchanged, and seeded.
 *
 * Invariant: a source is remembered only after all of it is durable in the store.
 */
import { join } from 'node:path'
import { toHex } from '../base/index.ts'
import type { TorrentFormat } from '../metainfo/index.ts'
import { encodeAttributes } from './attributes.ts'
import { type Described, describeStored } from './described.ts'
import { type Imported, type ImportOptions, importSource } from './import.ts'
import { ImportRecords } from './import-records.ts'
import type { NodeOptions } from './node-options.ts'
import type { Place } from './place.ts'
import type { Served, Tiers } from './served.ts'
import { shareInPlace } from './share-in-place.ts'
import type { Source } from './source.ts'
import { magnetOf, writeTorrentFile } from './torrent-files.ts'

/** Everybody reads it; decisions.md says why not a hybrid. */
const DEFAULT_FORMAT: TorrentFormat = 'v1'

export class Sharing {
  readonly #options: NodeOptions
  readonly #place: Place
  readonly #served: Served
  readonly #ownTiers: Tiers
  readonly #records: ImportRecords

  private constructor(
    options: NodeOptions,
    place: Place,
    served: Served,
    ownTiers: Tiers,
    records: ImportRecords,
  ) {
    this.#options = options
    this.#place = place
    this.#served = served
    this.#ownTiers = ownTiers
    this.#records = records
  }

  static async open(
    options: NodeOptions,
    place: Place,
    served: Served,
    ownTiers: Tiers,
  ): Promise<Sharing> {
    const records = await ImportRecords.load(join(options.dataDir, 'imports.json'))
    return new Sharing(options, place, served, ownTiers, records)
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
    const stored = recorded === undefined ? undefined : this.#place.store.get(recorded)
    let described: Described
    let known = false
    if (stored?.complete === true) {
      described = await describeStored(stored)
      known = true
    } else {
      const imported = await this.#import(source, format, signal)
      described = imported
      known = imported.known
      this.#served.begin(imported)
      await this.#records.remember(source, format, imported.info.infoHash)
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
      release: (infoHash) => this.#served.engine.remove(infoHash),
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
    await place.checkRoom(source.totalBytes)
    return importSource(place.store, source, options)
  }
}
