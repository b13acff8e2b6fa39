/**
 * Size and sectors of a raw block device. Linux tells both in /sys/dev/block/MAJOR:MINOR (a partition
 * has its `queue` at the disk above it); elsewhere the end is found by bisecting with reads.
 */
import { readFileSync, readSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { allocateAligned } from './aligned.ts'
import { systemError } from './errors.ts'
import { numbersOf } from './holder.ts'

export interface RawGeometry {
  readonly sizeBytes: number
  readonly sectorBytes: number
  readonly physicalSectorBytes: number
}

/** The kernel counts the size of every device in these, whatever its sector. */
const KERNEL_SECTOR = 512
const PROBE_BYTES = 4096

export function rawGeometry(path: string, fd: number, rdev: number): RawGeometry {
  if (process.platform !== 'linux') {
    return {
      sizeBytes: bisectSize(fd),
      sectorBytes: PROBE_BYTES,
      physicalSectorBytes: PROBE_BYTES,
    }
  }
  try {
    const folder = realpathSync(`/sys/dev/block/${numbersOf(rdev)}`)
    const number = (name: string): number | undefined => readNumber(join(folder, name))
    const queue = (name: string): number | undefined =>
      number(`queue/${name}`) ?? number(`../queue/${name}`)
    const sectorBytes = queue('logical_block_size') ?? KERNEL_SECTOR
    return {
      sizeBytes: (number('size') ?? 0) * KERNEL_SECTOR,
      sectorBytes,
      physicalSectorBytes: Math.max(sectorBytes, queue('physical_block_size') ?? sectorBytes),
    }
  } catch (error) {
    throw systemError('measure', path, error)
  }
}

function readNumber(path: string): number | undefined {
  try {
    const value = Number(readFileSync(path, 'latin1').trim())
    return Number.isSafeInteger(value) ? value : undefined
  } catch {
    return undefined
  }
}

function bisectSize(fd: number): number {
  const buffer = allocateAligned(PROBE_BYTES)
  const readable = (unit: number): boolean => {
    try {
      return readSync(fd, buffer, 0, PROBE_BYTES, unit * PROBE_BYTES) === PROBE_BYTES
    } catch {
      return false
    }
  }
  if (!readable(0)) return 0
  let inside = 0
  let outside = 1
  while (outside < 2 ** 41 && readable(outside)) {
    inside = outside
    outside *= 2
  }
  while (outside - inside > 1) {
    const middle = Math.floor((inside + outside) / 2)
    if (readable(middle)) inside = middle
    else outside = middle
  }
  return outside * PROBE_BYTES
}
