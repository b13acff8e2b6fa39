/** What a benchmark reports is arithmetic, and is held to it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { interleave, median } from '../../bench/statistics.ts'
import { type Comparison, lineOf } from '../../bench/suite.ts'
import { suites } from '../../bench/suites/index.ts'

const rate: Comparison = {
  suite: 's',
  name: 'n',
  unit: 'MB/s',
  better: 'more',
  values: [300, 100, 200],
}

test('the median of an odd and of an even number of runs', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([4, 1, 2, 3]), 2.5)
  assert.equal(median([7]), 7)
})

test('a line says median and spread', () => {
  assert.deepEqual(lineOf(rate), {
    suite: 's',
    name: 'n',
    unit: 'MB/s',
    value: 200,
    runs: { min: 100, median: 200, max: 300 },
  })
})

test('the ratio is larger where seedbed is better, for rates and for times', () => {
  assert.equal(lineOf(rate, { peer: 'p', values: [100] }).ratio, 2)
  assert.equal(lineOf({ ...rate, better: 'less' }, { peer: 'p', values: [100] }).ratio, 0.5)
})

test('a peer that is not installed is named, and gives no ratio', () => {
  const line = lineOf({ ...rate, target: 300 }, { peer: 'p', values: undefined })
  assert.equal(line.peer, 'p')
  assert.equal(line.note, 'p is not installed')
  assert.equal(line.target, 300)
  assert.ok(!('ratio' in line) && !('peerValue' in line))
})

test('rounds interleave, rotate, and the first does not count', async () => {
  const order: string[] = []
  const contender = (name: 'a' | 'b' | 'c') =>
    [
      name,
      async (round: number) => {
        order.push(name)
        return round
      },
    ] as const
  const results = await interleave(
    ['a', 'b', 'c'].map((name) => contender(name as 'a')),
    2,
    () => {},
  )
  assert.equal(order.join(''), 'abcbcacab')
  assert.deepEqual(
    [...results],
    [
      ['a', [1, 2]],
      ['b', [1, 2]],
      ['c', [1, 2]],
    ],
  )
})

test('every suite has a name of its own and says what it measures', () => {
  assert.equal(new Set(suites.map((suite) => suite.name)).size, suites.length)
  for (const suite of suites) assert.ok(suite.about.length > 10)
})
