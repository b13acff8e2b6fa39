/** What a torrent is made of once its metadata is known: shared by its peers, owned by the torrent. */
import { Bitfield } from '../base/index.ts'
import { PieceHashes, type PieceLayers, shortPieces, type TorrentInfo } from '../metainfo/index.ts'
import type { StoredTorrent } from '../torrent-store/index.ts'
import { Geometry } from './geometry.ts'
import { HashServer } from './hash-server.ts'
import type { Picker } from './picker.ts'
import { ReadSource } from './read-cache.ts'
import type { StripeCache } from './stripe-cache.ts'
import { readVerified } from './verified-bytes.ts'

export interface Content {
  readonly geometry: Geometry
  /** Pieces that were verified, in memory or on the volume: what we offer. */
  readonly verified: Bitfield
  readonly source: ReadSource
  readonly hashes: PieceHashes
  /** Undefined for v1. */
  readonly hashServer: HashServer | undefined
  /** Undefined when nothing is missing. */
  download: { readonly picker: Picker; readonly stripes: StripeCache } | undefined
  /** Of a download that has ended: verified pieces on their way to the store. */
  leaving: StripeCache | undefined
}

/** The content of a torrent that the store has. Reads nothing; `failed` hears of reads that fail later. */
export function contentOf(
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
    source,
    hashes,
    hashServer,
    download: undefined,
    leaving: undefined,
  }
  return content
}
