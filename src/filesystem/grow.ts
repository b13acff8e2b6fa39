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
import { encodeHeader, findHeader, geometryOf, type Header, refuseMisfit } from './header.ts'
import { MetadataWriter, type TwinUpdate } from './metadata-writer.ts'
import { wipeTail } from './mkfs.ts'
import { KIND_HEADER, NO_OWNER, Sealer } from './sector.ts'
import { TwinRegion } from './twins.ts'
import type { GrowOptions, GrowReport } from './types.ts'

/**
 * The volume must not be mounted; the device stays open. Without room for one more block nothing is
 * written. What the new part of the device held is lost.
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
  const { header, generation } = found.current
  refuseMisfit(device, header)
  if (header.readOnlyCompatible !== 0) {
    throw fsError('FS_NEWER_FORMAT', `${device.label} has features that allow reading only`, {
      mend: 'Use a newer seedbed.',
    })
  }
  const { blockBytes, sectorBytes } = header
  const blocksBefore = header.blockCount
  const blocksAfter = Math.floor(device.sizeBytes / blockBytes)
  if (blocksAfter > BLOCKS_MAX) {
    throw fsError('FS_GEOMETRY', `${blocksAfter} blocks do not fit 32-bit block numbers`, {
      mend: 'Make a new volume with larger blocks.',
    })
  }
  if (blocksAfter === blocksBefore) return { blockBytes, blocksBefore, blocksAfter }

  const grown: Header = { ...header, deviceBytes: device.sizeBytes, blockCount: blocksAfter }
  const sealer = new Sealer(header.uuid, sectorBytes)
  const writer = new MetadataWriter(device, geometryOf(grown), sealer, options.onBarrier)
  const region = new TwinRegion(0, blockBytes - sectorBytes, 1, sectorBytes)
  region.set(0, found.current === found.first ? 0 : 1, generation)
  const update: TwinUpdate = {
    region,
    twin: 0,
    kind: KIND_HEADER,
    owner: NO_OWNER,
    encode: (memory, from) => encodeHeader(memory.subarray(from, from + sectorBytes), grown),
  }
  await writer.guard(() => wipeTail(device, blocksBefore * blockBytes))
  // The header that was read may still be in a cache only, and what is wiped is not to come back.
  await writer.barrier('grow')
  for (let copy = 0; copy < 2; copy++) {
    await writer.write(writer.capture([update]))
    await writer.barrier('grow')
  }
  return { blockBytes, blocksBefore, blocksAfter }
}
