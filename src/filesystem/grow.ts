/**
 * Lets a volume have all of a device that became larger. The order of writes is in
 * docs/internals/format.md, "Orders of writes".
 *
 * Invariants:
 * - at any moment one copy of the header is whole, and says the old size or the new one;
 * - when this resolves both say the new one, so that rot of either later on loses no block.
 */
import type { BlockDevice } from '../block-device/index.ts'
import { fsError } from './errors.ts'
import { BLOCKS_MAX } from './geometry.ts'
import { findHeader, geometryOf, refuseMisfit } from './header.ts'
import { HeaderTwin } from './header-twin.ts'
import { MetadataWriter } from './metadata-writer.ts'
import { wipeTail } from './mkfs.ts'
import { Sealer } from './sector.ts'
import type { GrowOptions, GrowReport } from './types.ts'

/**
 * For a volume that is not mounted (a mounted one has `grow` of its own); the device stays open. Without
 * room for one more block nothing is written. What the new part of the device held is lost.
 *
 * @throws FS_FOREIGN, FS_NEWER_FORMAT, FS_CORRUPT, FS_DEVICE_SHRUNK, FS_SECTOR, FS_READ_ONLY, FS_GEOMETRY
 */
export async function growVolume(
  device: BlockDevice,
  options: GrowOptions = {},
): Promise<GrowReport> {
  if (device.readOnly) {
    throw fsError('FS_READ_ONLY', `${device.label} is open for reading only`)
  }
  const found = await findHeader(device)
  if (found === undefined) throw fsError('FS_FOREIGN', `${device.label} holds no seedbed volume`)
  const { header } = found.current
  refuseMisfit(device, header)
  if (header.readOnlyCompatible !== 0) {
    throw fsError('FS_NEWER_FORMAT', `${device.label} has features that allow reading only`, {
      mend: 'Use a newer seedbed.',
    })
  }
  const sealer = new Sealer(header.uuid, header.sectorBytes)
  const writer = new MetadataWriter(device, geometryOf(header), sealer, options.onBarrier)
  return growHeader(writer, new HeaderTwin(found))
}

/**
 * Writes that the volume has all of its device. Nothing of what it gained may be used before this has
 * resolved. A gain that cannot be written to is refused before anything has changed.
 *
 * @throws FS_GEOMETRY, FS_FAILED, and what a write to the new part throws
 */
export async function growHeader(writer: MetadataWriter, twin: HeaderTwin): Promise<GrowReport> {
  const { device } = writer
  const { blockBytes, blockCount: blocksBefore } = twin.header
  const deviceBytes = device.sizeBytes
  const blocksAfter = Math.floor(deviceBytes / blockBytes)
  if (blocksAfter > BLOCKS_MAX) {
    throw fsError('FS_GEOMETRY', `${blocksAfter} blocks do not fit 32-bit block numbers`, {
      mend: 'Make a new volume with larger blocks.',
    })
  }
  if (blocksAfter <= blocksBefore) return { blockBytes, blocksBefore, blocksAfter: blocksBefore }
  await wipeTail(device, blocksBefore * blockBytes)
  // The header that was read may still be in a cache only, and what is wiped is not to come back.
  await writer.barrier('grow')
  twin.set({ deviceBytes, blockCount: blocksAfter })
  for (let copy = 0; copy < 2; copy++) {
    await writer.write(writer.capture([twin.update()]))
    await writer.barrier('grow')
  }
  return { blockBytes, blocksBefore, blocksAfter }
}
