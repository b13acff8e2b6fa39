/**
 * The root list of a mounted volume: which i-nodes there are. Entry `i` is in twin floor(i / references
 * per sector); see docs/internals/format.md, "Block 0".
 *
 * Invariant: an entry is set here before its twin is written, and the twin's other copy is brought up
 * to date before long (`behind`), so that one rotten sector costs no torrent.
 */
import { type Geometry, REFERENCE_BYTES, type Reference, writeReference } from './geometry.ts'
import type { TwinUpdate } from './metadata-writer.ts'
import { KIND_ROOT, NO_OWNER } from './sector.ts'
import type { TwinRegion } from './twins.ts'

export class RootList {
  /** Twins of which only one copy says what is the case. */
  readonly behind: Set<number>
  readonly #geometry: Geometry
  readonly #region: TwinRegion
  readonly #entries: (Reference | undefined)[]

  constructor(
    geometry: Geometry,
    region: TwinRegion,
    entries: (Reference | undefined)[],
    behind: Iterable<number>,
  ) {
    this.#geometry = geometry
    this.#region = region
    this.#entries = entries
    this.behind = new Set(behind)
  }

  /** The lowest free entry, or -1. */
  freeEntry(): number {
    return this.#entries.indexOf(undefined)
  }

  set(index: number, reference: Reference | undefined): void {
    this.#entries[index] = reference
  }

  twinOf(index: number): number {
    return Math.floor(index / this.#geometry.referencesPerSector)
  }

  update(twin: number): TwinUpdate {
    const { payloadBytes, referencesPerSector } = this.#geometry
    return {
      region: this.#region,
      twin,
      kind: KIND_ROOT,
      owner: NO_OWNER,
      encode: (memory, from) => {
        memory.fill(0, from, from + payloadBytes)
        for (let i = 0; i < referencesPerSector; i++) {
          const reference = this.#entries[twin * referencesPerSector + i]
          writeReference(memory, from + i * REFERENCE_BYTES, reference)
        }
      },
    }
  }

  /** Updates that bring the other copies up to date; forgets that they were behind. */
  catchUp(): TwinUpdate[] {
    const updates = [...this.behind].map((twin) => this.update(twin))
    this.behind.clear()
    return updates
  }
}
