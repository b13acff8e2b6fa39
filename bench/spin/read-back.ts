/** Reading a torrent back as who exports it would: from its first byte to its last, two reads under way, compared. */
import { allocateAligned } from '../../src/block-device/index.ts'
import { CHUNK_BYTES, checkChunks } from './payload.ts'

const READ_BYTES = 4 * 2 ** 20

/** Rejects when a byte is not that of the payload. */
export async function readInOrder(
  torrent: number,
  totalBytes: number,
  read: (offset: number, target: Uint8Array) => Promise<void>,
): Promise<void> {
  const buffers = [allocateAligned(READ_BYTES), allocateAligned(READ_BYTES)]
  let ahead: Promise<void> | undefined
  for (let at = 0, i = 0; at < totalBytes; at += READ_BYTES, i++) {
    const bytes = buffers[i % 2]!.subarray(0, Math.min(READ_BYTES, totalBytes - at))
    const compared = read(at, bytes).then(() => checkChunks(bytes, torrent, at / CHUNK_BYTES))
    await ahead
    ahead = compared
  }
  await ahead
}
