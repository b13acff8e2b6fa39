/**
 * The runs of extents (geometry.ts) that a picker has begun: an extent of one of them goes before all others, so that what lies
 * together on the disk is written together.
 *
 * Invariant: runs are kept in the order of their beginning, and forgotten when the next begins and nothing of them is open.
 */
import type { Bitfield } from '../base/index.ts'
import { type Geometry, RUN_STRIPES } from './geometry.ts'
import type { RarityIndex } from './rarity.ts'

interface Run {
  readonly first: number
  readonly end: number
}

const NONE = -1

export class Runs {
  /** The extent begun, or finished, last: among equally rare ones its neighbour is the next. */
  last = -2
  readonly #geometry: Geometry
  readonly #rarity: RarityIndex
  /** The disk does not keep up: runs are long, and go upwards. */
  readonly #isMemoryShort: () => boolean
  #runs: Run[] = []

  constructor(geometry: Geometry, rarity: RarityIndex, isMemoryShort: () => boolean) {
    this.#geometry = geometry
    this.#rarity = rarity
    this.#isMemoryShort = isMemoryShort
  }

  isBegun(extent: number): boolean {
    return this.#runs.some(({ first, end }) => extent >= first && extent < end)
  }

  /**
   * An extent of the first run that was begun and has something of this, or -1: the next behind the one
   * begun last, so that the disk can begin to write the run; or where the disk keeps up, the rarest.
   */
  choose(has: Bitfield): number {
    const inOrder = this.#isMemoryShort()
    for (const { first, end } of this.#runs) {
      const isInside = this.last >= first && this.last < end
      let best = NONE
      let extent = isInside ? this.last : first
      for (let i = first; i < end; i++) {
        const isBetter = best === NONE || (!inOrder && this.#rarity.isRarer(extent, best))
        if (isBetter && this.#rarity.isOpen(extent) && this.#rarity.isOffered(has, extent))
          best = extent
        extent = extent + 1 === end ? first : extent + 1
      }
      if (best !== NONE) return best
    }
    return NONE
  }

  /** An extent is about to be begun, and its run with it. */
  begin(extent: number): void {
    this.#runs = this.#runs.filter((run) => this.#openOf(run) > 0)
    if (this.isBegun(extent)) return
    const geometry = this.#geometry
    const stripes = this.#isMemoryShort() ? RUN_STRIPES : geometry.shortRunStripes
    const run = geometry.runOf(extent, stripes)
    let first = extent
    while (first > 0 && geometry.runOf(first - 1, stripes) === run) first--
    let end = extent + 1
    while (end < geometry.extentCount && geometry.runOf(end, stripes) === run) end++
    this.#runs.push({ first, end })
  }

  /** Extents to be begun until a run that was begun is in progress as a whole; Infinity when none was. */
  get left(): number {
    let least = Number.POSITIVE_INFINITY
    for (const run of this.#runs) {
      const open = this.#openOf(run)
      if (open > 0) least = Math.min(least, open)
    }
    return least
  }

  #openOf({ first, end }: Run): number {
    let open = 0
    for (let extent = first; extent < end; extent++) if (this.#rarity.isOpen(extent)) open++
    return open
  }
}
