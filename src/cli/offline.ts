/** What the offline commands share: opening a place for the length of one action, finding a torrent. */
import { fromHex, SeedbedError, toHex } from '../base/index.ts'
import { isMapped } from '../filesystem/index.ts'
import { parseInfo, type TorrentInfo } from '../metainfo/index.ts'
import {
  openPlace,
  openStorage,
  type Place,
  type Storage,
  systemClock,
  systemRandom,
} from '../node/index.ts'
import type { StoredTorrent } from '../torrent-store/index.ts'
import { exitCodeOf } from './exit-codes.ts'
import type { Output } from './output.ts'

/** Opens the volume at `path`, runs `action`, and closes it whatever happens. */
export async function withVolume<T>(
  path: string,
  readOnly: boolean,
  action: (storage: Storage) => Promise<T>,
): Promise<T> {
  const storage = await openStorage(path, {
    clock: systemClock,
    random: systemRandom(),
    readOnly,
  })
  try {
    return await action(storage)
  } finally {
    await storage.volume.close()
  }
}

/**
 * As `withVolume`, for what can be done to several devices as well, or to a folder of ordinary files. Devices
 * that cannot be opened are told, and set the exit status; the others go on.
 */
export async function withPlace<T>(
  output: Output,
  paths: readonly string[],
  readOnly: boolean,
  action: (place: Place) => Promise<T>,
): Promise<T> {
  const place = await openPlace(paths, { clock: systemClock, random: systemRandom(), readOnly })
  try {
    const result = await action(place)
    for (const { error } of place.kind === 'pool' ? place.devices.absent : []) {
      output.error(error)
      process.exitCode ||= exitCodeOf(error)
    }
    return result
  } finally {
    await place.store.close()
  }
}

/** The device that a torrent lies on, to be told where there are several. */
export function deviceOf(place: Place, stored: StoredTorrent): string {
  return place.kind === 'pool' && isMapped(stored) ? place.store.volumeOf(stored).path : place.path
}

/**
 * The info-hash of the one torrent that begins with `prefix` and is too damaged to be among those of the store;
 * undefined when there is none, or there are several, or one that is sound.
 */
export function findRefused(place: Place, prefix: string): Uint8Array | undefined {
  if (place.kind === 'folder') return undefined
  const wanted = prefix.toLowerCase()
  for (const { infoHash } of place.store.torrents()) {
    if (toHex(infoHash).startsWith(wanted)) return undefined
  }
  const found = new Set<string>()
  for (const { severity, infoHash } of place.problems) {
    if (severity === 'error' && infoHash?.startsWith(wanted) === true) found.add(infoHash)
  }
  const [only, ...others] = found
  return only === undefined || others.length > 0 ? undefined : (fromHex(only) ?? undefined)
}

/** The one torrent whose info-hash begins with `prefix`. TORRENT_UNKNOWN when none or several do. */
export function findTorrent(place: Place, prefix: string): StoredTorrent {
  const { store, path } = place
  const wanted = prefix.toLowerCase()
  const several = place.kind === 'pool' && place.devices.paths.length > 1
  const where = several ? `the ${place.devices.paths.length} devices` : path
  const found = [...store.torrents()].filter((stored) => toHex(stored.infoHash).startsWith(wanted))
  if (found.length === 1) return found[0]!
  throw new SeedbedError(
    'TORRENT_UNKNOWN',
    found.length === 0
      ? `no torrent ${prefix} on ${where}`
      : `${found.length} torrents on ${where} begin with ${prefix}`,
    { mend: '`seedbed ls` lists the info-hashes; enough digits to tell them apart will do.' },
  )
}

/** The parsed info dictionary, or undefined when it is damaged (fsck tells more). */
export async function infoOf(stored: StoredTorrent): Promise<TorrentInfo | undefined> {
  try {
    return parseInfo(await stored.readInfo())
  } catch (error) {
    if (error instanceof SeedbedError) return undefined
    throw error
  }
}

/** What `ls` and `info` say of a torrent in JSON; null where that is in an info dictionary that is damaged. */
export interface TorrentSummary {
  readonly infoHash: string
  readonly infoHashV2: string | null
  readonly format: TorrentInfo['format'] | null
  readonly name: string | null
  readonly bytes: number
  readonly pieceBytes: number
  readonly pieceCount: number
  readonly havePieces: number
  readonly complete: boolean
  readonly addedAtMs: number
  readonly uploadedBytes: number
  readonly downloadedBytes: number
}

export function summaryOf(stored: StoredTorrent, info: TorrentInfo | undefined): TorrentSummary {
  return {
    infoHash: toHex(stored.infoHash),
    infoHashV2: info?.infoHashV2 === undefined ? null : toHex(info.infoHashV2),
    format: info?.format ?? null,
    name: info?.name ?? null,
    bytes: info?.contentBytes ?? stored.totalBytes,
    pieceBytes: stored.pieceBytes,
    pieceCount: stored.pieceCount,
    havePieces: stored.have.count,
    complete: stored.complete,
    addedAtMs: stored.addedAtMs,
    uploadedBytes: stored.uploadedBytes,
    downloadedBytes: stored.downloadedBytes,
  }
}
