/**
 * A region of twins as memory knows it: which copy of each is current, and its generation. See
 * format.md, "Twins".
 *
 * Invariant: the current copy is never written; the next update goes to the other one.
 */
import type { Sealer } from './sector.ts'

export class TwinRegion {
  /** Device byte at which copy A of twin 0 lies; copy B is `stride` behind. */
  readonly place: number
  readonly stride: number
  readonly twins: number
  readonly #sectorBytes: number
  readonly #generations: Uint32Array
  readonly #current: Uint8Array

  /** `stride` is the distance between the copies. All twins as fresh: both copies at generation 1. */
  constructor(place: number, stride: number, twins: number, sectorBytes: number) {
    this.place = place
    this.stride = stride
    this.twins = twins
    this.#sectorBytes = sectorBytes
    this.#generations = new Uint32Array(twins).fill(1)
    this.#current = new Uint8Array(twins)
  }

  placeOf(twin: number, copy: number): number {
    return this.place + twin * this.#sectorBytes + copy * this.stride
  }

  currentOf(twin: number): number {
    return this.#current[twin]!
  }

  generationOf(twin: number): number {
    return this.#generations[twin]!
  }

  nextPlace(twin: number): number {
    return this.placeOf(twin, 1 - this.#current[twin]!)
  }

  nextGeneration(twin: number): number {
    return (this.#generations[twin]! + 1) >>> 0
  }

  /** The update of `twin` is on the device. */
  advance(twin: number): void {
    this.#generations[twin] = this.nextGeneration(twin)
    this.#current[twin] = 1 - this.#current[twin]!
  }

  /** What was found on the device. */
  set(twin: number, copy: number, generation: number): void {
    this.#current[twin] = copy
    this.#generations[twin] = generation
  }
}

export interface TwinChoice {
  /** The current copy, or undefined when neither is valid. */
  readonly copy: 0 | 1 | undefined
  /** The other copy is valid as well. */
  readonly both: boolean
}

/**
 * Chooses the current copy of a twin among two sectors in memory, and notes it in the region.
 * `at` gives the offset of each copy in `memory`, `base` the device place of memory's start.
 */
export function chooseTwin(
  sealer: Sealer,
  memory: Uint8Array,
  at: readonly [number, number],
  region: TwinRegion,
  twin: number,
  kind: number,
  owner: bigint,
): TwinChoice {
  const valid = (copy: 0 | 1): boolean =>
    sealer.valid(memory, at[copy], region.placeOf(twin, copy), kind, owner)
  const first = valid(0)
  const last = valid(1)
  if (!first && !last) return { copy: undefined, both: false }
  const generations = [sealer.generation(memory, at[0]), sealer.generation(memory, at[1])] as const
  const copy = !first || (last && ((generations[1] - generations[0]) | 0) > 0) ? 1 : 0
  region.set(twin, copy, generations[copy])
  return { copy, both: first && last }
}
