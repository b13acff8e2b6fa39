/**
 * Chunk stores over the filesystem, for WebTorrent and everything else that takes an
 * abstract-chunk-store:
 *
 * ```js
 * const { volume } = await openStorage('/dev/sdX', { create: true, clock: systemClock, random: systemRandom() })
 * new WebTorrent().add(torrent, { store: chunkStoreOn(volume), storeCacheSlots: 0,
 *   bitfield: haveBitmap(volume, infoHash) })
 * ```
 */
import { assert, type Clock, systemClock, systemRandom } from '../base/index.ts'
import type { Volume } from '../filesystem/index.ts'
import { placeInMemory, placeOn } from './place.ts'
import { TorrentChunkStore } from './store.ts'
import type { ChunkStoreConstructor, ChunkStoreOptions } from './types.ts'

export { chunkStoreErrors } from './errors.ts'
export type * from './types.ts'

/**
 * Stores that keep their torrents on `volume`, which stays open when they close; `destroy` removes the
 * torrent. A torrent that is on the volume already goes on where it was.
 */
export function chunkStoreOn(volume: Volume, clock: Clock = systemClock): ChunkStoreConstructor {
  return class VolumeChunkStore extends TorrentChunkStore {
    constructor(chunkLength: number, options: ChunkStoreOptions = {}) {
      assertLength(chunkLength)
      super(chunkLength, { clock, opening: placeOn(volume, chunkLength, options), own: false })
    }
  }
}

/** A store on a device in memory of its own, which takes what is put and is gone when it closes. */
export class MemoryChunkStore extends TorrentChunkStore {
  constructor(chunkLength: number, options: ChunkStoreOptions = {}) {
    assertLength(chunkLength)
    const opening = placeInMemory(chunkLength, options, systemClock, systemRandom())
    super(chunkLength, { clock: systemClock, opening, own: true })
  }
}

/**
 * Which pieces of a torrent the volume holds, in the order of the wire (BEP 3): what WebTorrent takes as
 * `bitfield`, so that nothing has to be hashed at the start. A copy; undefined when it is not there.
 */
export function haveBitmap(volume: Volume, infoHash: Uint8Array): Uint8Array | undefined {
  return volume.get(infoHash)?.have.bytes.slice()
}

function assertLength(chunkLength: number): void {
  assert(Number.isInteger(chunkLength) && chunkLength > 0, 'a chunk length of at least one byte')
}
