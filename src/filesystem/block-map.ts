/**
 * Where each block of a torrent lies on the device; 0 = not allocated, FILLER = nowhere, reads as zeros.
 * Sparse by segments: one for an ordinary torrent, one a continuation for a large one.
 *
 * Invariants: `allocated` is the number of entries that are places; `known` counts filler too.
 */
import type { Extent } from './types.ts'

/** No device has as many blocks: see BLOCKS_MAX. */
export const FILLER: number = 2 ** 32 - 1

export class BlockMap {
  readonly blocks: number
  readonly segmentBlocks: number
  readonly #segments: (Uint32Array | undefined)[]
  #allocated = 0
  #filler = 0

  constructor(blocks: number, segmentBlocks: number) {
    this.blocks = blocks
    this.segmentBlocks = segmentBlocks
    this.#segments = new Array(Math.ceil(blocks / segmentBlocks))
  }

  get allocated(): number {
    return this.#allocated
  }

  /** Entries that are not 0. */
  get known(): number {
    return this.#allocated + this.#filler
  }

  get(block: number): number {
    const segment = Math.floor(block / this.segmentBlocks)
    return this.#segments[segment]?.[block - segment * this.segmentBlocks] ?? 0
  }

  /** Entries go from 0 to a block, or to filler, once. */
  set(block: number, place: number): void {
    const index = Math.floor(block / this.segmentBlocks)
    let segment = this.#segments[index]
    if (segment === undefined) {
      const first = index * this.segmentBlocks
      segment = new Uint32Array(Math.min(this.segmentBlocks, this.blocks - first))
      this.#segments[index] = segment
    }
    segment[block - index * this.segmentBlocks] = place
    if (place === FILLER) this.#filler++
    else this.#allocated++
  }

  /** The blocks that lie wholly within filler are no blocks of the device. */
  setFiller(
    ranges: readonly { readonly offset: number; readonly bytes: number }[],
    blockBytes: number,
    totalBytes: number,
  ): void {
    let from = 0
    let to = 0
    const end = (): void => {
      const last = to === totalBytes ? this.blocks : Math.floor(to / blockBytes)
      for (let block = Math.ceil(from / blockBytes); block < last; block++) this.set(block, FILLER)
    }
    for (const { offset, bytes } of ranges) {
      if (offset !== to) {
        end()
        from = offset
      }
      to = offset + bytes
    }
    end()
  }

  /** True when something of the segment may be allocated. */
  segmentInUse(segment: number): boolean {
    return this.#segments[segment] !== undefined
  }

  /** Neighbours in the torrent that are neighbours on the device, ascending. */
  *extents(): Generator<Extent> {
    let block = 0
    let place = 0
    let blocks = 0
    for (const [index, segment] of this.#segments.entries()) {
      if (segment === undefined) continue
      const first = index * this.segmentBlocks
      for (let i = 0; i < segment.length; i++) {
        const here = segment[i]!
        if (here === 0 || here === FILLER) continue
        if (blocks > 0 && first + i === block + blocks && here === place + blocks) {
          blocks++
          continue
        }
        if (blocks > 0) yield { block, place, blocks }
        block = first + i
        place = here
        blocks = 1
      }
    }
    if (blocks > 0) yield { block, place, blocks }
  }

  /** Places of all allocated blocks. */
  *places(): Generator<number> {
    for (const segment of this.#segments) {
      if (segment === undefined) continue
      for (const place of segment) if (place !== 0 && place !== FILLER) yield place
    }
  }
}
