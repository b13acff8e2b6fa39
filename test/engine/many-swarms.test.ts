/** Thousands of small swarms keep their promises, and would be seen to break them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runSwarm } from './many-swarms.ts'
import { MUTANTS, tryMutant } from './swarm-mutants.ts'

const SWARMS = process.env.SEEDBED_LONG === '1' ? 20_000 : 1_200

test(`${SWARMS} small swarms: honest downloads complete, nothing wrong is served`, async (t) => {
  let hashFailures = 0
  for (let seed = 0; seed < SWARMS; seed++) {
    try {
      hashFailures += (await runSwarm(seed)).hashFailures
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error })
    }
  }
  assert.ok(hashFailures > 0, 'corrupt peers were there')
  t.diagnostic(`${hashFailures} pieces failed their hash`)
})

test('who owes chunks that are given up for want of memory, again and again, is found out', async () => {
  for (const seed of [50303, 50430, 50608, 51864, 52626]) await runSwarm(seed)
})

test('the same seed is the same swarm', async () => {
  for (const seed of [0, 7, 19]) assert.deepEqual(await runSwarm(seed), await runSwarm(seed))
})

test('a broken engine is noticed', async (t) => {
  for (const mutant of MUTANTS) {
    const said = await tryMutant(mutant, 2_000)
    assert.ok(said !== undefined, mutant.what)
    t.diagnostic(`${mutant.what}: ${said.slice(0, 120)}`)
  }
})
