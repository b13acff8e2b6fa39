/** The files of a torrent as one range of bytes, and what has to be true of them before they are used. */
import assert from 'node:assert/strict'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import fc from 'fast-check'
import { systemClock } from '../../src/base/index.ts'
import type { TorrentFile } from '../../src/metainfo/index.ts'
import { ContentFiles } from '../../src/plain-files/content-files.ts'
import { DirectWrites } from '../../src/plain-files/direct-writes.ts'
import { FileRecords } from '../../src/plain-files/file-records.ts'
import { OpenFiles } from '../../src/plain-files/open-files.ts'

let root = ''
let host = { files: new OpenFiles(4), directWrites: new DirectWrites(systemClock) }
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'seedbed-content-')))
  host = { files: new OpenFiles(4), directWrites: new DirectWrites(systemClock) }
})
afterEach(async () => {
  await host.files.closeAll()
  rmSync(root, { recursive: true, force: true })
})

const NO_RECORDS = new BigUint64Array(0)
type Size = readonly [name: string, bytes: number, more?: Partial<TorrentFile>]

function contentOf(
  sizes: readonly Size[],
  noted: BigUint64Array = NO_RECORDS,
  name = 'content',
): ContentFiles {
  let offset = 0
  const files = sizes.map(([path, bytes, more]): TorrentFile => {
    const file = { path: path.split('/'), bytes, offset, padding: false, ...more }
    offset += bytes
    return file
  })
  const info = { files, totalBytes: offset, multiFile: true }
  return new ContentFiles(host, info, noted, join(root, name), root)
}

/** As after a restart: files are opened anew, with what was noted of them. */
async function again(sizes: readonly Size[], noted: BigUint64Array): Promise<ContentFiles> {
  await host.files.closeAll()
  return contentOf(sizes, noted)
}

const SIZES: readonly Size[] = [
  ['a', 1_000],
  ['.pad/24', 24, { padding: true }],
  ['sub/b', 500],
  ['sub/empty', 0],
]
const bytesOf = (count: number, value: number): Uint8Array => new Uint8Array(count).fill(value)
const changed = { code: 'FILES_CHANGED' }

test('what was written is read again, wherever files begin and end; filler is zeros', async () => {
  const sizes = fc.array(
    fc.record({
      bytes: fc.nat(40),
      kind: fc.constantFrom<Partial<TorrentFile>>({}, {}, {}, { padding: true }),
    }),
    { minLength: 1, maxLength: 12 },
  )
  const write = fc.tuple(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 }))
  let run = 0
  await fc.assert(
    fc.asyncProperty(sizes, fc.array(write, { maxLength: 10 }), async (drawn, writes) => {
      const named = drawn.map(({ bytes, kind }, i): Size => [`${i % 3}/${i}`, bytes, kind])
      const content = contentOf(named, NO_RECORDS, `run ${run++}`)
      const { totalBytes, files } = content
      const model = new Uint8Array(totalBytes)
      // So that each file is there.
      await content.write(0, model)
      for (const [from, count, value] of writes) {
        const offset = from % (totalBytes + 1)
        const bytes = bytesOf(count % (totalBytes - offset + 1), value)
        model.set(bytes, offset)
        await content.write(offset, bytes)
      }
      for (const { offset, bytes, padding } of files) {
        if (padding) model.fill(0, offset, offset + bytes)
      }
      const target = bytesOf(totalBytes, 77)
      await content.read(0, target)
      assert.deepEqual(target, model)
    }),
    { seed: 1, numRuns: 60 },
  )
})

test('a file is made, of its full size, with its first byte; empty ones with the last of the others', async () => {
  const content = contentOf(SIZES)
  assert.deepEqual(readdirSync(root), [])
  await content.write(1_024, bytesOf(1, 5))
  assert.deepEqual(readdirSync(join(root, 'content'), { recursive: true }).sort(), ['sub', 'sub/b'])
  assert.equal(statSync(join(root, 'content/sub/b')).size, 500)
  await content.makeDurable(false)
  assert.ok(!existsSync(join(root, 'content/sub/empty')))
  await content.write(0, bytesOf(1_000, 6))
  await content.makeDurable(true)
  assert.equal(readFileSync(join(root, 'content/sub/empty')).length, 0)
  assert.ok(!existsSync(join(root, 'content/.pad')))
})

test('a file is noted when its data is durable, and not before', async () => {
  const content = contentOf(SIZES)
  const { records } = content
  await content.write(0, bytesOf(1_000, 1))
  assert.ok(content.isWritten)
  assert.ok(!records.isNoted(0))
  await content.makeDurable(false)
  assert.ok(!content.isWritten)
  const { size, mtimeNs } = statSync(join(root, 'content/a'), { bigint: true })
  assert.ok(records.isAsNoted(0, { size, mtimeNs }))
  assert.ok(!records.isNoted(2))
})

for (const [what, meddle, why] of [
  ['is gone', (path: string) => unlinkSync(path), /is not there any more/],
  ['was cut', (path: string) => truncateSync(path, 999), /was changed by somebody else/],
  ['was touched', (path: string) => utimesSync(path, 1, 1), /was changed by somebody else/],
] as const) {
  test(`a file that ${what} since it was noted is not used until it was looked at anew`, async () => {
    const before = contentOf(SIZES)
    await before.write(0, bytesOf(1_000, 1))
    await before.makeDurable(false)
    const after = await again(SIZES, before.records.words())
    meddle(join(root, 'content/a'))
    const target = new Uint8Array(900)
    await assert.rejects(after.read(0, target), { ...changed, message: why })
    await assert.rejects(after.write(0, target), { ...changed, message: why })
    assert.equal(await after.recheck(0), false)
    await after.write(0, bytesOf(900, 2))
    await after.read(0, target)
    assert.deepEqual(target, bytesOf(900, 2))
  })
}

test('a file that is as it was noted is used, and says so when it is looked at anew', async () => {
  const before = contentOf(SIZES)
  await before.write(1_024, bytesOf(500, 3))
  await before.makeDurable(false)
  const after = await again(SIZES, before.records.words())
  const target = new Uint8Array(500)
  await after.read(1_024, target)
  assert.deepEqual(target, bytesOf(500, 3))
  assert.equal(await after.recheck(2), true)
  assert.equal(await after.recheck(0), false)
})

test('a file that was never written is not read; one that a crash left behind is taken, in its full size', async () => {
  const content = contentOf(SIZES)
  await assert.rejects(content.read(0, new Uint8Array(1)), { ...changed, message: /never written/ })
  await content.write(0, bytesOf(1, 1))
  const after = await again(SIZES, NO_RECORDS)
  truncateSync(join(root, 'content/a'), 10)
  await after.write(5, bytesOf(1, 9))
  assert.equal(statSync(join(root, 'content/a')).size, 1_000)
})

test('what was written elsewhere is adopted as it was then, or not at all', async () => {
  const path = join(root, 'content')
  writeFileSync(path, bytesOf(1_000, 4))
  const files = [{ path: ['content'], bytes: 1_000, offset: 0, padding: false }]
  const info = { files, totalBytes: 1_000, multiFile: false }
  const content = new ContentFiles(host, info, NO_RECORDS, path, path)
  const { records } = content
  const { mtimeMs } = statSync(path)
  await assert.rejects(content.adopt(0, mtimeMs - 5), changed)
  assert.ok(!records.isNoted(0))
  await content.adopt(0, mtimeMs)
  assert.ok(records.isNoted(0))
  truncateSync(path, 999)
  await assert.rejects(content.adopt(0, statSync(path).mtimeMs), changed)
})

test('records of another number of files are not believed', () => {
  const { records } = contentOf(SIZES, new BigUint64Array([1n, 2n]))
  for (const index of SIZES.keys()) assert.ok(!records.isNoted(index))
})

test('a file in doubt is noted so that it is found as noted by nobody', () => {
  const records = new FileRecords(3, NO_RECORDS)
  const found = { size: 10n, mtimeNs: 20n }
  for (const index of [0, 1, 2]) records.note(index, found)
  const noted = new FileRecords(3, records.words([1]))
  assert.deepEqual(
    [0, 1, 2].map((index) => [noted.isNoted(index), noted.isAsNoted(index, found)]),
    [
      [true, true],
      [true, false],
      [true, true],
    ],
  )
  assert.ok(records.isAsNoted(1, found), 'the records themselves stay as they are')
  records.note(1, undefined)
  assert.ok(!records.isNoted(1))
})
