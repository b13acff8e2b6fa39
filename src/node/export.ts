/**
 * A torrent on the volume becomes ordinary files. Every piece is hashed on the way; the files grow in
 * a hidden folder beside their place and move there whole, durable, or not at all.
 */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { access, type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errnoOf, SeedbedError, toHex } from '../base/index.ts'
import { allocateAligned } from '../block-device/index.ts'
import type { StoredTorrent, Volume } from '../filesystem/index.ts'
import { fileSpans, type TorrentInfo } from '../metainfo/index.ts'
import { nodeError } from './errors.ts'

const HASH_BYTES = 20
/** Blocks being read ahead: one read at a time does not fill the queue of a fast device. */
const READS_AHEAD = 3
/** Two more: the one being hashed and the one being written. */
const BUFFERS = READS_AHEAD + 2

export interface ExportOptions {
  readonly outDir: string
  readonly signal?: AbortSignal
  onProgress?(exportedBytes: number): void
}

/** Where `info` would be exported to. */
export function exportPath(outDir: string, info: TorrentInfo): string {
  return join(outDir, info.name)
}

/** OUT_EXISTS when something is there already, OUT_FAILED when the folder cannot be written. */
export async function checkExport(outDir: string, info: TorrentInfo): Promise<void> {
  const target = exportPath(outDir, info)
  await checkOutDir(outDir)
  const there = await access(target).then(
    () => true,
    () => false,
  )
  if (there) {
    throw nodeError('OUT_EXISTS', `${target} already exists`, {
      mend: 'Move it away, or choose another folder with --out.',
    })
  }
}

/** Makes `outDir` if need be. OUT_FAILED when it cannot be made or written. */
export async function checkOutDir(outDir: string): Promise<void> {
  try {
    await mkdir(outDir, { recursive: true })
    await access(outDir, constants.W_OK)
  } catch (error) {
    throw outFailed(outDir, error)
  }
}

/** Returns the path of the file or folder. EXPORT_INCOMPLETE, EXPORT_CORRUPT, OUT_EXISTS, OUT_FAILED. */
export async function exportTorrent(
  volume: Volume,
  stored: StoredTorrent,
  info: TorrentInfo,
  options: ExportOptions,
): Promise<string> {
  if (!stored.complete) {
    throw nodeError(
      'EXPORT_INCOMPLETE',
      `${info.name} has ${stored.have.count} of its ${info.pieceCount} pieces`,
      { mend: 'Let it finish downloading first.' },
    )
  }
  await checkExport(options.outDir, info)
  const target = exportPath(options.outDir, info)
  const partial = join(options.outDir, `.${toHex(info.infoHash).slice(0, 16)}.seedbed-part`)
  await rm(partial, { recursive: true, force: true })
  const writer = new FileWriter(info, partial)
  try {
    await copyPieces(volume, stored, info, writer, options)
    await writer.finish()
    await rename(info.multiFile ? partial : join(partial, info.name), target)
    await syncDirectory(options.outDir)
  } catch (error) {
    throw error instanceof SeedbedError ? error : outFailed(target, error)
  } finally {
    await writer.close()
    await rm(partial, { recursive: true, force: true })
  }
  return target
}

async function copyPieces(
  volume: Volume,
  stored: StoredTorrent,
  info: TorrentInfo,
  writer: FileWriter,
  options: ExportOptions,
): Promise<void> {
  const { blockBytes } = volume
  const blocks = Math.ceil(info.totalBytes / blockBytes)
  const buffers = Array.from({ length: Math.min(BUFFERS, blocks) }, () =>
    allocateAligned(blockBytes),
  )
  const writes: Promise<void>[] = buffers.map(() => Promise.resolve())
  const fill = async (block: number): Promise<Uint8Array> => {
    const slot = block % buffers.length
    await writes[slot]
    const offset = block * blockBytes
    const view = buffers[slot]!.subarray(0, Math.min(blockBytes, info.totalBytes - offset))
    await stored.read(offset, view)
    return view
  }
  const checker = new PieceChecker(info)
  const filling: Promise<Uint8Array>[] = []
  const readAhead = (block: number): void => {
    if (block >= blocks) return
    const reading = fill(block)
    // Awaited when its turn comes; a rejection must not go unheard until then.
    reading.catch(() => {})
    filling.push(reading)
  }
  for (let block = 0; block < READS_AHEAD; block++) readAhead(block)
  try {
    for (let block = 0; block < blocks; block++) {
      const view = await filling.shift()!
      if (options.signal?.aborted === true) {
        throw nodeError('INTERRUPTED', `the export of ${info.name} was interrupted`)
      }
      readAhead(block + READS_AHEAD)
      const write = writer.write(block * blockBytes, view)
      write.catch(() => {})
      writes[block % buffers.length] = write
      checker.update(view)
      options.onProgress?.(block * blockBytes + view.length)
    }
    checker.finish()
    for (const write of writes) await write
  } finally {
    await Promise.allSettled([...filling, ...writes])
  }
}

/** Throws EXPORT_CORRUPT at the first piece that does not match. */
class PieceChecker {
  readonly #info: TorrentInfo
  #piece = 0
  #filled = 0
  #hash = createHash('sha1')

  constructor(info: TorrentInfo) {
    this.#info = info
  }

  update(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const take = Math.min(this.#info.pieceBytes - this.#filled, bytes.length - at)
      this.#hash.update(bytes.subarray(at, at + take))
      this.#filled += take
      at += take
      if (this.#filled === this.#info.pieceBytes) this.#check()
    }
  }

  finish(): void {
    if (this.#filled > 0) this.#check()
  }

  #check(): void {
    const at = this.#piece * HASH_BYTES
    const expected = this.#info.pieceHashes.subarray(at, at + HASH_BYTES)
    if (this.#hash.digest().compare(expected) !== 0) {
      throw nodeError(
        'EXPORT_CORRUPT',
        `piece ${this.#piece} of ${this.#info.name} does not match its hash`,
        { mend: 'The disk returned wrong data: check it, then download the torrent again.' },
      )
    }
    this.#piece++
    this.#filled = 0
    this.#hash = createHash('sha1')
  }
}

/** Files of a torrent, written in the order of the torrent's bytes; one or two are open at a time. */
class FileWriter {
  readonly #info: TorrentInfo
  readonly #root: string
  readonly #directories = new Set<string>()
  readonly #closing = new Set<Promise<void>>()
  #current: { index: number; file: FileHandle } | undefined
  #chain: Promise<void> = Promise.resolve()
  /** The first close that failed: its file is not durable. */
  #failure: unknown

  constructor(info: TorrentInfo, root: string) {
    this.#info = info
    this.#root = root
  }

  /** Ranges come in order; the memory is in use until the promise settles. */
  write(offset: number, bytes: Uint8Array): Promise<void> {
    const result = this.#chain.then(() => this.#write(offset, bytes))
    this.#chain = result.catch(() => {})
    return result
  }

  async #write(offset: number, bytes: Uint8Array): Promise<void> {
    let at = 0
    for (const span of fileSpans(this.#info, offset, bytes.length)) {
      const file = this.#info.files[span.fileIndex]!
      if (!file.padding) {
        const handle = await this.#open(span.fileIndex)
        let done = 0
        while (done < span.bytes) {
          const { bytesWritten } = await handle.write(
            bytes,
            at + done,
            span.bytes - done,
            span.fileOffset + done,
          )
          done += bytesWritten
        }
      }
      at += span.bytes
    }
  }

  async #open(index: number): Promise<FileHandle> {
    if (this.#current?.index === index) return this.#current.file
    this.#retire()
    // Bounded: closing means fsync, which a disk does one after the other anyway.
    while (this.#closing.size >= 8) await Promise.race(this.#closing)
    const file = await this.#create(index)
    this.#current = { index, file }
    return file
  }

  async #create(index: number): Promise<FileHandle> {
    const path = join(this.#root, ...this.#info.files[index]!.path)
    const directory = dirname(path)
    if (!this.#directories.has(directory)) {
      await mkdir(directory, { recursive: true })
      this.#directories.add(directory)
    }
    return open(path, 'wx')
  }

  #retire(): void {
    const file = this.#current?.file
    this.#current = undefined
    if (file === undefined) return
    const done = closeDurably(file).then(
      () => {
        this.#closing.delete(done)
      },
      (error: unknown) => {
        this.#closing.delete(done)
        this.#failure ??= error
      },
    )
    this.#closing.add(done)
  }

  /** Makes the empty files, and everything durable. */
  async finish(): Promise<void> {
    await this.#chain
    this.#retire()
    await Promise.all(this.#closing)
    if (this.#failure !== undefined) throw this.#failure
    for (const [index, file] of this.#info.files.entries()) {
      if (file.bytes === 0 && !file.padding) await closeDurably(await this.#create(index))
    }
    for (const directory of this.#directories) await syncDirectory(directory)
  }

  async close(): Promise<void> {
    await this.#chain
    this.#retire()
    await Promise.all(this.#closing)
  }
}

async function closeDurably(file: FileHandle): Promise<void> {
  try {
    await file.datasync()
  } finally {
    await file.close()
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

function outFailed(path: string, cause: unknown): Error {
  return nodeError('OUT_FAILED', `${path} cannot be written (${errnoOf(cause) ?? String(cause)})`, {
    mend: 'Check its permissions and the free space of its disk, or choose another --out.',
    cause,
  })
}
