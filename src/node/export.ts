/**
 * A torrent on the volume becomes ordinary files. Every piece is hashed on the way; the files grow in
 * a hidden folder beside their place and move there whole, durable, or not at all.
 */
import { constants } from 'node:fs'
import { access, mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, SeedbedError, toHex } from '../base/index.ts'
import { allocateAligned } from '../block-device/index.ts'
import type { PieceHashes, TorrentInfo } from '../metainfo/index.ts'
import type { StoredTorrent, TorrentStore } from '../torrent-store/index.ts'
import { type Described, hashesOf } from './described.ts'
import { nodeError } from './errors.ts'
import { FileWriter, syncDirectory } from './file-writer.ts'
import { PieceStream } from './piece-stream.ts'

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
  const refusal = await access(target).then(
    () => undefined,
    (error: unknown) => error,
  )
  // After a long download would be late.
  if (errnoOf(refusal) === 'ENAMETOOLONG') throw outFailed(target, refusal)
  if (refusal === undefined) {
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

/**
 * Returns the path of the file or folder. EXPORT_INCOMPLETE, EXPORT_CORRUPT, LAYERS_MISSING, OUT_EXISTS,
 * OUT_FAILED.
 */
export async function exportTorrent(
  store: Pick<TorrentStore, 'blockBytes'>,
  stored: StoredTorrent,
  described: Described,
  options: ExportOptions,
): Promise<string> {
  const { info } = described
  if (!stored.complete) {
    throw nodeError(
      'EXPORT_INCOMPLETE',
      `${info.name} has ${stored.have.count} of its ${info.pieceCount} pieces`,
      { mend: 'Let it finish downloading first.' },
    )
  }
  const hashes = hashesOf(described)
  await checkExport(options.outDir, info)
  const target = exportPath(options.outDir, info)
  const partial = join(options.outDir, `.${toHex(info.infoHash).slice(0, 16)}.seedbed-part`)
  await rm(partial, { recursive: true, force: true })
  const writer = new FileWriter(info, partial)
  try {
    await copyPieces(store, stored, hashes, writer, options)
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
  store: Pick<TorrentStore, 'blockBytes'>,
  stored: StoredTorrent,
  hashes: PieceHashes,
  writer: FileWriter,
  options: ExportOptions,
): Promise<void> {
  const { info } = hashes
  const { blockBytes } = store
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
  const checker = pieceChecker(hashes)
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
      options.onProgress?.(Math.min(block * blockBytes + view.length, info.contentBytes))
    }
    for (const write of writes) await write
  } finally {
    await Promise.allSettled([...filling, ...writes])
  }
}

/** Throws EXPORT_CORRUPT at the first piece that does not match. */
function pieceChecker(hashes: PieceHashes): PieceStream {
  const { name } = hashes.info
  return new PieceStream(hashes, (piece, verdict) => {
    if (verdict === 'right') return
    throw nodeError('EXPORT_CORRUPT', `piece ${piece} of ${name} does not match its hash`, {
      mend: 'The disk returned wrong data: check it, then download the torrent again.',
    })
  })
}

/** OUT_FAILED for what the system said. */
export function outFailed(path: string, cause: unknown): Error {
  const errno = errnoOf(cause)
  const mend =
    errno === 'ENAMETOOLONG'
      ? 'The filesystem takes no name as long: choose an --out on another one.'
      : 'Check its permissions and the free space of its disk, or choose another --out.'
  return nodeError('OUT_FAILED', `${path} cannot be written (${errno ?? String(cause)})`, {
    mend,
    cause,
  })
}
