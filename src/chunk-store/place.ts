/** Where the chunks of a store lie: a torrent on a given volume, or on one in memory made for it. */
import { createHash } from 'node:crypto'
import { type Clock, fromHex, type Random, toHex } from '../base/index.ts'
import { MemoryDevice } from '../block-device/index.ts'
import { formatVolume, mountVolume, type StoredTorrent, type Volume } from '../filesystem/index.ts'
import { chunkStoreError } from './errors.ts'
import type { ChunkStoreOptions } from './types.ts'

/** Chunks of a store whose length is not known, unless they are that large that bytes are the limit. */
const CHUNKS_UNKNOWN = 2 ** 20
const BYTES_UNKNOWN = 2 ** 40
/** Larger metadata sectors carry the have-bits of more chunks, down to chunks of three bytes. */
const MEMORY_SECTOR_BYTES = 4096
const MEMORY_BLOCK_BYTES_MIN = 65_536
const MEMORY_BLOCK_BYTES_MAX: number = 4 * 2 ** 20
const MEMORY_BLOCKS = 2 ** 18
/** Root, i-node and info record. */
const SPARE_BLOCKS = 8
/** A continuation maps at least as many: eight twins of one block, where the chunks are tiny. */
const DATA_BLOCKS_A_SLAB = 8

/** An empty bencoded dictionary: no trackers of its own. */
const ATTRIBUTES: Uint8Array = new TextEncoder().encode('de')

export interface Place {
  readonly volume: Volume
  readonly stored: StoredTorrent
}

/** The torrent of the volume, made when it is not there. CHUNK_STORE_TORRENT, and what the volume throws. */
export async function placeOn(
  volume: Volume,
  chunkLength: number,
  options: ChunkStoreOptions,
): Promise<Place> {
  const infoBytes = options.torrent?.infoBuffer ?? options.infoBytes
  const infoHash =
    infoBytes === undefined ? fromHex(options.torrent?.infoHash ?? '') : sha1(infoBytes)
  const known = infoHash === null ? undefined : volume.get(infoHash)
  if (known !== undefined) {
    const length = options.length ?? known.totalBytes
    if (known.pieceBytes === chunkLength && known.totalBytes === length) {
      return { volume, stored: known }
    }
    throw chunkStoreError(
      'CHUNK_STORE_TORRENT',
      `${toHex(known.infoHash)} has ${known.totalBytes} bytes in pieces of ${known.pieceBytes}, the store ${length} in ${chunkLength}`,
    )
  }
  if (infoHash === null || infoBytes === undefined || options.length === undefined) {
    throw chunkStoreError(
      'CHUNK_STORE_TORRENT',
      'the volume does not hold the torrent, and to make it needs its info dictionary and length',
      { mend: 'Pass on the options that WebTorrent makes, or `infoBytes` and `length`.' },
    )
  }
  const geometry = { infoHash, totalBytes: options.length, pieceBytes: chunkLength }
  return { volume, stored: await volume.create(geometry, infoBytes, ATTRIBUTES) }
}

/** A volume in memory, sparse: it takes what is put. It holds one torrent of a made-up name. */
export async function placeInMemory(
  chunkLength: number,
  options: ChunkStoreOptions,
  clock: Clock,
  random: Random,
): Promise<Place> {
  const totalBytes =
    options.length ?? Math.max(chunkLength, Math.min(chunkLength * CHUNKS_UNKNOWN, BYTES_UNKNOWN))
  let blockBytes = MEMORY_BLOCK_BYTES_MIN
  while (blockBytes < MEMORY_BLOCK_BYTES_MAX && totalBytes / blockBytes > MEMORY_BLOCKS) {
    blockBytes *= 2
  }
  const dataBlocks = Math.ceil(totalBytes / blockBytes)
  const blocks = dataBlocks + SPARE_BLOCKS + Math.ceil(dataBlocks / DATA_BLOCKS_A_SLAB)
  const device = new MemoryDevice({
    sizeBytes: blocks * blockBytes,
    sectorBytes: MEMORY_SECTOR_BYTES,
    label: 'chunk store',
  })
  await formatVolume(device, { clock, random, blockBytes })
  const volume = await mountVolume(device, { clock, random })
  const infoBytes = new Uint8Array(20)
  random.fill(infoBytes)
  const geometry = { infoHash: sha1(infoBytes), totalBytes, pieceBytes: chunkLength }
  return { volume, stored: await volume.create(geometry, infoBytes, ATTRIBUTES) }
}

function sha1(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha1').update(bytes).digest())
}
