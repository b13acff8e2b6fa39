/**
 * A device in memory: sparse, so it may claim any size. What was never written reads as zeros, what
 * was discarded reads as 0xDD, so that nobody above comes to rely on zeros.
 */
import { deviceError } from './errors.ts'
import { checkRange, checkWritable } from './range.ts'
import type { BlockDevice } from './types.ts'

const PAGE_BYTES = 65_536
const DISCARDED = 0xdd

/** Pages by number; an absent page is zeros. Copies share pages until one of them writes. */
export class SparseImage {
  #pages = new Map<number, Uint8Array>()
  /** Pages that no copy has. */
  #own = new Set<number>()

  read(offset: number, target: Uint8Array): void {
    for (let done = 0; done < target.length; ) {
      const at = offset + done
      const inPage = at % PAGE_BYTES
      const count = Math.min(PAGE_BYTES - inPage, target.length - done)
      const page = this.#pages.get((at - inPage) / PAGE_BYTES)
      if (page === undefined) target.fill(0, done, done + count)
      else target.set(page.subarray(inPage, inPage + count), done)
      done += count
    }
  }

  write(offset: number, source: Uint8Array): void {
    for (let done = 0; done < source.length; ) {
      const at = offset + done
      const inPage = at % PAGE_BYTES
      const count = Math.min(PAGE_BYTES - inPage, source.length - done)
      this.#page((at - inPage) / PAGE_BYTES).set(source.subarray(done, done + count), inPage)
      done += count
    }
  }

  /** Fills only pages that exist: a hole stays a hole. */
  discard(offset: number, bytes: number): void {
    for (let done = 0; done < bytes; ) {
      const at = offset + done
      const inPage = at % PAGE_BYTES
      const count = Math.min(PAGE_BYTES - inPage, bytes - done)
      const page = (at - inPage) / PAGE_BYTES
      if (this.#pages.has(page)) this.#page(page).fill(DISCARDED, inPage, inPage + count)
      done += count
    }
  }

  copy(): SparseImage {
    const copy = new SparseImage()
    copy.#pages = new Map(this.#pages)
    this.#own = new Set()
    return copy
  }

  /** A page to write to. */
  #page(number: number): Uint8Array {
    const known = this.#pages.get(number)
    if (known !== undefined && this.#own.has(number)) return known
    const page = known?.slice() ?? new Uint8Array(PAGE_BYTES)
    this.#pages.set(number, page)
    this.#own.add(number)
    return page
  }
}

export interface MemoryDeviceOptions {
  readonly sizeBytes: number
  /** Default 512. */
  readonly sectorBytes?: number
  readonly physicalSectorBytes?: number
  readonly readOnly?: boolean
  readonly label?: string
  /** What it holds at first; shared, not copied. */
  readonly image?: SparseImage
}

export class MemoryDevice implements BlockDevice {
  readonly label: string
  readonly sectorBytes: number
  readonly physicalSectorBytes: number
  readonly readOnly: boolean
  /** The size that a look at the device gives: whoever has it open sees it after `remeasure`. */
  realBytes: number
  #sizeBytes: number
  /** Outlives `close`, so the same bytes can be opened again. */
  readonly image: SparseImage
  #closed = false

  constructor(options: MemoryDeviceOptions) {
    this.label = options.label ?? 'memory'
    this.sectorBytes = options.sectorBytes ?? 512
    this.physicalSectorBytes = options.physicalSectorBytes ?? this.sectorBytes
    this.#sizeBytes = options.sizeBytes - (options.sizeBytes % this.sectorBytes)
    this.realBytes = this.#sizeBytes
    this.readOnly = options.readOnly ?? false
    this.image = options.image ?? new SparseImage()
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  remeasure(): void {
    const sizeBytes = this.realBytes - (this.realBytes % this.sectorBytes)
    this.#sizeBytes = Math.max(this.#sizeBytes, sizeBytes)
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    this.#check(offset, target.length)
    this.image.read(offset, target)
  }

  async write(offset: number, source: Uint8Array): Promise<void> {
    this.#check(offset, source.length)
    checkWritable(this)
    this.image.write(offset, source)
  }

  async flush(): Promise<void> {
    this.#check(0, 0)
  }

  async discard(offset: number, bytes: number): Promise<void> {
    this.#check(offset, bytes)
    checkWritable(this)
    this.image.discard(offset, bytes)
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #check(offset: number, bytes: number): void {
    if (this.#closed) throw deviceError('DEVICE_CLOSED', `${this.label} is closed`)
    checkRange(this, offset, bytes)
  }
}
