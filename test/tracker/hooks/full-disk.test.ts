/** The accounting on a disk that is full. Without a store here: a process that has reserved much cannot always be forked. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const PROGRAM = fileURLToPath(new URL('./full-disk.js', import.meta.url))
const onUnix = { skip: process.platform === 'win32' && 'there is no ulimit' }

test('of lines that did not fit on the disk nothing is there', onUnix, (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'seedbed-full-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const script = 'ulimit -f 4; exec "$0" "$@"'
  const command = ['-c', script, process.execPath, PROGRAM, join(folder, 'log')]
  const { error, stdout, stderr, status } = spawnSync('sh', command, { encoding: 'utf8' })
  assert.ifError(error)
  assert.equal(status, 0, stderr)
  const lines = stdout.split('\n')
  assert.equal(lines.length, 2, `${lines.length} lines, the last ${lines.at(-1)}`)
  assert.equal((JSON.parse(lines[0]!) as { left: number }).left, 0)
})
