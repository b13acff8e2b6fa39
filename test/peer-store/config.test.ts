/** Configuration, maintenance and the strict form of the contract. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock, seededRandom } from '../../src/base/index.ts'
import {
  contractOf,
  createPeerStore,
  MAX_LIFETIME_MS,
  maintainPeerStore,
  parseDurationMs,
  parsePeerStoreConfig,
  TICK_MS,
} from '../../src/peer-store/index.ts'

const MIB = 2 ** 20

test("optmem's own example is understood", () => {
  const config = parsePeerStoreConfig({
    shard_count_bits: 0,
    gc_interval: '2m',
    peer_lifetime: '16m',
    prometheus_reporting_interval: '1s',
    max_memory: '512MiB',
  })
  assert.deepEqual(config, {
    shardCountBits: 10,
    gcIntervalMs: 120_000,
    peerLifetimeMs: 960_000,
    reportingIntervalMs: 1000,
    maxMemoryBytes: 512 * MIB,
  })
})

test('durations have units', () => {
  for (const [text, ms] of [
    ['1s', 1000],
    ['1h30m', 5_400_000],
    ['1.5s', 1500],
    ['250ms', 250],
    ['0s', 0],
    ['', undefined],
    ['10', undefined],
    ['-1s', undefined],
    ['1d', undefined],
    ['1s ', undefined],
    ['1e3s', undefined],
  ] as const) {
    assert.equal(parseDurationMs(text), ms, text)
  }
})

test('a value beyond its limit is refused with key, value, limit and reason', () => {
  for (const [key, value, limit] of [
    ['shard_count_bits', 17, '16'],
    ['shard_count_bits', -1, '0'],
    ['shard_count_bits', '10', 'whole number'],
    ['gc_interval', '0s', '1s'],
    ['gc_interval', '3h', '2h15m32s'],
    ['gc_interval', 120, 'duration'],
    ['peer_lifetime', '15h55m41s', '15h55m40s'],
    ['peer_lifetime', '', '1s'],
    ['prometheus_reporting_interval', '1ms', '100ms'],
    ['max_memory', '3MiB', '4MiB'],
    ['max_memory', '8GiB', '8128MiB'],
    ['max_memory', 'lots', 'bytes'],
  ] as const) {
    assert.throws(
      () => parsePeerStoreConfig({ [key]: value }),
      (error: Error & { code?: string }) =>
        error.code === 'PEER_STORE_INVALID_OPTION' &&
        error.message.includes(`${key} is ${JSON.stringify(value)}`) &&
        error.message.includes(limit) &&
        error.message.includes('because'),
      `${key}: ${value}`,
    )
  }
  assert.throws(() => parsePeerStoreConfig({ gc_intervall: '2m' }), /no option gc_intervall/)
})

test('the longest lifetime that is accepted works, on both sides of the limit', () => {
  const { peerLifetimeMs } = parsePeerStoreConfig({ peer_lifetime: '15h55m40s' })
  assert.equal(peerLifetimeMs, MAX_LIFETIME_MS)
  const clock = new ManualClock()
  const store = createPeerStore({ clock, random: seededRandom(1), maxMemoryBytes: 4 * MIB })
  const hash = new Uint8Array(20)
  store.putSeeder(hash, Uint8Array.of(1, 2, 3, 4), 5)
  clock.advance(peerLifetimeMs)
  assert.equal(store.collectGarbage(peerLifetimeMs), 0)
  clock.advance(2 * TICK_MS)
  assert.equal(store.collectGarbage(peerLifetimeMs), 1)
})

test('maintenance collects at its interval and reports what was at the last one', () => {
  const clock = new ManualClock()
  const store = createPeerStore({ clock, random: seededRandom(1), maxMemoryBytes: 4 * MIB })
  const config = parsePeerStoreConfig({ gc_interval: '1m', peer_lifetime: '2m' })
  const maintenance = maintainPeerStore({ store, clock, config })
  const hash = new Uint8Array(20)
  store.putSeeder(hash, Uint8Array.of(1, 2, 3, 4), 5)
  assert.equal(maintenance.metrics().infohashes, 0, 'not yet reported')
  clock.advance(1000)
  assert.equal(maintenance.metrics().infohashes, 1)
  assert.equal(maintenance.metrics().store.seeders4, 1)
  clock.advance(120_000)
  assert.equal(maintenance.metrics().infohashes, 1)
  clock.advance(65_000)
  const { infohashes, gc, store: stats } = maintenance.metrics()
  assert.equal(infohashes, 0)
  assert.equal(stats.expired, 1)
  assert.ok(gc.passes >= 2)
  assert.equal(
    gc.histogram.reduce((sum, n) => sum + n),
    gc.passes,
  )
  maintenance.stop()
  store.stop()
  clock.advance(600_000)
})

test("the strict contract goes through the steps of chihaya's storage test", () => {
  for (const [address, keeper, family] of [
    [Uint8Array.of(1, 1, 1, 1), Uint8Array.of(99, 99, 99, 99), 4],
    [
      Uint8Array.of(0xab, 0xab, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
      Uint8Array.of(0xfc, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
      6,
    ],
  ] as const) {
    const hash = new TextEncoder().encode(`0000000000000000000${family === 4 ? 1 : 2}`)
    const s = contractOf(
      createPeerStore({
        clock: new ManualClock(),
        random: seededRandom(1),
        maxMemoryBytes: 4 * MIB,
      }),
    )
    const missing = (body: () => unknown): void =>
      assert.throws(body, { code: 'PEER_STORE_DOES_NOT_EXIST' })
    const compact = Buffer.from([...address, 0, 1]).toString('hex')
    const has = (seeder: boolean): boolean =>
      Buffer.from(s.announcePeers(hash, seeder, 50, keeper, 9))
        .toString('hex')
        .includes(compact)
    missing(() => s.deleteLeecher(hash, address, 1))
    missing(() => s.deleteSeeder(hash, address, 1))
    missing(() => s.announcePeers(hash, false, 50, keeper, 9))
    assert.deepEqual(s.scrapeSwarm(hash, family), { seeders: 0, leechers: 0, completed: 0 })
    s.putLeecher(hash, keeper, 9)
    missing(() => s.deleteSeeder(hash, keeper, 9))
    s.putLeecher(hash, address, 1)
    assert.ok(has(true) && has(false))
    assert.deepEqual(s.scrapeSwarm(hash, family), { seeders: 0, leechers: 2, completed: 0 })
    s.deleteLeecher(hash, address, 1)
    assert.ok(!has(true))
    s.putSeeder(hash, address, 1)
    assert.ok(has(false))
    assert.deepEqual(s.scrapeSwarm(hash, family), { seeders: 1, leechers: 1, completed: 0 })
    s.deleteSeeder(hash, address, 1)
    assert.ok(!has(false))
    s.putLeecher(hash, address, 1)
    s.graduateLeecher(hash, address, 1)
    assert.ok(has(false))
    missing(() => s.deleteLeecher(hash, address, 1))
    assert.ok(has(false))
    s.deleteLeecher(hash, keeper, 9)
    missing(() => s.deleteLeecher(hash, keeper, 9))
    s.deleteSeeder(hash, address, 1)
    missing(() => s.deleteSeeder(hash, address, 1))
    s.stop()
  }
})
