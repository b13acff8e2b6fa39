/** Mounts a volume. The steps are those of docs/internals/format.md, "Mount". */
import type { BlockDevice } from '../block-device/index.ts'
import { fsError } from './errors.ts'
import { findHeader } from './header.ts'
import { scanVolume } from './scan.ts'
import type { MountedVolume, MountOptions } from './types.ts'
import { MountedFilesystem } from './volume.ts'

/**
 * The volume owns the device from then on: closing it closes the device. When mounting fails the
 * device is as open as it was.
 *
 * @throws FS_FOREIGN, FS_NEWER_FORMAT, FS_CORRUPT, FS_DEVICE_SHRUNK, FS_SECTOR, FS_READ_ONLY
 */
export async function mountVolume(
  device: BlockDevice,
  options: MountOptions,
): Promise<MountedVolume> {
  const readOnly = options.readOnly ?? device.readOnly
  if (device.readOnly && !readOnly) {
    throw fsError('FS_READ_ONLY', `${device.label} is open for reading only`)
  }
  const found = await findHeader(device)
  if (found === undefined) {
    throw fsError('FS_FOREIGN', `${device.label} holds no seedbed volume`, {
      mend: 'Make one with mkfs; it destroys what is on the device.',
    })
  }
  if (!readOnly && found.current.header.readOnlyCompatible !== 0) {
    throw fsError('FS_NEWER_FORMAT', `${device.label} has features that allow reading only`, {
      mend: 'Mount it read-only, or use a newer seedbed.',
    })
  }
  const scan = await scanVolume(
    device,
    found,
    options.allocator ?? 'sequential',
    options.onProgress,
  )
  if (!readOnly && scan.root.lost.length > 0) {
    throw fsError(
      'FS_CORRUPT',
      `${device.label}: ${scan.root.lost.length} sectors of the root list are lost, and with them which blocks are in use`,
      { mend: 'Mount it read-only and copy what is there.' },
    )
  }
  const volume = new MountedFilesystem(device, scan, options, readOnly)
  if (!readOnly) await volume.begin()
  return volume
}
