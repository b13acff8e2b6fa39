/**
 * Where each block of a torrent lies on the device; 0 = not allocated. Sparse by segments: one for an
 * ordinary torrent, one a continuation for a large one.
 *
 * Invariant: `allocated` is the number of entries that are not 0.
 */
export class BlockMap {
  readonly blocks: number
  readonly segmentBlocks: number
  readonly #segments: (Uint32Array | undefined)[]
  #allocated = 0

  constructor(blocks: number, segmentBlocks: number) {
    this.blocks = blocks
    this.segmentBlocks = segmentBlocks
    this.#segments = new Array(Math.ceil(blocks / segmentBlocks))
  }

  get allocated(): number {
    return this.#allocated
  }

  get(block: number): number {
    const segment = Math.floor(block / this.segmentBlocks)
    return this.#segments[segment]?.[block - segment * this.segmentBlocks] ?? 0
  }

  /** Entries go from 0 to a block once. */
  set(block: number, place: number): void {
    const index = Math.floor(block / this.segmentBlocks)
    let segment = this.#segments[index]
    if (segment === undefined) {
      const first = index * this.segmentBlocks
      segment = new Uint32Array(Math.min(this.segmentBlocks, this.blocks - first))
      this.#segments[index] = segment
    }
    segment[block - index * this.segmentBlocks] = place
    this.#allocated++
  }

  /** True when something of the segment may be allocated. */
  segmentInUse(segment: number): boolean {
    return this.#segments[segment] !== undefined
  }

  /** Places of all allocated blocks. */
  *places(): Generator<number> {
    for (const segment of this.#segments) {
      if (segment === undefined) continue
      for (const place of segment) if (place !== 0) yield place
    }
  }
}
