import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { bytesEqual, seededRandom } from '../../../src/base/index.ts'
import { copyInto } from '../../../src/engine/wire/copy.ts'

const SIZE = 70_000
const source = new Uint8Array(SIZE)
seededRandom(6).fill(source)

for (const kind of ['private', 'shared'] as const) {
  test(`any bytes to any place of ${kind} memory, and nothing beside them`, () => {
    const memory =
      kind === 'shared' ? new SharedArrayBuffer(SIZE + 100) : new ArrayBuffer(SIZE + 100)
    const place = fc.nat(40)
    const length = fc.oneof(fc.nat(600), fc.nat(SIZE - 100), fc.constantFrom(16_384, 32_768))
    fc.assert(
      fc.property(place, place, place, length, (offset, at, from, count) => {
        new Uint8Array(memory).fill(0)
        const target = new Uint8Array(memory, offset, SIZE)
        copyInto(target, at, source, from, count)
        const expected = new Uint8Array(SIZE)
        expected.set(source.subarray(from, from + count), at)
        assert.ok(bytesEqual(target, expected))
      }),
      { seed: 8, numRuns: 150 },
    )
  })
}
