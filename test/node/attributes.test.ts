import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../src/base/index.ts'
import { decodeAttributes, encodeAttributes } from '../../src/node/index.ts'
import { mutate } from '../mutate.ts'

test('trackers survive the way to the device and back', () => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.webUrl(), { minLength: 1 })), (trackers) => {
      assert.deepEqual(decodeAttributes(encodeAttributes({ trackers })), { trackers })
    }),
  )
})

test('anything else is taken for no trackers, never for an error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      assert.ok(Array.isArray(decodeAttributes(bytes).trackers))
    }),
  )
  const random = seededRandom(27)
  const good = encodeAttributes({
    trackers: [['http://a/'], ['udp://b:1']],
    only: ['*'],
    webSeeds: ['http://c/'],
  })
  for (let round = 0; round < 3000; round++) {
    const { trackers, only = [], webSeeds = [] } = decodeAttributes(mutate(good, random, 500))
    for (const text of [...trackers.flat(), ...only, ...webSeeds])
      assert.equal(typeof text, 'string')
  }
  assert.deepEqual(decodeAttributes(new Uint8Array(0)), { trackers: [] })
  assert.deepEqual(decodeAttributes(Buffer.from('d13:announce-listi3ee')), { trackers: [] })
})
