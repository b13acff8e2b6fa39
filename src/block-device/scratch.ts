/**
 * Memory for what is read, looked at, and over: lent for that time, and used again. Ten thousand notes that are read one after the
 * other would otherwise each have memory of its own, which is collected late, and between what stays.
 *
 * Invariants: what is lent begins on a page and is at least as long as was asked for; what is kept while nobody needs it is at most `keep`
 * pieces of `KEPT_BYTES`.
 */
import { allocateAligned } from './aligned.ts'

/** An ordinary info dictionary with room to spare; what is larger is for once. */
const KEPT_BYTES = 128 * 1024

export class Scratch {
  readonly #keep: number
  readonly #free: Uint8Array[] = []

  constructor(keep: number) {
    this.#keep = keep
  }

  /** Lends `use` that much memory, of unknown content, until what it returns has settled. */
  async lend<T>(bytes: number, use: (memory: Uint8Array) => Promise<T>): Promise<T> {
    if (bytes > KEPT_BYTES) return use(allocateAligned(bytes))
    const memory = this.#free.pop() ?? allocateAligned(KEPT_BYTES)
    try {
      return await use(memory)
    } finally {
      if (this.#free.length < this.#keep) this.#free.push(memory)
    }
  }
}
