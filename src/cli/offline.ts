/** What the offline commands share: opening a place for the length of one action, finding a torrent. */
import { SeedbedError, toHex } from '../base/index.ts'
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

/** As `withVolume`, for what can be done to a folder of ordinary files as well. */
export async function withPlace<T>(
  path: string,
  readOnly: boolean,
  action: (place: Place) => Promise<T>,
): Promise<T> {
  const place = await openPlace(path, { clock: systemClock, random: systemRandom(), readOnly })
  try {
    return await action(place)
  } finally {
    await place.store.close()
  }
}

/** The one torrent whose info-hash begins with `prefix`. TORRENT_UNKNOWN when none or several do. */
export function findTorrent({ store, path }: Place, prefix: string): StoredTorrent {
  const wanted = prefix.toLowerCase()
  const found = [...store.torrents()].filter((stored) => toHex(stored.infoHash).startsWith(wanted))
  if (found.length === 1) return found[0]!
  throw new SeedbedError(
    'TORRENT_UNKNOWN',
    found.length === 0
      ? `${path} holds no torrent ${prefix}`
      : `${found.length} torrents on ${path} begin with ${prefix}`,
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
