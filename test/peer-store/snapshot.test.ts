/** What comes back from a snapshot, and what is refused. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { below, ManualClock, seededRandom } from '../../src/base/index.ts'
import { createPeerStore, type SharedPeerStore } from '../../src/peer-store/index.ts'
import { mutate } from '../mutate.ts'

const MIB = 2 ** 20
let directory = ''
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'seedbed-snapshot-'))
})
after(() => rm(directory, { recursive: true }))

/** Clocks of two machines: monotonic time begins anew, the wall goes on. */
function create(wallMs: number): { store: SharedPeerStore; clock: ManualClock } {
  const manual = new ManualClock()
  const clock = Object.assign(manual, { wallMs: () => wallMs + manual.monotonicMs() })
  return {
    clock,
    store: createPeerStore({ clock, random: seededRandom(4), maxMemoryBytes: 64 * MIB }),
  }
}

function hashOf(n: number): Uint8Array {
  const hash = new Uint8Array(20).fill(n === 0 ? 0 : 3)
  new DataView(hash.buffer).setUint32(0, n)
  return hash
}

function addressOf(family: 4 | 6, n: number): Uint8Array {
  const address = new Uint8Array(family === 4 ? 4 : 16).fill(0x21)
  new DataView(address.buffer).setUint32(address.length - 4, n)
  return address
}

/** Swarms of all kinds: inline, small, dense, in buckets, of one family and of both. */
function populate(store: SharedPeerStore): void {
  for (let n = 0; n < 500; n++) store.putLeecher(hashOf(n), addressOf(4, n), n)
  for (let n = 0; n < 100; n++) store.graduateLeecher(hashOf(n), addressOf(6, n), n)
  for (let n = 0; n < 100; n++) store.graduateLeecher(hashOf(1000 + n), addressOf(4, n), 1)
  for (let n = 0; n < 3000; n++) store.putSeeder(hashOf(600), addressOf(n % 2 ? 4 : 6, n), 9)
  for (let n = 0; n < 40_000; n++) store.putLeecher(hashOf(601), addressOf(4, n), 9)
  for (let n = 0; n < 30; n++) store.putSeeder(hashOf(601), addressOf(4, 50_000 + n), 9)
}

function contents(store: SharedPeerStore): Record<string, unknown> {
  const counts = { seeders: 0, leechers: 0, completed: 0 }
  const all: Record<string, unknown> = {}
  for (let n = 0; n < 1100; n++) {
    for (const family of [4, 6] as const) {
      store.scrapeSwarm(hashOf(n), family, counts)
      if (counts.seeders + counts.leechers === 0) continue
      const lists = [true, false].map((seeders) => {
        const list = Buffer.from(store.listPeers(hashOf(n), family, seeders)).toString('hex')
        return list
          .match(family === 4 ? /.{12}/g : /.{36}/g)
          ?.sort()
          .join()
      })
      all[`${n}/${family}`] = [{ ...counts }, ...lists]
    }
  }
  return all
}

test('what was saved is what is loaded: peers, roles, counts of completed downloads', async () => {
  const path = join(directory, 'whole')
  const { store } = create(1e12)
  populate(store)
  const before = contents(store)
  const saved = await store.save(path)
  assert.equal(saved, store.numTotalPeers(4) + store.numTotalPeers(6))
  const again = create(1e12)
  assert.equal(await again.store.load(path), saved)
  assert.deepEqual(contents(again.store), before)
  assert.deepEqual(again.store.verify(), [])
  assert.deepEqual(
    (await readdir(directory)).filter((name) => name.startsWith('whole')),
    ['whole'],
    'no temporary file is left',
  )
})

test('ages go on while the store is away', async () => {
  const path = join(directory, 'ages')
  const { store, clock } = create(1e12)
  store.putSeeder(hashOf(1), addressOf(4, 1), 1)
  clock.advance(600_000)
  store.putSeeder(hashOf(2), addressOf(4, 2), 1)
  await store.save(path)
  for (const [awayMs, lifetimeMs, left] of [
    [0, 500_000, 1],
    [0, 700_000, 2],
    [200_000, 700_000, 1],
    [600_000, 500_000, 0],
    [16 * 3600_000, 15 * 3600_000, 0],
    [-3600_000, 700_000, 2],
  ] as const) {
    const later = create(1e12 + 600_000 + awayMs)
    await later.store.load(path)
    later.store.collectGarbage(lifetimeMs)
    assert.equal(later.store.numSwarms(), left, `${awayMs} away, lifetime ${lifetimeMs}`)
  }
})

test('a torn, foreign or newer file is refused, and the store is empty and works', async () => {
  const path = join(directory, 'bad')
  const { store } = create(1e12)
  for (let n = 0; n < 2000; n++) store.putLeecher(hashOf(n), addressOf(4, n), 1)
  await store.save(path)
  const good = await readFile(path)
  const flip = (at: number): Buffer => {
    const bytes = Buffer.from(good)
    bytes[at]! ^= 1
    return bytes
  }
  const newer = Buffer.from(good)
  newer.writeUInt32LE(2, 8)
  const cases: [string, Buffer][] = [
    ['PEER_STORE_SNAPSHOT_FOREIGN', Buffer.alloc(0)],
    [
      'PEER_STORE_SNAPSHOT_FOREIGN',
      Buffer.from('GIF89a and so on, long enough for a header of 64 bytes, or more'),
    ],
    ['PEER_STORE_SNAPSHOT_FOREIGN', flip(0)],
    ['PEER_STORE_SNAPSHOT_NEWER', newer],
    ...[64, 65, 100, 1000, good.length - 33, good.length - 1].map((length): [string, Buffer] => [
      'PEER_STORE_SNAPSHOT_TORN',
      good.subarray(0, length),
    ]),
    ...[13, 17, 70, 5000, good.length - 40, good.length - 1].map((at): [string, Buffer] => [
      'PEER_STORE_SNAPSHOT_TORN',
      flip(at),
    ]),
    ['PEER_STORE_SNAPSHOT_TORN', Buffer.concat([good, Buffer.alloc(4)])],
  ]
  for (const [code, bytes] of cases) {
    await writeFile(path, bytes)
    const again = create(1e12)
    await assert.rejects(again.store.load(path), { code }, `${bytes.length} bytes`)
    assert.equal(again.store.numSwarms(), 0)
    again.store.putLeecher(hashOf(1), addressOf(4, 1), 1)
    assert.equal(again.store.numSwarms(), 1)
    await assert.rejects(again.store.load(path), { code: 'PEER_STORE_NOT_EMPTY' })
  }
})

test('a snapshot changed at random is refused with a code, or is a store that works; its checksum may be right', async () => {
  const path = join(directory, 'changed')
  const { store } = create(1e12)
  for (let n = 0; n < 30; n++) {
    store.putLeecher(hashOf(n), addressOf(4, n), n)
    store.graduateLeecher(hashOf(n % 5), addressOf(6, n), n)
  }
  await store.save(path)
  const good = await readFile(path)
  const random = seededRandom(19)
  let loaded = 0
  for (let round = 0; round < 400; round++) {
    let body = mutate(good.subarray(0, -32), random, 2 * good.length)
    if (round % 2 === 0) {
      // Other numbers where numbers are.
      body = Buffer.from(good.subarray(0, -32))
      for (let count = 1 + below(random, 3); count > 0; count--) {
        const word = [0, 1, 0x7fffffff, 0xffffffff, random.uint32()][below(random, 5)]!
        body.writeUInt32LE(word, 4 * below(random, (good.length - 32) >> 2))
      }
      const clock = [Number.NaN, Number.NEGATIVE_INFINITY, 1e300][round / 2]
      if (clock !== undefined) body.writeDoubleLE(clock, 16)
    }
    await writeFile(path, Buffer.concat([body, createHash('sha256').update(body).digest()]))
    const again = create(1e12)
    try {
      await again.store.load(path)
      loaded++
    } catch (error) {
      assert.match(String((error as { code?: string }).code), /^PEER_STORE_SNAPSHOT_/)
    }
    again.store.putSeeder(hashOf(1), addressOf(4, 1), 77)
    again.clock.advance(60_000)
    again.store.collectGarbage(30_000)
    assert.equal(again.store.numSwarms(), 0, `round ${round}: who was there has an age, and goes`)
  }
  assert.ok(loaded > 50, `${loaded} were loaded`)
})

test('a save that cannot be finished leaves the file that was there', async () => {
  const path = join(directory, 'kept')
  const { store } = create(1e12)
  store.putLeecher(hashOf(1), addressOf(4, 1), 1)
  await store.save(path)
  const before = await readFile(path)
  store.putLeecher(hashOf(2), addressOf(4, 2), 1)
  await assert.rejects(store.save(join(directory, 'no', 'such', 'place')), { code: 'ENOENT' })
  // A disk that is full, in the middle of writing beside the file; and a name that cannot be taken.
  if (existsSync('/dev/full')) {
    await symlink('/dev/full', `${path}.tmp`)
    await assert.rejects(store.save(path), { code: 'ENOSPC' })
    assert.ok(!existsSync(`${path}.tmp`), 'nothing is left of it')
  }
  await mkdir(`${path}.tmp`)
  await assert.rejects(store.save(path), { code: 'EISDIR' })
  assert.deepEqual(await readFile(path), before)
  const again = create(1e12)
  assert.equal(await again.store.load(path), 1)
})

test('a snapshot takes the place of no file but an older or a damaged snapshot', async () => {
  const { store } = create(0)
  const place = join(directory, 'place')
  store.putLeecher(hashOf(1), addressOf(4, 1), 1)
  await store.save(place)
  const own = await readFile(place)
  const newer = Buffer.from(own)
  newer.writeUInt32LE(2, 8)
  for (const [code, bytes] of [
    ['PEER_STORE_SNAPSHOT_FOREIGN', Buffer.from('root:x:0:0\n')],
    ['PEER_STORE_SNAPSHOT_FOREIGN', Buffer.alloc(5000, 7)],
    ['PEER_STORE_SNAPSHOT_NEWER', newer],
  ] as const) {
    await writeFile(place, bytes)
    await assert.rejects(store.save(place), { code })
    assert.deepEqual(await readFile(place), bytes)
  }
  assert.equal(existsSync(`${place}.tmp`), false)
  for (const bytes of [own, own.subarray(0, 90), own.subarray(0, 20), Buffer.alloc(0)]) {
    await writeFile(place, bytes)
    assert.equal(await store.save(place), 1)
    assert.ok((await readFile(place)).length === own.length)
  }
  await assert.rejects(store.save(directory), { code: 'PEER_STORE_SNAPSHOT_FOREIGN' })
})

test('a snapshot too large for the memory fills it and refuses the rest', async () => {
  const path = join(directory, 'large')
  const { store } = create(1e12)
  for (let n = 0; n < 200_000; n++) store.putLeecher(hashOf(n), addressOf(4, n), 1)
  await store.save(path)
  const clock = new ManualClock(0)
  const small = createPeerStore({ clock, random: seededRandom(4), maxMemoryBytes: 4 * MIB })
  const loaded = await small.load(path)
  assert.ok(loaded > 30_000 && loaded < 200_000)
  assert.equal(small.numTotalPeers(4), loaded)
  assert.deepEqual(small.verify(), [])
})

test('who stays is saved once, while others leave and the table shrinks under the walk', async () => {
  const path = join(directory, 'shrinking')
  const { store } = create(1e12)
  const stays = 30_000
  const all = 150_000
  for (let n = 0; n < all; n++) store.graduateLeecher(hashOf(n), addressOf(4, n), 1)
  const left = { count: all, isSaving: true }
  const saving = store.save(path).finally(() => {
    left.isSaving = false
  })
  while (left.isSaving) {
    const end = Math.max(stays, left.count - 10_000)
    for (; left.count > end; left.count--) {
      store.deleteSeeder(hashOf(left.count - 1), addressOf(4, left.count - 1), 1)
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  await saving
  assert.ok(left.count < all, 'some left in the middle')
  const again = create(1e12)
  await again.store.load(path)
  const counts = { seeders: 0, leechers: 0, completed: 0 }
  for (let n = 0; n < stays; n++) {
    again.store.scrapeSwarm(hashOf(n), 4, counts)
    assert.deepEqual(counts, { seeders: 1, leechers: 0, completed: 1 })
  }
})
