/** Downloads to a disk that spins reach its limit, both ways, in every scenario; in virtual time. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { runScenario } from '../../bench/spin/scenario.ts'
import { scenarios, TARGETS } from '../../bench/spin/scenarios.ts'

describe('downloads to a disk that spins', () => {
  for (const scenario of scenarios('quick')) {
    test(`${scenario.name}: at its limit, and read back at it`, async () => {
      const { write, read } = await runScenario(scenario)
      assert.ok(write.fraction >= TARGETS.writeFraction, `written at ${write.fraction} of it`)
      assert.ok(read.fraction >= TARGETS.readFraction, `read at ${read.fraction} of it`)
      assert.ok(write.meanDataWriteBytes >= TARGETS.meanDataWriteBytes)
      assert.ok(write.seeksPerGib < TARGETS.seeksPerGib, `${write.seeksPerGib} seeks a GiB`)
    })
  }

  test('one scenario has one result', async () => {
    const small = { ...scenarios('quick')[0]!, torrents: 4, parallel: 4 }
    assert.deepEqual(await runScenario(small), await runScenario(small))
  })
})
