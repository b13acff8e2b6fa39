/** The access log says what was asked of a device, in order, and is in nobody's way. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import fc from 'fast-check'
import { ManualClock, SeedbedError } from '../../src/base/index.ts'
import {
  ACCESS_OPERATIONS,
  AccessLogWriter,
  blockDeviceConformance,
  LoggedDevice,
  MemoryDevice,
  readAccessLog,
} from '../../src/block-device/index.ts'

const MIB = 2 ** 20
const folder = mkdtempSync(join(tmpdir(), 'seedbed-log-'))
after(() => rmSync(folder, { recursive: true }))
let counter = 0
const fresh = (): string => join(folder, `log-${counter++}`)
const fail = (error: Error): never => assert.fail(error)

type Entry = readonly [operation: string, timeUs: number, offset: number, bytes: number]

async function entriesOf(path: string): Promise<Entry[]> {
  const entries: Entry[] = []
  await readAccessLog(path, (...entry) => entries.push(entry))
  return entries
}

describe('a logged device is a device', () => {
  blockDeviceConformance({
    test: (name, body) => void test(name, body),
    open: async () => {
      const device = new LoggedDevice(new MemoryDevice({ sizeBytes: 4 * MIB }))
      const options = { clock: new ManualClock(), deviceBytes: 4 * MIB, onFailure: fail }
      device.log = await AccessLogWriter.create(fresh(), options)
      return device
    },
  })
})

test('operations are noted while a log is set, and only then', async () => {
  const clock = new ManualClock(5_000)
  const device = new LoggedDevice(new MemoryDevice({ sizeBytes: MIB }))
  const path = fresh()
  const log = await AccessLogWriter.create(path, { clock, deviceBytes: MIB, onFailure: fail })
  const sector = new Uint8Array(1024)
  await device.write(0, sector)
  device.log = log
  clock.advance(7)
  await device.write(4096, sector)
  clock.advance(0.5)
  await device.read(512, sector)
  await device.flush()
  await device.discard(0, 65_536)
  device.log = undefined
  await device.read(0, sector)
  await log.close()
  assert.deepEqual(await entriesOf(path), [
    ['write', 7_000, 4096, 1024],
    ['read', 7_500, 512, 1024],
    ['flush', 7_500, 0, 0],
    ['discard', 7_500, 0, 65_536],
  ])
  const info = await readAccessLog(path, () => {})
  assert.deepEqual(info, { deviceBytes: MIB, startedAtMs: 5_000 })
})

test('any records come back as they went in, up to the end of an 8 PiB device', async () => {
  const record = fc.tuple(
    fc.nat(3),
    fc.nat(2 ** 30),
    fc.maxSafeNat().map((offset) => offset - (offset % 512)),
    fc.nat(2 ** 29 - 1).map((units) => units * 512),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(record, { maxLength: 300 }), async (records) => {
      const clock = new ManualClock()
      const path = fresh()
      const log = await AccessLogWriter.create(path, { clock, deviceBytes: 1, onFailure: fail })
      const expected: Entry[] = []
      for (const [operation, passedMs, offset, bytes] of records) {
        clock.advance(passedMs)
        log.note(operation, offset, bytes)
        const timeUs = Math.min(clock.monotonicMs() * 1000, 2 ** 48 - 1)
        expected.push([ACCESS_OPERATIONS[operation]!, timeUs, offset, bytes])
      }
      await log.close()
      assert.deepEqual(await entriesOf(path), expected)
    }),
    { numRuns: 50, seed: 20261122 },
  )
})

test('what does not fit the memory is counted', async () => {
  const path = fresh()
  const options = { clock: new ManualClock(), deviceBytes: MIB, onFailure: fail }
  const log = await AccessLogWriter.create(path, options)
  const NOTED = 20_000
  for (let i = 0; i < NOTED; i++) log.note(1, i * 512, 512)
  await new Promise((resolve) => setImmediate(resolve))
  await log.close()
  const before = (await entriesOf(path)).length
  assert.equal(before, 8_192, 'two buffers of 64 KiB')

  const second = await AccessLogWriter.create(path, options)
  for (let i = 0; i < NOTED; i++) second.note(1, i * 512, 512)
  const written = async (): Promise<boolean> => readFileSync(path).length > 65_536
  while (!(await written())) await new Promise((resolve) => setImmediate(resolve))
  // A turn more: the buffer that was written has to come back.
  await new Promise((resolve) => setImmediate(resolve))
  second.note(0, 0, 512)
  await second.close()
  const entries = await entriesOf(path)
  const lost = entries.filter(([operation]) => operation === 'lost')
  assert.deepEqual(
    lost.map(([, , count]) => count),
    [NOTED - 8_192],
  )
  assert.equal(entries.at(-1)![0], 'read')
})

test('the file is at most a second behind', async () => {
  const clock = new ManualClock()
  const path = fresh()
  const log = await AccessLogWriter.create(path, { clock, deviceBytes: MIB, onFailure: fail })
  log.note(2, 0, 0)
  clock.advance(1000)
  while ((await entriesOf(path)).length === 0) await null
  await log.close()
})

test('a log that was cut is read up to the cut; something else is none, and is not replaced', async () => {
  const path = fresh()
  const options = { clock: new ManualClock(), deviceBytes: MIB, onFailure: fail }
  const log = await AccessLogWriter.create(path, options)
  for (let i = 0; i < 3; i++) log.note(1, 0, 512)
  await log.close()
  truncateSync(path, 32 + 2 * 16 + 5)
  assert.equal((await entriesOf(path)).length, 2)
  truncateSync(path, 20)
  const noLog = (error: unknown): boolean =>
    error instanceof SeedbedError && error.code === 'DEVICE_NO_LOG'
  await assert.rejects(entriesOf(path), noLog)
  writeFileSync(path, 'a letter to a friend, longer than a header')
  await assert.rejects(entriesOf(path), noLog)
  await assert.rejects(AccessLogWriter.create(path, options), noLog)
  assert.match(readFileSync(path, 'utf8'), /^a letter/)
})

test('any bytes behind a header are records or nothing', async () => {
  const path = fresh()
  const options = { clock: new ManualClock(), deviceBytes: MIB, onFailure: fail }
  await (await AccessLogWriter.create(path, options)).close()
  const header = readFileSync(path)
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 500 }), async (bytes) => {
      writeFileSync(path, Buffer.concat([header, bytes]))
      for (const [operation, timeUs, offset, length] of await entriesOf(path)) {
        assert.ok((ACCESS_OPERATIONS as readonly string[]).includes(operation))
        assert.ok(timeUs >= 0 && offset >= 0 && length >= 0)
      }
    }),
    { numRuns: 50, seed: 7 },
  )
})
