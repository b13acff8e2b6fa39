/**
 * Memory that the kernel reads and writes while JavaScript does: its address is known and stays.
 *
 * Backing stores of ArrayBuffers are not moved by the garbage collector, those of typed arrays of less than 64 bytes are: so all
 * such memory is cut from one ArrayBuffer, which lives as long as this object.
 */
import { assert } from '../../base/index.ts'
import type { Libc } from './libc.ts'

const ALIGNMENT = 64

export class PinnedMemory {
  /** Both begin at `address`, which is a multiple of 64. */
  readonly bytes: Uint8Array
  readonly words: Uint32Array
  readonly address: bigint
  readonly #base: number

  constructor(libc: Libc, byteLength: number) {
    const whole = new Uint8Array(new ArrayBuffer(byteLength + ALIGNMENT + 4096))
    const start = libc.addressOf(whole)
    const skipped = (ALIGNMENT - Number(start % BigInt(ALIGNMENT))) % ALIGNMENT
    this.bytes = whole.subarray(skipped, skipped + byteLength)
    this.words = new Uint32Array(whole.buffer, skipped, byteLength >>> 2)
    this.address = start + BigInt(skipped)
    this.#base = Number(this.address)
    assert(skipped % 4 === 0, 'memory of an ArrayBuffer is not aligned to words')
    // Addresses in user space have 47 bits (48 on arm64): a number holds them.
    assert(Number.isSafeInteger(this.#base + byteLength), 'an address has more than 53 bits')
  }

  /** The address of a byte, for a call. */
  at(offset: number): bigint {
    return this.address + BigInt(offset)
  }

  /** Writes at byte `at` a pointer to byte `target`. */
  putPointer(at: number, target: number): void {
    const pointer = this.#base + target
    this.words[at >>> 2] = pointer >>> 0
    this.words[(at >>> 2) + 1] = Math.floor(pointer / 2 ** 32)
  }

  /** A 32-bit number, or the low half of a 64-bit one whose high half is zero. */
  put(at: number, value: number): void {
    this.words[at >>> 2] = value
  }
}
