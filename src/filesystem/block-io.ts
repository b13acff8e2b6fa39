/**
 * Reading and writing the data of one torrent through its map. The same for stored and staged torrents.
 *
 * Invariants:
 * - writes to one block of the torrent follow each other, in order of call;
 * - a device sector is written whole: what a ragged edge does not cover is read first, or zero where
 *   the block is new;
 * - after `retire` resolved, no operation of this torrent touches the device any more, so its blocks
 *   may go to somebody else.
 */
import { assert } from '../base/index.ts'
import { AlignedPool, type BlockDevice } from '../block-device/index.ts'
import { type BlockMap, FILLER } from './block-map.ts'
import { fsError } from './errors.ts'
import type { Geometry } from './geometry.ts'

export interface IoHost {
  readonly device: BlockDevice
  readonly geometry: Geometry
  readonly bounce: AlignedPool
  /** Throws FS_CLOSED; for writes also FS_READ_ONLY, FS_FAILED. */
  assertUsable(forWrite: boolean): void
  /** A place for block `block` of a torrent, noted in its map. Throws FS_FULL. */
  allocateData(map: BlockMap, block: number): Promise<number>
  /** Defined while a change of metadata is under way, to which new writes of data give way. */
  quiet(): Promise<void> | undefined
  /** Data reached the device: the next sync has to flush. */
  noteData(): void
  /** A torrent has taken one of the blocks that it was promised. */
  noteTaken(): void
}

const BOUNCE_BYTES = 64 * 1024

export function makeBouncePool(): AlignedPool {
  return new AlignedPool(BOUNCE_BYTES, 8)
}

export class BlockIo {
  readonly #host: IoHost
  readonly #totalBytes: number
  readonly #map: BlockMap
  /** Called before a block is allocated, and after it is in the map. */
  readonly #prepare: (block: number) => Promise<void>
  readonly #mapped: (block: number) => void
  /** The last write of each block in flight. Made on first use: most torrents are only read. */
  #tails: Map<number, Promise<void>> | undefined
  #retired = false
  #active = 0
  #idle: (() => void)[] | undefined

  constructor(
    host: IoHost,
    totalBytes: number,
    map: BlockMap,
    prepare: (block: number) => Promise<void>,
    mapped: (block: number) => void,
  ) {
    this.#host = host
    this.#totalBytes = totalBytes
    this.#map = map
    this.#prepare = prepare
    this.#mapped = mapped
  }

  /** Refuses new operations (FS_REMOVED) and resolves when none is in flight. */
  async retire(): Promise<void> {
    this.#retired = true
    if (this.#active === 0) return
    this.#idle ??= []
    const idle = this.#idle
    await new Promise<void>((resolve) => idle.push(resolve))
  }

  /** Takes operations again: a commit was refused before anything happened. */
  revive(): void {
    this.#retired = false
  }

  assertLive(): void {
    if (this.#retired) throw fsError('FS_REMOVED', 'the torrent is not on the volume any more')
  }

  /** Counts `action` as an operation in flight. */
  async during<T>(action: () => Promise<T>): Promise<T> {
    this.#active++
    try {
      return await action()
    } finally {
      this.#active--
      if (this.#active === 0) for (const wake of this.#idle?.splice(0) ?? []) wake()
    }
  }

  mapped(offset: number, bytes: number): boolean {
    this.#checkRange(offset, bytes)
    const { blockBytes } = this.#host.geometry
    const last = Math.floor((offset + Math.max(1, bytes) - 1) / blockBytes)
    for (let block = Math.floor(offset / blockBytes); block <= last; block++) {
      if (block >= this.#map.blocks || this.#map.get(block) === 0) return false
    }
    return true
  }

  async write(offset: number, source: Uint8Array): Promise<void> {
    this.#host.assertUsable(true)
    this.assertLive()
    this.#checkRange(offset, source.length)
    if (source.length === 0) return
    const { blockBytes } = this.#host.geometry
    const at = offset % blockBytes
    const block = Math.floor(offset / blockBytes)
    await this.during(async () => {
      if (at + source.length <= blockBytes) return this.#writeInTurn(block, at, source)
      const parts: Promise<void>[] = []
      for (let from = -at; from < source.length; from += blockBytes) {
        const part = source.subarray(Math.max(0, from), from + blockBytes)
        parts.push(this.#writeInTurn(block + parts.length, from < 0 ? at : 0, part))
      }
      // The caller's memory is in use until all have settled.
      for (const result of await Promise.allSettled(parts)) {
        if (result.status === 'rejected') throw result.reason
      }
    })
  }

  async #writeInTurn(block: number, at: number, source: Uint8Array): Promise<void> {
    this.#tails ??= new Map()
    const tails = this.#tails
    const before = tails.get(block) ?? Promise.resolve()
    const own = before.then(() => this.#writeInBlock(block, at, source))
    const tail = own.catch(() => {})
    tails.set(block, tail)
    try {
      await own
    } finally {
      if (tails.get(block) === tail) tails.delete(block)
    }
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    this.#host.assertUsable(false)
    this.assertLive()
    this.#checkRange(offset, target.length)
    if (target.length === 0) return
    const { blockBytes } = this.#host.geometry
    await this.during(async () => {
      for (let done = 0; done < target.length; ) {
        const at = (offset + done) % blockBytes
        const block = Math.floor((offset + done) / blockBytes)
        const count = Math.min(blockBytes - at, target.length - done)
        const place = this.#map.get(block)
        if (place === 0) {
          throw fsError('FS_HOLE', `block ${block} of the torrent was never written`)
        }
        const part = target.subarray(done, done + count)
        if (place === FILLER) part.fill(0)
        else await this.#readRange(place * blockBytes + at, part)
        done += count
      }
    })
  }

  #checkRange(offset: number, bytes: number): void {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + bytes > this.#totalBytes) {
      throw fsError('FS_RANGE', `${bytes} bytes at ${offset} of ${this.#totalBytes}`)
    }
  }

  async #writeInBlock(block: number, at: number, source: Uint8Array): Promise<void> {
    const host = this.#host
    const { blockBytes, sectorBytes } = host.geometry
    for (let quiet = host.quiet(); quiet !== undefined; quiet = host.quiet()) await quiet
    let place = this.#map.get(block)
    if (place === FILLER) throw fsError('FS_RANGE', `block ${block} of the torrent is filler`)
    const fresh = place === 0
    if (fresh) {
      await this.#prepare(block)
      place = await host.allocateData(this.#map, block)
      host.noteTaken()
      this.#mapped(block)
    }
    try {
      const start = place * blockBytes + at
      const head = start % sectorBytes
      const covered = Math.ceil((head + source.length) / sectorBytes) * sectorBytes
      if (head === 0 && source.length === covered) await host.device.write(start, source)
      else if (covered <= BOUNCE_BYTES) await this.#merge(start, source, fresh)
      else await this.#writeRagged(start, source, fresh)
    } finally {
      host.noteData()
    }
  }

  /** Whole sectors in the middle as they are, the sectors at the edges merged. */
  async #writeRagged(start: number, source: Uint8Array, fresh: boolean): Promise<void> {
    const { sectorBytes } = this.#host.geometry
    const first = (sectorBytes - (start % sectorBytes)) % sectorBytes
    const last = (start + source.length) % sectorBytes
    const middle = source.subarray(first, source.length - last)
    if (first > 0) await this.#merge(start, source.subarray(0, first), fresh)
    await this.#host.device.write(start + first, middle)
    if (last > 0) {
      const tail = source.subarray(source.length - last)
      await this.#merge(start + source.length - last, tail, fresh)
    }
  }

  /** Writes a short range with the rest of its first and last sector as the device has them. */
  async #merge(start: number, source: Uint8Array, fresh: boolean): Promise<void> {
    const { device, geometry, bounce } = this.#host
    const { sectorBytes } = geometry
    const head = start % sectorBytes
    const covered = Math.ceil((head + source.length) / sectorBytes) * sectorBytes
    assert(covered <= BOUNCE_BYTES, 'a merge larger than its buffer')
    const buffer = bounce.take()
    try {
      const sectors = buffer.subarray(0, covered)
      const last = covered - sectorBytes
      if (fresh) {
        sectors.fill(0, 0, sectorBytes)
        sectors.fill(0, last)
      } else {
        if (head > 0) await device.read(start - head, sectors.subarray(0, sectorBytes))
        if (head + source.length < covered && (last > 0 || head === 0)) {
          await device.read(start - head + last, sectors.subarray(last))
        }
      }
      sectors.set(source, head)
      await device.write(start - head, sectors)
    } finally {
      bounce.give(buffer)
    }
  }

  async #readRange(start: number, target: Uint8Array): Promise<void> {
    const { device, geometry, bounce } = this.#host
    const { sectorBytes } = geometry
    const head = start % sectorBytes
    const covered = Math.ceil((head + target.length) / sectorBytes) * sectorBytes
    if (head === 0 && target.length === covered) return device.read(start, target)
    if (covered > BOUNCE_BYTES) {
      const first = (sectorBytes - head) % sectorBytes
      const last = (start + target.length) % sectorBytes
      const middle = target.length - first - last
      if (first > 0) await this.#readRange(start, target.subarray(0, first))
      await device.read(start + first, target.subarray(first, first + middle))
      if (last > 0) await this.#readRange(start + first + middle, target.subarray(first + middle))
      return
    }
    const buffer = bounce.take()
    try {
      await device.read(start - head, buffer.subarray(0, covered))
      target.set(buffer.subarray(head, head + target.length))
    } finally {
      bounce.give(buffer)
    }
  }
}
