/**
 * Piece layers (BEP 52): the hashes of the pieces of each file that has several. They lie outside of the
 * info dictionary, which has their roots: whoever hands them over need not be trusted.
 *
 *   piece layers   { root: 32 bytes a piece, … }     bencoded, as in a .torrent file
 *
 * Invariant: a layer that is kept has the right number of hashes and leads to its root.
 */
import { bytesEqual, toHex, toLatin1 } from '../base/index.ts'
import {
  asBytes,
  type BencodeDictionary,
  BencodeError,
  decodeDictionary,
  encode,
} from '../bencode/index.ts'
import { countPieces } from './info.ts'
import { FILES_MAX } from './limits.ts'
import { MERKLE_HASH_BYTES, merkleHeight, merkleLeaves, merkleRoot } from './merkle.ts'
import type { PieceLayers, TorrentInfo } from './types.ts'

/** A file whose piece layer is wanted: it has more than one piece. */
export interface LayeredFile {
  readonly root: Uint8Array
  readonly bytes: number
  readonly pieces: number
  /** Of its tree, in layers above the leaves. */
  readonly height: number
}

/** Height of the piece layer. */
export function pieceLayerOf({ pieceBytes }: Pick<TorrentInfo, 'pieceBytes'>): number {
  return merkleHeight(merkleLeaves(pieceBytes))
}

/** By the hexadecimal of their root: files of the same bytes once. */
export function layeredFiles(info: TorrentInfo): Map<string, LayeredFile> {
  const files = new Map<string, LayeredFile>()
  for (const { piecesRoot: root, bytes } of info.files) {
    if (root === undefined || bytes <= info.pieceBytes) continue
    const pieces = countPieces(bytes, info.pieceBytes)
    files.set(toHex(root), { root, bytes, pieces, height: merkleHeight(merkleLeaves(bytes)) })
  }
  return files
}

/** Whether `layer` is the piece layer of the file. Hashes all of it. */
export function provesLayer(file: LayeredFile, layer: Uint8Array, pieceLayer: number): boolean {
  return (
    layer.length === file.pieces * MERKLE_HASH_BYTES &&
    bytesEqual(merkleRoot(layer, pieceLayer, file.height), file.root)
  )
}

/**
 * The layers of `bytes` that `info` has files for and, with `prove`, that lead to their roots. What is
 * wrong is left out: it is as good as missing. Throws nothing.
 */
export function readPieceLayers(
  info: TorrentInfo,
  bytes: Uint8Array,
  options: { readonly prove: boolean },
): PieceLayers {
  const layers = new Map<string, Uint8Array>()
  const found = decodeLayers(bytes)
  if (found === undefined) return layers
  const pieceLayer = pieceLayerOf(info)
  for (const [name, file] of layeredFiles(info)) {
    const layer = asBytes(found.get(toLatin1(file.root)))
    if (layer?.length !== file.pieces * MERKLE_HASH_BYTES) continue
    if (!options.prove || provesLayer(file, layer, pieceLayer)) {
      layers.set(name, new Uint8Array(layer.buffer, layer.byteOffset, layer.length))
    }
  }
  return layers
}

function decodeLayers(bytes: Uint8Array): BencodeDictionary | undefined {
  if (bytes.length === 0) return undefined
  try {
    return decodeDictionary(bytes, { ordered: false, depthMax: 2, valuesMax: 2 * FILES_MAX })
  } catch (error) {
    if (error instanceof BencodeError) return undefined
    throw error
  }
}

/** The bencoded dictionary of a .torrent file; empty bytes when there are none. */
export function encodePieceLayers(layers: PieceLayers): Uint8Array {
  if (layers.size === 0) return new Uint8Array(0)
  const entries = [...layers].map(
    ([root, layer]) => [Buffer.from(root, 'hex').toString('latin1'), layer] as const,
  )
  return encode(new Map(entries))
}

/** Whether every file that needs a layer has one. */
export function hasAllLayers(info: TorrentInfo, layers: PieceLayers): boolean {
  for (const name of layeredFiles(info).keys()) if (!layers.has(name)) return false
  return true
}
