/** Memory that threads share: copied into like any other, and taken by a device. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { copyBytes } from '../../src/base/index.ts'
import {
  allocateAligned,
  allocateShared,
  isAligned,
  openFileDevice,
} from '../../src/block-device/index.ts'

const SIZE = 256
const kinds = [(size: number) => new Uint8Array(size), allocateAligned, allocateShared]

test('bytes are copied as by set, between whatever kinds of memory', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...kinds),
      fc.constantFrom(...kinds),
      fc.nat(SIZE - 1),
      fc.uint8Array({ maxLength: SIZE }),
      fc.nat(2 * SIZE),
      (makeSource, makeTarget, skip, bytes, at) => {
        const source = makeSource(2 * SIZE).subarray(skip, skip + bytes.length)
        source.set(bytes)
        const target = makeTarget(2 * SIZE).fill(0xee)
        const expected = new Uint8Array(2 * SIZE).fill(0xee)
        if (at + bytes.length > 2 * SIZE) {
          if (bytes.length > 0) assert.throws(() => copyBytes(target, at, source), RangeError)
          return
        }
        expected.set(bytes, at)
        copyBytes(target, at, source)
        assert.deepEqual(Uint8Array.from(target), expected)
      },
    ),
    { seed: 7, numRuns: 500 },
  )
})

test('shared memory begins on a page, and a device writes it and reads into it', async () => {
  const memory = allocateShared(64 * 1024)
  assert.ok(memory.buffer instanceof SharedArrayBuffer)
  assert.ok(isAligned(memory, 4096))
  memory.fill(0xa5)
  const directory = mkdtempSync(join(tmpdir(), 'seedbed-shared-'))
  try {
    const device = await openFileDevice(join(directory, 'image'), {
      create: { bytes: 1024 * 1024 },
    })
    await device.write(4096, memory)
    const back = allocateShared(64 * 1024)
    await device.read(4096, back)
    assert.equal(Buffer.compare(back, memory), 0)
    await device.close()
  } finally {
    rmSync(directory, { recursive: true })
  }
})
