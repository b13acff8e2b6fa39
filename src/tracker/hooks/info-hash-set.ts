/**
 * A set of info-hashes that cannot be changed: 21 bytes each, no object for any, in memory that threads share.
 *
 *     starts  [0 .. 2^bits]   where the hashes of a bucket begin; a bucket is the first `bits` bits
 *     hashes  20 bytes each, by bucket
 *
 * About four hashes a bucket. Info-hashes are SHA-1, so buckets are even; the list is the owner's, so nobody can make them uneven from outside.
 */

const HASH_BYTES = 20
const HASHES_IN_BUCKET = 4
const MAX_BITS = 24
/** Hashes handled before others get a turn: less than a millisecond. */
const SLICE = 8192

/** May be posted: the memory is shared. */
export interface InfoHashSetShare {
  readonly size: number
  readonly shift: number
  readonly starts: Uint32Array
  readonly hashes: Uint8Array
}

export class InfoHashSet {
  readonly size: number
  readonly #shift: number
  readonly #starts: Uint32Array
  readonly #hashes: Uint8Array

  private constructor({ size, shift, starts, hashes }: InfoHashSetShare) {
    this.size = size
    this.#shift = shift
    this.#starts = starts
    this.#hashes = hashes
  }

  /** A set of another thread. */
  static open(share: InfoHashSetShare): InfoHashSet {
    return new InfoHashSet(share)
  }

  get share(): InfoHashSetShare {
    return { size: this.size, shift: this.#shift, starts: this.#starts, hashes: this.#hashes }
  }

  /** From `size` hashes one behind the other; `turn` is awaited now and then, so that others can work in between. */
  static async build(
    source: Uint8Array,
    size: number,
    turn: () => Promise<void>,
  ): Promise<InfoHashSet> {
    const bits = Math.max(
      8,
      Math.min(MAX_BITS, Math.ceil(Math.log2((size + 1) / HASHES_IN_BUCKET))),
    )
    const shift = 24 - bits
    const starts = new Uint32Array(new SharedArrayBuffer(4 * (2 ** bits + 2)))
    const hashes = new Uint8Array(new SharedArrayBuffer(size * HASH_BYTES))
    // Counts stand two places on, so that filling the buckets leaves every start where it belongs.
    for (let n = 0; n < size; n++) {
      starts[bucketOf(source, n * HASH_BYTES, shift) + 2]!++
      if (n % SLICE === SLICE - 1) await turn()
    }
    for (let i = 2; i < starts.length; i++) starts[i]! += starts[i - 1]!
    for (let n = 0; n < size; n++) {
      const from = n * HASH_BYTES
      const place = starts[bucketOf(source, from, shift) + 1]!++
      const to = place * HASH_BYTES
      for (let i = 0; i < HASH_BYTES; i++) hashes[to + i] = source[from + i]!
      if (n % SLICE === SLICE - 1) await turn()
    }
    return new InfoHashSet({ size, shift, starts, hashes })
  }

  /** Allocates nothing. */
  has(infoHash: Uint8Array): boolean {
    const hashes = this.#hashes
    const bucket = bucketOf(infoHash, 0, this.#shift)
    const end = this.#starts[bucket + 1]! * HASH_BYTES
    for (let at = this.#starts[bucket]! * HASH_BYTES; at < end; at += HASH_BYTES) {
      let i = 0
      while (i < HASH_BYTES && hashes[at + i] === infoHash[i]) i++
      if (i === HASH_BYTES) return true
    }
    return false
  }

  get bytes(): number {
    return this.#starts.byteLength + this.#hashes.byteLength
  }
}

function bucketOf(bytes: Uint8Array, at: number, shift: number): number {
  return ((bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!) >>> shift
}
