import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromHex, seededRandom, toHex, toLatin1 } from '../../../src/base/index.ts'
import { makePeerId, parseHandshake, writeHandshake } from '../../../src/engine/wire/handshake.ts'

const infoHash = Uint8Array.from({ length: 20 }, (_, i) => i)
const peerId = Uint8Array.from({ length: 20 }, (_, i) => 0xa0 + i)
const GOLDEN =
  '13426974546f7272656e742070726f746f636f6c0000000000100004' +
  '000102030405060708090a0b0c0d0e0f10111213' +
  'a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3'

test('the handshake is these 68 bytes, whatever the buffer held', () => {
  const target = new Uint8Array(68).fill(0xff)
  assert.equal(writeHandshake(target, { infoHash, peerId }), 68)
  assert.equal(toHex(target), GOLDEN)
})

test('a handshake reads back as it was written', () => {
  const handshake = parseHandshake(fromHex(GOLDEN)!)
  assert.deepEqual(handshake, {
    infoHash,
    peerId,
    supportsExtended: true,
    supportsFast: true,
    supportsV2: false,
    supportsDht: false,
  })
})

test('v2 is a bit more', () => {
  const target = new Uint8Array(68)
  writeHandshake(target, { infoHash, peerId, supportsDht: true })
  assert.equal(parseHandshake(target)?.supportsDht, true)
  assert.equal(parseHandshake(target)?.supportsV2, false)
  writeHandshake(target, { infoHash, peerId, supportsV2: true })
  assert.equal(parseHandshake(target)?.supportsDht, false)
  assert.equal(toHex(target), GOLDEN.replace('0000000000100004', '0000000000100014'))
  assert.equal(parseHandshake(target)?.supportsV2, true)
})

test('only the bits that say so mean the extensions', () => {
  const bare = fromHex(GOLDEN.replace('0000000000100004', 'ffffffffffefffeb'))!
  const handshake = parseHandshake(bare)
  assert.equal(handshake?.supportsExtended, false)
  assert.equal(handshake?.supportsFast, false)
  assert.equal(handshake?.supportsV2, false)
})

test('another length, length byte or protocol name is no handshake', () => {
  const good = fromHex(GOLDEN)!
  assert.equal(parseHandshake(good.subarray(0, 67)), null)
  assert.equal(parseHandshake(Uint8Array.of(...good, 0)), null)
  for (let i = 0; i < 20; i++) {
    const bad = Uint8Array.from(good)
    bad[i] = bad[i]! ^ 1
    assert.equal(parseHandshake(bad), null, `byte ${i}`)
  }
})

test('the info-hash of a parsed handshake outlives the bytes it came from', () => {
  const bytes = fromHex(GOLDEN)!
  const handshake = parseHandshake(bytes)
  bytes.fill(0)
  assert.deepEqual(handshake?.infoHash, infoHash)
})

test('a peer id names the client and is otherwise random', () => {
  const random = seededRandom(1)
  const first = makePeerId(random)
  const second = makePeerId(random)
  assert.equal(first.length, 20)
  assert.equal(toLatin1(first.subarray(0, 8)), '-SE0100-')
  assert.notDeepEqual(first, second)
})
