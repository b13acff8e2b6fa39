/** What the tests of announcing have in common. */
import type { AnnounceRequest } from '../../../src/engine/announce/types.ts'

export const REQUEST: AnnounceRequest = {
  infoHash: Uint8Array.from({ length: 20 }, (_, i) => i),
  peerId: new Uint8Array(Buffer.from('-SE0100-abcdefghijkl')),
  port: 6881,
  key: 0x01ab23cd,
  event: 'started',
  numWant: 50,
  uploaded: 1,
  downloaded: 2 ** 40 + 2,
  left: 3,
}

/** Lets everything happen that waits for promises only. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}
