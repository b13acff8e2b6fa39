/** The volume header: the twin that begins and ends block 0. Layout: docs/internals/format.md, "Header". */
import type { BlockDevice } from '../block-device/index.ts'
import { allocateAligned } from '../block-device/index.ts'
import { fsError } from './errors.ts'
import {
  BLOCK_BYTES_MAX,
  BLOCK_BYTES_MIN,
  BLOCKS_MAX,
  Geometry,
  isBlockBytes,
  SECTOR_SIZES,
} from './geometry.ts'
import { readU32, readU64, writeU32, writeU64 } from './little-endian.ts'
import { KIND_HEADER, NO_OWNER, Sealer } from './sector.ts'

export const FORMAT_VERSION = 1
export const LABEL_BYTES = 64
const MAGIC = new Uint8Array([0x53, 0x45, 0x45, 0x44, 0x42, 0x45, 0x44, 0])
const FLAG_CLEAN = 1

export interface Header {
  readonly formatVersion: number
  readonly compatible: number
  readonly readOnlyCompatible: number
  readonly incompatible: number
  readonly uuid: Uint8Array
  readonly blockBytes: number
  readonly sectorBytes: number
  readonly deviceBytes: number
  readonly blockCount: number
  readonly cursor: number
  readonly createdAtMs: number
  /** A hint: nothing depends on it. */
  readonly clean: boolean
  readonly label: string
}

export interface HeaderCopy {
  readonly place: number
  readonly generation: number
  readonly header: Header
}

/** What was found at both places; `current` is the better of them. */
export interface FoundHeader {
  readonly current: HeaderCopy
  readonly first: HeaderCopy | undefined
  readonly last: HeaderCopy | undefined
}

export function encodeHeader(sector: Uint8Array, header: Header): void {
  sector.fill(0)
  sector.set(MAGIC)
  writeU32(sector, 8, header.formatVersion)
  writeU32(sector, 12, header.compatible)
  writeU32(sector, 16, header.readOnlyCompatible)
  writeU32(sector, 20, header.incompatible)
  sector.set(header.uuid, 24)
  writeU32(sector, 40, header.blockBytes)
  writeU32(sector, 44, header.sectorBytes)
  writeU64(sector, 48, header.deviceBytes)
  writeU32(sector, 56, header.blockCount)
  writeU32(sector, 60, header.cursor)
  writeU64(sector, 64, header.createdAtMs)
  writeU32(sector, 72, header.clean ? FLAG_CLEAN : 0)
  sector.set(new TextEncoder().encode(header.label).subarray(0, LABEL_BYTES), 80)
}

/** Looks for a volume. Undefined: there is none. Throws FS_NEWER_FORMAT, FS_CORRUPT, and what reads throw. */
export async function findHeader(device: BlockDevice): Promise<FoundHeader | undefined> {
  const first = await readCopy(device, 0)
  if (first !== undefined) {
    const { blockBytes, sectorBytes } = first.header
    const last = await readCopy(device, blockBytes - sectorBytes, first.header)
    return last !== undefined && ((last.generation - first.generation) | 0) > 0
      ? { current: last, first, last }
      : { current: first, first, last }
  }
  for (let bytes = BLOCK_BYTES_MIN; bytes <= BLOCK_BYTES_MAX; bytes *= 2) {
    for (const sectorBytes of SECTOR_SIZES) {
      const last = await readCopy(device, bytes - sectorBytes, { blockBytes: bytes, sectorBytes })
      if (last !== undefined) return { current: last, first: undefined, last }
    }
  }
  return undefined
}

async function readCopy(
  device: BlockDevice,
  place: number,
  expected?: Pick<Header, 'blockBytes' | 'sectorBytes'> & { readonly uuid?: Uint8Array },
): Promise<HeaderCopy | undefined> {
  const bytes = Math.max(device.sectorBytes, expected?.sectorBytes ?? 4096)
  if (place % device.sectorBytes !== 0 || place + bytes > device.sizeBytes) return undefined
  const sector = allocateAligned(bytes)
  try {
    await device.read(place, sector)
  } catch (error) {
    // An unreadable copy is a rotten one, as long as the other is there.
    if (expected === undefined || expected.uuid !== undefined) return undefined
    throw error
  }
  if (!MAGIC.every((byte, i) => sector[i] === byte)) return undefined
  const sectorBytes = readU32(sector, 44)
  if (!SECTOR_SIZES.includes(sectorBytes) || sectorBytes > bytes) return undefined
  const uuid = sector.slice(24, 40)
  const sealer = new Sealer(uuid, sectorBytes)
  if (!sealer.valid(sector, 0, place, KIND_HEADER, NO_OWNER)) return undefined
  const header = decodeHeader(sector, uuid, device.label)
  if (expected !== undefined) {
    if (header.blockBytes !== expected.blockBytes) return undefined
    if (header.sectorBytes !== expected.sectorBytes) return undefined
    if (expected.uuid?.every((byte, i) => uuid[i] === byte) === false) return undefined
  }
  return { place, generation: sealer.generation(sector, 0), header }
}

function decodeHeader(sector: Uint8Array, uuid: Uint8Array, device: string): Header {
  const formatVersion = readU32(sector, 8)
  const incompatible = readU32(sector, 20)
  if (formatVersion !== FORMAT_VERSION || incompatible !== 0) {
    throw fsError(
      'FS_NEWER_FORMAT',
      `${device} has format version ${formatVersion} with features ${incompatible}; this seedbed knows version ${FORMAT_VERSION}`,
      { mend: 'Use a newer seedbed.' },
    )
  }
  const label = sector.subarray(80, 80 + LABEL_BYTES)
  const end = label.indexOf(0)
  const header: Header = {
    formatVersion,
    compatible: readU32(sector, 12),
    readOnlyCompatible: readU32(sector, 16),
    incompatible,
    uuid,
    blockBytes: readU32(sector, 40),
    sectorBytes: readU32(sector, 44),
    deviceBytes: readU64(sector, 48),
    blockCount: readU32(sector, 56),
    cursor: readU32(sector, 60),
    createdAtMs: readU64(sector, 64),
    clean: (readU32(sector, 72) & FLAG_CLEAN) !== 0,
    label: new TextDecoder().decode(label.slice(0, end === -1 ? LABEL_BYTES : end)),
  }
  const { blockBytes, deviceBytes, blockCount } = header
  const sound =
    isBlockBytes(blockBytes) &&
    Number.isSafeInteger(deviceBytes) &&
    blockCount > 0 &&
    blockCount <= BLOCKS_MAX &&
    blockCount === Math.floor(deviceBytes / blockBytes)
  if (!sound) throw fsError('FS_CORRUPT', `${device}: the header contradicts itself`)
  return header
}

/** Throws FS_SECTOR or FS_DEVICE_SHRUNK when the volume cannot be used on this device. */
export function refuseMisfit(device: BlockDevice, header: Header): void {
  if (device.sectorBytes > header.sectorBytes) {
    throw fsError(
      'FS_SECTOR',
      `${device.label} has sectors of ${device.sectorBytes} bytes, the volume metadata sectors of ${header.sectorBytes}`,
      { mend: 'Open the image without direct I/O, or copy it to a volume made on this device.' },
    )
  }
  if (device.sizeBytes < header.blockCount * header.blockBytes) {
    throw fsError(
      'FS_DEVICE_SHRUNK',
      `${device.label} has ${device.sizeBytes} bytes, the volume was made for ${header.deviceBytes}`,
      { mend: 'Restore the device or image to its size; a volume cannot lose its end.' },
    )
  }
}

export function geometryOf(header: Header): Geometry {
  return new Geometry(header.blockBytes, header.sectorBytes, header.blockCount)
}

export function formatUuid(uuid: Uint8Array): string {
  const hex = Buffer.from(uuid).toString('hex')
  return [8, 12, 16, 20, 32].map((end, i) => hex.slice([0, 8, 12, 16, 20][i], end)).join('-')
}
