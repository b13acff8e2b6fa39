import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromHex, toHex } from '../../../src/base/index.ts'
import {
  parseAnnounceReply,
  parseConnectReply,
  parseErrorReply,
  writeAnnounce,
  writeConnect,
} from '../../../src/engine/announce/udp-packets.ts'
import { REQUEST } from './samples.ts'

const CONNECTION = fromHex('1122334455667788')!
const HEAD =
  '1122334455667788' + // connection
  '00000001' + // announce
  'cafebabe' + // transaction
  '000102030405060708090a0b0c0d0e0f10111213' +
  '2d5345303130302d6162636465666768696a6b6c' +
  '0000010000000002' + // downloaded
  '0000000000000003' + // left
  '0000000000000001' + // uploaded
  '00000002' + // started
  '00000000' + // address
  '01ab23cd' + // key
  '00000032' + // numwant
  '1ae1' // port

test('a connect is these bytes', () => {
  assert.equal(toHex(writeConnect(0xcafebabe)), '000004172710198000000000cafebabe')
})

test('an announce is these bytes', () => {
  assert.equal(toHex(writeAnnounce(CONNECTION, 0xcafebabe, REQUEST, '')), HEAD)
})

for (const [event, code] of [
  ['none', 0],
  ['completed', 1],
  ['started', 2],
  ['stopped', 3],
] as const) {
  test(`the event ${event} is ${code}`, () => {
    const packet = writeAnnounce(CONNECTION, 1, { ...REQUEST, event }, '')
    assert.equal(toHex(packet.subarray(80, 84)), `0000000${code}`)
  })
}

test('path and query follow as an option, in as many parts as they need', () => {
  const short = writeAnnounce(CONNECTION, 0xcafebabe, REQUEST, '/ab')
  assert.equal(toHex(short), `${HEAD}02032f6162`)
  const path = `/${'x'.repeat(299)}`
  const long = toHex(writeAnnounce(CONNECTION, 0xcafebabe, REQUEST, path))
  assert.equal(long, `${HEAD}02ff2f${'78'.repeat(254)}022d${'78'.repeat(45)}`)
})

test('a connect reply gives its connection', () => {
  const reply = fromHex('00000000cafebabe1122334455667788')!
  assert.deepEqual(parseConnectReply(reply), CONNECTION)
  assert.equal(parseConnectReply(reply.subarray(0, 15)), null)
})

const ANNOUNCE_REPLY = '00000001cafebabe000007080000000300000005'

test('an announce reply gives counts and peers, without port 0 and without a torn peer', () => {
  const peers = '7f0000011ae17f0000020000c00002010001ffff'
  assert.deepEqual(parseAnnounceReply(fromHex(ANNOUNCE_REPLY + peers)!, 4), {
    intervalMs: 1_800_000,
    leechers: 3,
    seeders: 5,
    peers: [
      { host: '127.0.0.1', port: 6881 },
      { host: '192.0.2.1', port: 1 },
    ],
  })
})

test('over IPv6 a peer has 18 bytes', () => {
  const peers = '20010db80000000000000000000000071ae1'
  const result = parseAnnounceReply(fromHex(ANNOUNCE_REPLY + peers)!, 6)
  assert.deepEqual(result?.peers, [{ host: '2001:db8::7', port: 6881 }])
})

test('an interval of zero and one of a century are brought into bounds', () => {
  for (const [hex, ms] of [
    ['00000000', 5_000],
    ['ffffffff', 86_400_000],
  ] as const) {
    const reply = fromHex(ANNOUNCE_REPLY.replace('00000708', hex))!
    assert.equal(parseAnnounceReply(reply, 4)?.intervalMs, ms)
  }
})

test('an error reply is one printable line', () => {
  const reply = Buffer.from('\0\0\0\x03aaaaconnection\r\n\x1b[31m id\0')
  assert.equal(parseErrorReply(reply), 'connection [31m id')
  assert.equal(parseErrorReply(Buffer.from(`\0\0\0\x03aaaa${'x'.repeat(999)}`)).length, 200)
})

test('whatever arrives is a result or null', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.constantFrom(4, 6), (bytes, family) => {
      const result = parseAnnounceReply(bytes, family)
      assert.equal(result === null, bytes.length < 20)
      for (const { port } of result?.peers ?? []) assert.ok(port > 0 && port < 65_536)
      parseConnectReply(bytes)
    }),
    { seed: 5 },
  )
})
