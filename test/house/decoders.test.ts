/** docs/internals/testing.md has every decoder of outside input with the test that tries it on changed input: both are there. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'

const repository = new URL('../../../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, repository), 'utf8')

interface Row {
  /** `room/file.ts name`. */
  readonly decoders: readonly string[]
  readonly testFile: string
  readonly title: string
}

const rows: readonly Row[] = read('docs/internals/testing.md')
  .split('\n')
  .filter((line) => / \| .*`.* \| .*\.test\.ts: /.test(line))
  .map((line) => {
    const [, names = '', where = ''] = line.replace(/ \|$/, '').split(' | ')
    const [testFile = '', ...title] = where.split(': ')
    let file = ''
    const decoders: string[] = []
    for (const [, path, name] of names.matchAll(/([\w/-]+\.ts)|`(\w+)`/g)) {
      if (path === undefined) decoders.push(`${file} ${name}`)
      else file = path
    }
    return { decoders, testFile, title: title.join(': ') }
  })

/** Every exported function of that name's kind, but for those of the command line. */
function exported(): string[] {
  const found: string[] = []
  for (const path of readdirSync(new URL('src', repository), {
    recursive: true,
    encoding: 'utf8',
  })) {
    if (!path.endsWith('.ts') || path.startsWith('cli/')) continue
    const names = read(`src/${path}`).matchAll(
      /^export (?:async )?function ((?:decode|parse)\w*)/gm,
    )
    for (const [, name] of names) found.push(`${path} ${name}`)
  }
  return found
}

test('every decoder is in the table of docs/internals/testing.md', () => {
  assert.ok(rows.length > 25)
  const listed = new Set(rows.flatMap(({ decoders }) => decoders))
  const missing = exported().filter((decoder) => !listed.has(decoder))
  assert.deepEqual(missing, [], 'try it on changed input, and name it and that test in the table')
})

test('the decoders and the tests of the table are there', () => {
  for (const { decoders, testFile, title } of rows) {
    for (const decoder of decoders) {
      const [path, name] = decoder.split(' ') as [string, string]
      const source = existsSync(new URL(`src/${path}`, repository)) ? read(`src/${path}`) : ''
      assert.match(source, new RegExp(`^export (async )?(function|class) ${name}\\b`, 'm'), decoder)
    }
    const source = existsSync(new URL(`test/${testFile}`, repository))
      ? read(`test/${testFile}`)
      : ''
    assert.ok(source.includes(`test('${title}'`), `${testFile}: ${title}`)
  }
})
