/** The entry point gives node threads for its disks, which has to happen before anything else. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { MAIN } from './run.ts'

const folder = mkdtempSync(join(tmpdir(), 'seedbed-launch-'))
after(() => rmSync(folder, { recursive: true }))
const counting = join(folder, 'counting.cjs')
writeFileSync(
  counting,
  `process.on('exit', () => {
    const threads = require('node:fs').readdirSync('/proc/self/task').length
    process.stderr.write(JSON.stringify({ threads, size: process.env.UV_THREADPOOL_SIZE }))
  })`,
)

/** Of a run that ends at once; the loader of modules alone has used the pool by then. */
function threadsOf(
  size: string | undefined,
  ...words: readonly string[]
): { threads: number; size: string } {
  const { UV_THREADPOOL_SIZE: _, ...env } = process.env
  try {
    execFileSync(process.execPath, ['--require', counting, MAIN, ...words], {
      env: size === undefined ? env : { ...env, UV_THREADPOOL_SIZE: size },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
  } catch (error) {
    const { stderr } = error as { stderr: Buffer }
    return JSON.parse(stderr.toString().replace(/^[^{]*/s, ''))
  }
  assert.fail('it was to end with an error, and say how many threads there are')
}

test('threads for disks: for one, for several, and as many as the user says', {
  skip: process.platform !== 'linux' && 'threads are counted in /proc',
}, () => {
  const missing = join(folder, 'none')
  const own = threadsOf('4', 'ls', '--device', missing)
  const one = threadsOf(undefined, 'ls', '--device', missing)
  const three = threadsOf(
    undefined,
    'ls',
    '--device',
    missing,
    `--device=${missing}`,
    '--device',
    missing,
  )
  assert.equal(own.size, '4')
  assert.deepEqual([one.size, one.threads - own.threads], ['16', 12])
  assert.deepEqual([three.size, three.threads - own.threads], ['32', 28])
})
