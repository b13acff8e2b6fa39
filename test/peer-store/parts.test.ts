/** The parts of the store, each against a model of its own. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ManualClock, seededRandom } from '../../src/base/index.ts'
import { Arena, SLAB_BYTES, SLAB_MASK, SLAB_WORDS } from '../../src/peer-store/arena.ts'
import { createPeerStore } from '../../src/peer-store/index.ts'
import { KeyedHash } from '../../src/peer-store/keyed-hash.ts'
import { Sampler } from '../../src/peer-store/sampler.ts'
import { ROOT_WORDS, TaggedIndex } from '../../src/peer-store/tagged-index.ts'

test('blocks never overlap, and what is freed is all there again', () => {
  const size = fc.oneof(
    { weight: 20, arbitrary: fc.integer({ min: 1, max: 2048 }) },
    { weight: 4, arbitrary: fc.integer({ min: 2049, max: SLAB_WORDS / 2 }) },
    { weight: 1, arbitrary: fc.integer({ min: SLAB_WORDS / 2 + 1, max: SLAB_WORDS * 3 }) },
  )
  const step = fc.record({ frees: fc.boolean(), which: fc.nat(), size })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150, size: 'max' }), (steps) => {
      const arena = new Arena(Number.POSITIVE_INFINITY)
      const live: { address: number; words: number; mark: number }[] = []
      const at = (address: number): [Uint32Array, number] => [
        arena.slabs[address >>> 18]!,
        address & SLAB_MASK,
      ]
      const free = (which: number): void => {
        const [block] = live.splice(which % live.length, 1)
        const { address, words, mark } = block!
        for (const word of [address, address + words - 1]) {
          const [slab, offset] = at(word)
          assert.equal(slab[offset], mark, 'nobody else wrote here')
        }
        arena.free(address, words)
      }
      let mark = 1
      for (const { frees, which, size } of steps) {
        if (frees && live.length > 0) {
          free(which)
          continue
        }
        const address = arena.allocate(size)
        assert.ok(address > 0 || size > SLAB_WORDS / 2)
        arena.clear(address, size)
        for (const word of new Set([address, address + size - 1])) {
          const [slab, offset] = at(word)
          assert.equal(slab[offset], 0)
          slab[offset] = mark
        }
        live.push({ address, words: size, mark: mark++ })
      }
      while (live.length > 0) free(0)
      assert.equal(arena.bytesUsed, 0)
    }),
    { numRuns: 200, seed: 11 },
  )
})

test('a block of any class is reused by any other once its span is empty', () => {
  const arena = new Arena(Number.POSITIVE_INFINITY)
  for (const words of [4, 2048, 100, 4096, 640, 65_536]) {
    const blocks = Array.from({ length: Math.floor(200_000 / words) }, () => arena.allocate(words))
    for (const block of blocks) arena.free(block, words)
  }
  assert.ok(arena.bytesReserved <= 2 * SLAB_BYTES, `${arena.bytesReserved} bytes`)
})

/** An index whose keys are their own hashes, as bad as a test wants them. */
function indexOver(hashOf: (number: number) => [high: number, low: number]) {
  const arena = new Arena(Number.POSITIVE_INFINITY)
  const root = arena.allocate(ROOT_WORDS)
  arena.clear(root, ROOT_WORDS)
  const empty = arena.bytesUsed
  let high = 0
  let low = 0
  const index = new TaggedIndex(arena, {
    get high() {
      return high
    },
    get low() {
      return low
    },
    rehash(number) {
      ;[high, low] = hashOf(number)
    },
  })
  const has = (number: number): boolean => {
    const [h, l] = hashOf(number)
    let found = index.first(root, h, l)
    while (found !== 0 && found !== number) found = index.next()
    return found === number
  }
  return {
    has,
    insert: (number: number) => index.insert(root, ...hashOf(number), number),
    remove: (number: number) => index.remove(root, ...hashOf(number), number),
    leftOver: () => arena.bytesUsed - empty,
  }
}

const HASHES: Readonly<Record<string, (number: number) => [number, number]>> = {
  good: (n) => [Math.imul(n, 0x9e3779b1) >>> 0, Math.imul(n ^ 0x5bd1e995, 0x85ebca6b) >>> 0],
  'one slot': (n) => [Math.imul(n, 0x9e3779b1) >>> 0, 0xffffffff],
  'few slots and tags': (n) => [Math.imul(n, 0x9e3779b1) >>> 0, (n % 7) << 18],
  'one half of the directory': (n) => [
    Math.imul(n, 0x9e3779b1) >>> 20,
    Math.imul(n, 0x85ebca6b) >>> 0,
  ],
}

for (const [name, hashOf] of Object.entries(HASHES)) {
  test(`the index holds what a set holds; hash: ${name}`, () => {
    const bound = name === 'one slot' ? 400 : 4000
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: bound }), fc.integer({ min: 1, max: bound })), {
          minLength: 1,
          maxLength: 12,
        }),
        (ranges) => {
          const index = indexOver(hashOf)
          const model = new Set<number>()
          for (const [from, length] of ranges) {
            for (let n = from; n < Math.min(bound, from + length); n++) {
              if (model.has(n) && (n + length) % 3 !== 0) {
                index.remove(n)
                model.delete(n)
              } else if (!model.has(n)) {
                index.insert(n)
                model.add(n)
              }
            }
          }
          for (let n = 1; n <= bound; n++) assert.equal(index.has(n), model.has(n), `${n}`)
          for (const n of model) index.remove(n)
          assert.equal(index.leftOver(), 0)
        },
      ),
      { numRuns: 15, seed: 12 },
    )
  })
}

test('the sampler draws different numbers below the bound', () => {
  const sampler = new Sampler(seededRandom(4))
  fc.assert(
    fc.property(fc.nat(1500), fc.integer({ min: 1, max: 2 ** 26 }), (count, bound) => {
      const wanted = Math.min(count, bound)
      sampler.choose(wanted, bound)
      const chosen = sampler.chosen.subarray(0, wanted)
      assert.equal(new Set(chosen).size, wanted)
      assert.ok(chosen.every((value) => value < bound))
    }),
    { numRuns: 300, seed: 13 },
  )
})

test('the work of an announce is bounded by what is wanted, not by the swarm', () => {
  let draws = 0
  const random = seededRandom(9)
  const counting = {
    uint32: () => {
      draws++
      return random.uint32()
    },
    fill: (target: Uint8Array) => random.fill(target),
  }
  const store = createPeerStore({ clock: new ManualClock(), random: counting })
  const hash = new Uint8Array(20)
  const address = new Uint8Array(4)
  const view = new DataView(address.buffer)
  for (let n = 0; n < 50_000; n++) {
    view.setUint32(0, n)
    if (n === 777) store.putSeeder(hash, address, 1)
    else store.putLeecher(hash, address, 1)
  }
  draws = 0
  const rounds = 1000
  const target = new Uint8Array(50 * 6)
  for (let i = 0; i < rounds; i++) {
    assert.equal(store.announcePeers(hash, false, 50, address, 1, target, 0), 50)
  }
  assert.ok(draws < rounds * 50 * 2, `${draws / rounds} draws an announce`)
})

test('the hash depends on every bit of the words, their number and the key', () => {
  const seen = new Set<string>()
  const run = (hash: KeyedHash, words: readonly number[]): string => {
    hash.words.set(words)
    hash.run(words.length)
    return `${hash.high} ${hash.low}`
  }
  const hash = new KeyedHash(seededRandom(1))
  seen.add(run(hash, [0, 0, 0, 0, 0]))
  for (let bit = 0; bit < 160; bit++) {
    const words = [0, 0, 0, 0, 0]
    words[bit >>> 5] = (1 << (bit & 31)) >>> 0
    seen.add(run(hash, words))
  }
  seen.add(run(hash, [0, 0]))
  seen.add(run(new KeyedHash(seededRandom(2)), [0, 0, 0, 0, 0]))
  assert.equal(seen.size, 163)
  assert.equal(run(hash, [0, 0]), run(hash, [0, 0]))
})

test('sequential addresses spread evenly over slots and segments', () => {
  const hash = new KeyedHash(seededRandom(6))
  const slots = new Uint32Array(256)
  const segments = new Uint32Array(256)
  const count = 256 * 200
  for (let n = 0; n < count; n++) {
    hash.words[0] = 0x0a000000 + n
    hash.words[1] = 6881
    hash.run(2)
    slots[(hash.low >>> 14) & 255]!++
    segments[hash.high >>> 24]!++
  }
  for (const buckets of [slots, segments]) {
    let chiSquared = 0
    for (const seen of buckets) chiSquared += (seen - 200) ** 2 / 200
    assert.ok(chiSquared < 350, `chi squared ${chiSquared} with 255 degrees of freedom`)
  }
})
