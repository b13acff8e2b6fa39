/** Torrents for the conformance suite: several files whose borders are odd, some empty. */
import { createHash } from 'node:crypto'
import { buildInfo, type TorrentInfo } from '../../src/metainfo/index.ts'

/** Hashes of zeros: nobody looks. */
export function oddTorrent(totalBytes: number, pieceBytes: number): TorrentInfo {
  const files: { path: string[]; bytes: number; padding: boolean }[] = []
  let left = totalBytes
  for (let i = 0; left > 0; i++) {
    const bytes = Math.min(left, 1 + ((i * i * 7_919) % 400_000))
    files.push({
      path: i % 3 === 0 ? [`${i}`] : ['deep', `er${i % 5}`, `${i}`],
      bytes,
      padding: false,
    })
    left -= bytes
  }
  files.push({ path: ['deep', 'empty'], bytes: 0, padding: false })
  return buildInfo({
    name: `odd ${totalBytes}`,
    multiFile: true,
    files,
    pieceBytes,
    pieceHashes: new Uint8Array(20 * Math.ceil(totalBytes / pieceBytes)),
  })
}

/** A torrent of `content`, cut into `files` of these sizes (the last takes the rest). */
export function torrentOf(
  content: Uint8Array,
  pieceBytes: number,
  name: string,
  files: readonly {
    readonly path: readonly string[]
    readonly bytes: number
    readonly padding?: boolean
  }[],
): TorrentInfo {
  const count = Math.ceil(content.length / pieceBytes)
  const pieceHashes = new Uint8Array(20 * count)
  for (let piece = 0; piece < count; piece++) {
    const part = content.subarray(piece * pieceBytes, (piece + 1) * pieceBytes)
    pieceHashes.set(createHash('sha1').update(part).digest(), 20 * piece)
  }
  return buildInfo({
    name,
    multiFile: true,
    files: files.map((file) => ({ padding: false, ...file })),
    pieceBytes,
    pieceHashes,
  })
}
