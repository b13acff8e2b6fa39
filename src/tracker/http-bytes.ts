/** What bytes mean in a request of HTTP, as tables, and words that are compared in whatever case. Allocates nothing, throws nothing. */

/** In a query: a byte that stands for itself. */
export const PLAIN = 0
/** `=`, which stands for itself except behind a name. */
export const EQUALS = 1
/** `+`, a space. */
export const PLUS = 2
/** `%`, two hexadecimal digits follow. */
export const PERCENT = 3
/** `&` or `;`, between parameters. */
export const DELIMITER = 4
/** Whatever cannot be in a target: its end. */
export const STOP = 5

const SPACE = 0x20

/** Class of each byte in a query. */
export const CLASS_OF: Uint8Array = new Uint8Array(256)
/** Value of each hexadecimal digit, 255 for other bytes. */
export const HEX_OF: Uint8Array = new Uint8Array(256).fill(255)
/** Each byte in lower case. */
export const LOWER_OF: Uint8Array = new Uint8Array(256)
/** 1 for bytes that are not of a header's value: its end, or what nobody may send. */
export const ENDS_VALUE: Uint8Array = new Uint8Array(256)
/** 1 for bytes that are not of a header's name: the colon behind it, or what nobody may send. */
export const ENDS_NAME: Uint8Array = new Uint8Array(256)

for (let byte = 0; byte < 256; byte++) {
  CLASS_OF[byte] = byte <= SPACE || byte >= 0x7f ? STOP : PLAIN
  LOWER_OF[byte] = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
  ENDS_VALUE[byte] = (byte < SPACE && byte !== 0x09) || byte === 0x7f ? 1 : 0
  ENDS_NAME[byte] = byte <= SPACE || byte >= 0x7f || byte === 0x3a ? 1 : 0
}
CLASS_OF[0x3d] = EQUALS
CLASS_OF[0x2b] = PLUS
CLASS_OF[0x25] = PERCENT
CLASS_OF[0x26] = DELIMITER
CLASS_OF[0x3b] = DELIMITER
for (let digit = 0; digit < 16; digit++) {
  HEX_OF[digit.toString(16).charCodeAt(0)] = digit
  HEX_OF[digit.toString(16).toUpperCase().charCodeAt(0)] = digit
}

export function ascii(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'))
}

/** Of the first `byte`, or `end`. */
export function indexOf(bytes: Uint8Array, byte: number, start: number, end: number): number {
  for (let at = start; at < end; at++) if (bytes[at] === byte) return at
  return end
}

export function startsWith(
  bytes: Uint8Array,
  start: number,
  end: number,
  text: Uint8Array,
): boolean {
  if (end - start < text.length) return false
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text[i]) return false
  return true
}

/** Whether `word` (lower case) stands there, in whatever case. */
export function startsWithWord(
  bytes: Uint8Array,
  start: number,
  end: number,
  word: Uint8Array,
): boolean {
  if (end - start < word.length) return false
  for (let i = 0; i < word.length; i++) if (LOWER_OF[bytes[start + i]!] !== word[i]) return false
  return true
}

/** Whether the bytes are `word` (lower case), in whatever case. */
export function isWord(bytes: Uint8Array, start: number, end: number, word: Uint8Array): boolean {
  return end - start === word.length && startsWithWord(bytes, start, end, word)
}

/** Whether a comma-separated list has `word`. */
export function containsWord(
  bytes: Uint8Array,
  start: number,
  end: number,
  word: Uint8Array,
): boolean {
  for (let from = start; from < end; ) {
    const comma = indexOf(bytes, 0x2c, from, end)
    let first = from
    let last = comma
    while (first < last && bytes[first]! <= SPACE) first++
    while (last > first && bytes[last - 1]! <= SPACE) last--
    if (isWord(bytes, first, last, word)) return true
    from = comma + 1
  }
  return false
}
