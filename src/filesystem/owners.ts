/**
 * Which torrent owns which block and slot, as a scan finds it: every claim marks what it names as in use,
 * and what two claim is contested between all who claim it.
 */
import type { Allocator } from './allocator.ts'
import type { Reference } from './geometry.ts'
import type { Inode } from './inode.ts'
import type { Slabs } from './slabs.ts'

export class Owners {
  readonly #entries: readonly (Reference | undefined)[]
  readonly #inodes: ReadonlyMap<number, Inode>
  readonly #allocator: Allocator
  readonly #slabs: Slabs
  readonly #contested = new Set<number>()

  /** `entries` are those of the root list; `inodes` those that could be read, by index of their entry. */
  constructor(
    entries: readonly (Reference | undefined)[],
    inodes: ReadonlyMap<number, Inode>,
    allocator: Allocator,
    slabs: Slabs,
  ) {
    this.#entries = entries
    this.#inodes = inodes
    this.#allocator = allocator
    this.#slabs = slabs
  }

  /** Of the entries `order`, also of those whose i-node could not be read. */
  claimAll(order: readonly number[]): void {
    for (const index of order) {
      for (const slot of this.#slotsOf(index)) {
        if (!this.#slabs.claim(slot)) this.#contested.add(slot.block)
      }
    }
    for (const inode of this.#inodes.values()) {
      for (const block of inode.map.places()) {
        if (!this.#allocator.take(block)) this.#contested.add(block)
      }
    }
  }

  /** Torrents that claim a block which another claims as well, each with the first such block. */
  *wrong(): Generator<{ readonly index: number; readonly block: number }> {
    if (this.#contested.size === 0) return
    for (const [index, inode] of this.#inodes) {
      for (const block of this.#blocksOf(index, inode)) {
        if (!this.#contested.has(block) || this.#sharedRightly(index, inode, block)) continue
        yield { index, block }
        break
      }
    }
  }

  *#blocksOf(index: number, inode: Inode): Generator<number> {
    for (const { block } of this.#slotsOf(index)) yield block
    yield* inode.map.places()
  }

  /**
   * A contested slab block may hold many torrents, of which only those are in question whose slot is
   * wanted by another, or whose idea of the block differs from the slab's.
   */
  #sharedRightly(index: number, inode: Inode, block: number): boolean {
    for (const place of inode.map.places()) if (place === block) return false
    const own = this.#slotsOf(index).filter((slot) => slot.block === block)
    if (own.some((slot) => this.#slabs.classOf(block) !== slot.slabClass)) return false
    if (new Set(own.map((slot) => slot.slot)).size !== own.length) return false
    for (const [other, otherInode] of this.#inodes) {
      if (other === index) continue
      for (const place of otherInode.map.places()) if (place === block) return false
      for (const slot of this.#slotsOf(other)) {
        if (slot.block !== block) continue
        if (slot.slabClass !== own[0]?.slabClass) return false
        if (own.some((mine) => mine.slot === slot.slot)) return false
      }
    }
    return true
  }

  /** The i-node's own slot, those of its info record, and its continuations. */
  #slotsOf(index: number): Reference[] {
    const slots = [this.#entries[index]!]
    const inode = this.#inodes.get(index)
    if (inode === undefined) return slots
    slots.push(...inode.info)
    for (const span of inode.spans) if (span !== undefined) slots.push(span.reference)
    return slots
  }
}
