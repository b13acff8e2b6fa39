/** What the store takes, gives back, and refuses. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock, seededRandom } from '../../src/base/index.ts'
import { defaultMemoryBytes } from '../../src/peer-store/create.ts'
import {
  createPeerStore,
  MAX_LIFETIME_MS,
  PeerAnnounce,
  type PeerStore,
} from '../../src/peer-store/index.ts'
import { garbageOf, garbageTest } from '../garbage.ts'

const MIB = 2 ** 20
const GIB = 2 ** 30

function create(maxMemoryBytes?: number): PeerStore {
  return createPeerStore({
    clock: new ManualClock(),
    random: seededRandom(3),
    ...(maxMemoryBytes === undefined ? {} : { maxMemoryBytes }),
  })
}

const hash = new Uint8Array(20)
const view = new DataView(hash.buffer)
const address4 = new Uint8Array(4)
const view4 = new DataView(address4.buffer)
const address6 = new Uint8Array(16).fill(9)
const view6 = new DataView(address6.buffer)

function populate(store: PeerStore, swarms: number): void {
  for (let n = 0; n < swarms; n++) {
    view.setUint32(4, n)
    view4.setUint32(0, n)
    store.putSeeder(hash, address4, 6881)
  }
}

garbageTest('no call on the hot path allocates on the V8 heap', import.meta.url, () => {
  const clock = new ManualClock()
  const store = createPeerStore({ clock, random: seededRandom(1), maxMemoryBytes: 16 * MIB })
  store.handle()
  const target = new Uint8Array(300)
  const atOnce = Object.assign(new PeerAnnounce(), { port: 7, wanted: 10, target })
  const counts = { seeders: 0, leechers: 0, completed: 0 }
  // Addresses and info-hashes of both signs: what does not fit 31 bits may be boxed.
  const hashes = Array.from({ length: 16 }, (_, n) => new Uint8Array(20).fill(n * 16 + 5))
  const fours = Array.from({ length: 16 }, (_, n) => new Uint8Array(4).fill(n * 16 + 5))
  const sixes = Array.from({ length: 16 }, (_, n) => new Uint8Array(16).fill(n * 16 + 5))
  const calls: Record<string, (hash: Uint8Array, address: Uint8Array) => void> = {
    put: (hash, address) => store.putSeeder(hash, address, 7),
    putDelete: (hash, address) => {
      store.putLeecher(hash, address, 9)
      store.graduateLeecher(hash, address, 9)
      store.deleteSeeder(hash, address, 9)
    },
    deleteNobody: (hash, address) => store.deleteLeecher(hash, address, 11),
    announce: (hash, address) => store.announcePeers(hash, false, 10, address, 7, target, 0),
    announceAtOnce: (hash, address) => {
      atOnce.infoHash = hash
      atOnce.address = address
      store.announce(atOnce)
    },
    scrape: (hash) => store.scrapeSwarm(hash, 6, counts),
  }
  const rounds = 20_000
  for (const [name, call] of Object.entries(calls)) {
    const bytes = garbageOf(rounds, () => {
      for (let n = 0; n < rounds; n++) {
        call(hashes[n & 15]!, n & 16 ? fours[(n * 7) & 15]! : sixes[(n * 5) & 15]!)
      }
    })
    assert.ok(bytes < 1, `${name}: ${bytes} bytes a call`)
  }
})

test('a swarm of one IPv4 peer costs less than 50 bytes, its share of the table included', () => {
  const store = create()
  const base = store.stats().bytesUsed
  populate(store, 100_000)
  const each = (store.stats().bytesUsed - base) / 100_000
  assert.ok(each < 50, `${each} bytes a swarm`)
})

test('an empty store of 1024 shards reserves at most 2 MiB', () => {
  assert.ok(create().stats().bytesReserved <= 2 * MIB)
})

test('peers of a large swarm cost less than 9.5 bytes in IPv4 and 23 in IPv6', () => {
  const store = create()
  const base = store.stats().bytesUsed
  const peers = 300_000
  for (let n = 0; n < peers; n++) {
    view4.setUint32(0, n)
    store.putLeecher(hash, address4, n & 0xffff)
  }
  const used4 = (store.stats().bytesUsed - base) / peers
  assert.ok(used4 < 9.5, `${used4} bytes an IPv4 peer`)
  for (let n = 0; n < peers; n++) {
    view6.setUint32(0, n)
    store.putLeecher(hash, address6, n & 0xffff)
  }
  const used6 = (store.stats().bytesUsed - base) / peers - used4
  assert.ok(used6 < 23, `${used6} bytes an IPv6 peer`)
})

test('what leaves is reused: population after population in the same memory, of any shape', () => {
  const clock = new ManualClock()
  const store = createPeerStore({ clock, random: seededRandom(5), shardCountBits: 4 })
  const populations = [
    () => populate(store, 20_000),
    () => {
      for (let n = 0; n < 20_000; n++) {
        view.setUint32(4, 0)
        view6.setUint32(0, n)
        store.putLeecher(hash, address6, 1)
      }
    },
    () => {
      for (let n = 0; n < 40_000; n++) {
        view.setUint32(4, n % 700)
        view4.setUint32(0, n)
        store.graduateLeecher(hash, address4, 2)
      }
    },
  ]
  const empty = store.stats().bytesUsed
  let reserved = 0
  for (let round = 0; round < 4; round++) {
    for (const arrive of populations) {
      arrive()
      clock.advance(60_000)
      assert.ok(store.collectGarbage(10_000) > 0)
      assert.equal(store.stats().swarms, 0)
      assert.equal(store.stats().bytesUsed, empty, 'nothing is left behind')
    }
    // The first round finds how the shapes lie beside one another.
    if (round < 2) reserved = store.stats().bytesReserved
    // Blocks come to lie elsewhere, by a span or two.
    assert.ok(store.stats().bytesReserved <= reserved * 1.05)
  }
})

test('at its limit the store refuses new peers, counts them, and serves those it has', () => {
  const limit = 6 * MIB
  const store = create(limit)
  populate(store, 300_000)
  const full = store.stats()
  assert.ok(full.refused > 0)
  assert.ok(full.bytesReserved <= limit)
  assert.equal(full.swarms + full.refused, 300_000)
  const kept = full.swarms
  assert.ok(kept > 90_000, `${kept} swarms in 6 MiB`)
  const counts = { seeders: 0, leechers: 0, completed: 0 }
  let known = -1
  for (let n = 0, again = 0; again < 1000; n++) {
    view.setUint32(4, n)
    view4.setUint32(0, n)
    store.scrapeSwarm(hash, 4, counts)
    if (counts.seeders === 0) continue
    store.putSeeder(hash, address4, 6881)
    again++
    known = n
  }
  assert.equal(store.stats().refused, full.refused, 'putting again is not refused')
  const announce = Object.assign(new PeerAnnounce(), { port: 6881, wanted: 10, target: hash })
  announce.infoHash = new Uint8Array(20).fill(0xee)
  announce.address = address4
  store.announce(announce)
  assert.equal(store.stats().refused, full.refused + 1)
  assert.equal(announce.drawn, 0)
  assert.deepEqual({ ...announce.counts }, { seeders: 0, leechers: 0, completed: 0 })
  view.setUint32(4, known)
  view4.setUint32(0, known)
  assert.equal(store.deleteSeeder(hash, address4, 6881), true)
  store.putLeecher(hash, address4, 6881)
  assert.equal(store.stats().swarms, kept, 'what leaves makes room')
})

test('after refusals a pass evicts the stalest eighth, and there is room again', () => {
  const clock = new ManualClock()
  const store = createPeerStore({ clock, random: seededRandom(3), maxMemoryBytes: 6 * MIB })
  let n = 0
  for (; store.stats().refused === 0; n += 1000) {
    assert.ok(n < 2_000_000, 'the limit was reached')
    for (let i = n; i < n + 1000; i++) {
      view.setUint32(4, i)
      store.putSeeder(hash, address4, 6881)
    }
    clock.advance(20_000)
  }
  // The first pass learns the ages, the second goes by them.
  const lifetimeMs = 10 * 3600_000
  store.collectGarbage(lifetimeMs)
  const before = store.stats()
  for (let i = n; i < n + 2000; i++) {
    view.setUint32(4, i)
    store.putSeeder(hash, address4, 6881)
  }
  store.collectGarbage(lifetimeMs)
  const after = store.stats()
  assert.equal(after.expired, 0)
  const evicted = after.evicted / before.swarms
  assert.ok(evicted >= 0.1 && evicted < 0.2, `${evicted} of the peers`)
  const counts = { seeders: 0, leechers: 0, completed: 0 }
  view.setUint32(4, 0)
  store.scrapeSwarm(hash, 4, counts)
  assert.equal(counts.seeders, 0, 'the stalest is gone')
  view.setUint32(4, n - 30_000)
  store.scrapeSwarm(hash, 4, counts)
  assert.equal(counts.seeders, 1, 'a fresh one stays')
})

test('a limit on memory is kept by large swarms too', () => {
  for (const bytes of [4, 8, 16]) {
    const store = create(bytes * MIB)
    view.setUint32(4, 0)
    for (let n = 0; n < 900_000 && (n % 4096 !== 0 || store.stats().refused === 0); n++) {
      view6.setUint32(0, n)
      store.putLeecher(hash, address6, 1)
    }
    assert.ok(store.stats().refused > 0)
    assert.ok(store.stats().bytesReserved <= bytes * MIB)
  }
})

test('options outside their bounds are refused by name', () => {
  const clock = new ManualClock()
  for (const [options, code, word] of [
    [{ shardCountBits: 17 }, 'PEER_STORE_INVALID_OPTION', 'shardCountBits'],
    [{ shardCountBits: 1.5 }, 'PEER_STORE_INVALID_OPTION', 'shardCountBits'],
    [{ maxMemoryBytes: 1 }, 'PEER_STORE_INVALID_OPTION', 'maxMemoryBytes'],
    [{ peerLifetimeMs: MAX_LIFETIME_MS + 1 }, 'PEER_STORE_LIFETIME_TOO_LONG', 'lifetime'],
  ] as const) {
    assert.throws(
      () => createPeerStore({ clock, ...options }),
      (error: Error & { code?: string }) => error.code === code && error.message.includes(word),
    )
  }
  createPeerStore({ clock, peerLifetimeMs: MAX_LIFETIME_MS, shardCountBits: 16 }).stop()
})

test('the wall clock plays no part', () => {
  let wallMs = 0
  const manual = new ManualClock()
  const clock = {
    monotonicMs: () => manual.monotonicMs(),
    wallMs: () => wallMs,
    after: (delayMs: number, task: () => void) => manual.after(delayMs, task),
  }
  const store = createPeerStore({ clock, random: seededRandom(1) })
  populate(store, 10)
  for (const step of [1e9, -2e9, 1e12]) {
    wallMs += step
    assert.equal(store.collectGarbage(60_000), 0)
  }
  manual.advance(70_000)
  assert.equal(store.collectGarbage(60_000), 10)
})

test('a store allows itself half of the memory that the process may have', () => {
  assert.equal(defaultMemoryBytes(16 * GIB, 0), 8 * GIB, 'no limit is known')
  assert.equal(defaultMemoryBytes(16 * GIB, 2 ** 64), 8 * GIB, 'no limit is set')
  assert.equal(defaultMemoryBytes(16 * GIB, GIB), GIB / 2, 'a container of 1 GiB')
  assert.equal(defaultMemoryBytes(16 * GIB, 32 * MIB), 64 * MIB, 'never less than works')
})
