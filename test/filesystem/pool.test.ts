/** Several volumes as one: where torrents go, what is told apart, and what a failing device takes with it. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { ManualClock, seededRandom, toHex } from '../../src/base/index.ts'
import { MemoryDevice, SimulatedDevice } from '../../src/block-device/index.ts'
import {
  formatVolume,
  type MountedVolume,
  type MountOptions,
  mountVolume,
  Pool,
} from '../../src/filesystem/index.ts'
import { assertVerifies, BLOCK, hasCode, putPiece, type Sample, sample } from './support.ts'

interface Made {
  readonly device: SimulatedDevice
  readonly volume: MountedVolume
}

let nextSeed = 100

async function make(
  blocks: number,
  blockBytes: number = BLOCK,
  more: Partial<MountOptions> = {},
): Promise<Made> {
  const device = new SimulatedDevice({ sizeBytes: blocks * blockBytes, record: false })
  const clock = new ManualClock(1_000)
  await formatVolume(device, { random: seededRandom(nextSeed++), clock, blockBytes })
  return { device, volume: await mount(device, more) }
}

function mount(device: SimulatedDevice, more: Partial<MountOptions> = {}): Promise<MountedVolume> {
  device.reopen()
  const clock = new ManualClock(1_000)
  return mountVolume(device, { random: seededRandom(nextSeed++), clock, ...more })
}

async function put(pool: Pool, from: Sample, pieces: number): Promise<void> {
  const stored = await pool.create(from, from.info)
  for (let piece = 0; piece < pieces; piece++) await putPiece(stored, from, piece)
}

const holderOf = (pool: Pool, from: Sample): MountedVolume =>
  pool.volumeOf(pool.get(from.infoHash)!)

describe('a torrent', () => {
  test('goes wholly where most room is neither used nor promised', async () => {
    const [a, b, c] = await Promise.all([make(20), make(40), make(30)])
    const pool = new Pool([a.volume, b.volume, c.volume])
    const places: MountedVolume[] = []
    // 10 blocks each, of which nothing is written: they are promised all the same.
    for (let i = 0; i < 6; i++) {
      const from = sample(10 + i, 10 * BLOCK, BLOCK)
      await put(pool, from, 0)
      places.push(holderOf(pool, from))
    }
    const names = places.map((volume) => 'abc'[pool.volumes.indexOf(volume)]).join('')
    assert.equal(names, 'bcbabc')
    await pool.close()
  })

  test('that fits one device only goes there, however much is promised of it', async () => {
    const [a, b] = await Promise.all([make(10), make(40)])
    const pool = new Pool([a.volume, b.volume])
    await put(pool, sample(1, 200 * BLOCK, BLOCK), 0)
    const from = sample(2, 20 * BLOCK, BLOCK)
    await put(pool, from, 20)
    assert.equal(holderOf(pool, from), b.volume)
    assert.equal(pool.room().largestBytes, b.volume.room().freeBytes)
    await pool.close()
  })

  test('does not go to an image for which the disk beneath has no room', async () => {
    const [a, b] = await Promise.all([make(60, BLOCK, { spareBytes: () => 4 * BLOCK }), make(20)])
    const pool = new Pool([a.volume, b.volume])
    assert.equal(pool.choose(5 * BLOCK), b.volume)
    await put(pool, sample(18, 14 * BLOCK, BLOCK), 14)
    assert.equal(pool.choose(3 * BLOCK), a.volume)
    await pool.remove(sample(18, 14 * BLOCK, BLOCK).infoHash)
    // Whatever is promised of the other: there it fits.
    const sparse = sample(19, 100 * BLOCK, BLOCK)
    await b.volume.create(sparse, sparse.info)
    assert.equal(pool.choose(5 * BLOCK), b.volume)
    await pool.close()
  })

  test('is found again, whatever the order of the devices', async () => {
    const made = await Promise.all([make(20), make(25), make(30)])
    const pool = new Pool(made.map(({ volume }) => volume))
    const samples = Array.from({ length: 9 }, (_, i) => sample(30 + i, 3 * BLOCK + 5, 20_000))
    for (const from of samples) await put(pool, from, from.pieces)
    await pool.close()
    for (const order of [
      [0, 1, 2],
      [2, 0, 1],
      [1, 2, 0],
    ]) {
      const again = new Pool(await Promise.all(order.map((i) => mount(made[i]!.device))))
      assert.equal([...again.torrents()].length, 9)
      assert.equal(again.room().torrents, 9)
      assert.deepEqual(again.problems, [])
      for (const from of samples) {
        assert.ok(again.get(from.infoHash)!.complete)
        await assertVerifies(again.get(from.infoHash)!, from)
      }
      await again.close()
    }
  })

  test('is one, also while it is being made', async () => {
    const [a, b] = await Promise.all([make(20), make(20)])
    const pool = new Pool([a.volume, b.volume])
    const from = sample(3, 5 * BLOCK, BLOCK)
    const staged = pool.stage(from.totalBytes, from.pieceBytes)
    for (let piece = 0; piece < 5; piece++) await staged.write(piece * BLOCK, from.piece(piece))
    const results = await Promise.allSettled([
      pool.create(from, from.info),
      pool.create(from, from.info),
      staged.commit(from.infoHash, from.info),
    ])
    const refused = results.filter((result) => result.status === 'rejected')
    assert.equal(refused.length, 2)
    for (const { reason } of refused) assert.ok(hasCode('FS_EXISTS')(reason))
    assert.equal([...pool.torrents()].length, 1)
    staged.abort()
    await pool.close()
  })

  test('whose best device refuses it goes to the next, and is refused as the best one said', async () => {
    // Pieces of 64 bytes cannot be mapped in blocks of 1 MiB.
    const [large, small] = await Promise.all([make(64, 16 * BLOCK), make(20)])
    const pool = new Pool([large.volume, small.volume])
    const from = sample(4, 18 * BLOCK, 64)
    await put(pool, from, 10)
    assert.equal(holderOf(pool, from), small.volume)
    const staged = pool.stage(18 * BLOCK, 64)
    await staged.write(0, new Uint8Array(1))
    assert.ok(small.volume.stats().promisedBlocks > large.volume.stats().promisedBlocks)
    staged.abort()
    const alone = new Pool([large.volume])
    await assert.rejects(alone.create(sample(5, 18 * BLOCK, 64), sample(5, 18 * BLOCK, 64).info), {
      code: 'FS_GEOMETRY',
    })
    await pool.close()
  })
})

test('devices of different blocks take writes of the largest', async () => {
  const sizes = fc.record({
    totalBytes: fc.integer({ min: 1, max: 40 * BLOCK }),
    pieceBytes: fc.constantFrom(16_384, 30_001, BLOCK, 3 * BLOCK + 512),
  })
  await fc.assert(
    fc.asyncProperty(sizes, async ({ totalBytes, pieceBytes }) => {
      const [small, large] = await Promise.all([make(200), make(8, 4 * BLOCK)])
      const pool = new Pool([small.volume, large.volume])
      assert.equal(pool.blockBytes, 4 * BLOCK)
      const from = sample(6, totalBytes, pieceBytes)
      const stored = await pool.create(from, from.info)
      assert.equal(pool.volumeOf(stored), small.volume)
      for (let at = 0; at < totalBytes; at += pool.blockBytes) {
        await stored.write(at, from.bytes(at, Math.min(pool.blockBytes, totalBytes - at)))
      }
      for (let piece = 0; piece < from.pieces; piece++) stored.markHave(piece)
      await stored.sync()
      await assertVerifies(stored, from)
      await pool.close()
    }),
    { numRuns: 20, seed: 20261123 },
  )
})

test('a write may begin and end anywhere in blocks', async () => {
  const { volume } = await make(40)
  const from = sample(20, 9 * BLOCK + 7, 30_001)
  const stored = await volume.create(from, from.info)
  for (const [at, count] of [
    [0, BLOCK - 100],
    [BLOCK - 100, 3 * BLOCK + 333],
    [4 * BLOCK + 233, 2 * BLOCK - 233],
    [6 * BLOCK, 3 * BLOCK + 7],
  ] as const) {
    await stored.write(at, from.bytes(at, count))
  }
  for (let piece = 0; piece < from.pieces; piece++) stored.markHave(piece)
  await assertVerifies(stored, from)
  await volume.close()
})

describe('a device that fails', () => {
  test('takes its own torrents with it, and no others; new ones go elsewhere', async () => {
    const failures: string[] = []
    const onFailure = (error: Error): void => void failures.push(error.message)
    const [a, b] = await Promise.all([make(60, BLOCK, { onFailure }), make(40)])
    const pool = new Pool([a.volume, b.volume])
    const one = sample(7, 5 * BLOCK, BLOCK)
    await put(pool, one, 5)
    assert.equal(holderOf(pool, one), a.volume)
    await pool.sync()
    await putMore(pool, 8, b.volume)
    a.device.fault = { at: 0, forever: true, kinds: ['write', 'flush'] }
    pool.get(one.infoHash)!.uploadedBytes += 1
    for (const stored of pool.torrents()) stored.clearHave(0)
    await assert.rejects(pool.sync(), hasCode('FS_FAILED'))
    assert.equal(failures.length, 1)
    assert.ok(pool.get(one.infoHash)!.failure instanceof Error)
    await assertVerifies(pool.get(one.infoHash)!, one)
    // The others were synced by the same call, and go on.
    await pool.sync()
    const next = sample(9, BLOCK, BLOCK)
    await put(pool, next, 1)
    assert.equal(holderOf(pool, next), b.volume)
    assert.equal(pool.get(next.infoHash)!.failure, undefined)
    await pool.get(next.infoHash)!.sync()
    await pool.close()
    const again = new Pool([await mount(b.device)])
    assert.ok(again.get(next.infoHash)!.complete)
    await again.close()
  })

  test('while a torrent is made is passed over', async () => {
    const [a, b] = await Promise.all([make(60), make(40)])
    const pool = new Pool([a.volume, b.volume])
    a.device.fault = { at: 0, forever: true, kinds: ['write', 'flush'] }
    const from = sample(10, BLOCK, BLOCK)
    await put(pool, from, 1)
    assert.equal(holderOf(pool, from), b.volume)
    assert.equal(pool.choose(1), b.volume)
    await pool.close()
  })

  test('says so for as long as there is no other', async () => {
    const { device, volume } = await make(20)
    const pool = new Pool([volume])
    await put(pool, sample(11, BLOCK, BLOCK), 1)
    device.fault = { at: 0, forever: true, kinds: ['flush'] }
    for (let i = 0; i < 3; i++) await assert.rejects(pool.sync(), hasCode('FS_FAILED'))
    assert.equal(pool.choose(1), undefined)
    assert.throws(() => pool.stage(1, 1), hasCode('FS_FAILED'))
    await pool.close()
  })

  async function putMore(pool: Pool, seed: number, wanted: MountedVolume): Promise<void> {
    for (let i = 0; i < 9; i++) {
      const from = sample(seed * 100 + i, 5 * BLOCK, BLOCK)
      await put(pool, from, 1)
      if (holderOf(pool, from) === wanted) return
    }
    assert.fail('the wanted device was never chosen')
  }
})

describe('the same torrent on two devices', () => {
  const from = sample(12, 6 * BLOCK, BLOCK)

  async function twice(piecesOfA: number, piecesOfB: number): Promise<[Made, Made]> {
    const both = await Promise.all([make(20), make(20)])
    for (const [i, { volume }] of both.entries()) {
      const stored = await volume.create(from, from.info)
      const pieces = i === 0 ? piecesOfA : piecesOfB
      for (let piece = 0; piece < pieces; piece++) await putPiece(stored, from, piece)
      await volume.close()
    }
    return both
  }

  test('is served from where most of it is, in whatever order they are named', async () => {
    const [a, b] = await twice(2, 6)
    for (const order of [
      [a, b],
      [b, a],
    ] as const) {
      const volumes = await Promise.all(order.map(({ device }) => mount(device)))
      const pool = new Pool(volumes)
      assert.ok(pool.get(from.infoHash)!.complete)
      assert.equal([...pool.torrents()].length, 1)
      assert.equal(pool.room().torrents, 1)
      const [problem, ...more] = pool.problems
      assert.equal(more.length, 0)
      assert.equal(problem!.check, 'duplicate')
      assert.equal(problem!.severity, 'warning')
      assert.equal(problem!.infoHash, toHex(from.infoHash))
      assert.match(problem!.what, /2 of 6 pieces/)
      await assert.rejects(pool.create(from, from.info), hasCode('FS_EXISTS'))
      await pool.close()
    }
  })

  test('goes from both when it is removed', async () => {
    const [a, b] = await twice(6, 3)
    const pool = new Pool(await Promise.all([mount(a.device), mount(b.device)]))
    await pool.remove(from.infoHash)
    assert.equal(pool.get(from.infoHash), undefined)
    assert.deepEqual(pool.problems, [])
    await assert.rejects(pool.remove(from.infoHash), hasCode('FS_UNKNOWN_TORRENT'))
    await pool.close()
    for (const { device } of [a, b]) {
      const volume = await mount(device)
      assert.equal(volume.stats().torrents, 0)
      assert.equal(volume.stats().freeBlocks, 19)
      await volume.close()
    }
  })

  test('stays when the copy that is not served cannot be removed', async () => {
    const [a, b] = await twice(6, 3)
    const pool = new Pool([await mount(a.device), await mount(b.device)])
    b.device.fault = { at: 0, forever: true, kinds: ['write', 'flush'] }
    await assert.rejects(pool.remove(from.infoHash), hasCode('FS_FAILED'))
    assert.ok(pool.get(from.infoHash)!.complete)
    await pool.close()
  })

  test('stays what it was when a better copy comes later', async () => {
    const [a, b] = await twice(3, 6)
    const pool = new Pool([await mount(a.device)])
    const served = pool.get(from.infoHash)!
    const late = await mount(b.device)
    pool.add(late)
    assert.equal(pool.get(from.infoHash), served)
    assert.equal(pool.problems.length, 1)
    pool.delete(late)
    assert.deepEqual(pool.problems, [])
    await late.close()
    await pool.close()
  })
})

test('a copy of a device is not taken for another', async () => {
  const { device, volume } = await make(20)
  const copy = new MemoryDevice({ sizeBytes: device.sizeBytes, image: device.image.copy() })
  const other = await mountVolume(copy, { random: seededRandom(1), clock: new ManualClock(1) })
  assert.throws(() => new Pool([volume, other]), hasCode('FS_SAME_VOLUME'))
  const pool = new Pool([volume])
  assert.throws(() => pool.add(other), hasCode('FS_SAME_VOLUME'))
  assert.equal(pool.volumes.length, 1)
  await pool.close()
  await other.close()
})

test('a torrent that mount refused can be removed through the pool', async () => {
  const [a, b] = await Promise.all([make(20), make(20)])
  const from = sample(13, 400 * BLOCK, BLOCK)
  const stored = await a.volume.create(from, from.info)
  await putPiece(stored, from, 0)
  await a.volume.close()
  // Both copies of every sector that says where its blocks are, but not of those that say which torrent it is.
  const sector = new Uint8Array(512)
  for (let place = BLOCK; place < 2 * BLOCK; place += 512) {
    a.device.image.read(place, sector)
    if (Buffer.from(sector).includes('SEEDNODE') || sector.every((byte) => byte === 0)) continue
    a.device.image.write(place, new Uint8Array(512).fill(0xee))
  }
  const pool = new Pool([b.volume, await mount(a.device)])
  assert.equal(pool.get(from.infoHash), undefined)
  assert.equal(pool.problems[0]!.infoHash, toHex(from.infoHash))
  await pool.remove(from.infoHash)
  await pool.close()
  const after = await mount(a.device)
  assert.deepEqual(
    after.problems.filter(({ severity }) => severity === 'error'),
    [],
  )
  await after.close()
})

test('read-only devices are read, and never chosen', async () => {
  const { device, volume } = await make(60)
  const from = sample(14, BLOCK, BLOCK)
  const stored = await volume.create(from, from.info)
  await putPiece(stored, from, 0)
  await volume.close()
  const readOnly = await mount(device, { readOnly: true })
  const { volume: other } = await make(20)
  const pool = new Pool([readOnly, other])
  assert.equal(pool.readOnly, false)
  assert.equal(pool.choose(1), other)
  assert.ok(pool.get(from.infoHash)!.complete)
  await pool.sync()
  await pool.close()
  const alone = new Pool([await mount(device, { readOnly: true })])
  assert.equal(alone.readOnly, true)
  await assert.rejects(alone.create(sample(15, 1, 1), sample(15, 1, 1).info), {
    code: 'FS_READ_ONLY',
  })
  await alone.close()
})

test('what is promised is taken back: written, removed, aborted, refused', async () => {
  const { volume } = await make(40)
  const promised = (): number => volume.stats().promisedBlocks
  const from = sample(16, 10 * BLOCK, BLOCK)
  const stored = await volume.create(from, from.info)
  assert.equal(promised(), 10)
  await putPiece(stored, from, 3)
  await putPiece(stored, from, 3)
  assert.equal(promised(), 9)
  await assert.rejects(volume.create(from, from.info), hasCode('FS_EXISTS'))
  assert.equal(promised(), 9)
  const staged = volume.stage(4 * BLOCK, BLOCK)
  await staged.write(0, from.piece(0))
  assert.equal(promised(), 12)
  staged.abort()
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(promised(), 9)
  await volume.remove(from.infoHash)
  assert.equal(promised(), 0)
  const whole = volume.stage(2 * BLOCK, BLOCK)
  for (const piece of [0, 1]) await whole.write(piece * BLOCK, from.piece(piece))
  const other = sample(17, 2 * BLOCK, BLOCK)
  await whole.commit(other.infoHash, other.info)
  assert.equal(promised(), 0)
  await volume.close()
})
