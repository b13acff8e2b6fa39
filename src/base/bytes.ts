/** Small conversions between bytes and text, and integers in byte arrays. */

/**
 * V8 keeps the bytes of an array up to this long within the object, and moves them out of it, for good and for 300 bytes more,
 * when anybody looks at its `buffer`. Info-hashes are thousands: they are copied to here to be looked at.
 */
const SMALL_BYTES = 64
const small: Buffer = Buffer.alloc(SMALL_BYTES)

function toText(bytes: Uint8Array, encoding: 'hex' | 'latin1'): string {
  if (bytes.length > SMALL_BYTES) return asBuffer(bytes).toString(encoding)
  small.set(bytes)
  return small.toString(encoding, 0, bytes.length)
}

export function toHex(bytes: Uint8Array): string {
  return toText(bytes, 'hex')
}

/** Bytes of a hexadecimal string, or null when it is not one. */
export function fromHex(text: string): Uint8Array | null {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(text)) return null
  return new Uint8Array(Buffer.from(text, 'hex'))
}

export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Bytes to a string of one character a byte, and back: exact, unlike UTF-8. */
export function toLatin1(bytes: Uint8Array): string {
  return toText(bytes, 'latin1')
}

export function fromLatin1(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'))
}

/** A Buffer over the same memory. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/**
 * Copies all of `source` to `at` in `target`, at the speed of memory also where one of them is shared with another thread:
 * there V8's own `set` goes byte by byte unless both are aligned alike, seven times as slowly.
 */
export function copyBytes(target: Uint8Array, at: number, source: Uint8Array): void {
  if (source.length > 0) fill.call(target, source, at, at + source.length)
}

/** Native, and a single copy where what it fills is no longer than the filling. */
const fill: (this: Uint8Array, source: Uint8Array, from: number, to: number) => void =
  Buffer.prototype.fill

export function readU16BE(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 8) | bytes[offset + 1]!
}

export function readU32BE(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset]! << 24) |
      (bytes[offset + 1]! << 16) |
      (bytes[offset + 2]! << 8) |
      bytes[offset + 3]!) >>>
    0
  )
}

/** The same bits as int32, which V8 never puts into an object of its own, not even as the result of a call. */
export function readI32BE(bytes: Uint8Array, offset: number): number {
  return (
    (bytes[offset]! << 24) |
    (bytes[offset + 1]! << 16) |
    (bytes[offset + 2]! << 8) |
    bytes[offset + 3]!
  )
}

export function writeU16BE(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 8
  bytes[offset + 1] = value
}

export function writeU32BE(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24
  bytes[offset + 1] = value >>> 16
  bytes[offset + 2] = value >>> 8
  bytes[offset + 3] = value
}
