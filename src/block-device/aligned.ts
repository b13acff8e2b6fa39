/**
 * Page-aligned memory without native code.
 *
 * V8 reserves the memory of a resizable ArrayBuffer by mapping pages, so it begins on a page; that of a
 * plain one comes from the allocator's heap, 16 bytes into something. It is a fact of the
 * implementation, not a promise, so opening a device probes it with a direct read. A growable SharedArrayBuffer
 * begins on a page as well, and reaches other threads; it is to be copied into by `copyBytes`, not by `set`.
 * Views have an explicit length: length-tracking ones are slow.
 */

interface ResizableConstructor {
  new (bytes: number, options: { readonly maxByteLength: number }): ArrayBuffer
}

interface GrowableConstructor {
  new (bytes: number, options: { readonly maxByteLength: number }): SharedArrayBuffer
}

/** What O_DIRECT asks of memory on any disk in the field. */
const ALIGNMENT = 4096

/** Zeroed memory of `bytes` bytes that begins on a page. Any multiple of the sector of it is direct. */
export function allocateAligned(bytes: number): Uint8Array {
  const Resizable = ArrayBuffer as unknown as ResizableConstructor
  const memory = new Resizable(Math.max(1, bytes), { maxByteLength: Math.max(1, bytes) })
  return new Uint8Array(memory, 0, bytes)
}

/** As `allocateAligned`, of memory that other threads can be shown. */
export function allocateShared(bytes: number): Uint8Array {
  const Growable = SharedArrayBuffer as unknown as GrowableConstructor
  const memory = new Growable(Math.max(1, bytes), { maxByteLength: Math.max(1, bytes) })
  return new Uint8Array(memory, 0, bytes)
}

/**
 * True when `bytes` lies on a multiple of `sectorBytes` in memory. Recognised by kind of buffer, so it
 * also holds for memory that came from another thread.
 */
export function isAligned(bytes: Uint8Array, sectorBytes: number): boolean {
  const memory = bytes.buffer as { readonly growable?: boolean; readonly resizable?: boolean }
  if (memory.growable !== true && memory.resizable !== true) return false
  return bytes.byteOffset % Math.min(sectorBytes, ALIGNMENT) === 0
}

/** Aligned buffers of one size, kept for the next who needs one; at most `keep` of them. */
export class AlignedPool {
  readonly bufferBytes: number
  readonly #keep: number
  readonly #free: Uint8Array[] = []

  constructor(bufferBytes: number, keep: number) {
    this.bufferBytes = bufferBytes
    this.#keep = keep
  }

  take(): Uint8Array {
    return this.#free.pop() ?? allocateAligned(this.bufferBytes)
  }

  give(buffer: Uint8Array): void {
    if (this.#free.length < this.#keep) this.#free.push(buffer)
  }
}
