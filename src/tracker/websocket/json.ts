/**
 * JSON (RFC 8259) walked as bytes: where a value ends, and that it is one. What is passed on to other clients as it came has to be
 * walked strictly, or one client could send to others what they cannot read; so escapes and UTF-8 are checked as well.
 *
 * Every function takes the offset of what it reads, returns the offset behind it, or -1 when it is not JSON. None allocates,
 * none throws, none recurses.
 */

import { LITTLE_ENDIAN, wordsUnder } from './words.ts'

const MAX_DEPTH = 31

const PLAIN = 0
const OTHER = 1

/** What a byte means inside of a string: itself, or a quote, an escape, a part of a character, or nothing good. */
const CLASS: Uint8Array = (() => {
  const table = new Uint8Array(256).fill(PLAIN)
  table.fill(OTHER, 0, 0x20)
  table.fill(OTHER, 0x80)
  table[0x22] = OTHER
  table[0x5c] = OTHER
  return table
})()

/** The byte that an escape of one letter stands for; 0 for no such escape. */
const ESCAPED: Uint8Array = (() => {
  const table = new Uint8Array(256)
  for (const [letter, meaning] of ['""', '\\\\', '//', 'b\b', 'f\f', 'n\n', 'r\r', 't\t']) {
    table[letter!.charCodeAt(0)] = meaning!.charCodeAt(0)
  }
  return table
})()

/** Behind spaces, tabs and line ends. */
export function skipSpace(bytes: Uint8Array, from: number, end: number): number {
  let at = from
  while (at < end) {
    const byte = bytes[at]!
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break
    at++
  }
  return at
}

/** Up to here byte by byte: most strings are short. */
const NEAR_BYTES = 16

/**
 * Behind the closing quote of a string whose opening quote is at `from`. Most of a message is long strings, so plain bytes are passed four at
 * a time.
 */
export function skipString(bytes: Uint8Array, from: number, end: number): number {
  if (from >= end || bytes[from] !== 0x22) return -1
  let at = from + 1
  const near = Math.min(end, at + NEAR_BYTES)
  while (at < near && CLASS[bytes[at]!] === PLAIN) at++
  if (at < near && bytes[at] === 0x22) return at + 1
  const words = wordsUnder(bytes)
  const offset = bytes.byteOffset
  // Words that are whole in the message.
  const last = LITTLE_ENDIAN ? (offset + end) >>> 2 : 0
  for (;;) {
    // What lies before `at` in its word is not looked at.
    let hidden = -1 << (((offset + at) & 3) * 8)
    let found = 0
    let word = (offset + at) >>> 2
    for (; word < last; word++) {
      const four = words[word]!
      const quotes = four ^ 0x22222222
      const backslashes = four ^ 0x5c5c5c5c
      // Borrows and top bits: set where a byte is below a space, beyond ASCII, a quote or a backslash. Above such a byte others may be set.
      found = four | (four - 0x20202020) | (quotes - 0x01010101) | (backslashes - 0x01010101)
      found &= 0x80808080 & hidden
      if (found !== 0) break
      hidden = -1
    }
    if (found !== 0) at = word * 4 + ((31 - Math.clz32(found & (~found + 1))) >>> 3) - offset
    else at = Math.max(at, word * 4 - offset)
    while (at < end && CLASS[bytes[at]!] === PLAIN) at++
    if (at >= end) return -1
    // Escapes often come in pairs, as line ends.
    while (bytes[at] === 0x5c) {
      at = skipEscape(bytes, at, end)
      if (at < 0 || at >= end) return -1
    }
    const byte = bytes[at]!
    if (byte === 0x22) return at + 1
    if (byte < 0x20) return -1
    if (byte >= 0x80) {
      at = skipUtf8(bytes, at, end)
      if (at < 0) return -1
    }
  }
}

function skipEscape(bytes: Uint8Array, at: number, end: number): number {
  if (at + 1 >= end) return -1
  if (bytes[at + 1] !== 0x75) return ESCAPED[bytes[at + 1]!] === 0 ? -1 : at + 2
  return hexAt(bytes, at + 2, end) < 0 ? -1 : at + 6
}

/** The value of four hexadecimal digits, or -1. */
function hexAt(bytes: Uint8Array, at: number, end: number): number {
  if (at + 4 > end) return -1
  let value = 0
  for (let i = at; i < at + 4; i++) {
    const byte = bytes[i]!
    const lower = byte | 0x20
    if (byte >= 0x30 && byte <= 0x39) value = value * 16 + byte - 0x30
    else if (lower >= 0x61 && lower <= 0x66) value = value * 16 + lower - 0x57
    else return -1
  }
  return value
}

/** Behind one character of two to four bytes: shortest form, no surrogates, at most U+10FFFF. */
function skipUtf8(bytes: Uint8Array, at: number, end: number): number {
  const lead = bytes[at]!
  const length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0
  if (length === 0 || at + length > end) return -1
  const second = bytes[at + 1]!
  const least = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80
  const most = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf
  if (second < least || second > most) return -1
  for (let i = at + 2; i < at + length; i++) if ((bytes[i]! & 0xc0) !== 0x80) return -1
  return at + length
}

/** Behind any value. Deeper than 31 levels is refused. */
export function skipValue(bytes: Uint8Array, from: number, end: number): number {
  // One bit a level: 1 for an object.
  let levels = 0
  let depth = 0
  let at = from
  for (;;) {
    at = skipSpace(bytes, at, end)
    if (at >= end) return -1
    const byte = bytes[at]!
    let opened = false
    if (byte === 0x7b || byte === 0x5b) {
      if (depth === MAX_DEPTH) return -1
      levels = (levels << 1) | (byte === 0x7b ? 1 : 0)
      depth++
      opened = true
      at = skipSpace(bytes, at + 1, end)
      if (at >= end) return -1
    } else {
      at = skipScalar(bytes, at, end)
      if (at < 0) return -1
    }
    // Behind a value, or right behind an opening bracket: close what ends here, then go to the next value.
    for (;;) {
      if (depth === 0) return at
      if (!opened) at = skipSpace(bytes, at, end)
      if (at >= end) return -1
      const next = bytes[at]!
      const isObject = (levels & 1) === 1
      if (next === (isObject ? 0x7d : 0x5d)) {
        levels >>>= 1
        depth--
        at++
        opened = false
        continue
      }
      if (!opened) {
        if (next !== 0x2c) return -1
        at = skipSpace(bytes, at + 1, end)
      }
      if (isObject) {
        at = skipString(bytes, at, end)
        if (at < 0) return -1
        at = skipSpace(bytes, at, end)
        if (at >= end || bytes[at] !== 0x3a) return -1
        at++
      }
      break
    }
  }
}

function skipScalar(bytes: Uint8Array, at: number, end: number): number {
  const byte = bytes[at]!
  if (byte === 0x22) return skipString(bytes, at, end)
  if (byte === 0x74) return skipWord(bytes, at, end, TRUE)
  if (byte === 0x66) return skipWord(bytes, at, end, FALSE)
  if (byte === 0x6e) return skipWord(bytes, at, end, NULL)
  return skipNumber(bytes, at, end)
}

const ascii = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'))
const TRUE = ascii('true')
const FALSE = ascii('false')
const NULL = ascii('null')

function skipWord(bytes: Uint8Array, at: number, end: number, word: Uint8Array): number {
  if (at + word.length > end) return -1
  for (let i = 1; i < word.length; i++) if (bytes[at + i] !== word[i]) return -1
  return at + word.length
}

function skipDigits(bytes: Uint8Array, from: number, end: number): number {
  let at = from
  while (at < end && bytes[at]! >= 0x30 && bytes[at]! <= 0x39) at++
  return at === from ? -1 : at
}

function skipNumber(bytes: Uint8Array, from: number, end: number): number {
  const first = bytes[from] === 0x2d ? from + 1 : from
  let at = skipDigits(bytes, first, end)
  if (at < 0 || (bytes[first] === 0x30 && at > first + 1)) return -1
  if (at < end && bytes[at] === 0x2e) {
    at = skipDigits(bytes, at + 1, end)
    if (at < 0) return -1
  }
  if (at < end && (bytes[at]! | 0x20) === 0x65) {
    at++
    if (at < end && (bytes[at] === 0x2b || bytes[at] === 0x2d)) at++
    at = skipDigits(bytes, at, end)
  }
  return at
}

/** The number whose bounds are known to hold one. */
export function numberOf(bytes: Uint8Array, start: number, end: number): number {
  if (end - start > 15) return Number(asText(bytes, start, end))
  let value = 0
  for (let at = start; at < end; at++) {
    const digit = bytes[at]! - 0x30
    if (digit < 0 || digit > 9) return Number(asText(bytes, start, end))
    value = value * 10 + digit
  }
  return value
}

function asText(bytes: Uint8Array, start: number, end: number): string {
  return String.fromCharCode(...bytes.subarray(start, Math.min(end, start + 64)))
}

/**
 * The characters of a string (from its opening quote to behind its closing one, known to be right) as one byte each, at
 * `target[offset…]`: how binary strings travel in JSON. Returns how many; -1 when they are more than `most`, or one is
 * beyond U+00FF.
 */
export function readBinary(
  bytes: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  offset: number,
  most: number,
): number {
  const last = end - 1
  let count = 0
  for (let at = start + 1; at < last; count++) {
    if (count === most) return -1
    const byte = bytes[at]!
    if (byte === 0x5c) {
      if (bytes[at + 1] === 0x75) {
        const value = hexAt(bytes, at + 2, last)
        if (value > 255) return -1
        target[offset + count] = value
        at += 6
      } else {
        target[offset + count] = ESCAPED[bytes[at + 1]!]!
        at += 2
      }
    } else if (byte < 0x80) {
      target[offset + count] = byte
      at++
    } else if (byte < 0xc4) {
      target[offset + count] = ((byte & 3) << 6) | (bytes[at + 1]! & 0x3f)
      at += 2
    } else {
      return -1
    }
  }
  return count
}

const HEX = ascii('0123456789abcdef')

/** Writes `count` bytes as the inside of a JSON string, without quotes; returns the offset behind (at most six a byte). */
export function writeBinary(
  source: Uint8Array,
  from: number,
  count: number,
  target: Uint8Array,
  offset: number,
): number {
  let at = offset
  for (let i = from; i < from + count; i++) {
    const byte = source[i]!
    if (byte >= 0x80) {
      target[at++] = 0xc0 | (byte >>> 6)
      target[at++] = 0x80 | (byte & 0x3f)
    } else if (byte < 0x20) {
      target[at] = 0x5c
      target[at + 1] = 0x75
      target[at + 2] = 0x30
      target[at + 3] = 0x30
      target[at + 4] = HEX[byte >>> 4]!
      target[at + 5] = HEX[byte & 15]!
      at += 6
    } else {
      if (byte === 0x22 || byte === 0x5c) target[at++] = 0x5c
      target[at++] = byte
    }
  }
  return at
}
