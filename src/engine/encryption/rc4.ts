/**
 * The stream cipher RC4, which message stream encryption uses (OpenSSL 3 has it no longer). It hides what
 * protocol is spoken from whoever looks in passing; it keeps no secret from anybody who tries.
 */

/** Weak, and known from the way keys are set up: nobody uses it (RFC 4345, section 2). */
const DISCARDED_BYTES = 1024

export class Rc4 {
  readonly #state: Uint8Array = new Uint8Array(256)
  #i = 0
  #j = 0

  /** The first 1,024 bytes of the stream are gone already. */
  constructor(key: Uint8Array) {
    const state = this.#state
    for (let i = 0; i < 256; i++) state[i] = i
    for (let i = 0, j = 0; i < 256; i++) {
      const swapped = state[i]!
      j = (j + swapped + key[i % key.length]!) & 255
      state[i] = state[j]!
      state[j] = swapped
    }
    const nothing = new Uint8Array(DISCARDED_BYTES)
    this.apply(nothing, nothing)
  }

  /** Writes `source`, en- or decrypted, to `target`, which is as long and may be the same bytes. Allocates nothing. */
  apply(source: Uint8Array, target: Uint8Array): void {
    const state = this.#state
    let i = this.#i
    let j = this.#j
    for (let at = 0; at < source.length; at++) {
      i = (i + 1) & 255
      const a = state[i]!
      j = (j + a) & 255
      const b = state[j]!
      state[i] = b
      state[j] = a
      target[at] = source[at]! ^ state[(a + b) & 255]!
    }
    this.#i = i
    this.#j = j
  }
}
