/** The picker study's swarm is a machine: it keeps its books, and what must hold of every picker does. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { STRATEGIES } from '../../bench/picker/choosers.ts'
import { Copies, put, wordsFor } from '../../bench/picker/copies.ts'
import { tablesOf } from '../../bench/picker/document.ts'
import { StripeBuffers } from '../../bench/picker/stripe-buffers.ts'
import { quantile, SWARM, study } from '../../bench/picker/study.ts'
import { type Scenario, simulate } from '../../bench/picker/swarm.ts'
import { seededRandom } from '../../src/base/index.ts'
import { DISK_7200, DiskModel } from '../../src/block-device/index.ts'

const KIB = 1024
const MIB = 1024 * KIB

const small: Scenario = {
  strategy: 'rarest',
  active: 2,
  totalBytes: 32 * MIB,
  pieceBytes: 256 * KIB,
  stripeBytes: 4 * MIB,
  cacheStripes: 3,
  leechers: 10,
  late: 3,
  partial: 2,
  quitting: 1,
  seed: 1,
}

for (const strategy of STRATEGIES) {
  test(`${strategy}: with the seed there everybody finishes, and the books balance`, () => {
    for (const seed of [1, 2, 3]) {
      const outcome = simulate({ ...small, strategy, seed })
      assert.equal(outcome.completions.length, 7)
      assert.ok(outcome.completions.every((time) => time > 0))
      assert.ok(
        Math.abs(outcome.sentBytes - outcome.deliveredBytes - outcome.wastedBytes) < 1,
        'what was sent is not what arrived and what was cut off',
      )
      // Those who finish, those who want a half, and at least nothing of who quits.
      assert.ok(outcome.deliveredBytes >= 7 * small.totalBytes)
      assert.ok(outcome.deliveredBytes <= (7 + 2 / 2 + 1) * small.totalBytes)
      assert.ok(outcome.seedSent >= 1, 'the others have what nobody sent them')
      assert.ok(outcome.leastCopies >= 0 && outcome.leastCopies <= outcome.meanCopies)
      assert.ok(outcome.whole >= 0 && outcome.whole <= 1)
    }
  })

  test(`${strategy}: the same seed gives the same swarm, another seed another`, () => {
    const scenario: Scenario = { ...small, strategy, seed: 7 }
    assert.deepEqual(simulate(scenario), simulate(scenario))
    assert.notDeepEqual(simulate(scenario), simulate({ ...scenario, seed: 8 }))
  })
}

test('the engine never begins more stripes than it may, so with memory for them all are written whole', () => {
  for (const strategy of ['extent', 'dealt'] as const) {
    for (const active of [1, 2, 3]) {
      const { whole, meanWriteBytes } = simulate({
        ...small,
        strategy,
        active,
        cacheStripes: active,
      })
      assert.equal(whole, 1, `${strategy} ${active}`)
      assert.equal(meanWriteBytes, small.stripeBytes)
    }
  }
})

test('copies are counted as a plain list counts them, and the rarest of an offer is the rarest', () => {
  const pieces = 70
  const peers = 4
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(pieces - 1), fc.boolean()), { maxLength: 300 }),
      fc.uniqueArray(fc.nat(pieces - 1)),
      fc.uniqueArray(fc.nat(pieces - 1)),
      fc.nat(),
      (steps, offer, done, seed) => {
        const copies = new Copies(pieces, peers)
        const plain = new Array<number>(pieces).fill(0)
        for (const [piece, more] of steps) {
          const next = plain[piece]! + (more ? 1 : -1)
          if (next < 0 || next > peers) continue
          plain[piece] = next
          if (more) copies.add(piece)
          else copies.remove(piece)
        }
        assert.deepEqual([...copies.of], plain)
        assert.equal(copies.least, Math.min(...plain))
        assert.equal(
          copies.sum,
          plain.reduce((a, b) => a + b, 0),
        )
        const offered = wordsFor(pieces)
        const closed = wordsFor(pieces)
        for (const piece of offer) put(offered, piece)
        for (const piece of done) put(closed, piece)
        const open = offer.filter((piece) => !done.includes(piece))
        const least = open.length === 0 ? -1 : Math.min(...open.map((piece) => plain[piece]!))
        assert.equal(copies.leastOf(offered, closed), least)
        const rarest = copies.rarest(offered, closed, seededRandom(seed))
        if (open.length === 0) assert.equal(rarest, -1)
        else {
          assert.ok(open.includes(rarest))
          assert.equal(plain[rarest], least)
        }
      },
    ),
    { seed: 20, numRuns: 100 },
  )
})

test('fewer copies than none are refused', () => {
  assert.throws(() => new Copies(3, 2).remove(1), /fewer copies than none/)
})

test('every byte is written once, whatever the order and the memory', () => {
  const stripes = 5
  const perStripe = 8
  const order = fc.shuffledSubarray(
    Array.from({ length: stripes * perStripe }, (_, piece) => piece),
    { minLength: stripes * perStripe },
  )
  fc.assert(
    fc.property(order, fc.integer({ min: 1, max: 5 }), (pieces, capacity) => {
      const model = new DiskModel({ ...DISK_7200, sizeBytes: 1e12 }, seededRandom(1))
      const buffers = new StripeBuffers(stripes, 8 * KIB, KIB, capacity, model)
      for (const piece of pieces) buffers.add(piece)
      buffers.close()
      assert.equal(buffers.bytes, pieces.length * KIB)
      assert.equal(model.writtenBytes, buffers.bytes)
      assert.equal(model.writes, buffers.writes)
      if (capacity === stripes) assert.equal(buffers.wholeBytes, buffers.bytes)
    }),
    { seed: 21, numRuns: 100 },
  )
})

test('a quantile lies between its neighbours', () => {
  assert.equal(quantile([4, 1, 3, 2], 0.5), 2.5)
  assert.equal(quantile([1, 2], 0.25), 1.25)
  assert.equal(quantile([9], 0.95), 9)
})

test('a table says how many seeds it is made of, and has a line for each row', () => {
  const rows = [study(SWARM, 'rarest', MIB, undefined, 2), study(SWARM, 'dealt', MIB, 4, 2)]
  const lines = tablesOf(rows).split('\n')
  assert.equal(lines[0], '### 96 MiB, pieces of 1024 KiB, memory for 8 stripes, 2 seeds')
  assert.match(lines[4]!, /^\| rarest \|/)
  assert.match(lines[5]!, /^\| dealt 4 \|/)
})
