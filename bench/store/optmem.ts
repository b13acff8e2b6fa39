/**
 * The original in the same run: the benchmarks that its own module brings, through Go's module commands, with one
 * thread and with two. Undefined, and a line that says why, where Go is missing or the modules cannot be had.
 */
import { spawnSync } from 'node:child_process'
import { cpSync } from 'node:fs'
import { join } from 'node:path'

const MODULE = 'github.com/mrd0ll4r/chihaya-optmem-peerstore'
/** The API that it needs is chihaya's of September 2018. */
const CHIHAYA = 'github.com/chihaya/chihaya@96d0c3d'
const PEER = new URL('../../../bench/peers/optmem-go', import.meta.url).pathname

export interface GoResults {
  readonly version: string
  /** ns of an operation by name, with one thread and with two. */
  readonly one: ReadonlyMap<string, number>
  readonly two: ReadonlyMap<string, number>
}

export function runOptmem(
  directory: string,
  quick: boolean,
  log: (text: string) => void,
): GoResults | undefined {
  const go = (...args: string[]) =>
    spawnSync('go', args, { cwd: join(directory, 'optmem-go'), encoding: 'utf8' })
  const version = spawnSync('go', ['version'], { encoding: 'utf8' })
  if (version.error !== undefined) {
    log('optmem: skipped, Go is not installed')
    return undefined
  }
  cpSync(PEER, join(directory, 'optmem-go'), { recursive: true })
  const got = go('get', '-t', `${MODULE}/optmem@a46e971`, CHIHAYA)
  if (got.status !== 0) {
    log(`optmem: skipped, its modules cannot be had: ${got.stderr.trim().split('\n').at(-1)}`)
    return undefined
  }
  const time = quick ? '10ms' : '1s'
  const run = go(
    'test',
    '-run',
    'NONE',
    '-bench',
    '.',
    '-benchtime',
    time,
    '-cpu',
    '1,2',
    `${MODULE}/optmem`,
  )
  if (run.status !== 0) {
    log(`optmem: skipped, it does not run: ${run.stderr.trim().split('\n').at(-1)}`)
    return undefined
  }
  return { version: version.stdout.trim(), ...parseGo(run.stdout) }
}

/** `BenchmarkPut` is one thread, `BenchmarkPut-2` two. */
export function parseGo(output: string): Pick<GoResults, 'one' | 'two'> {
  const one = new Map<string, number>()
  const two = new Map<string, number>()
  for (const [, name, cpus, ns] of output.matchAll(
    /^Benchmark([\w/]+?(?:-peers-to-\d+-buckets)?)(-2)?\s+\d+\s+([\d.]+) ns\/op/gm,
  )) {
    ;(cpus === undefined ? one : two).set(name!, Number(ns))
  }
  return { one, two }
}
