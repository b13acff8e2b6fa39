/** What a mounted volume promises, one behaviour a test; every test ends with a clean fsck. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { seededRandom } from '../../src/base/index.ts'
import {
  allocateAligned,
  type BlockDevice,
  MemoryDevice,
  openFileDevice,
  SimulatedDevice,
  SparseImage,
} from '../../src/block-device/index.ts'
import { formatVolume, mountVolume } from '../../src/filesystem/index.ts'
import {
  again,
  assertFsckClean,
  assertVerifies,
  BLOCK,
  formatOptions,
  freshVolume,
  hasCode,
  KIB,
  MIB,
  mountOptions,
  putPiece,
  sample,
} from './support.ts'

describe('a torrent on a volume', () => {
  test('is there after remounting, with its data, have-bits, totals, info and attributes', async () => {
    const { device, volume } = await freshVolume()
    const from = sample(1, 5 * BLOCK + 1000, 32 * KIB)
    const stored = await volume.create(from, from.info, from.attributes)
    for (const piece of [0, 3, 7, from.pieces - 1]) await putPiece(stored, from, piece)
    stored.uploadedBytes = 12_345
    stored.downloadedBytes = 2 ** 40 + 1
    await volume.close()

    const second = await mountVolume(again(device), mountOptions())
    const found = second.get(from.infoHash)!
    assert.deepEqual([...second.torrents()], [found])
    assert.deepEqual(
      Array.from({ length: from.pieces }, (_, i) => found.have.has(i)).flatMap((h, i) =>
        h ? [i] : [],
      ),
      [0, 3, 7, from.pieces - 1],
    )
    assert.equal(found.uploadedBytes, 12_345)
    assert.equal(found.downloadedBytes, 2 ** 40 + 1)
    assert.equal(found.addedAtMs, 5_000)
    assert.equal(found.allocatedBlocks, 4)
    assert.deepEqual(await found.readInfo(), from.info)
    assert.deepEqual(await found.readAttributes(), from.attributes)
    await assertVerifies(found, from)
    await second.close()
    await assertFsckClean(again(device))
  })

  test('reading what was never written is refused', async () => {
    const { volume } = await freshVolume()
    const from = sample(1, 3 * BLOCK, BLOCK)
    const stored = await volume.create(from, from.info)
    await putPiece(stored, from, 1)
    assert.equal(stored.mapped(BLOCK, BLOCK), true)
    assert.equal(stored.mapped(BLOCK - 1, 2), false)
    await assert.rejects(stored.read(0, new Uint8Array(1)), hasCode('FS_HOLE'))
    await assert.rejects(stored.read(2 * BLOCK - 1, new Uint8Array(2)), hasCode('FS_HOLE'))
    assert.throws(() => stored.markHave(0), hasCode('FS_HOLE'))
    await volume.close()
  })

  test('ranges of any alignment are written and read', async () => {
    const { device, volume } = await freshVolume()
    const from = sample(2, 4 * BLOCK + 777, BLOCK)
    const stored = await volume.create(from, from.info)
    const cuts = [0, 1, 511, 512, 1000, 70 * 512 + 3, BLOCK - 1, BLOCK, BLOCK + 513, 2 * BLOCK]
    cuts.push(3 * BLOCK, 3 * BLOCK + 5, 4 * BLOCK, 4 * BLOCK + 777)
    const parts = cuts.slice(1).map((end, i) => [cuts[i]!, end] as const)
    for (const [start, end] of [...parts].reverse())
      await stored.write(start, from.bytes(start, end - start))
    for (const memory of [new Uint8Array(from.totalBytes), allocateAligned(from.totalBytes)]) {
      await stored.read(0, memory)
      assert.ok(Buffer.from(memory).equals(Buffer.from(from.bytes(0, from.totalBytes))))
    }
    for (const [start, end] of parts) {
      const target = new Uint8Array(end - start)
      await stored.read(start, target)
      assert.ok(Buffer.from(target).equals(Buffer.from(from.bytes(start, end - start))))
    }
    await volume.close()
    await assertFsckClean(again(device))
  })

  test('a chunk in a fresh block writes that chunk, not the block', async () => {
    const { device, volume } = await freshVolume()
    const from = sample(2, 4 * BLOCK, BLOCK)
    const stored = await volume.create(from, from.info)
    const written: number[] = []
    const write = device.write.bind(device)
    device.write = (offset, source) => {
      written.push(source.length)
      return write(offset, source)
    }
    await stored.write(16 * KIB, from.bytes(16 * KIB, 16 * KIB))
    assert.deepEqual(written, [16 * KIB])
    await volume.close()
  })

  test('gives way with its data to changes of metadata that follow each other', async () => {
    for (let seed = 1; seed <= 4; seed++) {
      const image = new SparseImage()
      const device = new SimulatedDevice({
        sizeBytes: 64 * BLOCK,
        image,
        jitter: seededRandom(seed),
      })
      await formatVolume(device, formatOptions())
      device.reopen()
      const volume = await mountVolume(device, mountOptions())
      const first = sample(1, 8 * BLOCK, 32 * KIB)
      const stored = await volume.create(first, first.info)
      await putPiece(stored, first, 0)
      const from = device.log.length
      const others = [2, 3].map((number) => sample(number, BLOCK, 32 * KIB))
      const changes = [volume.create(others[0]!, others[0]!.info)]
      // The first is being written by now.
      while (device.log.length === from) await null
      changes.push(volume.create(others[1]!, others[1]!.info))
      const sync = volume.sync()
      const writes = [2, 3, 4].map((block) =>
        stored.write(block * BLOCK, first.bytes(block * BLOCK, BLOCK)),
      )
      await Promise.all([...changes, sync, ...writes])
      const kinds = device.log
        .slice(from)
        .flatMap((event) => (event.kind === 'write' ? [event.data.length < BLOCK] : []))
      assert.equal(kinds.lastIndexOf(true) < kinds.indexOf(false), true, `seed ${seed}: ${kinds}`)
      await volume.close()
      device.reopen()
      await assertFsckClean(device)
    }
  })

  test('writes to one block at once leave each its bytes', async () => {
    const { volume } = await freshVolume()
    const from = sample(3, 2 * BLOCK, BLOCK)
    const stored = await volume.create(from, from.info)
    const parts = Array.from({ length: 100 }, (_, i) => i * 100)
    await Promise.all(parts.map((at) => stored.write(at, from.bytes(at, 100))))
    const target = new Uint8Array(10_000)
    await stored.read(0, target)
    assert.deepEqual(target, from.bytes(0, 10_000))
    await volume.close()
  })

  test('is refused where the arguments make no sense', async () => {
    const { volume } = await freshVolume()
    const from = sample(3, 2 * BLOCK, BLOCK)
    const stored = await volume.create(from, from.info)
    await assert.rejects(stored.write(BLOCK, new Uint8Array(BLOCK + 1)), hasCode('FS_RANGE'))
    await assert.rejects(stored.write(2 * BLOCK, new Uint8Array(1)), hasCode('FS_RANGE'))
    await assert.rejects(stored.read(-1, new Uint8Array(1)), hasCode('FS_RANGE'))
    assert.throws(() => stored.markHave(2), hasCode('FS_RANGE'))
    assert.throws(() => stored.markHave(0.5), hasCode('FS_RANGE'))
    await assert.rejects(volume.create(from, from.info), hasCode('FS_EXISTS'))
    const other = sample(4, 2 * BLOCK, BLOCK)
    await assert.rejects(volume.create(other, from.info), hasCode('FS_INFO_ROTTEN'))
    await assert.rejects(
      volume.create({ ...other, totalBytes: 0 }, other.info),
      hasCode('FS_RANGE'),
    )
    await assert.rejects(
      volume.create({ ...other, pieceBytes: 1 }, other.info),
      hasCode('FS_GEOMETRY'),
    )
    await assert.rejects(volume.remove(other.infoHash), hasCode('FS_UNKNOWN_TORRENT'))
    await volume.close()
  })

  test('info dictionaries longer than the largest slot are chained', async () => {
    const { device, volume } = await freshVolume()
    const from = sample(5, BLOCK, BLOCK, 3 * BLOCK + 17)
    await volume.create(from, from.info, from.attributes)
    await volume.close()
    const second = await mountVolume(again(device), mountOptions())
    const found = second.get(from.infoHash)!
    assert.deepEqual(await found.readInfo(), from.info)
    assert.deepEqual(await found.readAttributes(), from.attributes)
    await second.close()
    await assertFsckClean(again(device))
  })

  test('empty attributes, and an info dictionary that fills its sectors to the byte', async () => {
    const { volume } = await freshVolume()
    for (const length of [1, 496 - 16, 496 - 16 + 1, 2 * 496 - 16, 4 * 496 - 16]) {
      const from = sample(length, BLOCK, BLOCK, length)
      const stored = await volume.create(from, from.info)
      assert.deepEqual(await stored.readInfo(), from.info)
      assert.equal((await stored.readAttributes()).length, 0)
    }
    await volume.close()
  })
})

describe('room', () => {
  test('a removed torrent gives all its blocks and slots back', async () => {
    const { device, volume } = await freshVolume()
    const before = volume.stats()
    for (let round = 0; round < 3; round++) {
      const from = sample(round, 10 * BLOCK, BLOCK)
      const stored = await volume.create(from, from.info)
      for (let piece = 0; piece < 10; piece++) await putPiece(stored, from, piece)
      await volume.sync()
      await volume.remove(from.infoHash)
      assert.equal(volume.get(from.infoHash), undefined)
      assert.deepEqual(volume.stats(), before)
      await assert.rejects(stored.read(0, new Uint8Array(1)), hasCode('FS_REMOVED'))
      await assert.rejects(stored.write(0, new Uint8Array(1)), hasCode('FS_REMOVED'))
    }
    await volume.close()
    await assertFsckClean(again(device))
  })

  test('a full volume refuses, keeps what it has, and takes again after a removal', async () => {
    const { device, volume } = await freshVolume(8)
    const big = sample(1, 20 * BLOCK, BLOCK)
    const stored = await volume.create(big, big.info)
    let piece = 0
    await assert.rejects(async () => {
      for (; ; piece++) await putPiece(stored, big, piece)
    }, hasCode('FS_FULL'))
    assert.equal(piece, 8 - 1 - volume.stats().metadataBlocks + 1)
    assert.equal(volume.stats().freeBlocks, 0)
    const other = sample(2, 20 * BLOCK, BLOCK, 40_000)
    await assert.rejects(volume.create(other, other.info), hasCode('FS_FULL'))
    await volume.sync()
    await assertVerifies(stored, big)
    await volume.remove(big.infoHash)
    const next = await volume.create(other, other.info)
    await putPiece(next, other, 0)
    await volume.close()
    await assertFsckClean(again(device))
  })

  test('a volume full of blocks being discarded waits for them', async () => {
    const { volume } = await freshVolume(8)
    for (let round = 0; round < 4; round++) {
      const from = sample(round, 4 * BLOCK, BLOCK)
      const stored = await volume.create(from, from.info)
      for (let i = 0; i < 4; i++) await putPiece(stored, from, i)
      await volume.remove(from.infoHash)
      await volume.sync()
    }
    await volume.close()
  })

  test('the root lists as many torrents as it says, and no more', async () => {
    const { device, volume } = await freshVolume(4000, { sectorBytes: 4096, blockBytes: BLOCK })
    const { torrentsMax } = volume.stats()
    assert.equal(torrentsMax, 7 * 255)
    for (let i = 0; i < torrentsMax; i++) {
      const from = sample(i, BLOCK, BLOCK)
      await volume.create(from, from.info)
    }
    const extra = sample(torrentsMax, BLOCK, BLOCK)
    await assert.rejects(volume.create(extra, extra.info), hasCode('FS_ROOT_FULL'))
    await volume.close()
    const second = await mountVolume(again(device), mountOptions())
    assert.equal([...second.torrents()].length, torrentsMax)
    await second.close()
    await assertFsckClean(again(device))
  })
})

describe('staged torrents', () => {
  test('are there, complete, after the commit and not before', async () => {
    const { device, volume } = await freshVolume()
    const from = sample(9, 3 * BLOCK + 5, 16 * KIB)
    const staged = volume.stage(from.totalBytes, from.pieceBytes)
    await staged.write(0, from.bytes(0, BLOCK))
    await assert.rejects(staged.commit(from.infoHash, from.info), hasCode('FS_HOLE'))
    for (let at = BLOCK; at < from.totalBytes; at += BLOCK) {
      await staged.write(at, from.bytes(at, Math.min(BLOCK, from.totalBytes - at)))
    }
    assert.equal([...volume.torrents()].length, 0)
    const stored = await staged.commit(from.infoHash, from.info, from.attributes)
    assert.ok(stored.complete)
    await assert.rejects(staged.write(0, new Uint8Array(1)), hasCode('FS_REMOVED'))
    staged.abort()
    await volume.close()
    const second = await mountVolume(again(device), mountOptions())
    const found = second.get(from.infoHash)!
    assert.ok(found.complete)
    await assertVerifies(found, from)
    await second.close()
    await assertFsckClean(again(device))
  })

  test('give their blocks back when aborted', async () => {
    const { device, volume } = await freshVolume()
    const before = volume.stats()
    const staged = volume.stage(3 * BLOCK, BLOCK)
    await staged.write(BLOCK, new Uint8Array(BLOCK))
    assert.equal(volume.stats().freeBlocks, before.freeBlocks - 1)
    staged.abort()
    await volume.sync()
    assert.deepEqual(volume.stats(), before)
    await volume.close()
    await assertFsckClean(again(device))
  })
})

describe('torrents larger than one i-node', () => {
  const total = 2 ** 39

  test('are mapped by continuations, allocated where something is written', async () => {
    const device = new MemoryDevice({ sizeBytes: 2 ** 32 })
    await formatVolume(device, formatOptions())
    const volume = await mountVolume(device, mountOptions())
    const from = sample(1, total, BLOCK)
    const stored = await volume.create(from, from.info)
    const before = volume.stats().metadataBlocks
    const pieces = [0, 5000, 5_000_000, from.pieces - 1]
    for (const piece of pieces) await putPiece(stored, from, piece)
    assert.equal(volume.stats().metadataBlocks, before + 3)
    await volume.sync()
    await putPiece(stored, from, 5_000_001)
    await volume.close()
    const second = await mountVolume(again(device), mountOptions())
    const found = second.get(from.infoHash)!
    assert.equal(found.have.count, 5)
    for (const piece of [...pieces, 5_000_001]) {
      const target = new Uint8Array(BLOCK)
      await found.read(piece * BLOCK, target)
      assert.deepEqual(target, from.piece(piece))
    }
    await assertFsckClean(again(device))
    await second.remove(from.infoHash)
    assert.equal(second.stats().freeBlocks, 2 ** 32 / BLOCK - 1)
    await second.close()
    await assertFsckClean(again(device))
  })

  // The map is as sparse as the torrent, so the device need not be larger than what is written.
  for (const pebibytes of [1, 4]) {
    for (const kind of ['a sparse image file', 'a device of 4 PiB in memory'] as const) {
      test(`of ${pebibytes} PiB, on ${kind}`, async () => {
        const folder = mkdtempSync(join(tmpdir(), 'seedbed-large-'))
        const memory = new MemoryDevice({ sizeBytes: 2 ** 52 })
        const open = (): Promise<BlockDevice> | MemoryDevice =>
          kind === 'a sparse image file'
            ? openFileDevice(join(folder, 'image'), { create: { bytes: 256 * MIB } })
            : again(memory)
        try {
          const fresh = await open()
          await formatVolume(fresh, formatOptions({ blockBytes: 4 * MIB }))
          await fresh.close()
          const volume = await mountVolume(await open(), mountOptions())
          const from = sample(1, pebibytes * 2 ** 50, 4 * pebibytes * MIB)
          const stored = await volume.create(from, from.info)
          const pieces = [0, from.pieces / 2 - 1, from.pieces / 2, from.pieces - 1]
          for (const piece of pieces) await putPiece(stored, from, piece, 4 * MIB)
          await volume.close()
          const second = await mountVolume(await open(), mountOptions())
          const found = second.get(from.infoHash)!
          assert.equal(found.have.count, pieces.length)
          for (const piece of pieces) {
            const target = new Uint8Array(from.pieceBytes)
            await found.read(piece * from.pieceBytes, target)
            assert.equal(Buffer.compare(target, from.piece(piece)), 0, `piece ${piece}`)
          }
          await assert.rejects(found.read(2 ** 40, new Uint8Array(512)), hasCode('FS_HOLE'))
          await second.close()
          await assertFsckClean(await open())
        } finally {
          rmSync(folder, { recursive: true })
        }
      })
    }
  }
})

describe('the volume', () => {
  test('a read-only mount changes nothing and refuses changes', async () => {
    const { device, volume } = await freshVolume()
    const from = sample(1, BLOCK, BLOCK)
    await putPiece(await volume.create(from, from.info), from, 0)
    await volume.close()
    const locked = new MemoryDevice({
      sizeBytes: device.sizeBytes,
      image: device.image,
      readOnly: true,
    })
    const second = await mountVolume(locked, mountOptions())
    const found = second.get(from.infoHash)!
    await assertVerifies(found, from)
    await assert.rejects(found.write(0, new Uint8Array(1)), hasCode('FS_READ_ONLY'))
    assert.throws(() => found.clearHave(0), hasCode('FS_READ_ONLY'))
    await assert.rejects(second.sync(), hasCode('FS_READ_ONLY'))
    await assert.rejects(second.remove(from.infoHash), hasCode('FS_READ_ONLY'))
    await second.close()
  })

  test('a closed volume refuses; what was asked before is still done', async () => {
    const { device, volume } = await freshVolume()
    const from = sample(1, BLOCK, BLOCK)
    const stored = await volume.create(from, from.info)
    const write = stored.write(0, from.bytes(0, BLOCK))
    const sync = volume.sync()
    const close = volume.close()
    await Promise.all([write, sync, close])
    await assert.rejects(volume.sync(), hasCode('FS_CLOSED'))
    await assert.rejects(stored.read(0, new Uint8Array(1)), hasCode('FS_CLOSED'))
    await assertFsckClean(again(device))
  })

  test('syncs that wait join; a sync with nothing to do writes nothing', async () => {
    const { device, volume } = await freshVolume()
    const from = sample(1, BLOCK, BLOCK)
    await putPiece(await volume.create(from, from.info), from, 0)
    let flushes = 0
    const flush = device.flush.bind(device)
    device.flush = () => {
      flushes++
      return flush()
    }
    await Promise.all([volume.sync(), volume.sync(), volume.sync()])
    assert.equal(flushes, 2)
    await volume.sync()
    assert.equal(flushes, 2)
    await volume.close()
  })

  test('the cursor of the sequential allocator survives the mount', async () => {
    const { device, volume } = await freshVolume()
    const from = sample(1, 8 * BLOCK, BLOCK)
    const stored = await volume.create(from, from.info)
    for (let i = 0; i < 8; i++) await putPiece(stored, from, i)
    const { cursor } = volume.allocatorStats()
    assert.ok(cursor > 8, `at block ${cursor}`)
    await volume.close()
    const second = await mountVolume(again(device), mountOptions())
    assert.equal(second.allocatorStats().cursor, cursor)
    await second.close()
  })
})

test('filler takes no room, reads as zeros and cannot be written', async () => {
  const { device, volume } = await freshVolume()
  const from = sample(900, 10 * BLOCK, 2 * BLOCK)
  const filler = [
    { offset: BLOCK + 5, bytes: 2 * BLOCK },
    { offset: 3 * BLOCK + 5, bytes: BLOCK - 5 },
    { offset: 9 * BLOCK, bytes: BLOCK },
  ]
  const stored = await volume.create(from, from.info, undefined, { filler })
  await stored.write(4 * BLOCK, from.bytes(4 * BLOCK, BLOCK))
  const target = new Uint8Array(2 * BLOCK).fill(1)
  await stored.read(2 * BLOCK, target)
  assert.ok(target.every((byte) => byte === 0))
  await stored.read(9 * BLOCK, target.subarray(0, BLOCK).fill(1))
  assert.ok(target.subarray(0, BLOCK).every((byte) => byte === 0))
  await assert.rejects(stored.write(2 * BLOCK, from.bytes(0, 10)), hasCode('FS_RANGE'))
  // Not wholly filler: nobody has written it yet.
  await assert.rejects(stored.read(BLOCK, target.subarray(0, 10)), hasCode('FS_HOLE'))
  // The blocks 8 and 9 of piece 4: what is not filler of it is enough.
  await stored.write(8 * BLOCK, from.bytes(8 * BLOCK, BLOCK))
  stored.markHave(4)
  assert.equal(stored.allocatedBlocks, 2)
  assert.equal(stored.mapped(9 * BLOCK, BLOCK), true)
  const extents = [...stored.extents()].map(({ block, blocks }) => [block, blocks])
  assert.deepEqual(extents.flat().includes(9), false)
  await volume.close()
  await assertFsckClean(again(device))
  const mounted = await mountVolume(again(device), mountOptions())
  const found = mounted.get(from.infoHash)!
  assert.deepEqual([found.have.count, found.allocatedBlocks], [1, 2])
  await found.read(9 * BLOCK, target.subarray(0, BLOCK).fill(1))
  assert.ok(target.subarray(0, BLOCK).every((byte) => byte === 0))
  await mounted.close()
})

test('what is staged around filler is complete', async () => {
  const { device, volume } = await freshVolume()
  const from = sample(901, 4 * BLOCK, 2 * BLOCK)
  const staged = volume.stage(from.totalBytes, from.pieceBytes, [
    { offset: BLOCK + 100, bytes: BLOCK - 100 },
    { offset: 2 * BLOCK, bytes: BLOCK },
  ])
  for (const block of [0, 1]) await staged.write(block * BLOCK, from.bytes(block * BLOCK, BLOCK))
  await assert.rejects(staged.commit(from.infoHash, from.info), hasCode('FS_HOLE'))
  await staged.write(3 * BLOCK, from.bytes(3 * BLOCK, BLOCK))
  const layers = new Uint8Array(5_000).fill(9)
  const stored = await staged.commit(from.infoHash, from.info, Buffer.from('at'), layers)
  assert.equal(stored.allocatedBlocks, 3)
  assert.deepEqual(Uint8Array.from(await stored.readLayers()), layers)
  await volume.close()
  await assertFsckClean(again(device))
})

test('layers that cannot be kept leave those before', async () => {
  const { volume } = await freshVolume(8)
  const from = sample(902, BLOCK, BLOCK)
  const stored = await volume.create(from, from.info, undefined, { layers: Buffer.from('first') })
  const free = volume.stats().freeBlocks
  await assert.rejects(stored.keepLayers(new Uint8Array(10 * BLOCK)), hasCode('FS_FULL'))
  assert.equal(Buffer.from(await stored.readLayers()).toString(), 'first')
  assert.equal(volume.stats().freeBlocks, free)
  await volume.remove(from.infoHash)
  await assert.rejects(stored.keepLayers(Buffer.from('x')), hasCode('FS_REMOVED'))
  await volume.close()
})
