/** Codecs among mutated input: 20,000 of each kind; with SEEDBED_LONG=1 two million, from a seed that is printed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemRandom } from '../../../src/base/index.ts'
import { fuzz } from './fuzz.ts'

const isLong = process.env.SEEDBED_LONG === '1'

test('mutated packets, requests and messages: no throw, no answer longer than allowed', (t) => {
  const seed = isLong ? systemRandom().uint32() : 20_261_122
  t.diagnostic(`seed ${seed}`)
  const { answered } = fuzz(seed, isLong ? 2_000_000 : 20_000)
  assert.ok(answered > 1000, 'many are still understood')
})
