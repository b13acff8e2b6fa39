/** What every Allocator must do, as tests; `make` gives a fresh one. */
import assert from 'node:assert/strict'
import { below, seededRandom } from '../base/index.ts'
import type { Allocator } from './allocator.ts'

export interface AllocatorConformance {
  readonly test: (name: string, body: () => void) => void
  readonly make: (totalBlocks: number) => Allocator
}

export function allocatorConformance({ test, make }: AllocatorConformance): void {
  test('never hands out block 0, hands out every other block once, then 0', () => {
    for (const total of [2, 31, 32, 33, 64, 100]) {
      const allocator = make(total)
      assert.equal(allocator.freeBlocks, total - 1)
      const given = new Set<number>()
      for (let i = 1; i < total; i++) {
        given.add(allocator.allocate(i % 3 === 0 ? 'metadata' : 'data'))
      }
      assert.equal(given.size, total - 1)
      assert.ok(!given.has(0))
      assert.equal(Math.max(...given), total - 1)
      assert.equal(allocator.freeBlocks, 0)
      assert.equal(allocator.allocate('data'), 0)
      assert.equal(allocator.allocate('metadata'), 0)
    }
  })

  test('takes a certain block once', () => {
    const allocator = make(40)
    assert.equal(allocator.take(0), false)
    assert.equal(allocator.take(39), true)
    assert.equal(allocator.take(39), false)
    assert.equal(allocator.freeBlocks, 38)
    assert.equal(allocator.isFree(39), false)
  })

  test('does not take back block 0, a free block, or one beyond the end', () => {
    const allocator = make(40)
    for (const block of [0, 5, 40]) assert.throws(() => allocator.free(block))
  })

  test('agrees with a set of free blocks over a long random walk', () => {
    const random = seededRandom(1)
    const total = 257
    const allocator = make(total)
    const used = new Set<number>()
    for (let step = 0; step < 20_000; step++) {
      const freeing = used.size > 0 && below(random, 100) < (step % 2000 < 1000 ? 40 : 60)
      if (freeing) {
        const block = [...used][below(random, used.size)]!
        allocator.free(block)
        used.delete(block)
      } else {
        const block = allocator.allocate(below(random, 4) === 0 ? 'metadata' : 'data')
        assert.equal(block === 0, used.size === total - 1)
        if (block !== 0) {
          assert.ok(!used.has(block))
          used.add(block)
        }
      }
      assert.equal(allocator.freeBlocks, total - 1 - used.size)
    }
    const free: number[] = []
    let end = 0
    for (const extent of allocator.freeExtents()) {
      assert.ok(extent.blocks > 0 && extent.block > end, 'ascending, and never two in touch')
      end = extent.block + extent.blocks
      for (let block = extent.block; block < end; block++) free.push(block)
    }
    const expected = Array.from({ length: total }, (_, block) => block).slice(1)
    assert.deepEqual(
      free,
      expected.filter((block) => !used.has(block)),
    )
    for (let block = 1; block < total; block++)
      assert.equal(allocator.isFree(block), !used.has(block))
  })

  test('grows by any number of blocks, all of them free, and gives each out once', () => {
    for (const [before, after] of [
      [2, 3],
      [31, 32],
      [32, 33],
      [33, 64],
      [40, 41],
      [64, 64],
      [7, 300],
    ] as const) {
      const allocator = make(before)
      const given = new Set<number>()
      const takeAll = (): void => {
        for (let block = allocator.allocate('data'); block !== 0; ) {
          assert.ok(!given.has(block))
          given.add(block)
          block = allocator.allocate(given.size % 3 === 0 ? 'metadata' : 'data')
        }
      }
      takeAll()
      allocator.grow(after)
      assert.equal(allocator.totalBlocks, after)
      assert.equal(allocator.freeBlocks, after - before)
      const free = [...allocator.freeExtents()]
      assert.deepEqual(free, after > before ? [{ block: before, blocks: after - before }] : [])
      takeAll()
      assert.equal(given.size, after - 1)
      assert.equal(Math.max(...given), after - 1)
      assert.throws(() => allocator.free(after))
      assert.equal(allocator.take(after), false)
    }
  })
}
