/** Many things done a few at a time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { inLanes } from '../../src/base/index.ts'

test('all is done once, begun in order, never more at a time than there are lanes', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(4), { maxLength: 30 }),
      fc.integer({ min: 1, max: 5 }),
      async (turns, lanes) => {
        const queue = [...turns.entries()]
        const begun: number[] = []
        let underWay = 0
        await inLanes(queue, lanes, async ([i, count]) => {
          begun.push(i)
          assert.ok(++underWay <= lanes)
          for (let turn = 0; turn < count; turn++) await null
          underWay--
        })
        assert.equal(underWay, 0)
        assert.deepEqual(begun, [...turns.keys()])
        assert.equal(queue.length, 0)
      },
    ),
  )
})

test('after an error nothing more is begun, and what was begun has ended when it is told', async () => {
  const begun: number[] = []
  const ended: number[] = []
  const work = inLanes([1, 2, 3, 4, 5], 2, async (item) => {
    begun.push(item)
    if (item === 2) throw new RangeError('two')
    for (let turn = 0; turn < 10; turn++) await null
    ended.push(item)
    if (item === 1) throw new RangeError('one')
  })
  await assert.rejects(work, /two/)
  assert.deepEqual(begun, [1, 2])
  assert.deepEqual(ended, [1])
})
