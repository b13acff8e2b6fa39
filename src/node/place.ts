/**
 * What a node, or a command, keeps its torrents in: a volume on a device or image, or a folder of ordinary
 * files. A path that is a folder is one; everything else is a device or an image.
 */
import { rm, stat } from 'node:fs/promises'
import type { MountedVolume } from '../filesystem/index.ts'
import { openPlainFolder, type PlainFolder } from '../plain-files/index.ts'
import { discardNewStorage, openStorage, type StorageOptions } from './storage.ts'

interface OpenPlace {
  readonly path: string
  /** This call made it. */
  readonly created: boolean
  /** What cannot be served of it. */
  readonly problems: readonly { readonly infoHash?: string; readonly what: string }[]
  freeBytes(): Promise<number>
  /** Closes; what was made for a run that could not start goes again. */
  discard(): Promise<void>
}

export interface VolumePlace extends OpenPlace {
  readonly kind: 'volume'
  readonly store: MountedVolume
}

export interface FolderPlace extends OpenPlace {
  readonly kind: 'folder'
  readonly store: PlainFolder
}

export type Place = VolumePlace | FolderPlace

export interface PlaceRequest extends StorageOptions {
  /** `path` is a folder of ordinary files, to be made when it is not there and `create` is set. */
  readonly folder?: boolean
}

/** As openStorage and openPlainFolder reject. */
export async function openPlace(path: string, options: PlaceRequest): Promise<Place> {
  const found = await stat(path).catch(() => undefined)
  if (options.folder === true || found?.isDirectory() === true) {
    return openFolder(path, options, found !== undefined)
  }
  const storage = await openStorage(path, options)
  const { volume } = storage
  return {
    kind: 'volume',
    path: storage.path,
    store: volume,
    created: storage.created,
    problems: volume.problems.filter(({ severity }) => severity === 'error'),
    freeBytes: async () => volume.room().freeBytes,
    discard: () => discardNewStorage(storage),
  }
}

async function openFolder(
  path: string,
  { clock, readOnly, create }: PlaceRequest,
  there: boolean,
): Promise<FolderPlace> {
  const store = await openPlainFolder(path, {
    clock,
    readOnly: readOnly === true,
    create: create === true,
  })
  return {
    kind: 'folder',
    path,
    store,
    created: !there,
    problems: store.problems.map(({ infoHash, error }) => ({ infoHash, what: error.message })),
    freeBytes: () => store.freeBytes(),
    async discard() {
      await store.close()
      if (!there) await rm(path, { recursive: true })
    },
  }
}

/** Where the content of a torrent lies: its file or folder, or the device. */
export function contentPath(place: Place, infoHash: Uint8Array): string {
  if (place.kind === 'volume') return place.path
  return place.store.get(infoHash)?.contentPath ?? place.path
}
