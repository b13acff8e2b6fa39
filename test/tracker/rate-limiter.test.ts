/** Limits by address: the rate and the burst, whatever else is going on, in memory that does not grow. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ManualClock, seededRandom } from '../../src/base/index.ts'
import { createPeerStore } from '../../src/peer-store/index.ts'
import { Announcer } from '../../src/tracker/announce.ts'
import { ConnectionIds, makeConnectionIds } from '../../src/tracker/connection-id.ts'
import { Counters } from '../../src/tracker/counters.ts'
import { HttpHead, parseHead } from '../../src/tracker/http-codec.ts'
import { HttpHandler } from '../../src/tracker/http-handler.ts'
import { makeRateLimiter, RateLimiter } from '../../src/tracker/rate-limiter.ts'
import { UdpHandler } from '../../src/tracker/udp-handler.ts'

const HERE = Uint8Array.of(1, 2, 3, 4)
const LIMIT = { requestsPerMinute: 60, burst: 5, memoryBytes: 2 ** 20 }
const allowed = (limiter: RateLimiter, address: Uint8Array, tries: number): number => {
  let count = 0
  for (let i = 0; i < tries; i++) if (limiter.allows(address)) count++
  return count
}

test('a burst passes, then the rate, however hard one tries', () => {
  const clock = new ManualClock(123_456)
  const limiter = new RateLimiter(clock, makeRateLimiter(clock, seededRandom(1), LIMIT))
  assert.equal(allowed(limiter, HERE, 100), 5)
  let passed = 0
  for (let ms = 0; ms < 60_000; ms += 10) {
    clock.advance(10)
    passed += allowed(limiter, HERE, 3)
  }
  assert.equal(passed, 60)
  clock.advance(3600_000)
  assert.equal(allowed(limiter, HERE, 100), 5, 'rested')
})

test('the limit holds over the turn of its counter, after 49 days', () => {
  const clock = new ManualClock()
  const limiter = new RateLimiter(clock, makeRateLimiter(clock, seededRandom(1), LIMIT))
  assert.equal(allowed(limiter, HERE, 9), 5)
  for (const days of [25, 25, 10, 39, 49.71]) {
    clock.advance(days * 86_400_000)
    assert.equal(allowed(limiter, HERE, 9), 5, String(days))
  }
})

test('it does what a bucket for each address does', () => {
  const events = fc.array(
    fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 4000 })),
    { maxLength: 200 },
  )
  fc.assert(
    fc.property(events, (steps) => {
      const clock = new ManualClock()
      const limiter = new RateLimiter(clock, makeRateLimiter(clock, seededRandom(2), LIMIT))
      const due = [0, 0, 0, 0]
      for (const [who, waitMs] of steps) {
        clock.advance(waitMs)
        const now = clock.monotonicMs()
        const next = Math.max(due[who]!, now)
        const expected = next - now <= 4000
        if (expected) due[who] = next + 1000
        assert.equal(limiter.allows(Uint8Array.of(9, 9, 9, who)), expected)
      }
    }),
    { seed: 5, numRuns: 200 },
  )
})

test('IPv6 addresses of one /64 are one, IPv4 addresses are each their own', () => {
  const limiter = new RateLimiter(
    new ManualClock(),
    makeRateLimiter(new ManualClock(), seededRandom(1), LIMIT),
  )
  const v6 = (network: number, host: number) => {
    const address = new Uint8Array(16).fill(0x20)
    address[7] = network
    address[15] = host
    return address
  }
  let passed = 0
  for (let host = 0; host < 50; host++) passed += allowed(limiter, v6(1, host), 1)
  assert.equal(passed, 5)
  assert.equal(allowed(limiter, v6(2, 0), 9), 5)
  assert.equal(allowed(limiter, Uint8Array.of(1, 2, 3, 5), 9), 5)
  assert.equal(allowed(limiter, HERE, 9), 5)
})

test('many busy addresses do not use up the share of others, and the table does not grow', () => {
  const clock = new ManualClock()
  const limiter = new RateLimiter(clock, makeRateLimiter(clock, seededRandom(3), LIMIT))
  const { bytes } = limiter
  assert.equal(bytes, 2 ** 20)
  const address = new Uint8Array(4)
  for (let n = 0; n < 10_000; n++) {
    address.set([10, n >>> 16, n >>> 8, n])
    allowed(limiter, address, 6)
  }
  let wronged = 0
  for (let n = 0; n < 10_000; n++) {
    address.set([11, n >>> 16, n >>> 8, n])
    if (!limiter.allows(address)) wronged++
  }
  // Two cells of 131,072 each, one in thirteen taken: about six in a thousand share both.
  assert.ok(wronged < 120, String(wronged))
  assert.equal(limiter.bytes, bytes)
})

function setUp() {
  const clock = new ManualClock()
  const store = createPeerStore({ clock, random: seededRandom(1) })
  const counters = new Counters()
  const limiter = new RateLimiter(
    clock,
    makeRateLimiter(clock, seededRandom(2), { ...LIMIT, burst: 2 }),
  )
  const policy = {
    announceIntervalMs: 900_000,
    minAnnounceIntervalMs: 60_000,
    retryIntervalMs: 60_000,
    defaultWanted: 50,
    maxWanted: 50,
  }
  const announcer = new Announcer(store, policy)
  const connectionIds = new ConnectionIds(clock, makeConnectionIds(clock, seededRandom(3)))
  const common = { store, announcer, counters, limiter, allowIpSpoofing: false }
  return {
    store,
    counters,
    connectionIds,
    udp: new UdpHandler({ ...common, connectionIds }),
    http: new HttpHandler({ ...common, maxWanted: 50 }),
  }
}

test('over UDP who asks too often hears nothing; who only pretends to be somebody costs them nothing', () => {
  const { udp, connectionIds, counters } = setUp()
  const packet = Buffer.alloc(36)
  packet.writeUInt32BE(2, 8)
  for (let i = 0; i < 10; i++)
    assert.ok(udp.handle(packet, HERE) > 0, 'a wrong id is told, and not counted')
  const id = new Uint8Array(8)
  connectionIds.issue(HERE, id)
  packet.set(id)
  const lengths = Array.from({ length: 4 }, () => udp.handle(packet, HERE))
  assert.deepEqual(lengths, [20, 20, 0, 0])
  assert.equal(counters.transports.udp4.limited, 2)
})

test('over HTTP who asks too often is told to come back', () => {
  const { http, counters } = setUp()
  const request = Buffer.from(`GET /scrape?info_hash=${'a'.repeat(20)} HTTP/1.1\r\n\r\n`)
  const head = new HttpHead()
  const bodies = Array.from({ length: 3 }, () => {
    assert.equal(parseHead(request, 0, request.length, head), 'request')
    http.handle(request, head, HERE)
    return Buffer.from(http.reply.subarray(http.start, http.end))
      .toString('latin1')
      .split('\r\n\r\n')[1]!
  })
  assert.match(bodies[1]!, /^d5:files/)
  assert.equal(bodies[2], 'd14:failure reason17:too many requests8:retry ini1ee')
  assert.equal(counters.transports.http4.limited, 1)
})
