/**
 * Where pieces are hashed: handed in, like the clock and the network. `inlineHasher` does it in the call; the one of
 * node-hasher.ts in a thread, where that pays.
 *
 * ```
 * begin -> update -- done: more --> update ... last update -- done: the digests
 *             |  `-- lost: the thread has died with what was hashed so far; so are all further updates
 *             `-> cancel: nothing is told any more
 * ```
 *
 * Invariants: the bytes of an update stay as they are until it is done, or the task cancelled; a task has one update at a time;
 * `done` is called once for each, perhaps before `update` returns.
 */
import { allocateAligned } from '../block-device/index.ts'
import { PieceDigester, type PieceDigests, type PieceRecipe } from '../metainfo/index.ts'

export interface Hasher {
  /** Memory that it can read without a copy, zeroed, beginning on a page. */
  allocate(bytes: number): Uint8Array
  begin(recipe: PieceRecipe): HashTask
  /** No task is left. */
  close(): Promise<void>
}

export type HashAnswer = 'more' | 'lost' | PieceDigests

export interface HashTask {
  /** The next bytes of the piece, in memory that `allocate` made. */
  update(bytes: Uint8Array, isLast: boolean, done: (answer: HashAnswer) => void): void
  cancel(): void
}

export const inlineHasher: Hasher = {
  allocate: allocateAligned,
  begin: (recipe) => new InlineTask(recipe),
  close: async () => {},
}

class InlineTask implements HashTask {
  readonly #digester: PieceDigester

  constructor(recipe: PieceRecipe) {
    this.#digester = new PieceDigester(recipe)
  }

  update(bytes: Uint8Array, isLast: boolean, done: (answer: HashAnswer) => void): void {
    this.#digester.update(bytes)
    done(isLast ? this.#digester.digests() : 'more')
  }

  cancel(): void {}
}
