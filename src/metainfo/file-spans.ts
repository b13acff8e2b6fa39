/** From the torrent's one address space to its files. */
import type { TorrentInfo } from './types.ts'

/** A run of bytes inside one file. */
export interface FileSpan {
  /** Index into `files`. */
  readonly fileIndex: number
  /** Where the run begins in the file. */
  readonly fileOffset: number
  /** At least 1. */
  readonly bytes: number
}

/**
 * The runs that make up `bytes` bytes from `offset`, in order and without a gap. Filler is among them
 * (its bytes count, and are zero); empty files never are, so an exporter makes those by itself.
 * RangeError when the range leaves the torrent.
 */
export function fileSpans(
  content: Pick<TorrentInfo, 'files' | 'totalBytes'>,
  offset: number,
  bytes: number,
): FileSpan[] {
  const { files, totalBytes } = content
  if (offset < 0 || bytes < 0 || bytes > totalBytes - offset) {
    throw new RangeError(`${bytes} bytes at ${offset} of a torrent of ${totalBytes}`)
  }
  const spans: FileSpan[] = []
  let at = offset
  const end = offset + bytes
  for (let fileIndex = fileAt(files, offset); at < end; fileIndex++) {
    const file = files[fileIndex]!
    if (file.bytes === 0) continue
    const fileOffset = at - file.offset
    const run = Math.min(end - at, file.bytes - fileOffset)
    spans.push({ fileIndex, fileOffset, bytes: run })
    at += run
  }
  return spans
}

/** Index of the first file that ends after `offset`: the one that holds that byte. */
function fileAt(files: TorrentInfo['files'], offset: number): number {
  let low = 0
  let high = files.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const file = files[middle]!
    if (file.offset + file.bytes > offset) high = middle
    else low = middle + 1
  }
  return low
}
