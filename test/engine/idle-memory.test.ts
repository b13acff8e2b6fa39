/** What an idle torrent keeps in memory: a law, since thousands of them are what a node is for. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** Twice what was measured; its info dictionary alone is 20 KiB. */
const MOST_BYTES = 5_000

test('an idle torrent keeps little in memory, whatever its info dictionary is', async () => {
  const child = fileURLToPath(new URL('./idle-memory-child.js', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', child])
  const bytes = Number(stdout)
  assert.ok(bytes > 500, `${stdout} bytes cannot be all`)
  assert.ok(bytes < MOST_BYTES, `${bytes} bytes each`)
})
