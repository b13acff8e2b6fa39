/**
 * A real process on a real image file and a loop device, killed in the middle of its work. A handful of
 * rounds; `npm run prove -- kill` runs hundreds.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { attachLoop } from '../block-device/loop.ts'
import { killRounds } from './kill-rounds.ts'
import { BLOCK } from './support.ts'

const folder = mkdtempSync(join(tmpdir(), 'seedbed-kill-'))
after(() => rmSync(folder, { recursive: true }))

const ROUNDS = 6
const SEED = 1

function imageFile(name: string): string {
  const path = join(folder, name)
  writeFileSync(path, '')
  truncateSync(path, 48 * BLOCK)
  return path
}

test('whatever moment the process is killed at, what it had been promised is there', async (context) => {
  const tally = await killRounds(imageFile('image'), ROUNDS, SEED)
  context.diagnostic(JSON.stringify(tally))
  assert.equal(tally.first, undefined)
  assert.equal(tally.rounds, ROUNDS)
})

test('the same on a loop device', async (context) => {
  const loop = attachLoop(imageFile('loop'))
  if (loop === undefined) return context.skip('needs root and losetup')
  try {
    const tally = await killRounds(loop.path, ROUNDS, SEED)
    context.diagnostic(JSON.stringify(tally))
    assert.equal(tally.first, undefined)
    assert.equal(tally.rounds, ROUNDS)
  } finally {
    loop.detach()
  }
})
