/**
 * A file of info-hashes, 40 hexadecimal digits a line; empty lines do not count, nor what stands behind a `#`, at the beginning or behind a space. It is read in
 * pieces with turns for others in between, so millions of lines cost no pause.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { errnoOf } from '../../base/index.ts'
import { trackerError, unreadable } from '../errors.ts'
import { InfoHashSet } from './info-hash-set.ts'

const READ_BYTES = 1 << 16
const MAX_FILE_BYTES = 2 ** 32
const DIGITS = 40
const LF = 0x0a
const CR = 0x0d
const HASH_SIGN = 0x23

export const turn = (): Promise<void> => setImmediate()

/** Rejects with TRACKER_LIST (`file:line`), or TRACKER_CONFIG_UNREADABLE. */
export async function loadInfoHashFile(path: string): Promise<InfoHashSet> {
  let file: FileHandle | undefined
  try {
    file = await open(path, 'r')
    const { size } = await file.stat()
    if (size > MAX_FILE_BYTES) throw trackerError('TRACKER_LIST', `${path} has more than 4 GiB`)
    const parser = new LineParser(path, Math.floor((size + 1) / (DIGITS + 1)) + 1)
    const buffer = new Uint8Array(READ_BYTES)
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, READ_BYTES, null)
      if (bytesRead === 0) break
      parser.push(buffer, bytesRead)
      await turn()
    }
    parser.end()
    return await InfoHashSet.build(parser.hashes, parser.count, turn)
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === undefined || errno.startsWith('TRACKER_')) throw error
    throw unreadable(path, error)
  } finally {
    await file?.close()
  }
}

class LineParser {
  count = 0
  readonly #path: string
  #hashes: Uint8Array
  #line = 1
  /** Digits of this line so far. */
  #digits = 0
  #comment = false
  #ended = false

  constructor(path: string, expected: number) {
    this.#path = path
    this.#hashes = new Uint8Array(expected * 20)
  }

  get hashes(): Uint8Array {
    return this.#hashes
  }

  push(bytes: Uint8Array, length: number): void {
    for (let i = 0; i < length; i++) {
      const byte = bytes[i]!
      if (byte === LF) this.#endLine()
      else if (this.#comment) continue
      else if (byte === HASH_SIGN && (this.#digits === 0 || this.#ended)) this.#comment = true
      else if (byte === CR || byte === 0x20 || byte === 0x09) this.#ended = this.#digits > 0
      else this.#digit(byte)
    }
  }

  end(): void {
    this.#endLine()
  }

  #digit(byte: number): void {
    const value = hexDigit(byte)
    if (value < 0 || this.#ended || this.#digits === DIGITS) this.#fail()
    const at = this.count * 20 + (this.#digits >>> 1)
    if (at >= this.#hashes.length) this.#grow()
    if (this.#digits % 2 === 0) this.#hashes[at] = value << 4
    else this.#hashes[at]! |= value
    this.#digits++
  }

  #endLine(): void {
    if (this.#digits === DIGITS) this.count++
    else if (this.#digits > 0) this.#fail()
    this.#digits = 0
    this.#comment = false
    this.#ended = false
    this.#line++
  }

  /** The file grew while it was read. */
  #grow(): void {
    const larger = new Uint8Array(this.#hashes.length * 2 + 20)
    larger.set(this.#hashes)
    this.#hashes = larger
  }

  #fail(): never {
    throw trackerError(
      'TRACKER_LIST',
      `${this.#path}:${this.#line}: not an info-hash of 40 hexadecimal digits`,
    )
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
