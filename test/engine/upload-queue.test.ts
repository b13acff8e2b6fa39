/** What one peer has asked for: cancels find their request at once, and no other. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ManualClock } from '../../src/base/index.ts'
import type { Content } from '../../src/engine/content.ts'
import { Geometry } from '../../src/engine/geometry.ts'
import type { PeerWriter } from '../../src/engine/peer-writer.ts'
import type { ReadCache } from '../../src/engine/read-cache.ts'
import { Throttle } from '../../src/engine/throttle.ts'
import { MAX_REQUESTS, UploadQueue } from '../../src/engine/upload-queue.ts'

const CHUNK = 16_384
const PIECE = 4 * CHUNK
const geometry = new Geometry(10 * PIECE, PIECE, 4 * PIECE)

/** A queue in front of a peer that does not read: nothing is served. */
function queueOf(): UploadQueue {
  const writer = { blocked: true } as PeerWriter
  const share = new Throttle(new ManualClock(), undefined).share(undefined)
  return new UploadQueue(writer, {} as ReadCache, { geometry } as Content, share, () => {})
}

function waiting(queue: UploadQueue): string[] {
  const found: string[] = []
  queue.clear((piece, begin, length) => found.push(`${piece} ${begin} ${length}`))
  return found
}

test('a cancel takes the one request that it names, whatever was asked for and cancelled before', () => {
  const request = fc.record({
    cancel: fc.boolean(),
    piece: fc.integer({ min: 0, max: 11 }),
    chunk: fc.integer({ min: 0, max: 4 }),
    length: fc.constantFrom(CHUNK, CHUNK, CHUNK, 100),
  })
  fc.assert(
    fc.property(fc.array(request, { maxLength: 200 }), (steps) => {
      const queue = queueOf()
      const model: string[] = []
      for (const { cancel, piece, chunk, length } of steps) {
        const name = `${piece} ${chunk * CHUNK} ${length}`
        const place = `${piece} ${chunk * CHUNK} `
        if (!cancel && piece < 10 && chunk < 4) {
          assert.ok(queue.add(piece, chunk * CHUNK, length))
          model.push(name)
        } else if (cancel) {
          const last = model.findLastIndex((other) => other.startsWith(place))
          const found = queue.cancel(piece, chunk * CHUNK, length)
          // Of several for one place the last alone is known; asking twice is the peer's own doing.
          if (found) {
            assert.equal(model[last], name)
            model.splice(last, 1)
          } else if (model.filter((other) => other.startsWith(place)).length === 1) {
            const twice = steps.filter(
              (step) => !step.cancel && step.piece === piece && step.chunk === chunk,
            )
            if (twice.length === 1) assert.notEqual(model[last], name)
          }
        }
      }
      assert.deepEqual(waiting(queue), model)
      assert.deepEqual(waiting(queue), [])
    }),
    { seed: 1, numRuns: 300 },
  )
})

test('so many requests wait, and no more', () => {
  const queue = queueOf()
  for (let i = 0; i < MAX_REQUESTS; i++) assert.ok(queue.add(i % 10, (i % 4) * CHUNK, CHUNK))
  assert.ok(!queue.add(0, 0, CHUNK))
  assert.equal(queue.length, MAX_REQUESTS)
})
