/** Upload slots of all torrents together: shared fairly, in turns when there are fewer than torrents. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { EngineTorrent } from '../../src/engine/index.ts'
import { type Claimant, UploadSlots } from '../../src/engine/upload-slots.ts'
import { BLOCK_BYTES, Swarm } from './swarm.ts'

interface Wishing extends Claimant {
  slotsWanted: number
}

const wishing = (...wanted: readonly number[]): Wishing[] =>
  wanted.map((slotsWanted) => ({ slotsWanted, slots: 0 }))

test('who wants little gets it, the others as much as each other', () => {
  const claimants = wishing(1, 9, 0, 9, 3)
  new UploadSlots(13).share(claimants, 0)
  assert.deepEqual(
    claimants.map(({ slots }) => slots),
    [1, 4, 0, 5, 3],
  )
})

test('never more than there are, nothing left while somebody wants, nobody two behind another', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(20), { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 1, max: 100 }),
      (wanted, max) => {
        const claimants = wishing(...wanted)
        new UploadSlots(max).share(claimants, 0)
        const given = claimants.reduce((sum, { slots }) => sum + slots, 0)
        const wish = wanted.reduce((sum, one) => sum + one, 0)
        assert.equal(given, Math.min(max, wish))
        const most = Math.max(...claimants.map(({ slots }) => slots))
        for (const { slots, slotsWanted } of claimants) {
          assert.ok(slots <= slotsWanted)
          if (slots < slotsWanted) assert.ok(slots >= most - 1)
        }
      },
    ),
    { seed: 4 },
  )
})

test('with more torrents than slots all have their turn, and keep it for half a minute', () => {
  const slots = new UploadSlots(3)
  const claimants = wishing(...Array.from({ length: 10 }, () => 4))
  const turns = claimants.map(() => 0)
  let changes = 0
  let before = ''
  for (let nowMs = 0; nowMs < 300_000; nowMs += 1_000) {
    slots.share(claimants, nowMs)
    assert.equal(claimants.filter((one) => one.slots === 1).length, 3)
    for (const [i, one] of claimants.entries()) turns[i]! += one.slots
    const now = claimants.map((one) => one.slots).join('')
    if (now !== before) changes++
    before = now
  }
  assert.equal(changes, 10)
  assert.deepEqual(
    turns,
    claimants.map(() => 90),
  )
})

test('an engine with four slots serves four peers at a time, of whichever torrents, and all in the end', async () => {
  const swarm = new Swarm(44, { bytesPerMs: 500 })
  const contents = Array.from({ length: 6 }, () => swarm.content(6 * BLOCK_BYTES, BLOCK_BYTES / 8))
  const volume = swarm.volume()
  const seeder = await swarm.engine('10.0.0.1', volume, { maxUploadSlots: 4 })
  for (const content of contents) {
    const holding = await swarm.holding(content)
    const stored = holding.get(content.info.infoHash)!
    seeder.open(stored, content.info, { trackers: [] })
  }
  const torrents: EngineTorrent[] = []
  const peers = [{ host: '10.0.0.1', port: 6881 }]
  for (let i = 0; i < 4; i++) {
    const engine = await swarm.engine(`10.0.1.${i}`, swarm.volume())
    for (const { info } of contents) torrents.push(await engine.add(info, { trackers: [], peers }))
  }
  let most = 0
  await swarm.until(() => {
    most = Math.max(most, seeder.status().uploadSlots.used)
    return torrents.every((torrent) => torrent.progress().state === 'seeding')
  }, 1_200_000)
  assert.equal(most, 4)
  assert.equal(seeder.status().uploadSlots.max, 4)
  await swarm.stop()
})
