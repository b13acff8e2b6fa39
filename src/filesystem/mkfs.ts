/** Makes a volume. */
import { allocateAligned, type BlockDevice } from '../block-device/index.ts'
import { fsError } from './errors.ts'
import {
  BLOCK_BYTES_DEFAULT,
  BLOCK_BYTES_MAX,
  BLOCK_BYTES_MIN,
  BLOCKS_MAX,
  BLOCKS_MIN,
  Geometry,
  isBlockBytes,
  SECTOR_SIZES,
} from './geometry.ts'
import { encodeHeader, FORMAT_VERSION, type Header, LABEL_BYTES } from './header.ts'
import { probe } from './probe.ts'
import { KIND_HEADER, KIND_ROOT, NO_OWNER, Sealer } from './sector.ts'
import { TwinRegion } from './twins.ts'
import type { FormatOptions } from './types.ts'

const WIPE_BYTES = 1024 * 1024

/**
 * Writes an empty volume over the whole device, which stays open. Order: what was there is wiped and
 * the root list written, then the last header copy, then the first, so that a volume cut in the making is none.
 *
 * @throws FS_FOREIGN (without `force`, when the device is not blank), FS_GEOMETRY, FS_TOO_SMALL
 */
export async function formatVolume(device: BlockDevice, options: FormatOptions): Promise<void> {
  const header = plan(device, options)
  if (options.force !== true) await refuseOccupied(device)
  const { blockBytes, sectorBytes } = header
  const geometry = new Geometry(blockBytes, sectorBytes, header.blockCount)
  const sealer = new Sealer(header.uuid, sectorBytes)
  const flush = async (): Promise<void> => {
    options.onBarrier?.('mkfs')
    await device.flush()
  }

  const block = allocateAligned(blockBytes)
  const root = new TwinRegion(
    sectorBytes,
    geometry.rootTwins * sectorBytes,
    geometry.rootTwins,
    sectorBytes,
  )
  for (let twin = 0; twin < geometry.rootTwins; twin++) {
    for (const copy of [0, 1]) {
      const place = root.placeOf(twin, copy)
      sealer.seal(block, place, place, KIND_ROOT, NO_OWNER, 1)
    }
  }
  // Sector 0 and the last are zero in this write: until the headers follow there is no volume.
  await device.write(0, block)
  await wipe(device, blockBytes)
  await flush()
  for (const place of [blockBytes - sectorBytes, 0]) {
    const sector = allocateAligned(sectorBytes)
    encodeHeader(sector, header)
    sealer.seal(sector, 0, place, KIND_HEADER, NO_OWNER, 1)
    await device.write(place, sector)
    await flush()
  }
}

function plan(device: BlockDevice, options: FormatOptions): Header {
  const physical = device.physicalSectorBytes ?? device.sectorBytes
  const {
    blockBytes = BLOCK_BYTES_DEFAULT,
    sectorBytes = physical > 512 ? 4096 : 512,
    label = '',
  } = options
  if (!isBlockBytes(blockBytes)) {
    throw fsError('FS_GEOMETRY', `${blockBytes} is not a power of two from 64 KiB to 16 MiB`, {
      mend: 'Choose a block size such as 1MiB or 4MiB.',
    })
  }
  if (!SECTOR_SIZES.includes(sectorBytes) || sectorBytes < device.sectorBytes) {
    throw fsError(
      'FS_GEOMETRY',
      `metadata sectors of ${sectorBytes} bytes on a device with sectors of ${device.sectorBytes}`,
    )
  }
  if (new TextEncoder().encode(label).length > LABEL_BYTES) {
    throw fsError('FS_GEOMETRY', `the label has more than ${LABEL_BYTES} bytes`)
  }
  const blockCount = Math.floor(device.sizeBytes / blockBytes)
  if (blockCount < BLOCKS_MIN) {
    throw fsError('FS_TOO_SMALL', `${device.label} has room for ${blockCount} filesystem blocks`, {
      mend: `Use a device of at least ${BLOCKS_MIN * blockBytes} bytes, or smaller blocks.`,
    })
  }
  if (blockCount > BLOCKS_MAX) {
    throw fsError('FS_GEOMETRY', `${blockCount} blocks do not fit 32-bit block numbers`, {
      mend: 'Use larger blocks.',
    })
  }
  const uuid = new Uint8Array(16)
  options.random.fill(uuid)
  // RFC 9562, version 4.
  uuid[6] = (uuid[6]! & 0x0f) | 0x40
  uuid[8] = (uuid[8]! & 0x3f) | 0x80
  return {
    formatVersion: FORMAT_VERSION,
    compatible: 0,
    readOnlyCompatible: 0,
    incompatible: 0,
    uuid,
    blockBytes,
    sectorBytes,
    deviceBytes: device.sizeBytes,
    blockCount,
    cursor: 1,
    createdAtMs: Math.max(0, Math.floor(options.clock.wallMs())),
    clean: true,
    label,
  }
}

async function refuseOccupied(device: BlockDevice): Promise<void> {
  const found = await probe(device)
  if (found.kind === 'blank') return
  const what =
    found.kind === 'seedbed'
      ? `a seedbed volume ${found.label === '' ? found.uuid : `"${found.label}"`}`
      : found.kind === 'foreign'
        ? found.what
        : 'data of an unknown kind'
  throw fsError('FS_FOREIGN', `${device.label} holds ${what}`, {
    mend: 'Look whether it is the right device; force destroys what is there.',
  })
}

/**
 * Zeros what other filesystems, partition tables and older volumes would be recognised by: the first
 * and last MiB, and the other places where a header copy could lie.
 */
async function wipe(device: BlockDevice, blockBytes: number): Promise<void> {
  const zeros = allocateAligned(WIPE_BYTES)
  const zero = async (from: number, to: number): Promise<void> => {
    const start = Math.max(from, blockBytes)
    const end = Math.min(to, device.sizeBytes)
    if (start < end) await device.write(start, zeros.subarray(0, end - start))
  }
  await zero(0, WIPE_BYTES)
  for (let bytes = BLOCK_BYTES_MIN; bytes <= BLOCK_BYTES_MAX; bytes *= 2) {
    await zero(bytes - 4096, bytes)
  }
  await wipeTail(device, blockBytes)
}

/** Zeros the last MiB, but nothing before `from`: where backup partition tables and RAID labels lie. */
export async function wipeTail(device: BlockDevice, from: number): Promise<void> {
  const start = Math.max(from, device.sizeBytes - WIPE_BYTES)
  if (start >= device.sizeBytes) return
  await device.write(start, allocateAligned(device.sizeBytes - start))
}
