/** What is on a device: looked up by the marks that other systems leave, as wipefs(8) does. */
import { allocateAligned, type BlockDevice } from '../block-device/index.ts'
import { findHeader, formatUuid } from './header.ts'
import type { ProbeResult } from './types.ts'

interface Mark {
  readonly what: string
  readonly at: number
  readonly bytes: string | readonly number[]
}

const HEAD_BYTES = 1024 * 1024

const MARKS: readonly Mark[] = [
  { what: 'LUKS', at: 0, bytes: [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe] },
  { what: 'LVM2', at: 512 + 24, bytes: 'LVM2 001' },
  { what: 'LVM2', at: 24, bytes: 'LVM2 001' },
  { what: 'a GUID partition table', at: 512, bytes: 'EFI PART' },
  { what: 'a GUID partition table', at: 4096, bytes: 'EFI PART' },
  { what: 'XFS', at: 0, bytes: 'XFSB' },
  { what: 'ext2/3/4', at: 1080, bytes: [0x53, 0xef] },
  { what: 'btrfs', at: 65_600, bytes: '_BHRfS_M' },
  { what: 'NTFS', at: 3, bytes: 'NTFS    ' },
  { what: 'exFAT', at: 3, bytes: 'EXFAT   ' },
  { what: 'FAT', at: 82, bytes: 'FAT32   ' },
  { what: 'FAT', at: 54, bytes: 'FAT1' },
  { what: 'swap space', at: 4086, bytes: 'SWAPSPACE2' },
  { what: 'a Linux RAID member', at: 4096, bytes: [0xfc, 0x4e, 0x2b, 0xa9] },
  { what: 'a Linux RAID member', at: 0, bytes: [0xfc, 0x4e, 0x2b, 0xa9] },
  { what: 'APFS', at: 32, bytes: 'NXSB' },
  { what: 'HFS+', at: 1024, bytes: 'H+' },
  { what: 'HFS+', at: 1024, bytes: 'HX' },
  { what: 'ISO 9660', at: 32_769, bytes: 'CD001' },
  { what: 'squashfs', at: 0, bytes: 'hsqs' },
  { what: 'f2fs', at: 1024, bytes: [0x10, 0x20, 0xf5, 0xf2] },
  { what: 'bcache', at: 4096 + 24, bytes: [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca] },
]

/** The uberblock of ZFS lies somewhere in 128 slots behind this, in either byte order. */
const ZFS_UBERBLOCKS = 131_072
const ZFS_MAGIC: readonly (readonly number[])[] = [
  [0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0],
  [0, 0, 0, 0, 0, 0xba, 0xb1, 0x0c],
]

/** Reads the beginning of the device; changes nothing. Throws FS_NEWER_FORMAT and FS_CORRUPT of a seedbed volume. */
export async function probe(device: BlockDevice): Promise<ProbeResult> {
  const found = await findHeader(device)
  const head = allocateAligned(Math.min(HEAD_BYTES, device.sizeBytes))
  await device.read(0, head)
  const foreign = foreignMark(head)
  // A header copy at the end of block 0 outlives another system's mkfs; what is in front decides.
  if (found !== undefined && (found.first !== undefined || foreign === undefined)) {
    const { uuid, label } = found.current.header
    return { kind: 'seedbed', uuid: formatUuid(uuid), label }
  }
  if (foreign !== undefined) return { kind: 'foreign', what: foreign }
  return { kind: head.every((byte) => byte === 0) ? 'blank' : 'unknown' }
}

function foreignMark(head: Uint8Array): string | undefined {
  for (const { what, at, bytes } of MARKS) {
    if (matches(head, at, typeof bytes === 'string' ? [...Buffer.from(bytes)] : bytes)) return what
  }
  for (let at = ZFS_UBERBLOCKS; at < 2 * ZFS_UBERBLOCKS; at += 1024) {
    if (ZFS_MAGIC.some((magic) => matches(head, at, magic))) return 'ZFS'
  }
  // Last: boot sectors of filesystems carry it too.
  return matches(head, 510, [0x55, 0xaa]) ? 'a partition table (MBR)' : undefined
}

function matches(head: Uint8Array, at: number, bytes: readonly number[]): boolean {
  return at + bytes.length <= head.length && bytes.every((byte, i) => head[at + i] === byte)
}
