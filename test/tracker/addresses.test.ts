/** Addresses: node's own judgement is the oracle. */
import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress, writeAddressText, writeDecimal } from '../../src/tracker/addresses.ts'

const hex = (text: string): string | null => {
  const address = parseAddress(text)
  return address === null ? null : Buffer.from(address).toString('hex')
}

test('addresses become bytes', () => {
  for (const [text, expected] of [
    ['1.2.3.4', '01020304'],
    ['255.255.255.255', 'ffffffff'],
    ['::', '00000000000000000000000000000000'],
    ['::1', '00000000000000000000000000000001'],
    ['2001:db8::', '20010db8000000000000000000000000'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['fe80::1%eth0', 'fe800000000000000000000000000001'],
    ['64:ff9b::1.2.3.4', '0064ff9b000000000000000001020304'],
    ['::ffff:1.2.3.4', '01020304'],
    ['::ffff:102:304', '01020304'],
    ['1.2.3', null],
    ['1.2.3.4.5', null],
    ['1.2.3.256', null],
    ['01.2.3.4', null],
    ['', null],
    [':', null],
    [':::', null],
    ['1::2::3', null],
    ['1:2:3:4:5:6:7', null],
    ['1:2:3:4:5:6:7::8', null],
    ['12345::', null],
    ['::1%', null],
  ] as const) {
    assert.equal(hex(text), expected, text)
  }
})

test('what node takes for an address is one, and nothing else', () => {
  const near = fc.stringMatching(/^[0-9a-f:.]{0,24}$/)
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), near), (text) => {
      assert.equal(parseAddress(text) !== null, isIP(text) !== 0, text)
    }),
    { numRuns: 5000, seed: 4 },
  )
})

test('the text that is written is read as the same bytes', () => {
  const target = new Uint8Array(64)
  const address = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  )
  fc.assert(
    fc.property(address, (bytes) => {
      const end = writeAddressText(bytes, 0, bytes.length, target, 5)
      assert.ok(end - 5 <= 39)
      const text = Buffer.from(target.subarray(5, end)).toString()
      assert.deepEqual([...parseAddress(text)!], [...bytes])
    }),
    { seed: 5 },
  )
})

test('decimal numbers', () => {
  const target = new Uint8Array(32)
  fc.assert(
    fc.property(fc.maxSafeNat(), (value) => {
      const text = Buffer.from(target.subarray(0, writeDecimal(value, target, 0))).toString()
      assert.equal(text, String(value))
    }),
    { seed: 6 },
  )
})
