/**
 * A fixed number of bits in wire order (BEP 3: the high bit of the first byte is bit 0), with its
 * count kept.
 *
 * Invariants: `count` is the number of set bits; spare bits of the last byte are zero.
 */
export class Bitfield {
  readonly length: number
  readonly bytes: Uint8Array
  #count = 0

  constructor(length: number) {
    this.length = length
    this.bytes = new Uint8Array(Math.ceil(length / 8))
  }

  /** A copy of `bytes`, or null when its size is wrong or a spare bit is set (BEP 3: drop the peer). */
  static fromWire(bytes: Uint8Array, length: number): Bitfield | null {
    if (bytes.length !== Math.ceil(length / 8)) return null
    const spare = bytes.length * 8 - length
    if (spare > 0 && (bytes[bytes.length - 1]! & ((1 << spare) - 1)) !== 0) return null
    const field = new Bitfield(length)
    field.bytes.set(bytes)
    let count = 0
    for (const byte of bytes) count += popcount(byte)
    field.#count = count
    return field
  }

  /** The bits that both have; they are of one length. */
  static intersection(a: Bitfield, b: Bitfield): Bitfield {
    const field = new Bitfield(a.length)
    let count = 0
    for (let i = 0; i < field.bytes.length; i++) {
      const byte = a.bytes[i]! & b.bytes[i]!
      field.bytes[i] = byte
      count += popcount(byte)
    }
    field.#count = count
    return field
  }

  /** Another with the same bits. */
  clone(): Bitfield {
    const field = new Bitfield(this.length)
    field.bytes.set(this.bytes)
    field.#count = this.#count
    return field
  }

  get count(): number {
    return this.#count
  }

  get full(): boolean {
    return this.#count === this.length
  }

  has(index: number): boolean {
    return (this.bytes[index >>> 3]! & (0x80 >>> (index & 7))) !== 0
  }

  /** True when the bit changed. */
  set(index: number): boolean {
    if (index < 0 || index >= this.length) throw new RangeError(`bit ${index} of ${this.length}`)
    const mask = 0x80 >>> (index & 7)
    const byte = this.bytes[index >>> 3]!
    if ((byte & mask) !== 0) return false
    this.bytes[index >>> 3] = byte | mask
    this.#count++
    return true
  }

  /** True when the bit changed. */
  clear(index: number): boolean {
    if (index < 0 || index >= this.length) throw new RangeError(`bit ${index} of ${this.length}`)
    const mask = 0x80 >>> (index & 7)
    const byte = this.bytes[index >>> 3]!
    if ((byte & mask) === 0) return false
    this.bytes[index >>> 3] = byte & ~mask
    this.#count--
    return true
  }

  setAll(): void {
    this.bytes.fill(0xff)
    const spare = this.bytes.length * 8 - this.length
    if (spare > 0) this.bytes[this.bytes.length - 1] = (0xff << spare) & 0xff
    this.#count = this.length
  }
}

function popcount(byte: number): number {
  let n = 0
  for (let b = byte; b !== 0; b &= b - 1) n++
  return n
}
