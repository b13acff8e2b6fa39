/**
 * A strict decoder of bencode (BEP 3).
 *
 * Invariants:
 * - what it accepts is canonical: `encode(decode(bytes))` is `bytes` again (unless `ordered: false`);
 * - byte strings are views of the input, no byte of them is copied: keep the input as long as them;
 * - it throws BencodeErrors only, and allocates in proportion to the input, up to its limits.
 */
import { asBuffer } from '../base/index.ts'
import { BencodeError } from './errors.ts'
import {
  BENCODE_DEPTH_DEFAULT,
  BENCODE_DEPTH_MAX,
  BENCODE_VALUES_DEFAULT,
  BENCODE_VALUES_MAX,
} from './limits.ts'
import { DICTIONARY, END, INTEGER, LIST, Scanner } from './scanner.ts'
import type { BencodeDictionary, BencodeValue } from './types.ts'

export interface DecodeOptions {
  /** Nesting of lists and dictionaries; at most BENCODE_DEPTH_MAX. */
  readonly depthMax?: number
  /** Values in all, keys not counted; at most BENCODE_VALUES_MAX. */
  readonly valuesMax?: number
  /**
   * False accepts dictionaries whose keys are out of order: torrents and trackers in the wild have
   * them. A key that is there twice is refused all the same, since readers would disagree about it.
   */
  readonly ordered?: boolean
}

/** The one value that `bytes` hold. */
export function decode(bytes: Uint8Array, options: DecodeOptions = {}): BencodeValue {
  const decoder = new Decoder(bytes, 0, options)
  const value = decoder.value()
  if (decoder.at < bytes.length) {
    throw new BencodeError('BENCODE_TRAILING', decoder.at, 'bytes after the value')
  }
  return value
}

/** As `decode`, for callers that can do with a dictionary only: BENCODE_NOT_DICTIONARY. */
export function decodeDictionary(
  bytes: Uint8Array,
  options: DecodeOptions = {},
): BencodeDictionary {
  if (bytes.length > 0 && bytes[0] !== DICTIONARY) {
    throw new BencodeError('BENCODE_NOT_DICTIONARY', 0, 'no dictionary')
  }
  return decode(bytes, options) as BencodeDictionary
}

/**
 * The value that begins at `offset`, and where it ends; what follows is not looked at. BEP 9 appends
 * raw metadata to a dictionary.
 */
export function decodePrefix(
  bytes: Uint8Array,
  offset = 0,
  options: DecodeOptions = {},
): { readonly value: BencodeValue; readonly end: number } {
  const decoder = new Decoder(bytes, offset, options)
  const value = decoder.value()
  return { value, end: decoder.at }
}

class Decoder {
  readonly #scanner: Scanner
  readonly #bytes: Uint8Array
  readonly #buffer: Buffer
  readonly #ordered: boolean
  readonly #depthMax: number
  #depth = 0
  #valuesLeft: number

  constructor(bytes: Uint8Array, offset: number, options: DecodeOptions) {
    // A Buffer's subarrays would be Buffers: one kind of value comes out, whatever went in.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#buffer = asBuffer(bytes)
    this.#scanner = new Scanner(this.#bytes, offset)
    this.#ordered = options.ordered ?? true
    this.#depthMax = Math.min(options.depthMax ?? BENCODE_DEPTH_DEFAULT, BENCODE_DEPTH_MAX)
    this.#valuesLeft = Math.min(options.valuesMax ?? BENCODE_VALUES_DEFAULT, BENCODE_VALUES_MAX)
  }

  get at(): number {
    return this.#scanner.at
  }

  value(): BencodeValue {
    if (--this.#valuesLeft < 0) this.#fail('BENCODE_TOO_MANY', 'too many values')
    switch (this.#scanner.peek()) {
      case INTEGER:
        return this.#integer()
      case LIST:
        return this.#list()
      case DICTIONARY:
        return this.#dictionary()
      default:
        return this.#string()
    }
  }

  #string(): Uint8Array {
    const scanner = this.#scanner
    const length = scanner.stringHeader()
    scanner.at += length
    return this.#bytes.subarray(scanner.at - length, scanner.at)
  }

  #key(): string {
    const scanner = this.#scanner
    const length = scanner.stringHeader()
    scanner.at += length
    return this.#buffer.toString('latin1', scanner.at - length, scanner.at)
  }

  #integer(): number | bigint {
    const scanner = this.#scanner
    const start = scanner.at
    scanner.integer()
    const text = this.#buffer.toString('latin1', start + 1, scanner.at - 1)
    const value = Number(text)
    if (Number.isSafeInteger(value)) return value
    const exact = BigInt(text)
    if (BigInt.asIntN(64, exact) !== exact) {
      throw new BencodeError('BENCODE_INTEGER', start, 'integer beyond 64 bits')
    }
    return exact
  }

  #list(): BencodeValue[] {
    this.#enter()
    const values: BencodeValue[] = []
    while (this.#scanner.peek() !== END) values.push(this.value())
    this.#leave()
    return values
  }

  #dictionary(): BencodeDictionary {
    this.#enter()
    const scanner = this.#scanner
    const values = new Map<string, BencodeValue>()
    let previous: string | undefined
    while (scanner.peek() !== END) {
      const start = scanner.at
      const key = this.#key()
      // One byte a character: comparing the strings compares the bytes.
      if (previous !== undefined && key <= previous) {
        if (values.has(key)) throw new BencodeError('BENCODE_KEY_DUPLICATE', start, 'key again')
        if (this.#ordered) throw new BencodeError('BENCODE_KEY_ORDER', start, 'key out of order')
      }
      previous = previous === undefined || key > previous ? key : previous
      values.set(key, this.value())
    }
    this.#leave()
    return values
  }

  #enter(): void {
    if (++this.#depth > this.#depthMax) this.#fail('BENCODE_DEPTH', 'nested too deep')
    this.#scanner.at++
  }

  #leave(): void {
    this.#depth--
    this.#scanner.at++
  }

  #fail(code: 'BENCODE_TOO_MANY' | 'BENCODE_DEPTH', message: string): never {
    throw new BencodeError(code, this.#scanner.at, message)
  }
}
