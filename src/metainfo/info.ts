/**
 * The info dictionary (BEP 3, 27, 47, 52): from bytes that a stranger made to a TorrentInfo that the other
 * rooms believe without looking again.
 *
 *   name          text: the file's name, or the folder's
 *   piece length  1 to PIECE_BYTES_MAX; with v2 a power of two from 16 KiB
 *   private       1 for true
 *
 *   pieces        20 bytes for each piece of the content             } v1
 *   length        bytes of the one file                } one of      }
 *   files         list of { length, path, attr, … }    } the two     }
 *
 *   meta version  2                                                  } v2
 *   file tree     see file-tree.ts                                   }
 *
 * Invariants of what comes out: `files` lie back to back from offset 0 to `totalBytes`, a safe integer;
 * `contentBytes` is at least 1; `pieceCount` is the quotient rounded up, and `pieceHashes` has as many or
 * none; with v2 every file that has bytes begins a piece; paths are safe and distinct (see paths.ts;
 * filler is exempt from distinctness, since clients repeat its names); the hashes are taken over the
 * bytes as received, canonical or not; both parts of a hybrid describe the same.
 */
import { createHash } from 'node:crypto'
import {
  asDictionary,
  asText,
  type BencodeDictionary,
  BencodeError,
  decodeDictionary,
  getBytes,
  getDictionary,
  getInteger,
  getList,
  getText,
} from '../bencode/index.ts'
import { readAttributes, readLength, readSymlink } from './attributes.ts'
import { metainfoError, quoted } from './errors.ts'
import { readFileTree, type TreeFile } from './file-tree.ts'
import {
  FILES_MAX,
  HASH_BYTES,
  PATH_COMPONENTS_MAX,
  PIECE_BYTES_MAX,
  TORRENT_BYTES_MAX,
} from './limits.ts'
import { MERKLE_LEAF_BYTES } from './merkle.ts'
import { checkComponent, PathTree } from './paths.ts'
import type { TorrentFile, TorrentInfo } from './types.ts'

/**
 * Validates an info dictionary. `bytes` is kept (`infoBytes`), and `pieceHashes` is a view of it: hand over bytes
 * that nobody writes to any more. Throws METAINFO_ errors.
 */
export function parseInfo(bytes: Uint8Array): TorrentInfo {
  // A plain array even where a Buffer came in, so that equal torrents are deeply equal.
  const infoBytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const info = decodeInfo(infoBytes)
  const hasV2 = readVersion(info) === 2
  const pieceHashes = getBytes(info, 'pieces')
  if (pieceHashes === undefined && !hasV2) throw bad('the info dictionary has no pieces')
  const name = readText(info, 'name')
  if (name === undefined) throw bad('the info dictionary has no name')
  checkComponent(name)
  const pieceBytes = readPieceBytes(info, hasV2)
  const v1 = pieceHashes === undefined ? undefined : readV1Files(info, name)
  const v2 = hasV2 ? readV2Files(info, pieceBytes) : undefined
  const { files, multiFile } =
    v1 === undefined ? v2! : v2 === undefined ? v1 : joined(v1, v2, pieceBytes)
  const totalBytes = endOf(files)
  const contentBytes = files.reduce((sum, file) => sum + (file.padding ? 0 : file.bytes), 0)
  if (contentBytes === 0) throw metainfoError('METAINFO_EMPTY', 'the torrent holds no bytes')
  const pieceCount = countPieces(totalBytes, pieceBytes)
  if (pieceHashes !== undefined && pieceHashes.length !== pieceCount * HASH_BYTES) {
    throw metainfoError(
      'METAINFO_BAD_PIECES',
      `${totalBytes} bytes in pieces of ${pieceBytes} need ${pieceCount} hashes of 20 bytes, ` +
        `not ${pieceHashes.length} bytes of them`,
    )
  }
  const sha256 = hasV2 ? digest('sha256', infoBytes) : undefined
  return {
    format: v2 === undefined ? 'v1' : v1 === undefined ? 'v2' : 'hybrid',
    infoHash: v1 === undefined ? sha256!.slice(0, HASH_BYTES) : digest('sha1', infoBytes),
    infoHashV2: sha256,
    infoBytes,
    // BEP 52: a file alone in its tree has its name there, and no folder, whatever the torrent is called.
    name: multiFile ? name : files[0]!.path[0]!,
    multiFile,
    files,
    totalBytes,
    contentBytes,
    pieceBytes,
    pieceCount,
    pieceHashes: pieceHashes ?? new Uint8Array(0),
    private: getInteger(info, 'private') === 1,
  }
}

interface FileList {
  readonly files: readonly TorrentFile[]
  readonly multiFile: boolean
}

function digest(algorithm: 'sha1' | 'sha256', bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash(algorithm).update(bytes).digest())
}

function endOf(files: readonly TorrentFile[]): number {
  const last = files[files.length - 1]!
  return last.offset + last.bytes
}

/** Pieces of `totalBytes`, the last one perhaps short. Exact for every safe integer. */
export function countPieces(totalBytes: number, pieceBytes: number): number {
  const rest = totalBytes % pieceBytes
  return (totalBytes - rest) / pieceBytes + (rest > 0 ? 1 : 0)
}

/** A file tree nests a dictionary for each component of a path. */
const DEPTH_MAX = PATH_COMPONENTS_MAX + 8

function decodeInfo(infoBytes: Uint8Array): BencodeDictionary {
  if (infoBytes.length > TORRENT_BYTES_MAX) {
    throw metainfoError(
      'METAINFO_TOO_LARGE',
      `an info dictionary of ${infoBytes.length} bytes is larger than ${TORRENT_BYTES_MAX}`,
    )
  }
  try {
    // Old tools wrote keys out of order; the info-hash is over the bytes as they are.
    return decodeDictionary(infoBytes, { ordered: false, depthMax: DEPTH_MAX })
  } catch (cause) {
    if (!(cause instanceof BencodeError)) throw cause
    throw metainfoError('METAINFO_NOT_BENCODE', `info dictionary: ${cause.message}`, { cause })
  }
}

/** BEP 52 wants it looked at first: what follows may mean something else in a later version. */
function readVersion(info: BencodeDictionary): number | undefined {
  const version = info.get('meta version')
  if (version === undefined) return undefined
  if (typeof version === 'number' && version >= 1 && version <= 2) return version
  throw metainfoError('METAINFO_VERSION', 'the torrent is of a version that is not known here', {
    mend: 'Use a newer seedbed, or a torrent of version 1 or 2 of the same content.',
  })
}

/** A text, of which some old tools give the UTF-8 form under a key of its own. */
function readText(dictionary: BencodeDictionary, key: string): string | undefined {
  const text = getText(dictionary, `${key}.utf-8`) ?? getText(dictionary, key)
  if (text === undefined && getBytes(dictionary, key) !== undefined) {
    throw metainfoError('METAINFO_NOT_UTF8', `the ${key} is not UTF-8`)
  }
  return text
}

function readPieceBytes(info: BencodeDictionary, hasV2: boolean): number {
  const pieceBytes = getInteger(info, 'piece length')
  if (pieceBytes === undefined) throw bad('the info dictionary has no piece length')
  if (pieceBytes < 1) {
    throw metainfoError('METAINFO_BAD_PIECES', `a piece length of ${pieceBytes} bytes`)
  }
  if (pieceBytes > PIECE_BYTES_MAX) {
    throw metainfoError(
      'METAINFO_TOO_LARGE',
      `a piece length of ${pieceBytes} bytes is larger than ${PIECE_BYTES_MAX}`,
    )
  }
  if (hasV2 && (pieceBytes < MERKLE_LEAF_BYTES || !Number.isInteger(Math.log2(pieceBytes)))) {
    throw metainfoError(
      'METAINFO_BAD_PIECES',
      `a piece length of ${pieceBytes} bytes is not a power of two from 16 KiB, as v2 wants it`,
    )
  }
  return pieceBytes
}

function readV1Files(info: BencodeDictionary, name: string): FileList {
  const list = readFileList(info)
  if (list === undefined) return { files: [readSingleFile(info, name)], multiFile: false }
  return { files: readFiles(list), multiFile: true }
}

/** Files of a tree in the address space of pieces, which each of them begins anew. */
function readV2Files(info: BencodeDictionary, pieceBytes: number): FileList {
  const tree = getDictionary(info, 'file tree')
  if (tree === undefined) throw bad('the info dictionary has no file tree')
  const found = readFileTree(tree)
  const multiFile = found.length > 1 || found[0]!.path.length > 1
  return { files: placeFiles(found, pieceBytes), multiFile }
}

/**
 * `files` in this order, each at the beginning of a piece, filler in between; the last is not filled up.
 * Files without bytes are aligned too, as libtorrent has them: they stand nowhere, but in a list.
 */
export function placeFiles(files: readonly TreeFile[], pieceBytes: number): TorrentFile[] {
  const placed: TorrentFile[] = []
  let offset = 0
  for (const file of files) {
    const past = offset % pieceBytes
    if (past > 0) {
      const bytes = pieceBytes - past
      placed.push({ path: ['.pad', String(bytes)], bytes, offset, padding: true })
      offset += bytes
    }
    placed.push({ ...file, offset, padding: false })
    offset += file.bytes
    refuseBeyond(offset)
  }
  return placed
}

/**
 * A hybrid's files: those of v1, filler as it stands there, with the roots of v2. Both parts must say the
 * same of names, sizes, order and place; else who follows one has other bytes than who follows the other.
 */
function joined(v1: FileList, v2: FileList, pieceBytes: number): FileList {
  const content = v2.files.filter((file) => !file.padding)
  const files: TorrentFile[] = []
  let next = 0
  for (const file of v1.files) {
    if (file.padding) {
      files.push(file)
      continue
    }
    const twin = content[next++]
    if (twin === undefined) throw contradiction('v1 has more files')
    const name = quoted(file.path.join('/'))
    if (file.path.join('/') !== twin.path.join('/')) {
      throw contradiction(`${name} stands where v2 has ${quoted(twin.path.join('/'))}`)
    }
    if (file.bytes !== twin.bytes) {
      throw contradiction(`${name} has ${file.bytes} bytes, and ${twin.bytes}`)
    }
    if (file.symlink?.join('/') !== twin.symlink?.join('/')) {
      throw contradiction(`${name} leads to two places`)
    }
    if (file.bytes > 0 && file.offset !== twin.offset) {
      throw contradiction(`${name} begins at byte ${file.offset}, and ${twin.offset}`)
    }
    files.push(twin.piecesRoot === undefined ? file : { ...file, piecesRoot: twin.piecesRoot })
  }
  if (next < content.length) throw contradiction('v2 has more files')
  if (countPieces(endOf(files), pieceBytes) !== countPieces(endOf(v2.files), pieceBytes)) {
    throw contradiction('v1 has filler of whole pieces')
  }
  return { files, multiFile: v1.multiFile }
}

function readFileList(info: BencodeDictionary): readonly BencodeDictionary[] | undefined {
  if (!info.has('files')) return undefined
  if (info.has('length')) throw bad('the info dictionary has both files and length')
  const list = getList(info, 'files')
  if (list === undefined) throw bad('files is not a list')
  if (list.length === 0) throw metainfoError('METAINFO_EMPTY', 'the torrent holds no files')
  if (list.length > FILES_MAX) {
    throw metainfoError('METAINFO_TOO_LARGE', `${list.length} files are more than ${FILES_MAX}`)
  }
  return list.map((entry) => {
    const file = asDictionary(entry)
    if (file === undefined) throw bad('an entry of files is not a dictionary')
    return file
  })
}

function readSingleFile(info: BencodeDictionary, name: string): TorrentFile {
  return fileOf(info, [name], 0)
}

function readFiles(list: readonly BencodeDictionary[]): TorrentFile[] {
  const tree = new PathTree()
  const files: TorrentFile[] = []
  let offset = 0
  for (const entry of list) {
    const file = fileOf(entry, readPath(entry), offset)
    if (!file.padding) tree.add(file.path)
    files.push(file)
    offset += file.bytes
    refuseBeyond(offset)
  }
  return files
}

function fileOf(entry: BencodeDictionary, path: readonly string[], offset: number): TorrentFile {
  const { padding, executable, hidden } = readAttributes(entry)
  const symlink = readSymlink(entry)
  const bytes = readLength(entry)
  if (symlink !== undefined && (bytes > 0 || padding)) throw bad('a symbolic link that has bytes')
  const file = { path, bytes, offset, padding, ...executable, ...hidden }
  return symlink === undefined ? file : { ...file, symlink }
}

function refuseBeyond(offset: number): void {
  if (Number.isSafeInteger(offset)) return
  throw metainfoError('METAINFO_TOO_LARGE', 'the files sum up to more than 2^53 - 1 bytes')
}

function readPath(entry: BencodeDictionary): string[] {
  const preferred = getList(entry, 'path.utf-8') ?? []
  const usable = preferred.length > 0 && preferred.every((name) => asText(name) !== undefined)
  const components = usable ? preferred : getList(entry, 'path')
  if (components === undefined || components.length === 0) throw bad('a file has no path')
  if (components.length > PATH_COMPONENTS_MAX) {
    throw metainfoError(
      'METAINFO_TOO_LARGE',
      `a path of ${components.length} components is deeper than ${PATH_COMPONENTS_MAX}`,
    )
  }
  return components.map((component) => {
    const name = asText(component)
    if (name === undefined) {
      if (!(component instanceof Uint8Array)) throw bad('a path component is not a string')
      throw metainfoError('METAINFO_NOT_UTF8', 'a path is not UTF-8')
    }
    checkComponent(name)
    return name
  })
}

function contradiction(what: string): Error {
  return metainfoError('METAINFO_HYBRID', `the v1 and v2 parts contradict each other: ${what}`, {
    mend: 'Do not use it: peers of the one part would have other bytes than those of the other.',
  })
}

function bad(message: string): Error {
  return metainfoError('METAINFO_BAD_INFO', message)
}
