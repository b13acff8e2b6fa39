/**
 * What uploads are served from: blocks of the volume's torrents in memory, read ahead of the chunks
 * that peers ask for, and written to the sockets from where they lie.
 *
 * ```
 * load -> loading -> ready <-> pinned (its bytes are on their way into a socket)
 *                      `-> evicted, the one not used for longest; never while pinned
 * ```
 *
 * A block is as large as the torrent's pieces, within bounds (`readBytesFor`): who asks for pieces in an order of
 * his own wants all of a piece, and its neighbour only by chance.
 *
 * Invariants:
 * - The memory is at most `capacity` slabs (read-memory.ts); who finds none waits.
 * - A block's bytes do not change while it is pinned; it covers only pieces that are on the volume.
 * - Readers of one block share one read, which is done in its turn at its disk (disk.ts).
 */
import type { StoredTorrent } from '../torrent-store/index.ts'
import type { Disk, Disks } from './disk.ts'
import type { Geometry } from './geometry.ts'
import { type Cell, ReadMemory } from './read-memory.ts'

/** Bytes of the smallest and of the largest block: powers of two, which divide the stripe. */
export const MIN_READ_BYTES: number = 64 * 1024
export const MAX_READ_BYTES: number = 512 * 1024

/** Bytes of a block of a torrent with such pieces: a power of two. */
export function readBytesFor(pieceBytes: number): number {
  let bytes = MIN_READ_BYTES
  while (bytes < pieceBytes && bytes < MAX_READ_BYTES) bytes *= 2
  return bytes
}

export interface BlockWaiter {
  /** A block it waited for is ready, or could not be read (the source was told). */
  onBlock(): void
}

/** A torrent to read from. */
export class ReadSource {
  readonly stored: StoredTorrent
  readonly geometry: Geometry
  /** Of its blocks. */
  readonly readBytes: number
  /** By number: `floor(offset / readBytes)`. */
  readonly blocks: Map<number, ReadBlock> = new Map()
  readonly failed: (error: Error) => void

  constructor(stored: StoredTorrent, geometry: Geometry, failed: (error: Error) => void) {
    this.stored = stored
    this.geometry = geometry
    this.readBytes = Math.min(readBytesFor(geometry.pieceBytes), geometry.stripeBytes)
    this.failed = failed
  }
}

export class ReadBlock {
  readonly source: ReadSource
  readonly number: number
  /** The bytes of the torrent that it holds: `from` up to before `to`. */
  readonly from: number
  readonly to: number
  cell: Cell<ReadBlock> | undefined
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
  readonly #memory: ReadMemory<ReadBlock>
  readonly #disks: Disks<ReadBlock>
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
    const slabBytes = Math.min(MAX_READ_BYTES, blockBytes)
    const capacity = Math.max(2, Math.floor(cacheBytes / slabBytes))
    this.#memory = new ReadMemory(slabBytes, capacity, allocate)
  }

  /** Slabs of memory. */
  get capacity(): number {
    return this.#memory.capacity
  }

  /** Slabs made so far. */
  get made(): number {
    return this.#memory.made
  }

  /** The ready block with these bytes, or undefined: then `load` it. */
  get(source: ReadSource, offset: number, length: number): ReadBlock | undefined {
    const block = source.blocks.get(Math.floor(offset / source.readBytes))
    if (block === undefined || !block.ready) return undefined
    if (offset < block.from || offset + length > block.to) return undefined
    this.#order.delete(block)
    this.#order.add(block)
    return block
  }

  /** Whether one block can hold these bytes. */
  fits({ readBytes }: ReadSource, offset: number, length: number): boolean {
    return offset % readBytes <= readBytes - length
  }

  /** Reads the block around `offset`, whose piece is on the volume; `waiter` hears of it. */
  load(source: ReadSource, offset: number, waiter: BlockWaiter | undefined): void {
    const number = Math.floor(offset / source.readBytes)
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
      const next = disk.nextRead
      const cell = next === undefined ? undefined : this.#cellFor(next)
      if (cell === undefined) idle++
      else {
        idle = 0
        this.#read(disk, disk.begin(), cell)
      }
    }
  }

  #read(disk: Disk<ReadBlock>, block: ReadBlock, cell: Cell<ReadBlock>): void {
    block.cell = cell
    const { source } = block
    source.stored.read(block.from, cell.bytes.subarray(0, block.to - block.from)).then(
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

  /** Memory for a block; else that of the one not used for longest, with its slab where cells are of another size. */
  #cellFor(block: ReadBlock): Cell<ReadBlock> | undefined {
    const { readBytes } = block.source
    const free = this.#memory.take(block, readBytes)
    if (free !== undefined) return free
    for (const oldest of this.#order) {
      if (oldest.pins > 0) continue
      const { slab } = oldest.cell!
      if (slab.cellBytes === readBytes) this.#forget(oldest)
      else {
        const held = [...slab.holders]
        if (held.some(({ ready, pins }) => !ready || pins > 0)) continue
        for (const other of held) this.#forget(other)
      }
      return this.#memory.take(block, readBytes)
    }
    return undefined
  }

  #forget(block: ReadBlock): void {
    block.source.blocks.delete(block.number)
    this.#order.delete(block)
    if (block.ready && block.pins === 0) this.#recycle(block)
  }

  #recycle(block: ReadBlock): void {
    if (block.cell !== undefined) this.#memory.give(block, block.cell)
    block.cell = undefined
  }

  /** As much of the block as is on the volume around `offset`: all of it when the torrent is complete. */
  #range(source: ReadSource, number: number, offset: number): { from: number; to: number } {
    const { stored, geometry } = source
    const start = number * source.readBytes
    const end = Math.min(start + source.readBytes, geometry.totalBytes)
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
