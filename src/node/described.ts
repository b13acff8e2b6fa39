/** What a stored torrent is, read from the store alone. */
import { SeedbedError } from '../base/index.ts'
import {
  hasAllLayers,
  PieceHashes,
  type PieceLayers,
  parseInfo,
  readPieceLayers,
  type TorrentInfo,
} from '../metainfo/index.ts'
import type { StoredTorrent } from '../torrent-store/index.ts'
import { nodeError } from './errors.ts'

export interface Described {
  readonly info: TorrentInfo
  /** As far as they are kept; none for v1. The store keeps only what was proven. */
  readonly layers: PieceLayers
}

/** What the metainfo room and the store throw. Layers that cannot be read are as if they were not there. */
export async function describeStored(stored: StoredTorrent): Promise<Described> {
  const info = parseInfo(await stored.readInfo())
  if (info.infoHashV2 === undefined) return { info, layers: new Map() }
  const kept = await stored.readLayers().catch((error: unknown) => {
    if (error instanceof SeedbedError) return new Uint8Array(0)
    throw error
  })
  return { info, layers: readPieceLayers(info, kept, { prove: false }) }
}

/** LAYERS_MISSING when pieces of v2 cannot be judged. */
export function hashesOf({ info, layers }: Described): PieceHashes {
  if (info.format === 'v2' && !hasAllLayers(info, layers)) {
    throw nodeError('LAYERS_MISSING', `${info.name} has not all of its piece layers`, {
      mend: 'Run `seedbed up`: it fetches them from peers.',
    })
  }
  return new PieceHashes(info, layers)
}
