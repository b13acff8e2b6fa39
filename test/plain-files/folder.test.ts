/** Folders of ordinary files: where content lies, what strangers' names cannot do, what changed underneath. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { SeedbedError, seededRandom, systemClock, toHex } from '../../src/base/index.ts'
import type { TorrentInfo } from '../../src/metainfo/index.ts'
import { scrubTorrent } from '../../src/node/index.ts'
import { openPlainFolder, type PlainFolder } from '../../src/plain-files/index.ts'
import { describedAs } from '../node/described.ts'
import { torrentOf } from '../torrent-store/torrent.ts'

const PIECE_BYTES = 16 * 1024
const clock = systemClock
let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'seedbed-files-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const open = (): Promise<PlainFolder> => openPlainFolder(join(root, 'dir'), { clock, create: true })
const hasCode =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof SeedbedError && error.code === code

interface Sample {
  readonly info: TorrentInfo
  readonly content: Uint8Array
}

function sample(name = 'sample', seed = 1): Sample {
  const content = new Uint8Array(5 * PIECE_BYTES + 100)
  seededRandom(seed).fill(content)
  const info = torrentOf(content, PIECE_BYTES, name, [
    { path: ['a'], bytes: PIECE_BYTES + 10 },
    { path: ['.pad', '1'], bytes: 20, padding: true },
    { path: ['sub', 'b'], bytes: 2 * PIECE_BYTES },
    { path: ['sub', 'empty'], bytes: 0 },
    { path: ['sub', 'c'], bytes: 2 * PIECE_BYTES + 70 },
  ])
  content.fill(0, PIECE_BYTES + 10, PIECE_BYTES + 30)
  return { content, info: torrentOf(content, PIECE_BYTES, name, info.files) }
}

async function download(folder: PlainFolder, { info, content }: Sample): Promise<void> {
  const stored = await folder.create(info, info.infoBytes)
  await stored.write(0, content)
  for (let piece = 0; piece < info.pieceCount; piece++) stored.markHave(piece)
}

test('files appear under their names, sparse, with their sizes; padding never, empty ones at the end', async () => {
  const folder = await open()
  const { info, content } = sample()
  const stored = await folder.create(info, info.infoBytes)
  assert.deepEqual(readdirSync(folder.root), ['.seedbed'], 'nothing before the first byte')
  await stored.write(5 * PIECE_BYTES, content.subarray(5 * PIECE_BYTES))
  const place = join(folder.root, 'sample')
  assert.deepEqual(readdirSync(place, { recursive: true }), ['sub', 'sub/c'])
  assert.equal(statSync(join(place, 'sub/c')).size, 2 * PIECE_BYTES + 70)
  await stored.write(0, content.subarray(0, 5 * PIECE_BYTES))
  for (let piece = 0; piece < info.pieceCount; piece++) stored.markHave(piece)
  await folder.close()
  assert.deepEqual((readdirSync(place, { recursive: true }) as string[]).sort(), [
    'a',
    'sub',
    'sub/b',
    'sub/c',
    'sub/empty',
  ])
  assert.ok(
    readFileSync(join(place, 'sub/b')).equals(
      content.subarray(PIECE_BYTES + 30, 3 * PIECE_BYTES + 30),
    ),
  )
})

test('nothing that is there is written over: the same name twice, a name of ours, a name that is taken', async () => {
  const folder = await open()
  mkdirSync(join(folder.root, 'taken'))
  writeFileSync(join(folder.root, 'taken', 'a'), 'mine')
  const names: string[] = []
  for (const [name, seed] of [
    ['taken', 1],
    ['.seedbed', 2],
    ['.SEEDBED', 3],
    ['twice', 4],
    ['TWICE', 5],
  ] as const) {
    const one = sample(name, seed)
    await download(folder, one)
    const { place } = folder.get(one.info.infoHash)!
    assert.notEqual(place!.toLowerCase(), '.seedbed')
    if (name !== 'twice') assert.equal(place, `${name}.${toHex(one.info.infoHash).slice(0, 8)}`)
    names.push(place!)
  }
  assert.equal(new Set(names).size, 5)
  await folder.close()
  assert.equal(readFileSync(join(folder.root, 'taken', 'a'), 'utf8'), 'mine')
  assert.deepEqual(readdirSync(join(folder.root, 'taken')), ['a'])
})

test('a name too long for the filesystem gives way to the hash', async () => {
  const folder = await open()
  const one = sample('x'.repeat(250))
  const two = sample('x'.repeat(250), 2)
  await download(folder, one)
  await download(folder, two)
  assert.equal(folder.get(two.info.infoHash)!.place, toHex(two.info.infoHash))
  await folder.close()
})

test('no link leads out: not for a folder, not for a file, not a dangling one; pipes are not opened', async () => {
  const folder = await open()
  const outside = join(root, 'outside')
  mkdirSync(outside)
  writeFileSync(join(outside, 'b'), 'theirs')
  const { info, content } = sample()
  const stored = await folder.create(info, info.infoBytes)
  const place = join(folder.root, 'sample')
  mkdirSync(place)
  symlinkSync(outside, join(place, 'sub'))
  await assert.rejects(
    stored.write(2 * PIECE_BYTES, content.subarray(2 * PIECE_BYTES, 3 * PIECE_BYTES)),
    hasCode('FILES_LINK'),
  )
  await assert.rejects(
    stored.write(4 * PIECE_BYTES, content.subarray(4 * PIECE_BYTES)),
    hasCode('FILES_LINK'),
  )
  assert.equal(readFileSync(join(outside, 'b'), 'utf8'), 'theirs')
  assert.deepEqual(readdirSync(outside), ['b'])
  symlinkSync(join(outside, 'new'), join(place, 'a'))
  await assert.rejects(stored.write(0, content.subarray(0, 100)), hasCode('FILES_LINK'))
  unlinkSync(join(place, 'a'))
  spawnSync('mkfifo', [join(place, 'a')])
  await assert.rejects(stored.write(0, content.subarray(0, 100)), hasCode('FILES_TAKEN'))
  unlinkSync(join(place, 'a'))
  // What is inside may be linked: it is the user's folder.
  unlinkSync(join(place, 'sub'))
  mkdirSync(join(folder.root, 'elsewhere'))
  symlinkSync(join(folder.root, 'elsewhere'), join(place, 'sub'))
  await stored.write(0, content)
  assert.ok(existsSync(join(folder.root, 'elsewhere', 'b')))
  await folder.close()
  // Removing follows no link either.
  const again = await open()
  await again.remove(info.infoHash)
  assert.ok(existsSync(join(again.root, 'elsewhere', 'b')))
  assert.ok(lstatSync(join(place, 'sub')).isSymbolicLink())
  await again.close()
})

const changes: Record<string, (file: string) => void> = {
  'was written to': (file) => writeFileSync(file, Buffer.alloc(PIECE_BYTES + 10)),
  'was touched': (file) => utimesSync(file, new Date(), new Date()),
  'is shorter': (file) => truncateSync(file, 100),
  'is longer': (file) => appendFileSync(file, 'x'),
  'is gone': (file) => unlinkSync(file),
  'is another': (file) => {
    writeFileSync(`${file}.new`, Buffer.alloc(PIECE_BYTES + 10))
    renameSync(`${file}.new`, file)
  },
}
for (const [what, change] of Object.entries(changes)) {
  test(`a file that ${what} is not served before its pieces were hashed again`, async () => {
    const one = sample()
    const folder = await open()
    await download(folder, one)
    await folder.close()
    change(join(folder.root, 'sample', 'a'))

    const lazy = await open()
    await assert.rejects(
      lazy.get(one.info.infoHash)!.read(0, new Uint8Array(10)),
      hasCode('FILES_CHANGED'),
    )
    await lazy.get(one.info.infoHash)!.read(4 * PIECE_BYTES, new Uint8Array(10))
    await lazy.close()

    const again = await open()
    const stored = again.get(one.info.infoHash)!
    const report = await scrubTorrent(again, stored, describedAs(one.info), {
      clock,
      doubtedOnly: true,
    })
    // `a` is piece 0 and the first bytes of piece 1.
    assert.equal(report.checkedPieces, 2)
    const intact = what === 'was touched'
    const whole = intact || what === 'is longer'
    assert.deepEqual(report.rottenPieces, whole ? [] : [0, 1])
    assert.equal(stored.complete, whole)
    if (!whole) {
      // It heals: written anew, it is whole and believed by the next who looks.
      await stored.write(0, one.content.subarray(0, 2 * PIECE_BYTES))
      stored.markHave(0)
      stored.markHave(1)
    }
    await again.close()
    const last = await open()
    assert.deepEqual(await last.get(one.info.infoHash)!.doubted(), [])
    const bytes = new Uint8Array(one.content.length)
    await last.get(one.info.infoHash)!.read(0, bytes)
    assert.ok(Buffer.compare(bytes, one.content) === 0)
    await last.close()
  })
}

test('a check that is cut short forgets nothing: what it did not come to is in doubt still', async () => {
  const one = sample()
  const folder = await open()
  await download(folder, one)
  await folder.close()
  for (const name of ['a', 'sub/b', 'sub/c']) {
    utimesSync(join(root, 'dir/sample', name), new Date(), new Date(1e12))
  }
  const again = await open()
  const stored = again.get(one.info.infoHash)!
  const signal = AbortSignal.abort('SIGINT')
  await assert.rejects(
    scrubTorrent(again, stored, describedAs(one.info), { clock, signal }),
    hasCode('INTERRUPTED'),
  )
  assert.equal(stored.have.count, 0, 'nothing of it is believed')
  await again.close()

  const last = await open()
  const same = last.get(one.info.infoHash)!
  await assert.rejects(same.read(0, new Uint8Array(10)), hasCode('FILES_CHANGED'))
  const report = await scrubTorrent(last, same, describedAs(one.info), { clock })
  assert.equal(report.checkedPieces, one.info.pieceCount)
  assert.ok(same.complete)
  assert.deepEqual(await same.doubted(), [])
  await last.close()
  const whole = await open()
  await whole.get(one.info.infoHash)!.read(0, new Uint8Array(10))
  await whole.close()
})

test('notes that are damaged cost a check, or the torrent, and never a wrong piece', async () => {
  const one = sample()
  const two = sample('other', 2)
  const folder = await open()
  await download(folder, one)
  await download(folder, two)
  await folder.close()
  const note = (info: TorrentInfo, kind: string): string =>
    join(folder.root, '.seedbed', `${toHex(info.infoHash)}.${kind}`)
  for (const path of [note(one.info, 'have'), note(two.info, 'info')]) {
    const bytes = readFileSync(path)
    bytes[bytes.length >> 1]! ^= 1
    writeFileSync(path, bytes)
  }
  const again = await open()
  assert.deepEqual(
    again.problems.map(({ infoHash, error }) => [infoHash, error.code]),
    [[toHex(two.info.infoHash), 'FILES_STATE']],
  )
  const stored = again.get(one.info.infoHash)!
  assert.equal(stored.have.count, 0)
  await scrubTorrent(again, stored, describedAs(one.info), { clock, doubtedOnly: true })
  assert.ok(stored.complete)
  await again.close()
})

test('what is shared from where it lies is never written or deleted', async () => {
  const { info, content } = sample()
  const source = join(root, 'source')
  mkdirSync(join(source, 'sub'), { recursive: true })
  writeFileSync(join(source, 'a'), content.subarray(0, PIECE_BYTES + 10))
  mkdirSync(join(source, '.pad'))
  writeFileSync(join(source, '.pad', '1'), new Uint8Array(20))
  writeFileSync(join(source, 'sub/b'), content.subarray(PIECE_BYTES + 30, 3 * PIECE_BYTES + 30))
  writeFileSync(join(source, 'sub/empty'), '')
  writeFileSync(join(source, 'sub/c'), content.subarray(3 * PIECE_BYTES + 30))
  const times = info.files.map((file) => statSync(join(source, ...file.path)).mtimeMs)
  const folder = await open()
  await assert.rejects(
    folder.share(
      info,
      source,
      times.map((time) => time - 5),
    ),
    hasCode('FILES_CHANGED'),
  )
  assert.equal(folder.get(info.infoHash), undefined)
  const stored = await folder.share(info, source, times)
  assert.ok(stored.complete)
  const bytes = new Uint8Array(content.length)
  await stored.read(0, bytes)
  assert.ok(Buffer.compare(bytes, content) === 0)
  await assert.rejects(stored.write(0, bytes), hasCode('FILES_SHARED'))
  assert.equal(stored.usedBytes, 0)
  await folder.remove(info.infoHash)
  assert.ok(readFileSync(join(source, 'a')).equals(content.subarray(0, PIECE_BYTES + 10)))
  assert.deepEqual(readdirSync(join(folder.root, '.seedbed')), [])
  await folder.close()
})

test('removing takes its own files and the folders left empty, and nothing else', async () => {
  const one = sample()
  const folder = await open()
  await download(folder, one)
  await folder.sync()
  writeFileSync(join(folder.root, 'sample', 'sub', 'mine'), 'x')
  await folder.remove(one.info.infoHash)
  assert.deepEqual(readdirSync(join(folder.root, 'sample'), { recursive: true }), [
    'sub',
    'sub/mine',
  ])
  await folder.close()
})

test('a removal that was cut short is finished when the folder is opened next', async () => {
  const one = sample()
  const folder = await open()
  await download(folder, one)
  await folder.close()
  const notes = join(folder.root, '.seedbed')
  const key = toHex(one.info.infoHash)
  renameSync(join(notes, `${key}.info`), join(notes, `${key}.removed`))
  const again = await open()
  assert.equal([...again.torrents()].length, 0)
  assert.deepEqual(readdirSync(again.root, { recursive: true }), ['.seedbed'])
  await again.close()
})

test('many small files are open a few at a time', async () => {
  const folder = await open()
  const content = new Uint8Array(500 * 100)
  seededRandom(3).fill(content)
  const files = Array.from({ length: 500 }, (_, i) => ({ path: [`${i % 7}`, `${i}`], bytes: 100 }))
  const info = torrentOf(content, PIECE_BYTES, 'many', files)
  const stored = await folder.create(info, info.infoBytes)
  await stored.write(0, content)
  assert.ok(folder.files.open <= 128, `${folder.files.open} are open`)
  for (let piece = 0; piece < info.pieceCount; piece++) stored.markHave(piece)
  await folder.close()
  assert.equal(folder.files.open, 0)
  const again = await open()
  assert.deepEqual(await again.get(info.infoHash)!.doubted(), [])
  const bytes = new Uint8Array(content.length)
  await again.get(info.infoHash)!.read(0, bytes)
  assert.ok(Buffer.compare(bytes, content) === 0)
  await again.close()
})
