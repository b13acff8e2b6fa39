/** What becomes of connections, without sockets: however bytes come and answers leave, the answers are the same; and idle ones cost little. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ManualClock, seededRandom } from '../../src/base/index.ts'
import { createPeerStore } from '../../src/peer-store/index.ts'
import { Announcer } from '../../src/tracker/announce.ts'
import { Counters } from '../../src/tracker/counters.ts'
import { HttpConnections, type HttpTransport } from '../../src/tracker/http-connections.ts'
import { HttpHandler } from '../../src/tracker/http-handler.ts'
import { settle, type TrackerPolicy } from '../../src/tracker/options.ts'
import { garbageOf, garbageTest, heldBytes } from '../garbage.ts'

const HERE = Uint8Array.of(127, 0, 0, 1)
const REQUESTS = [
  'GET / HTTP/1.1\r\n\r\n',
  `GET /scrape?info_hash=${'a'.repeat(20)} HTTP/1.1\r\nHost: x\r\n\r\n`,
  `GET /scrape?info_hash=%${'41'.repeat(1)}${'b'.repeat(19)}&info_hash=${'c'.repeat(20)} HTTP/1.1\r\n\r\n`,
  'GET /announce?info_hash=short HTTP/1.1\r\nConnection: keep-alive\r\n\r\n',
  'GET /nowhere HTTP/1.1\r\n\r\n',
  'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
]
const LAST = [
  'GET / HTTP/1.1\r\nConnection: close\r\n\r\n',
  'POST / HTTP/1.1\r\n\r\n',
  'nonsense\r\n\r\n',
  'GET / HTTP/1.0\r\n\r\n',
]

/** Keeps what is sent; a send of which `blocks` says so does not leave before `drain`. */
class Wire implements HttpTransport {
  sent = ''
  finished = false
  cutOff = false
  waits = false
  blocks: () => boolean = () => false

  send(_slot: number, bytes: Uint8Array, start: number, end: number): boolean {
    assert.equal(this.finished || this.cutOff, false, 'nothing is sent after the end')
    this.sent += Buffer.from(bytes.subarray(start, end)).toString('latin1')
    this.waits ||= this.blocks()
    return !this.waits
  }
  finish(): void {
    this.finished = true
  }
  cut(): void {
    this.cutOff = true
  }
  secure(): void {
    assert.fail('no TLS here')
  }
}

function setUp(policy: TrackerPolicy = {}) {
  const clock = new ManualClock()
  const counters = new Counters()
  const { http } = settle(policy)
  const store = createPeerStore({ clock, random: seededRandom(1), maxMemoryBytes: 2 ** 24 })
  const handler = new HttpHandler({
    ...http,
    store,
    counters,
    announcer: new Announcer(store, http.policy),
    maxWanted: http.policy.maxWanted,
  })
  const wire = new Wire()
  return {
    clock,
    counters,
    wire,
    connections: new HttpConnections(clock, handler, counters, http, wire),
  }
}

garbageTest(
  'ten thousand idle connections cost less than a megabyte, and are cut off by one sweep',
  import.meta.url,
  () => {
    const { connections, clock, counters, wire } = setUp({ maxHttpConnections: 10_000 })
    const bytes = Buffer.from(REQUESTS[1]!, 'latin1')
    wire.send = () => true
    const open = (slot: number): void => {
      assert.equal(connections.open(slot, HERE, 0, 4), true)
      connections.received(slot, bytes, 0, bytes.length)
    }
    // What the first ones make the compiler do is not theirs.
    for (let slot = 0; slot < 1000; slot++) open(slot)
    const before = heldBytes()
    for (let slot = 1000; slot < 10_000; slot++) open(slot)
    const grown = heldBytes() - before
    assert.ok(grown < 2 ** 20, `${grown} bytes`)
    let cut = 0
    wire.cut = () => {
      cut++
    }
    assert.equal(connections.open(10_000, HERE, 0, 4), true)
    assert.equal(cut, 1, 'one makes room for another')
    assert.equal(counters.transports.http4.dropped, 0)
    clock.advance(31_000)
    connections.sweep()
    connections.sweep()
    assert.equal(cut, 10_001)
  },
)

garbageTest('a request that comes whole leaves no garbage', import.meta.url, () => {
  const { connections, wire, counters } = setUp()
  const query = `info_hash=%${'41'.repeat(1)}${'b'.repeat(19)}&peer_id=-SE0100-000000000000&uploaded=1&downloaded=2&left=3`
  const request = (port: number, connection: string): Buffer =>
    Buffer.from(
      `GET /announce?${query}&port=${port}&ip=9.9.9.9 HTTP/1.1\r\nHost: x\r\n${connection}\r\n`,
      'latin1',
    )
  const kept = [1, 2, 3].map((port) => request(port, ''))
  const closing = request(4, 'Connection: close\r\n')
  wire.send = () => true
  wire.finish = () => connections.closed(2)
  connections.open(1, HERE, 0, 4)
  const rounds = 5000
  const bytes = garbageOf(rounds * (kept.length + 1), () => {
    for (let i = 0; i < rounds; i++) {
      for (let n = 0; n < kept.length; n++) connections.received(1, kept[n]!, 0, kept[n]!.length)
      connections.open(2, HERE, 0, 4)
      connections.received(2, closing, 0, closing.length)
    }
  })
  assert.ok(bytes < 1, `${bytes.toFixed(2)} bytes a request`)
  assert.ok(counters.transports.http4.announces >= rounds * 4)
})

test('answers depend neither on how requests are cut nor on how answers leave', () => {
  const script = fc.record({
    requests: fc.array(fc.constantFrom(...REQUESTS), { minLength: 1, maxLength: 40 }),
    last: fc.option(fc.constantFrom(...LAST)),
    cuts: fc.array(fc.nat(3000), { maxLength: 30 }),
    blocked: fc.array(fc.boolean(), { maxLength: 60 }),
  })
  const alone = new Map<string, string>()
  for (const request of [...REQUESTS, ...LAST]) {
    const { connections, wire } = setUp()
    connections.open(0, HERE, 0, 4)
    connections.received(0, Buffer.from(request, 'latin1'), 0, request.length)
    alone.set(request, wire.sent)
  }
  const { connections, wire, counters } = setUp()
  fc.assert(
    fc.property(script, ({ requests, last, cuts, blocked }) => {
      const all = last === null ? requests : [...requests, last, REQUESTS[0]!]
      const bytes = Buffer.from(all.join(''), 'latin1')
      const stops = [...new Set(cuts.map((cut) => cut % bytes.length))].sort((a, b) => a - b)
      let next = 0
      Object.assign(wire, { sent: '', finished: false, cutOff: false, waits: false })
      wire.blocks = () => blocked[next++] === true
      connections.open(3, HERE, 0, 4)
      const drain = (): void => {
        while (wire.waits) {
          wire.waits = false
          connections.flushed(3)
        }
      }
      let from = 0
      for (const stop of [...stops, bytes.length]) {
        connections.received(3, bytes, from, stop)
        if (blocked[next++] === true) drain()
        from = stop
      }
      drain()
      const expected = last === null ? all : all.slice(0, -1)
      assert.equal(wire.sent, expected.map((request) => alone.get(request)).join(''))
      assert.equal(wire.finished, last !== null)
      connections.closed(3)
      assert.deepEqual([connections.count, counters.httpConnections], [0, 0])
    }),
    { numRuns: 2000, seed: 31 },
  )
})

test('any bytes in any pieces are answered, waited for, or end the connection', () => {
  const { connections, wire } = setUp({
    http: { proxyProtocol: true, trustedProxies: ['127.0.0.1'] },
  })
  const header = Buffer.from('0d0a0d0a000d0a515549540a2111000c090807060000000000000000', 'hex')
  const pieces = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 })
  fc.assert(
    fc.property(fc.boolean(), pieces, (introduced, chunks) => {
      Object.assign(wire, { sent: '', finished: false, cutOff: false })
      connections.open(0, HERE, 0, 4)
      if (introduced) connections.received(0, header, 0, header.length)
      for (const chunk of chunks) connections.received(0, chunk, 0, chunk.length)
      const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
      if (!introduced && length >= 12) assert.equal(wire.cutOff, true)
      if (wire.sent !== '') assert.match(wire.sent, /^HTTP\/1\.1 400 /)
      connections.closed(0)
    }),
    { numRuns: 2000, seed: 32 },
  )
})
