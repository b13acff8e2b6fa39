import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { readSource } from '../../src/node/index.ts'

let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'seedbed-source-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const paths = (source: Awaited<ReturnType<typeof readSource>>): string[] =>
  source.entries.map((entry) => entry.path.join('/')).sort()

test('a single file is named by itself', async () => {
  writeFileSync(join(root, 'one.bin'), 'abc')
  const source = await readSource(join(root, 'one.bin'))
  assert.equal(source.name, 'one.bin')
  assert.equal(source.multiFile, false)
  assert.equal(source.totalBytes, 3)
  assert.deepEqual(paths(source), ['one.bin'])
})

test('a folder is walked to the last file; empty files count, empty folders do not', async () => {
  mkdirSync(join(root, 'a/b/c'), { recursive: true })
  mkdirSync(join(root, 'hollow'))
  writeFileSync(join(root, 'a/b/c/deep'), 'deep')
  writeFileSync(join(root, 'empty'), '')
  const source = await readSource(root)
  assert.equal(source.multiFile, true)
  assert.deepEqual(paths(source), ['a/b/c/deep', 'empty'])
  assert.equal(source.totalBytes, 4)
})

test('links count when they stay inside, and are left out when they lead outside or nowhere', async () => {
  const folder = join(root, 'folder')
  mkdirSync(join(folder, 'sub'), { recursive: true })
  writeFileSync(join(root, 'secret'), 'outside')
  writeFileSync(join(folder, 'sub/file'), 'inside')
  symlinkSync('sub/file', join(folder, 'link'))
  symlinkSync('../secret', join(folder, 'out'))
  symlinkSync('nowhere', join(folder, 'dangling'))
  const source = await readSource(folder)
  assert.deepEqual(paths(source), ['link', 'sub/file'])
  assert.deepEqual([...source.skipped].sort(), [join(folder, 'dangling'), join(folder, 'out')])
})

test('a link to a folder above does not go round for ever', async () => {
  mkdirSync(join(root, 'a'))
  writeFileSync(join(root, 'a/file'), 'x')
  symlinkSync('..', join(root, 'a/up'))
  symlinkSync('a', join(root, 'again'))
  const source = await readSource(root)
  // `again` is the folder `a` once more; `up` in either would lead back to where it came from.
  assert.deepEqual(paths(source), ['a/file', 'again/file'])
})

test('what cannot be shared is refused by name', async () => {
  mkdirSync(join(root, 'hollow'))
  await assert.rejects(readSource(join(root, 'none')), { code: 'SOURCE_MISSING' })
  await assert.rejects(readSource(join(root, 'hollow')), { code: 'SOURCE_EMPTY' })
  await assert.rejects(readSource('/dev/null'), { code: 'SOURCE_KIND' })
})
