/**
 * Where the values of the outermost dictionary lie, without decoding them: an info-hash is taken over
 * the bytes that were received, not over what an encoder would make of them.
 *
 * Nested values are walked, not judged: their tokens are well formed and balanced, the rest (order of
 * keys, limits on depth) is for whoever decodes the span. Walking takes no stack and allocates one
 * entry a key.
 */
import { asBuffer } from '../base/index.ts'
import { BencodeError } from './errors.ts'
import { BENCODE_SPANS_MAX } from './limits.ts'
import { DICTIONARY, END, INTEGER, LIST, Scanner } from './scanner.ts'
import type { Span } from './types.ts'

/**
 * Key to span for a dictionary that fills `bytes`, of at most BENCODE_SPANS_MAX keys. They may be out
 * of order, but not there twice: readers would disagree about which one counts.
 */
export function spansOf(bytes: Uint8Array): Map<string, Span> {
  const scanner = new Scanner(bytes, 0)
  const buffer = asBuffer(bytes)
  const spans = new Map<string, Span>()
  if (scanner.peek() !== DICTIONARY) {
    throw new BencodeError('BENCODE_NOT_DICTIONARY', 0, 'no dictionary')
  }
  scanner.at++
  while (scanner.peek() !== END) {
    const keyStart = scanner.at
    const length = scanner.stringHeader()
    const start = scanner.at + length
    const key = buffer.toString('latin1', scanner.at, start)
    if (spans.has(key)) throw new BencodeError('BENCODE_KEY_DUPLICATE', keyStart, 'key again')
    scanner.at = start
    skip(scanner)
    if (spans.size === BENCODE_SPANS_MAX) {
      throw new BencodeError('BENCODE_TOO_MANY', keyStart, 'too many keys')
    }
    spans.set(key, { start, end: scanner.at })
  }
  scanner.at++
  if (scanner.at < bytes.length) {
    throw new BencodeError('BENCODE_TRAILING', scanner.at, 'bytes after the value')
  }
  return spans
}

/** Where the value of `key` lies in the dictionary that fills `bytes`, if it has one. */
export function spanOf(bytes: Uint8Array, key: string): Span | undefined {
  return spansOf(bytes).get(key)
}

/** Steps over one value. */
function skip(scanner: Scanner): void {
  let open = 0
  do {
    switch (scanner.peek()) {
      case INTEGER:
        scanner.integer()
        break
      case LIST:
      case DICTIONARY:
        open++
        scanner.at++
        break
      case END:
        if (open === 0) throw new BencodeError('BENCODE_SYNTAX', scanner.at, 'no value for a key')
        open--
        scanner.at++
        break
      default: {
        const length = scanner.stringHeader()
        scanner.at += length
      }
    }
  } while (open > 0)
}
