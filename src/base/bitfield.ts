/**
 * A fixed number of bits in wire order (BEP 3: the high bit of the first byte is bit 0), with its
 * count kept. One whose bits are all alike has no bytes before somebody asks for them: of thousands of torrents most are whole.
 *
 * Invariants: `count` is the number of set bits; spare bits of the last byte are zero; without bytes `count` is 0 or `length`.
 */
export class Bitfield {
  readonly length: number
  #bytes: Uint8Array | undefined
  #count = 0

  constructor(length: number) {
    this.length = length
  }

  /** Read them at once, do not keep or change them. */
  get bytes(): Uint8Array {
    return this.#bytes ?? this.#spread()
  }

  #spread(): Uint8Array {
    const bytes = new Uint8Array(Math.ceil(this.length / 8))
    if (this.#count > 0) {
      bytes.fill(0xff)
      const spare = bytes.length * 8 - this.length
      if (spare > 0) bytes[bytes.length - 1] = (0xff << spare) & 0xff
    }
    this.#bytes = bytes
    return bytes
  }

  /** A copy of `bytes`, or null when its size is wrong or a spare bit is set (BEP 3: drop the peer). */
  static fromWire(bytes: Uint8Array, length: number): Bitfield | null {
    if (bytes.length !== Math.ceil(length / 8)) return null
    const spare = bytes.length * 8 - length
    if (spare > 0 && (bytes[bytes.length - 1]! & ((1 << spare) - 1)) !== 0) return null
    const field = new Bitfield(length)
    let count = 0
    for (const byte of bytes) count += popcount(byte)
    field.#count = count
    if (count > 0 && count < length) field.#bytes = new Uint8Array(bytes)
    return field
  }

  /** The bits that both have; they are of one length. */
  static intersection(a: Bitfield, b: Bitfield): Bitfield {
    const field = new Bitfield(a.length)
    const { bytes } = field
    let count = 0
    for (let i = 0; i < bytes.length; i++) {
      const byte = a.bytes[i]! & b.bytes[i]!
      bytes[i] = byte
      count += popcount(byte)
    }
    field.#count = count
    return field
  }

  /** Another with the same bits. */
  clone(): Bitfield {
    const field = new Bitfield(this.length)
    field.#count = this.#count
    field.#bytes = this.#bytes?.slice()
    return field
  }

  get count(): number {
    return this.#count
  }

  get full(): boolean {
    return this.#count === this.length
  }

  has(index: number): boolean {
    const bytes = this.#bytes
    if (bytes === undefined) return this.#count > 0 && index >>> 0 < this.length
    return (bytes[index >>> 3]! & (0x80 >>> (index & 7))) !== 0
  }

  /** True when the bit changed. */
  set(index: number): boolean {
    if (index < 0 || index >= this.length) throw new RangeError(`bit ${index} of ${this.length}`)
    const mask = 0x80 >>> (index & 7)
    const bytes = this.#bytes ?? this.#spread()
    const byte = bytes[index >>> 3]!
    if ((byte & mask) !== 0) return false
    bytes[index >>> 3] = byte | mask
    if (++this.#count === this.length) this.#bytes = undefined
    return true
  }

  /** True when the bit changed. */
  clear(index: number): boolean {
    if (index < 0 || index >= this.length) throw new RangeError(`bit ${index} of ${this.length}`)
    const mask = 0x80 >>> (index & 7)
    const bytes = this.#bytes ?? this.#spread()
    const byte = bytes[index >>> 3]!
    if ((byte & mask) === 0) return false
    bytes[index >>> 3] = byte & ~mask
    if (--this.#count === 0) this.#bytes = undefined
    return true
  }

  setAll(): void {
    this.#bytes = undefined
    this.#count = this.length
  }
}

function popcount(byte: number): number {
  let n = 0
  for (let b = byte; b !== 0; b &= b - 1) n++
  return n
}
