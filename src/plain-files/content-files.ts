/**
 * The files of one torrent, as one range of bytes: opened as they are needed, made, sparse and of their full size, when their
 * first byte is written, looked at before they are believed.
 *
 * ```
 * torrent   | a ------------ | filler  | b --------- | c ----------------- |
 * disk      | CONTENT/a      | nothing | CONTENT/b   | CONTENT/c           |   and files without bytes, when the torrent is whole
 * ```
 *
 * Invariants:
 * - A file that was noted is used only when it is found with the size and time of its record; it is looked at when it is
 *   opened first. After that its record is what `makeDurable` or `recheck` found.
 * - A record is made of a file only after its data is durable, or after somebody else vouched for it (`adopt`, `recheck`).
 * - Nothing outside of `boundary` is opened or made; filler has no file.
 */
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { systemError } from '../block-device/index.ts'
import { fileSpans, type TorrentFile, type TorrentInfo } from '../metainfo/index.ts'
import type { DirectWrites } from './direct-writes.ts'
import { readAll, syncFolder, writeAll } from './durable.ts'
import { asCoded, plainFileError } from './errors.ts'
import { FileRecords, type FoundFile } from './file-records.ts'
import type { OpenFiles } from './open-files.ts'
import { type Access, locate, makeFile, makeLink, openThere } from './safe-open.ts'

const SYNCS_AT_ONCE = 4

/** What all torrents of a folder share. */
export interface ContentHost {
  readonly files: OpenFiles
  readonly directWrites: DirectWrites
}

export class ContentFiles {
  /** Empty ones and filler among them. */
  readonly files: readonly TorrentFile[]
  readonly totalBytes: number
  readonly records: FileRecords
  readonly #host: ContentHost
  /** A folder, or the only file. */
  readonly #content: string
  readonly #boundary: string
  readonly #multiFile: boolean
  /** Files that were found as noted, or made. */
  readonly #seen = new Set<number>()
  readonly #written = new Set<number>()
  /** Folders in which something was made. */
  readonly #madeIn = new Set<string>()
  readonly #noteFolder = (folder: string): void => void this.#madeIn.add(folder)

  /** `noted` are their records as they were noted; `content` is where the torrent's file or folder is, or will be; `boundary` a real path: a folder above it, or itself. */
  constructor(
    host: ContentHost,
    { files, totalBytes, multiFile }: Pick<TorrentInfo, 'files' | 'totalBytes' | 'multiFile'>,
    noted: BigUint64Array,
    content: string,
    boundary: string,
  ) {
    this.#host = host
    this.files = files
    this.totalBytes = totalBytes
    this.#multiFile = multiFile
    this.records = new FileRecords(files.length, noted)
    this.#content = content
    this.#boundary = boundary
  }

  /** Something was written that `makeDurable` has not come to. */
  get isWritten(): boolean {
    return this.#written.size > 0
  }

  // --- Bytes ---

  /** FILES_CHANGED, FILES_LINK, FILES_TAKEN, and what the system reports. */
  async write(offset: number, source: Uint8Array): Promise<void> {
    let at = 0
    for (const { fileIndex, fileOffset, bytes } of fileSpans(this, offset, source.length)) {
      const part = source.subarray(at, at + bytes)
      at += bytes
      if (this.files[fileIndex]!.padding) continue
      await this.#writePart(fileIndex, part, fileOffset)
      this.#written.add(fileIndex)
    }
  }

  /** Past the page cache as far as that is possible. */
  async #writePart(index: number, part: Uint8Array, fileOffset: number): Promise<void> {
    const { directWrites } = this.#host
    let done = directWrites.bytesOf(part, fileOffset)
    if (done > 0) {
      const direct = part.subarray(0, done)
      const withFile = (action: (file: FileHandle) => Promise<void>): Promise<void> =>
        this.#withFile(index, 'direct', action)
      if (!(await directWrites.write(direct, fileOffset, withFile))) done = 0
    }
    if (done === part.length) return
    const rest = part.subarray(done)
    await this.#withFile(index, 'write', (file) => writeAll(file, rest, fileOffset + done))
  }

  /** Errors as `write`; a file that was never written is FILES_CHANGED. */
  async read(offset: number, target: Uint8Array): Promise<void> {
    let at = 0
    for (const { fileIndex, fileOffset, bytes } of fileSpans(this, offset, target.length)) {
      const part = target.subarray(at, at + bytes)
      at += bytes
      if (this.files[fileIndex]!.padding) {
        part.fill(0)
        continue
      }
      await this.#withFile(fileIndex, 'read', async (file) => {
        const count = await readAll(file, part, fileOffset)
        if (count < bytes) throw changed(this.#pathOf(fileIndex), 'is shorter than it was')
      })
    }
  }

  /** Makes durable what was written, and its records. `whole`: there is nothing more to come, so empty files and links are made. */
  async makeDurable(whole: boolean): Promise<void> {
    if (whole) await this.#makeEmptyFiles()
    const indices = [...this.#written]
    const next = async (): Promise<void> => {
      for (let index = indices.pop(); index !== undefined; index = indices.pop()) {
        const path = this.#pathOf(index)
        this.#written.delete(index)
        await this.#withFile(index, 'write', async (file) => {
          await file.datasync()
          this.records.note(index!, await file.stat({ bigint: true }))
        })
        const loss = this.#host.files.takeLoss(path)
        if (loss !== undefined) throw systemError('sync', path, loss)
      }
    }
    const results = await Promise.allSettled(Array.from({ length: SYNCS_AT_ONCE }, next))
    for (const result of results) if (result.status === 'rejected') throw result.reason
    const folders = [...this.#madeIn]
    this.#madeIn.clear()
    for (const folder of folders) await syncFolder(folder)
  }

  async #makeEmptyFiles(): Promise<void> {
    for (const [index, file] of this.files.entries()) {
      if (file.bytes > 0 || file.padding || this.#seen.has(index)) continue
      if (file.symlink !== undefined) {
        await this.#makeLink(index, file.symlink)
        continue
      }
      await this.#withFile(index, 'write', async () => {})
      this.#written.add(index)
    }
  }

  /** A link as the torrent describes it; where something is already, that stays. */
  async #makeLink(index: number, to: readonly string[]): Promise<void> {
    this.#seen.add(index)
    const target = join(this.#content, ...to)
    await makeLink(this.#pathOf(index), this.#boundary, target, this.#noteFolder)
  }

  // --- What is believed of them ---

  /** Looks at the file anew and notes it as it is; false when it is not there, or not as it was noted. */
  async recheck(index: number): Promise<boolean> {
    const found = await this.#find(index)
    const isAsNoted = found !== undefined && this.records.isAsNoted(index, found)
    this.records.note(index, found)
    this.#seen.add(index)
    return isAsNoted
  }

  /** Notes a file that was written elsewhere. FILES_CHANGED when it is not as it was at `modifiedMs`. */
  async adopt(index: number, modifiedMs: number): Promise<void> {
    const found = await this.#find(index)
    if (
      found === undefined ||
      found.size !== BigInt(this.files[index]!.bytes) ||
      Math.abs(Number(found.mtimeNs) / 1e6 - modifiedMs) >= 1
    ) {
      throw changed(this.#pathOf(index), 'changed while it was being read')
    }
    this.records.note(index, found)
    this.#seen.add(index)
  }

  async #find(index: number): Promise<FoundFile | undefined> {
    const real = await locate(this.#pathOf(index), this.#boundary)
    if (real === undefined) return undefined
    const file = await openThere(real, 'read')
    try {
      return await file.stat({ bigint: true })
    } finally {
      await file.close()
    }
  }

  // --- Opening ---

  #withFile<T>(
    index: number,
    access: Access,
    action: (file: FileHandle) => Promise<T>,
  ): Promise<T> {
    const path = this.#pathOf(index)
    const opener = async (): Promise<FileHandle> => {
      // Made and looked at by one way only, whoever comes first.
      if (access === 'direct') await this.#withFile(index, 'write', async () => {})
      return this.#openFile(index, path, access)
    }
    return this.#host.files.use(path, access, opener, action).catch((error: unknown) => {
      throw asCoded('open', path, error)
    })
  }

  async #openFile(index: number, path: string, access: Access): Promise<FileHandle> {
    const real = await locate(path, this.#boundary)
    if (real === undefined) return this.#makeFile(index, path, access)
    const handle = await openThere(real, access)
    try {
      if (!this.#seen.has(index)) await this.#lookAt(index, path, handle, access)
      return handle
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  async #makeFile(index: number, path: string, access: Access): Promise<FileHandle> {
    if (this.records.isNoted(index)) throw changed(path, 'is not there any more')
    if (access === 'read') throw changed(path, 'was never written')
    const { bytes, executable } = this.files[index]!
    this.#seen.add(index)
    const made = await makeFile(path, this.#boundary, bytes, this.#noteFolder)
    if (executable !== true) return made
    // To be run by whoever may read it.
    const { mode } = await made.stat()
    await made.chmod(mode | ((mode & 0o444) >> 2))
    return made
  }

  async #lookAt(index: number, path: string, handle: FileHandle, access: Access): Promise<void> {
    const found = await handle.stat({ bigint: true })
    if (!this.records.isNoted(index)) {
      // Made before a crash, and not noted: no bit names it.
      const { bytes } = this.files[index]!
      if (access === 'write' && found.size !== BigInt(bytes)) await handle.truncate(bytes)
    } else if (!this.records.isAsNoted(index, found)) {
      throw changed(path, 'was changed by somebody else')
    }
    this.#seen.add(index)
  }

  #pathOf(index: number): string {
    return this.#multiFile ? join(this.#content, ...this.files[index]!.path) : this.#content
  }
}

function changed(path: string, how: string): Error {
  return plainFileError('FILES_CHANGED', `${path} ${how}`, {
    mend: 'Check it with `seedbed scrub`, then start again: what is missing is downloaded anew.',
  })
}
