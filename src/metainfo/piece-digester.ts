/**
 * The hashes of one piece in the making: `update` with its content in order, then `digests`, once. It is told what to compute
 * and knows nothing of the torrent, so it also runs where the torrent is not: in a thread of its own.
 */
import { createHash, type Hash } from 'node:crypto'
import { LeafHasher, merkleRoot } from './merkle.ts'

const ZEROS = new Uint8Array(64 * 1024)

/** What is to be computed of a piece's content. */
export interface PieceRecipe {
  readonly sha1: boolean
  /** Zeros behind the content, which SHA-1 covers. */
  readonly fillerBytes: number
  /** Leaves of the content, 0: no root is asked for. */
  readonly leaves: number
  /** Of the root over the leaves. */
  readonly height: number
}

/** As far as the recipe asks for them. */
export interface PieceDigests {
  readonly sha1?: Uint8Array
  readonly root?: Uint8Array
}

export class PieceDigester {
  readonly #recipe: PieceRecipe
  readonly #sha1: Hash | undefined
  readonly #leaves: LeafHasher | undefined

  constructor(recipe: PieceRecipe) {
    this.#recipe = recipe
    if (recipe.sha1) this.#sha1 = createHash('sha1')
    if (recipe.leaves > 0) this.#leaves = new LeafHasher(recipe.leaves)
  }

  update(bytes: Uint8Array): void {
    this.#sha1?.update(bytes)
    this.#leaves?.update(bytes)
  }

  digests(): PieceDigests {
    const { fillerBytes, height } = this.#recipe
    if (this.#sha1 !== undefined) {
      for (let left = fillerBytes; left > 0; left -= ZEROS.length) {
        this.#sha1.update(left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS)
      }
    }
    return {
      ...(this.#sha1 && { sha1: this.#sha1.digest() }),
      ...(this.#leaves && { root: merkleRoot(this.#leaves.finish(), 0, height) }),
    }
  }
}
