/**
 * Power cuts in all sequences of up to three steps: at least 50,000 states, none bad. And that bad ones
 * would be seen: on a device that lies about its flushes, and with orders of the code turned round.
 *
 * The sequences run in a process of their own: under the test runner a promise costs several times as
 * much. `npm run prove -- crash` is the long form.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { MUTANTS, tryMutant } from './crash-mutants.ts'
import { Sequences, STEPS, type Tally } from './crash-sequences.ts'

test('every state of every sequence of up to three steps is sound', async (context) => {
  const program = fileURLToPath(new URL('./prove.js', import.meta.url))
  const args = ['crash', '--length', '3', '--exhaustive', '4', '--mixtures', '6', '--states', '0']
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...args])
  const tally = JSON.parse(stdout) as Tally
  context.diagnostic(stdout.trim())
  assert.equal(tally.first, undefined)
  assert.ok(tally.states >= 50_000, `${tally.states} states`)
})

test('seeded random sequences are sound', async (context) => {
  const sequences = new Sequences({ exhaustive: 3, perEpoch: 3, seed: 1 })
  for (let seed = 1; seed <= 10; seed++) await sequences.random(seed)
  assert.equal(sequences.tally.first, undefined)
  context.diagnostic(`${sequences.tally.states} states`)
})

test('a device that lies about flushes is found out', async (context) => {
  for (const lies of [1, 2, 3, 7]) {
    const sequences = new Sequences({ exhaustive: 3, perEpoch: 3, seed: 1, lies, stopAtBad: true })
    await sequences.all(2)
    const { states, first } = sequences.tally
    const which = lies === 1 ? 'every flush' : `one flush of ${lies}`
    context.diagnostic(`${which} is a lie: noticed in state ${states}, ${first}`)
    assert.ok(first !== undefined, `${which} is a lie and nobody noticed`)
  }
})

test('orders turned round are noticed', async (context) => {
  for (const mutant of MUTANTS) {
    const said = await tryMutant(mutant)
    context.diagnostic(`without "${mutant.order}": ${said ?? 'nothing noticed'}`)
    assert.ok(said !== undefined, mutant.order)
  }
})

test('a sequence is played again by its name, state for state', async () => {
  const tallies: Tally[] = []
  for (let i = 0; i < 2; i++) {
    const sequences = new Sequences({ exhaustive: 3, perEpoch: 3, seed: 1, lies: 2 })
    assert.ok(await sequences.play('held', ['remove a', 'create a', 'sync']))
    tallies.push(sequences.tally)
  }
  assert.ok(tallies[0]!.states > 0)
  assert.deepEqual(tallies[0], tallies[1])
})

test('every step makes sense after at most two others', async () => {
  const missing = new Set(Object.keys(STEPS))
  const sequences = new Sequences({ exhaustive: 0, perEpoch: 0, seed: 1 })
  for (const start of ['held', 'empty']) {
    for (const first of Object.keys(STEPS)) {
      if (!(await sequences.play(start, [first]))) continue
      missing.delete(first)
      for (const step of missing) {
        if (await sequences.play(start, [first, step])) missing.delete(step)
      }
    }
  }
  assert.deepEqual([...missing], [])
})
