/**
 * Keyed hashing of info-hashes and endpoints, which strangers choose.
 *
 *     16-bit halves x0 … x9 of the key, secret words k0 … k11
 *     u = Σ (k[2i]   + x[2i]) (k[2i+1] + x[2i+1])  mod 2^32
 *     v = Σ (k[2i+2] + x[2i]) (k[2i+3] + x[2i+1])  mod 2^32
 *     (u, v) -> mix with three secret odd multipliers -> high, low
 *
 * The sum of products of pairs is universal in its top 17 bits (Thorup, High Speed Hashing for Integers and
 * Strings, pair-multiply-shift), and the same keys moved on by a pair give a second value nearly independent of the
 * first (the Toeplitz construction of UMAC): whoever chooses two keys without knowing k makes both agree with a
 * probability of about 2^-34. The mix then takes away the linear structure of the sums, so that rows of consecutive
 * keys do not lie in rows. Nothing that leaves the store shows a hash.
 *
 * It costs about a third of HalfSipHash, which gave the same protection by another argument.
 */

import type { Random } from '../base/index.ts'
import * as layout from './layout.ts'

const { HASH_KEY_WORDS, H_HASH_KEYS } = layout

const ODD_FROM = 12

/** Draws the secret of a new store. */
export function drawHashKeys(words: Int32Array, random: Random): void {
  for (let i = 0; i < HASH_KEY_WORDS; i++) {
    words[H_HASH_KEYS + i] = i < ODD_FROM ? random.uint32() | 0 : random.uint32() | 1
  }
}

export class KeyedHash {
  /** Both int32; of the last key hashed. */
  high = 0
  low = 0
  /** The secret words, for who hashes by hand (swarm-key.ts). */
  readonly k: Int32Array

  constructor(words: Int32Array) {
    this.k = words.slice(H_HASH_KEYS, H_HASH_KEYS + HASH_KEY_WORDS)
  }

  five(a: number, b: number, c: number, d: number, e: number): void {
    const k = this.k
    const a1 = a >>> 16
    const a0 = a & 0xffff
    const b1 = b >>> 16
    const b0 = b & 0xffff
    const c1 = c >>> 16
    const c0 = c & 0xffff
    const d1 = d >>> 16
    const d0 = d & 0xffff
    const e1 = e >>> 16
    const e0 = e & 0xffff
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
    this.#mix(u, v)
  }

  two(a: number, b: number): void {
    const k = this.k
    const a1 = a >>> 16
    const a0 = a & 0xffff
    const b1 = b >>> 16
    const b0 = b & 0xffff
    this.#mix(
      (Math.imul(k[0]! + a1, k[1]! + a0) + Math.imul(k[2]! + b1, k[3]! + b0)) | 0,
      (Math.imul(k[2]! + a1, k[3]! + a0) + Math.imul(k[4]! + b1, k[5]! + b0)) | 0,
    )
  }

  #mix(u: number, v: number): void {
    const k = this.k
    let x = u ^ ((v >>> 16) | (v << 16))
    let y = v ^ ((u >>> 13) | (u << 19))
    x = Math.imul(x ^ (x >>> 16), k[12]!)
    y = Math.imul(y ^ (y >>> 16), k[13]!)
    x = Math.imul(x ^ (x >>> 15), k[14]!)
    this.high = x ^ (x >>> 16)
    this.low = y ^ (y >>> 15)
  }
}
