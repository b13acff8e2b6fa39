/** Mistakes that other implementations of this design made, held here so that this one does not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../src/base/index.ts'
import { MemoryDevice, SimulatedDevice } from '../../src/block-device/index.ts'
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

test('65 torrents: the root list is not cut where an entry was thought to be shorter', async () => {
  const { device, volume } = await freshVolume(256)
  const samples = Array.from({ length: 65 }, (_, i) => sample(i, BLOCK, 16 * KIB))
  for (const from of samples) await putPiece(await volume.create(from, from.info), from, 0)
  await volume.close()
  const second = await mountVolume(again(device), mountOptions())
  for (const from of samples) {
    const stored = second.get(from.infoHash)!
    assert.ok(stored.have.has(0))
    await assertVerifies(stored, from)
  }
  await second.close()
  await assertFsckClean(again(device))
})

test('freeing a slot does not free slot 0 of its block, which is in use', async () => {
  const { device, volume } = await freshVolume(64)
  const samples = Array.from({ length: 4 }, (_, i) => sample(i, BLOCK, 16 * KIB))
  for (const from of samples) await volume.create(from, from.info)
  for (const from of samples.slice(1)) await volume.remove(from.infoHash)
  for (let i = 10; i < 20; i++) {
    const from = sample(i, BLOCK, 16 * KIB)
    await volume.create(from, from.info)
  }
  await volume.close()
  const second = await mountVolume(again(device), mountOptions())
  assert.deepEqual(await second.get(samples[0]!.infoHash)!.readInfo(), samples[0]!.info)
  assert.equal([...second.torrents()].length, 11)
  await second.close()
  await assertFsckClean(again(device))
})

test('block 0 is not handed out, not even first after mkfs', async () => {
  for (const allocator of ['sequential', 'ordered'] as const) {
    const device = new MemoryDevice({ sizeBytes: 8 * BLOCK })
    await formatVolume(device, formatOptions())
    const volume = await mountVolume(device, mountOptions({ allocator }))
    const places: number[] = []
    const write = device.write.bind(device)
    device.write = (offset, source) => {
      places.push(offset)
      return write(offset, source)
    }
    const staged = volume.stage(7 * BLOCK, BLOCK)
    for (let i = 0; i < 7; i++) await staged.write(i * BLOCK, new Uint8Array(BLOCK))
    await assert.rejects(volume.stage(BLOCK, BLOCK).write(0, new Uint8Array(1)), hasCode('FS_FULL'))
    assert.deepEqual(
      places.sort((a, b) => a - b),
      [1, 2, 3, 4, 5, 6, 7].map((b) => b * BLOCK),
    )
    staged.abort()
    await volume.close()
  }
})

test('blocks of a removed torrent are not given out, nor discarded, before it is durably forgotten', async () => {
  const device = new SimulatedDevice({ sizeBytes: 16 * BLOCK, jitter: seededRandom(1) })
  await formatVolume(device, formatOptions())
  const volume = await mountVolume(device, mountOptions({ allocator: 'ordered' }))
  const from = sample(1, 6 * BLOCK, BLOCK)
  const stored = await volume.create(from, from.info)
  for (let piece = 0; piece < 6; piece++) await putPiece(stored, from, piece)
  await volume.sync()
  const begin = device.log.length
  const before = volume.stats().freeBlocks
  const removal = volume.remove(from.infoHash)
  const staged = volume.stage(3 * BLOCK, BLOCK)
  await staged.write(0, new Uint8Array(BLOCK).fill(9))
  assert.ok(volume.stats().freeBlocks < before)
  await removal
  await volume.sync()
  await volume.close()
  const log = device.log.slice(begin)
  const flushes = log.flatMap((event, i) => (event.kind === 'flush' ? [i] : []))
  const discards = log.flatMap((event, i) => (event.kind === 'discard' ? [i] : []))
  assert.ok(discards.length > 0)
  assert.ok(discards.every((at) => at > flushes[1]!))
  const roots = log.filter((event) => event.kind === 'write' && event.offset < BLOCK)
  assert.ok(roots.length >= 2)
  staged.abort()
})

test('a removal waits for a slow write, so that the block has one owner at a time', async () => {
  let release = (): void => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  let slow = false
  const turns = async (): Promise<void> => {
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
  class SlowDevice extends MemoryDevice {
    override async write(offset: number, source: Uint8Array): Promise<void> {
      if (slow) {
        slow = false
        await gate
      }
      return super.write(offset, source)
    }
  }
  const device = new SlowDevice({ sizeBytes: 8 * BLOCK })
  await formatVolume(device, formatOptions())
  const volume = await mountVolume(device, mountOptions({ allocator: 'ordered' }))
  const [old, next] = [sample(1, BLOCK, BLOCK), sample(2, BLOCK, BLOCK)]
  const stored = await volume.create(old, old.info)
  slow = true
  const writing = stored.write(0, old.piece(0))
  await turns()
  assert.equal(slow, false, 'the write has reached the device')
  const removing = volume.remove(old.infoHash)
  const following = (async () => {
    await removing
    const after = await volume.create(next, next.info)
    await putPiece(after, next, 0)
    return after
  })()
  // Without the wait everything below would be over by now, and the old write come last.
  await turns()
  release()
  await Promise.all([writing, following])
  await assertVerifies(await following, next)
  await volume.close()
})

test('an error of a metadata write reaches the caller', async () => {
  const device = new SimulatedDevice({ sizeBytes: 16 * BLOCK })
  await formatVolume(device, formatOptions())
  const volume = await mountVolume(device, mountOptions())
  const from = sample(1, BLOCK, BLOCK)
  device.fault = { at: 0, kinds: ['write'] }
  await assert.rejects(volume.create(from, from.info), hasCode('FS_FAILED'))
  await volume.close()
})

test('closing makes durable what was not synced', async () => {
  const { device, volume } = await freshVolume()
  const from = sample(1, BLOCK, BLOCK)
  await putPiece(await volume.create(from, from.info), from, 0)
  await volume.close()
  const second = await mountVolume(again(device), mountOptions())
  assert.ok(second.get(from.infoHash)!.complete)
  await second.close()
})

test('blocks of 1 MiB leave the slab classes that are larger unused, not broken', async () => {
  const { device, volume } = await freshVolume(16, { blockBytes: MIB })
  // A map that needs continuations of 1 MiB, the largest class that fits.
  const from = sample(1, 2 ** 40, MIB)
  const stored = await volume.create(from, from.info)
  await stored.write(2 ** 40 - 512, from.bytes(2 ** 40 - 512, 512))
  await volume.close()
  const second = await mountVolume(again(device), mountOptions())
  const target = new Uint8Array(512)
  await second.get(from.infoHash)!.read(2 ** 40 - 512, target)
  assert.deepEqual(target, from.bytes(2 ** 40 - 512, 512))
  await second.close()
  await assertFsckClean(again(device))
})
