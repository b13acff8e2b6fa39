/** Signalling over real sockets, with a client of another make. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import WebSocket from 'ws'
import { delay, seededRandom, silentLogger, systemClock } from '../../../src/base/index.ts'
import { createPeerStore } from '../../../src/peer-store/index.ts'
import { HookList } from '../../../src/tracker/hooks/hook.ts'
import {
  startTracker,
  type Tracker,
  type TrackerPolicy,
  type WebSocketOptions,
} from '../../../src/tracker/index.ts'
import { FIRST } from '../certificates.ts'
import { overFrontEnds } from '../front-ends.ts'
import { HASH, ODD_HASH, offers, peerId, SignalClient } from './client.ts'

/** Until what the tracker counts is so. */
async function until(done: () => boolean): Promise<void> {
  while (!done()) await delay(systemClock, 5)
}

overFrontEnds((frontEnd) => {
  async function start(
    t: TestContext,
    websocket: WebSocketOptions = {},
    more: TrackerPolicy = {},
  ): Promise<{ tracker: Tracker; url: string }> {
    const store = createPeerStore({ clock: systemClock, random: seededRandom(1) })
    const tracker = await startTracker({
      store,
      clock: systemClock,
      random: seededRandom(2),
      logger: silentLogger,
      bind: ['127.0.0.1'],
      // Hooks that are made in this thread are not for workers.
      frontEnd: more.hooks === undefined ? frontEnd : 'portable',
      websocket,
      ...more,
    })
    t.after(async () => {
      await tracker.stop()
      store.stop()
    })
    return { tracker, url: `ws://127.0.0.1:${tracker.port}` }
  }

  test('offers go to others, answers come back, and who made them is told the counts', async (t) => {
    const { tracker, url } = await start(t)
    const a = await SignalClient.open(t, url)
    const b = await SignalClient.open(t, `${url}/announce`)
    const made = offers(5)
    a.announce(peerId(1), { event: 'started', info_hash: ODD_HASH, offers: made })
    assert.deepEqual(await a.next(), {
      action: 'announce',
      info_hash: ODD_HASH,
      interval: 120,
      complete: 0,
      incomplete: 1,
    })
    b.announce(peerId(2), { event: 'started', info_hash: ODD_HASH, left: 0, offers: made })
    const told = await b.next()
    assert.deepEqual([told.complete, told.incomplete], [1, 1])
    const heard = await a.next()
    assert.deepEqual(heard, {
      action: 'announce',
      info_hash: ODD_HASH,
      peer_id: peerId(2),
      ...made[0],
    })
    a.say({
      action: 'announce',
      info_hash: ODD_HASH,
      peer_id: peerId(1),
      to_peer_id: heard.peer_id,
      offer_id: heard.offer_id,
      answer: { type: 'answer', sdp: 'v=0' },
    })
    assert.deepEqual(await b.next(), {
      action: 'announce',
      info_hash: ODD_HASH,
      peer_id: peerId(1),
      offer_id: made[0]!.offer_id,
      answer: { type: 'answer', sdp: 'v=0' },
    })
    const { websocket } = tracker.stats()
    assert.deepEqual(websocket, {
      connections: 2,
      swarms: 1,
      seeders: 1,
      leechers: 1,
      offers: 1,
      answers: 1,
      undelivered: 0,
      slow: 0,
    })
  })

  test('a peer is gone when its connection ends, and when it stops', async (t) => {
    const { tracker, url } = await start(t)
    const a = await SignalClient.open(t, url)
    const b = await SignalClient.open(t, url)
    a.announce(peerId(1))
    a.announce(peerId(1), { info_hash: ODD_HASH, left: 0 })
    b.announce(peerId(2))
    await a.next()
    await a.next()
    assert.equal((await b.next()).incomplete, 2)
    b.announce(peerId(2), { event: 'stopped' })
    assert.equal((await b.next()).incomplete, 1)
    a.socket.terminate()
    await until(() => tracker.stats().websocket.connections === 1)
    const { swarms, seeders, leechers } = tracker.stats().websocket
    assert.deepEqual([swarms, seeders, leechers], [0, 0, 0])
  })

  test('completed makes a leecher a seeder, which a scrape counts', async (t) => {
    const { url } = await start(t)
    const a = await SignalClient.open(t, url)
    a.announce(peerId(1))
    await a.next()
    a.announce(peerId(1), { event: 'completed', left: 0 })
    await a.next()
    a.say({ action: 'scrape', info_hash: HASH })
    const counts = { complete: 1, incomplete: 0, downloaded: 1 }
    assert.deepEqual(await a.next(), {
      action: 'scrape',
      files: { [HASH]: counts },
      flags: { min_request_interval: 120 },
    })
    a.say({ action: 'scrape', info_hash: [HASH, ODD_HASH] })
    assert.deepEqual((await a.next()).files, {
      [HASH]: counts,
      [ODD_HASH]: { complete: 0, incomplete: 0, downloaded: 0 },
    })
    a.say({ action: 'scrape' })
    assert.deepEqual(await a.next(), {
      action: 'scrape',
      'failure reason': 'no info_hash parameter supplied',
    })
  })

  test('clients of one process share a connection, and find each other over it', async (t) => {
    const { url } = await start(t)
    const both = await SignalClient.open(t, url)
    both.announce(peerId(1))
    await both.next()
    both.announce(peerId(2), { offers: offers(3) })
    assert.equal((await both.next()).incomplete, 2)
    const { peer_id, offer_id } = await both.next()
    assert.equal(peer_id, peerId(2))
    both.say({
      action: 'announce',
      info_hash: HASH,
      peer_id: peerId(1),
      to_peer_id: peerId(2),
      offer_id,
      answer: { sdp: '' },
    })
    assert.equal((await both.next()).peer_id, peerId(1))
  })

  test('a connection that came back takes its peer id along; another address does not get it', async (t) => {
    const { tracker, url } = await start(
      t,
      {},
      { http: { realIpHeader: 'X-Real-IP', trustedProxies: ['127.0.0.1'] } },
    )
    const from = (address: string) => ({ headers: { 'X-Real-IP': address } })
    const before = await SignalClient.open(t, url, from('192.0.2.1'))
    before.announce(peerId(1))
    await before.next()
    const other = await SignalClient.open(t, url, from('192.0.2.2'))
    let pings = 0
    before.socket.on('ping', () => pings++)
    other.announce(peerId(1))
    const refused = await other.next()
    assert.equal(refused['failure reason'], 'peer_id is taken by another connection')
    await until(() => pings === 1)
    const again = await SignalClient.open(t, url, from('192.0.2.1'))
    again.announce(peerId(1))
    assert.equal((await again.next()).incomplete, 1)
    before.socket.terminate()
    await until(() => tracker.stats().websocket.connections === 2)
    assert.equal(tracker.stats().websocket.leechers, 1, 'the new one stays')
  })

  test('what is wrong is said, with the info-hash where there is one', async (t) => {
    const { url } = await start(t, { maxSwarms: 1 })
    const a = await SignalClient.open(t, url)
    const cases: readonly (readonly [object | string, string, string?])[] = [
      ['{', 'malformed message'],
      ['[]', 'malformed message'],
      [{}, 'unknown action ID'],
      [{ action: 'announce' }, 'no info_hash parameter supplied'],
      [{ action: 'announce', info_hash: 'short' }, 'provided invalid infohash'],
      [{ action: 'announce', info_hash: `${'a'.repeat(19)}\u0100` }, 'provided invalid infohash'],
      [{ action: 'announce', info_hash: HASH }, 'failed to parse parameter: peer_id', HASH],
      [
        { action: 'announce', info_hash: HASH, peer_id: 5 },
        'failed to provide valid peer_id',
        HASH,
      ],
      [
        { action: 'announce', info_hash: HASH, peer_id: peerId(1), event: 'exploded' },
        'failed to provide valid client event',
        HASH,
      ],
      [
        { action: 'announce', info_hash: HASH, peer_id: peerId(1), answer: {} },
        'failed to provide valid to_peer_id',
        HASH,
      ],
      [
        {
          action: 'announce',
          info_hash: HASH,
          peer_id: peerId(1),
          answer: {},
          to_peer_id: peerId(2),
          offer_id: 'x',
        },
        'answer from outside of the swarm',
        HASH,
      ],
      [{ action: 'scrape', info_hash: ['x'] }, 'provided invalid infohash'],
    ]
    for (const [message, reason, infoHash] of cases) {
      a.say(message)
      const heard = await a.next()
      assert.equal(heard['failure reason'], reason)
      assert.equal(heard.info_hash, infoHash)
    }
    a.announce(peerId(1))
    assert.equal((await a.next()).incomplete, 1)
    a.announce(peerId(1), { info_hash: ODD_HASH })
    assert.equal((await a.next())['failure reason'], 'no room for more peers')
  })

  test('hooks are asked, with the passkey of the path and the token of the message', async (t) => {
    const seen: unknown[] = []
    const hooks = new HookList([
      {
        approve(request) {
          const { parameters, passkeyStart, passkeyEnd, parametersStart, parametersEnd } = request
          const text = (start: number, end: number): string =>
            Buffer.from(parameters.subarray(start, end)).toString('latin1')
          seen.push([
            passkeyStart < 0 ? null : text(passkeyStart, passkeyEnd),
            text(parametersStart, parametersEnd),
          ])
          return passkeyStart < 0 ? 'unapproved request: missing passkey' : null
        },
        vary(_, answer) {
          answer.intervalSeconds += 7
        },
      },
    ])
    const { url } = await start(
      t,
      {},
      { hooks, http: { announceRoutes: ['/announce', '/:passkey/announce'] } },
    )
    const a = await SignalClient.open(t, `${url}/secret-key/announce?x=1`)
    a.announce(peerId(1), { jwt: 'a.b-c.d' })
    assert.equal((await a.next()).interval, 127)
    const b = await SignalClient.open(t, url)
    b.announce(peerId(2), { jwt: 'not&a=token' })
    assert.equal((await b.next())['failure reason'], 'unapproved request: missing passkey')
    assert.deepEqual(seen, [
      ['secret-key', 'x=1&jwt=a.b-c.d'],
      [null, '&jwt='],
    ])
  })

  test('who comes by HTTPS is in the same swarms, and leaves them', async (t) => {
    const store = createPeerStore({ clock: systemClock, random: seededRandom(1) })
    const place = { address: '127.0.0.1', port: 0 }
    const tracker = await startTracker({
      store,
      clock: systemClock,
      random: seededRandom(2),
      logger: silentLogger,
      listen: { http: [place], https: [place], udp: [] },
      http: { tls: FIRST },
      frontEnd,
    })
    t.after(async () => {
      await tracker.stop()
      store.stop()
    })
    const plain = await SignalClient.open(t, `ws://127.0.0.1:${tracker.http[0]!.port}`)
    const secure = (): Promise<SignalClient> =>
      SignalClient.open(t, `wss://127.0.0.1:${tracker.https[0]!.port}`, {
        rejectUnauthorized: false,
      })
    const [a, b, c] = [await secure(), await secure(), await secure()]
    plain.announce(peerId(0))
    assert.equal((await plain.next()).incomplete, 1)
    // More than the buffers on the way hold at a time.
    const large = [{ offer: { sdp: 'x'.repeat(40_000) }, offer_id: 'n'.repeat(20) }]
    a.announce(peerId(1), { offers: large })
    assert.equal((await a.next()).incomplete, 2)
    assert.deepEqual((await plain.next()).offer, large[0]!.offer)
    plain.say({
      action: 'announce',
      info_hash: HASH,
      peer_id: peerId(0),
      to_peer_id: peerId(1),
      offer_id: 'n'.repeat(20),
      answer: large[0]!.offer,
    })
    assert.deepEqual((await a.next()).answer, large[0]!.offer)
    b.announce(peerId(2))
    await b.next()
    c.announce(peerId(3))
    await c.next()
    assert.equal(tracker.stats().websocket.connections, 4)
    b.socket.close()
    assert.equal(await b.closed(), 1000)
    c.socket.terminate()
    await until(() => tracker.stats().websocket.connections === 2)
    plain.announce(peerId(0))
    assert.equal((await plain.next()).incomplete, 2)
    await tracker.stop()
    assert.equal(await a.closed(), 1001)
    assert.equal(await plain.closed(), 1001)
  })

  test('a tracker with HTTPS and nothing else has signalling', async (t) => {
    const store = createPeerStore({ clock: systemClock, random: seededRandom(1) })
    const tracker = await startTracker({
      store,
      clock: systemClock,
      random: seededRandom(2),
      logger: silentLogger,
      listen: { http: [], https: [{ address: '127.0.0.1', port: 0 }], udp: [] },
      http: { tls: FIRST },
      frontEnd,
    })
    t.after(async () => {
      await tracker.stop()
      store.stop()
    })
    const url = `wss://127.0.0.1:${tracker.https[0]!.port}`
    const a = await SignalClient.open(t, url, { rejectUnauthorized: false })
    a.announce(peerId(1))
    assert.equal((await a.next()).incomplete, 1)
  })

  test('handshakes that are none are refused with a status', async (t) => {
    const { tracker } = await start(t, { allowedOrigins: ['https://example.org'] })
    const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
    const version = 'Sec-WebSocket-Version: 13\r\n'
    const connection = 'Connection: keep-alive, Upgrade\r\n'
    const ask = async (path: string, lines: string): Promise<string> => {
      const socket = connect(tracker.port, '127.0.0.1')
      t.after(() => socket.destroy())
      socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n${lines}\r\n`)
      const [chunk] = await once(socket, 'data')
      return String(chunk)
    }
    const good = await ask('/', connection + key + version)
    assert.match(good, /^HTTP\/1.1 101 .*Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/s)
    assert.match(await ask('/', key + version), /^HTTP\/1.1 400 /)
    assert.match(await ask('/', connection + version), /^HTTP\/1.1 400 /)
    assert.match(await ask('/', connection + key), /^HTTP\/1.1 426 .*Sec-WebSocket-Version: 13/s)
    assert.match(await ask('/nowhere', connection + key + version), /^HTTP\/1.1 404 /)
    const origin = (name: string): Promise<string> =>
      ask('/', `${connection}${key}${version}Origin: ${name}\r\n`)
    assert.match(await origin('https://example.com'), /^HTTP\/1.1 403 /)
    assert.match(await origin('https://example.org'), /^HTTP\/1.1 101 /)
  })

  test('so many connections and no more, and so many of one address', async (t) => {
    const { tracker, url } = await start(t, { maxConnections: 3, maxPerAddress: 2 })
    const first = await SignalClient.open(t, url)
    await SignalClient.open(t, url)
    await assert.rejects(SignalClient.open(t, url), /503/)
    first.socket.terminate()
    await until(() => tracker.stats().websocket.connections === 1)
    await SignalClient.open(t, url)
  })

  test('pings are answered, messages may come in fragments, and a close is returned', async (t) => {
    const { url } = await start(t)
    const a = await SignalClient.open(t, url)
    a.socket.ping('abc')
    const [pong] = await once(a.socket, 'pong')
    assert.equal(String(pong), 'abc')
    const text = JSON.stringify({ action: 'scrape', info_hash: HASH })
    a.socket.send(text.slice(0, 5), { fin: false })
    a.socket.ping()
    a.socket.send(text.slice(5, 20), { fin: false })
    a.socket.send(text.slice(20), { fin: true })
    assert.equal((await a.next()).action, 'scrape')
    a.socket.close(1000)
    assert.equal(await a.closed(), 1000)
  })

  /** A frame as a client sends it. */
  function masked(first: number, payload: Buffer, length?: Buffer): Buffer {
    const head = length ?? Buffer.of(0x80 | payload.length)
    const mask = Buffer.of(1, 2, 3, 4)
    return Buffer.concat([
      Buffer.of(first),
      head,
      mask,
      payload.map((byte, i) => byte ^ mask[i % 4]!),
    ])
  }

  test('frames that break a rule end the connection with its code', async (t) => {
    const { url } = await start(t, { maxMessageBytes: 1024 })
    const cases: readonly (readonly [string, Buffer, number])[] = [
      ['no mask', Buffer.of(0x81, 0x00), 1002],
      ['an opcode that is none', masked(0x83, Buffer.alloc(1)), 1002],
      ['a reserved bit', masked(0xc1, Buffer.alloc(1)), 1002],
      ['a ping in fragments', masked(0x09, Buffer.alloc(0)), 1002],
      ['a ping that is long', masked(0x89, Buffer.alloc(126), Buffer.of(0xfe, 0, 126)), 1002],
      [
        'a length that could be shorter',
        masked(0x81, Buffer.alloc(5), Buffer.of(0xfe, 0, 5)),
        1002,
      ],
      ['nothing to continue', masked(0x80, Buffer.alloc(1)), 1002],
      [
        'a message within another',
        Buffer.concat([masked(0x01, Buffer.alloc(1)), masked(0x81, Buffer.alloc(1))]),
        1002,
      ],
      ['too long', masked(0x81, Buffer.alloc(0), Buffer.of(0xfe, 4, 1)), 1009],
      [
        'too long by far',
        masked(0x81, Buffer.alloc(0), Buffer.of(0xff, 255, 255, 255, 255, 255, 255, 255, 255)),
        1009,
      ],
      [
        'too long in fragments',
        Buffer.concat(
          Array.from({ length: 9 }, (_, n) => masked(n === 0 ? 0x01 : 0x00, Buffer.alloc(120))),
        ),
        1009,
      ],
      ['not UTF-8', masked(0x81, Buffer.from('{"a":"\xff"}', 'latin1')), 1007],
      ['a close code that is none', masked(0x88, Buffer.of(3, 0xed)), 1002],
      ['half a close code', masked(0x88, Buffer.of(3)), 1002],
    ]
    for (const [what, bytes, code] of cases) {
      const client = await SignalClient.open(t, url)
      const socket = (client.socket as unknown as { _socket: import('node:net').Socket })._socket
      socket.write(bytes)
      assert.equal(await client.closed(), code, what)
    }
  })

  test('where both have said goodbye the connection is ended, whatever the other side does', async (t) => {
    const { tracker, url } = await start(t)
    const { hostname, port } = new URL(url)
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
    t.after(() => socket.destroy())
    let heard = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      heard = Buffer.concat([heard, chunk])
    })
    const ended = once(socket, 'end')
    socket.write(
      'GET / HTTP/1.1\r\nHost: tracker\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    )
    await until(() => heard.includes('\r\n\r\n'))
    socket.write(masked(0x88, Buffer.of(3, 0xe8)))
    await ended
    assert.deepEqual(heard.subarray(-4), Buffer.of(0x88, 2, 3, 0xe8))
    await until(() => tracker.stats().websocket.connections === 0)
  })

  test('a message in single bytes is heard', async (t) => {
    const { url } = await start(t)
    const a = await SignalClient.open(t, url)
    const socket = (a.socket as unknown as { _socket: import('node:net').Socket })._socket
    const text = Buffer.from(JSON.stringify({ action: 'scrape', info_hash: HASH }))
    for (const byte of masked(0x81, text)) {
      socket.write(Buffer.of(byte))
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.equal((await a.next()).action, 'scrape')
  })

  test('who sends too fast is read more slowly, and nothing is lost', async (t) => {
    const { url } = await start(t, { messagesPerSecond: 20, messageBurst: 10 })
    const a = await SignalClient.open(t, url)
    for (let n = 0; n < 25; n++) a.announce(peerId(1), { left: n })
    for (let n = 0; n < 10; n++) await a.next()
    assert.equal(a.heard.length, 10)
    for (let n = 0; n < 15; n++) await a.next()
  })

  test('who does not read is ended, and others go on', async (t) => {
    const { tracker, url } = await start(t, {
      maxQueueBytes: 16 * 1024,
      maxMessageBytes: 2 ** 20,
      messageBurst: 100_000,
    })
    const slow = await SignalClient.open(t, url)
    slow.announce(peerId(1))
    await slow.next()
    slow.socket.pause()
    const busy = await SignalClient.open(t, url)
    const offer = [{ offer: 'x'.repeat(900_000), offer_id: 'y' }]
    for (let n = 0; tracker.stats().websocket.slow === 0; n++) {
      assert.ok(n < 100, 'the kernel holds less than that')
      busy.announce(peerId(2), { offers: offer })
      await busy.next()
    }
    busy.announce(peerId(2))
    assert.equal((await busy.next()).incomplete, 1)
  })

  test('a tracker that has signalling off answers upgrades as HTTP', async (t) => {
    const { url } = await start(t, { enabled: false })
    await assert.rejects(SignalClient.open(t, url), /200/)
  })

  test('connections go when the tracker stops', async (t) => {
    const { tracker, url } = await start(t)
    const a = await SignalClient.open(t, url)
    await tracker.stop()
    assert.equal(await a.closed(), 1001)
    assert.equal(a.socket.readyState, WebSocket.CLOSED)
  })
})
