/**
 * The room of a mounted volume: blocks and slots are taken here, given back here, and counted here.
 *
 * Invariants:
 * - a block or slot is free only when nothing durable refers to it: who frees says so;
 * - `promisedBlocks` is what the torrents in being may still come to need: with it, two downloads are
 *   not both sent to a device that has room for one.
 */
import { assert, type Random } from '../base/index.ts'
import type { BlockDevice } from '../block-device/index.ts'
import type { Allocator } from './allocator.ts'
import type { BlockMap } from './block-map.ts'
import { Discards } from './discards.ts'
import { fsError } from './errors.ts'
import type { Geometry, Reference } from './geometry.ts'
import { infoClasses } from './info-record.ts'
import { type Identity, Inode, type MapSlot, makeMapSlot } from './inode.ts'
import type { MapLayout } from './layout.ts'
import { placeBlock, RUN_BYTES } from './placement.ts'
import type { Slabs } from './slabs.ts'
import type { AllocatorStats } from './types.ts'

export class Space {
  /** Blocks that torrents have not taken yet but may; negative never. */
  promisedBlocks = 0
  readonly #label: string
  readonly #geometry: Geometry
  readonly #allocator: Allocator
  readonly #slabs: Slabs
  readonly #discards: Discards
  readonly #random: Random

  constructor(
    device: BlockDevice,
    geometry: Geometry,
    allocator: Allocator,
    slabs: Slabs,
    random: Random,
  ) {
    this.#label = device.label
    this.#geometry = geometry
    this.#allocator = allocator
    this.#slabs = slabs
    this.#discards = new Discards(device, geometry, allocator)
    this.#random = random
  }

  get freeBlocks(): number {
    return this.#allocator.freeBlocks + this.#discards.blocksInFlight
  }

  /** Root block and slab blocks. */
  get metadataBlocks(): number {
    return 1 + this.#slabs.blockCount
  }

  /** Where a sequential allocator goes on. */
  get cursor(): number {
    return this.#allocator.cursor
  }

  stats(): AllocatorStats {
    const { kind, cursor, freeBlocks } = this.#allocator
    let freeExtents = 0
    let largestFreeExtentBlocks = 0
    for (const { blocks } of this.#allocator.freeExtents()) {
      freeExtents++
      largestFreeExtentBlocks = Math.max(largestFreeExtentBlocks, blocks)
    }
    const slabs = this.#slabs.stats()
    return { kind, cursor, freeBlocks, freeExtents, largestFreeExtentBlocks, slabs }
  }

  /** A place for a torrent's block, noted in its map. Waits for discards when the rest is taken. FS_FULL. */
  async allocateData(map: BlockMap, block: number): Promise<number> {
    const runBlocks = Math.max(1, RUN_BYTES / this.#geometry.blockBytes)
    for (;;) {
      const place = placeBlock(this.#allocator, map, block, runBlocks)
      if (place !== 0) return place
      await this.#waitForRoom()
    }
  }

  /**
   * Takes all slots that a new i-node needs, or none; `fill` gives it its map, by which the
   * continuations are known. FS_FULL.
   */
  async takeInode(
    layout: MapLayout,
    identity: Omit<Identity, 'info'>,
    fill: (inode: Inode) => void,
  ): Promise<Inode> {
    const geometry = this.#geometry
    const taken: Reference[] = []
    const take = async (slabClass: number, id: bigint): Promise<Reference> => {
      const reference = await this.#takeSlot(slabClass, id)
      taken.push(reference)
      return reference
    }
    try {
      const head = await take(layout.slabClass, this.#newId())
      const { infoBytes, attributesBytes, layersBytes } = identity
      const info = await this.takeRecord(infoBytes + attributesBytes + layersBytes)
      taken.push(...info)
      const inode = new Inode(geometry, layout, head, { ...identity, info })
      fill(inode)
      for (let span = 0; span < layout.spans; span++) {
        if (!inode.map.segmentInUse(span)) continue
        const reference = await take(geometry.classMax, this.#newId())
        inode.spans[span] = makeMapSlot(geometry, span, reference, layout.spanTwins)
      }
      return inode
    } catch (error) {
      for (const reference of taken) this.#slabs.free(reference)
      throw error
    }
  }

  /** The chain of a new info record: all of its slots, or none. FS_FULL. */
  async takeRecord(bytes: number): Promise<Reference[]> {
    const chain: Reference[] = []
    const id = this.#newId()
    try {
      for (const slabClass of infoClasses(this.#geometry, bytes)) {
        chain.push(await this.#takeSlot(slabClass, id))
      }
      return chain
    } catch (error) {
      for (const reference of chain) this.#slabs.free(reference)
      throw error
    }
  }

  /** The slot of a new continuation; undefined when somebody else made it meanwhile. FS_FULL. */
  async takeSpan(inode: Inode, span: number): Promise<MapSlot | undefined> {
    while (inode.spans[span] === undefined) {
      const slot = this.#slabs.allocate(this.#geometry.classMax)
      if (slot === undefined) await this.#waitForRoom()
      else {
        const reference = { ...slot, id: this.#newId() }
        const made = makeMapSlot(this.#geometry, span, reference, inode.layout.spanTwins)
        inode.spans[span] = made
        return made
      }
    }
    return undefined
  }

  freeBlock(block: number): void {
    this.#allocator.free(block)
    this.#discards.add(block)
  }

  /** Gives back all that a torrent used. */
  release(inode: Inode): void {
    for (const place of inode.map.places()) this.freeBlock(place)
    const slots = [...inode.info]
    for (const slot of inode.slots()) slots.push(slot.reference)
    this.freeSlots(slots)
  }

  freeSlots(slots: readonly Reference[]): void {
    for (const reference of slots) {
      const emptied = this.#slabs.free(reference)
      if (emptied !== 0) this.#discards.add(emptied)
    }
  }

  /** Begins to tell the device what is free. */
  startDiscards(): void {
    this.#discards.start()
  }

  discardsSettled(): Promise<void> {
    return this.#discards.settled()
  }

  /** The volume has become larger, durably: what it gained is free. */
  grow(blockCount: number): void {
    assert(blockCount > this.#geometry.blockCount, 'a volume does not become smaller')
    this.#geometry.grow(blockCount)
    this.#allocator.grow(blockCount)
  }

  async #takeSlot(slabClass: number, id: bigint): Promise<Reference> {
    for (;;) {
      const slot = this.#slabs.allocate(slabClass)
      if (slot !== undefined) return { ...slot, id }
      await this.#waitForRoom()
    }
  }

  async #waitForRoom(): Promise<void> {
    if (this.#discards.blocksInFlight > 0) return this.#discards.settled()
    throw fsError('FS_FULL', `${this.#label} has no free filesystem block`, {
      mend: 'Remove torrents, or make the device larger (`seedbed grow`).',
    })
  }

  #newId(): bigint {
    for (;;) {
      const id = BigInt(this.#random.uint32()) * 2n ** 32n + BigInt(this.#random.uint32())
      if (id !== 0n) return id
    }
  }
}
