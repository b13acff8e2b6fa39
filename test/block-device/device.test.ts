/** Every block device does what the face promises, and what is particular to each. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { SeedbedError, seededRandom } from '../../src/base/index.ts'
import { readableCommand } from '../../src/block-device/holder.ts'
import {
  allocateAligned,
  type BlockDevice,
  blockDeviceConformance,
  crashStates,
  isAligned,
  MemoryDevice,
  openFileDevice,
  SimulatedDevice,
} from '../../src/block-device/index.ts'
import { attachLoop, type Loop } from './loop.ts'

const MIB = 1024 * 1024
const folder = mkdtempSync(join(tmpdir(), 'seedbed-device-'))
const loops: Loop[] = []
after(() => {
  for (const loop of loops) loop.detach()
  rmSync(folder, { recursive: true })
})

let counter = 0
const fresh = (): string => join(folder, `image-${counter++}`)

const hasCode =
  (code: string, message?: RegExp) =>
  (error: unknown): boolean =>
    error instanceof SeedbedError && error.code === code && (message?.test(error.message) ?? true)

function loopOf(sectorBytes: number): string | undefined {
  const image = fresh()
  writeFileSync(image, '')
  truncateSync(image, 8 * MIB)
  const loop = attachLoop(image, sectorBytes)
  if (loop !== undefined) loops.push(loop)
  return loop?.path
}

describe('memory', () => {
  for (const sectorBytes of [512, 4096]) {
    blockDeviceConformance({
      test: (name, body) => void test(`${sectorBytes}: ${name}`, body),
      open: async () => new MemoryDevice({ sizeBytes: 4 * MIB, sectorBytes }),
    })
  }

  test('may be as large as a device can be', async () => {
    const device = new MemoryDevice({ sizeBytes: 2 ** 53 - 4096 })
    await device.write(2 ** 53 - 8192, new Uint8Array(4096).fill(9))
    const target = new Uint8Array(4096)
    await device.read(2 ** 53 - 8192, target)
    assert.equal(target[4095], 9)
  })
})

describe('simulated', () => {
  blockDeviceConformance({
    test: (name, body) => void test(name, body),
    open: async () => new SimulatedDevice({ sizeBytes: 4 * MIB, jitter: seededRandom(1) }),
  })
})

describe('image file', () => {
  for (const direct of [true, false]) {
    blockDeviceConformance({
      test: (name, body) => void test(`${direct ? 'direct' : 'buffered'}: ${name}`, body),
      open: () => openFileDevice(fresh(), { create: { bytes: 4 * MIB }, direct }),
    })
  }

  test('what was written is there after opening again, and an existing image keeps its size', async () => {
    const path = fresh()
    const first = await openFileDevice(path, { create: { bytes: MIB } })
    await first.write(4096, new Uint8Array(4096).fill(42))
    await first.flush()
    await first.close()
    const second = await openFileDevice(path, { create: { bytes: 2 * MIB } })
    assert.equal(second.sizeBytes, MIB)
    const target = allocateAligned(4096)
    await second.read(4096, target)
    assert.equal(target[4095], 42)
    await second.close()
  })

  test('a second writer is told who the first is; a reader may look', async () => {
    const path = fresh()
    const first = await openFileDevice(path, { create: { bytes: MIB } })
    await assert.rejects(openFileDevice(path), hasCode('DEVICE_BUSY', new RegExp(`${process.pid}`)))
    const reader = await openFileDevice(path, { readOnly: true })
    await assert.rejects(reader.write(0, allocateAligned(4096)), hasCode('DEVICE_READ_ONLY'))
    await reader.close()
    await first.close()
    await (await openFileDevice(path)).close()
  })

  test('the lock dies with its process', async () => {
    const path = fresh()
    await (await openFileDevice(path, { create: { bytes: MIB } })).close()
    const face = new URL('../../src/block-device/index.js', import.meta.url).href
    const program = `const { openFileDevice } = await import(${JSON.stringify(face)})
      await openFileDevice(${JSON.stringify(path)}); console.log('held'); setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', program])
    const ended = new Promise((resolve) => child.once('exit', resolve))
    try {
      await new Promise((resolve) => child.stdout.once('data', resolve))
      // Its pid and its command.
      const holder = new RegExp(`process ${child.pid} \\(.*node.*\\)`)
      await assert.rejects(openFileDevice(path), hasCode('DEVICE_BUSY', holder))
    } finally {
      child.kill('SIGKILL')
    }
    await ended
    await (await openFileDevice(path)).close()
  })

  test('the lock is seen from other network namespaces, as containers have them', async (context) => {
    const path = fresh()
    await (await openFileDevice(path, { create: { bytes: MIB } })).close()
    const face = new URL('../../src/block-device/index.js', import.meta.url).href
    const program = `const { openFileDevice } = await import(${JSON.stringify(face)})
      await openFileDevice(${JSON.stringify(path)}); console.log('held'); setInterval(() => {}, 1000)`
    const own = process.getuid?.() === 0 ? ['-n'] : ['-rn']
    const node = [process.execPath, '--input-type=module', '-e', program]
    const child = spawn('unshare', [...own, ...node], { stdio: ['ignore', 'pipe', 'ignore'] })
    const ended = new Promise<void>((resolve) => {
      child.once('error', () => resolve())
      child.once('close', () => resolve())
    })
    const isHeld = await Promise.race([
      new Promise<boolean>((resolve) => child.stdout.once('data', () => resolve(true))),
      ended.then(() => false),
    ])
    if (!isHeld) {
      context.skip('no network namespace can be made')
      return
    }
    try {
      await assert.rejects(openFileDevice(path), hasCode('DEVICE_BUSY', /namespace/))
    } finally {
      child.kill('SIGKILL')
    }
    await ended
    await (await openFileDevice(path)).close()
  })

  test('names what is wrong with a path', async () => {
    await assert.rejects(openFileDevice(join(folder, 'nowhere')), hasCode('DEVICE_MISSING'))
    await assert.rejects(openFileDevice(folder), hasCode('DEVICE_KIND'))
    await assert.rejects(openFileDevice('/dev/null'), hasCode('DEVICE_KIND'))
    const empty = fresh()
    writeFileSync(empty, '')
    await assert.rejects(openFileDevice(empty), hasCode('DEVICE_TOO_SMALL'))
  })

  test('a file that was truncated beneath us is an error, not an endless read', async () => {
    const path = fresh()
    const device = await openFileDevice(path, { create: { bytes: MIB } })
    truncateSync(path, 4096)
    await assert.rejects(device.read(8192, allocateAligned(4096)), hasCode('DEVICE_IO'))
    await device.close()
  })

  test('is extended while it is open; never made smaller', async () => {
    const path = fresh()
    const device = await openFileDevice(path, { create: { bytes: MIB } })
    const sector = allocateAligned(4096).fill(7)
    await assert.rejects(device.write(MIB, sector), hasCode('DEVICE_RANGE'))
    await device.extend(2 * MIB)
    assert.equal(device.sizeBytes, 2 * MIB)
    await device.write(2 * MIB - 4096, sector)
    await device.flush()
    await device.extend(2 * MIB)
    await assert.rejects(device.extend(2 * MIB - 512), hasCode('DEVICE_RANGE'))
    await device.close()
    await assert.rejects(device.extend(3 * MIB), hasCode('DEVICE_CLOSED'))
    const again = await openFileDevice(path, { readOnly: true })
    assert.equal(again.sizeBytes, 2 * MIB)
    await assert.rejects(again.extend(3 * MIB), hasCode('DEVICE_READ_ONLY'))
    await again.close()
  })

  test('that became larger, or smaller, beneath us is measured again', async () => {
    const path = fresh()
    const device = await openFileDevice(path, { create: { bytes: MIB } })
    truncateSync(path, 2 * MIB + 100)
    device.remeasure?.()
    assert.equal(device.sizeBytes, 2 * MIB)
    truncateSync(path, MIB)
    device.remeasure?.()
    assert.equal(
      device.sizeBytes,
      2 * MIB,
      'a smaller size is not believed: reads say what is gone',
    )
    await device.close()
  })

  test('discard gives room back to the filesystem beneath', async (context) => {
    const path = fresh()
    const device = await openFileDevice(path, { create: { bytes: 4 * MIB } })
    await device.write(0, allocateAligned(4 * MIB).fill(1))
    await device.flush()
    const before = statSync(path).blocks
    await device.discard(0, 2 * MIB)
    await device.close()
    if (statSync(path).blocks === before) context.skip('no fallocate, or no holes in files here')
    else assert.ok(statSync(path).blocks < before)
  })
})

describe('raw device', () => {
  for (const sectorBytes of [512, 4096]) {
    const loop = loopOf(sectorBytes)
    if (loop === undefined) {
      test(`loop device of ${sectorBytes}-byte sectors`, {
        skip: 'needs root and losetup',
      }, () => {})
      continue
    }
    const open = (): Promise<BlockDevice> => openFileDevice(loop)
    blockDeviceConformance({
      test: (name, body) => void test(`${sectorBytes}: ${name}`, body),
      open,
    })

    test(`${sectorBytes}: knows its size and sector, and is opened by one`, async () => {
      const device = await openFileDevice(loop)
      assert.equal(device.sizeBytes, 8 * MIB)
      assert.equal(device.sectorBytes, sectorBytes)
      assert.equal(device.isBlockDevice, true)
      assert.equal(device.direct, true)
      const mine = new RegExp(`is open in process ${process.pid} \\(.*device\\.test`)
      await assert.rejects(openFileDevice(loop), hasCode('DEVICE_BUSY', mine))
      await device.close()
    })

    test(`${sectorBytes}: that became larger says so when it is measured again`, async () => {
      const { image } = loops.find(({ path }) => path === loop)!
      const device = await openFileDevice(loop)
      truncateSync(image, 12 * MIB)
      execFileSync('losetup', ['-c', loop])
      assert.equal(device.sizeBytes, 8 * MIB)
      device.remeasure?.()
      assert.equal(device.sizeBytes, 12 * MIB)
      const target = allocateAligned(sectorBytes)
      await device.read(12 * MIB - sectorBytes, target)
      await device.close()
    })

    test(`${sectorBytes}: is told to be mounted, and where`, async (context) => {
      const mountPoint = join(folder, 'a mount point')
      mkdirSync(mountPoint, { recursive: true })
      try {
        execFileSync('mkfs.ext4', ['-q', '-F', loop], { stdio: 'pipe' })
        execFileSync('mount', [loop, mountPoint], { stdio: 'pipe' })
      } catch {
        context.skip('no mkfs.ext4, or mount is not allowed')
        return
      }
      try {
        const told = new RegExp(`is mounted at ${mountPoint}`)
        await assert.rejects(openFileDevice(loop), hasCode('DEVICE_BUSY', told))
      } finally {
        execFileSync('umount', [mountPoint])
      }
      await (await openFileDevice(loop)).close()
    })

    test(`${sectorBytes}: is not written to by another way: its image file`, async () => {
      const image = loops.find(({ path }) => path === loop)!.image
      await assert.rejects(openFileDevice(image), hasCode('DEVICE_BUSY', new RegExp(loop)))
      const device = await openFileDevice(loop)
      // The holder is named before the loop device is.
      const mine = new RegExp(`process ${process.pid} `)
      await assert.rejects(openFileDevice(image), hasCode('DEVICE_BUSY', mine))
      await device.close()
      await (await openFileDevice(image, { readOnly: true })).close()
    })
  }
})

test('a command that somebody else tells is shown in one line, and not all of it', () => {
  assert.equal(readableCommand('dd\0of=/dev/sdb\u001b[2J\nx'), 'dd of=/dev/sdb [2J x')
  assert.equal(readableCommand(`${'x'.repeat(500)}`).length, 161)
})

describe('aligned memory', () => {
  test('is recognised, with every whole sector of it; other memory is not', () => {
    const memory = allocateAligned(16_384)
    assert.ok(isAligned(memory, 4096))
    assert.ok(isAligned(memory.subarray(512), 512))
    assert.ok(!isAligned(memory.subarray(512), 4096))
    assert.ok(!isAligned(memory.subarray(1), 512))
    assert.ok(!isAligned(new Uint8Array(16_384), 512))
  })

  test('is accepted by a direct device as it is', async (context) => {
    const device = await openFileDevice(fresh(), { create: { bytes: MIB } })
    if (!device.direct) context.skip('no direct I/O on this filesystem')
    await device.write(0, allocateAligned(MIB))
    await device.close()
  })
})

describe('crash states', () => {
  const sector = (value: number): Uint8Array => new Uint8Array(512).fill(value)
  const first = async (device: BlockDevice, count: number): Promise<string> => {
    const target = new Uint8Array(512 * count)
    await device.read(0, target)
    return Array.from({ length: count }, (_, i) => target[i * 512]).join(' ')
  }

  test('hold every subset of what was not flushed, and all of what was', async () => {
    const device = new SimulatedDevice({ sizeBytes: MIB })
    await device.write(0, sector(1))
    await device.flush()
    device.mark('one')
    await device.write(512, sector(2))
    await device.write(1024, sector(3))
    const seen = new Set<string>()
    for (const state of crashStates(device, { random: seededRandom(1), garbage: false })) {
      if (state.marks.includes('one')) seen.add(await first(state.device, 3))
    }
    assert.deepEqual([...seen].sort(), ['1 0 0', '1 0 3', '1 2 0', '1 2 3'])
  })

  test('a flush covers only what was acknowledged before it was called', async () => {
    const device = new SimulatedDevice({ sizeBytes: MIB, jitter: seededRandom(3) })
    const write = device.write(0, sector(1))
    await Promise.all([write, device.flush()])
    device.mark('flushed')
    const seen = new Set<string>()
    for (const state of crashStates(device, { random: seededRandom(1), garbage: false })) {
      if (state.marks.includes('flushed')) seen.add(await first(state.device, 1))
    }
    assert.deepEqual([...seen].sort(), ['0', '1'])
  })

  test('a lying flush makes nothing durable', async () => {
    const device = new SimulatedDevice({ sizeBytes: MIB })
    device.lie = () => true
    await device.write(0, sector(1))
    await device.flush()
    device.mark('done')
    const states = [...crashStates(device, { random: seededRandom(1) })]
    const kept = await Promise.all(states.map((state) => first(state.device, 1)))
    assert.ok(kept.includes('0'))
  })

  test('torn writes mix old, new and garbage sectors', async () => {
    const device = new SimulatedDevice({ sizeBytes: MIB })
    await device.write(0, new Uint8Array(2048).fill(5))
    const seen = new Set<string>()
    for (const state of crashStates(device, { random: seededRandom(1), perEpoch: 200 })) {
      seen.add(await first(state.device, 4))
    }
    assert.ok(seen.has('5 0 5 0') || seen.has('0 5 0 5'))
    assert.ok([...seen].some((kind) => kind.split(' ').some((n) => n !== '0' && n !== '5')))
  })

  test('an operation fails where it is told to, once or for good', async () => {
    const device = new SimulatedDevice({ sizeBytes: MIB })
    device.fault = { at: 1, kinds: ['write'] }
    await device.write(0, sector(1))
    await assert.rejects(device.write(0, sector(2)), hasCode('DEVICE_IO'))
    await device.write(0, sector(3))
    device.fault = { at: 0, forever: true, kinds: ['flush'] }
    await assert.rejects(device.flush(), hasCode('DEVICE_IO'))
    await device.write(0, sector(4))
  })
})
