/** The head in real time takes the times of the simulated one, and being noticed late costs it nothing. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { DiskHead } from '../../bench/disk/head.ts'
import { ManualClock, seededRandom } from '../../src/base/index.ts'
import {
  DISK_7200,
  DiskModel,
  type DiskRequest,
  MemoryDevice,
  SpinningDevice,
} from '../../src/block-device/index.ts'

const SIZE_BYTES = 64 * 2 ** 20
const model = (): DiskModel =>
  new DiskModel({ ...DISK_7200, sizeBytes: SIZE_BYTES }, seededRandom(7))

interface Timed extends DiskRequest {
  readonly arrivesMs: number
}

const requests = fc.array(
  fc.record({
    kind: fc.constantFrom('read' as const, 'write' as const),
    offset: fc.nat({ max: 1000 }).map((sector) => sector * 4096),
    bytes: fc.integer({ min: 1, max: 64 }).map((sectors) => sectors * 4096),
    waitMs: fc.nat({ max: 30 }),
  }),
  { minLength: 1, maxLength: 60 },
)

function timed(drawn: readonly (DiskRequest & { readonly waitMs: number })[]): Timed[] {
  let arrivesMs = 0
  return drawn.map(({ waitMs, ...request }) => {
    arrivesMs += waitMs
    return { ...request, arrivesMs }
  })
}

/** Ends in the order of the head: by asking each `everyMs`. */
function inRealTime(all: readonly Timed[], depth: number, everyMs: number): [Timed, number][] {
  const head = new DiskHead<Timed>(model(), depth)
  const ends: [Timed, number][] = []
  let next = 0
  let dueMs = 0
  for (let nowMs = 0; ends.length < all.length; nowMs += everyMs) {
    for (;;) {
      const arrival = all[next]
      const arrivesMs = arrival === undefined ? Number.POSITIVE_INFINITY : arrival.arrivesMs
      if (head.dueMs <= Math.min(arrivesMs, nowMs)) {
        dueMs = head.dueMs
        ends.push([head.finish(dueMs)!, dueMs])
      } else if (arrivesMs <= nowMs) {
        head.arrive(arrival!, arrivesMs)
        next++
      } else break
    }
  }
  return ends
}

async function inVirtualTime(all: readonly Timed[], depth: number): Promise<Map<Timed, number>> {
  const clock = new ManualClock()
  const memory = new MemoryDevice({ sizeBytes: SIZE_BYTES })
  const device = new SpinningDevice({ device: memory, model: model(), clock, queueDepth: depth })
  const ends = new Map<Timed, number>()
  for (const request of all) {
    clock.after(request.arrivesMs, () => {
      const bytes = new Uint8Array(request.bytes)
      const done =
        request.kind === 'read'
          ? device.read(request.offset, bytes)
          : device.write(request.offset, bytes)
      void done.then(() => ends.set(request, clock.monotonicMs()))
    })
  }
  while (ends.size < all.length) {
    await new Promise((resolve) => setImmediate(resolve))
    clock.step()
  }
  return ends
}

describe('the head of a disk in real time', () => {
  for (const depth of [1, 32]) {
    test(`takes the times of the one in virtual time, ${depth} in its queue`, async () => {
      await fc.assert(
        fc.asyncProperty(requests, async (drawn) => {
          const all = timed(drawn)
          const virtual = await inVirtualTime(all, depth)
          for (const [request, endMs] of inRealTime(all, depth, 1)) {
            assert.ok(Math.abs(virtual.get(request)! - endMs) < 1e-6)
          }
        }),
        { numRuns: 40 },
      )
    })
  }

  test('noticed late, it has lost no time between two that waited', () => {
    const disk = model()
    const head = new DiskHead<DiskRequest>(disk, 32)
    for (let i = 0; i < 4; i++)
      head.arrive({ kind: 'write', offset: i * 2 ** 20, bytes: 2 ** 20 }, 0)
    const oneMs = disk.sequentialMs(2 ** 20)
    for (let i = 1; i <= 4; i++) {
      assert.ok(Math.abs(head.dueMs - i * oneMs) < 1e-9)
      assert.equal(head.finish(head.dueMs - 0.001), undefined)
      // Seen when the next two are over as well.
      assert.equal(head.finish(1_000)?.offset, (i - 1) * 2 ** 20)
    }
    assert.equal(head.finish(1_000), undefined)
    assert.equal(head.dueMs, Number.POSITIVE_INFINITY)
  })

  test('a request does not begin before it arrived', () => {
    const disk = model()
    const head = new DiskHead<DiskRequest>(disk, 32)
    head.arrive({ kind: 'write', offset: 0, bytes: 4096 }, 100)
    assert.ok(head.dueMs > 100)
    const firstMs = head.dueMs
    head.arrive({ kind: 'write', offset: 4096, bytes: 4096 }, firstMs + 50)
    assert.ok(head.finish(firstMs + 60))
    assert.ok(head.dueMs > firstMs + 50)
  })
})
