/** A file that is watched: read when it is another, what is wrong with it found once, what hinders reading it tried again. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Clock, ManualClock, silentLogger } from '../../../src/base/index.ts'
import { trackerError } from '../../../src/tracker/errors.ts'
import { WatchedFile } from '../../../src/tracker/hooks/watched-file.ts'

async function setUp(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), 'seedbed-watched-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const path = join(dir, 'list')
  writeFileSync(path, 'one')
  const clock = new ManualClock()
  const looks = { waiting: 0 }
  const counted: Clock = {
    monotonicMs: () => clock.monotonicMs(),
    wallMs: () => clock.wallMs(),
    after(delayMs, task) {
      looks.waiting++
      return clock.after(delayMs, task)
    },
  }
  const errors: string[] = []
  const error = (fields: { error: string }): void => void errors.push(fields.error)
  const seen = { loads: 0, failure: undefined as Error | undefined }
  const file = new WatchedFile({
    path,
    clock: counted,
    logger: { ...silentLogger, error } as typeof silentLogger,
    what: 'list',
    load: async () => {
      seen.loads++
      if (seen.failure !== undefined) throw seen.failure
      return {}
    },
  })
  await file.start()
  t.after(() => file.stop())
  let size = 3
  return {
    file,
    seen,
    errors,
    /** Another content; by its size, because times may be coarse. */
    write: () => writeFileSync(path, 'x'.repeat(++size)),
    /** Resolves when a whole look is over: the next one waits in the clock. */
    async look(): Promise<void> {
      looks.waiting = 0
      clock.advance(5000)
      while (looks.waiting === 0) await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

test('it is read when it is another, and only then', async (t) => {
  const { file, seen, write, look } = await setUp(t)
  await look()
  assert.equal(await file.refresh(), undefined)
  assert.equal(seen.loads, 1)
  write()
  await look()
  assert.equal(seen.loads, 2)
  await look()
  assert.equal(seen.loads, 2)
})

test('content that is wrong is read and told once; who asks is told again', async (t) => {
  const { file, seen, errors, write, look } = await setUp(t)
  seen.failure = trackerError('TRACKER_LIST', 'list:1: wrong')
  write()
  for (let i = 0; i < 3; i++) await look()
  assert.deepEqual([seen.loads, errors], [2, ['list:1: wrong']])
  assert.equal(await file.refresh(), 'list:1: wrong')
  assert.deepEqual([seen.loads, errors.length], [3, 2])
  seen.failure = undefined
  write()
  await look()
  assert.equal(await file.refresh(), undefined)
  assert.equal(seen.loads, 4)
})

test('what hinders reading is told once, and tried again', async (t) => {
  const { seen, errors, write, look } = await setUp(t)
  seen.failure = trackerError('TRACKER_CONFIG_UNREADABLE', 'cannot read list: EMFILE')
  write()
  for (let i = 0; i < 3; i++) await look()
  assert.deepEqual([seen.loads, errors], [4, ['cannot read list: EMFILE']])
  seen.failure = undefined
  await look()
  assert.equal(seen.loads, 5)
  await look()
  assert.equal(seen.loads, 5)
})
