/** The map of a torrent and the room of a volume, as told to people. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { BlockMap } from '../../src/filesystem/block-map.ts'
import { mountVolume } from '../../src/filesystem/index.ts'
import { again, BLOCK, freshVolume, KIB, mountOptions, putPiece, sample } from './support.ts'

test('extents are the whole map, ascending, and as long as they can be', () => {
  const entries = fc.uniqueArray(fc.tuple(fc.nat(99), fc.integer({ min: 1, max: 120 })), {
    selector: ([block]) => block,
    maxLength: 60,
  })
  fc.assert(
    fc.property(entries, fc.constantFrom(7, 100), (pairs, segmentBlocks) => {
      const map = new BlockMap(100, segmentBlocks)
      for (const [block, place] of pairs) map.set(block, place)
      const found = new Map<number, number>()
      let before = { block: -2, place: -2, blocks: 1 }
      for (const extent of map.extents()) {
        assert.ok(extent.block >= before.block + before.blocks)
        const joins =
          extent.block === before.block + before.blocks &&
          extent.place === before.place + before.blocks
        assert.ok(!joins, 'two extents that are one')
        for (let i = 0; i < extent.blocks; i++) found.set(extent.block + i, extent.place + i)
        before = extent
      }
      assert.deepEqual(
        [...found],
        [...pairs].sort(([a], [b]) => a - b),
      )
    }),
    { numRuns: 200, seed: 20261122 },
  )
})

test('what was written in order is one extent, and lies where the map says', async () => {
  const { device, volume } = await freshVolume(64)
  const from = sample(1, 10 * BLOCK, BLOCK)
  const stored = await volume.create(from, from.info)
  assert.deepEqual([...stored.extents()], [])
  for (const piece of [4, 5, 6, 1, 2]) await putPiece(stored, from, piece)
  await volume.close()
  const mounted = await mountVolume(again(device), mountOptions())
  const extents = [...mounted.get(from.infoHash)!.extents()]
  assert.deepEqual(
    extents.map(({ block, blocks }) => [block, blocks]),
    [
      [1, 2],
      [4, 3],
    ],
  )
  for (const { block, place, blocks } of extents) {
    const bytes = new Uint8Array(blocks * BLOCK)
    device.image.read(place * BLOCK, bytes)
    assert.ok(Buffer.from(bytes).equals(from.bytes(block * BLOCK, bytes.length)))
  }
})

test('the allocator tells free extents and slabs, and they add up', async () => {
  const { device, volume } = await freshVolume(64)
  const one = sample(1, 3 * BLOCK, BLOCK)
  const two = sample(2, 3 * BLOCK, BLOCK, 20 * KIB)
  for (const from of [one, two]) {
    const stored = await volume.create(from, from.info)
    for (let piece = 0; piece < 3; piece++) await putPiece(stored, from, piece)
  }
  await volume.remove(one.infoHash)
  await volume.close()
  const mounted = await mountVolume(again(device), mountOptions())
  const stats = mounted.allocatorStats()
  assert.equal(stats.kind, 'sequential')
  assert.equal(stats.freeBlocks, mounted.stats().freeBlocks)
  assert.equal(stats.freeExtents, 2, 'the hole of the one, and the rest')
  assert.ok(stats.largestFreeExtentBlocks < stats.freeBlocks)
  assert.deepEqual(stats.slabs, [
    { slotBytes: 1 * KIB, blocks: 1, slots: 64, usedSlots: 1 },
    { slotBytes: 32 * KIB, blocks: 1, slots: 2, usedSlots: 1 },
  ])
  const slabBlocks = stats.slabs.reduce((sum, { blocks }) => sum + blocks, 0)
  assert.equal(mounted.stats().metadataBlocks, 1 + slabBlocks)
})
