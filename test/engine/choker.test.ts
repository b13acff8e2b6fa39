/** Who may download from us. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../src/base/index.ts'
import { type ChokeCandidate, chooseUnchoked } from '../../src/engine/choker.ts'
import { slotsFor } from '../../src/engine/choking.ts'

function peer(fields: Partial<ChokeCandidate> = {}): ChokeCandidate {
  return {
    interested: true,
    unchoked: false,
    downloadRate: 0,
    uploadRate: 0,
    changedMs: 0,
    sentBytes: 0,
    ...fields,
  }
}

const leeching = { slots: 3, seeding: false, nowMs: 100_000, random: seededRandom(1) }

test('everybody interested is served while there are slots, nobody else', () => {
  const idle = peer({ interested: false })
  const peers = [peer(), idle, peer()]
  const { unchoked, optimistic } = chooseUnchoked(peers, { ...leeching, optimistic: undefined })
  assert.deepEqual(unchoked, new Set([peers[0], peers[2]]))
  assert.equal(optimistic, undefined)
})

test('a leecher serves those who give most, and one by chance', () => {
  const peers = [1, 5, 3, 2, 4].map((downloadRate) => peer({ downloadRate }))
  const { unchoked, optimistic } = chooseUnchoked(peers, { ...leeching, optimistic: undefined })
  assert.equal(unchoked.size, 3)
  assert.ok(unchoked.has(peers[1]!) && unchoked.has(peers[4]!), 'the two fastest')
  assert.ok(optimistic !== undefined && unchoked.has(optimistic))
  const again = chooseUnchoked(peers, { ...leeching, optimistic })
  assert.equal(again.optimistic, optimistic, 'it keeps its slot until it is its turn to be chosen')
})

test('everybody gets the optimistic slot at some time', () => {
  const peers = Array.from({ length: 10 }, (_, i) => peer({ downloadRate: i }))
  const seen = new Set<ChokeCandidate>()
  const random = seededRandom(5)
  for (let round = 0; round < 200; round++) {
    const { optimistic } = chooseUnchoked(peers, { ...leeching, random, optimistic: undefined })
    seen.add(optimistic!)
  }
  assert.equal(seen.size, 8, 'all but the two that have a slot anyway')
})

test('a seeder lets those in their turn go on, then those who waited longest', () => {
  const turn = peer({ unchoked: true, changedMs: 90_000, uploadRate: 10 })
  const over = peer({ unchoked: true, changedMs: 30_000, uploadRate: 99 })
  const full = peer({ unchoked: true, changedMs: 90_000, uploadRate: 99, sentBytes: 1e9 })
  const long = peer({ changedMs: 1_000 })
  const short = peer({ changedMs: 50_000 })
  const peers = [over, short, full, long, turn]
  const { unchoked } = chooseUnchoked(peers, { ...leeching, seeding: true, optimistic: undefined })
  assert.ok(unchoked.has(turn) && unchoked.has(long))
})

test('without slots nobody is served', () => {
  const { unchoked } = chooseUnchoked([peer(), peer()], {
    ...leeching,
    slots: 0,
    optimistic: undefined,
  })
  assert.equal(unchoked.size, 0)
})

test('a limit of rate means fewer slots, but four', () => {
  const pictures = [
    [16, Number.POSITIVE_INFINITY, 16],
    [16, 10_000_000, 16],
    [16, 8 * 65_536, 8],
    [16, 1_000, 4],
    [2, 1_000, 2],
    [0, 1_000, 0],
  ] as const
  for (const [most, rate, slots] of pictures) assert.equal(slotsFor(most, rate), slots)
})
