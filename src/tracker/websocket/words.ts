/**
 * Memory as 32-bit words, to walk four bytes at a time. Asking a Buffer for its memory, and making a view, cost as much as a hundred bytes
 * walked, so the last answer is kept: frames are read from the same memory again and again.
 */
let known: Uint8Array = new Uint8Array(4)
let words: Int32Array<ArrayBufferLike> = new Int32Array(known.buffer)

/** Words over all of the memory that `bytes` lies in, from its beginning: byte `at` is in word `(bytes.byteOffset + at) >>> 2`. */
export function wordsUnder(bytes: Uint8Array): Int32Array<ArrayBufferLike> {
  if (bytes !== known) {
    const { buffer } = bytes
    if (buffer !== words.buffer) words = new Int32Array(buffer, 0, buffer.byteLength >>> 2)
    known = bytes
  }
  return words
}

/** Whether the first byte of a word is its lowest. */
export const LITTLE_ENDIAN: boolean = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1
