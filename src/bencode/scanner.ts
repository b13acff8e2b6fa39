/**
 * The lexical half of the decoder: where tokens begin and end, and nothing about what they mean.
 *
 * Invariants: `at` never passes `end`; a length is compared with the bytes that are there before it is
 * believed; nothing is allocated but errors.
 */
import { BencodeError } from './errors.ts'

export const LIST = 0x6c // l
export const DICTIONARY = 0x64 // d
export const INTEGER = 0x69 // i
export const END = 0x65 // e
const COLON = 0x3a
const MINUS = 0x2d
const ZERO = 0x30

const isDigit = (byte: number | undefined): boolean =>
  byte !== undefined && byte >= ZERO && byte <= ZERO + 9

/** Digits of 2^63: no integer of 64 bits has more. */
const INTEGER_DIGITS_MAX = 19

export class Scanner {
  readonly bytes: Uint8Array
  at: number

  constructor(bytes: Uint8Array, offset: number) {
    this.bytes = bytes
    this.at = offset
  }

  /** The byte at the cursor. BENCODE_TRUNCATED when there is none. */
  peek(): number {
    const byte = this.bytes[this.at]
    if (byte === undefined) throw new BencodeError('BENCODE_TRUNCATED', this.at, 'input ends')
    return byte
  }

  /** Steps over `<length>:` and answers the length; the cursor is then on the string's first byte. */
  stringHeader(): number {
    const { bytes } = this
    const start = this.at
    let length = 0
    let at = start
    let digit = bytes[at]
    while (isDigit(digit)) {
      length = length * 10 + (digit! - ZERO)
      if (length > bytes.length) {
        throw new BencodeError('BENCODE_TRUNCATED', start, 'string longer than the input')
      }
      digit = bytes[++at]
    }
    if (at === start) {
      throw new BencodeError(
        'BENCODE_SYNTAX',
        start,
        `unexpected byte 0x${this.peek().toString(16)}`,
      )
    }
    if (bytes[start] === ZERO && at > start + 1) {
      throw new BencodeError('BENCODE_SYNTAX', start, 'string length with a leading zero')
    }
    if (digit === undefined)
      throw new BencodeError('BENCODE_TRUNCATED', at, 'input ends in a length')
    if (digit !== COLON) throw new BencodeError('BENCODE_SYNTAX', at, 'no colon after a length')
    at++
    if (length > bytes.length - at) {
      throw new BencodeError('BENCODE_TRUNCATED', start, 'string longer than what is left')
    }
    this.at = at
    return length
  }

  /** Steps over `i…e`, checking that it is canonical: no `-0`, no leading zero, digits that may fit. */
  integer(): void {
    const { bytes } = this
    const start = this.at
    let at = start + 1
    const negative = bytes[at] === MINUS
    if (negative) at++
    const first = at
    while (isDigit(bytes[at])) {
      if (at - first === INTEGER_DIGITS_MAX) {
        throw new BencodeError('BENCODE_INTEGER', start, 'integer beyond 64 bits')
      }
      at++
    }
    const stop = bytes[at]
    if (stop === undefined) {
      throw new BencodeError('BENCODE_TRUNCATED', at, 'input ends in an integer')
    }
    if (stop !== END) throw new BencodeError('BENCODE_SYNTAX', at, 'not a digit in an integer')
    if (at === first) throw new BencodeError('BENCODE_INTEGER', start, 'integer without digits')
    if (bytes[first] === ZERO && (negative || at > first + 1)) {
      throw new BencodeError('BENCODE_INTEGER', start, 'integer with a needless zero')
    }
    this.at = at + 1
  }
}
