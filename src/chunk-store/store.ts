/**
 * A torrent of the filesystem behind the interface of abstract-chunk-store.
 *
 * Invariants:
 * - every callback is called once, never before the call returns;
 * - a chunk is there when its `put` has called back, durable at the next sync: at most five seconds
 *   later, and before `close` calls back;
 * - after `close` or `destroy` was called, every further call fails with CHUNK_STORE_CLOSED; what was
 *   begun before comes to its end first.
 */
import { type Clock, InvariantError } from '../base/index.ts'
import type { StoredTorrent } from '../filesystem/index.ts'
import { chunkStoreError } from './errors.ts'
import type { Place } from './place.ts'
import type { ChunkCallback, ChunkRange, ChunkStore, DoneCallback } from './types.ts'

const SYNC_AFTER_MS = 5000

export interface StoreParts {
  readonly clock: Clock
  /** Begins when the store is made; its failure is every operation's. */
  readonly opening: Promise<Place>
  /** The volume is the store's own, and closed with it. */
  readonly own: boolean
}

const nobody = (): void => {}

export class TorrentChunkStore implements ChunkStore {
  readonly chunkLength: number
  readonly #clock: Clock
  readonly #opening: Promise<Place>
  readonly #own: boolean
  readonly #running = new Set<Promise<unknown>>()
  /** Puts of one chunk follow each other. */
  readonly #puts = new Map<number, Promise<void>>()
  #closed = false
  #cancelSync: (() => void) | undefined

  constructor(chunkLength: number, { clock, opening, own }: StoreParts) {
    this.chunkLength = chunkLength
    this.#clock = clock
    this.#opening = opening
    this.#own = own
    // Each operation awaits it; without any its failure is nobody's concern.
    opening.catch(nobody)
  }

  put(index: number, chunk: Uint8Array, done: DoneCallback = nobody): void {
    this.#run(() => {
      const before = this.#puts.get(index) ?? Promise.resolve()
      const own = before.catch(nobody).then(() => this.#put(index, chunk))
      this.#puts.set(index, own)
      return own.finally(() => {
        if (this.#puts.get(index) === own) this.#puts.delete(index)
      })
    }, done)
  }

  get(index: number, done: ChunkCallback): void
  get(index: number, range: ChunkRange | null | undefined, done: ChunkCallback): void
  get(
    index: number,
    range: ChunkRange | ChunkCallback | null | undefined,
    done: ChunkCallback = nobody,
  ): void {
    if (typeof range === 'function') this.#run(() => this.#get(index, {}), range)
    else this.#run(() => this.#get(index, range ?? {}), done)
  }

  close(done: DoneCallback = nobody): void {
    this.#end(async ({ volume }) => {
      if (this.#own) await volume.close()
      else if (!volume.readOnly) await volume.sync()
    }, done)
  }

  destroy(done: DoneCallback = nobody): void {
    this.#end(async ({ volume, stored }) => {
      await volume.remove(stored.infoHash)
      if (this.#own) await volume.close()
    }, done)
  }

  async #put(index: number, chunk: Uint8Array): Promise<void> {
    const { volume, stored } = await this.#opening
    const length = this.#lengthOf(stored, index)
    if (chunk.length !== length) {
      throw chunkStoreError(
        'CHUNK_RANGE',
        `chunk ${index} has ${length} bytes, not ${chunk.length}`,
      )
    }
    if (stored.have.has(index)) {
      if (Buffer.compare(await this.#read(stored, index, 0, length), chunk) === 0) return
      // The bit is durable, so what it stands for must not be overwritten: forget first.
      stored.clearHave(index)
      await volume.sync()
    }
    const start = index * this.chunkLength
    const { blockBytes } = volume
    for (let done = 0; done < length; ) {
      const room = blockBytes - ((start + done) % blockBytes)
      const part = chunk.subarray(done, done + room)
      await stored.write(start + done, part)
      done += part.length
    }
    stored.markHave(index)
    this.#syncSoon()
  }

  async #get(index: number, range: ChunkRange): Promise<Uint8Array> {
    const { stored } = await this.#opening
    const chunkBytes = this.#lengthOf(stored, index)
    const { offset = 0, length = chunkBytes - offset } = range
    const whole = Number.isInteger(offset) && Number.isInteger(length)
    if (!whole || offset < 0 || length < 0 || offset + length > chunkBytes) {
      throw chunkStoreError(
        'CHUNK_RANGE',
        `${length} bytes at ${offset} of chunk ${index}, which has ${chunkBytes}`,
      )
    }
    if (!stored.have.has(index)) {
      throw chunkStoreError('CHUNK_MISSING', `chunk ${index} is not there`)
    }
    return this.#read(stored, index, offset, length)
  }

  async #read(
    stored: StoredTorrent,
    index: number,
    offset: number,
    length: number,
  ): Promise<Uint8Array> {
    const target = Buffer.alloc(length)
    await stored.read(index * this.chunkLength + offset, target)
    return target
  }

  #lengthOf(stored: StoredTorrent, index: number): number {
    if (!Number.isInteger(index) || index < 0 || index >= stored.pieceCount) {
      throw chunkStoreError('CHUNK_RANGE', `chunk ${index} of ${stored.pieceCount}`)
    }
    return Math.min(this.chunkLength, stored.totalBytes - index * this.chunkLength)
  }

  #syncSoon(): void {
    if (this.#own) return
    this.#cancelSync ??= this.#clock.after(SYNC_AFTER_MS, () => {
      this.#cancelSync = undefined
      // A volume that failed says so to the next put, and to close.
      this.#track(this.#opening.then(({ volume }) => volume.sync()).catch(nobody))
    })
  }

  #run<T>(work: () => Promise<T>, done: (error: Error | null, result?: T) => void): void {
    const result = this.#closed
      ? Promise.reject(chunkStoreError('CHUNK_STORE_CLOSED', 'the store is closed'))
      : this.#track(work())
    deliver(result, done)
  }

  #end(work: (place: Place) => Promise<void>, done: DoneCallback): void {
    this.#run(async () => {
      this.#closed = true
      this.#cancelSync?.()
      const before = [...this.#running]
      await Promise.allSettled(before)
      const place = await this.#opening.catch(nobody)
      // What never opened has nothing to close.
      if (place !== undefined) await work(place)
    }, done)
  }

  #track<T>(work: Promise<T>): Promise<T> {
    const tracked: Promise<unknown> = work
      .catch(nobody)
      .finally(() => this.#running.delete(tracked))
    this.#running.add(tracked)
    return work
  }
}

/** Outside of the promise: what a callback throws is its own affair, not a rejection. */
function deliver<T>(result: Promise<T>, done: (error: Error | null, result?: T) => void): void {
  result.then(
    (value) => queueMicrotask(() => done(null, value)),
    (error: unknown) =>
      queueMicrotask(() =>
        done(error instanceof Error ? error : new InvariantError(String(error))),
      ),
  )
}
