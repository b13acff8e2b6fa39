/** Whom to be connected to (BEP 40), and under which address we are seen. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { OwnAddress } from '../../src/engine/own-address.ts'
import { peerPriority } from '../../src/engine/peer-priority.ts'

const at = (host: string, port = 6881): { host: string; port: number } => ({ host, port })

test("the priorities are the BEP's own", () => {
  assert.equal(peerPriority(at('123.213.32.10'), at('98.76.54.32')), 0xec2d7224)
  assert.equal(peerPriority(at('123.213.32.10'), at('123.213.32.234')), 0x99568189)
})

test('what an owner of a network can choose within it changes half of its bits', () => {
  const base = peerPriority(at('1.2.3.4'), at('98.76.0.0'))
  assert.equal(peerPriority(at('1.2.3.4'), at('98.76.170.170')), base)
  assert.notEqual(peerPriority(at('1.2.3.4'), at('98.76.1.0')), base)
  // Within a /16 the third byte counts in full, within a /24 the last, on one host the ports.
  const near = peerPriority(at('98.76.9.1'), at('98.76.0.0'))
  assert.equal(peerPriority(at('98.76.9.1'), at('98.76.0.170')), near)
  assert.notEqual(peerPriority(at('98.76.9.1'), at('98.76.170.0')), near)
  assert.notEqual(
    peerPriority(at('98.76.0.1'), at('98.76.0.2')),
    peerPriority(at('98.76.0.1'), at('98.76.0.168')),
  )
  assert.notEqual(
    peerPriority(at('9.8.7.6', 1), at('9.8.7.6', 2)),
    peerPriority(at('9.8.7.6', 1), at('9.8.7.6', 3)),
  )
  const six = peerPriority(at('2001:db8:1::1'), at('2001:db8:2::'))
  assert.equal(peerPriority(at('2001:db8:1::1'), at('2001:db8:2:aaaa::')), six)
  assert.notEqual(peerPriority(at('2001:db8:1::1'), at('2001:db8:3::')), six)
  const same48 = peerPriority(at('2001:db8:1::1'), at('2001:db8:1:f00::'))
  assert.equal(peerPriority(at('2001:db8:1::1'), at('2001:db8:1:faa::')), same48)
  assert.notEqual(peerPriority(at('2001:db8:1::1'), at('2001:db8:1:a500::')), same48)
})

test('both sides find the same number', () => {
  const endpoint = fc.record({
    host: fc.oneof(fc.ipV4(), fc.ipV6()),
    port: fc.integer({ min: 1, max: 65_535 }),
  })
  fc.assert(
    fc.property(endpoint, endpoint, (one, other) => {
      const priority = peerPriority(one, other)
      assert.equal(peerPriority(other, one), priority)
      assert.ok(Number.isInteger(priority) && priority >= 0 && priority < 2 ** 32)
    }),
    { seed: 40 },
  )
  assert.equal(peerPriority(at('1.2.3.4'), at('::1')), 0)
  assert.equal(peerPriority(at('nowhere'), at('1.2.3.4')), 0)
})

test('our address is what most say, one vote a host, each family for itself', () => {
  const own = new OwnAddress()
  own.heard('9.9.9.9', '1.1.1.1')
  for (let i = 0; i < 5; i++) own.heard('9.9.9.9', '1.1.1.1')
  assert.equal(own.of(4), undefined)
  own.heard('9.9.9.8', '1.1.1.1')
  own.heard('9.9.9.7', '2.2.2.2')
  assert.equal(own.of(4), '1.1.1.1')
  assert.equal(own.towards('8.8.8.8'), '1.1.1.1')
  assert.equal(own.towards('2001:db8::1'), undefined)
  for (const i of [1, 2, 3]) own.heard(`2001:db8::${i}`, '2001:db8:9::1')
  assert.equal(own.towards('2001:db8::1'), '2001:db8:9::1')
  own.heard('9.9.9.6', 'nonsense')
  for (let i = 0; i < 70; i++) own.heard(`7.7.7.${i}`, '2.2.2.2')
  assert.equal(own.of(4), '2.2.2.2')
})
