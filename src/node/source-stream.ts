/**
 * The bytes of a source in the order of the torrent that it becomes, in windows of one block: each byte is
 * read once, and hashed while the next window is being read, by SHA-1, by SHA-256, or by both for a hybrid.
 * What else is to be done with a window (an import writes it) goes on meanwhile.
 */
import { allocateAligned } from '../block-device/index.ts'
import {
  buildInfo,
  type FileLayout,
  fileSpans,
  HASH_BYTES,
  layoutFiles,
  type PieceLayers,
  type TorrentFormat,
  type TorrentInfo,
  TreeBuilder,
} from '../metainfo/index.ts'
import { nodeError } from './errors.ts'
import { PieceHasher } from './piece-hasher.ts'
import type { Source, SourceEntry } from './source.ts'
import { SourceReader } from './source-reader.ts'

const BUFFERS = 4
/** Small files of one window are read side by side. */
const PARALLEL_READS = 16

export interface SourcePlan {
  readonly source: Source
  readonly layout: FileLayout
  /** In the order of `layout.files`; undefined for filler. */
  readonly entries: readonly (SourceEntry | undefined)[]
}

export interface SourceStreamOptions {
  readonly blockBytes: number
  readonly private?: boolean
  readonly signal?: AbortSignal
  /** Of the content, without filler. */
  onProgress?(readBytes: number): void
  /** The window is the taker's until the promise settles. */
  take?(offset: number, window: Uint8Array): Promise<void>
}

export interface HashedSource {
  readonly info: TorrentInfo
  readonly layers: PieceLayers
}

/** How a source becomes a torrent. Reads nothing. */
export function planSource(source: Source, format: TorrentFormat): SourcePlan {
  const files = source.entries.map(({ path, bytes, executable }) => ({
    path: source.multiFile ? path : [],
    bytes,
    ...(executable && { executable: true as const }),
  }))
  const layout = layoutFiles(source.name, files, { format })
  const byPath = new Map(source.entries.map((entry) => [entry.path.join('/'), entry]))
  const entries = layout.files.map((file) =>
    file.padding ? undefined : byPath.get(file.path.join('/'))!,
  )
  return { source, layout, entries }
}

/** SOURCE_CHANGED, SOURCE_UNREADABLE, INTERRUPTED, and what `take` rejects with. */
export async function hashSource(
  { source, layout, entries }: SourcePlan,
  options: SourceStreamOptions,
): Promise<HashedSource> {
  const { blockBytes } = options
  const { format, totalBytes, pieceBytes } = layout
  const pieceHashes = new Uint8Array(Math.ceil(totalBytes / pieceBytes) * HASH_BYTES)
  const pieces = new PieceHasher(pieceBytes, (piece, digest) => {
    pieceHashes.set(digest, piece * HASH_BYTES)
  })
  const trees = new TreeBuilder(layout.files, pieceBytes)
  const hash = (window: Uint8Array): void => {
    if (format !== 'v2') pieces.update(window)
    if (format !== 'v1') trees.update(window)
  }

  const reader = new SourceReader(entries)
  const windows = Math.ceil(totalBytes / blockBytes)
  const buffers = Array.from({ length: Math.min(BUFFERS, windows) }, () =>
    allocateAligned(blockBytes),
  )
  const taken: Promise<void>[] = buffers.map(() => Promise.resolve())
  let readBytes = 0
  const fill = async (window: number): Promise<Uint8Array> => {
    const slot = window % buffers.length
    await taken[slot]
    const offset = window * blockBytes
    const view = buffers[slot]!.subarray(0, Math.min(blockBytes, totalBytes - offset))
    let at = 0
    let reads: Promise<void>[] = []
    for (const { fileIndex, fileOffset, bytes } of fileSpans(layout, offset, view.length)) {
      const part = view.subarray(at, at + bytes)
      at += bytes
      if (entries[fileIndex] === undefined) {
        part.fill(0)
        continue
      }
      if (reads.length === PARALLEL_READS) {
        await allOf(reads)
        reads = []
      }
      reads.push(reader.read(fileIndex, fileOffset, part))
      readBytes += bytes
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
      const done = readBytes
      if (window + 1 < windows) filling = fill(window + 1)
      if (options.take !== undefined) {
        const taking = options.take(window * blockBytes, view)
        // Awaited when its buffer is needed again; a rejection must not go unheard until then.
        taking.catch(() => {})
        taken[window % buffers.length] = taking
      }
      hash(view)
      options.onProgress?.(done)
    }
    await allOf(taken)
    pieces.finish()
    const files = layout.files.map((file, index) => {
      const piecesRoot = trees.roots[index]
      return piecesRoot === undefined ? file : { ...file, piecesRoot }
    })
    const info = buildInfo({ ...layout, files, pieceHashes, private: options.private === true })
    return { info, layers: format === 'v1' ? new Map() : trees.layers }
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
