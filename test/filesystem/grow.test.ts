/** A volume takes what its device gained; the crash states of it are in crash.test.ts. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MemoryDevice, SimulatedDevice } from '../../src/block-device/index.ts'
import { formatVolume, fsck, growVolume, mountVolume } from '../../src/filesystem/index.ts'
import {
  again,
  assertFsckClean,
  assertVerifies,
  BLOCK,
  formatOptions,
  freshVolume,
  hasCode,
  KIB,
  mountOptions,
  putPiece,
  sample,
} from './support.ts'

const LARGE_BYTES = 20 * BLOCK

const wider = (device: MemoryDevice, sizeBytes: number): MemoryDevice =>
  new MemoryDevice({ sizeBytes, sectorBytes: device.sectorBytes, image: device.image })

test('torrents stay, and what is new is free, whatever the sizes', async () => {
  const sizes = fc.record({
    blocks: fc.integer({ min: 8, max: 40 }),
    more: fc.array(fc.integer({ min: 0, max: 30 * BLOCK }), { minLength: 1, maxLength: 3 }),
    sectorBytes: fc.constantFrom(512, 4096),
  })
  await fc.assert(
    fc.asyncProperty(sizes, async ({ blocks, more, sectorBytes }) => {
      let device = new MemoryDevice({ sizeBytes: blocks * BLOCK, sectorBytes })
      await formatVolume(device, formatOptions({ sectorBytes }))
      const from = sample(1, 3 * BLOCK + 77, 16 * KIB)
      let volume = await mountVolume(device, mountOptions())
      const stored = await volume.create(from, from.info)
      for (const piece of [0, 5, 12]) await putPiece(stored, from, piece)
      await volume.close()
      for (const bytes of more) {
        device = wider(device, device.sizeBytes + bytes)
        const { blocksBefore, blocksAfter } = await growVolume(device)
        assert.equal(blocksBefore, blocks)
        assert.equal(blocksAfter, Math.floor(device.sizeBytes / BLOCK))
        await assertFsckClean(device)
        volume = await mountVolume(again(device), mountOptions())
        const stats = volume.stats()
        assert.equal(stats.totalBlocks, blocksAfter)
        assert.equal(stats.freeBlocks + stats.dataBlocks + stats.metadataBlocks, blocksAfter)
        assert.equal(volume.get(from.infoHash)!.have.count, 3)
        await assertVerifies(volume.get(from.infoHash)!, from)
        await volume.close()
        blocks = blocksAfter
      }
    }),
    { numRuns: 30, seed: 20261122 },
  )
})

test('every new block can be used, by either allocator', async () => {
  for (const allocator of ['sequential', 'ordered'] as const) {
    const { device, volume } = await freshVolume(8)
    await volume.close()
    const large = wider(device, 20 * BLOCK)
    await growVolume(large)
    const grown = await mountVolume(large, mountOptions({ allocator }))
    const from = sample(2, 18 * BLOCK, BLOCK)
    const stored = await grown.create(from, from.info)
    for (let piece = 0; piece < from.pieces; piece++) await putPiece(stored, from, piece)
    assert.equal(grown.stats().freeBlocks, 0)
    await grown.sync()
    await assertVerifies(stored, from)
    await grown.close()
    await assertFsckClean(again(large))
  }
})

test('both copies of the header know: rot of either costs no block', async () => {
  const { device, volume } = await freshVolume(8)
  await volume.close()
  for (const place of [0, BLOCK - 512]) {
    const large = wider(device, LARGE_BYTES)
    await growVolume(large)
    const image = large.image.copy()
    image.write(place, new Uint8Array(512).fill(0xee))
    const hurt = new MemoryDevice({ sizeBytes: LARGE_BYTES, image })
    const mounted = await mountVolume(hurt, mountOptions())
    assert.equal(mounted.stats().totalBlocks, 20)
    await mounted.close()
  }
})

test('one rotten copy of the header is no hindrance, and is whole afterwards', async () => {
  for (const place of [0, BLOCK - 512]) {
    const { device, volume } = await freshVolume(8)
    await volume.close()
    device.image.write(place, new Uint8Array(512).fill(0xee))
    const large = wider(device, LARGE_BYTES)
    assert.equal((await growVolume(large)).blocksAfter, 20)
    assert.deepEqual((await fsck(large)).problems, [])
  }
})

test('the end of the device no longer looks like what it was before', async () => {
  const { device, volume } = await freshVolume(8)
  await volume.close()
  const large = wider(device, 40 * BLOCK)
  large.image.write(40 * BLOCK - 512, Buffer.from('EFI PART'))
  await growVolume(large)
  const sector = new Uint8Array(512)
  large.image.read(40 * BLOCK - 512, sector)
  assert.ok(sector.every((byte) => byte === 0))
})

test('without room for another block nothing is written', async () => {
  const { volume, device } = await freshVolume(8)
  await volume.close()
  const image = device.image.copy()
  const simulated = new SimulatedDevice({ sizeBytes: 9 * BLOCK - 512, image })
  assert.deepEqual(await growVolume(simulated), {
    blockBytes: BLOCK,
    blocksBefore: 8,
    blocksAfter: 8,
  })
  assert.deepEqual(simulated.log, [])
})

test('what is smaller, foreign, read-only or newer is refused', async () => {
  const { device, volume } = await freshVolume(8)
  await volume.close()
  const { image } = device
  const open = (sizeBytes: number, readOnly = false): MemoryDevice =>
    new MemoryDevice({ sizeBytes, image, readOnly })
  await assert.rejects(growVolume(open(7 * BLOCK)), hasCode('FS_DEVICE_SHRUNK'))
  await assert.rejects(growVolume(open(9 * BLOCK, true)), hasCode('FS_READ_ONLY'))
  const sectors = new MemoryDevice({ sizeBytes: 9 * BLOCK, sectorBytes: 4096, image })
  await assert.rejects(growVolume(sectors), hasCode('FS_SECTOR'))
  const blank = new MemoryDevice({ sizeBytes: 9 * BLOCK })
  await assert.rejects(growVolume(blank), hasCode('FS_FOREIGN'))
  await assert.rejects(growVolume(open(2 ** 32 * BLOCK)), hasCode('FS_GEOMETRY'))
})

test('whichever operation fails, once or for good, the volume has its old size or its new one', async () => {
  const { device, volume } = await freshVolume(8)
  const from = sample(1, 2 * BLOCK, BLOCK)
  const stored = await volume.create(from, from.info)
  await putPiece(stored, from, 0)
  await volume.close()
  let failures = 0
  for (const forever of [false, true]) {
    for (let at = 0; ; at++) {
      const simulated = new SimulatedDevice({ sizeBytes: LARGE_BYTES, image: device.image.copy() })
      simulated.fault = { at, forever }
      const grown = await growVolume(simulated).then(
        () => true,
        (error: unknown) => {
          assert.ok(hasCode('FS_FAILED', 'DEVICE_IO', 'FS_FOREIGN')(error), String(error))
          return false
        },
      )
      const { read, write, flush } = simulated.counts
      simulated.fault = undefined
      const mounted = await mountVolume(simulated, mountOptions())
      const { totalBlocks } = mounted.stats()
      assert.ok(grown ? totalBlocks === 20 : totalBlocks === 8 || totalBlocks === 20)
      await assertVerifies(mounted.get(from.infoHash)!, from)
      await mounted.close()
      if (!grown) failures++
      else if (at >= read + write + flush) break
    }
  }
  assert.ok(failures >= 10, `${failures} failures`)
})

test('a mounted volume takes what its device gains, while it is read and written', async () => {
  for (const allocator of ['sequential', 'ordered'] as const) {
    const { device, volume: first } = await freshVolume(8)
    await first.close()
    const open = again(device)
    const volume = await mountVolume(open, mountOptions({ allocator }))
    const from = sample(3, 60 * BLOCK, BLOCK)
    const stored = await volume.create(from, from.info)
    let piece = 0
    const fill = async (): Promise<void> => {
      while (volume.stats().freeBlocks > 0) await putPiece(stored, from, piece++)
      await assert.rejects(putPiece(stored, from, piece), hasCode('FS_FULL'))
    }
    await fill()
    assert.deepEqual(await volume.grow(), { blockBytes: BLOCK, blocksBefore: 8, blocksAfter: 8 })
    for (const blocks of [9, 31, 32, 33, 50]) {
      open.realBytes = blocks * BLOCK + 512
      const [report] = await Promise.all([
        volume.grow(),
        volume.sync(),
        assertVerifies(stored, from),
      ])
      assert.equal(report.blocksAfter, blocks)
      assert.equal(volume.stats().totalBlocks, blocks)
      assert.equal(volume.room().totalBytes, blocks * BLOCK)
      await fill()
      await volume.sync()
      await assertFsckClean(again(open))
    }
    await volume.close()
    const mounted = await mountVolume(again(open), mountOptions())
    assert.equal(mounted.stats().totalBlocks, 50)
    await assertVerifies(mounted.get(from.infoHash)!, from)
    await mounted.close()
  }
})

test('a growth that fails gives no block away, and leaves a volume that mounts', async () => {
  for (let at = 0; at < 8; at++) {
    const { device, volume: first } = await freshVolume(8)
    await first.close()
    const open = new SimulatedDevice({ sizeBytes: 8 * BLOCK, image: device.image, record: false })
    const volume = await mountVolume(open, mountOptions())
    open.realBytes = 20 * BLOCK
    open.fault = { at, forever: true, kinds: ['write', 'flush'] }
    const grown = await volume.grow().then(
      () => true,
      () => false,
    )
    assert.equal(grown, at >= 6, `fault ${at}`)
    assert.equal(volume.stats().totalBlocks, grown ? 20 : 8)
    open.fault = undefined
    // The first of them wrote nothing but zeros where nobody looks: the volume goes on.
    assert.equal(volume.failure === undefined, at === 0 || grown, `fault ${at}`)
    await volume.close()
    const after = new MemoryDevice({ sizeBytes: 20 * BLOCK, image: open.image })
    await assertFsckClean(after)
    const mounted = await mountVolume(after, mountOptions())
    assert.ok([8, 20].includes(mounted.stats().totalBlocks))
    await mounted.close()
  }
})

test('a volume that is read-only does not grow', async () => {
  const { device, volume } = await freshVolume(8)
  await volume.close()
  const open = again(device)
  const mounted = await mountVolume(open, mountOptions({ readOnly: true }))
  open.realBytes = 20 * BLOCK
  await assert.rejects(mounted.grow(), hasCode('FS_READ_ONLY'))
})
