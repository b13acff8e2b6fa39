/**
 * Making a torrent: how to cut the content, in which order its files lie, and the info dictionary.
 *
 * ```
 * v1       files back to back
 * v2       each file in pieces of its own; the gaps are nobody's
 * hybrid   as v2, the gaps written down as filler (BEP 47) for those who read v1
 * ```
 *
 * Invariant: what is made goes through `parseInfo`, so nothing leaves here that would not be let in.
 * The same files give the same info-hash wherever and in whatever order they were listed.
 */
import { type Encodable, encode } from '../bencode/index.ts'
import { metainfoError } from './errors.ts'
import { attributeLetters, encodeFileTree } from './file-tree.ts'
import { countPieces, parseInfo, placeFiles } from './info.ts'
import { checkComponent, PathTree } from './paths.ts'
import type { TorrentFile, TorrentFormat, TorrentInfo } from './types.ts'

const KIB = 1024
const MIB = 1024 * KIB

/**
 * Each step doubles the piece length while there are more than `piecesMax` pieces, up to `capBytes`.
 *
 * 4 MiB is the filesystem's block: a piece up to that size never straddles two of them, which is worth
 * 320 KiB of hashes before larger ones are taken. A piece beyond 16 MiB takes a peer long to fetch
 * before it has anything to share, which is worth 5 MiB of hashes. Past that, the info dictionary
 * itself would become the burden.
 */
const PIECE_STEPS = [
  { capBytes: 4 * MIB, piecesMax: 2048 },
  { capBytes: 16 * MIB, piecesMax: 16_384 },
  { capBytes: 256 * MIB, piecesMax: 262_144 },
] as const

/** The unit of a request: smaller pieces cost hashes and gain nothing. */
const FLOOR_BYTES = 16 * KIB
/** Content from here on has pieces of at least LARGE_FLOOR_BYTES: finer grain only costs messages. */
const LARGE_BYTES = 64 * MIB
const LARGE_FLOOR_BYTES = 256 * KIB

/**
 * A piece length for content of `totalBytes`: a power of two. At most 2,048 pieces up to 8 GiB, then
 * 4 MiB up to 64 GiB, 16 MiB at most up to 4 TiB, 256 MiB at most beyond.
 */
export function choosePieceBytes(totalBytes: number): number {
  let pieceBytes = totalBytes < LARGE_BYTES ? FLOOR_BYTES : LARGE_FLOOR_BYTES
  for (const { capBytes, piecesMax } of PIECE_STEPS) {
    while (pieceBytes < capBytes && countPieces(totalBytes, pieceBytes) > piecesMax) pieceBytes *= 2
  }
  return pieceBytes
}

/** Filler may be a sixteenth of what lies in the address space before pieces become smaller for it. */
const FILLER_SHARE = 16

/**
 * A piece length for files that each begin a piece: as `choosePieceBytes`, and smaller while filler would be
 * more than a sixteenth of the whole, as long as there are no more pieces than the steps above allow.
 */
export function choosePaddedPieceBytes(fileBytes: readonly number[]): number {
  const contentBytes = fileBytes.reduce((sum, bytes) => sum + bytes, 0)
  const wholeBytes = (pieceBytes: number): number =>
    fileBytes.reduce((sum, bytes) => sum + countPieces(bytes, pieceBytes) * pieceBytes, 0)
  let pieceBytes = choosePieceBytes(contentBytes)
  while (pieceBytes > FLOOR_BYTES) {
    const filler = wholeBytes(pieceBytes) - contentBytes
    if (filler * FILLER_SHARE <= contentBytes) break
    const pieces = wholeBytes(pieceBytes / 2) / (pieceBytes / 2)
    if (pieces > PADDED_PIECES_MAX) break
    pieceBytes /= 2
  }
  return pieceBytes
}

/** 5 MiB of hashes of v1, and 8 MiB of v2. */
const PADDED_PIECES_MAX = 262_144

export interface FileEntry {
  /** Components below the content's root; empty when the root is itself the file. */
  readonly path: readonly string[]
  readonly bytes: number
  readonly executable?: true
}

export interface FileLayout {
  readonly format: TorrentFormat
  readonly name: string
  readonly multiFile: boolean
  readonly files: readonly TorrentFile[]
  readonly totalBytes: number
  readonly pieceBytes: number
}

/**
 * Where each file goes. One entry with an empty path makes a single-file torrent. What the names are is
 * judged by `buildInfo`.
 *
 * v1 has the files in ascending order of the UTF-8 bytes of their paths joined by `/` (as `sort` has them in
 * the C locale); v2 and hybrids in that of the file tree, which compares component by component.
 */
export function layoutFiles(
  name: string,
  entries: readonly FileEntry[],
  options: { readonly format?: TorrentFormat; readonly pieceBytes?: number } = {},
): FileLayout {
  const { format = 'v1' } = options
  const contentBytes = entries.reduce((sum, { bytes }) => sum + bytes, 0)
  const only = entries.length === 1 ? entries[0]! : undefined
  // In a tree of v2 a file alone has no folder (BEP 52): it is named for itself.
  if (format === 'v2' && only?.path.length === 1) {
    return layoutFiles(only.path[0]!, [{ ...only, path: [] }], options)
  }
  const single = only !== undefined && only.path.length === 0
  const ordered = (single ? [{ ...only, path: [name] }] : sortedEntries(entries, format)).map(
    ({ path, bytes, executable }) => ({ path, bytes, ...(executable === true && { executable }) }),
  )
  const pieceBytes =
    options.pieceBytes ??
    (format === 'v1'
      ? choosePieceBytes(contentBytes)
      : choosePaddedPieceBytes(ordered.map(({ bytes }) => bytes)))
  const files = format === 'v1' ? backToBack(ordered) : placeFiles(ordered, pieceBytes)
  const last = files.at(-1)
  const totalBytes = last === undefined ? 0 : last.offset + last.bytes
  return { format, name, multiFile: !single, files, totalBytes, pieceBytes }
}

function sortedEntries(entries: readonly FileEntry[], format: TorrentFormat): FileEntry[] {
  // No name holds a NUL, which sorts before all that one may hold: a folder's files come before its twin's.
  const separator = format === 'v1' ? '/' : '\0'
  return entries
    .map((entry) => ({ entry, key: Buffer.from(entry.path.join(separator), 'utf8') }))
    .sort((a, b) => Buffer.compare(a.key, b.key))
    .map(({ entry }) => entry)
}

function backToBack(entries: readonly FileEntry[]): TorrentFile[] {
  let offset = 0
  return entries.map((entry) => {
    const file = { ...entry, offset, padding: false }
    offset += entry.bytes
    return file
  })
}

/** What an info dictionary is made of; a FileLayout has the first four. */
export interface InfoParts {
  readonly format?: TorrentFormat
  readonly name: string
  readonly multiFile: boolean
  /** With `piecesRoot` for v2 and hybrids. */
  readonly files: readonly (Pick<TorrentFile, 'path' | 'bytes' | 'padding'> &
    Partial<Pick<TorrentFile, 'executable' | 'hidden' | 'symlink' | 'piecesRoot'>>)[]
  readonly pieceBytes: number
  /** SHA-1 of each piece, 20 bytes each, back to back; nothing for v2. */
  readonly pieceHashes?: Uint8Array
  /** BEP 27. */
  readonly private?: boolean
}

/** The torrent of these parts. Throws as `parseInfo` does: METAINFO_UNSAFE_PATH, METAINFO_EMPTY, … */
export function buildInfo(parts: InfoParts): TorrentInfo {
  const { name, multiFile, files, pieceBytes, pieceHashes } = parts
  const format = parts.format ?? 'v1'
  const content = files.filter((file) => !file.padding)
  const only = content[0]
  if (only === undefined) throw metainfoError('METAINFO_EMPTY', 'there are no files')
  if (!multiFile && content.length > 1)
    throw new TypeError('a single-file torrent of several files')
  // Before they are UTF-8: the encoder would replace a lone surrogate, and the file not be found again.
  checkComponent(name)
  for (const { path } of files) path.forEach(checkComponent)
  const paths = new PathTree()
  for (const { path } of content) paths.add(path)
  const v1: { [key: string]: Encodable } = multiFile
    ? { files: files.map(encodableFile) }
    : { length: only.bytes, ...(only.executable === true ? { attr: 'x' } : {}) }
  return parseInfo(
    encode({
      ...(format === 'v2' ? {} : { ...v1, pieces: pieceHashes ?? new Uint8Array(0) }),
      ...(format === 'v1' ? {} : { 'meta version': 2, 'file tree': encodeFileTree(content) }),
      name,
      'piece length': pieceBytes,
      private: parts.private === true ? 1 : undefined,
    }),
  )
}

function encodableFile(file: InfoParts['files'][number]): Encodable {
  return {
    attr: attributeLetters(file),
    length: file.bytes,
    path: file.path,
    'symlink path': file.symlink,
  }
}
