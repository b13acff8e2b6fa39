/** Torrents move between stores of every kind; cut short, they are whole in one of them and go on. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ManualClock, SeedbedError, seededRandom } from '../../src/base/index.ts'
import { MemoryDevice } from '../../src/block-device/index.ts'
import { formatVolume, mountVolume } from '../../src/filesystem/index.ts'
import { moveTorrent } from '../../src/node/index.ts'
import { openPlainFolder } from '../../src/plain-files/index.ts'
import type { TorrentStore } from '../../src/torrent-store/index.ts'
import { torrentOf } from '../torrent-store/torrent.ts'

const PIECE = 16 * 1024
const clock = new ManualClock(1_000)
const content = new Uint8Array(40 * PIECE + 77)
seededRandom(1).fill(content)
const info = torrentOf(content, PIECE, 'moving', [
  { path: ['a'], bytes: 7 * PIECE + 3 },
  { path: ['b', 'c'], bytes: content.length - 7 * PIECE - 3 },
])

async function volume(): Promise<TorrentStore> {
  const device = new MemoryDevice({ sizeBytes: 64 * 2 ** 20 })
  const options = { clock, random: seededRandom(2) }
  await formatVolume(device, { ...options, blockBytes: 256 * 1024 })
  return mountVolume(device, options)
}

async function fill(store: TorrentStore, holds: (piece: number) => boolean): Promise<void> {
  const stored = await store.create(info, info.infoBytes, Uint8Array.of(5))
  for (let piece = 0; piece < info.pieceCount; piece++) {
    if (!holds(piece)) continue
    await stored.write(piece * PIECE, content.subarray(piece * PIECE, (piece + 1) * PIECE))
    stored.markHave(piece)
  }
  stored.uploadedBytes = 99
  await store.sync()
}

async function assertHolds(store: TorrentStore, holds: (piece: number) => boolean): Promise<void> {
  const stored = store.get(info.infoHash)!
  for (let piece = 0; piece < info.pieceCount; piece++) {
    assert.equal(stored.have.has(piece), holds(piece), `piece ${piece}`)
    if (!holds(piece)) continue
    const right = content.subarray(piece * PIECE, (piece + 1) * PIECE)
    const bytes = new Uint8Array(right.length)
    await stored.read(piece * PIECE, bytes)
    assert.ok(Buffer.compare(bytes, right) === 0, `piece ${piece}`)
  }
}

test('from volume to volume to folder and back, half of it and whole, with what is kept beside it', async () => {
  const root = mkdtempSync(join(tmpdir(), 'seedbed-move-'))
  try {
    for (const holds of [(piece: number) => piece % 3 !== 1, () => true]) {
      const folder = await openPlainFolder(root, { clock, blockBytes: 128 * 1024 })
      const stores = [await volume(), await volume(), folder, await volume()]
      await fill(stores[0]!, holds)
      for (const [at, to] of stores.slice(1).entries()) {
        const from = stores[at]!
        const report = await moveTorrent(from, to, from.get(info.infoHash)!, info)
        assert.deepEqual(report.rottenPieces, [])
        assert.equal(from.get(info.infoHash), undefined)
        await assertHolds(to, holds)
        const stored = to.get(info.infoHash)!
        assert.deepEqual(await stored.readAttributes(), Uint8Array.of(5))
        assert.equal(stored.uploadedBytes, 99)
      }
      for (const store of stores) await store.close()
      assert.deepEqual(readdirSync(root), ['.seedbed'])
    }
  } finally {
    rmSync(root, { recursive: true })
  }
})

test('what is wrong twice, or cannot be read, is left behind and told', async () => {
  const from = await volume()
  await fill(from, () => true)
  const stored = from.get(info.infoHash)!
  const reads = new Map<number, number>()
  const wrong = Object.assign(Object.create(stored) as typeof stored, {
    doubted: async () => [],
    read: async (offset: number, target: Uint8Array) => {
      const before = reads.get(offset) ?? 0
      reads.set(offset, before + 1)
      if (offset === 9 * PIECE) throw new SeedbedError('DEVICE_IO', 'no such sector')
      if (offset === 12 * PIECE && before === 0) throw new SeedbedError('DEVICE_IO', 'not now')
      await stored.read(offset, target)
      if (offset === 15 * PIECE && before === 0) target[5]! ^= 1
      if (offset === 20 * PIECE) target[5]! ^= 1
    },
    readLayers: () => stored.readLayers(),
    readAttributes: () => stored.readAttributes(),
  })
  for (const key of ['have', 'infoHash', 'pieceCount', 'pieceBytes', 'totalBytes'] as const) {
    Object.defineProperty(wrong, key, { value: stored[key] })
  }
  for (const key of ['uploadedBytes', 'downloadedBytes'] as const) {
    Object.defineProperty(wrong, key, { value: stored[key] })
  }
  const to = await volume()
  const report = await moveTorrent(from, to, wrong, info)
  assert.deepEqual(report.rottenPieces, [9, 20])
  assert.equal(report.movedPieces, info.pieceCount - 2)
  await assertHolds(to, (piece) => piece !== 20 && piece !== 9)
  await from.close()
  await to.close()
})

test('what is in doubt because somebody touched its files comes along when it is right', async () => {
  const root = mkdtempSync(join(tmpdir(), 'seedbed-move-'))
  try {
    const before = await openPlainFolder(root, { clock })
    await fill(before, () => true)
    await before.close()
    const file = join(root, 'moving', 'b', 'c')
    const bytes = readFileSync(file)
    // The last piece of it is another one now.
    bytes[bytes.length - 1]! ^= 1
    writeFileSync(file, bytes)
    const from = await openPlainFolder(root, { clock })
    const to = await volume()
    const report = await moveTorrent(from, to, from.get(info.infoHash)!, info)
    assert.deepEqual(report.rottenPieces, [info.pieceCount - 1])
    await assertHolds(to, (piece) => piece < info.pieceCount - 1)
    await from.close()
    await to.close()
  } finally {
    rmSync(root, { recursive: true })
  }
})

test('cut short, it is in both places, and moving it again goes on', async () => {
  const from = await volume()
  const to = await volume()
  await fill(from, () => true)
  const controller = new AbortController()
  await assert.rejects(
    moveTorrent(from, to, from.get(info.infoHash)!, info, {
      signal: controller.signal,
      onProgress: (bytes) => {
        if (bytes > 10 * PIECE) controller.abort()
      },
    }),
    (error) => error instanceof SeedbedError && error.code === 'INTERRUPTED',
  )
  await assertHolds(from, () => true)
  const had = to.get(info.infoHash)!.have.count
  assert.ok(had > 5 && had < info.pieceCount)
  const report = await moveTorrent(from, to, from.get(info.infoHash)!, info)
  assert.equal(report.movedPieces, info.pieceCount - had)
  await assertHolds(to, () => true)
  assert.equal(from.get(info.infoHash), undefined)
  await from.close()
  await to.close()
})
