import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromHex } from '../../../src/base/index.ts'
import { formatAddress, parseAddress } from '../../../src/engine/wire/address.ts'

const CASES: readonly (readonly [string, string])[] = [
  ['7f000001', '127.0.0.1'],
  ['ffffffff', '255.255.255.255'],
  ['00000000000000000000000000000000', '::'],
  ['00000000000000000000000000000001', '::1'],
  ['20010db8000000000000000000000001', '2001:db8::1'],
  ['20010db8000000010001000100010001', '2001:db8:0:1:1:1:1:1'],
  ['20010000000000010000000000000001', '2001:0:0:1::1'],
  ['00010000000000000001000000000000', '1::1:0:0:0'],
  ['fe800000000000000000000000000000', 'fe80::'],
]

for (const [hex, text] of CASES) {
  test(`${hex} is ${text}`, () => {
    const bytes = fromHex(hex)!
    assert.equal(formatAddress(bytes, 0, bytes.length as 4 | 16), text)
    assert.deepEqual(parseAddress(text), bytes)
  })
}

test('an IPv4 address mapped into IPv6 is the IPv4 address', () => {
  assert.equal(formatAddress(fromHex('00000000000000000000ffff0a000001')!, 0, 16), '10.0.0.1')
  assert.deepEqual(parseAddress('::ffff:10.0.0.1'), Uint8Array.of(10, 0, 0, 1))
})

test('a zone is left out, and what is no address is null', () => {
  assert.deepEqual(parseAddress('fe80::1%eth0'), fromHex('fe800000000000000000000000000001'))
  for (const text of ['', 'localhost', '1.2.3', '1.2.3.4.5', ':::', '1::2::3', 'g::']) {
    assert.equal(parseAddress(text), null, text)
  }
})

test('every IPv6 address survives text and is written as URLs write it', () => {
  const word = fc.oneof(fc.constant(0), fc.nat(0xffff))
  fc.assert(
    fc.property(fc.array(word, { minLength: 8, maxLength: 8 }), (words) => {
      const bytes = Uint8Array.from(words.flatMap((w) => [w >>> 8, w & 0xff]))
      const text = formatAddress(bytes, 0, 16)
      if (text.includes('.')) return
      assert.deepEqual(parseAddress(text), bytes)
      assert.equal(new URL(`http://[${text}]/`).hostname, `[${text}]`)
    }),
    { seed: 7 },
  )
})
