/**
 * The endpoint that a call is about, and how endpoints of its family lie in memory.
 *
 *     IPv4 peer (2 words): address | port << 16 | age and role
 *     IPv6 peer (5 words): address, 4 words | port << 16 | age and role
 *
 * Words are big endian numbers of the wire's bytes. One object a family is filled again and again.
 */
import type { KeyedHash } from './keyed-hash.ts'
import type { AddressFamily } from './types.ts'

export class Endpoint {
  readonly family: AddressFamily
  /** Words of the address; the last word of a peer comes after them. */
  readonly addressWords: number
  readonly peerWords: number
  /** All int32. IPv4 uses `a` alone. */
  a = 0
  b = 0
  c = 0
  d = 0
  port = 0
  readonly #words: Int32Array
  readonly #hash: KeyedHash

  constructor(family: AddressFamily, words: Int32Array, hash: KeyedHash) {
    this.family = family
    this.addressWords = family === 4 ? 1 : 4
    this.peerWords = this.addressWords + 1
    this.#words = words
    this.#hash = hash
  }

  isAt(at: number): boolean {
    const words = this.#words
    if (words[at] !== this.a) return false
    if (this.addressWords === 1) return words[at + 1]! >>> 16 === this.port
    return (
      words[at + 4]! >>> 16 === this.port &&
      words[at + 1] === this.b &&
      words[at + 2] === this.c &&
      words[at + 3] === this.d
    )
  }

  writeAt(at: number, meta: number): void {
    const words = this.#words
    words[at] = this.a
    if (this.addressWords === 4) {
      words[at + 1] = this.b
      words[at + 2] = this.c
      words[at + 3] = this.d
    }
    words[at + this.addressWords] = (this.port << 16) | meta
  }

  /** 32 bits of the endpoint. */
  hash(): number {
    if (this.addressWords === 1) this.#hash.two(this.a, this.port)
    else this.#hash.five(this.a, this.b, this.c, this.d, this.port)
    return this.#hash.high
  }

  /** The same of the peer at `at`. */
  hashAt(at: number): number {
    const words = this.#words
    if (this.addressWords === 1) this.#hash.two(words[at]!, words[at + 1]! >>> 16)
    else {
      this.#hash.five(
        words[at]!,
        words[at + 1]!,
        words[at + 2]!,
        words[at + 3]!,
        words[at + 4]! >>> 16,
      )
    }
    return this.#hash.high
  }

  copy(from: number, to: number): void {
    const words = this.#words
    words[to] = words[from]!
    words[to + 1] = words[from + 1]!
    if (this.addressWords === 1) return
    words[to + 2] = words[from + 2]!
    words[to + 3] = words[from + 3]!
    words[to + 4] = words[from + 4]!
  }

  /** Changes places of two peers. */
  exchange(one: number, other: number): void {
    const words = this.#words
    for (let i = 0; i < this.peerWords; i++) {
      const word = words[one + i]!
      words[one + i] = words[other + i]!
      words[other + i] = word
    }
  }

  metaAt(at: number): number {
    return words16(this.#words[at + this.addressWords]!)
  }

  setMetaAt(at: number, meta: number): void {
    const last = at + this.addressWords
    this.#words[last] = (this.#words[last]! & 0xffff0000) | meta
  }
}

function words16(word: number): number {
  return word & 0xffff
}
