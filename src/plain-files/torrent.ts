/**
 * A torrent in a folder of ordinary files (content-files.ts): which of its pieces are there, as far as that is to be believed.
 *
 * ```
 * absent --- markHave ---> held --- its file is not as noted, or the note is damaged ---> in doubt
 *    ^                      | ^                                                             | |
 *    |                      | '----------------------- markHave: hashed again --------------' |
 *    '------ clearHave -----'------------------------- clearHave -----------------------------'
 * ```
 *
 * A have-bit is believed as long as the files beneath have the size and time that they had when it was
 * noted. Each file is looked at when it is opened first; `doubted` looks at all of them. What is in doubt stays so, over a
 * restart too, until somebody has hashed it.
 *
 * Invariants:
 * - `have` of a complete or of an unfinished torrent names only pieces whose bytes were written, or were
 *   there when their file was noted.
 * - A bit is noted durably after the data of its files, and with their size and time of that moment. Data
 *   that could not be made durable takes the bits marked since the last note with it.
 * - After `retire` no file of the torrent is open or opened.
 */
import { join } from 'node:path'
import { Bitfield } from '../base/index.ts'
import { parseInfo, type TorrentFile } from '../metainfo/index.ts'
import type { About, StoredTorrent } from '../torrent-store/index.ts'
import { ContentFiles, type ContentHost } from './content-files.ts'
import { plainFileError } from './errors.ts'
import type { HaveNote, InfoNote } from './notes.ts'
import type { NotesFolder } from './notes-folder.ts'

export interface PlainTorrentHost extends ContentHost {
  readonly notes: NotesFolder
  readonly readOnly: boolean
  /** The real path of the folder. */
  readonly root: string
  /** Throws FILES_CLOSED. */
  assertOpen(): void
  /** Something is to be noted at the next sync. */
  changed(torrent: PlainTorrent): void
  sync(): Promise<void>
  /** Counts the torrents. */
  nextNumber(): number
}

/** What of an InfoNote is kept in memory. */
export type Place = Pick<InfoNote, 'totalBytes' | 'pieceBytes' | 'addedAtMs' | 'place' | 'root'>

/** Between the places of two torrents; four thousand of them come before the numbers begin again. */
const POSITION_STEP = 2 ** 40
const POSITIONS = 4096
const NO_RECORDS = new BigUint64Array(0)

/** What has happened to a torrent since the folder was opened: to thousands of idle ones, nothing. */
class Touched {
  /** Bits that are gone though their bytes may be right: until they are marked, or cleared, they are in doubt. */
  readonly lost = new Set<number>()
  readonly underWay = new Set<Promise<unknown>>()
}

export class PlainTorrent implements StoredTorrent {
  readonly infoHash: Uint8Array
  readonly totalBytes: number
  readonly pieceBytes: number
  readonly pieceCount: number
  readonly have: Bitfield
  readonly addedAtMs: number
  readonly place: string | undefined
  /** It is shared from here, never written. */
  readonly root: string | undefined
  uploadedBytes = 0
  downloadedBytes = 0
  readonly #host: PlainTorrentHost
  readonly #number: number
  #notedUploadedBytes = 0
  #notedDownloadedBytes = 0
  /** Records of files, as they were in the note: those of `#files` are newer. */
  readonly #noteRecords: BigUint64Array
  /** Known once they were needed. */
  #files: ContentFiles | undefined
  #opening: Promise<ContentFiles> | undefined
  #touched: Touched | undefined
  /** The bits of the last note, when others were set since. */
  #noted: Uint8Array | undefined
  #unsynced = false
  #failure: Error | undefined
  #retired = false

  /** `note` is what was noted of it last: undefined when nothing was, null when that is damaged. */
  constructor(
    host: PlainTorrentHost,
    infoHash: Uint8Array,
    place: Place,
    note: HaveNote | undefined | null,
  ) {
    this.#host = host
    this.#number = host.nextNumber() % POSITIONS
    this.infoHash = infoHash
    this.totalBytes = place.totalBytes
    this.pieceBytes = place.pieceBytes
    this.addedAtMs = place.addedAtMs
    this.place = place.place
    this.root = place.root
    this.pieceCount = Math.ceil(place.totalBytes / place.pieceBytes)
    const have = note ? Bitfield.fromWire(note.have, this.pieceCount) : null
    this.have = have ?? new Bitfield(this.pieceCount)
    this.#noteRecords = note && have !== null ? note.records : NO_RECORDS
    if (note && have !== null) {
      this.uploadedBytes = note.uploadedBytes
      this.downloadedBytes = note.downloadedBytes
      this.#notedUploadedBytes = note.uploadedBytes
      this.#notedDownloadedBytes = note.downloadedBytes
    } else if (note !== undefined) {
      for (let piece = 0; piece < this.pieceCount; piece++) this.#touches.lost.add(piece)
    }
  }

  get #touches(): Touched {
    this.#touched ??= new Touched()
    return this.#touched
  }

  get complete(): boolean {
    return this.have.full
  }

  /** Of content that is shared from elsewhere, nothing: removing it frees no byte. */
  get usedBytes(): number {
    if (this.root !== undefined) return 0
    return Math.min(this.totalBytes, this.have.count * this.pieceBytes)
  }

  /** Its file or folder. */
  get contentPath(): string {
    return this.root ?? join(this.#host.root, this.place!)
  }

  /** Why it takes no more data until it is looked at anew (`doubted`). */
  get failure(): Error | undefined {
    return this.#failure
  }

  sync(): Promise<void> {
    return this.#host.sync()
  }

  async readInfo(): Promise<Uint8Array> {
    this.#assertLive()
    return (await this.#host.notes.readInfo(this.infoHash)).infoBytes
  }

  async readAttributes(): Promise<Uint8Array> {
    this.#assertLive()
    return (await this.#host.notes.readInfo(this.infoHash)).attributes
  }

  async peek<T>(look: (about: About) => T): Promise<T> {
    this.#assertLive()
    return this.#host.notes.peekInfo(this.infoHash, look)
  }

  /** The filesystem beneath does not say. */
  get aboutPosition(): number {
    return this.#number
  }

  async keepAttributes(attributes: Uint8Array): Promise<void> {
    this.#assertLive()
    await this.#during(() => this.#host.notes.writeAttributes(this.infoHash, attributes))
  }

  async readLayers(): Promise<Uint8Array> {
    this.#assertLive()
    return this.#host.notes.readLayers(this.infoHash)
  }

  async keepLayers(layers: Uint8Array): Promise<void> {
    this.#assertLive()
    await this.#during(() => this.#host.notes.writeLayers(this.infoHash, layers))
  }

  async write(offset: number, source: Uint8Array): Promise<void> {
    this.#assertWritable()
    this.#checkRange(offset, source.length)
    await this.#during(async () => {
      const files = await this.#open()
      await files.write(offset, source)
      this.#touch()
    })
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    this.#assertLive()
    this.#checkRange(offset, target.length)
    await this.#during(async () => {
      const files = await this.#open()
      await files.read(offset, target)
    })
  }

  get disk(): object {
    return this.#host
  }

  /** The filesystem beneath does not say; torrent by torrent is better than nothing. */
  position(offset: number): number {
    return this.#number * POSITION_STEP + offset
  }

  markHave(piece: number): void {
    this.#assertLive()
    if (this.#failure !== undefined) throw this.#failure
    this.#checkPiece(piece)
    this.#noted ??= this.have.bytes.slice()
    if (!this.have.set(piece)) return
    this.#touches.lost.delete(piece)
    this.#touch()
  }

  clearHave(piece: number): void {
    this.#assertLive()
    this.#checkPiece(piece)
    this.#noted ??= this.have.bytes.slice()
    const wasInDoubt = this.#touched?.lost.delete(piece) === true
    if (this.have.clear(piece) || wasInDoubt) this.#touch()
  }

  async doubted(): Promise<readonly number[]> {
    this.#assertLive()
    return this.#during(async () => {
      const files = await this.#open()
      this.#failure = undefined
      for (const [index, file] of files.files.entries()) {
        if (file.bytes === 0 || file.padding || !this.#holdsAnyOf(file)) continue
        if (!(await files.recheck(index))) this.#doubt(file)
      }
      return [...this.#touches.lost].sort((a, b) => a - b)
    })
  }

  // --- For the folder ---

  get isUnsynced(): boolean {
    return (
      this.#unsynced ||
      this.uploadedBytes !== this.#notedUploadedBytes ||
      this.downloadedBytes !== this.#notedDownloadedBytes
    )
  }

  /** Makes data durable and returns what is to be noted then; `noted` or `lose` says how that went. */
  async prepareNote(): Promise<HaveNote> {
    // From here on, what is written or marked belongs to the next note.
    this.#unsynced = false
    const have = this.have.bytes.slice()
    const { uploadedBytes, downloadedBytes } = this
    if (this.#files?.isWritten === true || this.#noted !== undefined) {
      const files = await this.#open()
      await files.makeDurable(this.have.full && this.root === undefined)
    }
    const inDoubt = (this.#touched?.lost.size ?? 0) > 0 ? await this.#noteDoubts(have) : []
    const records = this.#files?.records.words(inDoubt) ?? this.#noteRecords.slice()
    return { have, uploadedBytes, downloadedBytes, records }
  }

  /** What is in doubt is noted as held, in files that are not as they were noted: who opens it next doubts it as well. */
  async #noteDoubts(have: Uint8Array): Promise<number[]> {
    const { files } = await this.#open()
    const { lost } = this.#touches
    for (const piece of lost) have[piece >>> 3]! |= 0x80 >>> (piece & 7)
    return [...files.keys()].filter((index) => {
      const file = files[index]!
      if (file.bytes === 0 || file.padding) return false
      return this.#isAnyOf(file, (piece) => lost.has(piece))
    })
  }

  /** What `prepareNote` returned is durable. */
  noted(note: HaveNote): void {
    this.#noted = this.#unsynced ? note.have : undefined
    this.#notedUploadedBytes = note.uploadedBytes
    this.#notedDownloadedBytes = note.downloadedBytes
  }

  /** What was not noted yet cannot be believed: nobody knows what of its data the disk has. */
  lose(error: Error): void {
    this.#failure = error
    const noted = this.#noted
    if (noted === undefined) return
    for (let piece = 0; piece < this.pieceCount; piece++) {
      if (((noted[piece >>> 3]! >>> (7 - (piece & 7))) & 1) === 1) continue
      // Read again it might look right, from memory, and be gone after the next power cut.
      this.have.clear(piece)
    }
  }

  /** Notes size and time of files that were written elsewhere: all of them, `modifiedMs` as they were read. */
  async noteShared(modifiedMs: readonly (number | undefined)[]): Promise<void> {
    const files = await this.#open()
    for (const index of files.files.keys()) {
      const modified = modifiedMs[index]
      if (modified !== undefined) await files.adopt(index, modified)
    }
    for (let piece = 0; piece < this.pieceCount; piece++) this.have.set(piece)
    this.#touch()
  }

  /** Nothing of it is used any more, and nothing will be. */
  async retire(): Promise<void> {
    this.#retired = true
    await Promise.allSettled(this.#touched?.underWay ?? [])
  }

  // --- Files ---

  #open(): Promise<ContentFiles> {
    this.#opening ??= this.#load().catch((error: unknown) => {
      this.#opening = undefined
      throw error
    })
    return this.#opening
  }

  async #load(): Promise<ContentFiles> {
    const info = parseInfo((await this.#host.notes.readInfo(this.infoHash)).infoBytes)
    const boundary = this.root ?? this.#host.root
    this.#files = new ContentFiles(this.#host, info, this.#noteRecords, this.contentPath, boundary)
    return this.#files
  }

  // --- Doubts ---

  #holdsAnyOf(file: TorrentFile): boolean {
    return this.#isAnyOf(file, (piece) => this.have.has(piece) || this.#touches.lost.has(piece))
  }

  #isAnyOf(file: TorrentFile, isMeant: (piece: number) => boolean): boolean {
    const last = Math.floor((file.offset + file.bytes - 1) / this.pieceBytes)
    for (let piece = Math.floor(file.offset / this.pieceBytes); piece <= last; piece++) {
      if (isMeant(piece)) return true
    }
    return false
  }

  #doubt(file: TorrentFile): void {
    this.#noted ??= this.have.bytes.slice()
    const last = Math.floor((file.offset + file.bytes - 1) / this.pieceBytes)
    for (let piece = Math.floor(file.offset / this.pieceBytes); piece <= last; piece++) {
      if (this.have.clear(piece)) this.#touches.lost.add(piece)
    }
    this.#touch()
  }

  #touch(): void {
    this.#unsynced = true
    this.#host.changed(this)
  }

  async #during<T>(action: () => Promise<T>): Promise<T> {
    const running = action()
    this.#touches.underWay.add(running)
    try {
      return await running
    } finally {
      this.#touches.underWay.delete(running)
    }
  }

  #assertLive(): void {
    this.#host.assertOpen()
    if (this.#retired)
      throw plainFileError('FILES_REMOVED', 'the torrent is not in the folder any more')
  }

  #assertWritable(): void {
    this.#assertLive()
    if (this.#failure !== undefined) throw this.#failure
    if (this.#host.readOnly) throw plainFileError('FILES_READ_ONLY', 'opened for reading only')
    if (this.root !== undefined) {
      throw plainFileError('FILES_SHARED', `${this.root} is shared from where it lies`, {
        mend: 'Share it again: what has changed becomes a torrent of its own.',
      })
    }
  }

  #checkRange(offset: number, bytes: number): void {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + bytes > this.totalBytes) {
      throw plainFileError('FILES_RANGE', `${bytes} bytes at ${offset} of ${this.totalBytes}`)
    }
  }

  #checkPiece(piece: number): void {
    if (!Number.isInteger(piece) || piece < 0 || piece >= this.pieceCount) {
      throw plainFileError('FILES_RANGE', `piece ${piece} of ${this.pieceCount}`)
    }
  }
}
