/** What is left when a thread dies inside a call: nothing is frozen, what it did not hold is whole. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { ManualClock, seededRandom } from '../../src/base/index.ts'
import { createPeerStore, type SharedPeerStore } from '../../src/peer-store/index.ts'

const MIB = 2 ** 20

function create(shardCountBits: number, maxMemoryBytes = 32 * MIB): SharedPeerStore {
  const clock = new ManualClock()
  return createPeerStore({ clock, random: seededRandom(1), shardCountBits, maxMemoryBytes })
}

function hashOf(n: number): Uint8Array {
  const hash = new Uint8Array(20).fill(9)
  new DataView(hash.buffer).setUint32(4, n)
  return hash
}

function addressOf(n: number): Uint8Array {
  return Uint8Array.of(10, n >>> 16, n >>> 8, n)
}

/** Swarms of every kind. */
function populate(store: SharedPeerStore): void {
  for (let n = 0; n < 3000; n++) store.putSeeder(hashOf(n), addressOf(n), 7)
  for (let n = 0; n < 40_000; n++) store.putLeecher(hashOf(n % 50), addressOf(n), 7)
  for (let n = 0; n < 40_000; n++) store.putLeecher(hashOf(3), addressOf(n), 7)
  for (let n = 0; n < 500; n++) store.putLeecher(hashOf(n), new Uint8Array(16).fill(n), 7)
}

function start(workerData: object): Worker {
  return new Worker(new URL('./dying-worker.js', import.meta.url), { workerData })
}

for (const spoils of ['shard', 'allocator'] as const) {
  test(`a thread that died with the ${spoils} locked costs that shard alone`, async () => {
    const store = create(3)
    populate(store)
    const before = store.stats()
    const handle = store.handle()
    const worker = start({ handle, spoils, number: 1 })
    await once(worker, 'message')
    await worker.terminate()
    const isOfShard0 = (n: number): boolean => {
      try {
        store.putSeeder(hashOf(n), addressOf(n), 8)
        return false
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'PEER_STORE_LOCK_LOST')
        return true
      }
    }
    let lost = 0
    while (!isOfShard0(lost)) lost++
    assert.ok(lost < 3000, 'a call that needs the shard is refused, and does not wait for ever')
    assert.equal(store.recover(store.handle()), 0, 'the owner of another handle lives')
    assert.equal(store.recover(handle), 1)
    assert.deepEqual(store.verify(), [])
    const after = store.stats()
    assert.ok(after.swarms < before.swarms && after.swarms > before.swarms / 2)
    assert.ok(after.bytesUsed < before.bytesUsed, 'its memory is free')
    assert.equal(store.recover(handle), 0)
    // All of it works, in freed memory too.
    populate(store)
    assert.equal(store.stats().swarms, before.swarms)
    assert.deepEqual(store.verify(), [])
    store.collectGarbage(0)
  })
}

test('two dead threads are recovered together', async () => {
  const store = create(3)
  populate(store)
  const handles = [store.handle(), store.handle()] as const
  const first = start({ handle: handles[0], spoils: 'shard', number: 1 })
  await once(first, 'message')
  // The second dies with nothing but the allocator: the first has the shard.
  const memory = new Int32Array(handles[1].buffer)
  Atomics.add(memory, 16, 1)
  memory[16 + 13] = handles[1].owner
  await first.terminate()
  assert.throws(() => store.recover(handles[0]), { code: 'PEER_STORE_LOCK_LOST' })
  assert.equal(store.recover(handles[1]), 1)
  assert.deepEqual(store.verify(), [])
})

test('at the limit of memory a shard is recovered, too', async () => {
  const store = create(3, 4 * MIB)
  for (let n = 0; store.stats().refused === 0; n++) {
    store.putSeeder(hashOf(n), addressOf(n), 7)
    assert.ok(n < 200_000, 'the limit was reached')
  }
  const handle = store.handle()
  const worker = start({ handle, spoils: 'allocator', number: 1 })
  await once(worker, 'message')
  await worker.terminate()
  assert.equal(store.recover(handle), 1)
  assert.deepEqual(store.verify(), [])
})

test('workers that are terminated anywhere leave a store that goes on', async () => {
  const store = create(0)
  populate(store)
  let emptied = 0
  for (let round = 0; round < 12; round++) {
    const handles = [store.handle(), store.handle()]
    const workers = handles.map((handle, n) =>
      start({ handle, spoils: undefined, number: round * 2 + n }),
    )
    await Promise.all(workers.map((worker) => once(worker, 'message')))
    await new Promise((resolve) => setTimeout(resolve, 3 * round))
    // One dies, and is recovered while the other works.
    await workers[0]!.terminate()
    emptied += store.recover(handles[0]!)
    const { swarms } = store.stats()
    store.putSeeder(hashOf(5000 + round), addressOf(round), 7)
    assert.ok(store.stats().swarms >= Math.min(1, swarms))
    await workers[1]!.terminate()
    emptied += store.recover(handles[1]!)
    assert.deepEqual(store.verify(), [], `round ${round}, ${emptied} emptied`)
  }
})
