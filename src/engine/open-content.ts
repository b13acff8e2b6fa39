/** From what the store has of a torrent to its content: pieces, hashes, and what is verified. */
import { Bitfield } from '../base/index.ts'
import { PieceHashes, type PieceLayers, shortPieces, type TorrentInfo } from '../metainfo/index.ts'
import type { StoredTorrent } from '../torrent-store/index.ts'
import type { Content } from './content.ts'
import { Geometry } from './geometry.ts'
import { HashServer } from './hash-server.ts'
import { ReadSource } from './read-cache.ts'
import { readVerified } from './verified-bytes.ts'

/** Reads nothing; `failed` hears of reads that fail later. */
export function openContent(
  stored: StoredTorrent,
  info: TorrentInfo,
  layers: PieceLayers,
  blockBytes: number,
  failed: (error: Error) => void,
): Content {
  const geometry = new Geometry(info.totalBytes, info.pieceBytes, blockBytes, shortPieces(info))
  const hashes = new PieceHashes(info, layers)
  const verified = new Bitfield(geometry.pieceCount)
  for (let piece = 0; piece < verified.length; piece++) {
    if (stored.have.has(piece)) verified.set(piece)
  }
  const everything = new Bitfield(geometry.pieceCount)
  everything.setAll()
  const source = new ReadSource(stored, geometry, failed)
  const hashServer =
    info.infoHashV2 === undefined
      ? undefined
      : new HashServer(hashes, {
          has: (piece) => verified.has(piece),
          readPiece: async (piece) => {
            const bytes = new Uint8Array(geometry.pieceLength(piece))
            await readVerified(content, piece, 0, bytes)
            return bytes
          },
        })
  const content: Content = {
    geometry,
    verified,
    nothing: new Bitfield(geometry.pieceCount),
    everything,
    source,
    hashes,
    hashServer,
    download: undefined,
    leaving: undefined,
  }
  return content
}
