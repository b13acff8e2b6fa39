import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromLatin1 } from '../../../src/base/index.ts'
import { type Encodable, encode } from '../../../src/bencode/index.ts'
import {
  announceOverHttp,
  announceUrl,
  parseHttpReply,
} from '../../../src/engine/announce/http-client.ts'
import { type AnnounceResult, TrackerError } from '../../../src/engine/announce/types.ts'
import { FakeNetwork } from './fake-network.ts'
import { REQUEST } from './samples.ts'

const QUERY =
  'info_hash=%00%01%02%03%04%05%06%07%08%09%0A%0B%0C%0D%0E%0F%10%11%12%13' +
  '&peer_id=-SE0100-abcdefghijkl&port=6881&uploaded=1&downloaded=1099511627778&left=3' +
  '&key=01ab23cd&numwant=50&compact=1&no_peer_id=1'

test('the announce URL is this one', () => {
  assert.equal(
    announceUrl('http://t/announce', REQUEST),
    `http://t/announce?${QUERY}&event=started`,
  )
})

test('a query that is there stays as it is, and a fragment goes', () => {
  const request = { ...REQUEST, event: 'none' } as const
  assert.equal(announceUrl(' http://t/a?key=%aB~#x', request), `http://t/a?key=%aB~&${QUERY}`)
})

test('what the tracker asked us to repeat is repeated', () => {
  const request = { ...REQUEST, event: 'none', trackerId: fromLatin1('a&\xff') } as const
  assert.equal(announceUrl('http://t/', request), `http://t/?${QUERY}&trackerid=a%26%FF`)
})

const ok = (reply: Record<string, Encodable>): AnnounceResult => parseHttpReply(200, encode(reply))

test('a reply with everything in it', () => {
  const result = ok({
    interval: 1800,
    'min interval': 60,
    complete: 5,
    incomplete: 3,
    'warning message': 'soon\nover',
    'tracker id': fromLatin1('id'),
    peers: Uint8Array.of(127, 0, 0, 1, 0x1a, 0xe1),
    peers6: Uint8Array.of(...new Array(15).fill(0), 1, 0, 80),
  })
  assert.deepEqual(result, {
    intervalMs: 1_800_000,
    minIntervalMs: 60_000,
    seeders: 5,
    leechers: 3,
    warning: 'soon over',
    trackerId: fromLatin1('id'),
    peers: [
      { host: '127.0.0.1', port: 6881 },
      { host: '::1', port: 80 },
    ],
  })
})

test('an empty reply means half an hour and nobody', () => {
  const result = ok({})
  assert.equal(result.intervalMs, 1_800_000)
  assert.equal(result.minIntervalMs, undefined)
  assert.deepEqual(result.peers, [])
})

test('listed peers are read; names, and ports that are none, are left out', () => {
  const result = ok({
    peers: [
      { ip: '10.0.0.1', port: 1, 'peer id': 'x' },
      { ip: '2001:DB8:0::7', port: 2 },
      { ip: 'host.example', port: 3 },
      { ip: '10.0.0.2', port: 0 },
      { ip: '10.0.0.3', port: 65_536 },
      { port: 5 },
      7,
    ],
  })
  assert.deepEqual(result.peers, [
    { host: '10.0.0.1', port: 1 },
    { host: '2001:db8::7', port: 2 },
  ])
})

test('no more than a thousand peers are believed', () => {
  assert.equal(ok({ peers: new Uint8Array(6 * 5000).fill(1) }).peers.length, 1000)
})

test('keys out of order are forgiven', () => {
  const reply = parseHttpReply(200, fromLatin1('d5:peers0:8:intervali60ee'))
  assert.equal(reply.intervalMs, 60_000)
})

function failureOf(act: () => unknown): TrackerError {
  try {
    act()
  } catch (error) {
    assert.ok(error instanceof TrackerError && error.code === 'ENGINE_TRACKER_FAILED')
    return error
  }
  assert.fail('no failure')
}

test("a refusal has the tracker's reason, whatever the status", () => {
  const body = encode({ 'failure reason': 'not\tregistered' })
  assert.equal(failureOf(() => parseHttpReply(200, body)).message, 'not registered')
  assert.equal(failureOf(() => parseHttpReply(400, body)).message, 'not registered')
})

test('another status, or what is not bencoded, is a failure', () => {
  assert.equal(failureOf(() => parseHttpReply(404, fromLatin1('nope'))).message, 'HTTP status 404')
  assert.equal(failureOf(() => parseHttpReply(500, encode({}))).message, 'HTTP status 500')
  const page = fromLatin1('<html>')
  assert.equal(failureOf(() => parseHttpReply(200, page)).message, 'the reply is not bencoded')
})

const RETRIES: readonly (readonly [string, Record<string, Encodable>, number | undefined])[] = [
  ['never', { 'retry in': 'never' }, Number.POSITIVE_INFINITY],
  ['in minutes', { 'retry in': 3 }, 180_000],
  ['in minutes as text', { 'retry in': '3' }, 180_000],
  ['by an interval', { interval: 90 }, 90_000],
  ['not at all', {}, undefined],
  ['nonsense', { 'retry in': 'soon' }, undefined],
  ['a negative number', { 'retry in': -1 }, undefined],
]
for (const [name, fields, expected] of RETRIES) {
  test(`when to come back after a refusal: ${name}`, () => {
    const body = encode({ 'failure reason': 'no', ...fields })
    assert.equal(failureOf(() => parseHttpReply(200, body)).retryAfterMs, expected)
  })
}

test('random and mutated replies give a result or a TrackerError', () => {
  const valid = encode({
    interval: 1800,
    peers: [{ ip: '10.0.0.1', port: 1 }],
    peers6: new Uint8Array(18),
    'retry in': 5,
  })
  const mutated = fc
    .array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    .map((changes) => {
      const copy = valid.slice()
      for (const [place, byte] of changes) copy[place] = byte
      return copy
    })
  fc.assert(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 100 })), (body) => {
      try {
        const result = parseHttpReply(200, body)
        assert.ok(result.intervalMs >= 5_000 && result.intervalMs <= 86_400_000)
      } catch (error) {
        assert.ok(error instanceof TrackerError, String(error))
      }
    }),
    { seed: 9, numRuns: 2000 },
  )
})

test('a request that fails on its way is a TrackerError', async () => {
  const attempt = announceOverHttp(new FakeNetwork(), 'http://t/', 4, REQUEST)
  await assert.rejects(attempt, { code: 'ENGINE_TRACKER_FAILED', message: 'nobody there' })
})
