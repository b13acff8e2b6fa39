/**
 * Payload that costs nothing to keep: each chunk is the same 16 KiB of noise, with the numbers of its
 * torrent and of itself in front. So gigabytes can be made, hashed and recognised without being stored.
 */
import { createHash } from 'node:crypto'
import { seededRandom } from '../../src/base/index.ts'
import { buildInfo, type TorrentInfo } from '../../src/metainfo/index.ts'

export const CHUNK_BYTES = 16_384
/** Torrent and chunk, each plus one, as 32 bits. */
export const STAMP_BYTES = 8

const noise = new Uint8Array(CHUNK_BYTES)
seededRandom(0x5eed).fill(noise)
const tail = Buffer.from(noise.buffer, STAMP_BYTES, CHUNK_BYTES - STAMP_BYTES)

/** Fills `target` with a chunk, or the beginning of one. */
export function fillChunk(target: Uint8Array, torrent: number, chunk: number): void {
  target.set(target.length === CHUNK_BYTES ? noise : noise.subarray(0, target.length))
  const view = new DataView(target.buffer, target.byteOffset, target.length)
  view.setUint32(0, torrent + 1, true)
  view.setUint32(4, chunk + 1, true)
}

/** Whether `bytes` is a whole chunk of some torrent. */
export function isChunk(bytes: Uint8Array): boolean {
  return tail.equals(bytes.subarray(STAMP_BYTES))
}

/** Throws when `bytes` is not what the chunks of a torrent from `firstChunk` on are. */
export function checkChunks(bytes: Uint8Array, torrent: number, firstChunk: number): void {
  const expected = new Uint8Array(CHUNK_BYTES)
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    fillChunk(expected, torrent, firstChunk + at / CHUNK_BYTES)
    if (Buffer.compare(expected, bytes.subarray(at, at + CHUNK_BYTES)) === 0) continue
    throw new Error(`chunk ${firstChunk + at / CHUNK_BYTES} of torrent ${torrent} is wrong`)
  }
}

/** A torrent of such chunks; both sizes are multiples of a chunk. */
export function payloadTorrent(
  number: number,
  totalBytes: number,
  pieceBytes: number,
): TorrentInfo {
  const pieces = Math.ceil(totalBytes / pieceBytes)
  const pieceHashes = new Uint8Array(20 * pieces)
  const bytes = new Uint8Array(pieceBytes)
  for (let piece = 0; piece < pieces; piece++) {
    const length = Math.min(pieceBytes, totalBytes - piece * pieceBytes)
    const first = (piece * pieceBytes) / CHUNK_BYTES
    for (let at = 0; at < length; at += CHUNK_BYTES) {
      fillChunk(bytes.subarray(at, at + CHUNK_BYTES), number, first + at / CHUNK_BYTES)
    }
    const digest = createHash('sha1').update(bytes.subarray(0, length)).digest()
    pieceHashes.set(digest, 20 * piece)
  }
  return buildInfo({
    name: `torrent ${number}`,
    multiFile: false,
    files: [{ path: [`torrent ${number}`], bytes: totalBytes, padding: false }],
    pieceBytes,
    pieceHashes,
  })
}
