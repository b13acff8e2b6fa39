/** Bits in wire order: the same as a list of booleans, whatever happens to them, with and without bytes of their own. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Bitfield, toHex, toLatin1 } from '../../src/base/index.ts'

function bytesOf(bits: readonly boolean[]): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(bits.length / 8))
  for (const [i, bit] of bits.entries()) if (bit) bytes[i >>> 3]! |= 0x80 >>> (i & 7)
  return bytes
}

function assertSame(field: Bitfield, bits: readonly boolean[]): void {
  assert.equal(field.count, bits.filter((bit) => bit).length)
  assert.equal(field.full, !bits.includes(false))
  for (let i = -1; i <= bits.length; i++) assert.equal(field.has(i), bits[i] === true, `bit ${i}`)
}

test('a bitfield is a list of booleans, also where all are alike and nobody has looked at its bytes', () => {
  const step = fc.record({
    what: fc.constantFrom('set', 'clear', 'fill', 'empty', 'setAll', 'look', 'clone', 'wire'),
    at: fc.nat(29),
  })
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 30 }),
      fc.array(step, { maxLength: 60 }),
      (length, steps) => {
        let field = new Bitfield(length)
        const bits: boolean[] = new Array(length).fill(false)
        for (const { what, at } of steps) {
          const index = at % length
          if (what === 'set') assert.equal(field.set(index), !bits[index])
          if (what === 'clear') assert.equal(field.clear(index), bits[index])
          if (what === 'set' || what === 'clear') bits[index] = what === 'set'
          if (what === 'fill') for (let i = 0; i < length; i++) field.set(i)
          if (what === 'empty') for (let i = 0; i < length; i++) field.clear(i)
          if (what === 'setAll') field.setAll()
          if (what === 'fill' || what === 'setAll') bits.fill(true)
          if (what === 'empty') bits.fill(false)
          if (what === 'look') assert.deepEqual(field.bytes, bytesOf(bits))
          if (what === 'clone') {
            const before = field
            field = field.clone()
            // What happens to the one is nothing to the other.
            if (before.full) before.clear(0)
            else before.setAll()
          }
          if (what === 'wire') field = Bitfield.fromWire(bytesOf(bits), length)!
          assertSame(field, bits)
        }
        assert.deepEqual(field.bytes, bytesOf(bits))
      },
    ),
  )
})

test('the intersection of two bitfields has what both have', () => {
  const pair = fc.integer({ min: 1, max: 30 }).chain((length) => {
    const bits = fc.array(fc.boolean(), { minLength: length, maxLength: length })
    return fc.tuple(bits, bits)
  })
  fc.assert(
    fc.property(pair, ([a, b]) => {
      const both = Bitfield.intersection(
        Bitfield.fromWire(bytesOf(a), a.length)!,
        Bitfield.fromWire(bytesOf(b), b.length)!,
      )
      assertSame(
        both,
        a.map((bit, i) => bit && b[i]!),
      )
    }),
  )
})

test('a bitfield from the wire has the size that it ought to have, and no spare bit', () => {
  assert.equal(Bitfield.fromWire(Uint8Array.of(0xff), 9), null)
  assert.equal(Bitfield.fromWire(Uint8Array.of(0xff, 0xc0), 9), null)
  assert.equal(Bitfield.fromWire(Uint8Array.of(0xff, 0x80), 9)!.count, 9)
})

test('bytes become text alike, however many there are and wherever they lie', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(10), (bytes, skip) => {
      for (const part of [bytes, bytes.subarray(Math.min(skip, bytes.length)), bytes.slice()]) {
        assert.equal(toHex(part), Buffer.from(part).toString('hex'))
        assert.equal(toLatin1(part), Buffer.from(part).toString('latin1'))
      }
    }),
  )
})
