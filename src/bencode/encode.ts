/**
 * The canonical encoder of bencode (BEP 3): keys in byte order, integers without ornament.
 *
 * Two passes over the value, the first to know the size and to sort the keys, the second to fill the
 * one array that is answered.
 */
import { asBuffer } from '../base/index.ts'
import { BENCODE_DEPTH_MAX } from './limits.ts'
import { DICTIONARY, END, INTEGER, LIST } from './scanner.ts'
import type { Encodable } from './types.ts'

const COLON = 0x3a

/**
 * Bytes of `value`. What cannot be said in bencode is a mistake of the caller and throws a TypeError:
 * a fraction, an integer beyond 64 bits, a key with a character above U+00FF, nesting deeper than
 * BENCODE_DEPTH_MAX (a circle, most likely).
 */
export function encode(value: Encodable): Uint8Array {
  const entries: Entry[][] = []
  const bytes = new Uint8Array(measure(value, entries, 0))
  new Writer(bytes, entries).value(value)
  return bytes
}

type Entry = readonly [key: string, value: Encodable]

/** Size of `value`; the sorted entries of every dictionary go to `entries`, outer ones first. */
function measure(value: Encodable, entries: Entry[][], depth: number): number {
  if (typeof value === 'number' || typeof value === 'bigint') return integerText(value).length + 2
  if (typeof value === 'string') return stringBytes(Buffer.byteLength(value, 'utf8'))
  if (value instanceof Uint8Array) return stringBytes(value.length)
  if (typeof value !== 'object' || value === null) {
    throw new TypeError(`bencode: cannot encode ${value === null ? 'null' : typeof value}`)
  }
  if (depth >= BENCODE_DEPTH_MAX) throw new TypeError('bencode: nested too deep')
  let bytes = 2
  if (Array.isArray(value)) {
    for (const item of value as readonly Encodable[]) bytes += measure(item, entries, depth + 1)
    return bytes
  }
  const sorted = sortedEntries(value as Exclude<typeof value, readonly Encodable[]>)
  entries.push(sorted)
  for (const [key, item] of sorted) {
    bytes += stringBytes(key.length) + measure(item, entries, depth + 1)
  }
  return bytes
}

function sortedEntries(
  value: ReadonlyMap<string, Encodable> | { readonly [key: string]: Encodable | undefined },
): Entry[] {
  const source: Iterable<readonly [string, Encodable | undefined]> =
    value instanceof Map ? value : Object.entries(value)
  const entries: Entry[] = []
  for (const [key, item] of source) {
    if (item === undefined) continue
    for (let i = 0; i < key.length; i++) {
      if (key.charCodeAt(i) > 0xff) throw new TypeError(`bencode: key ${key} is not bytes`)
    }
    entries.push([key, item])
  }
  // One byte a character: comparing the strings compares the bytes.
  return entries.sort(([a], [b]) => (a < b ? -1 : 1))
}

function integerText(value: number | bigint): string {
  const fits =
    typeof value === 'number' ? Number.isSafeInteger(value) : BigInt.asIntN(64, value) === value
  if (!fits) throw new TypeError(`bencode: ${value} is not an integer of 64 bits`)
  return String(value)
}

const stringBytes = (length: number): number => String(length).length + 1 + length

class Writer {
  readonly #bytes: Uint8Array
  readonly #buffer: Buffer
  readonly #entries: readonly Entry[][]
  #at = 0
  #nextEntries = 0

  constructor(bytes: Uint8Array, entries: readonly Entry[][]) {
    this.#bytes = bytes
    this.#buffer = asBuffer(bytes)
    this.#entries = entries
  }

  value(value: Encodable): void {
    if (typeof value === 'number' || typeof value === 'bigint') {
      this.#byte(INTEGER)
      this.#text(integerText(value), 'latin1')
      this.#byte(END)
    } else if (typeof value === 'string') {
      this.#length(Buffer.byteLength(value, 'utf8'))
      this.#text(value, 'utf8')
    } else if (value instanceof Uint8Array) {
      this.#length(value.length)
      this.#bytes.set(value, this.#at)
      this.#at += value.length
    } else if (Array.isArray(value)) {
      this.#byte(LIST)
      for (const item of value as readonly Encodable[]) this.value(item)
      this.#byte(END)
    } else {
      this.#byte(DICTIONARY)
      for (const [key, item] of this.#entries[this.#nextEntries++]!) {
        this.#length(key.length)
        this.#text(key, 'latin1')
        this.value(item)
      }
      this.#byte(END)
    }
  }

  #byte(byte: number): void {
    this.#bytes[this.#at++] = byte
  }

  #length(length: number): void {
    this.#text(String(length), 'latin1')
    this.#byte(COLON)
  }

  #text(text: string, encoding: 'latin1' | 'utf8'): void {
    this.#at += this.#buffer.write(text, this.#at, encoding)
  }
}
