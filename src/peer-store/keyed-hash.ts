/**
 * HalfSipHash-1-3: a keyed hash of a few 32-bit words into 64 bits.
 *
 * Info-hashes, addresses and ports are chosen by strangers. Under a secret random key nobody can choose
 * them to meet in one slot or one shard, and no timing of ours tells the key.
 *
 * Invariants: the key never changes; the two halves of the result stay in `high` and `low` until the
 * next call.
 */
import type { Random } from '../base/index.ts'

const MAX_WORDS = 5

export class KeyedHash {
  /** Chooses shard and segment. */
  high = 0
  /** Chooses slot and tag. */
  low = 0
  /** The words to hash: the caller fills the first `length` of them. */
  readonly words: Uint32Array = new Uint32Array(MAX_WORDS)
  readonly #key0: number
  readonly #key1: number

  constructor(random: Random) {
    this.#key0 = random.uint32() | 0
    this.#key1 = random.uint32() | 0
  }

  /** Hashes `words[0…length)` into `high` and `low`. Allocates nothing. */
  run(length: number): void {
    const words = this.words
    let v0 = this.#key0
    let v1 = this.#key1
    let v2 = 0x6c796765 ^ v0
    let v3 = 0x74656462 ^ v1
    // One loop for the words, the length word and the three rounds at the end keeps the round in one place.
    for (let i = -length - 1; i < 3; i++) {
      const word = i < -1 ? words[i + length + 1]! : i === -1 ? length << 26 : 0
      if (i === 0) v2 ^= 0xff
      v3 ^= word
      v0 = (v0 + v1) | 0
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
      v0 = (v0 << 16) | (v0 >>> 16)
      v2 = (v2 + v3) | 0
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
      v0 = (v0 + v3) | 0
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
      v2 = (v2 + v1) | 0
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
      v2 = (v2 << 16) | (v2 >>> 16)
      v0 ^= word
    }
    // The standard 32-bit result, and the other half of the same state: they choose different things.
    this.low = (v1 ^ v3) >>> 0
    this.high = (v0 ^ v2) >>> 0
  }
}
