/**
 * What a call leaves behind on the V8 heap, and what is still held there.
 *
 * Whether a number beyond 32 bits that one function returns to another becomes an object depends on what the compiler inlines, which depends
 * on the order and the load of a run. So a test of garbage runs in a process of its own that inlines nothing, compiles at once and has room
 * for all garbage of a measurement: there it is the same each time, and a bound that holds there holds wherever.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const CHILD = 'SEEDBED_TEST_OF_GARBAGE'
const FLAGS = [
  '--expose-gc',
  '--no-turbo-inlining',
  '--no-concurrent-recompilation',
  '--single-threaded-gc',
  '--min-semi-space-size=64',
  '--max-semi-space-size=64',
]
/** Of a measurement, so that all its garbage stays where it can be seen. */
const MOST_BYTES = 48 * 2 ** 20
const ATTEMPTS = 30

/**
 * A test that runs in such a process. `url` is the module it stands in, before all tests that make stores: a process that has reserved
 * gigabytes is not always allowed to fork.
 */
export function garbageTest(name: string, url: string, body: () => void): void {
  test(name, () => {
    if (process.env[CHILD] !== undefined) {
      body()
      return
    }
    const env: NodeJS.ProcessEnv = { ...process.env, [CHILD]: '1' }
    // Neither a part of this run's report, nor instrumented.
    for (const key of ['NODE_TEST_CONTEXT', 'NODE_V8_COVERAGE', 'NODE_OPTIONS']) delete env[key]
    const pattern = `^${name.replace(/[^\w ]/g, '\\$&')}$`
    const file = fileURLToPath(url)
    const child = spawnSync(
      process.execPath,
      [...FLAGS, '--test-reporter=tap', `--test-name-pattern=${pattern}`, file],
      { env, encoding: 'utf8' },
    )
    assert.ifError(child.error)
    assert.equal(child.status, 0, child.stdout + child.stderr)
    assert.match(child.stdout, /^# pass 1$/m, 'it ran')
  })
}

/**
 * Heap bytes that a call of `run`, which stands for `calls` calls, leaves behind: the least of some attempts, because as long
 * as the compiler has something to say there is garbage of its own. Ends early when it is less than one byte.
 */
export function garbageOf(calls: number, run: () => void): number {
  const collect = collector()
  let least = Number.POSITIVE_INFINITY
  for (let attempt = 0; attempt < ATTEMPTS && least >= 1; attempt++) {
    collect()
    const before = process.memoryUsage().heapUsed
    run()
    const grown = process.memoryUsage().heapUsed - before
    assert.ok(grown < MOST_BYTES, 'a measurement that ends before a collection')
    least = Math.min(least, grown / calls)
  }
  return least
}

/** Bytes held on the heap and in buffers, after collections: the second ends the sweeping of buffers that the first began. */
export function heldBytes(): number {
  const collect = collector()
  collect()
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Collects all garbage, now. */
function collector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}
