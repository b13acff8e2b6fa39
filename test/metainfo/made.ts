/** Torrents of seeded content in every format, with the bytes of their address space. */
import { createHash } from 'node:crypto'
import { seededRandom } from '../../src/base/index.ts'
import {
  buildInfo,
  type FileEntry,
  type FileLayout,
  layoutFiles,
  type PieceLayers,
  type TorrentFormat,
  type TorrentInfo,
  TreeBuilder,
} from '../../src/metainfo/index.ts'

export interface MadeTorrent {
  readonly info: TorrentInfo
  readonly layers: PieceLayers
  readonly layout: FileLayout
  /** Files where they lie, zeros between them. */
  readonly space: Uint8Array
}

export function madeTorrent(
  name: string,
  entries: readonly FileEntry[],
  format: TorrentFormat,
  pieceBytes: number,
  seed = 1,
): MadeTorrent {
  const layout = layoutFiles(name, entries, { format, pieceBytes })
  const space = new Uint8Array(layout.totalBytes)
  seededRandom(seed).fill(space)
  for (const { padding, offset, bytes } of layout.files) {
    if (padding) space.fill(0, offset, offset + bytes)
  }
  const trees = new TreeBuilder(layout.files, pieceBytes)
  trees.update(space)
  const pieces = Math.ceil(space.length / pieceBytes)
  const pieceHashes = new Uint8Array(pieces * 20)
  for (let piece = 0; piece < pieces; piece++) {
    // The last piece of a hybrid is not filled up: nothing follows it.
    const bytes = space.subarray(piece * pieceBytes, (piece + 1) * pieceBytes)
    pieceHashes.set(createHash('sha1').update(bytes).digest(), piece * 20)
  }
  const files = layout.files.map((file, i) => {
    const piecesRoot = trees.roots[i]
    return piecesRoot === undefined || format === 'v1' ? file : { ...file, piecesRoot }
  })
  const info = buildInfo({ ...layout, files, pieceHashes })
  return { info, layers: format === 'v1' ? new Map() : trees.layers, layout, space }
}
