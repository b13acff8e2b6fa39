/**
 * The header of a volume that is being written to: what its newest copy says, and how the next one is
 * made. Both copies are a twin like any other; see docs/internals/format.md, "Header".
 */
import { encodeHeader, type FoundHeader, type Header } from './header.ts'
import type { TwinUpdate } from './metadata-writer.ts'
import { KIND_HEADER, NO_OWNER } from './sector.ts'
import { TwinRegion } from './twins.ts'

export class HeaderTwin {
  #header: Header
  readonly #region: TwinRegion

  constructor({ current, first }: FoundHeader) {
    this.#header = current.header
    const { blockBytes, sectorBytes } = current.header
    this.#region = new TwinRegion(0, blockBytes - sectorBytes, 1, sectorBytes)
    this.#region.set(0, current === first ? 0 : 1, current.generation)
  }

  get header(): Header {
    return this.#header
  }

  /** From now on the header says this as well. */
  set(changes: Partial<Header>): void {
    this.#header = { ...this.#header, ...changes }
  }

  /** The next copy, as the header is now. */
  update(): TwinUpdate {
    const header = this.#header
    return {
      region: this.#region,
      twin: 0,
      kind: KIND_HEADER,
      owner: NO_OWNER,
      encode: (memory, from) =>
        encodeHeader(memory.subarray(from, from + header.sectorBytes), header),
    }
  }
}
