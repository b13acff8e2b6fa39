/**
 * The file tree of an info dictionary (BEP 52): dictionaries for folders, and a dictionary under the
 * empty key for each file.
 *
 *   { folder: { name: { "": { length, pieces root, attr, symlink path } } } }
 *
 * Invariants of what `readFileTree` gives: the order of the tree, which is that of the bytes of the names;
 * every file with bytes has a root of 32 bytes; names and paths are safe and distinct (a tree cannot say
 * otherwise than distinct). Its work and depth are bounded by what the decoder let in.
 */
import { isUtf8 } from 'node:buffer'
import { toLatin1 } from '../base/index.ts'
import { asDictionary, type BencodeDictionary, type Encodable, getBytes } from '../bencode/index.ts'
import { readAttributes, readLength, readSymlink } from './attributes.ts'
import { metainfoError, quoted } from './errors.ts'
import { FILES_MAX, PATH_COMPONENTS_MAX } from './limits.ts'
import { MERKLE_HASH_BYTES } from './merkle.ts'
import { checkComponent } from './paths.ts'
import type { TorrentFile } from './types.ts'

/** A file of the tree, not placed yet. */
export type TreeFile = Omit<TorrentFile, 'offset' | 'padding'>

export function readFileTree(tree: BencodeDictionary): TreeFile[] {
  const files: TreeFile[] = []
  if (tree.has('')) throw bad('the root of the file tree is a file')
  walk(tree, [], files)
  if (files.length === 0) throw metainfoError('METAINFO_EMPTY', 'the torrent holds no files')
  return files
}

function walk(folder: BencodeDictionary, above: readonly string[], files: TreeFile[]): void {
  let before: string | undefined
  for (const [key, value] of folder) {
    // Pieces are numbered in this order: readers that sort and readers that do not must agree.
    if (before !== undefined && key <= before) throw bad('the file tree is not sorted')
    before = key
    const path = [...above, componentOf(key)]
    if (path.length > PATH_COMPONENTS_MAX) {
      throw metainfoError(
        'METAINFO_TOO_LARGE',
        `a path of more than ${PATH_COMPONENTS_MAX} components`,
      )
    }
    const entry = asDictionary(value)
    if (entry === undefined) throw bad(`${quoted(path.join('/'))} is neither a file nor a folder`)
    const file = entry.get('')
    if (file === undefined) {
      walk(entry, path, files)
      continue
    }
    const properties = asDictionary(file)
    if (properties === undefined || entry.size > 1) {
      throw bad(`${quoted(path.join('/'))} is a file and something else`)
    }
    if (files.length === FILES_MAX) {
      throw metainfoError('METAINFO_TOO_LARGE', `more than ${FILES_MAX} files`)
    }
    files.push(readTreeFile(properties, path))
  }
}

function componentOf(key: string): string {
  const bytes = Buffer.from(key, 'latin1')
  if (!isUtf8(bytes)) throw metainfoError('METAINFO_NOT_UTF8', 'a path is not UTF-8')
  const name = bytes.toString('utf8')
  checkComponent(name)
  return name
}

function readTreeFile(properties: BencodeDictionary, path: readonly string[]): TreeFile {
  const symlink = readSymlink(properties)
  const bytes = symlink === undefined || properties.has('length') ? readLength(properties) : 0
  const { padding, executable, hidden } = readAttributes(properties)
  if (padding) throw bad('filler in a file tree, which aligns files without it')
  if (symlink !== undefined && bytes > 0) throw bad('a symbolic link that has bytes')
  const file = { path, bytes, ...executable, ...hidden }
  if (symlink !== undefined) return { ...file, symlink }
  if (bytes === 0) return file
  const piecesRoot = getBytes(properties, 'pieces root')
  if (piecesRoot?.length !== MERKLE_HASH_BYTES) {
    throw bad(`${quoted(path.join('/'))} has no pieces root of ${MERKLE_HASH_BYTES} bytes`)
  }
  return { ...file, piecesRoot: new Uint8Array(piecesRoot) }
}

/** The tree of these files, which must be distinct, and no folder of one another. */
export function encodeFileTree(files: readonly TreeFile[]): Encodable {
  const root = new Map<string, Encodable>()
  for (const file of files) {
    let folder = root
    for (const name of file.path.slice(0, -1)) folder = folderIn(folder, name)
    const properties = {
      attr: attributeLetters(file),
      length: file.bytes,
      'pieces root': file.piecesRoot,
      'symlink path': file.symlink,
    }
    folder.set(keyOf(file.path.at(-1)!), new Map([['', properties as Encodable]]))
  }
  return root
}

function folderIn(folder: Map<string, Encodable>, name: string): Map<string, Encodable> {
  const key = keyOf(name)
  const there = folder.get(key)
  if (there instanceof Map) return there
  const made = new Map<string, Encodable>()
  folder.set(key, made)
  return made
}

const keyOf = (name: string): string => toLatin1(Buffer.from(name, 'utf8'))

/** BEP 47, in the order that others write them. */
export function attributeLetters(
  file: Pick<TorrentFile, 'executable' | 'hidden' | 'symlink'> & { readonly padding?: boolean },
): string | undefined {
  const letters =
    (file.padding === true ? 'p' : '') +
    (file.hidden === true ? 'h' : '') +
    (file.executable === true ? 'x' : '') +
    (file.symlink === undefined ? '' : 'l')
  return letters === '' ? undefined : letters
}

function bad(message: string): Error {
  return metainfoError('METAINFO_BAD_INFO', message)
}
