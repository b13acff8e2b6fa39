/**
 * A source becomes a torrent on the volume in one pass: every byte is read once, hashed, and written
 * once in whole blocks. Nothing durable names the torrent before the last byte is there, so an import
 * that is cut short leaves nothing behind.
 *
 * While block n is hashed, block n+1 is being read and block n-1 written.
 */
import { allocateAligned } from '../block-device/index.ts'
import type { StoredTorrent, Volume } from '../filesystem/index.ts'
import {
  buildInfo,
  choosePieceBytes,
  fileSpans,
  HASH_BYTES,
  layoutFiles,
  type TorrentInfo,
} from '../metainfo/index.ts'
import { nodeError } from './errors.ts'
import { PieceHasher } from './piece-hasher.ts'
import type { Source } from './source.ts'
import { SourceReader } from './source-reader.ts'

const BUFFERS = 4
/** Small files of one block are read side by side. */
const PARALLEL_READS = 16

export interface ImportOptions {
  readonly attributes: Uint8Array
  readonly private?: boolean
  readonly signal?: AbortSignal
  /** Called before an incomplete torrent of the same info-hash is removed: nobody may use it any more. */
  release(infoHash: Uint8Array): Promise<void>
  onProgress?(importedBytes: number): void
}

export interface Imported {
  readonly stored: StoredTorrent
  readonly info: TorrentInfo
  /** The volume held the same content before. */
  readonly known: boolean
}

/** NODE_NO_SPACE, SOURCE_CHANGED, SOURCE_UNREADABLE, INTERRUPTED, and what the volume throws. */
export async function importSource(
  volume: Volume,
  source: Source,
  options: ImportOptions,
): Promise<Imported> {
  const { totalBytes } = source
  const free = volume.room().largestBytes
  const needed = Math.ceil(totalBytes / volume.blockBytes)
  if (totalBytes > free) {
    throw nodeError(
      'NODE_NO_SPACE',
      `${source.root} has ${totalBytes} bytes, of which a device can take ${free} at most`,
      { mend: 'Remove torrents with `seedbed rm`, or use a larger device or image.' },
    )
  }
  const layout = layoutFiles(
    source.name,
    source.multiFile ? source.entries : source.entries.map(({ bytes }) => ({ path: [], bytes })),
  )
  const byPath = new Map(source.entries.map((entry) => [entry.path.join('/'), entry]))
  const entries = layout.files.map((file) => byPath.get(file.path.join('/'))!)
  const pieceBytes = choosePieceBytes(totalBytes)
  const pieceHashes = new Uint8Array(Math.ceil(totalBytes / pieceBytes) * HASH_BYTES)

  const reader = new SourceReader(entries)
  const staged = volume.stage(totalBytes, pieceBytes)
  const hasher = new PieceHasher(pieceBytes, (piece, digest) => {
    pieceHashes.set(digest, piece * HASH_BYTES)
  })
  const buffers = Array.from({ length: Math.min(BUFFERS, needed) }, () =>
    allocateAligned(volume.blockBytes),
  )
  const writes: Promise<void>[] = buffers.map(() => Promise.resolve())
  const fill = async (block: number): Promise<Uint8Array> => {
    const slot = block % buffers.length
    await writes[slot]
    const offset = block * volume.blockBytes
    const view = buffers[slot]!.subarray(0, Math.min(volume.blockBytes, totalBytes - offset))
    let at = 0
    let reads: Promise<void>[] = []
    for (const span of fileSpans(layout, offset, view.length)) {
      if (reads.length === PARALLEL_READS) {
        await allOf(reads)
        reads = []
      }
      reads.push(reader.read(span.fileIndex, span.fileOffset, view.subarray(at, at + span.bytes)))
      at += span.bytes
    }
    await allOf(reads)
    return view
  }

  let filling = fill(0)
  try {
    for (let block = 0; block < needed; block++) {
      const view = await filling
      if (options.signal?.aborted === true) {
        throw nodeError('INTERRUPTED', `the import of ${source.root} was interrupted`)
      }
      if (block + 1 < needed) filling = fill(block + 1)
      const write = staged.write(block * volume.blockBytes, view)
      // Awaited when its buffer is needed again; a rejection must not go unheard until then.
      write.catch(() => {})
      writes[block % buffers.length] = write
      hasher.update(view)
      options.onProgress?.(block * volume.blockBytes + view.length)
    }
    await allOf(writes)
    hasher.finish()
    const info = buildInfo({
      ...layout,
      pieceBytes,
      pieceHashes,
      private: options.private === true,
    })
    const known = volume.get(info.infoHash)
    if (known?.complete === true) {
      staged.abort()
      return { stored: known, info, known: true }
    }
    // A half-downloaded torrent of the same content gives way to the whole one.
    if (known !== undefined) {
      await options.release(info.infoHash)
      await volume.remove(info.infoHash)
    }
    const stored = await staged.commit(info.infoHash, info.infoBytes, options.attributes)
    return { stored, info, known: false }
  } catch (error) {
    // The buffers and the blocks are in use until reads and writes have settled.
    await Promise.allSettled([filling, ...writes])
    staged.abort()
    throw error
  } finally {
    await reader.close()
  }
}

/** As Promise.all, but settles only when all have settled: the memory they fill is then nobody's. */
async function allOf(promises: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(promises)) {
    if (result.status === 'rejected') throw result.reason
  }
}
