import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeAttributes, encodeAttributes } from '../../src/node/index.ts'

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
  assert.deepEqual(decodeAttributes(new Uint8Array(0)), { trackers: [] })
  assert.deepEqual(decodeAttributes(Buffer.from('d13:announce-listi3ee')), { trackers: [] })
})
