/**
 * A worker that works on a store until it is terminated, wherever it is then; or, when told so, takes locks, spoils what they
 * guard, and says that it may be ended.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { seededRandom } from '../../src/base/index.ts'
import { Core } from '../../src/peer-store/core.ts'
import { openPeerStore, type PeerStoreHandle } from '../../src/peer-store/index.ts'
import { H_ALLOCATOR_LOCK, H_PARTIAL, S_DEPTH, S_SWARMS } from '../../src/peer-store/layout.ts'
import { Memory } from '../../src/peer-store/memory.ts'

const { handle, spoils, number } = workerData as {
  readonly handle: PeerStoreHandle
  readonly spoils: 'shard' | 'allocator' | undefined
  readonly number: number
}
const random = seededRandom(number)

if (spoils !== undefined) {
  const memory = new Memory(handle.buffer, true, handle.owner)
  const core = new Core(memory, random)
  const shard = core.shard(0)
  memory.lock(shard)
  memory.words.fill(0x55555555, shard + S_DEPTH, shard + S_SWARMS + 5)
  if (spoils === 'allocator') {
    memory.lock(H_ALLOCATOR_LOCK)
    memory.words.fill(0x55555555, H_PARTIAL, H_PARTIAL + 60)
  }
  parentPort!.postMessage('locked')
} else {
  const store = openPeerStore(handle, { random })
  const hash = new Uint8Array(20)
  const address = new Uint8Array(4)
  const target = new Uint8Array(300)
  let said = false
  for (;;) {
    for (let i = 0; i < 100; i++) {
      const dice = random.uint32()
      // Few swarms of all sizes, that grow and vanish: most of the time is spent in a lock, and much in the allocator's.
      hash[0] = dice & 7
      hash[1] = (dice & 7) === 0 ? dice >>> 8 : 0
      address[2] = dice >>> 16
      address[3] = dice >>> 24
      if ((dice & 8) === 0) store.putLeecher(hash, address, 7)
      else if ((dice & 16) === 0) store.deleteLeecher(hash, address, 7)
      else store.announcePeers(hash, false, 50, address, 8, target, 0)
    }
    if (!said) parentPort!.postMessage('works')
    said = true
  }
}
