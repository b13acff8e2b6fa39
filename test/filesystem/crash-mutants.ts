/**
 * The proof of the proof for orders that are not flushes: the compiled filesystem is copied, one order
 * in it is turned round, and the crash tests run against the copy, which must fail. (Flushes are taken
 * out in crash.test.ts, without a copy.)
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Mutant {
  /** What the code defers, or orders. */
  readonly order: string
  /** In dist/src/filesystem. */
  readonly file: string
  /** Must match once. */
  readonly text: RegExp
  readonly instead: string
  /** Arguments of node, in the copy's dist/test/filesystem; default: sequences of two steps. */
  readonly trial?: readonly string[]
}

const SEQUENCES = ['prove.js', 'crash', '--states', '0', '--stop', '--exhaustive', '4']

export const MUTANTS: readonly Mutant[] = [
  {
    order: 'blocks are free only after the removal is durable',
    file: 'volume.js',
    text: /await this\.#clearRootEntry\(index\);\s+(?:\/\/.*\s+)?(this\.promise\(.*\s+)this\.#space\.release\(torrent\.inode\);/,
    instead: `this.#space.release(torrent.inode); this.#space.startDiscards();
      await this.#clearRootEntry(index); $1`,
  },
  {
    order: 'have-bits are captured before the data is flushed',
    file: 'unsynced.js',
    text: /await this\.#writer\.write\(captured\);/,
    instead: 'await this.#writer.write(this.#writer.capture(updates));',
  },
  {
    order: 'a sync that has begun takes nobody else with it',
    file: 'volume.js',
    text: /this\.#waitingSync = undefined;\s+await this\.#syncNow\(\);/,
    instead: 'await this.#syncNow(); this.#waitingSync = undefined;',
  },
  {
    order: 'the current copy of a twin is never written',
    file: 'twins.js',
    text: /return this\.placeOf\(twin, 1 - this\.#current\[twin\]\);/,
    instead: 'return this.placeOf(twin, this.#current[twin]);',
  },
  {
    order: 'a have-bit counts only with all the blocks of its piece',
    file: 'inode.js',
    text: /have\.has\(piece\) && !inode\.pieceMapped\(piece\)/,
    instead: 'false',
    trial: ['--test-name-pattern=spanning pieces', 'crash.test.js'],
  },
]

const ROOMS = [
  'src/base',
  'src/block-device',
  'src/filesystem',
  'test/block-device',
  'test/filesystem',
]

const dist = fileURLToPath(new URL('../..', import.meta.url))

/** What the crash tests say to `mutant`; undefined when they notice nothing. Undefined mutant: as it is. */
export async function tryMutant(mutant: Mutant | undefined): Promise<string | undefined> {
  const copy = mkdtempSync(join(tmpdir(), 'seedbed-mutant-'))
  try {
    for (const room of ROOMS) {
      cpSync(join(dist, room), join(copy, 'dist', room), { recursive: true })
    }
    writeFileSync(join(copy, 'package.json'), '{"type":"module"}')
    if (mutant !== undefined) {
      const path = join(copy, 'dist/src/filesystem', mutant.file)
      const code = readFileSync(path, 'utf8')
      const places = [...code.matchAll(new RegExp(mutant.text, 'g'))].length
      assert.equal(places, 1, `${mutant.order}: the text is there once`)
      writeFileSync(path, code.replace(mutant.text, mutant.instead))
    }
    return await failureOf(mutant?.trial ?? SEQUENCES, join(copy, 'dist/test/filesystem'))
  } finally {
    rmSync(copy, { recursive: true })
  }
}

function failureOf(args: readonly string[], cwd: string): Promise<string | undefined> {
  const options = { cwd, env: { ...process.env, NODE_TEST_CONTEXT: '' }, maxBuffer: 2 ** 26 }
  return new Promise((resolve) => {
    execFile(process.execPath, [...args], options, (error, stdout) => {
      if (error === null) return resolve(undefined)
      const said = /"first":"(.*?)","/.exec(stdout)?.[1] ?? /seed \d+: epoch.*/.exec(stdout)?.[0]
      resolve(said ?? error.message)
    })
  })
}
