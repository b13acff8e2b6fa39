/** Reading a torrent back as who exports it would: from its first byte to its last, some reads ahead, compared. */
import { allocateAligned } from '../../src/block-device/index.ts'
import { CHUNK_BYTES, checkChunks } from './payload.ts'

/** What a block device takes as one request: of larger ones two would be cut and mixed. */
const READ_BYTES = 2 ** 20
/** Under way at a time; each that is done makes room for the next one in order. */
const WINDOW = 6

/** Rejects when a byte is not that of the payload. */
export async function readInOrder(
  torrent: number,
  totalBytes: number,
  read: (offset: number, target: Uint8Array) => Promise<void>,
): Promise<void> {
  const buffers = Array.from({ length: WINDOW }, () => allocateAligned(READ_BYTES))
  const ahead = new Array<Promise<void> | undefined>(WINDOW)
  for (let at = 0, i = 0; at < totalBytes; at += READ_BYTES, i = (i + 1) % WINDOW) {
    await ahead[i]
    const bytes = buffers[i]!.subarray(0, Math.min(READ_BYTES, totalBytes - at))
    ahead[i] = read(at, bytes).then(() => checkChunks(bytes, torrent, at / CHUNK_BYTES))
    // The first to fail is awaited in its turn.
    ahead[i]!.catch(() => {})
  }
  await Promise.all(ahead)
}
