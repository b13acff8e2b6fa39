/** Blocks of a torrent lie together whatever order they come in; an old disk keeps its long stretches. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { makeAllocator } from '../../src/filesystem/allocator.ts'
import { BlockMap } from '../../src/filesystem/block-map.ts'
import { placeBlock } from '../../src/filesystem/placement.ts'

const RUN = 8

const inOrder = (map: BlockMap): string =>
  [...map.extents()].map(({ block, blocks }) => `${block}+${blocks}`).join(' ')

for (const kind of ['sequential', 'ordered'] as const) {
  test(`${kind}: torrents written side by side, each in any order, lie in whole runs`, () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...Array(48).keys()], { minLength: 48 }), (order) => {
        const allocator = makeAllocator(kind, 200)
        const maps = [new BlockMap(24, 24), new BlockMap(24, 24)]
        for (const each of order) {
          const map = maps[each % 2]!
          const place = placeBlock(allocator, map, Math.floor(each / 2), RUN)
          assert.equal(place, map.get(Math.floor(each / 2)))
        }
        for (const map of maps) {
          for (const { blocks } of map.extents()) {
            if (kind === 'sequential') assert.equal(blocks % RUN, 0, inOrder(map))
          }
        }
        const places = maps.flatMap((map) => [...map.places()])
        assert.equal(new Set(places).size, 48)
        for (const place of places) assert.equal(allocator.isFree(place), false)
      }),
    )
  })
}

test('a full device is filled to its last block, and then says so', () => {
  for (const order of [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [9, 4, 0, 8, 1, 7, 2, 6, 3, 5],
  ]) {
    const allocator = makeAllocator('sequential', 11)
    const map = new BlockMap(12, 12)
    for (const block of order) assert.notEqual(placeBlock(allocator, map, block, RUN), 0)
    assert.equal(allocator.freeBlocks, 0)
    assert.equal(placeBlock(allocator, map, 10, RUN), 0)
  }
})

test('who has lost the place beside its neighbours gets another stretch for the rest', () => {
  const allocator = makeAllocator('sequential', 100)
  const map = new BlockMap(8, 8)
  assert.equal(placeBlock(allocator, map, 0, RUN), 1)
  assert.equal(placeBlock(allocator, map, 1, RUN), 2)
  assert.ok(allocator.take(3), 'somebody who came around the device')
  for (let block = 2; block < 8; block++) placeBlock(allocator, map, block, RUN)
  assert.equal(inOrder(map), '0+2 2+6')
})

test('less than a run goes where it fits best, a run where there is one', () => {
  const allocator = makeAllocator('sequential', 100)
  for (let block = 1; block < 100; block++) allocator.take(block)
  // Stretches of 5, 12 and 3.
  for (const [first, blocks] of [
    [10, 5],
    [30, 12],
    [60, 3],
  ] as const) {
    for (let i = 0; i < blocks; i++) allocator.free(first + i)
  }
  const small = new BlockMap(3, 3)
  placeBlock(allocator, small, 0, RUN)
  assert.equal(small.get(0), 60)
  const large = new BlockMap(8, 8)
  placeBlock(allocator, large, 0, RUN)
  assert.equal(large.get(0), 30)
})

test('on a volume that is mounted again a run goes on where it was', () => {
  const before = makeAllocator('sequential', 100)
  const map = new BlockMap(16, 16)
  for (const block of [2, 0, 5]) placeBlock(before, map, block, RUN)
  const after = makeAllocator('sequential', 100, before.cursor)
  for (const place of map.places()) after.take(place)
  for (const block of [1, 3, 4, 6, 7]) placeBlock(after, map, block, RUN)
  assert.equal(inOrder(map), '0+8')
})
