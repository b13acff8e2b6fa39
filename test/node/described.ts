/** A torrent of v1 as the node's functions want it. */
import type { TorrentInfo } from '../../src/metainfo/index.ts'
import type { Described } from '../../src/node/index.ts'

export function describedAs(info: TorrentInfo): Described {
  return { info, layers: new Map() }
}
