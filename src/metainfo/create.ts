/**
 * Making a torrent: how to cut the content, in which order its files lie, and the info dictionary.
 *
 * Invariant: what is made goes through `parseInfo`, so nothing leaves here that would not be let in.
 * The same files give the same info-hash wherever and in whatever order they were listed.
 */
import { type Encodable, encode } from '../bencode/index.ts'
import { metainfoError } from './errors.ts'
import { countPieces, parseInfo } from './info.ts'
import { checkComponent } from './paths.ts'
import type { TorrentFile, TorrentInfo } from './types.ts'

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

export interface FileEntry {
  /** Components below the content's root; empty when the root is itself the file. */
  readonly path: readonly string[]
  readonly bytes: number
}

export interface FileLayout {
  readonly name: string
  readonly multiFile: boolean
  readonly files: readonly TorrentFile[]
  readonly totalBytes: number
}

/**
 * Files back to back, in ascending order of the UTF-8 bytes of their paths joined by `/` (as `sort` has
 * them in the C locale). One entry with an empty path makes a single-file torrent. What the names are
 * is judged by `buildInfo`.
 */
export function layoutFiles(name: string, entries: readonly FileEntry[]): FileLayout {
  const only = entries.length === 1 ? entries[0]! : undefined
  if (only !== undefined && only.path.length === 0) {
    const file = { path: [name], bytes: only.bytes, offset: 0, padding: false }
    return { name, multiFile: false, files: [file], totalBytes: only.bytes }
  }
  const sorted = entries
    .map(({ path, bytes }) => ({ path, bytes, key: Buffer.from(path.join('/'), 'utf8') }))
    .sort((a, b) => Buffer.compare(a.key, b.key))
  const files: TorrentFile[] = []
  let offset = 0
  for (const { path, bytes } of sorted) {
    files.push({ path, bytes, offset, padding: false })
    offset += bytes
  }
  return { name, multiFile: true, files, totalBytes: offset }
}

/** What an info dictionary is made of; a FileLayout has the first three. */
export interface InfoParts {
  readonly name: string
  readonly multiFile: boolean
  readonly files: readonly Pick<TorrentFile, 'path' | 'bytes' | 'padding'>[]
  readonly pieceBytes: number
  /** SHA-1 of each piece, 20 bytes each, back to back. */
  readonly pieceHashes: Uint8Array
  /** BEP 27. */
  readonly private?: boolean
}

/** The torrent of these parts. Throws as `parseInfo` does: METAINFO_UNSAFE_PATH, METAINFO_EMPTY, … */
export function buildInfo(parts: InfoParts): TorrentInfo {
  const { name, multiFile, files, pieceBytes, pieceHashes } = parts
  const only = files[0]
  if (only === undefined) throw metainfoError('METAINFO_EMPTY', 'there are no files')
  if (!multiFile && files.length > 1) throw new TypeError('a single-file torrent of several files')
  // Before they are UTF-8: the encoder would replace a lone surrogate, and the file not be found again.
  checkComponent(name)
  for (const { path } of files) path.forEach(checkComponent)
  const content: { [key: string]: Encodable } = multiFile
    ? { files: files.map(encodableFile) }
    : { length: only.bytes }
  return parseInfo(
    encode({
      ...content,
      name,
      'piece length': pieceBytes,
      pieces: pieceHashes,
      private: parts.private === true ? 1 : undefined,
    }),
  )
}

function encodableFile(file: InfoParts['files'][number]): Encodable {
  return {
    attr: file.padding ? 'p' : undefined,
    length: file.bytes,
    path: file.path,
  }
}
