/**
 * The proof of the proof: the compiled engine is copied, one thing in it is broken, and small swarms run
 * on the copy until one of them notices (many-swarms.ts).
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Mutant {
  readonly what: string
  /** In dist/src/engine. */
  readonly file: string
  /** Must match once. */
  readonly text: RegExp
  readonly instead: string
}

export const MUTANTS: readonly Mutant[] = [
  {
    what: 'a piece is believed without its hash',
    file: 'stripe-cache.js',
    text: /#isRight\(piece, finding\) \{/,
    instead: '#isRight(piece, finding) { if (finding !== undefined) return true;',
  },
  {
    what: 'a spanning piece is held before all of it is written',
    file: 'stripe-cache.js',
    text: /if \(span\.unwritten > 0 \|\| !span\.verified\)/,
    instead: 'if (!span.verified)',
  },
  {
    what: 'a stripe on its way to the disk is taken for one that is not',
    file: 'stripe-writes.js',
    text: /stripe\.writing = true;/,
    instead: '',
  },
  {
    what: 'what a peer owed that went away is not asked of others',
    file: 'picker.js',
    text: /this\.releaseAll\(peer\);\s+for/,
    instead: 'peer.outstanding = 0; for',
  },
  {
    what: 'memory is given back while it is hashed',
    file: 'stripe-cache.js',
    text: /this\.#running\.get\(piece\)\?\.cancel\(\);/,
    instead: '',
  },
  {
    what: 'nobody is told when a buffer is free again',
    file: 'stripe-pool.js',
    text: /this\.#free\.push\(buffer\);\s+this\.#wake\(\);/,
    instead: 'this.#free.push(buffer); this.#waiting.clear();',
  },
  {
    what: 'the end of a chunk that lies in two stripes is lost',
    file: 'stripe-cache.js',
    text: /copyBytes\(stripe\.buffer, 0, carried\.bytes\);/,
    instead: '',
  },
  {
    what: 'a piece that failed is not asked for again',
    file: 'picker.js',
    text: /extent\.freePiece\(piece\);/,
    instead: '',
  },
]

const dist = fileURLToPath(new URL('../..', import.meta.url))

/** What the swarms say to `mutant`; undefined when `count` of them notice nothing. */
export async function tryMutant(mutant: Mutant, count: number): Promise<string | undefined> {
  const copy = mkdtempSync(join(tmpdir(), 'seedbed-swarms-'))
  try {
    for (const room of ['src', 'test/engine', 'test/metainfo']) {
      cpSync(join(dist, room), join(copy, 'dist', room), { recursive: true })
    }
    symlinkSync(join(dist, '../node_modules'), join(copy, 'node_modules'))
    writeFileSync(join(copy, 'package.json'), '{"type":"module"}')
    const path = join(copy, 'dist/src/engine', mutant.file)
    const code = readFileSync(path, 'utf8')
    assert.equal(code.split(mutant.text).length, 2, `${mutant.what}: the text is there once`)
    writeFileSync(path, code.replace(mutant.text, mutant.instead))
    return await failureOf(join(copy, 'dist/test/engine/prove-swarms.js'), count)
  } finally {
    rmSync(copy, { recursive: true })
  }
}

function failureOf(program: string, count: number): Promise<string | undefined> {
  const options = { env: { ...process.env, NODE_TEST_CONTEXT: '' }, maxBuffer: 2 ** 24 }
  return new Promise((resolve) => {
    execFile(process.execPath, [program, '--count', `${count}`], options, (error, out, err) => {
      if (error === null) resolve(undefined)
      else
        resolve(
          /^seed \d+: .*$/m.exec(out)?.[0] ?? /Error[^\n:]*: .*/.exec(err)?.[0] ?? 'it crashed',
        )
    })
  })
}
