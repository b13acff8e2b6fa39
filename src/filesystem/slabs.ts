/**
 * Slots of 13 sizes, cut from filesystem blocks. Lowest block, lowest slot first, so that i-nodes
 * gather in few blocks; an empty slab block goes back to the allocator.
 *
 * Invariants: a slab block has one class and at least one slot in use; a slot is given out at most once
 * until it is freed.
 */
import { assert } from '../base/index.ts'
import type { Allocator } from './allocator.ts'
import { type Geometry, type Reference, slotBytes } from './geometry.ts'
import type { SlabStats } from './types.ts'

type Slot = Omit<Reference, 'id'>

interface SlabBlock {
  readonly slabClass: number
  readonly slots: Uint8Array
  used: number
}

export class Slabs {
  readonly #geometry: Geometry
  readonly #allocator: Allocator
  readonly #blocks = new Map<number, SlabBlock>()
  /** For each class the blocks that have a free slot, ascending. */
  readonly #open: number[][] = []

  constructor(geometry: Geometry, allocator: Allocator) {
    this.#geometry = geometry
    this.#allocator = allocator
    for (let slabClass = 0; slabClass <= geometry.classMax; slabClass++) this.#open.push([])
  }

  /** Slab blocks. */
  get blockCount(): number {
    return this.#blocks.size
  }

  classOf(block: number): number | undefined {
    return this.#blocks.get(block)?.slabClass
  }

  /** A free slot, or undefined when the volume is full. */
  allocate(slabClass: number): Slot | undefined {
    const open = this.#open[slabClass]!
    let block = open[0]
    if (block === undefined) {
      block = this.#allocator.allocate('metadata')
      if (block === 0) return undefined
      this.#add(block, slabClass)
    }
    const slot = this.#blocks.get(block)!.slots.indexOf(0)
    assert(slot !== -1, `slab block ${block} is listed as open but full`)
    this.#use(block, slot)
    return { block, slot, slabClass }
  }

  /** Takes a certain slot at mount: false when it, or its block in another role, is taken already. */
  claim({ block, slot, slabClass }: Slot): boolean {
    const known = this.#blocks.get(block)
    if (known === undefined) {
      if (!this.#allocator.take(block)) return false
      this.#add(block, slabClass)
    } else if (known.slabClass !== slabClass || known.slots[slot] !== 0) return false
    this.#use(block, slot)
    return true
  }

  /** The block itself when this was its last slot and it is free now, else 0. */
  free({ block, slot, slabClass }: Slot): number {
    const slab = this.#blocks.get(block)
    assert(slab !== undefined && slab.slots[slot] === 1, `slot ${slot} of ${block} is not in use`)
    const open = this.#open[slabClass]!
    if (slab.used === slab.slots.length) insertSorted(open, block)
    slab.slots[slot] = 0
    slab.used--
    if (slab.used > 0) return 0
    open.splice(open.indexOf(block), 1)
    this.#blocks.delete(block)
    this.#allocator.free(block)
    return block
  }

  /** Classes with a block, ascending. */
  stats(): SlabStats[] {
    const found: { slotBytes: number; blocks: number; slots: number; usedSlots: number }[] = []
    for (const { slabClass, slots, used } of this.#blocks.values()) {
      found[slabClass] ??= { slotBytes: slotBytes(slabClass), blocks: 0, slots: 0, usedSlots: 0 }
      const sum = found[slabClass]
      sum.blocks++
      sum.slots += slots.length
      sum.usedSlots += used
    }
    return found.filter((sum) => sum !== undefined)
  }

  #add(block: number, slabClass: number): void {
    const slots = new Uint8Array(this.#geometry.slotsPerBlock(slabClass))
    this.#blocks.set(block, { slabClass, slots, used: 0 })
    insertSorted(this.#open[slabClass]!, block)
  }

  #use(block: number, slot: number): void {
    const slab = this.#blocks.get(block)!
    slab.slots[slot] = 1
    slab.used++
    if (slab.used < slab.slots.length) return
    const open = this.#open[slab.slabClass]!
    open.splice(open.indexOf(block), 1)
  }
}

function insertSorted(list: number[], value: number): void {
  let at = list.length
  while (at > 0 && list[at - 1]! > value) at--
  list.splice(at, 0, value)
}
