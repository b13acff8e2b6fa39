/** Notes of a folder: written and read again, and changed by others, with a checksum that is right all the same. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { seededRandom } from '../../src/base/index.ts'
import {
  decodeHaveNote,
  decodeInfoNote,
  decodeLayersNote,
  encodeHaveNote,
  encodeInfoNote,
  encodeLayersNote,
  FILE_RECORD_WORDS,
} from '../../src/plain-files/notes.ts'
import { mutate } from '../mutate.ts'

const HEADER_BYTES = 28
const MAGIC_BYTES = 8

const INFO = {
  infoBytes: Uint8Array.from(Buffer.from('d6:lengthi5e4:name1:ae')),
  attributes: new Uint8Array(0),
  totalBytes: 5,
  pieceBytes: 16_384,
  addedAtMs: 1,
  place: 'a',
  root: undefined,
}
const HAVE = {
  have: Uint8Array.of(0x80),
  uploadedBytes: 3,
  downloadedBytes: 2 ** 40,
  records: new BigUint64Array(2 * FILE_RECORD_WORDS).fill(2n ** 63n),
}

/** As whoever knows the format would write it. */
function seal(content: Uint8Array, magic: Uint8Array): Buffer {
  const digest = createHash('sha1').update(content).digest()
  return Buffer.concat([magic.subarray(0, MAGIC_BYTES), digest, content])
}

test('notes are read as they were written', () => {
  assert.deepEqual(decodeInfoNote(encodeInfoNote(INFO)), INFO)
  assert.deepEqual(decodeHaveNote(encodeHaveNote(HAVE), 1), HAVE)
  assert.equal(decodeHaveNote(encodeHaveNote(HAVE), 2), undefined, 'of another torrent')
  const layers = Uint8Array.of(1, 2, 3)
  assert.deepEqual(decodeLayersNote(encodeLayersNote(layers)), layers)
})

test('notes changed at random are notes or nothing, with their checksum and without', () => {
  const random = seededRandom(17)
  const samples = [encodeInfoNote(INFO), encodeHaveNote(HAVE), encodeLayersNote(new Uint8Array(64))]
  let understood = 0
  for (let round = 0; round < 6000; round++) {
    const sample = samples[round % samples.length]!
    const torn = mutate(sample, random, 4096)
    for (const decode of [decodeInfoNote, decodeLayersNote]) decode(torn)
    decodeHaveNote(torn, 1)
    const sealed = seal(mutate(sample.subarray(HEADER_BYTES), random, 4096), sample)
    const info = decodeInfoNote(sealed)
    if (info !== undefined) {
      assert.ok(info.totalBytes >= 1 && info.pieceBytes >= 1)
      assert.ok((info.place === undefined) !== (info.root === undefined))
    }
    const have = decodeHaveNote(sealed, 1)
    if (have !== undefined) {
      assert.equal(have.have.length, 1)
      assert.equal(have.records.length % FILE_RECORD_WORDS, 0)
    }
    if (info ?? have ?? decodeLayersNote(sealed)) understood++
  }
  assert.ok(understood > 100, `${understood} were still notes`)
})
