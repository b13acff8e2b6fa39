/**
 * What uploads are served from: blocks of the volume's torrents in memory, read ahead of the chunks
 * that peers ask for, and written to the sockets from where they lie.
 *
 * ```
 * load -> loading -> ready <-> pinned (its bytes are on their way into a socket)
 *                      `-> evicted, the one not used for longest; never while pinned
 * ```
 *
 * Invariants:
 * - The buffers are at most `capacity`, all made by this cache; who finds none waits.
 * - A block's bytes do not change while it is pinned; it covers only pieces that are on the volume.
 * - Readers of one block share one read, which is done in its turn at its disk (disk.ts).
 */
import type { StoredTorrent } from '../torrent-store/index.ts'
import type { Disk, Disks } from './disk.ts'
import type { Geometry } from './geometry.ts'

/** Bytes of one block; divides the stripe. */
export const READ_BYTES: number = 512 * 1024

export interface BlockWaiter {
  /** A block it waited for is ready, or could not be read (the source was told). */
  onBlock(): void
}

/** A torrent to read from. */
export class ReadSource {
  readonly stored: StoredTorrent
  readonly geometry: Geometry
  /** By number: `floor(offset / readBytes)`. */
  readonly blocks: Map<number, ReadBlock> = new Map()
  readonly failed: (error: Error) => void

  constructor(stored: StoredTorrent, geometry: Geometry, failed: (error: Error) => void) {
    this.stored = stored
    this.geometry = geometry
    this.failed = failed
  }
}

export class ReadBlock {
  readonly source: ReadSource
  readonly number: number
  /** The bytes of the torrent that it holds: `from` up to before `to`. */
  readonly from: number
  readonly to: number
  buffer: Uint8Array | undefined
  ready = false
  pins = 0
  waiters: Set<BlockWaiter> = new Set()

  constructor(source: ReadSource, number: number, from: number, to: number) {
    this.source = source
    this.number = number
    this.from = from
    this.to = to
  }
}

export class ReadCache {
  readonly readBytes: number
  readonly capacity: number
  readonly #allocate: (bytes: number) => Uint8Array
  readonly #disks: Disks<ReadBlock>
  readonly #free: Uint8Array[] = []
  #made = 0
  /** Which disk is asked first: another one each time. */
  #turn = 0
  /** Ready blocks, the one not used for longest first. */
  readonly #order = new Set<ReadBlock>()

  constructor(
    cacheBytes: number,
    blockBytes: number,
    allocate: (bytes: number) => Uint8Array,
    disks: Disks<ReadBlock>,
  ) {
    this.#disks = disks
    disks.mayRead = () => this.#next()
    this.readBytes = Math.min(READ_BYTES, blockBytes)
    this.capacity = Math.max(2, Math.floor(cacheBytes / this.readBytes))
    this.#allocate = allocate
  }

  get made(): number {
    return this.#made
  }

  /** The ready block with these bytes, or undefined: then `load` it. */
  get(source: ReadSource, offset: number, length: number): ReadBlock | undefined {
    const block = source.blocks.get(Math.floor(offset / this.readBytes))
    if (block === undefined || !block.ready) return undefined
    if (offset < block.from || offset + length > block.to) return undefined
    this.#order.delete(block)
    this.#order.add(block)
    return block
  }

  /** Whether one block can hold these bytes. */
  fits(offset: number, length: number): boolean {
    return offset % this.readBytes <= this.readBytes - length
  }

  /** Reads the block around `offset`, whose piece is on the volume; `waiter` hears of it. */
  load(source: ReadSource, offset: number, waiter: BlockWaiter | undefined): void {
    const number = Math.floor(offset / this.readBytes)
    let block = source.blocks.get(number)
    if (block !== undefined && (offset < block.from || offset >= block.to)) {
      if (!block.ready) {
        // Begun before this piece was there; whoever waits looks again when it is done.
        if (waiter !== undefined) block.waiters.add(waiter)
        return
      }
      this.#forget(block)
      block = undefined
    }
    if (block === undefined) {
      const { from, to } = this.#range(source, number, offset)
      block = new ReadBlock(source, number, from, to)
      source.blocks.set(number, block)
      this.#diskOf(source).add(block, source.stored.position(from))
    } else if (block.ready) return
    if (waiter !== undefined) block.waiters.add(waiter)
    this.#next()
  }

  /** Pieces of the torrent that are in memory, at least a block of each, the last read first. */
  *pieces(source: ReadSource, count: number): Generator<number> {
    const { pieceBytes } = source.geometry
    const seen = new Set<number>()
    for (const block of [...source.blocks.values()].reverse()) {
      if (!block.ready) continue
      const last = Math.floor((block.to - 1) / pieceBytes)
      for (let piece = Math.floor(block.from / pieceBytes); piece <= last; piece++) {
        if (seen.size === count) return
        if (seen.has(piece)) continue
        seen.add(piece)
        yield piece
      }
    }
  }

  pin(block: ReadBlock): void {
    block.pins++
  }

  unpin(block: ReadBlock): void {
    block.pins--
    if (block.pins > 0) return
    if (block.source.blocks.get(block.number) !== block) this.#recycle(block)
    this.#next()
  }

  /** Forgets a torrent. Buffers still in use come back when they are unpinned or read. */
  drop(source: ReadSource): void {
    const disk = this.#diskOf(source)
    for (const block of [...source.blocks.values()]) {
      disk.delete(block)
      this.#forget(block)
    }
  }

  #diskOf(source: ReadSource): Disk<ReadBlock> {
    return this.#disks.of(source.stored.disk)
  }

  /** Begins what may begin, a read of each disk in turn. */
  #next(): void {
    const disks = [...this.#disks.all()]
    for (let idle = 0; idle < disks.length; ) {
      const disk = disks[this.#turn++ % disks.length]!
      const buffer = disk.canRead ? this.#buffer() : undefined
      if (buffer === undefined) idle++
      else {
        idle = 0
        this.#read(disk, disk.begin(), buffer)
      }
    }
  }

  #read(disk: Disk<ReadBlock>, block: ReadBlock, buffer: Uint8Array): void {
    block.buffer = buffer
    const { source } = block
    source.stored.read(block.from, buffer.subarray(0, block.to - block.from)).then(
      () => this.#finish(disk, block, undefined),
      (error: unknown) => this.#finish(disk, block, error),
    )
  }

  #finish(disk: Disk<ReadBlock>, block: ReadBlock, error: unknown): void {
    disk.ended()
    const { source } = block
    if (source.blocks.get(block.number) !== block) this.#recycle(block)
    else if (error !== undefined) {
      this.#forget(block)
      this.#recycle(block)
      source.failed(error instanceof Error ? error : new Error(String(error)))
    } else {
      block.ready = true
      this.#order.add(block)
    }
    const { waiters } = block
    block.waiters = new Set()
    for (const waiter of waiters) waiter.onBlock()
    this.#next()
  }

  #buffer(): Uint8Array | undefined {
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#made < this.capacity) {
      this.#made++
      return this.#allocate(this.readBytes)
    }
    for (const block of this.#order) {
      if (block.pins > 0) continue
      this.#forget(block)
      return this.#free.pop()
    }
    return undefined
  }

  #forget(block: ReadBlock): void {
    block.source.blocks.delete(block.number)
    this.#order.delete(block)
    if (block.ready && block.pins === 0) this.#recycle(block)
  }

  #recycle(block: ReadBlock): void {
    if (block.buffer !== undefined) this.#free.push(block.buffer)
    block.buffer = undefined
  }

  /** As much of the block as is on the volume around `offset`: all of it when the torrent is complete. */
  #range(source: ReadSource, number: number, offset: number): { from: number; to: number } {
    const { stored, geometry } = source
    const start = number * this.readBytes
    const end = Math.min(start + this.readBytes, geometry.totalBytes)
    if (stored.complete) return { from: start, to: end }
    let first = Math.floor(offset / geometry.pieceBytes)
    let last = first
    while (first * geometry.pieceBytes > start && stored.have.has(first - 1)) first--
    while ((last + 1) * geometry.pieceBytes < end && stored.have.has(last + 1)) last++
    return {
      from: Math.max(start, first * geometry.pieceBytes),
      to: Math.min(end, (last + 1) * geometry.pieceBytes),
    }
  }
}
