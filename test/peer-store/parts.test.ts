/** The parts of the store, each against a model of its own. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ManualClock, seededRandom } from '../../src/base/index.ts'
import { SEEDER_BIT } from '../../src/peer-store/age.ts'
import { Arena } from '../../src/peer-store/arena.ts'
import { Core, createMemory } from '../../src/peer-store/core.ts'
import {
  createPeerStore,
  MINIMUM_LIST_SWARMS,
  type SharedPeerStore,
  SwarmCursor,
  SwarmList,
} from '../../src/peer-store/index.ts'
import { KeyedHash } from '../../src/peer-store/keyed-hash.ts'
import { SPAN_BYTES, SPAN_WORDS } from '../../src/peer-store/layout.ts'
import { Memory } from '../../src/peer-store/memory.ts'
import { PeerSet } from '../../src/peer-store/peer-set.ts'
import { Sampler } from '../../src/peer-store/sampler.ts'
import { SwarmTable } from '../../src/peer-store/swarm-table.ts'
import { SweepTerms } from '../../src/peer-store/sweep-terms.ts'
import { Sweeper } from '../../src/peer-store/sweeper.ts'

const MIB = 2 ** 20

function memoryOf(bytes: number): Memory {
  return createMemory(bytes, 0, seededRandom(1))
}

test('blocks never overlap, and what is freed is all there again', () => {
  const size = fc.oneof(
    { weight: 20, arbitrary: fc.integer({ min: 1, max: SPAN_WORDS / 2 }) },
    { weight: 6, arbitrary: fc.integer({ min: SPAN_WORDS / 2 + 1, max: SPAN_WORDS * 20 }) },
  )
  const step = fc.record({ frees: fc.boolean(), which: fc.nat(), size })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150, size: 'max' }), (steps) => {
      const memory = memoryOf(4 * MIB)
      const { words } = memory
      const arena = new Arena(memory)
      const live: { address: number; words: number; mark: number }[] = []
      const free = (which: number): void => {
        const [block] = live.splice(which % live.length, 1)
        const { address, words: length, mark } = block!
        for (let at = address; at < address + length; at++) {
          assert.equal(words[at], mark, 'nobody else wrote here')
        }
        arena.free(address, length)
      }
      let mark = 1
      for (const { frees, which, size: length } of steps) {
        if (frees && live.length > 0) {
          free(which)
          continue
        }
        const address = arena.allocate(length)
        if (address === 0) continue
        words.fill(mark, address, address + length)
        live.push({ address, words: length, mark: mark++ })
      }
      while (live.length > 0) free(0)
      assert.equal(arena.bytesUsed, 0)
      const all = arena.bytesFree
      assert.ok(arena.allocate(MIB / 4) > 0, 'free runs unite again')
      assert.ok(arena.bytesFree < all)
    }),
    { numRuns: 150, seed: 11 },
  )
})

test('a block of any class is reused by any other once its span is empty', () => {
  const arena = new Arena(memoryOf(4 * MIB))
  for (const words of [4, 2048, 100, 4096, 640, 65_536]) {
    const blocks = Array.from({ length: Math.floor(200_000 / words) }, () => arena.allocate(words))
    assert.ok(blocks.every((block) => block > 0))
    for (const block of blocks) arena.free(block, words)
  }
  assert.ok(arena.bytesReserved <= 1.5 * MIB, `${arena.bytesReserved} bytes`)
})

test('at the end of the reservation there is no block, and later there is one again', () => {
  const arena = new Arena(memoryOf(4 * MIB))
  const blocks: number[] = []
  for (let block = arena.allocate(1000); block !== 0; block = arena.allocate(1000)) {
    blocks.push(block)
    assert.ok(blocks.length < 1200, '4 MiB end')
  }
  assert.ok(blocks.length > 900)
  assert.ok(arena.bytesReserved <= 4 * MIB)
  assert.equal(arena.allocate(SPAN_WORDS), 0)
  for (const block of blocks) arena.free(block, 1000)
  assert.ok(arena.allocate(MIB / 4) > 0)
  assert.ok(arena.bytesReserved <= 4 * MIB && arena.bytesReserved % SPAN_BYTES === 0)
})

test('an info-hash leads to one place, from bytes, from the middle of bytes and from words', () => {
  const core = new Core(createMemory(16 * MIB, 5, seededRandom(3)), seededRandom(3))
  for (let n = 0; n < core.shardCount; n++) core.table.create(core.shard(n))
  const { table } = core
  const place = (): readonly number[] => [table.shard, table.touch()]
  const shards = new Set<number>()
  const keys = fc.uint8Array({ minLength: 20, maxLength: 20 })
  const filled = new Uint8Array(20)
  fc.assert(
    fc.property(keys, (infoHash) => {
      table.enter(infoHash)
      const expected = place()
      const view = new DataView(infoHash.buffer)
      const words = Int32Array.from({ length: 7 }, (_, i) => (i < 2 ? i : view.getInt32(i * 4 - 8)))
      table.enter(filled)
      table.enterWords(words, 2)
      assert.deepEqual(place(), expected)
      assert.equal(table.find(), 0)
      const record = table.insert()
      core.peers4.open(record)
      core.peers4.add(1)
      const bytes = new Uint8Array(23)
      bytes.set(infoHash, 3)
      table.enter(filled)
      table.enterAt(bytes, 3)
      assert.deepEqual(place(), expected)
      assert.equal(table.find(), record)
      table.enter(filled)
      table.enter(infoHash)
      assert.equal(table.find(), record)
      for (let byte = 0; byte < 20; byte++) {
        infoHash[byte]! ^= 1
        table.enter(infoHash)
        assert.equal(table.find(), 0, `byte ${byte} counts`)
        infoHash[byte]! ^= 1
        table.enter(infoHash)
      }
      shards.add(table.shard)
      core.peers4.open(record)
      core.peers4.release()
      table.remove(record)
    }),
    { numRuns: 300, seed: 5 },
  )
  assert.ok(shards.size > 20, `${shards.size} of 32 shards`)
})

const HASHES: Readonly<Record<string, (n: number) => [number, number]>> = {
  good: (n) => [Math.imul(n, 0x9e3779b1), Math.imul(n ^ 0x5bd1e995, 0x85ebca6b)],
  'one home': (n) => [Math.imul(n, 0x9e3779b1), -1],
  'few homes': (n) => [Math.imul(n, 0x9e3779b1), (n % 7) << 28],
  'one end of the directory': (n) => [Math.imul(n, 0x9e3779b1) >>> 12, Math.imul(n, 0x85ebca6b)],
}

for (const [name, hashOf] of Object.entries(HASHES)) {
  test(`a table of swarms holds what a set holds; hash: ${name}`, () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 3000 })), {
          minLength: 1,
          maxLength: 10,
        }),
        (ranges) => {
          const memory = memoryOf(16 * MIB)
          const { words } = memory
          const arena = new Arena(memory)
          const hash = {
            high: 0,
            low: 0,
            five(a: number) {
              ;[hash.high, hash.low] = hashOf(a)
            },
          }
          const shard = 1024
          const table = new SwarmTable(words, arena, hash as unknown as KeyedHash, shard, 0)
          table.create(shard)
          const empty = arena.bytesUsed
          const key = new Int32Array(5)
          const at = (n: number): number => {
            key[0] = n
            table.enterWords(key, 0)
            return table.find()
          }
          const model = new Set<number>()
          for (const [from, length] of ranges) {
            for (let n = from; n < Math.min(3000, from + length); n++) {
              const found = at(n)
              assert.equal(found > 0, model.has(n))
              if (model.has(n) && (n + length) % 3 !== 0) {
                table.remove(found)
                model.delete(n)
              } else if (!model.has(n) && table.insert() > 0) {
                model.add(n)
              }
            }
          }
          for (let n = 1; n <= 3000; n++) assert.equal(at(n) > 0, model.has(n), `${n}`)
          for (const n of model) table.remove(at(n))
          assert.equal(arena.bytesUsed, empty, 'segments and directory shrank')
        },
      ),
      { numRuns: 12, seed: 12 },
    )
  })
}

test('a listing meets each swarm that stays once, while segments split and unite around it', () => {
  for (const pages of [1, 2, 7, 20]) {
    const store = createPeerStore({
      clock: new ManualClock(),
      random: seededRandom(pages),
      maxMemoryBytes: 8 * MIB,
      shardCountBits: 0,
    })
    const hash = new Uint8Array(20)
    const call = (n: number, puts: boolean): void => {
      new DataView(hash.buffer).setInt32(0, n)
      if (puts) store.putLeecher(hash, Uint8Array.of(1, 2, 3, 4), 5)
      else store.deleteLeecher(hash, Uint8Array.of(1, 2, 3, 4), 5)
    }
    const swarms = 5000
    for (let n = 0; n < swarms; n++) call(n, true)
    const met = new Map<number, number>()
    const cursor = new SwarmCursor()
    const list = new SwarmList(MINIMUM_LIST_SWARMS)
    let ended = false
    for (let page = 0; !ended; page++) {
      // Nine of ten leave, and come back: segments are fewer and fewer, then more.
      if (page === pages) for (let n = 0; n < swarms; n++) if (n % 10 !== 0) call(n, false)
      if (page === pages + 2) for (let n = 0; n < swarms; n++) call(n, true)
      ended = store.listSwarms(cursor, list)
      for (let i = 0; i < list.count; i++) {
        const n = new DataView(list.infoHashes.buffer).getInt32(i * 20)
        met.set(n, (met.get(n) ?? 0) + 1)
      }
    }
    for (let n = 0; n < swarms; n += 10) assert.equal(met.get(n), 1, `swarm ${n}`)
    assert.deepEqual(store.verify(), [])
    store.stop()
  }
})

for (const family of [4, 6] as const) {
  test(`a set of IPv${family} peers holds what a map holds, dense, in buckets and back, while it is swept`, () => {
    const memory = memoryOf(48 * MIB)
    const core = new Core(memory, seededRandom(2))
    const { endpoint } = family === 4 ? core.peers4 : core.peers6
    const sets = new PeerSet(core.words, core.arena, endpoint)
    const random = seededRandom(3)
    const model = new Map<number, number>()
    const before = core.arena.bytesUsed
    let set = 0
    let cursor = -1
    const terms = new SweepTerms()
    terms.limitTicks = terms.lifetimeTicks = 5
    terms.now = 10
    const enter = (n: number): void => {
      endpoint.a = n
      endpoint.port = n & 0xffff
    }
    const drop = (): void => {
      if (set === 0) return
      cursor = sets.sweep(set, Math.max(0, cursor), 300, terms)
      if (cursor < 0) set = sets.settle(set, 64)
    }
    const check = (): void => {
      assert.equal(sets.count(set), model.size)
      for (const [n, meta] of model) {
        enter(n)
        const at = sets.find(set)
        assert.ok(at > 0, `${n} of ${model.size}`)
        assert.equal(endpoint.metaAt(at), meta)
      }
    }
    // Up past the limit of dense sets, down below that of buckets, up again, and away.
    for (const [target, steps] of [
      [45_000, 60_000],
      [3000, 60_000],
      [40_000, 50_000],
      [0, 60_000],
    ] as const) {
      const grows = target > model.size
      for (let step = 0; step < steps && model.size !== target; step++) {
        const n = random.uint32() % 60_000
        enter(n)
        const at = sets.find(set)
        assert.equal(at >= 0, model.has(n))
        if (at >= 0 && (!grows || step % 5 === 0)) {
          set = sets.remove(set, at)
          model.delete(n)
        } else if (at < 0 && (grows || step % 5 === 0)) {
          // Ages 0 to 3 of tick 10: younger than the limit.
          const meta = SEEDER_BIT | (11 - (n & 3))
          set = sets.add(set, meta)
          assert.ok(set > 0)
          model.set(n, meta)
        }
        if (step % 97 === 0) drop()
      }
      check()
      for (let i = 0; i < 3000 && (cursor >= 0 || i < 2); i++) drop()
      check()
    }
    for (const n of [...model.keys()]) {
      enter(n)
      set = sets.remove(set, sets.find(set))
    }
    for (let i = 0; i < 3000 && set !== 0; i++) drop()
    assert.equal(set, 0)
    assert.equal(core.arena.bytesUsed, before)
  })

  test(`a sweep of a large set of IPv${family} peers drops the old, only them, whatever happens between its steps`, () => {
    const core = new Core(memoryOf(48 * MIB), seededRandom(2))
    const { endpoint } = family === 4 ? core.peers4 : core.peers6
    const sets = new PeerSet(core.words, core.arena, endpoint)
    const random = seededRandom(5)
    for (const size of [9000, 40_000]) {
      let set = 0
      const young = new Set<number>()
      const add = (n: number, isYoung: boolean): void => {
        endpoint.a = n
        endpoint.port = 1
        if (sets.find(set) >= 0) return
        set = sets.add(set, isYoung ? 101 : 11)
        if (isYoung) young.add(n)
      }
      for (let n = 0; n < size; n++) add(n, n % 3 === 0)
      const terms = new SweepTerms()
      terms.now = 100
      terms.limitTicks = terms.lifetimeTicks = 50
      let cursor = 0
      for (let steps = 0; cursor >= 0; steps++) {
        assert.ok(steps < 10_000)
        cursor = sets.sweep(set, cursor, 500, terms)
        for (let i = 0; i < 40; i++) {
          const n = random.uint32() % (size * 2)
          // Who is there and old stays so; others arrive young.
          if (!young.has(n)) add(n, true)
          else {
            endpoint.a = n
            endpoint.port = 1
            set = sets.remove(set, sets.find(set))
            young.delete(n)
          }
        }
      }
      assert.equal(sets.count(set), young.size, 'nobody old is left')
      set = sets.settle(set, 1000)
      for (const n of young) {
        endpoint.a = n
        endpoint.port = 1
        assert.ok(sets.find(set) >= 0, 'nobody young is dropped')
      }
      sets.release(set)
    }
  })
}

test('peers in buckets are drawn uniformly, different ones, never the one to be left out', () => {
  const core = new Core(memoryOf(16 * MIB), seededRandom(2))
  const { endpoint } = core.peers4
  const sets = new PeerSet(core.words, core.arena, endpoint)
  const size = 34_000
  let set = 0
  for (let n = 0; n < size; n++) {
    endpoint.a = n
    set = sets.add(set, 1)
  }
  assert.equal(sets.isDense(set), false)
  endpoint.a = 77
  const self = sets.find(set)
  const seen = new Int32Array(size)
  const rounds = 3400
  for (let round = 0; round < rounds; round++) {
    assert.equal(sets.sample(set, 50, self, core.sampler), 50)
    const chosen = core.sampler.chosen.subarray(0, 50)
    assert.equal(new Set(chosen).size, 50)
    for (const at of chosen) seen[core.words[at]!]!++
  }
  assert.equal(seen[77], 0)
  const expected = (rounds * 50) / (size - 1)
  let chiSquared = 0
  for (const [n, count] of seen.entries()) {
    if (n !== 77) chiSquared += (count - expected) ** 2 / expected
  }
  // Mean size - 2; five standard deviations on either side.
  assert.ok(Math.abs(chiSquared - (size - 2)) < 5 * Math.sqrt(2 * size), `${chiSquared}`)
  assert.equal(sets.sample(set, size, self, core.sampler), size - 1, 'all but one')
  assert.equal(new Set(core.sampler.chosen.subarray(0, size - 1)).size, size - 1)
})

test('the sampler draws different numbers below the bound, and another in the place of one', () => {
  const sampler = new Sampler(seededRandom(4))
  fc.assert(
    fc.property(fc.nat(1500), fc.integer({ min: 1, max: 32_768 }), fc.nat(), (count, bound, n) => {
      const wanted = Math.min(count, bound)
      const skipped = 100 + (n % bound) * 5
      sampler.choose(wanted, bound, 100, 5, n % 2 === 0 ? skipped : -1, 100 + bound * 5)
      const chosen = sampler.chosen.subarray(0, wanted)
      assert.equal(new Set(chosen).size, wanted)
      assert.ok(chosen.every((at) => (at - 100) % 5 === 0 && at >= 100 && at <= 100 + bound * 5))
      if (n % 2 === 0) assert.ok(!chosen.includes(skipped))
      else assert.ok(!chosen.includes(100 + bound * 5))
    }),
    { numRuns: 300, seed: 13 },
  )
})

test('numbers below a bound are uniform', () => {
  const sampler = new Sampler(seededRandom(6))
  for (const bound of [3, 7, 100]) {
    const seen = new Int32Array(bound)
    const byChoice = new Int32Array(bound)
    const rounds = 1000 * bound
    for (let i = 0; i < rounds; i++) {
      seen[sampler.below(bound)]!++
      sampler.choose(1, bound, 0, 1, -1, bound)
      byChoice[sampler.chosen[0]!]!++
    }
    for (const counts of [seen, byChoice]) {
      const chiSquared = counts.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0)
      // Four standard deviations above the mean of the distribution.
      assert.ok(chiSquared < bound - 1 + 4 * Math.sqrt(2 * (bound - 1)) + 6, `${chiSquared}`)
    }
  }
})

test('hashes of keys that differ in one bit, or in the top bits of two words, differ all over', () => {
  const hash = new KeyedHash(memoryOf(4 * MIB).words)
  const seen = new Set<string>()
  const key = [1, 2, 3, 4, 5]
  const of = (words: readonly number[]): [number, number] => {
    hash.five(words[0]!, words[1]!, words[2]!, words[3]!, words[4]!)
    return [hash.high, hash.low]
  }
  const [high, low] = of(key)
  const flips = new Int32Array(64)
  for (let bit = 0; bit < 160; bit++) {
    const other = key.map((word, i) => (i === bit >> 5 ? word ^ (1 << (bit & 31)) : word))
    const [h, l] = of(other)
    seen.add(`${h}/${l}`)
    for (let i = 0; i < 32; i++) {
      flips[i]! += ((high ^ h) >>> i) & 1
      flips[32 + i]! += ((low ^ l) >>> i) & 1
    }
  }
  for (let i = 0; i < 5; i++) {
    for (let j = 0; j < i; j++) {
      const [h, l] = of(key.map((word, at) => (at === i || at === j ? word ^ (1 << 31) : word)))
      seen.add(`${h}/${l}`)
    }
  }
  assert.equal(seen.size, 170)
  assert.ok(
    flips.every((n) => n > 40 && n < 120),
    `${flips}`,
  )
})

test('two stores hash the same key apart', () => {
  const one = new KeyedHash(createMemory(4 * MIB, 0, seededRandom(1)).words)
  const other = new KeyedHash(createMemory(4 * MIB, 0, seededRandom(2)).words)
  one.five(1, 2, 3, 4, 5)
  other.five(1, 2, 3, 4, 5)
  assert.notEqual(one.high, other.high)
})

test('without memory every call leaves the store whole', () => {
  const clock = new ManualClock()
  const store: SharedPeerStore = createPeerStore({
    clock,
    random: seededRandom(8),
    shardCountBits: 2,
    maxMemoryBytes: 4 * MIB,
  })
  const random = seededRandom(9)
  const hash = new Uint8Array(20)
  const address4 = new Uint8Array(4)
  const address6 = new Uint8Array(16).fill(1)
  for (let round = 0; round < 8; round++) {
    for (let i = 0; i < 120_000; i++) {
      const dice = random.uint32()
      // Many swarms in even rounds, few and large ones in odd ones.
      const swarm = round % 2 === 0 ? dice % 60_000 : dice % 3
      hash[0] = swarm
      hash[1] = swarm >>> 8
      const address = (dice & 0x100000) === 0 ? address4 : address6
      new DataView(address.buffer).setUint32(address.length - 4, random.uint32() % 200_000)
      const kind = (dice >>> 24) % 8
      if (kind < 3) store.putSeeder(hash, address, 1)
      else if (kind < 5) store.putLeecher(hash, address, 1)
      else if (kind === 5) store.graduateLeecher(hash, address, 1)
      else if (kind === 6) store.deleteSeeder(hash, address, 1)
      else store.deleteLeecher(hash, address, 1)
    }
    assert.deepEqual(store.verify(), [])
    clock.advance(10_000)
    store.collectGarbage(15_000)
    assert.deepEqual(store.verify(), [])
  }
  const { refused, bytesReserved } = store.stats()
  assert.ok(refused > 1000, `${refused} refused`)
  assert.ok(bytesReserved <= 4 * MIB)
  clock.advance(100_000)
  store.collectGarbage(1000)
  assert.equal(store.numSwarms(), 0)
  assert.deepEqual(store.verify(), [])
})

test('a hold of garbage collection looks at a bounded number of peers', () => {
  const clock = new ManualClock()
  const store = createPeerStore({ clock, shardCountBits: 0, maxMemoryBytes: 16 * MIB })
  const core = new Core(new Memory(store.handle().buffer, true, 2), seededRandom(2))
  const hash = new Uint8Array(20)
  const address = new Uint8Array(4)
  const view = new DataView(address.buffer)
  // A dense set, a set in buckets, and a segment full of small swarms.
  for (let swarm = 0; swarm < 32; swarm++) {
    hash[0] = swarm
    const peers = swarm === 0 ? 30_000 : swarm === 1 ? 250_000 : 64
    for (let n = 0; n < peers; n++) {
      view.setUint32(0, n)
      store.putLeecher(hash, address, 1)
    }
  }
  const { drops } = SweepTerms.prototype
  let looked = 0
  let most = 0
  let holds = 0
  SweepTerms.prototype.drops = function (this: SweepTerms, meta: number): boolean {
    looked++
    return drops.call(this, meta)
  }
  try {
    const sweeper = new Sweeper(core)
    sweeper.onHold = (begins) => {
      if (begins) looked = 0
      else most = Math.max(most, looked)
      if (begins) holds++
    }
    assert.ok(sweeper.step(1000, Number.POSITIVE_INFINITY))
  } finally {
    SweepTerms.prototype.drops = drops
  }
  // 2048 of a large swarm and what is left of its last bucket; or a segment of small swarms, of which there are fewer here.
  assert.ok(most <= 2048 + 255, `${most} peers in one hold`)
  assert.ok(holds > 280_000 / 2304)
})
