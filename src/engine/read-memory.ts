/**
 * The memory that uploads are served from: slabs, each cut into cells of one size, because torrents are read in
 * blocks of several sizes (read-cache.ts) and memory that is made anew for each would be zeroed each time.
 *
 * ```
 * slab of 512 KiB      |   A   |   B   |       |   C   |        cells of 128 KiB, one of them free
 * slab of 512 KiB      |               D               |        one cell
 * slab of 512 KiB                                               empty: cut when somebody needs it
 * ```
 *
 * Invariants: at most `capacity` slabs are ever made; a cell has one holder, or is free; a slab without holders is empty
 * and may be cut anew, into cells of another size.
 */
import { assert } from '../base/index.ts'

interface Slab<Holder> {
  readonly memory: Uint8Array
  cellBytes: number
  free: Uint8Array[]
  readonly holders: Set<Holder>
}

export interface Cell<Holder> {
  readonly bytes: Uint8Array
  readonly slab: Slab<Holder>
}

export class ReadMemory<Holder> {
  readonly slabBytes: number
  readonly capacity: number
  readonly #allocate: (bytes: number) => Uint8Array
  readonly #empty: Slab<Holder>[] = []
  /** Slabs with free cells and holders, by size of cell. */
  readonly #roomy = new Map<number, Set<Slab<Holder>>>()
  #made = 0

  constructor(slabBytes: number, capacity: number, allocate: (bytes: number) => Uint8Array) {
    this.slabBytes = slabBytes
    this.capacity = capacity
    this.#allocate = allocate
  }

  /** Slabs made so far. */
  get made(): number {
    return this.#made
  }

  /** A cell of `bytes`, which divide the slab; undefined when there is none. */
  take(holder: Holder, bytes: number): Cell<Holder> | undefined {
    const slab = this.#slabWith(bytes)
    if (slab === undefined) return undefined
    const cell = slab.free.pop()!
    slab.holders.add(holder)
    if (slab.free.length === 0) this.#roomy.get(bytes)!.delete(slab)
    return { bytes: cell, slab }
  }

  give(holder: Holder, { bytes, slab }: Cell<Holder>): void {
    assert(slab.holders.delete(holder), 'a cell is given back by who does not hold it')
    slab.free.push(bytes)
    const roomy = this.#roomy.get(slab.cellBytes)!
    if (slab.holders.size > 0) roomy.add(slab)
    else {
      roomy.delete(slab)
      this.#empty.push(slab)
    }
  }

  /** A slab with free cells of that size. */
  #slabWith(bytes: number): Slab<Holder> | undefined {
    const [roomy] = this.#roomy.get(bytes) ?? []
    if (roomy !== undefined) return roomy
    const empty = this.#emptySlab()
    if (empty !== undefined) this.#cut(empty, bytes)
    return empty
  }

  #emptySlab(): Slab<Holder> | undefined {
    const empty = this.#empty.pop()
    if (empty !== undefined || this.#made >= this.capacity) return empty
    this.#made++
    const memory = this.#allocate(this.slabBytes)
    return { memory, cellBytes: 0, free: [], holders: new Set() }
  }

  #cut(slab: Slab<Holder>, bytes: number): void {
    if (slab.cellBytes !== bytes) {
      slab.cellBytes = bytes
      slab.free = []
      for (let at = this.slabBytes; at >= bytes; at -= bytes) {
        slab.free.push(slab.memory.subarray(at - bytes, at))
      }
    }
    let roomy = this.#roomy.get(bytes)
    if (roomy === undefined) {
      roomy = new Set()
      this.#roomy.set(bytes, roomy)
    }
    roomy.add(slab)
  }
}
