/** Blocks that uploads are served from: shared reads, a bound that pinned blocks respect, no stale byte. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../src/base/index.ts'
import { Disks } from '../../src/engine/disk.ts'
import { Geometry } from '../../src/engine/geometry.ts'
import { type ReadBlock, ReadCache, ReadSource, readBytesFor } from '../../src/engine/read-cache.ts'
import { type FakeStored, fakeVolume } from './fake-volume.ts'
import { makeContent } from './swarm.ts'

const BLOCK = 65_536
const PIECE = 16_384

async function source(
  totalBytes: number,
  holds: (piece: number) => boolean,
  pieceBytes = PIECE,
  blockBytes = BLOCK,
): Promise<{
  bytes: Uint8Array
  stored: FakeStored
  source: ReadSource
  reads: () => number
  errors: Error[]
}> {
  const content = makeContent(totalBytes, pieceBytes, seededRandom(3))
  const volume = fakeVolume(blockBytes)
  const stored = (await volume.create(content.info, content.info.infoBytes)) as FakeStored
  stored.data.set(content.bytes)
  stored.written.fill(1)
  for (let i = 0; i < stored.pieceCount; i++) if (holds(i)) stored.markHave(i)
  let reads = 0
  const read = stored.read.bind(stored)
  stored.read = (offset, target) => {
    reads++
    return read(offset, target)
  }
  const errors: Error[] = []
  const geometry = new Geometry(totalBytes, pieceBytes, blockBytes)
  return {
    bytes: content.bytes,
    stored,
    source: new ReadSource(stored, geometry, (error) => errors.push(error)),
    reads: () => reads,
    errors,
  }
}

const cacheOf = (blocks: number): ReadCache =>
  new ReadCache(blocks * BLOCK, BLOCK, (bytes) => new Uint8Array(bytes), new Disks<ReadBlock>())

async function settle(): Promise<void> {
  for (let i = 0; i < 6; i++) await new Promise((resolve) => setImmediate(resolve))
}

test('readers of one block share one read', async () => {
  const cache = cacheOf(4)
  const { source: torrent, bytes, reads } = await source(10 * BLOCK, () => true)
  let told = 0
  for (let i = 0; i < 5; i++) cache.load(torrent, BLOCK + i * 100, { onBlock: () => told++ })
  assert.equal(cache.get(torrent, BLOCK, 100), undefined)
  await settle()
  assert.equal(reads(), 1)
  assert.equal(told, 5)
  const block = cache.get(torrent, BLOCK + 5, 1000)!
  assert.deepEqual(block.cell!.bytes.slice(5, 1005), bytes.slice(BLOCK + 5, BLOCK + 1005))
})

test('the memory is bounded; what is pinned stays, what was used last stays longest', async () => {
  const cache = cacheOf(3)
  const { source: torrent, bytes } = await source(20 * BLOCK, () => true)
  cache.load(torrent, 0, undefined)
  await settle()
  const pinned = cache.get(torrent, 0, 10)!
  cache.pin(pinned)
  for (let i = 1; i < 12; i++) {
    cache.load(torrent, i * BLOCK, undefined)
    await settle()
  }
  assert.equal(cache.made, 3)
  assert.deepEqual(pinned.cell!.bytes.slice(0, 100), bytes.slice(0, 100))
  assert.ok(cache.get(torrent, 11 * BLOCK, 1) !== undefined)
  assert.equal(cache.get(torrent, BLOCK, 1), undefined)
})

test('when all is pinned a reader waits for the first to be let go', async () => {
  const cache = cacheOf(2)
  const { source: torrent } = await source(20 * BLOCK, () => true)
  for (const number of [0, 1]) cache.load(torrent, number * BLOCK, undefined)
  await settle()
  const blocks = [0, 1].map((number) => cache.get(torrent, number * BLOCK, 1)!)
  for (const block of blocks) cache.pin(block)
  let told = 0
  cache.load(torrent, 5 * BLOCK, { onBlock: () => told++ })
  await settle()
  assert.equal(told, 0)
  cache.unpin(blocks[1]!)
  await settle()
  assert.equal(told, 1)
  assert.ok(cache.get(torrent, 5 * BLOCK, 1) !== undefined)
  assert.equal(cache.made, 2)
})

test('of a torrent in progress only pieces on the volume are kept, and read again when more came', async () => {
  const cache = cacheOf(4)
  const { source: torrent, stored, bytes } = await source(4 * BLOCK, (piece) => piece === 1)
  stored.data.fill(0xee, 2 * PIECE, 3 * PIECE)
  cache.load(torrent, PIECE, undefined)
  await settle()
  assert.ok(cache.get(torrent, PIECE, PIECE) !== undefined)
  assert.equal(cache.get(torrent, PIECE, PIECE + 1), undefined, 'piece 2 is not there')
  stored.data.set(bytes)
  stored.markHave(2)
  assert.equal(cache.get(torrent, 2 * PIECE, PIECE), undefined, 'not what the block held before')
  cache.load(torrent, 2 * PIECE, undefined)
  await settle()
  const block = cache.get(torrent, 2 * PIECE, PIECE)!
  const at = 2 * PIECE - block.from
  assert.deepEqual(block.cell!.bytes.slice(at, at + PIECE), bytes.slice(2 * PIECE, 3 * PIECE))
})

test('a block is as large as a piece, within bounds', () => {
  const KIB = 1024
  const pieces = [16, 64, 65, 256, 320, 512, 16_384].map((kib) => readBytesFor(kib * KIB) / KIB)
  assert.deepEqual(pieces, [64, 64, 128, 256, 512, 512, 512])
})

test('blocks of other sizes are evicted by the slab; one with a pinned block stays', async () => {
  const SLAB = 512 * 1024
  const memory = (bytes: number): Uint8Array => new Uint8Array(bytes)
  const cache = new ReadCache(2 * SLAB, SLAB, memory, new Disks<ReadBlock>())
  const { source: small } = await source(2 * SLAB, () => true, SLAB / 8, SLAB)
  const { source: large, bytes } = await source(4 * SLAB, () => true, SLAB, SLAB)
  for (let at = 0; at < 2 * SLAB; at += SLAB / 8) cache.load(small, at, undefined)
  await settle()
  assert.equal(small.blocks.size, 16, 'eight to a slab')
  const pinned = cache.get(small, 0, 10)!
  cache.pin(pinned)
  for (const number of [0, 1, 2]) {
    cache.load(large, number * SLAB, undefined)
    await settle()
    const block = cache.get(large, number * SLAB, SLAB)!
    assert.deepEqual(block.cell!.bytes, bytes.slice(number * SLAB, (number + 1) * SLAB))
  }
  assert.equal(cache.made, 2)
  assert.equal(small.blocks.size, 8, 'the slab with the pinned block')
  cache.unpin(pinned)
  cache.load(small, SLAB + SLAB / 8, undefined)
  await settle()
  assert.equal(large.blocks.size, 1, 'the least recent of its size makes room')
})

test('a read that fails is told, and its memory comes back', async () => {
  const cache = cacheOf(2)
  const { source: torrent, stored, errors } = await source(4 * BLOCK, () => true)
  const read = stored.read
  stored.read = async () => {
    throw new Error('no such sector')
  }
  for (const number of [0, 1, 2]) cache.load(torrent, number * BLOCK, undefined)
  await settle()
  assert.equal(errors.length, 3)
  stored.read = read
  cache.load(torrent, 0, undefined)
  await settle()
  assert.ok(cache.get(torrent, 0, 1) !== undefined)
})

test('a dropped torrent gives its memory to others, even what was being read', async () => {
  const cache = cacheOf(2)
  const a = await source(4 * BLOCK, () => true)
  const b = await source(4 * BLOCK, () => true)
  cache.load(a.source, 0, undefined)
  cache.load(a.source, BLOCK, undefined)
  cache.drop(a.source)
  await settle()
  for (const number of [0, 1]) cache.load(b.source, number * BLOCK, undefined)
  await settle()
  assert.ok(cache.get(b.source, BLOCK, 1) !== undefined)
  assert.equal(cache.get(a.source, 0, 1), undefined)
  assert.equal(cache.made, 2)
})
