/**
 * What a node, or a command, keeps its torrents in: devices and images, as one pool, or a folder of ordinary
 * files. A single path that is a folder is one; everything else is a device or an image.
 */
import { rm, stat } from 'node:fs/promises'
import type { Pool } from '../filesystem/index.ts'
import { openPlainFolder, type PlainFolder } from '../plain-files/index.ts'
import { Devices, type DevicesOptions } from './devices.ts'
import { checkRoom, checkRoomBeneath } from './storage.ts'

interface OpenPlace {
  /** The folder, or the first device. */
  readonly path: string
  /** This call made it. */
  readonly created: boolean
  /** What cannot be served of it (`error`), or not as it is. */
  readonly problems: readonly {
    readonly severity: 'warning' | 'error'
    readonly infoHash?: string
    readonly what: string
  }[]
  freeBytes(): Promise<number>
  /** NODE_NO_SPACE when the disk beneath has no room for so many bytes. */
  checkRoom(bytes: number): Promise<void>
  /** Closes; what was made for a run that could not start goes again. */
  discard(): Promise<void>
}

export interface PoolPlace extends OpenPlace {
  readonly kind: 'pool'
  readonly store: Pool
  readonly devices: Devices
}

export interface FolderPlace extends OpenPlace {
  readonly kind: 'folder'
  readonly store: PlainFolder
}

export type Place = PoolPlace | FolderPlace

export interface PlaceRequest extends DevicesOptions {
  /** The path is a folder of ordinary files, to be made when it is not there and `create` is set. */
  readonly folder?: boolean
}

/** `paths` has at least one. As Devices.open and openPlainFolder reject. */
export async function openPlace(paths: readonly string[], options: PlaceRequest): Promise<Place> {
  const path = paths[0]!
  if (paths.length === 1) {
    const found = await stat(path).catch(() => undefined)
    if (options.folder === true || found?.isDirectory() === true) {
      return openFolder(path, options, found !== undefined)
    }
  }
  const { folder: _, ...rest } = options
  const devices = await Devices.open(paths, rest)
  const { pool } = devices
  return {
    kind: 'pool',
    path,
    store: pool,
    devices,
    created: pool.volumes.some((volume) => devices.wasCreated(volume)),
    problems: pool.problems.flatMap((problem) =>
      problem.severity === 'notice' ? [] : [{ ...problem, severity: problem.severity }],
    ),
    freeBytes: async () => pool.room().freeBytes,
    checkRoom: (bytes) => checkRoomBeneath(pool.choose(bytes)?.path ?? path, bytes),
    discard: () => devices.discard(),
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
    problems: store.problems.map(({ infoHash, error }) => ({
      severity: 'error' as const,
      infoHash,
      what: error.message,
    })),
    freeBytes: () => store.freeBytes(),
    checkRoom: (bytes) => checkRoom(path, bytes),
    async discard() {
      await store.close()
      if (!there) await rm(path, { recursive: true })
    },
  }
}

/** Where the content of a torrent lies: its file or folder, or its device. */
export function contentPath(place: Place, infoHash: Uint8Array): string {
  if (place.kind === 'folder') return place.store.get(infoHash)?.contentPath ?? place.path
  const stored = place.store.get(infoHash)
  return stored === undefined ? place.path : place.store.volumeOf(stored).path
}
