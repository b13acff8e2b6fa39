/**
 * A torrent moves from one store to another: between devices, and between a device and a folder of ordinary
 * files, in whatever state it is. Every piece is hashed on the way.
 *
 * ```
 * made there -> pieces copied, hashed, marked; synced now and then -> synced -> removed here
 * ```
 *
 * Invariants: it is removed from the one store only when the other has durably all that was right of it; cut
 * short, it is in both, and moving it again goes on from there; a piece that is wrong is left behind, and told.
 * Nothing else may use the torrent meanwhile.
 */
import { errnoOf, toHex } from '../base/index.ts'
import { allocateAligned } from '../block-device/index.ts'
import { fillerOf, PieceHashes, readPieceLayers, type TorrentInfo } from '../metainfo/index.ts'
import type { StoredTorrent, TorrentStore } from '../torrent-store/index.ts'
import { nodeError } from './errors.ts'
import { UNREADABLE } from './scrub.ts'

/** What a move that is cut short has to copy again, at most. */
const SYNC_BYTES: number = 256 * 1024 * 1024

export interface MoveOptions {
  readonly signal?: AbortSignal
  onProgress?(bytes: number, totalBytes: number): void
}

export interface MoveReport {
  readonly stored: StoredTorrent
  readonly movedPieces: number
  readonly movedBytes: number
  /** Pieces that the store held and that are wrong, or cannot be read: not taken along. */
  readonly rottenPieces: readonly number[]
}

/** INTERRUPTED, and what the stores reject with. */
export async function moveTorrent(
  from: TorrentStore,
  to: TorrentStore,
  stored: StoredTorrent,
  info: TorrentInfo,
  options: MoveOptions = {},
): Promise<MoveReport> {
  const doubted = await stored.doubted()
  const layers = await stored.readLayers()
  const target = to.get(stored.infoHash) ?? (await create(to, stored, info, layers))
  await target.doubted()
  const copy = new Copy(from, to, stored, target, info, layers, options)
  await copy.run(doubted)
  target.uploadedBytes = Math.max(target.uploadedBytes, stored.uploadedBytes)
  target.downloadedBytes = Math.max(target.downloadedBytes, stored.downloadedBytes)
  await target.sync()
  await from.remove(stored.infoHash)
  const { movedPieces, movedBytes, rottenPieces } = copy
  return { stored: target, movedPieces, movedBytes, rottenPieces }
}

async function create(
  to: TorrentStore,
  stored: StoredTorrent,
  info: TorrentInfo,
  layers: Uint8Array,
): Promise<StoredTorrent> {
  const { infoHash, totalBytes, pieceBytes } = stored
  const beside = { layers, filler: fillerOf(info) }
  const attributes = await stored.readAttributes()
  return to.create({ infoHash, totalBytes, pieceBytes }, info.infoBytes, attributes, beside)
}

class Copy {
  movedPieces = 0
  movedBytes = 0
  readonly rottenPieces: number[] = []
  readonly #stored: StoredTorrent
  readonly #target: StoredTorrent
  readonly #hashes: PieceHashes
  readonly #options: MoveOptions
  /** No read and no write crosses a block of either store. */
  readonly #blockBytes: number
  readonly #buffers: readonly [Uint8Array, Uint8Array]
  #unsynced = 0

  constructor(
    from: TorrentStore,
    to: TorrentStore,
    stored: StoredTorrent,
    target: StoredTorrent,
    info: TorrentInfo,
    layers: Uint8Array,
    options: MoveOptions,
  ) {
    this.#stored = stored
    this.#target = target
    this.#hashes = new PieceHashes(info, readPieceLayers(info, layers, { prove: true }))
    this.#options = options
    this.#blockBytes = Math.min(from.blockBytes, to.blockBytes)
    this.#buffers = [allocateAligned(this.#blockBytes), allocateAligned(this.#blockBytes)]
  }

  /** `doubted` are pieces that may be right, beside those that are held. */
  async run(doubted: readonly number[]): Promise<void> {
    const { have, pieceCount } = this.#stored
    const inDoubt = new Set(doubted)
    const pieces: number[] = []
    let totalBytes = 0
    for (let piece = 0; piece < pieceCount; piece++) {
      const isHere = have.has(piece) || inDoubt.has(piece)
      if (!isHere || this.#target.have.has(piece)) continue
      pieces.push(piece)
      totalBytes += this.#hashes.contentLength(piece)
    }
    for (const piece of pieces) {
      // Memory, cables and controllers err as well, and what is left behind is gone with the torrent.
      if (!(await this.#piece(piece)) && !(await this.#piece(piece))) this.rottenPieces.push(piece)
      this.#options.onProgress?.(this.movedBytes, totalBytes)
    }
  }

  /** False when it is wrong, or cannot be read. */
  async #piece(piece: number): Promise<boolean> {
    const length = this.#hashes.contentLength(piece)
    const start = piece * this.#stored.pieceBytes
    const check = this.#hashes.begin(piece)
    let turn = 0
    let writing: Promise<void> = Promise.resolve()
    try {
      for (let done = 0; done < length; ) {
        if (this.#options.signal?.aborted === true) {
          throw nodeError('INTERRUPTED', `moving ${toHex(this.#stored.infoHash)} was interrupted`)
        }
        const offset = start + done
        const room = this.#blockBytes - (offset % this.#blockBytes)
        const part = this.#buffers[turn]!.subarray(0, Math.min(room, length - done))
        turn = 1 - turn
        if (!(await this.#read(offset, part))) return false
        // One part is read while the one before is written.
        await writing
        writing = this.#target.write(offset, part)
        writing.catch(() => {})
        check.update(part)
        done += part.length
      }
      await writing
    } finally {
      await writing.catch(() => {})
    }
    if (check.verdict() !== 'right') return false
    this.movedBytes += length
    this.#target.markHave(piece)
    this.movedPieces++
    this.#unsynced += length
    if (this.#unsynced < SYNC_BYTES) return true
    this.#unsynced = 0
    await this.#target.sync()
    return true
  }

  /** False when the disk cannot read it: moving away from a disk that fails is what this is for. */
  async #read(offset: number, part: Uint8Array): Promise<boolean> {
    try {
      await this.#stored.read(offset, part)
      return true
    } catch (error) {
      if (UNREADABLE.has(errnoOf(error) ?? '')) return false
      throw error
    }
  }
}
