/**
 * A source becomes a torrent of a folder of ordinary files without being copied: it is read once, hashed,
 * and seeded from where it lies. Nobody writes to it; when its files change, what they were is seeded no more.
 */
import { encodePieceLayers } from '../metainfo/index.ts'
import type { PlainFolder } from '../plain-files/index.ts'
import type { Imported, ImportOptions } from './import.ts'
import type { Source } from './source.ts'
import { hashSource, planSource } from './source-stream.ts'

/** SOURCE_CHANGED, SOURCE_UNREADABLE, INTERRUPTED, and what the folder rejects with. */
export async function shareInPlace(
  folder: PlainFolder,
  source: Source,
  options: ImportOptions,
): Promise<Imported> {
  const plan = planSource(source, options.format ?? 'v1')
  const { info, layers } = await hashSource(plan, {
    blockBytes: folder.blockBytes,
    private: options.private === true,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    onProgress: (bytes) => options.onProgress?.(bytes),
  })
  const known = folder.get(info.infoHash)
  // Downloaded once, into the folder itself.
  if (known?.complete === true && known.root === undefined) {
    return { stored: known, info, layers, known: true }
  }
  // Half of it, or files that were touched and are the same, give way to what was just read.
  if (known !== undefined) {
    await options.release(info.infoHash)
    await folder.remove(info.infoHash)
  }
  const times = plan.entries.map((entry) => entry?.modifiedMs)
  const kept = encodePieceLayers(layers)
  const stored = await folder.share(info, source.root, times, options.attributes, kept)
  stored.uploadedBytes = known?.uploadedBytes ?? 0
  stored.downloadedBytes = known?.downloadedBytes ?? 0
  return { stored, info, layers, known: false }
}
