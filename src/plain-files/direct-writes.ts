/**
 * Whether what is written to files goes past the page cache: whole blocks, which nobody will read soon, as to a raw
 * device. A disk that spins gets them as they come, not when the kernel finds that too many pages are dirty, and
 * bytes are not copied once more.
 *
 * Invariants: a filesystem that refuses is not asked again; what it refused is written as ever, so nothing is lost; large
 * writes go in one after the other (src/block-device/turnstile.ts), and two at most are under way: ext4 lets one write to
 * a file at a time, and who waits there is served in any order.
 */
import { constants } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { type Clock, errnoOf } from '../base/index.ts'
import { isAligned, Turnstile } from '../block-device/index.ts'
import { writeAll } from './durable.ts'

/** Multiples of it are good for every filesystem. */
const ALIGNMENT = 4096
/** Less is gathered by the page cache, and better so. */
export const LEAST_DIRECT_BYTES: number = 1024 * 1024

const UNDER_WAY = 2

export class DirectWrites {
  readonly #turnstile: Turnstile
  #refused = constants.O_DIRECT === undefined

  constructor(clock: Clock) {
    this.#turnstile = new Turnstile(clock, UNDER_WAY)
  }

  /** How many of the first bytes of `source` can go to `offset` of a file past the page cache. */
  bytesOf(source: Uint8Array, offset: number): number {
    if (this.#refused || source.length < LEAST_DIRECT_BYTES) return 0
    if (offset % ALIGNMENT !== 0 || !isAligned(source, ALIGNMENT)) return 0
    return source.length - (source.length % ALIGNMENT)
  }

  /** Writes to a file that `withFile` has opened for it; false when the filesystem does not do that. */
  async write(
    source: Uint8Array,
    offset: number,
    withFile: (action: (file: FileHandle) => Promise<void>) => Promise<void>,
  ): Promise<boolean> {
    try {
      await withFile((file) =>
        this.#turnstile.pass(source.length, () => writeAll(file, source, offset)),
      )
      return true
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined
      if (errnoOf(cause ?? error) !== 'EINVAL') throw error
      this.#refused = true
      return false
    }
  }
}
