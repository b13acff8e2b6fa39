/** Turns peers of one swarm from leechers into seeders and back, as fast as it can, so often; then says that it has ended. */
import { workerData } from 'node:worker_threads'
import { openPeerStore, type PeerStoreHandle } from '../../src/peer-store/index.ts'

interface Work {
  readonly handle: PeerStoreHandle
  readonly control: SharedArrayBuffer
  readonly peers: number
  readonly rounds: number
}

const { handle, control, peers, rounds } = workerData as Work
const store = openPeerStore(handle)
const hash = new Uint8Array(20)
const address = Uint8Array.of(10, 0, 0, 0)
try {
  for (let round = 0; round < rounds; round++) {
    for (let peer = 0; peer < peers; peer++) {
      address[3] = peer
      if (round % 2 === 0) store.putSeeder(hash, address, 7)
      else store.putLeecher(hash, address, 7)
    }
  }
} finally {
  // Whoever reads looks at this alone meanwhile, and hears of an error after.
  Atomics.store(new Int32Array(control), 0, 1)
}
