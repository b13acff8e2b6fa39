/**
 * The contract of PeerStore as tests: what every implementation must pass.
 *
 * The first group follows the steps of chihaya's storage test, for both families; the others hold what that test
 * leaves open: mixed families, sampling, lifetime, counters, hostile and degenerate input.
 */
import assert from 'node:assert/strict'
import { type Clock, ManualClock, type Random, seededRandom } from '../base/index.ts'
import { AGE_MODULUS, MAX_LIFETIME_MS, TICK_MS } from './age.ts'
import { MINIMUM_LIST_SWARMS, SwarmCursor, SwarmList } from './swarm-list.ts'
import {
  type AddressFamily,
  COMPACT_BYTES,
  PeerAnnounce,
  type PeerStore,
  type SwarmCounts,
} from './types.ts'

export interface PeerStoreConformance {
  /** node:test's `test`, or alike. */
  readonly test: (name: string, body: () => void) => void
  readonly create: (dependencies: { readonly clock: Clock; readonly random: Random }) => PeerStore
}

interface Endpoint {
  readonly address: Uint8Array
  readonly port: number
}

const MINUTE_MS = 60_000

/** Endpoint number `n` of a family; different numbers, different endpoints. */
function endpoint(family: AddressFamily, n: number): Endpoint {
  const address = new Uint8Array(family === 4 ? 4 : 16)
  address[0] = family === 4 ? 10 : 0x20
  address[address.length - 1] = n
  address[address.length - 2] = n >>> 8
  address[address.length - 3] = n >>> 16
  return { address, port: 1024 + (n % 50_000) }
}

function infoHash(n: number): Uint8Array {
  const hash = new Uint8Array(20).fill(0x30)
  hash[19] = n
  hash[18] = n >>> 8
  return hash
}

function keyOf(compact: Uint8Array): string {
  return Buffer.from(compact).toString('hex')
}

function keyOfEndpoint({ address, port }: Endpoint): string {
  return keyOf(Uint8Array.of(...address, port >>> 8, port & 255))
}

function announce(
  store: PeerStore,
  hash: Uint8Array,
  seeder: boolean,
  wanted: number,
  announcer: Endpoint,
): string[] {
  const family = announcer.address.length === 4 ? 4 : 6
  const size = COMPACT_BYTES[family]
  const offset = 3
  const target = new Uint8Array(offset + wanted * size + 5).fill(0xee)
  const count = store.announcePeers(
    hash,
    seeder,
    wanted,
    announcer.address,
    announcer.port,
    target,
    offset,
  )
  assert.ok(count <= wanted, 'no more peers than wanted')
  assert.ok(target.subarray(0, offset).every((byte) => byte === 0xee))
  assert.ok(
    target.subarray(offset + count * size).every((byte) => byte === 0xee),
    'nothing written beyond the peers',
  )
  const found: string[] = []
  for (let i = 0; i < count; i++) {
    found.push(keyOf(target.subarray(offset + i * size, offset + (i + 1) * size)))
  }
  assert.equal(new Set(found).size, found.length, 'no peer twice')
  assert.ok(!found.includes(keyOfEndpoint(announcer)), 'never the announcer')
  return found
}

function scrape(store: PeerStore, hash: Uint8Array, family: AddressFamily): SwarmCounts {
  const counts = { seeders: -1, leechers: -1, completed: -1 }
  store.scrapeSwarm(hash, family, counts)
  return counts
}

/** All pages of a listing; `between` runs after each. */
function listAll(
  store: PeerStore,
  cursor: SwarmCursor,
  list: SwarmList,
  between: () => void = () => {},
): [string, Record<AddressFamily, SwarmCounts>][] {
  const all: [string, Record<AddressFamily, SwarmCounts>][] = []
  for (let ended = false; !ended; between()) {
    ended = store.listSwarms(cursor, list)
    for (let i = 0; i < list.count; i++) {
      all.push([
        keyOf(list.infoHashes.subarray(20 * i, 20 * i + 20)),
        {
          4: {
            seeders: list.seeders4[i]!,
            leechers: list.leechers4[i]!,
            completed: list.completed4[i]!,
          },
          6: {
            seeders: list.seeders6[i]!,
            leechers: list.leechers6[i]!,
            completed: list.completed6[i]!,
          },
        },
      ])
    }
  }
  return all
}

const throwsCode = (code: string, body: () => unknown): void =>
  assert.throws(body, (error: Error & { code?: string }) => error.code === code)

export function peerStoreConformance({ test, create }: PeerStoreConformance): void {
  const fresh = (seed = 1): { store: PeerStore; clock: ManualClock } => {
    const clock = new ManualClock(12_345)
    return { store: create({ clock, random: seededRandom(seed) }), clock }
  }

  for (const family of [4, 6] as const) {
    const hash = infoHash(family)
    const peer = endpoint(family, 1)
    const keeper = endpoint(family, 9994)
    const other = family === 4 ? 6 : 4
    const put = (store: PeerStore, role: 'seeder' | 'leecher', n: number): void => {
      const { address, port } = endpoint(family, n)
      if (role === 'seeder') store.putSeeder(hash, address, port)
      else store.putLeecher(hash, address, port)
    }

    test(`IPv${family}: nothing is there before anything was put`, () => {
      const { store } = fresh()
      assert.equal(store.deleteLeecher(hash, peer.address, peer.port), false)
      assert.equal(store.deleteSeeder(hash, peer.address, peer.port), false)
      assert.deepEqual(announce(store, hash, false, 50, keeper), [])
      assert.deepEqual(scrape(store, hash, family), { seeders: 0, leechers: 0, completed: 0 })
    })

    test(`IPv${family}: the life of a leecher`, () => {
      const { store } = fresh()
      store.putLeecher(hash, keeper.address, keeper.port)
      assert.equal(store.deleteSeeder(hash, keeper.address, keeper.port), false)
      store.putLeecher(hash, peer.address, peer.port)
      assert.deepEqual(announce(store, hash, true, 50, keeper), [keyOfEndpoint(peer)])
      assert.deepEqual(announce(store, hash, false, 50, keeper), [keyOfEndpoint(peer)])
      assert.deepEqual(scrape(store, hash, family), { seeders: 0, leechers: 2, completed: 0 })
      assert.equal(store.deleteLeecher(hash, peer.address, peer.port), true)
      assert.deepEqual(announce(store, hash, true, 50, keeper), [])
    })

    test(`IPv${family}: the life of a seeder`, () => {
      const { store } = fresh()
      store.putLeecher(hash, keeper.address, keeper.port)
      store.putSeeder(hash, peer.address, peer.port)
      assert.deepEqual(announce(store, hash, false, 50, keeper), [keyOfEndpoint(peer)])
      assert.deepEqual(announce(store, hash, true, 50, keeper), [], 'seeders are not for seeders')
      assert.deepEqual(scrape(store, hash, family), { seeders: 1, leechers: 1, completed: 0 })
      assert.equal(store.deleteLeecher(hash, peer.address, peer.port), false)
      assert.equal(store.deleteSeeder(hash, peer.address, peer.port), true)
      assert.deepEqual(announce(store, hash, false, 50, keeper), [])
    })

    test(`IPv${family}: a leecher graduates, once, and can be deleted only as a seeder`, () => {
      const { store } = fresh()
      store.putLeecher(hash, keeper.address, keeper.port)
      store.putLeecher(hash, peer.address, peer.port)
      store.graduateLeecher(hash, peer.address, peer.port)
      assert.deepEqual(scrape(store, hash, family), { seeders: 1, leechers: 1, completed: 1 })
      store.graduateLeecher(hash, peer.address, peer.port)
      assert.equal(scrape(store, hash, family).completed, 1, 'a seeder cannot graduate again')
      assert.deepEqual(announce(store, hash, false, 50, keeper), [keyOfEndpoint(peer)])
      assert.equal(store.deleteLeecher(hash, peer.address, peer.port), false)
      assert.deepEqual(announce(store, hash, false, 50, keeper), [keyOfEndpoint(peer)])
      assert.equal(store.deleteLeecher(hash, keeper.address, keeper.port), true)
      assert.equal(store.deleteLeecher(hash, keeper.address, keeper.port), false)
      assert.equal(store.deleteSeeder(hash, peer.address, peer.port), true)
      assert.equal(store.deleteSeeder(hash, peer.address, peer.port), false)
      assert.equal(store.stats().swarms, 0)
      store.stop()
    })

    test(`IPv${family}: graduation of nobody makes a seeder and counts`, () => {
      const { store } = fresh()
      store.graduateLeecher(hash, peer.address, peer.port)
      assert.deepEqual(scrape(store, hash, family), { seeders: 1, leechers: 0, completed: 1 })
      store.putLeecher(hash, keeper.address, keeper.port)
      store.deleteSeeder(hash, peer.address, peer.port)
      assert.equal(scrape(store, hash, family).completed, 1, 'counted while the swarm is known')
    })

    test(`IPv${family}: one endpoint is one record, promoted and demoted`, () => {
      const { store } = fresh()
      put(store, 'leecher', 1)
      put(store, 'seeder', 1)
      assert.deepEqual(scrape(store, hash, family), { seeders: 1, leechers: 0, completed: 0 })
      put(store, 'leecher', 1)
      assert.deepEqual(scrape(store, hash, family), { seeders: 0, leechers: 1, completed: 0 })
      assert.deepEqual(announce(store, hash, true, 9, keeper), [keyOfEndpoint(peer)])
    })

    test(`IPv${family}: the same address with another port is another peer`, () => {
      const { store } = fresh()
      store.putLeecher(hash, peer.address, 1)
      store.putLeecher(hash, peer.address, 65_535)
      assert.equal(scrape(store, hash, family).leechers, 2)
      assert.deepEqual(announce(store, hash, true, 9, { address: peer.address, port: 1 }), [
        keyOfEndpoint({ address: peer.address, port: 65_535 }),
      ])
    })

    test(`IPv${family}: a swarm known only to the other family has nobody for this one`, () => {
      const { store } = fresh()
      const stranger = endpoint(other, 7)
      store.putSeeder(hash, stranger.address, stranger.port)
      assert.deepEqual(announce(store, hash, false, 50, peer), [])
      assert.deepEqual(scrape(store, hash, family), { seeders: 0, leechers: 0, completed: 0 })
      put(store, 'leecher', 1)
      assert.deepEqual(announce(store, hash, false, 50, keeper), [keyOfEndpoint(peer)])
      assert.equal(store.stats().swarms, 1)
      assert.equal(store.deleteSeeder(hash, stranger.address, stranger.port), true)
      assert.equal(scrape(store, hash, family).leechers, 1)
      assert.equal(store.stats().swarms, 1)
    })

    test(`IPv${family}: none wanted, none given; more wanted than there are, all given`, () => {
      const { store } = fresh()
      for (let n = 0; n < 40; n++) put(store, n % 2 === 0 ? 'seeder' : 'leecher', n)
      assert.deepEqual(announce(store, hash, false, 0, keeper), [])
      assert.equal(announce(store, hash, false, 1000, keeper).length, 40)
      assert.equal(announce(store, hash, true, 1000, keeper).length, 20)
      assert.equal(announce(store, hash, false, 1000, endpoint(family, 0)).length, 39)
      assert.equal(announce(store, hash, true, 1000, endpoint(family, 1)).length, 19)
    })

    test(`IPv${family}: what the target has no room for is not given`, () => {
      const { store } = fresh()
      for (let n = 0; n < 20; n++) put(store, 'leecher', n)
      const size = COMPACT_BYTES[family]
      const { address, port } = keeper
      for (const [bytes, offset, room] of [
        [0, 0, 0],
        [size - 1, 0, 0],
        [size, 0, 1],
        [7 * size + 2, 3, 6],
        [7 * size + 3, 3, 7],
        [10, 11, 0],
      ] as const) {
        const target = new Uint8Array(bytes)
        const count = store.announcePeers(hash, true, 50, address, port, target, offset)
        assert.equal(count, room, `${bytes} bytes from ${offset}`)
      }
    })

    test(`IPv${family}: a leecher gets seeders first, a seeder leechers only`, () => {
      const { store } = fresh()
      const seeders = new Set<string>()
      for (let n = 0; n < 300; n++) {
        put(store, n < 20 ? 'seeder' : 'leecher', n)
        if (n < 20) seeders.add(keyOfEndpoint(endpoint(family, n)))
      }
      const few = announce(store, hash, false, 10, keeper)
      assert.equal(few.filter((key) => seeders.has(key)).length, 10)
      const many = announce(store, hash, false, 50, keeper)
      assert.equal(many.filter((key) => seeders.has(key)).length, 20)
      assert.equal(many.length, 50)
      const forSeeder = announce(store, hash, true, 50, keeper)
      assert.equal(forSeeder.filter((key) => seeders.has(key)).length, 0)
      assert.equal(forSeeder.length, 50)
    })

    test(`IPv${family}: one call puts, draws and counts as three do`, () => {
      const { store } = fresh()
      const { store: twin } = fresh()
      const atOnce = new PeerAnnounce()
      const size = COMPACT_BYTES[family]
      const target = new Uint8Array(30 * size + 3)
      for (let n = 0; n < 200; n++) {
        const { address, port } = endpoint(family, n % 70)
        const completes = n % 11 === 10
        const seeder = completes || n % 3 === 0
        const gives = seeder || n % 5 === 0
        target.fill(0xee)
        Object.assign(atOnce, { infoHash: hash, address, port, seeder, graduates: completes })
        Object.assign(atOnce, { gives, wanted: n % 40, target, offset: 3 })
        store.announce(atOnce)
        if (completes) twin.graduateLeecher(hash, address, port)
        else put(twin, seeder ? 'seeder' : 'leecher', n % 70)
        assert.deepEqual(atOnce.counts, scrape(twin, hash, family), `announce ${n}`)
        assert.deepEqual(atOnce.counts, scrape(store, hash, family), `announce ${n}`)
        const others = announce(twin, hash, gives, 1000, endpoint(family, n % 70))
        assert.equal(atOnce.drawn, Math.min(n % 40, 30, others.length))
        for (let i = 0; i < atOnce.drawn; i++) {
          const drawn = keyOf(target.subarray(3 + i * size, 3 + (i + 1) * size))
          const at = others.indexOf(drawn)
          assert.ok(at >= 0, 'another, and no peer twice')
          others[at] = ''
        }
        const rest = target.subarray(3 + atOnce.drawn * size)
        assert.ok(rest.every((byte) => byte === 0xee))
      }
    })

    test(`IPv${family}: a swarm of seeders only`, () => {
      const { store } = fresh()
      for (let n = 0; n < 50; n++) put(store, 'seeder', n)
      assert.deepEqual(announce(store, hash, true, 50, endpoint(family, 3)), [])
      assert.equal(announce(store, hash, false, 50, keeper).length, 50)
      assert.equal(announce(store, hash, false, 50, endpoint(family, 3)).length, 49)
    })

    test(`IPv${family}: seeders and leechers are listed apart, and the last one leaves nothing`, () => {
      const { store } = fresh()
      const listed = (seeders: boolean): string[] => {
        const list = store.listPeers(hash, family, seeders)
        const found: string[] = []
        for (let at = 0; at < list.length; at += COMPACT_BYTES[family]) {
          found.push(keyOf(list.subarray(at, at + COMPACT_BYTES[family])))
        }
        return found.sort()
      }
      const expected = { seeders: [] as string[], leechers: [] as string[] }
      for (let n = 0; n < 300; n++) {
        put(store, n % 3 === 0 ? 'seeder' : 'leecher', n)
        expected[n % 3 === 0 ? 'seeders' : 'leechers'].push(keyOfEndpoint(endpoint(family, n)))
      }
      assert.deepEqual(listed(true), expected.seeders.sort())
      assert.deepEqual(listed(false), expected.leechers.sort())
      assert.equal(store.numTotalPeers(family), 300)
      assert.equal(store.numTotalPeers(other), 0)
      assert.equal(store.numSwarms(), 1)
      for (let n = 0; n < 300; n++) {
        const { address, port } = endpoint(family, n)
        if (n % 3 === 0) assert.equal(store.deleteSeeder(hash, address, port), true)
      }
      assert.deepEqual(listed(true), [])
      assert.equal(listed(false).length, 200)
      for (let n = 0; n < 300; n++) {
        const { address, port } = endpoint(family, n)
        if (n % 3 !== 0) assert.equal(store.deleteLeecher(hash, address, port), true)
      }
      assert.deepEqual(listed(false), [])
      assert.equal(store.numSwarms(), 0)
      assert.equal(store.listPeers(infoHash(77), family, true).length, 0)
    })

    test(`IPv${family}: one seeder among thousands of leechers is always found`, () => {
      const { store } = fresh()
      for (let n = 0; n < 3000; n++) put(store, 'leecher', n)
      put(store, 'seeder', 1234)
      for (let i = 0; i < 20; i++) {
        const [first] = announce(store, hash, false, 1, keeper)
        assert.equal(first, keyOfEndpoint(endpoint(family, 1234)))
      }
    })

    test(`IPv${family}: every peer is as likely as any other, and so is every pair`, () => {
      const { store } = fresh(7)
      const size = 6
      for (let n = 0; n < size; n++) put(store, 'leecher', n)
      const pairs = new Map<string, number>()
      const rounds = 6000
      for (let i = 0; i < rounds; i++) {
        const pair = announce(store, hash, true, 2, keeper).sort().join()
        pairs.set(pair, (pairs.get(pair) ?? 0) + 1)
      }
      const expected = rounds / 15
      assert.equal(pairs.size, 15)
      let chiSquared = 0
      for (const seen of pairs.values()) chiSquared += (seen - expected) ** 2 / expected
      assert.ok(
        chiSquared < 42,
        `chi squared ${chiSquared} with 14 degrees of freedom (p = 0.0001)`,
      )
    })

    test(`IPv${family}: a swarm grows to thousands and shrinks to nothing, every peer findable`, () => {
      const { store } = fresh()
      const size = 2500
      for (let n = 0; n < size; n++) put(store, n % 3 === 0 ? 'seeder' : 'leecher', n)
      assert.equal(announce(store, hash, false, size, keeper).length, size)
      for (let n = 0; n < size; n += 3) put(store, 'leecher', n)
      assert.deepEqual(scrape(store, hash, family), { seeders: 0, leechers: size, completed: 0 })
      for (let n = 1; n < size; n += 2) {
        const { address, port } = endpoint(family, n)
        assert.equal(store.deleteLeecher(hash, address, port), true, `peer ${n}`)
      }
      assert.equal(announce(store, hash, false, size, keeper).length, size / 2)
      for (let n = 0; n < size; n += 2) {
        const { address, port } = endpoint(family, n)
        assert.equal(store.deleteLeecher(hash, address, port), true, `peer ${n}`)
      }
      assert.equal(store.stats().swarms, 0)
    })

    test(`IPv${family}: peers that are not put again expire, others stay`, () => {
      const { store, clock } = fresh()
      for (let n = 0; n < 400; n++) put(store, n % 2 === 0 ? 'seeder' : 'leecher', n)
      clock.advance(10 * MINUTE_MS)
      for (let n = 0; n < 10; n++) put(store, n % 2 === 0 ? 'seeder' : 'leecher', n)
      clock.advance(6 * MINUTE_MS - 2 * TICK_MS)
      assert.equal(store.collectGarbage(16 * MINUTE_MS), 0, 'nobody goes early')
      clock.advance(4 * TICK_MS)
      assert.equal(store.collectGarbage(16 * MINUTE_MS), 390)
      assert.deepEqual(scrape(store, hash, family), { seeders: 5, leechers: 5, completed: 0 })
      clock.advance(16 * MINUTE_MS + 2 * TICK_MS)
      assert.equal(store.collectGarbage(16 * MINUTE_MS), 10)
      assert.equal(store.stats().swarms, 0)
      assert.equal(store.stats().expired, 400)
    })
  }

  test('IPv4-mapped addresses are IPv4', () => {
    const { store } = fresh()
    const hash = infoHash(1)
    const mapped = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4)
    store.putLeecher(hash, mapped, 5)
    assert.equal(scrape(store, hash, 4).leechers, 1)
    assert.equal(scrape(store, hash, 6).leechers, 0)
    assert.equal(store.deleteLeecher(hash, Uint8Array.of(1, 2, 3, 4), 5), true)
  })

  test('addresses and info-hashes of other lengths are refused', () => {
    const { store } = fresh()
    for (const length of [0, 3, 5, 15, 17]) {
      throwsCode('PEER_STORE_INVALID_ADDRESS', () =>
        store.putSeeder(infoHash(1), new Uint8Array(length), 1),
      )
    }
    throwsCode('PEER_STORE_INVALID_INFO_HASH', () =>
      store.putSeeder(new Uint8Array(19), new Uint8Array(4), 1),
    )
    assert.equal(store.stats().swarms, 0)
  })

  test('all zeros are a swarm and a peer like any other', () => {
    const { store } = fresh()
    const hash = new Uint8Array(20)
    store.putSeeder(hash, new Uint8Array(4), 0)
    store.putLeecher(hash, new Uint8Array(4), 1)
    assert.equal(announce(store, hash, false, 50, endpoint(4, 1)).length, 2)
    assert.equal(store.deleteSeeder(hash, new Uint8Array(4), 0), true)
    assert.equal(store.deleteLeecher(hash, new Uint8Array(4), 1), true)
  })

  test('all swarms are listed, in pages, with the counts of both families', () => {
    const { store } = fresh()
    const swarms = 2000
    for (let n = 0; n < swarms; n++) {
      const four = endpoint(4, n)
      const six = endpoint(6, n)
      if (n % 3 !== 0) store.graduateLeecher(infoHash(n), four.address, four.port)
      if (n % 3 !== 1) store.putLeecher(infoHash(n), six.address, six.port)
      for (let m = 0; m < n % 7; m++) store.putLeecher(infoHash(n), endpoint(4, m).address, 9)
    }
    const list = new SwarmList(MINIMUM_LIST_SWARMS)
    const cursor = new SwarmCursor()
    for (let round = 0; round < 2; round++) {
      const listed = listAll(store, cursor, list)
      assert.equal(listed.length, swarms, 'and the cursor is at the beginning again')
      for (const [name, counts] of listed) {
        const hash = Buffer.from(name, 'hex')
        assert.deepEqual(counts, { 4: scrape(store, hash, 4), 6: scrape(store, hash, 6) })
      }
      assert.equal(new Map(listed).size, swarms)
    }
    store.stop()
    throwsCode('PEER_STORE_STOPPED', () => store.listSwarms(cursor, list))
    throwsCode('PEER_STORE_INVALID_OPTION', () => new SwarmList(MINIMUM_LIST_SWARMS - 1))
  })

  test('a swarm that stays is listed exactly once while others come and go', () => {
    for (const arrives of [true, false]) {
      const { store } = fresh()
      const { address, port } = endpoint(4, 1)
      const stays = 1500
      const others = 6000
      const put = (n: number): void => store.putSeeder(infoHash(n), address, port)
      for (let n = 0; n < stays; n++) put(n)
      if (!arrives) for (let n = stays; n < stays + others; n++) put(n)
      let changed = stays
      const listed = listAll(store, new SwarmCursor(), new SwarmList(MINIMUM_LIST_SWARMS), () => {
        for (const end = Math.min(changed + 400, stays + others); changed < end; changed++) {
          if (arrives) put(changed)
          else store.deleteSeeder(infoHash(changed), address, port)
        }
      })
      assert.ok(changed > stays + others / 2, 'the listing took many pages')
      const names = listed.map(([name]) => name)
      assert.equal(new Set(names).size, names.length, 'no swarm twice')
      const found = new Set(names)
      for (let n = 0; n < stays; n++) assert.ok(found.has(keyOf(infoHash(n))))
    }
  })

  test('the counters are those of the contents', () => {
    const { store } = fresh()
    for (let n = 0; n < 3000; n++) {
      const { address, port } = endpoint(n % 2 === 0 ? 4 : 6, n)
      if (n % 3 === 0) store.putSeeder(infoHash(n % 1000), address, port)
      else store.putLeecher(infoHash(n % 1000), address, port)
    }
    const { swarms, seeders4, seeders6, leechers4, leechers6 } = store.stats()
    assert.deepEqual(
      { swarms, seeders4, seeders6, leechers4, leechers6 },
      { swarms: 1000, seeders4: 500, seeders6: 500, leechers4: 1000, leechers6: 1000 },
    )
    const totals = { seeders: 0, leechers: 0 }
    for (let n = 0; n < 1000; n++) {
      for (const family of [4, 6] as const) {
        const counts = scrape(store, infoHash(n), family)
        totals.seeders += counts.seeders
        totals.leechers += counts.leechers
      }
    }
    assert.deepEqual(totals, { seeders: 1000, leechers: 2000 })
  })

  test('garbage is collected in steps as it is at once', () => {
    const { store, clock } = fresh()
    for (let n = 0; n < 3000; n++) store.putSeeder(infoHash(n), endpoint(4, n).address, 1)
    clock.advance(MINUTE_MS)
    for (let n = 0; n < 30; n++) store.putSeeder(infoHash(n), endpoint(4, n).address, 1)
    clock.advance(30_000)
    let steps = 1
    while (!store.collectGarbageStep(MINUTE_MS, 7)) steps++
    assert.ok(steps >= 10, 'a step is a part of the work')
    assert.equal(store.stats().swarms, 30)
  })

  test('the longest lifetime is kept, and one beyond it is refused', () => {
    const { store, clock } = fresh()
    store.putSeeder(infoHash(1), endpoint(4, 1).address, 1)
    clock.advance(MAX_LIFETIME_MS / 2)
    assert.equal(store.collectGarbage(MAX_LIFETIME_MS), 0)
    clock.advance(MAX_LIFETIME_MS / 2 - TICK_MS)
    assert.equal(store.collectGarbage(MAX_LIFETIME_MS), 0, 'just before the end of the lifetime')
    clock.advance(3 * TICK_MS)
    assert.equal(store.collectGarbage(MAX_LIFETIME_MS), 1, 'just after it')
    throwsCode('PEER_STORE_LIFETIME_TOO_LONG', () => store.collectGarbage(MAX_LIFETIME_MS + 1))
    throwsCode('PEER_STORE_LIFETIME_TOO_LONG', () => store.collectGarbage(-1))
    throwsCode('PEER_STORE_LIFETIME_TOO_LONG', () => store.collectGarbage(Number.NaN))
  })

  test('nobody is immortal, however long garbage was not collected', () => {
    for (const hours of [1, 15, 18, 18.21, 19, 36.5, 1000]) {
      const { store, clock } = fresh()
      store.putSeeder(infoHash(1), endpoint(4, 1).address, 1)
      clock.advance(hours * 60 * MINUTE_MS)
      store.putSeeder(infoHash(2), endpoint(4, 2).address, 1)
      store.collectGarbage(30 * MINUTE_MS)
      assert.equal(scrape(store, infoHash(1), 4).seeders, 0, `${hours} hours old`)
      assert.equal(scrape(store, infoHash(2), 4).seeders, 1, 'just put')
    }
  })

  test('ages are right where the count of ticks begins anew', () => {
    for (let wrapTicks = AGE_MODULUS - 60; wrapTicks < AGE_MODULUS + 60; wrapTicks += 10) {
      const { store, clock } = fresh()
      const { address, port } = endpoint(4, 1)
      clock.advance(wrapTicks * TICK_MS)
      store.putLeecher(infoHash(1), address, port)
      clock.advance(100 * TICK_MS)
      store.collectGarbage(101 * TICK_MS)
      assert.equal(store.numTotalPeers(4), 1, `put at tick ${wrapTicks}, too young`)
      store.collectGarbage(98 * TICK_MS)
      assert.equal(store.numTotalPeers(4), 0, `put at tick ${wrapTicks}, too old`)
    }
  })

  test('a stopped store refuses every call', () => {
    const { store } = fresh()
    const { address, port } = endpoint(4, 1)
    const hash = infoHash(1)
    store.stop()
    const calls: (() => unknown)[] = [
      () => store.putSeeder(hash, address, port),
      () => store.putLeecher(hash, address, port),
      () => store.deleteSeeder(hash, address, port),
      () => store.deleteLeecher(hash, address, port),
      () => store.graduateLeecher(hash, address, port),
      () => store.announcePeers(hash, true, 1, address, port, new Uint8Array(6), 0),
      () => scrape(store, hash, 4),
      () => store.collectGarbage(1),
      () => store.collectGarbageStep(1, 1),
      () => store.stats(),
      () => store.numSwarms(),
      () => store.numTotalPeers(4),
      () => store.listPeers(hash, 4, true),
      () => store.stop(),
    ]
    for (const call of calls) throwsCode('PEER_STORE_STOPPED', call)
  })
}
