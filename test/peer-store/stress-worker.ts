/**
 * One worker of the stress run: opens the store and works on swarms and peers of its own choosing until it is told to pause,
 * then says what it did and waits. Its own peers have its number in the address, so it knows what must be there.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { seededRandom } from '../../src/base/index.ts'
import { openPeerStore, type PeerStoreHandle } from '../../src/peer-store/index.ts'

interface Work {
  readonly handle: PeerStoreHandle
  readonly control: SharedArrayBuffer
  readonly number: number
  readonly swarms: number
  readonly peers: number
}

const { handle, control, number, swarms, peers } = workerData as Work
const flags = new Int32Array(control)
const random = seededRandom(1000 + number)
const store = openPeerStore(handle, { random })
const hash = new Uint8Array(20)
const address4 = Uint8Array.of(10, number, 0, 0)
const address6 = new Uint8Array(16).fill(0x20)
address6[1] = number
const target = new Uint8Array(20 + 200 * 18)
const counts = { seeders: 0, leechers: 0, completed: 0 }
/** What this worker put and did not delete: swarm | family | peer -> seeder. */
const mine = new Map<number, boolean>()
const problems: string[] = []
let operations = 0

function work(): void {
  const dice = random.uint32()
  const family = (dice & 1) === 0 ? 4 : 6
  // Half of the work falls on one swarm.
  const swarm = (dice & 2) === 0 ? 0 : random.uint32() % swarms
  const peer = random.uint32() % peers
  hash[0] = swarm
  hash[1] = swarm >>> 8
  const address = family === 4 ? address4 : address6
  address[address.length - 1] = peer
  address[address.length - 2] = peer >>> 8
  const key = (swarm * peers + peer) * 2 + (family === 4 ? 0 : 1)
  const had = mine.get(key)
  switch ((dice >>> 2) % 10) {
    case 0:
    case 1:
      store.putSeeder(hash, address, 7)
      mine.set(key, true)
      break
    case 2:
    case 3:
      store.putLeecher(hash, address, 7)
      mine.set(key, false)
      break
    case 4:
      store.graduateLeecher(hash, address, 7)
      mine.set(key, true)
      break
    case 5:
    case 6:
      if (store.deleteSeeder(hash, address, 7) !== (had === true)) problems.push('deleteSeeder')
      if (had === true) mine.delete(key)
      break
    case 7:
      if (store.deleteLeecher(hash, address, 7) !== (had === false)) problems.push('deleteLeecher')
      if (had === false) mine.delete(key)
      break
    case 8:
      announce(family, address, (dice & 0x10000) !== 0)
      break
    default:
      store.scrapeSwarm(hash, family, counts)
      if (counts.seeders < 0 || counts.leechers < 0 || counts.seeders > 1e6) problems.push('scrape')
  }
  operations++
}

function announce(family: 4 | 6, address: Uint8Array, seeder: boolean): void {
  const size = family === 4 ? 6 : 18
  const count = store.announcePeers(hash, seeder, 50, address, 7, target, 20)
  const seen = new Set<string>()
  for (let i = 0; i < count; i++) {
    const at = 20 + i * size
    const compact = target.subarray(at, at + size)
    seen.add(Buffer.from(compact).toString('hex'))
    const isOurs = compact[0] === (family === 4 ? 10 : 0x20) && compact[1]! < 8
    if (!isOurs || compact[size - 1] !== 7 || compact[size - 2] !== 0) problems.push('no such peer')
  }
  if (seen.size !== count) problems.push('a peer twice')
  const self = Buffer.from([...address, 0, 7]).toString('hex')
  if (seen.has(self)) problems.push('the announcer itself')
}

parentPort!.on('message', () => {
  while (Atomics.load(flags, 0) === 0) for (let i = 0; i < 200; i++) work()
  parentPort!.postMessage({ operations, mine: [...mine], problems: problems.slice(0, 5) })
})
parentPort!.postMessage('ready')
