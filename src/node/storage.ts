/**
 * Where the torrents live: a volume on a raw device or an image file, opened if it is there, made if
 * it is not and the caller wants that. Never over something else: a device that holds anything foreign
 * is refused.
 */
import { existsSync, statfsSync } from 'node:fs'
import { access, constants, mkdir, stat, statfs, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Clock, errnoOf, type Random, SeedbedError } from '../base/index.ts'
import {
  AccessLogWriter,
  type BlockDevice,
  LoggedDevice,
  openFileDevice,
} from '../block-device/index.ts'
import {
  formatVolume,
  type GrowReport,
  growVolume,
  type MountedVolume,
  mountVolume,
  type ProbeResult,
  probe,
} from '../filesystem/index.ts'
import { nodeError } from './errors.ts'

const GIB = 2 ** 30
/** An ext4 file with 4 KiB blocks ends at 16 TiB. */
const IMAGE_BYTES_MAX = 15 * 1024 * GIB
const IMAGE_BYTES_MIN = 64 * 2 ** 20

export interface StorageOptions {
  readonly clock: Clock
  readonly random: Random
  readonly readOnly?: boolean
  /** Make the volume when the place is empty. */
  readonly create?: boolean
  /** Size of an image that has to be made; chosen from the free space when absent. */
  readonly imageBytes?: number
  readonly label?: string
  /** Notes what is asked of the device from mounting on, in a file that `plot` draws. */
  readonly accessLog?: { readonly path: string; onFailure(error: Error): void }
  /** Called once, when the volume takes no more writes. */
  onFailure?(error: Error): void
}

export interface Storage {
  readonly path: string
  readonly volume: MountedVolume
  /** The volume's device; its log may be set and unset. */
  readonly logged: LoggedDevice
  /** This call formatted it. */
  readonly created: boolean
  /** This call made the image file. */
  readonly fileCreated: boolean
}

export function imagePath(dataDir: string): string {
  return join(dataDir, 'seedbed.img')
}

/** NODE_DATA_DIR. */
export async function makeDataDir(dataDir: string): Promise<void> {
  try {
    await mkdir(dataDir, { recursive: true })
    await access(dataDir, constants.W_OK)
  } catch (error) {
    throw nodeError(
      'NODE_DATA_DIR',
      `the data directory ${dataDir} cannot be used (${errnoOf(error) ?? String(error)})`,
      { mend: 'Choose another with --data DIR, or give this user permission.', cause: error },
    )
  }
}

/**
 * Opens `path`, a device or an image. NODE_NO_VOLUME when there is nothing and `create` is not set;
 * DEVICE_BUSY, FS_FOREIGN and the rest as the rooms below throw them.
 */
export async function openStorage(path: string, options: StorageOptions): Promise<Storage> {
  const isNew = !existsSync(path)
  if (isNew && options.create !== true) throw noVolume(path)
  const file = isNew
    ? await openFileDevice(path, {
        create: { bytes: options.imageBytes ?? (await imageBytesFor(dirname(path))) },
      })
    : await openFileDevice(path, { readOnly: options.readOnly === true, exclusive: true })
  const device = new LoggedDevice(file)
  let log: AccessLogWriter | undefined
  let created = false
  try {
    // Making a volume wipes the far end of its device, which would rule the picture: not noted.
    log = await beginLog(options, file.sizeBytes)
    created = await ensureFormatted(device, options)
    device.log = log
    const volume = await mountVolume(device, {
      clock: options.clock,
      random: options.random,
      readOnly: options.readOnly === true,
      ...(options.onFailure === undefined ? {} : { onFailure: options.onFailure }),
      ...(file.isBlockDevice ? {} : { spareBytes: () => freeBytesOf(dirname(path)) }),
    })
    return { path, volume, logged: device, created, fileCreated: isNew }
  } catch (error) {
    await device.close()
    await log?.close()
    if (isNew) await unlink(path)
    throw error
  }
}

async function beginLog(
  { accessLog, clock }: StorageOptions,
  deviceBytes: number,
): Promise<AccessLogWriter | undefined> {
  if (accessLog === undefined) return undefined
  const { path, onFailure } = accessLog
  return AccessLogWriter.create(path, { clock, deviceBytes, onFailure })
}

/** Closes; an image that was made for a run that could not start goes again. */
export async function discardNewStorage(storage: Storage): Promise<void> {
  await storage.volume.close()
  if (storage.fileCreated) await unlink(storage.path)
}

/**
 * Gives a volume that is not mounted all of its device, or of its image, which is first extended to
 * `imageBytes`. DEVICE_KIND or DEVICE_RANGE when it cannot be; else as openStorage and growVolume throw.
 */
export async function growStorage(path: string, imageBytes?: number): Promise<GrowReport> {
  if (!existsSync(path)) throw noVolume(path)
  const device = await openFileDevice(path)
  try {
    // Looked at first: a file that holds something else is not made larger.
    refuseOther(device.label, await probe(device))
    if (imageBytes !== undefined) await device.extend(imageBytes)
    return await growVolume(device)
  } finally {
    await device.close()
  }
}

async function ensureFormatted(device: BlockDevice, options: StorageOptions): Promise<boolean> {
  const found = await probe(device)
  if (found.kind === 'blank' && options.create === true && !device.readOnly) {
    await formatVolume(device, {
      clock: options.clock,
      random: options.random,
      label: options.label ?? '',
    })
    return true
  }
  refuseOther(device.label, found)
  return false
}

function refuseOther(label: string, found: ProbeResult): void {
  if (found.kind === 'seedbed') return
  if (found.kind === 'blank') {
    throw nodeError('NODE_NO_VOLUME', `${label} holds no seedbed volume`, {
      mend: `Make one with \`seedbed mkfs ${label}\`.`,
    })
  }
  const what = found.kind === 'foreign' ? found.what : 'data that is not known here'
  throw new SeedbedError('FS_FOREIGN', `${label} holds something else: ${what}`, {
    mend: `If it may be erased, run \`seedbed mkfs --force ${label}\`.`,
  })
}

function noVolume(path: string): SeedbedError {
  return nodeError('NODE_NO_VOLUME', `${path} does not exist`, {
    mend: `Make it with \`seedbed mkfs ${path}\`, or name another with --device or --data.`,
  })
}

/** Room for what the disk beneath can hold today, or `shares` alike; sparse, so it costs nothing until used. NODE_NO_VOLUME. */
export async function imageBytesFor(directory: string, shares = 1): Promise<number> {
  const { bavail, bsize } = await statfs(directory).catch((cause: unknown) => {
    throw nodeError(
      'NODE_NO_VOLUME',
      `no image can be made in ${directory} (${errnoOf(cause) ?? String(cause)})`,
      { mend: 'Make that folder, or name another place with --device or --data.', cause },
    )
  })
  const bytes = Math.floor((bavail * bsize) / shares / GIB) * GIB
  return Math.min(Math.max(bytes, IMAGE_BYTES_MIN), IMAGE_BYTES_MAX)
}

/** NODE_NO_SPACE when the disk beneath an image could not take `bytes` more. Devices have their own. */
export async function checkRoomBeneath(path: string, bytes: number): Promise<void> {
  if ((await stat(path)).isFile()) await checkRoom(dirname(path), bytes)
}

function freeBytesOf(directory: string): number {
  try {
    const { bavail, bsize } = statfsSync(directory)
    return bavail * bsize
  } catch {
    // Gone: what is written will say so.
    return 0
  }
}

/** NODE_NO_SPACE when the disk of `directory` has less than `bytes` free. */
export async function checkRoom(directory: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory)
  if (bavail * bsize >= bytes) return
  throw nodeError(
    'NODE_NO_SPACE',
    `the disk of ${directory} has ${bavail * bsize} bytes free, ${bytes} are needed`,
    { mend: 'Free some space there, or choose a place on another disk.' },
  )
}
