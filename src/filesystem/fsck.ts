/**
 * Checks a volume that is not mounted, and mends what can be mended without losing anything: sectors
 * of which one copy is good, removals that were cut in half, and have-bits without blocks.
 */
import { toHex } from '../base/index.ts'
import { allocateAligned, type BlockDevice, Scratch } from '../block-device/index.ts'
import { fsError } from './errors.ts'
import { encodeHeader, findHeader } from './header.ts'
import { matchesInfoHash, readInfoRecord } from './info-record.ts'
import { MetadataWriter, type TwinUpdate, twinUpdate } from './metadata-writer.ts'
import { type Scan, scanVolume } from './scan.ts'
import { KIND_HEADER, KIND_ROOT, NO_OWNER } from './sector.ts'
import type { FsckOptions, FsckReport, Problem } from './types.ts'

/** @throws FS_FOREIGN, FS_NEWER_FORMAT, FS_CORRUPT, FS_DEVICE_SHRUNK, FS_SECTOR: nothing to check at all */
export async function fsck(device: BlockDevice, options: FsckOptions = {}): Promise<FsckReport> {
  const found = await findHeader(device)
  if (found === undefined) {
    throw fsError('FS_FOREIGN', `${device.label} holds no seedbed volume`)
  }
  const scan = await scanVolume(device, found, 'ordered', options.onProgress)
  const problems: Problem[] = [...headerProblems(scan), ...scan.problems]
  for (const twin of scan.root.halfRemoved) {
    problems.push({
      check: 'half-removed',
      severity: 'notice',
      what: 'a removal was cut between its two writes; the torrent is removed',
      place: scan.root.region.placeOf(twin, 0),
      repair: 'write the second copy; loses nothing',
    })
  }
  if (options.infoRecords ?? true) problems.push(...(await infoProblems(device, scan)))
  const corrected = options.repair === true ? await repair(device, scan) : 0
  const { allocator, slabs, geometry } = scan
  const metadataBlocks = 1 + slabs.blockCount
  const bad = problems.filter((problem) => problem.severity !== 'notice')
  const mended =
    options.repair === true ? bad.filter((problem) => problem.repair !== undefined) : []
  return {
    clean: bad.length === 0,
    problems,
    corrected,
    uncorrected: bad.length - mended.length,
    torrents: scan.inodes.size - [...scan.refused.keys()].filter((i) => scan.inodes.has(i)).length,
    refusedTorrents: scan.refused.size,
    totalBlocks: geometry.blockCount,
    freeBlocks: allocator.freeBlocks,
    dataBlocks: geometry.blockCount - allocator.freeBlocks - metadataBlocks,
    metadataBlocks,
  }
}

function headerProblems(scan: Scan): Problem[] {
  const { first, last } = scan.header
  if (first !== undefined && last !== undefined) return []
  return [
    {
      check: 'header',
      severity: 'notice',
      what: `the ${first === undefined ? 'first' : 'last'} copy of the header is not valid, the other is used`,
      place: first === undefined ? 0 : scan.geometry.blockBytes - scan.geometry.sectorBytes,
      repair: 'write it again from the other copy; loses nothing',
    },
  ]
}

async function infoProblems(device: BlockDevice, scan: Scan): Promise<Problem[]> {
  const problems: Problem[] = []
  const { geometry, sealer } = scan
  const scratch = new Scratch(1)
  for (const [index, inode] of scan.inodes) {
    if (scan.refused.has(index)) continue
    let what: string | undefined
    try {
      const record = new Uint8Array(inode.recordBytes)
      await readInfoRecord(device, geometry, sealer, inode.info, record, scratch)
      if (!matchesInfoHash(record.subarray(0, inode.infoBytes), inode.infoHash)) {
        what = 'the info dictionary does not match the info-hash'
      }
    } catch (error) {
      what = error instanceof Error ? error.message : String(error)
    }
    if (what === undefined) continue
    const place = scan.geometry.placeOf(inode.info[0]!)
    problems.push({
      check: 'info record',
      severity: 'error',
      what,
      place,
      infoHash: toHex(inode.infoHash),
    })
  }
  return problems
}

/** The number of problems mended. Flushes before, because what is copied must be durable itself. */
async function repair(device: BlockDevice, scan: Scan): Promise<number> {
  const { geometry, sealer, header } = scan
  const writer = new MetadataWriter(device, geometry, sealer)
  await writer.barrier('mount')
  const { first, current } = header
  let corrected = 0
  if (first === undefined || header.last === undefined) {
    const sector = allocateAligned(geometry.sectorBytes)
    const place = first === undefined ? 0 : geometry.blockBytes - geometry.sectorBytes
    encodeHeader(sector, current.header)
    sealer.seal(sector, 0, place, KIND_HEADER, NO_OWNER, current.generation)
    await writer.guard(() => device.write(place, sector))
    corrected++
  }
  for (const { place, goodPlace, kind, owner } of scan.rotten) {
    const sector = allocateAligned(geometry.sectorBytes)
    await device.read(goodPlace, sector)
    sealer.seal(sector, 0, place, kind, owner, sealer.generation(sector, 0))
    await writer.guard(() => device.write(place, sector))
    corrected++
  }
  for (const twin of scan.root.halfRemoved) {
    const region = scan.root.region
    const sector = allocateAligned(geometry.sectorBytes)
    await device.read(region.placeOf(twin, region.currentOf(twin)), sector)
    const place = region.nextPlace(twin)
    sealer.seal(sector, 0, place, KIND_ROOT, NO_OWNER, region.nextGeneration(twin))
    await writer.guard(() => device.write(place, sector))
    corrected++
  }
  await writer.barrier('mount')
  const updates: TwinUpdate[] = []
  for (const index of scan.droppedBits.keys()) {
    const inode = scan.inodes.get(index)!
    if (scan.refused.has(index)) continue
    corrected++
    for (const slot of inode.slots()) {
      for (let twin = 0; twin < slot.region.twins; twin++) {
        updates.push(twinUpdate(geometry, inode, slot, twin))
      }
    }
  }
  await writer.write(writer.capture(updates))
  await writer.barrier('mount')
  return corrected
}
