/** docs/limits.md names constants: each must be one of the code's. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'

const repository = new URL('../../../', import.meta.url)

test('every constant that the page of limits names is there', () => {
  const page = readFileSync(new URL('docs/limits.md', repository), 'utf8')
  const source = readdirSync(new URL('src', repository), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.c?ts$/.test(name))
    .map((name) => readFileSync(new URL(`src/${name}`, repository), 'utf8'))
    .join('\n')
  const named = [...page.matchAll(/`([A-Z][A-Z0-9_]+)`/g)].map((match) => match[1]!)
  const constants = named.filter((name) => !name.startsWith('METAINFO_'))
  assert.ok(constants.length > 20)
  const missing = constants.filter((name) => !new RegExp(`const ${name}\\b`).test(source))
  assert.deepEqual(missing, [])
})
