/** The order in which a disk is asked: reads by place, one way, nobody starved; reads and writes in turns. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { below, ManualClock, seededRandom } from '../../src/base/index.ts'
import {
  allocateAligned,
  DISK_7200,
  DiskModel,
  MemoryDevice,
  SpinningDevice,
} from '../../src/block-device/index.ts'
import { Disk, Disks, READ_DEPTH, READS_A_TURN, WRITES_A_TURN } from '../../src/engine/disk.ts'
import { Elevator, MAX_PASSED } from '../../src/engine/elevator.ts'
import { Geometry } from '../../src/engine/geometry.ts'
import { type ReadBlock, ReadCache, ReadSource } from '../../src/engine/read-cache.ts'
import { formatVolume, mountVolume } from '../../src/filesystem/index.ts'
import { oddTorrent } from '../torrent-store/torrent.ts'

const MIB = 2 ** 20

test('the elevator goes up, then begins at the lowest again', () => {
  const elevator = new Elevator<{ place: number }>()
  const add = (place: number): void => elevator.add({ place }, place)
  for (const place of [20, 5, 9, 12, 2]) add(place)
  const served: number[] = []
  const take = (): void => void served.push(elevator.take()!.place)
  take()
  take()
  take()
  add(4)
  add(10)
  while (elevator.size > 0) take()
  assert.deepEqual(served, [2, 5, 9, 10, 12, 20, 4])
  assert.equal(elevator.take(), undefined)
})

test('whatever comes and goes: everything is served once, in order, and passed by few', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -3, max: 50 }), { maxLength: 900 }), (steps) => {
      const elevator = new Elevator<{ place: number; passed: number }>()
      const waiting = new Set<{ place: number; passed: number }>()
      let cursor = 0
      const take = (): void => {
        const taken = elevator.take()
        assert.equal(taken === undefined, waiting.size === 0)
        if (taken === undefined) return
        const [oldest] = waiting
        waiting.delete(taken)
        const late = oldest!.passed >= MAX_PASSED
        if (late) assert.equal(taken, oldest)
        else {
          const better = [...waiting].some(({ place }) =>
            taken.place >= cursor
              ? place >= cursor && place < taken.place
              : place >= cursor || place < taken.place,
          )
          assert.ok(!better, `${taken.place} after ${cursor}`)
        }
        cursor = taken.place
        for (const item of waiting) item.passed++
        assert.ok(taken.passed <= MAX_PASSED + waiting.size, 'passed by too many')
      }
      for (const step of steps) {
        if (step >= 0) {
          const item = { place: step, passed: 0 }
          waiting.add(item)
          elevator.add(item, step)
        } else if (step === -3 && waiting.size > 0) {
          const [item] = waiting
          waiting.delete(item!)
          assert.ok(elevator.delete(item!))
          assert.ok(!elevator.delete(item!))
        } else take()
        assert.equal(elevator.size, waiting.size)
      }
      while (waiting.size > 0) take()
    }),
    { seed: 1, numRuns: 200 },
  )
})

test('who asks again and again beside the head does not keep the others waiting', () => {
  const elevator = new Elevator<{ place: number }>()
  elevator.add({ place: 1_000_000 }, 1_000_000)
  elevator.add({ place: 10 }, 10)
  for (let i = 0; ; i++) {
    elevator.add({ place: 10 + i }, 10 + i)
    if (elevator.take()!.place === 1_000_000) {
      assert.equal(i, MAX_PASSED)
      return
    }
    assert.ok(i <= MAX_PASSED)
  }
})

test('reads and writes that both wait take turns; one that is alone is not held up', async () => {
  const events: string[] = []
  const disk = new Disk<object>(() => pump())
  const finish: (() => void)[] = []
  const pump = (): void => {
    while (disk.nextRead !== undefined) {
      disk.begin()
      events.push('r')
      finish.push(() => {
        disk.ended()
        pump()
      })
    }
  }
  const write = (stripe: number): void =>
    disk.writes.add({
      owner: disk,
      stripe,
      run: () => {
        events.push('w')
        return new Promise((resolve) => finish.push(resolve))
      },
      done: () => {},
      failed: () => assert.fail('a write failed'),
    })
  // Alone, more than a turn of them.
  for (let i = 0; i < 10; i++) write(i)
  const settle = async (): Promise<void> => {
    while (finish.length > 0) {
      finish.shift()!()
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  await settle()
  assert.equal(events.join(''), 'w'.repeat(10))
  events.length = 0
  for (let i = 0; i < 3 * READS_A_TURN; i++) disk.add({}, i)
  for (let i = 0; i < 3 * WRITES_A_TURN; i++) write(i)
  pump()
  await settle()
  const runs = events.join('').match(/r+|w+/g)!
  const lengths = (kind: string, most: number): void => {
    for (const run of runs.slice(1, -1).filter((found) => found[0] === kind)) {
      assert.ok(run.length <= most, `${runs}`)
    }
  }
  lengths('r', READS_A_TURN)
  lengths('w', 2 * WRITES_A_TURN)
  assert.ok(runs.length >= 5 && runs.length <= 9, `${runs}`)
  assert.equal(events.length, 3 * READS_A_TURN + 3 * WRITES_A_TURN)
})

/** A volume on a disk that spins, one torrent of 512 MiB on it, whole. */
async function spinning(): Promise<{
  clock: ManualClock
  source: ReadSource
  served: number[]
  until: (done: () => boolean) => Promise<number>
}> {
  const clock = new ManualClock()
  const memory = new MemoryDevice({ sizeBytes: 600 * MIB })
  const options = { clock, random: seededRandom(1) }
  await formatVolume(memory, options)
  const model = new DiskModel({ ...DISK_7200, sizeBytes: 600 * MIB }, seededRandom(2))
  const device = new SpinningDevice({ device: memory, model, clock, queueDepth: 1 })
  const served: number[] = []
  device.onServed = (kind, offset) => {
    if (kind === 'read') served.push(offset)
  }
  const until = async (done: () => boolean): Promise<number> => {
    const startMs = clock.monotonicMs()
    while (!done()) {
      clock.advance(1)
      await new Promise((resolve) => setImmediate(resolve))
    }
    return clock.monotonicMs() - startMs
  }
  const settled = async <T>(promise: Promise<T>): Promise<T> => {
    let over = false
    const end = (): void => {
      over = true
    }
    promise.then(end, end)
    await until(() => over)
    return promise
  }
  const volume = await settled(mountVolume(device, options))
  const info = oddTorrent(512 * MIB, MIB)
  const stored = await settled(volume.create(info, info.infoBytes))
  const zeros = allocateAligned(4 * MIB)
  for (let block = 0; block < 128; block++) await settled(stored.write(block * 4 * MIB, zeros))
  for (let piece = 0; piece < 512; piece++) stored.markHave(piece)
  served.length = 0
  const source = new ReadSource(stored, new Geometry(512 * MIB, MIB, 4 * MIB), (error) => {
    throw error
  })
  return { clock, source, served, until }
}

test('a disk that spins is read by ascending place, in less time than in the order of asking', async () => {
  const wanted = (random = seededRandom(3)): number[] => {
    const blocks = new Set<number>()
    while (blocks.size < 100) blocks.add(below(random, 1024))
    return [...blocks].map((block) => block * 512 * 1024)
  }
  const run = async (atOnce: number): Promise<{ ms: number; served: number[] }> => {
    const { source, served, until } = await spinning()
    const disks = new Disks<ReadBlock>()
    const cache = new ReadCache(200 * 512 * 1024, 4 * MIB, allocateAligned, disks)
    let ms = 0
    const all = wanted()
    for (let at = 0; at < all.length; at += atOnce) {
      let left = Math.min(atOnce, all.length - at)
      const onBlock = (): void => void left--
      for (const offset of all.slice(at, at + atOnce)) cache.load(source, offset, { onBlock })
      ms += await until(() => left === 0)
    }
    return { ms, served }
  }
  const together = await run(100)
  const descents = together.served.filter((at, i) => i > 0 && at < together.served[i - 1]!)
  // The first few begin before the others are known.
  assert.ok(descents.length <= 1 + READ_DEPTH, `${descents.length} ways back`)
  assert.equal(together.served.length, 100)
  const rest = together.served.slice(READ_DEPTH)
  const turns = rest.filter((at, i) => i > 0 && at < rest[i - 1]!)
  assert.ok(turns.length <= 1, 'one way, from the lowest again once')
  const oneByOne = await run(1)
  assert.ok(together.ms < 0.75 * oneByOne.ms, `${together.ms} ms, one by one ${oneByOne.ms} ms`)
})
