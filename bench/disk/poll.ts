/** ppoll(2) through koffi: sleeps until a descriptor can be read or a time has passed, to the microsecond. */
import { createRequire } from 'node:module'

const READABLE = 0x1
const SLOT_BYTES = 8

export class Poll {
  readonly #slots: Buffer
  readonly #timeout = new BigInt64Array(2)
  readonly #count: number
  readonly #ppoll: (slots: Buffer, count: number, timeout: Buffer | null, mask: null) => number
  readonly #timeoutBytes: Buffer

  /** Throws where koffi is not installed. */
  constructor(descriptors: readonly number[]) {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
    this.#ppoll = koffi.load(null).func('int ppoll(void*, uint64_t, void*, void*)')
    this.#count = descriptors.length
    this.#slots = Buffer.alloc(SLOT_BYTES * descriptors.length)
    this.#timeoutBytes = Buffer.from(this.#timeout.buffer)
    for (const [i, descriptor] of descriptors.entries()) {
      this.#slots.writeInt32LE(descriptor, SLOT_BYTES * i)
      this.#slots.writeInt16LE(READABLE, SLOT_BYTES * i + 4)
    }
  }

  /** Infinite: until one can be read. An interruption ends it early. */
  wait(ms: number): void {
    if (ms !== Number.POSITIVE_INFINITY) {
      const ns = Math.max(0, Math.round(ms * 1e6))
      this.#timeout[0] = BigInt(Math.floor(ns / 1e9))
      this.#timeout[1] = BigInt(ns % 1e9)
    }
    const timeout = ms === Number.POSITIVE_INFINITY ? null : this.#timeoutBytes
    for (let i = 0; i < this.#count; i++) this.#slots.writeInt16LE(0, SLOT_BYTES * i + 6)
    this.#ppoll(this.#slots, this.#count, timeout, null)
  }

  /** Whether the last wait found it readable, or at its end. */
  ready(index: number): boolean {
    return this.#slots.readInt16LE(SLOT_BYTES * index + 6) !== 0
  }
}
