/** The clock of a worker: it stands still within a round, and does what is due when a round ends. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clockOriginMs, ManualClock } from '../../../src/base/index.ts'
import { BatchClock } from '../../../src/tracker/linux/batch-clock.ts'

function made(): { clock: ManualClock; batch: BatchClock; round(byMs: number): void } {
  const clock = new ManualClock(1000)
  const batch = new BatchClock(clock, clockOriginMs(clock))
  const round = (byMs: number): void => {
    clock.advance(byMs)
    batch.take()
    batch.runDue()
  }
  return { clock, batch, round }
}

test('its time is that of the last look', () => {
  const { clock, batch } = made()
  const before = batch.monotonicMs()
  clock.advance(500)
  assert.equal(batch.monotonicMs(), before)
  assert.equal(Math.round(batch.exact.monotonicMs() - before), 500)
  batch.take()
  assert.equal(batch.monotonicMs() - before, 500)
})

test('a task is done once, in the first round that ends when it is due or later', () => {
  const { batch, round } = made()
  const done: string[] = []
  batch.after(1000, () => done.push('a'))
  batch.exact.after(2500, () => done.push('b'))
  round(998)
  assert.deepEqual(done, [])
  round(4)
  assert.deepEqual(done, ['a'])
  round(1000)
  assert.deepEqual(done, ['a'])
  round(5000)
  round(5000)
  assert.deepEqual(done, ['a', 'b'])
})

test('who cancels is not called, and who asks again is called again', () => {
  const { batch, round } = made()
  let count = 0
  const again = (): void => {
    count++
    batch.after(1000, again)
  }
  again()
  const cancel = batch.after(1000, () => assert.fail('it was cancelled'))
  cancel()
  for (let n = 0; n < 4; n++) round(1002)
  assert.equal(count, 5)
})
