/**
 * What every BlockDevice must do, as tests: an implementation runs them all. `open` gives a writable
 * device of at least 1 MiB, fresh each time.
 */
import assert from 'node:assert/strict'
import { SeedbedError, seededRandom } from '../base/index.ts'
import { allocateAligned } from './aligned.ts'
import type { BlockDevice } from './types.ts'

export interface Conformance {
  readonly test: (name: string, body: () => Promise<void>) => void
  readonly open: () => Promise<BlockDevice>
}

const hasCode =
  (...codes: string[]) =>
  (error: unknown): boolean =>
    error instanceof SeedbedError && codes.includes(error.code)

export function blockDeviceConformance(suite: Conformance): void {
  const check = (name: string, body: (device: BlockDevice) => Promise<void>): void => {
    suite.test(name, async () => {
      const device = await suite.open()
      try {
        await body(device)
      } finally {
        await device.close()
      }
    })
  }
  const filled = (bytes: number, seed: number): Uint8Array => {
    const memory = allocateAligned(bytes)
    seededRandom(seed).fill(memory)
    return memory
  }

  check('has a size of whole sectors of 512 or 4096 bytes', async (device) => {
    assert.ok([512, 4096].includes(device.sectorBytes))
    assert.ok(device.sizeBytes >= 1024 * 1024)
    assert.equal(device.sizeBytes % device.sectorBytes, 0)
  })

  check('reads back what was written, in the first and the last sector too', async (device) => {
    const sector = device.sectorBytes
    for (const offset of [0, 8 * sector, device.sizeBytes - 4 * sector]) {
      const source = filled(4 * sector, offset % 1000)
      await device.write(offset, source)
      const target = allocateAligned(4 * sector)
      await device.read(offset, target)
      assert.deepEqual(target, source)
    }
  })

  check('takes memory of any alignment, and touches only the range', async (device) => {
    const sector = device.sectorBytes
    await device.write(0, filled(8 * sector, 1))
    const odd = new Uint8Array(2 * sector + 3)
    seededRandom(2).fill(odd)
    await device.write(3 * sector, odd.subarray(3))
    const target = new Uint8Array(8 * sector + 5).fill(7)
    await device.read(0, target.subarray(5))
    const expected = filled(8 * sector, 1)
    expected.set(odd.subarray(3), 3 * sector)
    assert.deepEqual(Buffer.from(target.subarray(5)), Buffer.from(expected))
    assert.deepEqual([...target.subarray(0, 5)], [7, 7, 7, 7, 7])
  })

  check('does not keep hold of the memory of a finished write', async (device) => {
    const source = filled(device.sectorBytes, 3)
    const copy = source.slice()
    await device.write(0, source)
    source.fill(0)
    const target = allocateAligned(device.sectorBytes)
    await device.read(0, target)
    assert.deepEqual(Buffer.from(target), Buffer.from(copy))
  })

  check('runs many operations at once', async (device) => {
    const sector = device.sectorBytes
    const sources = Array.from({ length: 32 }, (_, i) => filled(4 * sector, 100 + i))
    await Promise.all(sources.map((source, i) => device.write(i * 4 * sector, source)))
    await device.flush()
    const targets = sources.map(() => allocateAligned(4 * sector))
    await Promise.all(targets.map((target, i) => device.read(i * 4 * sector, target)))
    assert.deepEqual(targets, sources)
  })

  check('writes and reads more than a bounce buffer holds', async (device) => {
    const bytes = Math.min(device.sizeBytes, 3 * 1024 * 1024)
    const source = new Uint8Array(bytes)
    seededRandom(4).fill(source)
    await device.write(0, source)
    const target = new Uint8Array(bytes)
    await device.read(0, target)
    assert.ok(Buffer.from(target.buffer).equals(Buffer.from(source.buffer)))
  })

  check('refuses ranges that are not whole sectors inside', async (device) => {
    const sector = device.sectorBytes
    const memory = allocateAligned(2 * sector)
    for (const [offset, bytes] of [
      [1, sector],
      [-sector, sector],
      [0, sector - 1],
      [device.sizeBytes - sector, 2 * sector],
      [device.sizeBytes, sector],
      [Number.NaN, sector],
      [2 ** 53, sector],
    ] as const) {
      const range = memory.subarray(0, bytes)
      await assert.rejects(device.read(offset, range), hasCode('DEVICE_RANGE'))
      await assert.rejects(device.write(offset, range), hasCode('DEVICE_RANGE'))
      await assert.rejects(device.discard(offset, bytes), hasCode('DEVICE_RANGE'))
    }
  })

  check('discard is accepted, and leaves its neighbours alone', async (device) => {
    const unit = 16 * 4096
    const source = filled(3 * unit, 5)
    await device.write(0, source)
    await device.discard(unit, unit)
    const target = allocateAligned(unit)
    for (const offset of [0, 2 * unit]) {
      await device.read(offset, target)
      assert.deepEqual(target, source.subarray(offset, offset + unit))
    }
    await device.write(unit, source.subarray(unit, 2 * unit))
    await device.read(unit, target)
    assert.deepEqual(target, source.subarray(unit, 2 * unit))
  })

  check('an empty range is nothing to do', async (device) => {
    await device.write(0, new Uint8Array(0))
    await device.read(0, new Uint8Array(0))
    await device.discard(0, 0)
  })

  suite.test('refuses everything after close, and closes twice', async () => {
    const device = await suite.open()
    await device.close()
    await device.close()
    const memory = allocateAligned(device.sectorBytes)
    await assert.rejects(device.read(0, memory), hasCode('DEVICE_CLOSED'))
    await assert.rejects(device.write(0, memory), hasCode('DEVICE_CLOSED'))
    await assert.rejects(device.flush(), hasCode('DEVICE_CLOSED'))
  })
}
