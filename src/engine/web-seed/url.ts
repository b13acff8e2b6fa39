/** Where on a web seed the files of a torrent are (BEP 19). */
import type { TorrentInfo } from '../../metainfo/index.ts'

/**
 * The URL of file `fileIndex`. Of a torrent of one file the seed's URL is the file, unless it ends with a slash; of
 * several it is the folder above the torrent's.
 */
export function fileUrl(
  seed: string,
  info: Pick<TorrentInfo, 'name' | 'multiFile' | 'files'>,
  fileIndex: number,
): string {
  if (!info.multiFile) return seed.endsWith('/') ? seed + encodeURIComponent(info.name) : seed
  const base = seed.endsWith('/') ? seed : `${seed}/`
  const { path } = info.files[fileIndex]!
  return base + [info.name, ...path].map((part) => encodeURIComponent(part)).join('/')
}

/** Host of an http(s) URL; undefined when it is none. */
export function webSeedHost(url: string): string | undefined {
  try {
    const { protocol, hostname } = new URL(url)
    return protocol === 'http:' || protocol === 'https:' ? hostname : undefined
  } catch {
    return undefined
  }
}
