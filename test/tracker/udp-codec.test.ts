/** BEP 15 by the byte, and what becomes of packets that are not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { EVENT_NONE, EVENT_STARTED } from '../../src/tracker/announce.ts'
import { failures } from '../../src/tracker/failures.ts'
import {
  kindOf,
  parseAnnounce,
  parseScrape,
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
  2d53453031303030303030303030303030303030
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

/** What the packet is, or what is wrong with it. It lies among other bytes, which must not matter. */
function parse(packet: Uint8Array, request: UdpRequest): string {
  const start = 7
  const end = start + packet.length
  const around = new Uint8Array(end + 200).fill(0xff)
  around.set(packet, start)
  const kind = kindOf(around, start, end)
  if (kind === 'announce') return parseAnnounce(around, start, end, request) ?? kind
  if (kind === 'scrape') return parseScrape(around, start, end, request) ?? kind
  return kind
}

const failureOf = (packet: Uint8Array): string => parse(packet, new UdpRequest())

test('connect is read', () => {
  assert.equal(failureOf(CONNECT), 'connect')
})

test('announce is read', () => {
  const request = new UdpRequest()
  assert.equal(ANNOUNCE.length, 98)
  assert.equal(parse(ANNOUNCE, request), 'announce')
  assert.equal(hex(request.announce.infoHash), 'a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3')
  assert.equal(request.announce.downloaded, 1)
  assert.equal(request.announce.left, 2 ** 32 + 2)
  assert.equal(request.announce.uploaded, 3)
  assert.equal(request.announce.event, EVENT_STARTED)
  assert.equal(request.announce.wanted, -1)
  assert.equal(request.announce.port, 6881)
})

test('event 4 is paused (BEP 21), as libtorrent says it', () => {
  const request = new UdpRequest()
  assert.equal(parse(changed(ANNOUNCE, 83, 4), request), 'announce')
  assert.deepEqual([request.announce.event, request.announce.paused], [EVENT_NONE, true])
  assert.equal(parse(ANNOUNCE, request), 'announce')
  assert.deepEqual([request.announce.event, request.announce.paused], [EVENT_STARTED, false])
})

test('scrape is read, up to 74 hashes', () => {
  const request = new UdpRequest()
  assert.equal(parse(SCRAPE, request), 'scrape')
  assert.equal(request.infoHashCount, 2)
  assert.equal(hex(request.infoHashes.subarray(20, 40)), hex(SCRAPE.subarray(36)))
  const many = new Uint8Array(16 + 20 * 90)
  many.set(SCRAPE.subarray(0, 16))
  assert.equal(parse(many, request), 'scrape')
  assert.equal(request.infoHashCount, 74)
})

test('replies are written', () => {
  const target = new Uint8Array(64)
  const at = 3
  const written = (length: number): string => hex(target.subarray(at, at + length))
  const request = new Uint8Array([9, ...ANNOUNCE])
  target.set(bytes('1112131415161718'), at + 8)
  assert.equal(
    written(writeConnectReply(target, at, request, 1)),
    '00000000cafebabe1112131415161718',
  )
  target.set(bytes('7f0000011ae1'), at + 20)
  assert.equal(
    written(writeAnnounceReply(target, at, request, 1, 900, 3, 2, 6)),
    '00000001cafebabe0000038400000003000000027f0000011ae1',
  )
  const head = writeScrapeHead(target, at, request, 1)
  const entry = writeScrapeEntry(target, at + head, 5, 6, 7)
  assert.equal(written(head + entry), '00000002cafebabe000000050000000600000007')
  assert.equal(written(writeErrorReply(target, at, request, 1, 'no')), '00000003cafebabe6e6f')
})

test('packets that are not the protocol are dropped, malformed ones named', () => {
  for (const [packet, expected] of [
    [new Uint8Array(0), 'drop'],
    [CONNECT.subarray(0, 15), 'drop'],
    [changed(CONNECT, 0, 1), 'drop'],
    [changed(CONNECT, 7, 0), 'drop'],
    [changed(ANNOUNCE, 11, 9), 'invalid'],
    [changed(ANNOUNCE, 11, 3), 'invalid'],
    [ANNOUNCE.subarray(0, 97), 'malformed packet'],
    [changed(ANNOUNCE, 83, 5), 'malformed event ID'],
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

const KINDS = new Set<string>([
  ...['drop', 'connect', 'announce', 'scrape', 'invalid'],
  ...Object.values(failures),
])

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
      const kind = parse(packet, request)
      assert.ok(KINDS.has(kind), kind)
      if (kind === 'announce') assert.ok(packet.length >= 98 && request.announce.port > 0)
      if (kind === 'scrape') assert.ok(request.infoHashCount >= 1 && request.infoHashCount <= 74)
    }),
    { numRuns: 20_000, seed: 15 },
  )
})
