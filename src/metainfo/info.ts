/**
 * The info dictionary (BEP 3, 27, 47): from bytes that a stranger made to a TorrentInfo that the other
 * rooms believe without looking again.
 *
 *   name          text: the file's name, or the folder's
 *   piece length  1 to PIECE_BYTES_MAX, any number
 *   pieces        20 bytes for each piece of the content
 *   length        bytes of the one file           } one of
 *   files         list of { length, path, attr }  } the two
 *   private       1 for true
 *
 * Invariants of what comes out: `files` lie back to back from offset 0 to `totalBytes`, which is at
 * least 1 and a safe integer; `pieceCount` is the quotient rounded up and `pieceHashes` has as many;
 * paths are safe and distinct (see paths.ts; filler is exempt from distinctness, since clients repeat
 * its names); `infoHash` is taken over the bytes as received, canonical or not.
 */
import { createHash } from 'node:crypto'
import {
  asDictionary,
  asText,
  type BencodeDictionary,
  BencodeError,
  decodeDictionary,
  getBytes,
  getInteger,
  getList,
  getText,
} from '../bencode/index.ts'
import { metainfoError } from './errors.ts'
import {
  FILES_MAX,
  HASH_BYTES,
  PATH_COMPONENTS_MAX,
  PIECE_BYTES_MAX,
  TORRENT_BYTES_MAX,
} from './limits.ts'
import { checkComponent, PathTree } from './paths.ts'
import type { TorrentFile, TorrentInfo } from './types.ts'

/**
 * Validates an info dictionary. `bytes` is kept (`infoBytes`), and `pieceHashes` is a view of it: hand over bytes
 * that nobody writes to any more. Throws METAINFO_ errors; of a hybrid (BEP 52) the v1 part is read.
 */
export function parseInfo(bytes: Uint8Array): TorrentInfo {
  // A plain array even where a Buffer came in, so that equal torrents are deeply equal.
  const infoBytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const info = decodeInfo(infoBytes)
  const pieceHashes = getBytes(info, 'pieces')
  if (pieceHashes === undefined) refuseWithoutPieces(info)
  const name = readText(info, 'name')
  if (name === undefined) throw bad('the info dictionary has no name')
  checkComponent(name)
  const list = readFileList(info)
  const files = list === undefined ? [readSingleFile(info, name)] : readFiles(list)
  const last = files[files.length - 1]!
  const totalBytes = last.offset + last.bytes
  if (totalBytes === 0) throw metainfoError('METAINFO_EMPTY', 'the torrent holds no bytes')
  const pieceBytes = readPieceBytes(info)
  const pieceCount = countPieces(totalBytes, pieceBytes)
  if (pieceHashes.length !== pieceCount * HASH_BYTES) {
    throw metainfoError(
      'METAINFO_BAD_PIECES',
      `${totalBytes} bytes in pieces of ${pieceBytes} need ${pieceCount} hashes of 20 bytes, ` +
        `not ${pieceHashes.length} bytes of them`,
    )
  }
  return {
    infoHash: new Uint8Array(createHash('sha1').update(infoBytes).digest()),
    infoBytes,
    name,
    multiFile: list !== undefined,
    files,
    totalBytes,
    pieceBytes,
    pieceCount,
    pieceHashes,
    private: getInteger(info, 'private') === 1,
  }
}

/** Pieces of `totalBytes`, the last one perhaps short. Exact for every safe integer. */
export function countPieces(totalBytes: number, pieceBytes: number): number {
  const rest = totalBytes % pieceBytes
  return (totalBytes - rest) / pieceBytes + (rest > 0 ? 1 : 0)
}

function decodeInfo(infoBytes: Uint8Array): BencodeDictionary {
  if (infoBytes.length > TORRENT_BYTES_MAX) {
    throw metainfoError(
      'METAINFO_TOO_LARGE',
      `an info dictionary of ${infoBytes.length} bytes is larger than ${TORRENT_BYTES_MAX}`,
    )
  }
  try {
    // Old tools wrote keys out of order; the info-hash is over the bytes as they are.
    return decodeDictionary(infoBytes, { ordered: false })
  } catch (cause) {
    if (!(cause instanceof BencodeError)) throw cause
    throw metainfoError('METAINFO_NOT_BENCODE', `info dictionary: ${cause.message}`, { cause })
  }
}

function refuseWithoutPieces(info: BencodeDictionary): never {
  if (info.has('meta version') || info.has('file tree')) {
    throw metainfoError('METAINFO_V2_ONLY', 'the torrent has a BitTorrent v2 part only', {
      mend: 'Use a v1 or hybrid torrent of the same content.',
    })
  }
  throw bad('the info dictionary has no pieces')
}

/** A text, of which some old tools give the UTF-8 form under a key of its own. */
function readText(dictionary: BencodeDictionary, key: string): string | undefined {
  const text = getText(dictionary, `${key}.utf-8`) ?? getText(dictionary, key)
  if (text === undefined && getBytes(dictionary, key) !== undefined) {
    throw metainfoError('METAINFO_NOT_UTF8', `the ${key} is not UTF-8`)
  }
  return text
}

function readPieceBytes(info: BencodeDictionary): number {
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
  return pieceBytes
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
  return { path: [name], bytes: readLength(info), offset: 0, padding: readPadding(info) }
}

function readFiles(list: readonly BencodeDictionary[]): TorrentFile[] {
  const tree = new PathTree()
  const files: TorrentFile[] = []
  let offset = 0
  for (const entry of list) {
    const file = {
      path: readPath(entry),
      bytes: readLength(entry),
      offset,
      padding: readPadding(entry),
    }
    if (!file.padding) tree.add(file.path)
    files.push(file)
    offset += file.bytes
    if (!Number.isSafeInteger(offset)) {
      throw metainfoError('METAINFO_TOO_LARGE', 'the files sum up to more than 2^53 - 1 bytes')
    }
  }
  return files
}

function readLength(entry: BencodeDictionary): number {
  const value = entry.get('length')
  if (typeof value === 'bigint' && value > 0n) {
    throw metainfoError('METAINFO_TOO_LARGE', `a file of ${value} bytes is more than 2^53 - 1`)
  }
  if (typeof value !== 'number' || value < 0) throw bad('a file has no length, or a negative one')
  return value
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

/** BEP 47: `attr` is a set of letters, of which p and l change what the bytes are. */
function readPadding(entry: BencodeDictionary): boolean {
  const attributes = getText(entry, 'attr') ?? ''
  if (attributes.includes('l')) {
    throw metainfoError('METAINFO_SYMLINK', 'a file of the torrent is a symbolic link')
  }
  return attributes.includes('p')
}

function bad(message: string): Error {
  return metainfoError('METAINFO_BAD_INFO', message)
}
