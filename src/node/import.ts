/**
 * A source becomes a torrent on the volume in one pass: every byte is read once, hashed, and written
 * once in whole blocks. Nothing durable names the torrent before the last byte is there, so an import
 * that is cut short leaves nothing behind.
 *
 * While block n is hashed, block n+1 is being read and block n-1 written.
 */
import type { StoredTorrent, Volume } from '../filesystem/index.ts'
import { buildInfo, choosePieceBytes, type TorrentInfo } from '../metainfo/index.ts'
import { nodeError } from './errors.ts'
import type { Source } from './source.ts'
import { hashSource } from './source-stream.ts'

export interface ImportOptions {
  readonly attributes: Uint8Array
  readonly private?: boolean
  readonly signal?: AbortSignal
  /** Called before an incomplete torrent of the same info-hash is removed: nobody may use it any more. */
  release(infoHash: Uint8Array): Promise<void>
  onProgress?(importedBytes: number): void
}

export interface Imported {
  readonly stored: StoredTorrent
  readonly info: TorrentInfo
  /** The volume held the same content before. */
  readonly known: boolean
}

/** NODE_NO_SPACE, SOURCE_CHANGED, SOURCE_UNREADABLE, INTERRUPTED, and what the volume throws. */
export async function importSource(
  volume: Volume,
  source: Source,
  options: ImportOptions,
): Promise<Imported> {
  const { totalBytes } = source
  const free = volume.room().largestBytes
  if (totalBytes > free) {
    throw nodeError(
      'NODE_NO_SPACE',
      `${source.root} has ${totalBytes} bytes, of which a device can take ${free} at most`,
      { mend: 'Remove torrents with `seedbed rm`, or use a larger device or image.' },
    )
  }
  const staged = volume.stage(totalBytes, choosePieceBytes(totalBytes))
  try {
    const { layout, pieceBytes, pieceHashes } = await hashSource(source, {
      blockBytes: volume.blockBytes,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      onProgress: (bytes) => options.onProgress?.(bytes),
      take: (offset, window) => staged.write(offset, window),
    })
    const info = buildInfo({
      ...layout,
      pieceBytes,
      pieceHashes,
      private: options.private === true,
    })
    const known = volume.get(info.infoHash)
    if (known?.complete === true) {
      staged.abort()
      return { stored: known, info, known: true }
    }
    // A half-downloaded torrent of the same content gives way to the whole one.
    if (known !== undefined) {
      await options.release(info.infoHash)
      await volume.remove(info.infoHash)
    }
    const stored = await staged.commit(info.infoHash, info.infoBytes, options.attributes)
    return { stored, info, known: false }
  } catch (error) {
    staged.abort()
    throw error
  }
}
