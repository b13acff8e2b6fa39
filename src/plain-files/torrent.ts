/**
 * A torrent in a folder of ordinary files: its bytes go to and come from the files that they are of, which
 * are made, sparse and of their full size, when their first byte is written.
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
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { Bitfield } from '../base/index.ts'
import { systemError } from '../block-device/index.ts'
import { fileSpans, parseInfo, type TorrentFile } from '../metainfo/index.ts'
import type { About, StoredTorrent } from '../torrent-store/index.ts'
import type { DirectWrites } from './direct-writes.ts'
import { readAll, syncFolder, writeAll } from './durable.ts'
import { plainFileError } from './errors.ts'
import { FILE_RECORD_WORDS, type HaveNote, type InfoNote } from './notes.ts'
import type { OpenFiles } from './open-files.ts'
import { type Access, locate, makeFile, makeLink, openThere } from './safe-open.ts'

export interface PlainTorrentHost {
  readonly files: OpenFiles
  readonly directWrites: DirectWrites
  readonly readOnly: boolean
  /** The real path of the folder. */
  readonly root: string
  /** Throws FILES_CLOSED. */
  assertOpen(): void
  readInfoNote(infoHash: Uint8Array): Promise<InfoNote>
  /** Hands it to `look`, in memory that is used again. */
  peekInfoNote<T>(infoHash: Uint8Array, look: (note: InfoNote) => T): Promise<T>
  writeAttributes(infoHash: Uint8Array, attributes: Uint8Array): Promise<void>
  /** No bytes when there is no note, or it is damaged: layers can be fetched anew. */
  readLayersNote(infoHash: Uint8Array): Promise<Uint8Array>
  writeLayersNote(infoHash: Uint8Array, layers: Uint8Array): Promise<void>
  /** Something is to be noted at the next sync. */
  changed(torrent: PlainTorrent): void
  sync(): Promise<void>
  /** Counts the torrents. */
  nextNumber(): number
}

interface Layout {
  readonly files: readonly TorrentFile[]
  readonly totalBytes: number
  /** The content: a folder, or the only file. */
  readonly content: string
  readonly boundary: string
  readonly multiFile: boolean
}

/** What of an InfoNote is kept in memory. */
export type Place = Pick<InfoNote, 'totalBytes' | 'pieceBytes' | 'addedAtMs' | 'place' | 'root'>

/** What a file in doubt is noted with: no file has such a time and no bytes, so it is in doubt for the next who opens it, too. */
const DOUBTED_RECORD: readonly [bytes: bigint, mtimeNs: bigint] = [0n, 1n]
const SYNCS_AT_ONCE = 4
/** Between the places of two torrents; four thousand of them come before the numbers begin again. */
const POSITION_STEP = 2 ** 40
const POSITIONS = 4096

/** What has happened to a torrent's files since the folder was opened: to those of thousands of idle ones, nothing. */
class Touched {
  /** Files that were found as noted, or made. */
  readonly seen = new Set<number>()
  readonly written = new Set<number>()
  readonly madeIn = new Set<string>()
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
  #records: BigUint64Array = new BigUint64Array(0)
  #layout: Promise<Layout> | undefined
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
    if (note && have !== null) {
      this.#records = note.records
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
    return (await this.#host.readInfoNote(this.infoHash)).infoBytes
  }

  async readAttributes(): Promise<Uint8Array> {
    this.#assertLive()
    return (await this.#host.readInfoNote(this.infoHash)).attributes
  }

  async peek<T>(look: (about: About) => T): Promise<T> {
    this.#assertLive()
    return this.#host.peekInfoNote(this.infoHash, look)
  }

  /** The filesystem beneath does not say. */
  get aboutPosition(): number {
    return this.#number
  }

  async keepAttributes(attributes: Uint8Array): Promise<void> {
    this.#assertLive()
    await this.#during(() => this.#host.writeAttributes(this.infoHash, attributes))
  }

  async readLayers(): Promise<Uint8Array> {
    this.#assertLive()
    return this.#host.readLayersNote(this.infoHash)
  }

  async keepLayers(layers: Uint8Array): Promise<void> {
    this.#assertLive()
    await this.#during(() => this.#host.writeLayersNote(this.infoHash, layers))
  }

  async write(offset: number, source: Uint8Array): Promise<void> {
    this.#assertWritable()
    this.#checkRange(offset, source.length)
    await this.#during(async () => {
      const layout = await this.#open()
      let at = 0
      for (const { fileIndex, fileOffset, bytes } of fileSpans(layout, offset, source.length)) {
        const part = source.subarray(at, at + bytes)
        at += bytes
        if (layout.files[fileIndex]!.padding) continue
        await this.#writePart(layout, fileIndex, part, fileOffset)
        this.#touches.written.add(fileIndex)
      }
      this.#touch()
    })
  }

  /** Past the page cache as far as that is possible. */
  async #writePart(
    layout: Layout,
    index: number,
    part: Uint8Array,
    fileOffset: number,
  ): Promise<void> {
    const { directWrites } = this.#host
    let done = directWrites.bytesOf(part, fileOffset)
    if (done > 0) {
      const direct = part.subarray(0, done)
      const withFile = (action: (file: FileHandle) => Promise<void>): Promise<void> =>
        this.#withFile(layout, index, 'direct', action)
      if (!(await directWrites.write(direct, fileOffset, withFile))) done = 0
    }
    if (done === part.length) return
    const rest = part.subarray(done)
    await this.#withFile(layout, index, 'write', (file) => writeAll(file, rest, fileOffset + done))
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    this.#assertLive()
    this.#checkRange(offset, target.length)
    await this.#during(async () => {
      const layout = await this.#open()
      let at = 0
      for (const { fileIndex, fileOffset, bytes } of fileSpans(layout, offset, target.length)) {
        const part = target.subarray(at, at + bytes)
        at += bytes
        if (layout.files[fileIndex]!.padding) {
          part.fill(0)
          continue
        }
        await this.#withFile(layout, fileIndex, 'read', async (file) => {
          const count = await readAll(file, part, fileOffset)
          if (count < bytes) throw changed(pathOf(layout, fileIndex), 'is shorter than it was')
        })
      }
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
      const layout = await this.#open()
      this.#failure = undefined
      for (let index = 0; index < layout.files.length; index++) {
        const file = layout.files[index]!
        if (file.bytes === 0 || file.padding || !this.#holdsAnyOf(file)) continue
        const real = await locate(pathOf(layout, index), layout.boundary)
        const found = real === undefined ? undefined : await this.#stat(real)
        if (found === undefined || !this.#isAsNoted(index, found)) this.#doubt(file)
        this.#note(index, found)
        this.#touches.seen.add(index)
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
    if ((this.#touched?.written.size ?? 0) > 0 || this.#noted !== undefined)
      await this.#makeDurable()
    const records = this.#records.slice()
    if ((this.#touched?.lost.size ?? 0) > 0) await this.#noteDoubts(have, records)
    return { have, uploadedBytes, downloadedBytes, records }
  }

  /** What is in doubt is noted as held, in files that are not as they were noted: who opens it next doubts it as well. */
  async #noteDoubts(have: Uint8Array, records: BigUint64Array): Promise<void> {
    const layout = await this.#open()
    const { lost } = this.#touches
    for (const piece of lost) have[piece >>> 3]! |= 0x80 >>> (piece & 7)
    for (const [index, file] of layout.files.entries()) {
      if (file.bytes === 0 || file.padding) continue
      if (this.#isAnyOf(file, (piece) => lost.has(piece))) {
        records.set(DOUBTED_RECORD, FILE_RECORD_WORDS * index)
      }
    }
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
    const layout = await this.#open()
    for (const index of layout.files.keys()) {
      const modified = modifiedMs[index]
      if (modified === undefined) continue
      const path = pathOf(layout, index)
      const real = await locate(path, layout.boundary)
      const found = real === undefined ? undefined : await this.#stat(real)
      if (
        found === undefined ||
        found.size !== BigInt(layout.files[index]!.bytes) ||
        Math.abs(Number(found.mtimeNs) / 1e6 - modified) >= 1
      ) {
        throw changed(path, 'changed while it was being read')
      }
      this.#note(index, found)
      this.#touches.seen.add(index)
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

  #open(): Promise<Layout> {
    this.#layout ??= this.#load()
    this.#layout.catch(() => {
      this.#layout = undefined
    })
    return this.#layout
  }

  async #load(): Promise<Layout> {
    const info = parseInfo((await this.#host.readInfoNote(this.infoHash)).infoBytes)
    const words = info.files.length * FILE_RECORD_WORDS
    if (this.#records.length !== words) this.#records = new BigUint64Array(words)
    return {
      files: info.files,
      totalBytes: info.totalBytes,
      content: this.contentPath,
      boundary: this.root ?? this.#host.root,
      multiFile: info.multiFile,
    }
  }

  #withFile<T>(
    layout: Layout,
    index: number,
    access: Access,
    action: (file: FileHandle) => Promise<T>,
  ): Promise<T> {
    const path = pathOf(layout, index)
    const opener = async (): Promise<FileHandle> => {
      // Made and looked at by one way only, whoever comes first.
      if (access === 'direct') await this.#withFile(layout, index, 'write', async () => {})
      return this.#openFile(layout, index, path, access)
    }
    return this.#host.files.use(path, access, opener, action).catch((error: unknown) => {
      throw error instanceof Error && 'mend' in error ? error : systemError('open', path, error)
    })
  }

  async #openFile(
    layout: Layout,
    index: number,
    path: string,
    access: Access,
  ): Promise<FileHandle> {
    const file = layout.files[index]!
    const real = await locate(path, layout.boundary)
    if (real === undefined) {
      if (this.#isNoted(index)) throw changed(path, 'is not there any more')
      if (access === 'read') throw changed(path, 'was never written')
      this.#touches.seen.add(index)
      const noteFolder = (folder: string): void => void this.#touches.madeIn.add(folder)
      const made = await makeFile(path, layout.boundary, file.bytes, noteFolder)
      if (file.executable !== true) return made
      // To be run by whoever may read it.
      const { mode } = await made.stat()
      await made.chmod(mode | ((mode & 0o444) >> 2))
      return made
    }
    const handle = await openThere(real, access)
    try {
      if (!this.#touches.seen.has(index)) {
        const found = await handle.stat({ bigint: true })
        if (!this.#isNoted(index)) {
          // Made before a crash, and not noted: no bit names it.
          if (access === 'write' && found.size !== BigInt(file.bytes))
            await handle.truncate(file.bytes)
        } else if (!this.#isAsNoted(index, found)) {
          throw changed(path, 'was changed by somebody else')
        }
        this.#touches.seen.add(index)
      }
      return handle
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  async #makeDurable(): Promise<void> {
    const layout = await this.#open()
    if (this.have.full && this.root === undefined) await this.#makeEmptyFiles(layout)
    const indices = [...this.#touches.written]
    const next = async (): Promise<void> => {
      for (let index = indices.pop(); index !== undefined; index = indices.pop()) {
        const path = pathOf(layout, index)
        this.#touches.written.delete(index)
        await this.#withFile(layout, index, 'write', async (file) => {
          await file.datasync()
          this.#note(index!, await file.stat({ bigint: true }))
        })
        const loss = this.#host.files.takeLoss(path)
        if (loss !== undefined) throw systemError('sync', path, loss)
      }
    }
    const results = await Promise.allSettled(Array.from({ length: SYNCS_AT_ONCE }, next))
    for (const result of results) if (result.status === 'rejected') throw result.reason
    const folders = [...this.#touches.madeIn]
    this.#touches.madeIn.clear()
    for (const folder of folders) await syncFolder(folder)
  }

  async #makeEmptyFiles(layout: Layout): Promise<void> {
    for (const [index, file] of layout.files.entries()) {
      if (file.bytes > 0 || file.padding || this.#touches.seen.has(index)) continue
      if (file.symlink !== undefined) {
        await this.#makeLink(layout, index, file.symlink)
        continue
      }
      await this.#withFile(layout, index, 'write', async () => {})
      this.#touches.written.add(index)
    }
  }

  /** A link as the torrent describes it; where something is already, that stays. */
  async #makeLink(layout: Layout, index: number, to: readonly string[]): Promise<void> {
    const path = pathOf(layout, index)
    this.#touches.seen.add(index)
    const noteFolder = (folder: string): void => void this.#touches.madeIn.add(folder)
    await makeLink(path, layout.boundary, join(layout.content, ...to), noteFolder)
  }

  // --- What is noted of files ---

  async #stat(real: string): Promise<{ size: bigint; mtimeNs: bigint }> {
    const file = await openThere(real, 'read')
    try {
      return await file.stat({ bigint: true })
    } finally {
      await file.close()
    }
  }

  #isNoted(index: number): boolean {
    return this.#records[FILE_RECORD_WORDS * index + 1] !== 0n
  }

  #isAsNoted(index: number, found: { size: bigint; mtimeNs: bigint }): boolean {
    const at = FILE_RECORD_WORDS * index
    return this.#records[at] === found.size && this.#records[at + 1] === found.mtimeNs
  }

  #note(index: number, found: { size: bigint; mtimeNs: bigint } | undefined): void {
    const at = FILE_RECORD_WORDS * index
    this.#records[at] = found?.size ?? 0n
    this.#records[at + 1] = found?.mtimeNs ?? 0n
  }

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

function pathOf(layout: Layout, index: number): string {
  return layout.multiFile ? join(layout.content, ...layout.files[index]!.path) : layout.content
}

function changed(path: string, how: string): Error {
  return plainFileError('FILES_CHANGED', `${path} ${how}`, {
    mend: 'Check it with `seedbed scrub`, then start again: what is missing is downloaded anew.',
  })
}
