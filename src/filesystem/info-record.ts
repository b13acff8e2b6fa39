/**
 * The info record: info dictionary, attributes and piece layers, in a chain of slots, written once. Layout:
 * docs/internals/format.md, "Info record".
 */
import { createHash } from 'node:crypto'
import { bytesEqual } from '../base/index.ts'
import { allocateAligned, type BlockDevice, type Scratch } from '../block-device/index.ts'
import { fsError } from './errors.ts'
import {
  type Geometry,
  REFERENCE_BYTES,
  type Reference,
  readReference,
  slotBytes,
  writeReference,
} from './geometry.ts'
import { KIND_INFO, type Sealer } from './sector.ts'

/** What a record holds, in this order. */
export interface InfoRecord {
  readonly infoBytes: Uint8Array
  readonly attributes: Uint8Array
  readonly layers: Uint8Array
}

export function recordBytes({ infoBytes, attributes, layers }: InfoRecord): number {
  return infoBytes.length + attributes.length + layers.length
}

/** Bytes of a record that a slot of `slabClass` carries. */
export function infoCapacity(geometry: Geometry, slabClass: number): number {
  return (slotBytes(slabClass) / geometry.sectorBytes) * geometry.payloadBytes - REFERENCE_BYTES
}

/** Slab classes of the chain for `bytes`: full slots of the largest class, then the smallest that fits. */
export function infoClasses(geometry: Geometry, bytes: number): number[] {
  const classes: number[] = []
  const largest = infoCapacity(geometry, geometry.classMax)
  let rest = bytes
  for (; rest > largest; rest -= largest) classes.push(geometry.classMax)
  let slabClass = geometry.classMin
  while (infoCapacity(geometry, slabClass) < rest) slabClass++
  classes.push(slabClass)
  return classes
}

/** Writes the record into its slots; the caller flushes. */
export async function writeInfoRecord(
  device: BlockDevice,
  geometry: Geometry,
  sealer: Sealer,
  chain: readonly Reference[],
  { infoBytes, attributes, layers }: InfoRecord,
): Promise<void> {
  const { sectorBytes, payloadBytes } = geometry
  const record = Buffer.concat([infoBytes, attributes, layers])
  const total = record.length
  let done = 0
  for (const [i, reference] of chain.entries()) {
    const carried = Math.min(infoCapacity(geometry, reference.slabClass), total - done)
    const sectors = Math.max(1, Math.ceil((carried + REFERENCE_BYTES) / payloadBytes))
    const memory = allocateAligned(sectors * sectorBytes)
    const place = geometry.placeOf(reference)
    writeReference(memory, 0, chain[i + 1])
    const end = done + carried
    for (let sector = 0; sector < sectors; sector++) {
      const from = sector * sectorBytes
      const start = sector === 0 ? REFERENCE_BYTES : 0
      const count = Math.min(payloadBytes - start, end - done)
      memory.set(record.subarray(done, done + count), from + start)
      done += count
      sealer.seal(memory, from, place + from, KIND_INFO, reference.id, 1)
    }
    await device.write(place, memory)
  }
}

/** Reads the record's first bytes, as many as `record` is long. Throws FS_INFO_ROTTEN when a sector of them is not valid. */
export async function readInfoRecord(
  device: BlockDevice,
  geometry: Geometry,
  sealer: Sealer,
  chain: readonly Reference[],
  record: Uint8Array,
  scratch: Scratch,
): Promise<void> {
  const { payloadBytes, sectorBytes } = geometry
  let done = 0
  for (const reference of chain) {
    if (done === record.length) break
    const carried = Math.min(infoCapacity(geometry, reference.slabClass), record.length - done)
    const bytes = Math.max(1, Math.ceil((carried + REFERENCE_BYTES) / payloadBytes)) * sectorBytes
    const rest = record.subarray(done, done + carried)
    await scratch.lend(bytes, (memory) =>
      readSlot(device, geometry, sealer, reference, rest, memory.subarray(0, bytes)),
    )
    done += carried
  }
}

/** Reads what one slot carries of a record, by way of `memory`: whole sectors. */
async function readSlot(
  device: BlockDevice,
  geometry: Geometry,
  sealer: Sealer,
  reference: Reference,
  record: Uint8Array,
  memory: Uint8Array,
): Promise<void> {
  const { sectorBytes, payloadBytes } = geometry
  const place = geometry.placeOf(reference)
  await device.read(place, memory)
  let done = 0
  for (let from = 0; from < memory.length; from += sectorBytes) {
    if (!sealer.valid(memory, from, place + from, KIND_INFO, reference.id)) {
      throw fsError('FS_INFO_ROTTEN', `info record sector at byte ${place + from} is damaged`, {
        mend: 'Remove the torrent and add it again from its .torrent file; its data can be checked and kept.',
      })
    }
    const start = from === 0 ? REFERENCE_BYTES : 0
    const end = Math.min(payloadBytes, start + record.length - done)
    record.set(memory.subarray(from + start, from + end), done)
    done += end - start
  }
}

/** The reference that the first sector of a slot of the chain holds, or null when it is damaged. */
export async function readNextOfChain(
  device: BlockDevice,
  geometry: Geometry,
  sealer: Sealer,
  reference: Reference,
): Promise<Reference | undefined | null> {
  const sector = allocateAligned(geometry.sectorBytes)
  const place = geometry.placeOf(reference)
  await device.read(place, sector)
  if (!sealer.valid(sector, 0, place, KIND_INFO, reference.id)) return null
  return readReference(sector, 0)
}

/** BEP 3: SHA-1; BEP 52: a torrent with v2 data only goes by the first 20 bytes of its SHA-256. */
export function matchesInfoHash(infoBytes: Uint8Array, infoHash: Uint8Array): boolean {
  const sha1 = createHash('sha1').update(infoBytes).digest()
  if (bytesEqual(sha1, infoHash)) return true
  return bytesEqual(createHash('sha256').update(infoBytes).digest().subarray(0, 20), infoHash)
}
