/**
 * Four workers on one store, same and different shards, beside a thread that collects garbage; stopped at random moments
 * to look at every word.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { arch } from 'node:process'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { ManualClock, seededRandom } from '../../src/base/index.ts'
import { createPeerStore, openPeerStore } from '../../src/peer-store/index.ts'

const WORKERS = 4
const SWARMS = 300
const PEERS = 3000

interface Report {
  readonly operations: number
  readonly mine: readonly (readonly [number, boolean])[]
  readonly problems: readonly string[]
}

for (const shardCountBits of [0, 6]) {
  test(`four workers on 2^${shardCountBits} shards leave a store that is whole, with exactly their peers`, async () => {
    const store = createPeerStore({
      clock: new ManualClock(),
      random: seededRandom(1),
      shardCountBits,
      maxMemoryBytes: 64 * 2 ** 20,
    })
    const control = new SharedArrayBuffer(4)
    const flags = new Int32Array(control)
    const workers = Array.from({ length: WORKERS }, (_, number) => {
      const workerData = {
        handle: store.handle(),
        control,
        number,
        swarms: SWARMS,
        peers: PEERS,
      }
      return new Worker(new URL('./stress-worker.js', import.meta.url), { workerData })
    })
    const random = seededRandom(9)
    try {
      // The first message says that a worker is there.
      await Promise.all(workers.map((worker) => once(worker, 'message')))
      for (let round = 0; round < 5; round++) {
        Atomics.store(flags, 0, 0)
        const reports = workers.map(
          (worker) =>
            new Promise<Report>((resolve, reject) => {
              worker.once('message', resolve)
              worker.once('error', reject)
            }),
        )
        for (const worker of workers) worker.postMessage('go')
        // Nobody is old enough to be dropped: sweeps only move through.
        const until = performance.now() + 150 + (random.uint32() % 200)
        while (performance.now() < until) {
          store.collectGarbageStep(60_000, 64)
          await new Promise((resolve) => setTimeout(resolve, 1))
        }
        Atomics.store(flags, 0, 1)
        const results = await Promise.all(reports)
        assert.deepEqual(
          results.flatMap((result) => result.problems),
          [],
        )
        assert.ok(results.every((result) => result.operations > 100))
        assert.deepEqual(store.verify(), [])
        const { seeders4, seeders6, leechers4, leechers6, refused } = store.stats()
        const roles = results.flatMap((result) => result.mine.map(([, seeder]) => seeder))
        assert.equal(refused, 0)
        assert.equal(seeders4 + seeders6, roles.filter((seeder) => seeder).length)
        assert.equal(leechers4 + leechers6, roles.filter((seeder) => !seeder).length)
      }
    } finally {
      await Promise.all(workers.map((worker) => worker.terminate()))
    }
    assert.ok(store.collectGarbage(0) >= 0)
  })
}

test('a view of a store sees its peers, and ends without ending the store', () => {
  const clock = new ManualClock()
  const store = createPeerStore({ clock, random: seededRandom(1), maxMemoryBytes: 8 * 2 ** 20 })
  const view = openPeerStore(store.handle(), { random: seededRandom(2) })
  const hash = new Uint8Array(20)
  view.putSeeder(hash, Uint8Array.of(1, 2, 3, 4), 5)
  assert.equal(store.numTotalPeers(4), 1)
  clock.advance(100_000)
  view.putSeeder(hash, Uint8Array.of(1, 2, 3, 5), 5)
  assert.equal(store.collectGarbage(60_000), 1, 'views go by the time of the store')
  view.stop()
  assert.throws(() => view.numSwarms(), { code: 'PEER_STORE_STOPPED' })
  assert.equal(store.numSwarms(), 1)
  const other = openPeerStore(store.handle())
  store.stop()
  assert.throws(() => other.numSwarms(), { code: 'PEER_STORE_STOPPED' })
})

test('what is no store is not opened', () => {
  for (const buffer of [new SharedArrayBuffer(8), new SharedArrayBuffer(2 ** 20)]) {
    assert.throws(() => openPeerStore({ buffer, layoutVersion: 1, owner: 2 }), {
      code: 'PEER_STORE_FOREIGN_HANDLE',
    })
  }
})

// Elsewhere readers lock (memory.ts), and nobody can write beside them.
const skip = arch !== 'x64' && 'readers lock on this processor'

test('a scrape that somebody wrote beside is read again', { skip }, () => {
  const store = createPeerStore({ clock: new ManualClock(), maxMemoryBytes: 8 * 2 ** 20 })
  const view = openPeerStore(store.handle())
  const hash = new Uint8Array(20)
  for (let n = 0; n < 5; n++) store.putLeecher(hash, Uint8Array.of(1, 2, 3, n), 5)
  const seen: number[] = []
  let writes = 0
  // The count of completed downloads is given first: what follows was read before the other thread wrote.
  const counts = {
    seeders: 0,
    leechers: 0,
    set completed(value: number) {
      seen.push(value)
      if (writes++ === 0) view.graduateLeecher(hash, Uint8Array.of(9, 9, 9, 9), 5)
    },
    get completed(): number {
      return seen.at(-1)!
    },
  }
  store.scrapeSwarm(hash, 4, counts)
  assert.deepEqual(seen, [0, 1])
  assert.deepEqual([counts.seeders, counts.leechers], [1, 5])
})

test('what is drawn and counted is of one moment, in compiled code too', async () => {
  const store = createPeerStore({ clock: new ManualClock(), maxMemoryBytes: 8 * 2 ** 20 })
  const hash = new Uint8Array(20)
  const peers = 200
  for (let n = 0; n < peers; n++) store.putLeecher(hash, Uint8Array.of(10, 0, 0, n), 7)
  const control = new SharedArrayBuffer(4)
  const ended = new Int32Array(control)
  const worker = new Worker(new URL('./role-worker.js', import.meta.url), {
    workerData: { handle: store.handle(), control, peers, rounds: 2000 },
  })
  const exit = new Promise((resolve, reject) => {
    worker.once('exit', resolve)
    worker.once('error', reject)
  })
  const counts = { seeders: 0, leechers: 0, completed: 0 }
  const nobody = Uint8Array.of(1, 2, 3, 4)
  const target = new Uint8Array(peers * 6)
  const drawn = new Uint8Array(256)
  const torn: string[] = []
  await new Promise((resolve) => worker.once('online', resolve))
  while (Atomics.load(ended, 0) === 0 && torn.length < 10) {
    for (let n = 0; n < 500; n++) {
      store.scrapeSwarm(hash, 4, counts)
      if (counts.seeders + counts.leechers !== peers) torn.push(JSON.stringify(counts))
      // Whoever changes its role meanwhile is drawn twice, or not at all.
      const found = store.announcePeers(hash, false, peers, nobody, 7, target, 0)
      drawn.fill(0)
      for (let at = 0; at < found * 6; at += 6) drawn[target[at + 3]!]!++
      if (drawn.some((times, peer) => times !== (peer < peers ? 1 : 0))) torn.push(`${found} drawn`)
    }
  }
  await exit
  assert.deepEqual(torn, [])
})
