/**
 * The info-hash at hand, and where its hash sends it.
 *
 *     high: shard (2 more bits than shards have) | directory entry …      low: first record to look at | …
 *
 * Every call of the store begins here.
 */
import { readI32BE } from '../base/index.ts'
import type { KeyedHash } from './keyed-hash.ts'
import * as layout from './layout.ts'

const { SHARD_SHIFT } = layout
const CHOICE_BITS = 2

export class SwarmKey {
  /** The shard line of the info-hash at hand. */
  shard = 0
  /** Its words, all int32. */
  protected a = 0
  protected b = 0
  protected c = 0
  protected d = 0
  protected e = 0
  /** Hash bits that choose the directory entry, from the top. */
  protected rest = 0
  /** 16 hash bits that choose the first record to look at. */
  protected home = 0
  /** Hash bits that choose the shard: the first ones index `#lines` (see `shardLines`). */
  protected usedBits = 0
  #unusedBits = 0
  readonly #lines: Int32Array
  readonly #hash: KeyedHash

  constructor(hash: KeyedHash, shards: number, shardBits: number) {
    this.#hash = hash
    this.usedBits = shardBits + CHOICE_BITS
    this.#unusedBits = 32 - this.usedBits
    this.#lines = shardLines(shards, shardBits)
    this.#enter(0, 0, 0, 0, 0)
  }

  /**
   * Takes in an info-hash of 20 bytes. Allocates nothing.
   *
   * `KeyedHash.five` once more, in one piece from the bytes to the shard: two thirds of the time of calls with words. Places that are constants are
   * checked with one instruction each, and a word that is compared at once needs no register while the others are read.
   */
  enter(infoHash: Uint8Array): void {
    let isAtHand = true
    const a = (infoHash[0]! << 24) | (infoHash[1]! << 16) | (infoHash[2]! << 8) | infoHash[3]!
    if (a !== this.a) {
      this.a = a
      isAtHand = false
    }
    const b = (infoHash[4]! << 24) | (infoHash[5]! << 16) | (infoHash[6]! << 8) | infoHash[7]!
    if (b !== this.b) {
      this.b = b
      isAtHand = false
    }
    const c = (infoHash[8]! << 24) | (infoHash[9]! << 16) | (infoHash[10]! << 8) | infoHash[11]!
    if (c !== this.c) {
      this.c = c
      isAtHand = false
    }
    const d = (infoHash[12]! << 24) | (infoHash[13]! << 16) | (infoHash[14]! << 8) | infoHash[15]!
    if (d !== this.d) {
      this.d = d
      isAtHand = false
    }
    const e = (infoHash[16]! << 24) | (infoHash[17]! << 16) | (infoHash[18]! << 8) | infoHash[19]!
    if (e !== this.e) {
      this.e = e
      isAtHand = false
    }
    // A tracker puts, draws and counts for one info-hash in a row.
    if (isAtHand) return
    // From the fields again: the registers are wanted for the sums.
    const a1 = this.a >>> 16
    const a0 = this.a & 0xffff
    const b1 = this.b >>> 16
    const b0 = this.b & 0xffff
    const c1 = this.c >>> 16
    const c0 = this.c & 0xffff
    const d1 = this.d >>> 16
    const d0 = this.d & 0xffff
    const e1 = this.e >>> 16
    const e0 = this.e & 0xffff
    const { k } = this.#hash
    const k2 = k[2]!
    const k3 = k[3]!
    const k4 = k[4]!
    const k5 = k[5]!
    const k6 = k[6]!
    const k7 = k[7]!
    const k8 = k[8]!
    const k9 = k[9]!
    const u =
      (Math.imul(k[0]! + a1, k[1]! + a0) +
        Math.imul(k2 + b1, k3 + b0) +
        Math.imul(k4 + c1, k5 + c0) +
        Math.imul(k6 + d1, k7 + d0) +
        Math.imul(k8 + e1, k9 + e0)) |
      0
    const v =
      (Math.imul(k2 + a1, k3 + a0) +
        Math.imul(k4 + b1, k5 + b0) +
        Math.imul(k6 + c1, k7 + c0) +
        Math.imul(k8 + d1, k9 + d0) +
        Math.imul(k[10]! + e1, k[11]! + e0)) |
      0
    let x = u ^ ((v >>> 16) | (v << 16))
    let y = v ^ ((u >>> 13) | (u << 19))
    x = Math.imul(x ^ (x >>> 16), k[12]!)
    y = Math.imul(y ^ (y >>> 16), k[13]!)
    x = Math.imul(x ^ (x >>> 15), k[14]!)
    x ^= x >>> 16
    this.shard = this.#lines[x >>> this.#unusedBits]! | 0
    this.rest = x << this.usedBits
    this.home = (y ^ (y >>> 15)) >>> 16
  }

  /** Takes in the 20 bytes at `offset`. */
  enterAt(bytes: Uint8Array, offset: number): void {
    this.#enter(
      readI32BE(bytes, offset),
      readI32BE(bytes, offset + 4),
      readI32BE(bytes, offset + 8),
      readI32BE(bytes, offset + 12),
      readI32BE(bytes, offset + 16),
    )
  }

  /** Takes in five words, as in a record. */
  enterWords(words: Int32Array, at: number): void {
    this.#enter(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!, words[at + 4]!)
  }

  #enter(a: number, b: number, c: number, d: number, e: number): void {
    this.a = a
    this.b = b
    this.c = c
    this.d = d
    this.e = e
    const hash = this.#hash
    hash.five(a, b, c, d, e)
    this.shard = this.#lines[hash.high >>> this.#unusedBits]!
    this.rest = hash.high << this.usedBits
    this.home = hash.low >>> 16
  }
}

/**
 * Addresses of the shard lines that the first hash bits choose. The shares of the shards are not equal but grow from one to two, evenly in their
 * logarithm: so at any number of swarms the segments of different shards are at different points between two splits, the
 * blocks that one gives up another takes, and no size class of the arena lies half empty.
 */
function shardLines(first: number, bits: number): Int32Array {
  const lines = new Int32Array(1 << (bits + CHOICE_BITS))
  const shards = 2 ** bits
  for (let i = 0; i < lines.length; i++) {
    const shard = Math.floor(shards * Math.log2(1 + (i + 0.5) / lines.length))
    lines[i] = first + (Math.min(shards - 1, shard) << SHARD_SHIFT)
  }
  return lines
}
