/** SipHash-2-4 against the values its authors publish, and against arithmetic in BigInt. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SipHash } from '../../src/tracker/siphash.ts'

const COUNTING = Uint8Array.from({ length: 16 }, (_, i) => i)

function tag(key: Uint8Array, message: Uint8Array): string {
  const bytes = new Uint8Array(8)
  new SipHash(key).write(message, bytes)
  return Buffer.from(bytes).toString('hex')
}

test('the published values: key 00…0f, messages of 0 and 15 counting bytes', () => {
  assert.equal(tag(COUNTING, new Uint8Array(0)), '310e0edd47db6f72')
  assert.equal(tag(COUNTING, COUNTING.subarray(0, 15)), 'e545be4961ca29a1')
})

/** The definition, word for word. */
function reference(key: Uint8Array, message: Uint8Array): string {
  const U64 = (value: bigint): bigint => BigInt.asUintN(64, value)
  const rotate = (x: bigint, n: bigint): bigint => U64((x << n) | (x >> (64n - n)))
  const k0 = Buffer.from(key).readBigUInt64LE(0)
  const k1 = Buffer.from(key).readBigUInt64LE(8)
  let v0 = k0 ^ 0x736f6d6570736575n
  let v1 = k1 ^ 0x646f72616e646f6dn
  let v2 = k0 ^ 0x6c7967656e657261n
  let v3 = k1 ^ 0x7465646279746573n
  const round = (): void => {
    v0 = U64(v0 + v1)
    v2 = U64(v2 + v3)
    v1 = rotate(v1, 13n) ^ v0
    v3 = rotate(v3, 16n) ^ v2
    v0 = rotate(v0, 32n)
    v2 = U64(v2 + v1)
    v0 = U64(v0 + v3)
    v1 = rotate(v1, 17n) ^ v2
    v3 = rotate(v3, 21n) ^ v0
    v2 = rotate(v2, 32n)
  }
  const padded = Buffer.alloc((Math.floor(message.length / 8) + 1) * 8)
  padded.set(message)
  padded[padded.length - 1] = message.length
  for (let at = 0; at < padded.length; at += 8) {
    const word = padded.readBigUInt64LE(at)
    v3 ^= word
    round()
    round()
    v0 ^= word
  }
  v2 ^= 0xffn
  for (let i = 0; i < 4; i++) round()
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(v0 ^ v1 ^ v2 ^ v3)
  return bytes.toString('hex')
}

test('halves of words compute what whole words do', () => {
  const key = fc.uint8Array({ minLength: 16, maxLength: 16 })
  fc.assert(
    fc.property(key, fc.uint8Array({ maxLength: 40 }), (k, message) => {
      assert.equal(tag(k, message), reference(k, message))
    }),
    { numRuns: 500, seed: 24 },
  )
})
