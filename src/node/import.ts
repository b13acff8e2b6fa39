/**
 * A source becomes a torrent on the volume in one pass: every byte is read once, hashed, and written
 * once in whole blocks. Nothing durable names the torrent before the last byte is there, so an import
 * that is cut short leaves nothing behind.
 *
 * While block n is hashed, block n+1 is being read and block n-1 written.
 */
import type { StoredTorrent, Volume } from '../filesystem/index.ts'
import {
  encodePieceLayers,
  fillerOf,
  type PieceLayers,
  type TorrentFormat,
  type TorrentInfo,
} from '../metainfo/index.ts'
import { nodeError } from './errors.ts'
import type { Source } from './source.ts'
import { hashSource, planSource } from './source-stream.ts'

export interface ImportOptions {
  /** Default v1. */
  readonly format?: TorrentFormat
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
  readonly layers: PieceLayers
  /** The volume held the same content before. */
  readonly known: boolean
}

/** NODE_NO_SPACE, SOURCE_CHANGED, SOURCE_UNREADABLE, INTERRUPTED, and what the volume throws. */
export async function importSource(
  volume: Volume,
  source: Source,
  options: ImportOptions,
): Promise<Imported> {
  const plan = planSource(source, options.format ?? 'v1')
  const { totalBytes, pieceBytes } = plan.layout
  const filler = fillerOf(plan.layout)
  const isFiller = fillerBlocks(filler, volume.blockBytes, totalBytes)
  const neededBytes = totalBytes - isFiller.size * volume.blockBytes
  const free = volume.room().largestBytes
  if (neededBytes > free) {
    throw nodeError(
      'NODE_NO_SPACE',
      `${source.root} takes ${neededBytes} bytes, of which a device can take ${free} at most`,
      { mend: 'Remove torrents with `seedbed rm`, or use a larger device or image.' },
    )
  }
  const staged = volume.stage(totalBytes, pieceBytes, filler)
  try {
    const { info, layers } = await hashSource(plan, {
      blockBytes: volume.blockBytes,
      private: options.private === true,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      onProgress: (bytes) => options.onProgress?.(bytes),
      take: async (offset, window) => {
        if (!isFiller.has(offset / volume.blockBytes)) await staged.write(offset, window)
      },
    })
    const known = volume.get(info.infoHash)
    if (known?.complete === true) {
      staged.abort()
      return { stored: known, info, layers, known: true }
    }
    // A half-downloaded torrent of the same content gives way to the whole one.
    if (known !== undefined) {
      await options.release(info.infoHash)
      await volume.remove(info.infoHash)
    }
    const stored = await staged.commit(
      info.infoHash,
      info.infoBytes,
      options.attributes,
      encodePieceLayers(layers),
    )
    return { stored, info, layers, known: false }
  } catch (error) {
    staged.abort()
    throw error
  }
}

/** Blocks that are filler alone: they are not written. */
function fillerBlocks(
  filler: readonly { readonly offset: number; readonly bytes: number }[],
  blockBytes: number,
  totalBytes: number,
): Set<number> {
  const blocks = new Set<number>()
  for (const { offset, bytes } of filler) {
    const end = offset + bytes
    const last = end === totalBytes ? Math.ceil(end / blockBytes) : Math.floor(end / blockBytes)
    for (let block = Math.ceil(offset / blockBytes); block < last; block++) blocks.add(block)
  }
  return blocks
}
