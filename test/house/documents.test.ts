import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { EXIT } from '../../src/cli/exit-codes.ts'
import { DOCUMENTS, ERROR_TABLES } from './documents.ts'

const repository = new URL('../../../', import.meta.url)

for (const [path, render] of Object.entries(DOCUMENTS)) {
  test(`${path} says what the code says (npm run documents)`, () => {
    assert.equal(readFileSync(new URL(path, repository), 'utf8'), render())
  })
}

test('no two rooms declare the same code', () => {
  const codes = Object.values(ERROR_TABLES).flatMap((table) => Object.keys(table))
  assert.ok(codes.length > 30)
  assert.equal(new Set(codes).size, codes.length)
})

test('an exit status has one meaning', () => {
  assert.equal(new Set(Object.values(EXIT)).size, Object.keys(EXIT).length)
})

test('every document that the README links to exists', () => {
  const readme = readFileSync(new URL('README.md', repository), 'utf8')
  const links = [...readme.matchAll(/\]\(([^)#]+)[^)]*\)/g)].map((match) => match[1]!)
  const local = links.filter((link) => !/^[a-z]+:/.test(link))
  assert.ok(local.length > 5)
  for (const link of local) readFileSync(new URL(link, repository))
})

test('the README is short enough to be read', () => {
  const readme = readFileSync(new URL('README.md', repository), 'utf8')
  assert.ok(readme.split('\n').length <= 150)
})
