/** The tracker over real sockets of this host: both protocols, both families. Clients of HTTP that misbehave: http-fronts.test.ts. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { type TestContext, test } from 'node:test'
import {
  type Clock,
  ManualClock,
  seededRandom,
  silentLogger,
  systemClock,
} from '../../src/base/index.ts'
import { createPeerStore, type SharedPeerStore } from '../../src/peer-store/index.ts'
import { HttpServer } from '../../src/tracker/http-server.ts'
import { startTracker, type Tracker, type TrackerOptions } from '../../src/tracker/index.ts'
import { UdpServer } from '../../src/tracker/udp-server.ts'
import { WorkerSockets } from '../../src/tracker/workers/sockets.ts'
import { overFrontEnds } from './front-ends.ts'
import { Client } from './http-fronts.ts'
import { HASH, UdpClient } from './udp-client.ts'

const HAS_IPV6 = Object.values(networkInterfaces())
  .flat()
  .some((entry) => entry?.address === '::1')
const HOSTS = HAS_IPV6 ? (['127.0.0.1', '::1'] as const) : (['127.0.0.1'] as const)
const ANNOUNCE = `/announce?info_hash=${HASH}&peer_id=-SE0100-000000000000&uploaded=0&downloaded=0&left=1`

async function startBy(
  frontEnd: 'fast' | 'portable',
  t: TestContext,
  options: Partial<TrackerOptions> = {},
): Promise<{ tracker: Tracker; store: SharedPeerStore }> {
  const clock: Clock = options.clock ?? systemClock
  const store = options.store ?? createPeerStore({ clock, random: seededRandom(1) })
  const tracker = await startTracker({
    store,
    clock,
    random: seededRandom(2),
    logger: silentLogger,
    bind: HOSTS,
    port: 0,
    frontEnd,
    ...options,
  })
  t.after(() => tracker.stop())
  return { tracker, store }
}

overFrontEnds((frontEnd) => {
  const start = startBy.bind(null, frontEnd)
  const TcpSockets = frontEnd === 'fast' ? WorkerSockets : HttpServer
  const UdpSockets = frontEnd === 'fast' ? WorkerSockets : UdpServer
  for (const host of HOSTS) {
    const size = host.includes(':') ? 18 : 6

    test(`UDP on ${host}: peers find each other, graduate and leave`, async (t) => {
      const { tracker } = await start(t)
      const client = new UdpClient(t, host, tracker.port)
      const id = await client.connect()
      const counts = (reply: Buffer): number[] => [
        reply.readUInt32BE(16),
        reply.readUInt32BE(12),
        (reply.length - 20) / size,
      ]
      assert.deepEqual(counts(await client.announce(id, 1001, 1, 2)), [0, 1, 0])
      const second = await client.announce(id, 1002, 1, 2)
      assert.deepEqual(counts(second), [0, 2, 1])
      assert.equal(second.readUInt16BE(20 + size - 2), 1001)
      assert.deepEqual(counts(await client.announce(id, 1001, 0, 1)), [1, 1, 1])
      assert.deepEqual(counts(await client.announce(id, 1002, 1, 3)), [1, 0, 0])
      assert.deepEqual(counts(await client.announce(id, 1001, 0, 3)), [0, 0, 0])
    })

    test(`HTTP on ${host}: UDP's peers are HTTP's peers`, async (t) => {
      const { tracker } = await start(t)
      const udp = new UdpClient(t, host, tracker.port)
      await udp.announce(await udp.connect(), 1001, 0)
      const client = new Client(t, tracker.port, host)
      client.socket.write(`GET ${ANNOUNCE}&port=1002 HTTP/1.1\r\nConnection: close\r\n\r\n`)
      await client.until(() => client.closed)
      assert.match(client.text, /8:completei1e10:incompletei1e/)
      const peers = size === 18 ? '5:peers0:6:peers618:' : '5:peers6:'
      const compact = client.text.slice(client.text.indexOf(peers) + peers.length, -1)
      assert.equal(compact.length, size)
      assert.equal(compact.slice(-2), '\x03\xe9', 'port 1001')
    })
  }

  test('the families have swarms of their own', { skip: !HAS_IPV6 && 'no IPv6' }, async (t) => {
    const { tracker, store } = await start(t)
    for (const host of HOSTS) {
      const client = new UdpClient(t, host, tracker.port)
      const reply = await client.announce(await client.connect(), 5, 1)
      assert.equal(reply.length, 20)
      assert.equal(reply.readUInt32BE(12), 1)
    }
    const { swarms, leechers4, leechers6 } = store.stats()
    assert.deepEqual([swarms, leechers4, leechers6], [1, 1, 1])
  })

  test('answers are timed where that is asked for', async (t) => {
    const { tracker } = await start(t, { http: { timed: true }, udp: { timed: true } })
    const udp = new UdpClient(t, '127.0.0.1', tracker.port)
    await udp.announce(await udp.connect(), 1001, 0)
    const client = new Client(t, tracker.port)
    client.socket.write(`GET ${ANNOUNCE}&port=1002 HTTP/1.1\r\n\r\n`)
    await client.until(() => client.answers() === 1)
    const sums = tracker.stats().responses.map(({ protocol, sumMs }) => [protocol, sumMs > 0])
    assert.deepEqual(sums, [
      ['udp', true],
      ['udp', true],
      ['http', true],
    ])
  })

  test('peers that stay away are forgotten while the tracker runs', async (t) => {
    const clock = new ManualClock()
    const { tracker, store } = await start(t, { clock })
    const client = new UdpClient(t, '127.0.0.1', tracker.port)
    await client.announce(await client.connect(), 1, 1)
    clock.advance(30 * 60_000)
    assert.equal(store.stats().swarms, 1)
    clock.advance(4 * 60_000)
    assert.equal(store.stats().swarms, 0)
  })

  test('a port that is taken is named, with the way out', async (t) => {
    const { tracker } = await start(t)
    await assert.rejects(
      start(t, { port: tracker.port }),
      (error: Error & { code?: string; mend?: string }) => {
        assert.equal(error.code, 'TRACKER_PORT_TAKEN')
        assert.match(error.message, new RegExp(`TCP 127.0.0.1:${tracker.port}`))
        assert.match(error.mend!, /--tracker-port/)
        return true
      },
    )
    const udp = createSocket('udp4')
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    server.close()
    await once(server, 'close')
    udp.bind(port, '127.0.0.1')
    await once(udp, 'listening')
    await assert.rejects(start(t, { port }), /UDP 127\.0\.0\.1/)
    udp.close()
  })

  test('an address that is not of this host is refused by name', async (t) => {
    await assert.rejects(start(t, { bind: ['192.0.2.1'] }), { code: 'TRACKER_LISTEN_FAILED' })
    await assert.rejects(start(t, { bind: ['localhost'] }), { code: 'TRACKER_INVALID_OPTION' })
    await assert.rejects(start(t, { maxWanted: -1 }), { code: 'TRACKER_INVALID_OPTION' })
  })

  test('a host without IPv6 is served in IPv4, with a warning', async (t) => {
    const listen = TcpSockets.prototype.listen
    t.mock.method(
      TcpSockets.prototype,
      'listen',
      function (this: HttpServer & WorkerSockets, host: string, port: number) {
        if (host !== '::') return listen.call(this, host, port)
        return Promise.reject(Object.assign(new Error('listen'), { code: 'EAFNOSUPPORT' }))
      },
    )
    const warnings: string[] = []
    const logger = { ...silentLogger, warn: (_: object, message: string) => warnings.push(message) }
    const { tracker } = await start(t, { bind: ['127.0.0.1', '::'], logger })
    assert.deepEqual(tracker.addresses, ['127.0.0.1'])
    assert.deepEqual(warnings, ['this host has no IPv6: not served'])
    await assert.rejects(start(t, { bind: ['::'] }), { code: 'TRACKER_LISTEN_FAILED' })
  })

  test('port 0 is one port for both protocols on all addresses, tried again when half taken', async (t) => {
    const listen = UdpSockets.prototype.listen
    let refusals = 0
    t.mock.method(
      UdpSockets.prototype,
      'listen',
      function (this: UdpServer & WorkerSockets, host: string, port: number) {
        if (refusals++ >= 3) return listen.call(this, host, port)
        return Promise.reject(Object.assign(new Error('bind'), { code: 'EADDRINUSE' }))
      },
    )
    const { tracker } = await start(t)
    assert.ok(refusals > 3 && tracker.port > 0)
    for (const host of HOSTS) await new UdpClient(t, host, tracker.port).connect()
  })

  test('after stop the port is free and connections are closed', async (t) => {
    const { tracker } = await start(t)
    const client = new Client(t, tracker.port)
    client.socket.write('GET / HTTP/1.1\r\n\r\n')
    await client.until(() => client.answers() === 1)
    await Promise.all([tracker.stop(), tracker.stop()])
    await client.until(() => client.closed)
    await start(t, { port: tracker.port })
  })
})
