/** What goes to files past the page cache: whole blocks, the same bytes, and nothing where a filesystem refuses. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { seededRandom, systemClock } from '../../src/base/index.ts'
import { allocateAligned } from '../../src/block-device/index.ts'
import { DirectWrites, LEAST_DIRECT_BYTES } from '../../src/plain-files/direct-writes.ts'
import { openPlainFolder } from '../../src/plain-files/index.ts'
import { torrentOf } from '../torrent-store/torrent.ts'

const MIB = 2 ** 20
const PIECE_BYTES = 256 * 1024
const linux = process.platform === 'linux'

const failing = (code: string): FileHandle =>
  ({ write: () => Promise.reject(Object.assign(new Error(code), { code })) }) as never

test('large writes of aligned memory to aligned places are direct, but for their tails', () => {
  if (!linux) return
  const direct = new DirectWrites(systemClock)
  const memory = allocateAligned(2 * MIB)
  assert.equal(direct.bytesOf(memory, 4096), 2 * MIB)
  assert.equal(direct.bytesOf(memory.subarray(0, MIB + 100), 0), MIB)
  assert.equal(direct.bytesOf(memory, 100), 0)
  assert.equal(direct.bytesOf(memory.subarray(100), 0), 0)
  assert.equal(direct.bytesOf(memory.subarray(0, LEAST_DIRECT_BYTES - 4096), 0), 0)
  assert.equal(direct.bytesOf(new Uint8Array(2 * MIB), 0), 0)
})

test('a filesystem that refuses is not asked again, whatever wraps its refusal', async () => {
  for (const wrapped of [false, true]) {
    const direct = new DirectWrites(systemClock)
    const memory = allocateAligned(2 * MIB)
    const written = await direct.write(memory, 0, async (action) => {
      try {
        await action(failing('EINVAL'))
      } catch (cause) {
        throw wrapped ? new Error('cannot open', { cause }) : cause
      }
    })
    assert.equal(written, false)
    assert.equal(direct.bytesOf(memory, 0), 0)
  }
})

test('a disk that fails is told, and asked again', async () => {
  const direct = new DirectWrites(systemClock)
  const memory = allocateAligned(2 * MIB)
  await assert.rejects(
    direct.write(memory, 0, (action) => action(failing('EIO'))),
    { code: 'EIO' },
  )
  assert.equal(direct.bytesOf(memory, 0), linux ? 2 * MIB : 0)
})

test('files are the same bytes, wherever they begin and end in a block', async () => {
  const root = mkdtempSync(join(tmpdir(), 'seedbed-files-'))
  try {
    const lengths = [5 * MIB + 8192, 4 * MIB + 100, 6 * MIB + 7]
    const total = lengths.reduce((sum, length) => sum + length, 0)
    const content = new Uint8Array(total)
    seededRandom(7).fill(content)
    const files = lengths.map((bytes, i) => ({ path: [`${i}`], bytes }))
    const info = torrentOf(content, PIECE_BYTES, 'sample', files)
    const folder = await openPlainFolder(root, { clock: systemClock, create: true })
    const stored = await folder.create(info, info.infoBytes)
    const blocks: Promise<void>[] = []
    for (let at = 0; at < total; at += folder.blockBytes) {
      const bytes = allocateAligned(Math.min(folder.blockBytes, total - at))
      bytes.set(content.subarray(at, at + bytes.length))
      // All at once: a file is made by one of them.
      blocks.push(stored.write(at, bytes))
    }
    await Promise.all(blocks)
    const read = new Uint8Array(total)
    await stored.read(0, read)
    assert.deepEqual(read, content)
    for (let piece = 0; piece < stored.pieceCount; piece++) stored.markHave(piece)
    await folder.close()
    let offset = 0
    for (const [i, length] of lengths.entries()) {
      const file = readFileSync(join(root, 'sample', `${i}`))
      assert.ok(file.equals(content.subarray(offset, offset + length)), `file ${i}`)
      offset += length
    }
    const again = await openPlainFolder(root, { clock: systemClock })
    const found = again.get(info.infoHash)!
    assert.ok(found.complete)
    assert.deepEqual(await found.doubted(), [])
    await again.close()
  } finally {
    rmSync(root, { recursive: true })
  }
})
