/** The .torrent file and the magnet link of a torrent, for handing on. */
import { mkdir, open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { toHex } from '../base/index.ts'
import { encodeMetainfo, formatMagnet, type TorrentInfo } from '../metainfo/index.ts'
import type { Described } from './described.ts'

const NAME_BYTES_MAX = 200

export function magnetOf(
  info: TorrentInfo,
  trackers: readonly (readonly string[])[],
  webSeeds: readonly string[] = [],
): string {
  return formatMagnet({
    infoHash: info.infoHash,
    infoHashV2: info.infoHashV2,
    name: info.name,
    trackers: trackers.flat(),
    peers: [],
    webSeeds,
    totalBytes: info.contentBytes,
  })
}

/** Writes `<name>-<8 digits of the info-hash>.torrent`, whole or not at all, and returns its path. */
export async function writeTorrentFile(
  directory: string,
  { info, layers }: Described,
  trackers: readonly (readonly string[])[],
  webSeeds: readonly string[] = [],
): Promise<string> {
  await mkdir(directory, { recursive: true })
  const bytes = encodeMetainfo({
    infoBytes: info.infoBytes,
    layers,
    trackers,
    webSeeds,
    createdBy: 'seedbed',
  })
  const path = join(
    directory,
    `${shortened(info.name)}-${toHex(info.infoHash).slice(0, 8)}.torrent`,
  )
  await writeFileAtomically(path, bytes)
  return path
}

/** At most NAME_BYTES_MAX bytes of UTF-8, so that a suffix still fits a file name of 255. */
function shortened(name: string): string {
  const bytes = Buffer.from(name)
  if (bytes.length <= NAME_BYTES_MAX) return name
  return bytes
    .subarray(0, NAME_BYTES_MAX)
    .toString()
    .replace(/\uFFFD+$/, '')
}

/** Temporary file, fsync, rename. */
export async function writeFileAtomically(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.tmp`
  const file = await open(temporary, 'w')
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
}
