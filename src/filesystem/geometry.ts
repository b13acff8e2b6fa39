/** The sizes of a volume, and where things lie that follow from them alone. */
import { readId, readU16, readU32, writeId, writeU16, writeU32 } from './little-endian.ts'
import { TRAILER_BYTES } from './sector.ts'

export const BLOCK_BYTES_MIN = 65_536
export const BLOCK_BYTES_MAX: number = 16 * 1024 * 1024
export const BLOCK_BYTES_DEFAULT: number = 4 * 1024 * 1024
export const SECTOR_SIZES: readonly number[] = [512, 4096]
export const CLASS_MAX = 12
export const REFERENCE_BYTES = 16
/** Root, a slab for the i-node, a slab for its info record, and one block of data. */
export const BLOCKS_MIN = 4
export const BLOCKS_MAX: number = 2 ** 32 - 1

/** `slabClass` is 0 to CLASS_MAX. */
export function slotBytes(slabClass: number): number {
  return 1024 << slabClass
}

/** Where an i-node, a continuation or a part of an info record lies, and the owner it must name. */
export interface Reference {
  readonly block: number
  readonly slot: number
  readonly slabClass: number
  readonly id: bigint
}

export function readReference(bytes: Uint8Array, at: number): Reference | undefined {
  const block = readU32(bytes, at)
  if (block === 0) return undefined
  return {
    block,
    slot: readU16(bytes, at + 4),
    slabClass: bytes[at + 6]!,
    id: readId(bytes, at + 8),
  }
}

export function writeReference(
  bytes: Uint8Array,
  at: number,
  reference: Reference | undefined,
): void {
  bytes.fill(0, at, at + REFERENCE_BYTES)
  if (reference === undefined) return
  writeU32(bytes, at, reference.block)
  writeU16(bytes, at + 4, reference.slot)
  bytes[at + 6] = reference.slabClass
  writeId(bytes, at + 8, reference.id)
}

export class Geometry {
  readonly blockBytes: number
  readonly sectorBytes: number
  #blockCount: number
  /** What a metadata sector carries. */
  readonly payloadBytes: number
  /** Slab classes that hold a twin and fit a block. */
  readonly classMin: number
  readonly classMax: number
  readonly rootTwins: number
  readonly referencesPerSector: number

  constructor(blockBytes: number, sectorBytes: number, blockCount: number) {
    this.blockBytes = blockBytes
    this.sectorBytes = sectorBytes
    this.#blockCount = blockCount
    this.payloadBytes = sectorBytes - TRAILER_BYTES
    this.classMin = Math.max(0, Math.log2((2 * sectorBytes) / 1024))
    this.classMax = Math.min(CLASS_MAX, Math.log2(blockBytes / 1024))
    this.rootTwins = blockBytes / sectorBytes / 2 - 1
    this.referencesPerSector = Math.floor(this.payloadBytes / REFERENCE_BYTES)
  }

  /** Grows only, also while mounted. */
  get blockCount(): number {
    return this.#blockCount
  }

  grow(blockCount: number): void {
    this.#blockCount = blockCount
  }

  get torrentsMax(): number {
    return this.rootTwins * this.referencesPerSector
  }

  slotsPerBlock(slabClass: number): number {
    return this.blockBytes / slotBytes(slabClass)
  }

  placeOf(reference: Reference): number {
    return reference.block * this.blockBytes + reference.slot * slotBytes(reference.slabClass)
  }

  /** False for a reference that no implementation can have written. */
  plausible(reference: Reference): boolean {
    const { block, slot, slabClass, id } = reference
    return (
      block > 0 &&
      block < this.blockCount &&
      slabClass >= this.classMin &&
      slabClass <= this.classMax &&
      slot < this.slotsPerBlock(slabClass) &&
      id !== 0n
    )
  }

  /** The smallest usable class with slots of `bytes`, or undefined when the largest is too small. */
  classFor(bytes: number): number | undefined {
    for (let slabClass = this.classMin; slabClass <= this.classMax; slabClass++) {
      if (slotBytes(slabClass) >= bytes) return slabClass
    }
    return undefined
  }
}

export function isBlockBytes(bytes: number): boolean {
  return bytes >= BLOCK_BYTES_MIN && bytes <= BLOCK_BYTES_MAX && Number.isInteger(Math.log2(bytes))
}
