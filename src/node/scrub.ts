/**
 * Reads every piece that a torrent is said to hold, hashes it again, and takes the have-bits of the
 * rotten ones away, so that the swarm (or the folder that was shared) heals them. Pieces that are in doubt
 * because their files were changed are looked at as well, and believed again when they are right.
 *
 * Invariants:
 * - a have-bit is cleared only after the piece failed twice, by two reads: one bad transfer costs nothing;
 * - every cleared bit is durable when this resolves or rejects, unless the volume itself failed;
 * - memory is two windows, whatever the size of the pieces; the rate is never made up for after a stall.
 *
 * Nothing else may use the torrent meanwhile, unless `onRotten` sees to it: an engine that has it open would
 * go on believing the bits that it read when it opened it.
 */
import { Bitfield, type Clock, delay, errnoOf, pause } from '../base/index.ts'
import { allocateAligned } from '../block-device/index.ts'
import type { PieceCheck, PieceHashes, TorrentInfo } from '../metainfo/index.ts'
import type { StoredTorrent, TorrentStore } from '../torrent-store/index.ts'
import { type Described, hashesOf } from './described.ts'
import { nodeError } from './errors.ts'

const WINDOW_BYTES = 4 * 1024 * 1024
/** Of data: a finding, no reason to stop. */
export const UNREADABLE: ReadonlySet<string> = new Set([
  'DEVICE_IO',
  'DEVICE_MISSING',
  'FILES_CHANGED',
])

export interface ScrubOptions {
  readonly clock: Clock
  /** Bytes a second at most, over any stretch longer than a window of 4 MiB. Absent: as fast as it goes. */
  readonly rateBytes?: number
  /** False only reports. Default true, unless the store was opened read-only. */
  readonly clear?: boolean
  /** Looks at the pieces in doubt alone. Default false. */
  readonly doubtedOnly?: boolean
  /**
   * The torrent is in use: instead of clearing have-bits, each rotten piece is told here, and the next one
   * is looked at when this has resolved. What is in doubt is left alone.
   */
  onRotten?(piece: number): Promise<void>
  readonly signal?: AbortSignal
  onProgress?(readBytes: number, totalBytes: number): void
}

export interface ScrubReport {
  readonly checkedPieces: number
  readonly checkedBytes: number
  /** Pieces that do not match their hash, or cannot be read; ascending. */
  readonly rottenPieces: readonly number[]
  /** Those among them that the device could not read at all. */
  readonly unreadablePieces: readonly number[]
  /** Pieces that failed once and were right when read again: cable, memory or controller. Kept. */
  readonly unsteadyPieces: readonly number[]
  /** The have-bits of the rotten pieces are gone, durably. */
  readonly cleared: boolean
}

/** A stretch of held pieces, or a part of one: what one read fetches. */
interface Window {
  readonly offset: number
  readonly bytes: number
}

type Look = 'sound' | 'rotten' | 'unreadable'

/**
 * Scrubs one torrent.
 *
 * @throws INTERRUPTED (what was found until then is cleared), and what the volume throws except for
 * what makes data unreadable, which is a finding
 */
export async function scrubTorrent(
  store: TorrentStore,
  stored: StoredTorrent,
  described: Described,
  options: ScrubOptions,
): Promise<ScrubReport> {
  const hashes = hashesOf(described)
  const inUse = options.onRotten !== undefined
  const clear = !inUse && (options.clear ?? !store.readOnly)
  const doubted = inUse ? [] : await stored.doubted()
  const pieces = new Bitfield(stored.pieceCount)
  for (const piece of doubted) pieces.set(piece)
  if (options.doubtedOnly !== true) {
    for (let piece = 0; piece < stored.pieceCount; piece++) {
      if (stored.have.has(piece)) pieces.set(piece)
    }
  }
  const inDoubt = new Set(doubted)
  const scrub = new Scrub(stored, hashes, pieces, options, (piece) => {
    if (inDoubt.has(piece)) stored.markHave(piece)
  })
  try {
    await scrub.run()
  } finally {
    if (clear && (scrub.rotten.length > 0 || inDoubt.size > 0)) {
      for (const piece of scrub.rotten) stored.clearHave(piece)
      await stored.sync()
    }
  }
  return {
    checkedPieces: scrub.checkedPieces,
    checkedBytes: scrub.checkedBytes,
    rottenPieces: scrub.rotten,
    unreadablePieces: scrub.unreadable,
    unsteadyPieces: scrub.unsteady,
    cleared: clear || inUse,
  }
}

class Scrub {
  readonly rotten: number[] = []
  readonly unreadable: number[] = []
  readonly unsteady: number[] = []
  checkedPieces = 0
  checkedBytes = 0
  readonly #stored: StoredTorrent
  readonly #hashes: PieceHashes
  readonly #info: TorrentInfo
  /** To be looked at. */
  readonly #pieces: Bitfield
  readonly #options: ScrubOptions
  readonly #sound: (piece: number) => void
  readonly #totalBytes: number
  /** When the next read may begin. */
  #dueMs: number
  /** Of the piece being hashed. */
  #check: PieceCheck | undefined
  #filled = 0
  /** A window of the piece being hashed could not be read. */
  #holed = false

  constructor(
    stored: StoredTorrent,
    hashes: PieceHashes,
    pieces: Bitfield,
    options: ScrubOptions,
    sound: (piece: number) => void,
  ) {
    this.#stored = stored
    this.#hashes = hashes
    this.#info = hashes.info
    this.#pieces = pieces
    this.#options = options
    this.#sound = sound
    this.#dueMs = options.clock.monotonicMs()
    const { pieceBytes, pieceCount } = hashes.info
    let total = pieces.count * pieceBytes
    const last = pieceCount - 1
    if (pieces.has(last)) total += hashes.pieceLength(last) - pieceBytes
    this.#totalBytes = total
  }

  async run(): Promise<void> {
    const { signal } = this.#options
    const buffers = [allocateAligned(WINDOW_BYTES), allocateAligned(WINDOW_BYTES)]
    let turn = 0
    const fetch = (window: Window): Promise<Uint8Array | undefined> => {
      const reading = this.#read(window.offset, buffers[turn]!.subarray(0, window.bytes))
      turn = 1 - turn
      // Awaited when its turn comes; a rejection must not go unheard until then.
      reading.catch(() => {})
      return reading
    }
    const windows = this.#windows()
    let next = windows.next()
    let reading = next.done === true ? undefined : fetch(next.value)
    try {
      while (next.done !== true) {
        const window = next.value
        const bytes = await reading
        if (signal?.aborted === true) {
          throw nodeError('INTERRUPTED', `the scrub of ${this.#info.name} was interrupted`)
        }
        next = windows.next()
        // One window is read while the one before is hashed.
        reading = next.done === true ? undefined : fetch(next.value)
        await this.#judge(window, bytes)
        this.checkedBytes += window.bytes
        this.#options.onProgress?.(this.checkedBytes, this.#totalBytes)
      }
    } finally {
      await reading?.catch(() => {})
    }
  }

  /** All of `pieces` in order, neighbours together, cut where the windows of the torrent begin. */
  *#windows(): Generator<Window> {
    const have = this.#pieces
    const { pieceBytes, pieceCount, totalBytes } = this.#info
    for (let piece = 0; piece < pieceCount; piece++) {
      if (!have.has(piece)) continue
      const first = piece
      while (piece + 1 < pieceCount && have.has(piece + 1)) piece++
      const end = Math.min((piece + 1) * pieceBytes, totalBytes)
      for (let offset = first * pieceBytes; offset < end; ) {
        const cut = (Math.floor(offset / WINDOW_BYTES) + 1) * WINDOW_BYTES
        const bytes = Math.min(cut, end) - offset
        yield { offset, bytes }
        offset += bytes
      }
    }
  }

  /** Undefined: the device could not read all of it. */
  async #read(offset: number, target: Uint8Array): Promise<Uint8Array | undefined> {
    await this.#pace(target.length)
    try {
      await this.#stored.read(offset, target)
      return target
    } catch (error) {
      if (UNREADABLE.has(errnoOf(error) ?? '')) return undefined
      throw error
    }
  }

  async #pace(bytes: number): Promise<void> {
    const { clock, rateBytes, signal } = this.#options
    if (rateBytes === undefined) return
    const nowMs = clock.monotonicMs()
    const startMs = Math.max(nowMs, this.#dueMs)
    this.#dueMs = startMs + (bytes / rateBytes) * 1000
    if (startMs <= nowMs) return
    // Not through a signal: a low rate makes long waits.
    if (signal === undefined) await delay(clock, startMs - nowMs)
    else await pause(clock, startMs - nowMs, signal)
  }

  async #judge(window: Window, bytes: Uint8Array | undefined): Promise<void> {
    for (let at = 0; at < window.bytes; ) {
      const piece = Math.floor((window.offset + at) / this.#info.pieceBytes)
      const size = this.#hashes.pieceLength(piece)
      const take = Math.min(size - this.#filled, window.bytes - at)
      this.#check ??= this.#hashes.begin(piece)
      if (bytes === undefined) this.#holed = true
      else this.#hash(piece, bytes.subarray(at, at + take))
      this.#filled += take
      at += take
      if (this.#filled < size) continue
      const sound = this.#matches() && !this.#holed
      this.#filled = 0
      this.#holed = false
      this.checkedPieces++
      const look = sound ? 'sound' : await this.#lookAgain(piece)
      if (look === 'sound') this.#sound(piece)
      if (!sound) await this.#note(piece, look)
    }
  }

  async #note(piece: number, look: Look): Promise<void> {
    if (look === 'sound') {
      this.unsteady.push(piece)
      return
    }
    this.rotten.push(piece)
    if (look === 'unreadable') this.unreadable.push(piece)
    await this.#options.onRotten?.(piece)
  }

  /** Reads one piece by itself: what its neighbours suffer from is not held against it. */
  async #lookAgain(piece: number): Promise<Look> {
    const { pieceBytes } = this.#info
    const size = this.#hashes.contentLength(piece)
    const buffer = allocateAligned(Math.min(WINDOW_BYTES, size))
    this.#check = this.#hashes.begin(piece)
    for (let done = 0; done < size; done += buffer.length) {
      const part = buffer.subarray(0, Math.min(buffer.length, size - done))
      const bytes = await this.#read(piece * pieceBytes + done, part)
      if (bytes === undefined) {
        this.#check = undefined
        return 'unreadable'
      }
      this.#check.update(bytes)
    }
    return this.#matches() ? 'sound' : 'rotten'
  }

  /** Goes on with the piece, as far as these bytes are its content. */
  #hash(piece: number, bytes: Uint8Array): void {
    const left = this.#hashes.contentLength(piece) - this.#filled
    if (left > 0) this.#check!.update(bytes.subarray(0, left))
  }

  /** Ends the hash of a piece. */
  #matches(): boolean {
    const verdict = this.#check!.verdict()
    this.#check = undefined
    return verdict === 'right'
  }
}
