/** The disk that spins takes the time that one would: the curve, the elevator, virtual time, replay. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import fc from 'fast-check'
import { below, type Clock, ManualClock, seededRandom } from '../../src/base/index.ts'
import {
  AccessLogWriter,
  blockDeviceConformance,
  DISK_7200,
  DiskModel,
  DiskQueue,
  DiskReplay,
  diskReport,
  MemoryDevice,
  replayAccessLog,
  SpinningDevice,
} from '../../src/block-device/index.ts'

const MIB = 2 ** 20
const GIB = 2 ** 30
const folder = mkdtempSync(join(tmpdir(), 'seedbed-disk-'))
after(() => rmSync(folder, { recursive: true }))

const disk = (sizeBytes = 8 * GIB, seed = 1): DiskModel =>
  new DiskModel({ ...DISK_7200, sizeBytes }, seededRandom(seed))

describe('the model', () => {
  test('one stream goes at the full rate, without a seek', () => {
    const model = disk()
    let ms = 0
    for (let at = 0; at < 100; at++) ms += model.serve('write', at * 4 * MIB, 4 * MIB)
    assert.equal(model.seeks, 0)
    assert.ok(Math.abs(ms - (400 * MIB) / 150e3) < 1e-6)
    assert.ok(Math.abs(diskReport(model).fractionOfLimit - 1) < 1e-9)
  })

  test('a short gap forward passes under the head, backwards or beyond 1 MiB is a seek', () => {
    const model = disk()
    model.serve('read', 0, 4096)
    assert.equal(model.serve('read', 4096 + 150_000, 150_000), 2)
    assert.equal(model.seeks, 0)
    assert.ok(model.serve('read', 150_000, 4096) > 1)
    assert.ok(model.serve('read', 150_000 + 4096 + MIB, 4096) > 1)
    assert.equal(model.seeks, 2)
  })

  test('seeks between random places take the average seek and half a revolution', () => {
    const model = disk(1000 * GIB, 7)
    const random = seededRandom(3)
    const rounds = 20_000
    for (let i = 0; i < rounds; i++) {
      model.serve('read', Math.floor((random.uint32() / 2 ** 32) * 999 * GIB), 0)
    }
    const mean = model.busyMs / rounds
    assert.ok(Math.abs(mean - (8.5 + 60_000 / 7200 / 2)) < 0.1, `a seek takes ${mean} ms`)
  })

  test('a seek is the longer the farther it goes', () => {
    const nearest = (distance: number): number => {
      // The least of many, so that rotation counts for nothing.
      let least = Number.POSITIVE_INFINITY
      const model = disk()
      for (let i = 0; i < 500; i++) {
        model.head = 0
        least = Math.min(least, model.serve('read', distance, 0))
      }
      return least
    }
    const times = [2 * MIB, 64 * MIB, GIB, 8 * GIB - 1].map(nearest)
    for (const [i, ms] of times.entries()) assert.ok(i === 0 || ms > times[i - 1]!)
    assert.ok(times[0]! > 1 && times[3]! < 17)
  })
})

describe('the queue', () => {
  const requests = fc.array(fc.nat(1000), { minLength: 1, maxLength: 80 })
  const takeAll = (queue: DiskQueue<{ kind: 'read'; offset: number; bytes: number }>) => {
    const order: number[] = []
    let head = 500
    for (;;) {
      const next = queue.take(head)
      if (next === undefined) return order
      order.push(next.offset)
      head = next.offset
    }
  }
  const filled = (depth: number, offsets: readonly number[]) => {
    const queue = new DiskQueue<{ kind: 'read'; offset: number; bytes: number }>(depth)
    for (const offset of offsets) queue.add({ kind: 'read', offset, bytes: 0 })
    return queue
  }

  test('without an elevator requests are served as they came', () => {
    fc.assert(
      fc.property(requests, (offsets) => {
        assert.deepEqual(takeAll(filled(1, offsets)), offsets)
      }),
    )
  })

  test('an elevator that sees all goes up once from the head and once from the bottom', () => {
    fc.assert(
      fc.property(requests, (offsets) => {
        const ascending = [...offsets].sort((a, b) => a - b)
        const expected = [
          ...ascending.filter((offset) => offset >= 500),
          ...ascending.filter((offset) => offset < 500),
        ]
        assert.deepEqual(takeAll(filled(1000, offsets)), expected)
      }),
    )
  })

  test('every request is served once, whatever the depth', () => {
    fc.assert(
      fc.property(requests, fc.integer({ min: 1, max: 40 }), (offsets, depth) => {
        const order = takeAll(filled(depth, offsets))
        const sorted = (list: readonly number[]) => [...list].sort((a, b) => a - b)
        assert.deepEqual(sorted(order), sorted(offsets))
      }),
    )
  })

  test('32 random requests at a time take less than two thirds of the time of one at a time', () => {
    const time = (depth: number): number => {
      const random = seededRandom(5)
      const replay = new DiskReplay({ ...DISK_7200, sizeBytes: 8 * GIB }, depth)
      for (let i = 0; i < 2_000; i++) replay.note('read', below(random, 2 ** 20) * 8192, 4096)
      return replay.report().seconds
    }
    assert.ok(time(32) < (2 / 3) * time(1))
  })
})

/** Every task at once: a device in no time, for tests that do not ask how long. */
const hurry: Clock = {
  monotonicMs: () => 0,
  wallMs: () => 0,
  after(_delayMs, task) {
    let cancelled = false
    setImmediate(() => {
      if (!cancelled) task()
    })
    return () => {
      cancelled = true
    }
  },
}

describe('the device', () => {
  blockDeviceConformance({
    test: (name, body) => void test(name, body),
    open: async () =>
      new SpinningDevice({
        device: new MemoryDevice({ sizeBytes: 4 * MIB }),
        model: disk(4 * MIB),
        clock: hurry,
      }),
  })

  test('answers when the time of the request has passed, and not before', async () => {
    const clock = new ManualClock()
    const device = new SpinningDevice({
      device: new MemoryDevice({ sizeBytes: 8 * MIB }),
      model: disk(8 * MIB),
      clock,
    })
    const order: string[] = []
    const note = (what: string) => () => void order.push(`${what} at ${clock.monotonicMs()}`)
    const rest = () => new Promise((resolve) => setImmediate(resolve))
    const bytes = new Uint8Array(150 * 1024)
    void device.write(0, bytes).then(note('first'))
    void device.write(bytes.length, bytes).then(note('second'))
    void device.flush().then(note('flush'))
    await rest()
    assert.deepEqual(order, [])
    while (clock.step()) await rest()
    assert.deepEqual(order, ['first at 1.024', 'second at 2.048', 'flush at 2.048'])
  })

  test('writes what the memory holds when the head is there', async () => {
    const clock = new ManualClock()
    const memory = new MemoryDevice({ sizeBytes: MIB })
    const device = new SpinningDevice({ device: memory, model: disk(MIB), clock })
    const bytes = new Uint8Array(512).fill(1)
    const written = device.write(0, bytes)
    bytes.fill(2)
    clock.advance(1000)
    await written
    const found = new Uint8Array(512)
    await memory.read(0, found)
    assert.equal(found[0], 2)
  })
})

describe('replay', () => {
  test('a log has one figure, in no time', async () => {
    const path = join(folder, 'log')
    const log = await AccessLogWriter.create(path, {
      clock: new ManualClock(),
      deviceBytes: 8 * GIB,
      onFailure: (error) => assert.fail(error),
    })
    const WRITE = 1
    const FLUSH = 2
    for (let i = 0; i < 64; i++) log.note(WRITE, GIB + i * 4 * MIB, 4 * MIB)
    log.note(FLUSH, 0, 0)
    log.note(WRITE, 0, 4096)
    log.note(FLUSH, 0, 0)
    for (let i = 64; i < 128; i++) log.note(WRITE, GIB + i * 4 * MIB, 4 * MIB)
    await log.close()
    const report = await replayAccessLog(path)
    assert.equal(report.seeks, 3)
    assert.equal(report.writes, 129)
    assert.equal(report.writtenBytes, 512 * MIB + 4096)
    assert.deepEqual(await replayAccessLog(path), report)
    assert.ok(report.fractionOfLimit > 0.98 && report.fractionOfLimit < 1)
    assert.equal(report.seeksPerGib, 3 / (report.writtenBytes / GIB))
  })

  test('a flush ends what the elevator may sort', () => {
    const parameters = { ...DISK_7200, sizeBytes: GIB }
    const replay = (flush: boolean): number => {
      const run = new DiskReplay(parameters)
      for (const offset of [0, 512 * MIB, 4096, 512 * MIB + 4096]) {
        run.note('write', offset, 4096)
        if (flush) run.note('flush', 0, 0)
      }
      return run.report().seeks
    }
    assert.equal(replay(false), 1)
    assert.equal(replay(true), 3)
  })
})
