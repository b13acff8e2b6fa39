/**
 * A device of any size in little memory: of a page that holds a chunk of payload.ts it keeps the stamp,
 * of any other the bytes. What was never written reads as zeros.
 *
 * Invariants: every page reads as it was written last; a page has a stamp or bytes, not both.
 */
import type { BlockDevice } from '../../src/block-device/index.ts'
import { CHUNK_BYTES, fillChunk, isChunk } from './payload.ts'

const PAGE_BYTES = CHUNK_BYTES

export class PayloadDevice implements BlockDevice {
  readonly label = 'simulated disk'
  readonly sectorBytes = 512
  readonly readOnly = false
  readonly sizeBytes: number
  /** Torrent and chunk of each page, plus one; 0 = none. */
  readonly #stamps: Uint32Array
  readonly #pages = new Map<number, Uint8Array>()

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes
    this.#stamps = new Uint32Array(2 * Math.ceil(sizeBytes / PAGE_BYTES))
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    for (let done = 0; done < target.length; ) {
      const page = Math.floor((offset + done) / PAGE_BYTES)
      const at = (offset + done) % PAGE_BYTES
      const count = Math.min(PAGE_BYTES - at, target.length - done)
      const into = target.subarray(done, done + count)
      if (count === PAGE_BYTES && this.#stamps[2 * page] !== 0) this.#fill(page, into)
      else into.set(this.#bytes(page).subarray(at, at + count))
      done += count
    }
  }

  async write(offset: number, source: Uint8Array): Promise<void> {
    for (let done = 0; done < source.length; ) {
      const page = Math.floor((offset + done) / PAGE_BYTES)
      const at = (offset + done) % PAGE_BYTES
      const count = Math.min(PAGE_BYTES - at, source.length - done)
      const from = source.subarray(done, done + count)
      if (count === PAGE_BYTES && isChunk(from)) this.#stamp(page, from)
      else {
        const bytes = this.#bytes(page)
        bytes.set(from, at)
        this.#stamps[2 * page] = 0
        this.#pages.set(page, bytes)
      }
      done += count
    }
  }

  async flush(): Promise<void> {}
  async discard(): Promise<void> {}
  async close(): Promise<void> {}

  #stamp(page: number, bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#stamps[2 * page] = view.getUint32(0, true)
    this.#stamps[2 * page + 1] = view.getUint32(4, true)
    this.#pages.delete(page)
  }

  #fill(page: number, target: Uint8Array): void {
    fillChunk(target, this.#stamps[2 * page]! - 1, this.#stamps[2 * page + 1]! - 1)
  }

  /** The page's own memory, or a copy that is to become it. */
  #bytes(page: number): Uint8Array {
    const bytes = this.#pages.get(page)
    if (bytes !== undefined) return bytes
    const made = new Uint8Array(PAGE_BYTES)
    if (this.#stamps[2 * page] !== 0) this.#fill(page, made)
    return made
  }
}
