/**
 * The bytes of a source in the order of the torrent that it becomes, in windows of one block: each byte is
 * read once, and hashed while the next window is being read. What else is to be done with a window (an
 * import writes it) goes on meanwhile.
 */
import { allocateAligned } from '../block-device/index.ts'
import {
  choosePieceBytes,
  type FileLayout,
  fileSpans,
  HASH_BYTES,
  layoutFiles,
} from '../metainfo/index.ts'
import { nodeError } from './errors.ts'
import { PieceHasher } from './piece-hasher.ts'
import type { Source, SourceEntry } from './source.ts'
import { SourceReader } from './source-reader.ts'

const BUFFERS = 4
/** Small files of one window are read side by side. */
const PARALLEL_READS = 16

export interface SourceStreamOptions {
  readonly blockBytes: number
  readonly signal?: AbortSignal
  onProgress?(readBytes: number): void
  /** The window is the taker's until the promise settles. */
  take?(offset: number, window: Uint8Array): Promise<void>
}

export interface HashedSource {
  readonly layout: FileLayout
  /** In the order of `layout.files`. */
  readonly entries: readonly SourceEntry[]
  readonly pieceBytes: number
  readonly pieceHashes: Uint8Array
}

/** SOURCE_CHANGED, SOURCE_UNREADABLE, INTERRUPTED, and what `take` rejects with. */
export async function hashSource(
  source: Source,
  options: SourceStreamOptions,
): Promise<HashedSource> {
  const { totalBytes } = source
  const { blockBytes } = options
  const layout = layoutFiles(
    source.name,
    source.multiFile ? source.entries : source.entries.map(({ bytes }) => ({ path: [], bytes })),
  )
  const byPath = new Map(source.entries.map((entry) => [entry.path.join('/'), entry]))
  const entries = layout.files.map((file) => byPath.get(file.path.join('/'))!)
  const pieceBytes = choosePieceBytes(totalBytes)
  const pieceHashes = new Uint8Array(Math.ceil(totalBytes / pieceBytes) * HASH_BYTES)
  const hasher = new PieceHasher(pieceBytes, (piece, digest) => {
    pieceHashes.set(digest, piece * HASH_BYTES)
  })

  const reader = new SourceReader(entries)
  const windows = Math.ceil(totalBytes / blockBytes)
  const buffers = Array.from({ length: Math.min(BUFFERS, windows) }, () =>
    allocateAligned(blockBytes),
  )
  const taken: Promise<void>[] = buffers.map(() => Promise.resolve())
  const fill = async (window: number): Promise<Uint8Array> => {
    const slot = window % buffers.length
    await taken[slot]
    const offset = window * blockBytes
    const view = buffers[slot]!.subarray(0, Math.min(blockBytes, totalBytes - offset))
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
    for (let window = 0; window < windows; window++) {
      const view = await filling
      if (options.signal?.aborted === true) {
        throw nodeError('INTERRUPTED', `reading ${source.root} was interrupted`)
      }
      if (window + 1 < windows) filling = fill(window + 1)
      if (options.take !== undefined) {
        const taking = options.take(window * blockBytes, view)
        // Awaited when its buffer is needed again; a rejection must not go unheard until then.
        taking.catch(() => {})
        taken[window % buffers.length] = taking
      }
      hasher.update(view)
      options.onProgress?.(window * blockBytes + view.length)
    }
    await allOf(taken)
    hasher.finish()
    return { layout, entries, pieceBytes, pieceHashes }
  } finally {
    // The buffers are in use until reads and takers have settled.
    await Promise.allSettled([filling, ...taken])
    await reader.close()
  }
}

/** As Promise.all, but settles only when all have settled: the memory they fill is then nobody's. */
async function allOf(promises: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(promises)) {
    if (result.status === 'rejected') throw result.reason
  }
}
