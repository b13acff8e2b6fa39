/** Notes as files: what is there, what is damaged, and what a crash between two steps leaves. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { toHex } from '../../src/base/index.ts'
import type { HaveNote, InfoNote } from '../../src/plain-files/notes.ts'
import { NotesFolder } from '../../src/plain-files/notes-folder.ts'

const HASH = new Uint8Array(20).fill(0xab)
const OTHER = new Uint8Array(20).fill(0x12)
const INFO: InfoNote = {
  infoBytes: new Uint8Array([1, 2, 3]),
  attributes: new Uint8Array([4]),
  totalBytes: 1000,
  pieceBytes: 100,
  addedAtMs: 7,
  place: 'content',
  root: undefined,
}
const HAVE: HaveNote = {
  have: new Uint8Array([0xff, 0x80]),
  uploadedBytes: 5,
  downloadedBytes: 6,
  records: new BigUint64Array([10n, 20n]),
}
const NO_LAYERS = new Uint8Array(0)

let root = ''
let notes = new NotesFolder('', false)
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'seedbed-notes-'))
  notes = new NotesFolder(root, false)
  mkdirSync(notes.path)
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const add = (layers = NO_LAYERS, onBarrier: () => void = () => {}): Promise<void> =>
  notes.add(HASH, INFO, layers, onBarrier)
/** A copy: the note itself lies in memory that is used again. */
const have = (): Promise<HaveNote | null | undefined> =>
  notes.peekHave(HASH, 2, (note) => (note ? { ...note, have: Uint8Array.from(note.have) } : note))
const damage = (kind: string): void => {
  const path = join(notes.path, `${toHex(HASH)}.${kind}`)
  const bytes = readFileSync(path)
  bytes[bytes.length - 2]! ^= 1
  writeFileSync(path, bytes)
}

test('what is noted is read again', async () => {
  await add(new Uint8Array([9, 9]))
  assert.deepEqual(await notes.list(), [{ infoHash: HASH, isRemoved: false }])
  const read = await notes.readInfo(HASH)
  assert.deepEqual([...read.infoBytes], [1, 2, 3])
  assert.deepEqual([...read.attributes], [4])
  assert.deepEqual([read.totalBytes, read.pieceBytes, read.addedAtMs], [1000, 100, 7])
  assert.equal(await notes.peekInfo(HASH, ({ place }) => place), 'content')
  assert.deepEqual([...(await notes.readLayers(HASH))], [9, 9])
  assert.equal(await have(), undefined)
  await notes.writeHave(HASH, HAVE)
  assert.deepEqual(await have(), HAVE)
  await notes.writeAttributes(HASH, new Uint8Array([5, 5]))
  assert.deepEqual([...(await notes.readInfo(HASH)).attributes], [5, 5])
  assert.deepEqual([...(await notes.readInfo(HASH)).infoBytes], [1, 2, 3])
})

test('what is damaged is told from what is not there', async () => {
  await add(new Uint8Array([9]))
  await notes.writeHave(HASH, HAVE)
  assert.equal(await notes.peekHave(HASH, 3, (note) => note), null, 'of another torrent')
  for (const kind of ['info', 'have', 'layers']) damage(kind)
  await assert.rejects(notes.readInfo(HASH), { code: 'FILES_STATE' })
  await assert.rejects(
    notes.peekInfo(HASH, () => {}),
    { code: 'FILES_STATE' },
  )
  assert.equal(await have(), null)
  assert.equal((await notes.readLayers(HASH)).length, 0)
  assert.equal((await notes.readLayers(OTHER)).length, 0)
})

test('a torrent that begins has nothing of an earlier life, and is there with its last step alone', async () => {
  await notes.writeHave(HASH, HAVE)
  await notes.writeLayers(HASH, new Uint8Array([1]))
  await add(NO_LAYERS, () => assert.deepEqual(readdirSync(notes.path), []))
  assert.equal(await have(), undefined)
  assert.equal((await notes.readLayers(HASH)).length, 0)
})

test('a removal that is cut short is listed until it is finished', async () => {
  await add(new Uint8Array([9]))
  await notes.writeHave(HASH, HAVE)
  await notes.beginRemoval(HASH)
  assert.deepEqual(await notes.list(), [{ infoHash: HASH, isRemoved: true }])
  assert.equal((await notes.readRemoved(HASH))?.place, 'content')
  damage('removed')
  assert.equal(await notes.readRemoved(HASH), undefined)
  await notes.endRemoval(HASH)
  assert.deepEqual(readdirSync(notes.path), [])
})

test('other files are nobody’s notes', async () => {
  for (const name of ['folder', 'x.info', `${toHex(HASH)}.info.new`, `${toHex(HASH)}0.info`]) {
    writeFileSync(join(notes.path, name), '')
  }
  assert.deepEqual(await notes.list(), [])
})

test('nothing is written where the folder is only read', async () => {
  await add()
  const reader = new NotesFolder(root, true)
  const refused = { code: 'FILES_READ_ONLY' }
  await assert.rejects(reader.writeAttributes(HASH, new Uint8Array(1)), refused)
  await assert.rejects(reader.writeLayers(HASH, new Uint8Array(1)), refused)
  assert.deepEqual([...(await reader.readInfo(HASH)).attributes], [4])
})
