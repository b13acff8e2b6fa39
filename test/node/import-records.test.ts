/** What `up` remembers of its sources: believed when nothing changed, and harmless when others changed it. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { seededRandom } from '../../src/base/index.ts'
import { ImportRecords } from '../../src/node/import-records.ts'
import { readSource } from '../../src/node/source.ts'
import { mutate } from '../mutate.ts'

const HASH = new Uint8Array(20).fill(0xab)

async function setUp(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'seedbed-records-'))
  t.after(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'content'), 'content')
  const path = join(folder, 'imports.json')
  const source = await readSource(join(folder, 'content'))
  await (await ImportRecords.load(path)).remember(source, 'v1', HASH)
  return { path, source }
}

test('a source is known again, in the format that it was imported in', async (t) => {
  const { path, source } = await setUp(t)
  const records = await ImportRecords.load(path)
  assert.deepEqual(records.find(source, 'v1'), HASH)
  assert.equal(records.find(source, 'v2'), undefined)
  const changed = { ...source, entries: source.entries.map((entry) => ({ ...entry, bytes: 8 })) }
  assert.equal(records.find(changed, 'v1'), undefined)
})

test('records changed at random name an info-hash or nothing', async (t) => {
  const { path, source } = await setUp(t)
  const good = await readFile(path)
  const random = seededRandom(28)
  const hash = Buffer.from(HASH).toString('hex')
  for (let round = 0; round < 600; round++) {
    const changed = mutate(Buffer.from(hash), random, 100).toString('latin1')
    const text = good.toString().replace(hash, changed.replaceAll(/["\\]/g, ''))
    await writeFile(path, round % 2 === 0 ? mutate(good, random, 2000) : text)
    const found = (await ImportRecords.load(path)).find(source, 'v1')
    assert.ok(found === undefined || found.length === HASH.length)
  }
})
