/** BEP 15 by the byte, and what becomes of packets that are not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { EVENT_STARTED } from '../../src/tracker/announce.ts'
import {
  parseUdp,
  UdpRequest,
  writeAnnounceReply,
  writeConnectReply,
  writeErrorReply,
  writeScrapeEntry,
  writeScrapeHead,
} from '../../src/tracker/udp-codec.ts'

const bytes = (hex: string): Uint8Array =>
  new Uint8Array(Buffer.from(hex.replace(/\s/g, ''), 'hex'))
const hex = (part: Uint8Array): string => Buffer.from(part).toString('hex')

const CONNECT = bytes('00000417 27101980 00000000 deadbeef')
const ANNOUNCE = bytes(`
  0102030405060708 00000001 cafebabe
  a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3
  2d53423031303030303030303030303030303030
  0000000000000001 0000000100000002 0000000000000003
  00000002 00000000 12345678 ffffffff 1ae1`)
const SCRAPE = bytes(`
  0102030405060708 00000002 cafebabe
  a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3
  c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3`)

function changed(packet: Uint8Array, at: number, ...values: number[]): Uint8Array {
  const copy = packet.slice()
  copy.set(values, at)
  return copy
}

function failureOf(packet: Uint8Array): string {
  const request = new UdpRequest()
  const kind = parseUdp(packet, request)
  return kind === 'invalid' ? request.failure : kind
}

test('connect is read', () => {
  const request = new UdpRequest()
  assert.equal(parseUdp(CONNECT, request), 'connect')
  assert.equal(request.transactionId, 0xdeadbeef)
})

test('announce is read', () => {
  const request = new UdpRequest()
  assert.equal(ANNOUNCE.length, 98)
  assert.equal(parseUdp(ANNOUNCE, request), 'announce')
  assert.equal(hex(request.connectionId), '0102030405060708')
  assert.equal(request.transactionId, 0xcafebabe)
  assert.equal(hex(request.announce.infoHash), 'a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3')
  assert.equal(request.announce.left, 2 ** 32 + 2)
  assert.equal(request.announce.event, EVENT_STARTED)
  assert.equal(request.announce.wanted, -1)
  assert.equal(request.announce.port, 6881)
})

test('scrape is read, up to 74 hashes', () => {
  const request = new UdpRequest()
  assert.equal(parseUdp(SCRAPE, request), 'scrape')
  assert.equal(request.infoHashCount, 2)
  assert.equal(hex(request.infoHashes.subarray(20, 40)), hex(SCRAPE.subarray(36)))
  const many = new Uint8Array(16 + 20 * 90)
  many.set(SCRAPE.subarray(0, 16))
  assert.equal(parseUdp(many, request), 'scrape')
  assert.equal(request.infoHashCount, 74)
})

test('replies are written', () => {
  const target = new Uint8Array(64)
  const id = bytes('1112131415161718')
  assert.equal(
    hex(target.subarray(0, writeConnectReply(target, 0xdeadbeef, id))),
    '00000000deadbeef1112131415161718',
  )
  target.set(bytes('7f0000011ae1'), 20)
  assert.equal(
    hex(target.subarray(0, writeAnnounceReply(target, 0xcafebabe, 900, 3, 2, 6))),
    '00000001cafebabe0000038400000003000000027f0000011ae1',
  )
  const head = writeScrapeHead(target, 1)
  assert.equal(
    hex(target.subarray(0, writeScrapeEntry(target, head, 5, 6, 7))),
    '0000000200000001000000050000000600000007',
  )
  assert.equal(hex(target.subarray(0, writeErrorReply(target, 9, 'no'))), '00000003000000096e6f')
})

test('packets that are not the protocol are dropped, malformed ones named', () => {
  for (const [packet, expected] of [
    [new Uint8Array(0), 'drop'],
    [CONNECT.subarray(0, 15), 'drop'],
    [changed(CONNECT, 0, 1), 'drop'],
    [changed(CONNECT, 7, 0), 'drop'],
    [changed(ANNOUNCE, 11, 9), 'unknown action ID'],
    [changed(ANNOUNCE, 11, 3), 'unknown action ID'],
    [ANNOUNCE.subarray(0, 97), 'malformed packet'],
    [changed(ANNOUNCE, 83, 4), 'malformed event ID'],
    [changed(ANNOUNCE, 80, 1), 'malformed event ID'],
    [changed(ANNOUNCE, 96, 0, 0), 'invalid port'],
    [SCRAPE.subarray(0, 16), 'malformed packet'],
    [SCRAPE.subarray(0, 55), 'malformed packet'],
  ] as const) {
    assert.equal(failureOf(packet), expected, hex(packet))
  }
})

test('options (BEP 41) are skipped when whole', () => {
  for (const [options, expected] of [
    ['00', 'announce'],
    ['01', 'announce'],
    ['0101', 'announce'],
    ['0200', 'announce'],
    ['02022f61', 'announce'],
    ['02022f6100ffff', 'announce'],
    ['7f0161', 'announce'],
    ['02', 'malformed packet'],
    ['0203616f', 'malformed packet'],
    ['0102ff', 'malformed packet'],
  ] as const) {
    const packet = new Uint8Array([...ANNOUNCE, ...bytes(options)])
    assert.equal(failureOf(packet), expected, options)
  }
})

test('no packet makes the parser throw', () => {
  const request = new UdpRequest()
  const mutated = fc
    .tuple(
      fc.constantFrom(CONNECT, ANNOUNCE, SCRAPE),
      fc.array(fc.tuple(fc.nat(110), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
      fc.uint8Array({ maxLength: 40 }),
      fc.nat(150),
    )
    .map(([packet, changes, tail, length]) => {
      const all = new Uint8Array([...packet, ...tail])
      for (const [at, value] of changes) if (at < all.length) all[at] = value
      return all.subarray(0, length)
    })
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (packet) => {
      const kind = parseUdp(packet, request)
      assert.ok(['drop', 'connect', 'announce', 'scrape', 'invalid'].includes(kind))
      if (kind === 'announce') assert.ok(packet.length >= 98 && request.announce.port > 0)
      if (kind === 'scrape') assert.ok(request.infoHashCount >= 1 && request.infoHashCount <= 74)
    }),
    { numRuns: 20_000, seed: 15 },
  )
})
