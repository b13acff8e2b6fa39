/** Connections of HTTP and clients that misbehave, on both front ends: what is sent in pieces, at once, never read, torn off. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { ManualClock, systemClock } from '../../src/base/index.ts'
import { EMFILE } from '../../src/tracker/linux/libc.ts'
import {
  Client,
  FRONT_ENDS,
  type FrontEnd,
  skipped,
  startFrontEnd,
  turns,
  until,
} from './http-fronts.ts'

const ANNOUNCE = `/announce?info_hash=${'a'.repeat(20)}&peer_id=-SE0100-000000000000&uploaded=0&downloaded=0&left=1`
const request = (port: number, headers = ''): string =>
  `GET ${ANNOUNCE}&port=${port} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`

function forBoth(name: string, body: (t: TestContext, frontEnd: FrontEnd) => Promise<void>): void {
  for (const frontEnd of FRONT_ENDS) {
    test(`${frontEnd}: ${name}`, { skip: skipped(frontEnd) }, (t) => body(t, frontEnd))
  }
}

forBoth('a connection is kept, byte by byte and many at once', async (t, frontEnd) => {
  const { port, counters } = await startFrontEnd(t, frontEnd, { clock: systemClock })
  const client = new Client(t, port)
  for (const byte of request(1)) {
    client.socket.write(byte)
    await turns(1)
  }
  await client.until(() => client.answers() === 1)
  client.socket.write(request(1).repeat(50) + request(1).slice(0, 40))
  await client.until(() => client.answers() === 51)
  client.socket.write(request(1).slice(40))
  await client.until(() => client.answers() === 52)
  assert.equal(client.closed, false)
  assert.equal(counters.httpConnections, 1)
})

forBoth('answers are timed where that is asked for', async (t, frontEnd) => {
  const policy = { http: { timed: true } }
  const { port, counters } = await startFrontEnd(t, frontEnd, { clock: systemClock, policy })
  const client = new Client(t, port)
  client.socket.write(request(1).repeat(10))
  await client.until(() => client.answers() === 10)
  const [row] = counters.responses.rows()
  assert.equal(row!.count, 10)
  assert.ok(row!.sumMs > 0)
})

test('portable: a lock of the store that a dead thread left costs the connection, not the process', async (t) => {
  const { port, store, counters } = await startFrontEnd(t, 'portable', { clock: systemClock })
  const { announce } = store
  store.announce = () => {
    throw Object.assign(new Error('lost'), { code: 'PEER_STORE_LOCK_LOST' })
  }
  const first = new Client(t, port)
  first.socket.write(request(1))
  await first.until(() => first.closed)
  assert.equal(first.text, '')
  store.announce = announce
  const second = new Client(t, port)
  second.socket.write(request(1))
  await second.until(() => second.answers() === 1)
  assert.equal(counters.httpConnections, 1)
})

forBoth('a thousand pipelined requests get a thousand answers in order', async (t, frontEnd) => {
  const { port } = await startFrontEnd(t, frontEnd, { clock: systemClock })
  const client = new Client(t, port)
  const hash = (n: number): string => String(n).padStart(20, 'h')
  const scrapes = Array.from(
    { length: 1000 },
    (_, n) => `GET /scrape?info_hash=${hash(n)} HTTP/1.1\r\n\r\n`,
  )
  client.socket.write(scrapes.join(''))
  await client.until(() => client.answers() === 1000)
  const found = [...client.text.matchAll(/20:(h+\d+)d8/g)].map(([, name]) => name)
  assert.deepEqual(
    found,
    scrapes.map((_, n) => hash(n)),
  )
})

forBoth('the connection closes when that is asked for, and only then', async (t, frontEnd) => {
  const { port, counters } = await startFrontEnd(t, frontEnd, { clock: systemClock })
  const kept = new Client(t, port)
  kept.socket.write(request(1))
  await kept.until(() => kept.answers() === 1)
  const asks = new Client(t, port)
  asks.socket.write(request(2, 'Connection: close\r\n') + request(3))
  await asks.until(() => asks.closed)
  assert.equal(asks.answers(), 1)
  assert.match(asks.text, /\r\nConnection: close\r\n/)
  const old = new Client(t, port)
  old.socket.write('GET / HTTP/1.0\r\n\r\n')
  await old.until(() => old.closed)
  assert.equal(old.answers(), 1)
  await until(() => counters.httpConnections === 1)
  assert.equal(kept.closed, false)
})

forBoth('with keep-alive off every answer is the last', async (t, frontEnd) => {
  const policy = { http: { keepAlive: false } }
  const { port } = await startFrontEnd(t, frontEnd, { clock: systemClock, policy })
  const client = new Client(t, port)
  client.socket.write(request(1))
  await client.until(() => client.closed)
  assert.match(client.text, /\r\nConnection: close\r\n/)
})

forBoth('what cannot be answered closes, and the reason arrives', async (t, frontEnd) => {
  const { port, counters } = await startFrontEnd(t, frontEnd, { clock: systemClock })
  for (const [bytes, status] of [
    [`GET /${'a'.repeat(9000)}`, '431'],
    // What is still coming must not reset the connection before the answer has arrived.
    [`GET /${'a'.repeat(2_000_000)}`, '431'],
    ['POST /announce HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n', '405'],
    ['HEAD / HTTP/1.1\r\n\r\n', '405'],
    ['nonsense\r\n\r\n', '400'],
    ['\x16\x03\x01\x02\x00\x01\x00', '400'],
  ] as const) {
    const client = new Client(t, port)
    client.socket.write(Buffer.from(bytes, 'latin1'))
    await client.until(() => client.ended || client.closed)
    assert.equal(client.answers(), 1, bytes.slice(0, 20))
    assert.ok(client.text.startsWith(`HTTP/1.1 ${status} `), client.text.slice(0, 40))
    client.socket.destroy()
  }
  assert.equal(counters.errors['http 431'], 2)
  await until(() => counters.httpConnections === 0)
})

forBoth('idle and slow clients are cut off by the clock', async (t, frontEnd) => {
  const clock = new ManualClock()
  const policy = { httpIdleTimeoutMs: 30_000, httpHeadTimeoutMs: 5000 }
  const { port, counters } = await startFrontEnd(t, frontEnd, { clock, policy })
  const silent = new Client(t, port)
  const slow = new Client(t, port)
  const kept = new Client(t, port)
  slow.socket.write('G')
  kept.socket.write('GET / HTTP/1.1\r\n\r\n')
  await kept.until(() => kept.answers() === 1)
  // With deferred accepts who says nothing is let in after a second.
  await until(() => counters.httpConnections === 3)
  for (let seconds = 0; seconds < 20 && !slow.closed; seconds++) {
    // A byte a second does not buy time.
    slow.socket.write('G')
    await turns(5)
    clock.advance(1000)
    await turns(5)
  }
  // By now it was cut off, whenever the end arrives here.
  await slow.until(() => slow.closed)
  assert.equal(counters.transports.http4.dropped, 1)
  assert.deepEqual([silent.closed, kept.closed], [false, false])
  clock.advance(30_000)
  await Promise.all([silent.until(() => silent.closed), kept.until(() => kept.closed)])
  assert.equal(counters.transports.http4.dropped, 1, 'being idle is no offence')
  await until(() => counters.httpConnections === 0)
})

forBoth('who does not read is not read from, and is cut off', async (t, frontEnd) => {
  const clock = new ManualClock()
  const policy = { httpWriteTimeoutMs: 10_000 }
  const { port, counters } = await startFrontEnd(t, frontEnd, { clock, policy })
  const client = new Client(t, port)
  client.socket.pause()
  const requests = `GET / HTTP/1.1\r\n\r\n`.repeat(50_000)
  let written = 0
  // Until nothing moves: buffers are full on both sides.
  for (let still = 0; still < 50; ) {
    if (client.socket.writableLength < 2 ** 20 && written < 100) {
      client.socket.write(requests)
      written++
    }
    const before = client.socket.writableLength
    await turns(3)
    still = client.socket.writableLength === before && before >= 2 ** 20 ? still + 1 : 0
  }
  clock.advance(11_000)
  await until(() => counters.httpConnections === 0)
  assert.equal(counters.transports.http4.dropped, 1)
})

forBoth('who reads late gets every answer', async (t, frontEnd) => {
  const { port } = await startFrontEnd(t, frontEnd, { clock: systemClock })
  const client = new Client(t, port)
  client.socket.pause()
  const count = 30_000
  client.socket.write('GET / HTTP/1.1\r\n\r\n'.repeat(count))
  await turns(200)
  client.socket.resume()
  await client.until(() => client.text.length > count * 100)
  await client.until(() => client.answers() === count)
  client.socket.end()
  await client.until(() => client.closed)
})

forBoth('who asks and shuts its side down gets its answers', async (t, frontEnd) => {
  const { port, counters } = await startFrontEnd(t, frontEnd, { clock: systemClock })
  for (const count of [1, 3, 20_000]) {
    const client = new Client(t, port)
    client.socket.end('GET / HTTP/1.1\r\n\r\n'.repeat(count))
    await client.until(() => client.closed)
    assert.equal(client.answers(), count)
  }
  const torn = new Client(t, port)
  torn.socket.end('GET / HT')
  await torn.until(() => torn.closed)
  assert.equal(torn.text, '')
  await until(() => counters.httpConnections === 0)
})

forBoth('resets in the midst of anything leave nothing behind', async (t, frontEnd) => {
  const { port, counters } = await startFrontEnd(t, frontEnd, { clock: systemClock })
  for (const bytes of ['', 'GET /ann', request(1), request(1).repeat(200), 'x'.repeat(20_000)]) {
    const client = new Client(t, port)
    await new Promise((resolve) => client.socket.once('connect', resolve))
    client.socket.write(bytes)
    await turns(2)
    client.socket.resetAndDestroy()
  }
  const client = new Client(t, port)
  client.socket.write(request(2))
  await client.until(() => client.answers() === 1)
  client.socket.destroy()
  await until(() => counters.httpConnections === 0)
})

forBoth('connections beyond the limit are refused', async (t, frontEnd) => {
  const policy = { maxHttpConnections: 2 }
  const { port, counters } = await startFrontEnd(t, frontEnd, { clock: systemClock, policy })
  const [first, second] = [new Client(t, port), new Client(t, port)]
  // Both have begun another request: they are not idle.
  for (const client of [first, second]) {
    client.socket.write('GET / HTTP/1.1\r\n\r\nGET ')
    await client.until(() => client.answers() === 1)
  }
  const third = new Client(t, port)
  third.socket.write('GET ')
  await third.until(() => third.closed)
  assert.equal(third.text, '')
  assert.equal(counters.transports.http4.dropped, 1)
  first.socket.write('/ HTTP/1.1\r\n\r\n')
  await first.until(() => first.answers() === 2)
  second.socket.destroy()
  await until(() => counters.httpConnections === 1)
  const next = new Client(t, port)
  next.socket.write(request(1))
  await next.until(() => next.answers() === 1)
})

forBoth('at the limit who is idle makes room for who comes', async (t, frontEnd) => {
  const policy = { maxHttpConnections: 2 }
  const { port, counters } = await startFrontEnd(t, frontEnd, { clock: systemClock, policy })
  const [first, second] = [new Client(t, port), new Client(t, port)]
  for (const client of [first, second]) {
    client.socket.write(`${request(1)}${client === second ? 'GET ' : ''}`)
    await client.until(() => client.answers() === 1)
  }
  for (let n = 0; n < 5; n++) {
    const next = new Client(t, port)
    next.socket.write(request(2))
    await next.until(() => next.answers() === 1)
  }
  await first.until(() => first.closed)
  second.socket.write('/ HTTP/1.1\r\n\r\n')
  await second.until(() => second.answers() === 2)
  assert.equal(counters.transports.http4.dropped, 0)
  await until(() => counters.httpConnections <= 2)
})

forBoth('who is slow to say whose connection it is is cut off', async (t, frontEnd) => {
  const clock = new ManualClock()
  const policy = { http: { proxyProtocol: true, trustedProxies: ['127.0.0.1'], externalIp: true } }
  const { port, counters } = await startFrontEnd(t, frontEnd, { clock, policy })
  const header = Buffer.from('0d0a0d0a000d0a515549540a2111000c090807060000000000000000', 'hex')
  const slow = new Client(t, port)
  slow.socket.write(header.subarray(0, 5))
  const patient = new Client(t, port)
  for (const byte of header) {
    patient.socket.write(Buffer.of(byte))
    await turns(2)
  }
  patient.socket.write(request(1))
  await patient.until(() => patient.answers() === 1)
  assert.ok(patient.text.includes('external ip4:\x09\x08\x07\x06'))
  await until(() => counters.httpConnections === 2)
  clock.advance(7000)
  await slow.until(() => slow.closed)
  assert.equal(counters.transports.http4.dropped, 1)
  assert.equal(patient.closed, false)
})

forBoth('hundreds of connections at a time are each answered', async (t, frontEnd) => {
  const { port, counters, store } = await startFrontEnd(t, frontEnd, { clock: systemClock })
  const clients = Array.from({ length: 300 }, () => new Client(t, port))
  for (const round of [1, 2]) {
    for (const [n, client] of clients.entries()) client.socket.write(request(1 + n))
    for (const client of clients) await client.until(() => client.answers() === round)
  }
  assert.equal(store.stats().leechers4, 300)
  assert.equal(counters.httpConnections, 300)
  for (const client of clients) client.socket.destroy()
  await until(() => counters.httpConnections === 0)
})

forBoth(
  'a request for WebSocket leaves with all that was read, and later bytes',
  async (t, frontEnd) => {
    const upgrade = 'GET /x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
    let taken = ''
    const { port, counters } = await startFrontEnd(t, frontEnd, {
      clock: systemClock,
      takeOver: (socket, remote, bytes) => {
        taken = Buffer.from(bytes).toString('latin1')
        assert.deepEqual([...remote], [127, 0, 0, 1])
        socket.on('data', (chunk) => socket.end(`taker heard ${chunk}`))
        socket.resume()
      },
    })
    for (const before of ['', 'GET / HTTP/1.1\r\n\r\n']) {
      const client = new Client(t, port)
      if (before !== '') {
        client.socket.write(before)
        await client.until(() => client.answers() === 1)
      }
      client.socket.write(`${before}${upgrade}frame`)
      await until(() => taken !== '')
      client.socket.write('later')
      await client.until(() => client.ended)
      assert.equal(taken, `${upgrade}frame`)
      assert.match(client.text, /taker heard later$/)
      assert.equal(client.answers(), before === '' ? 0 : 2)
      taken = ''
    }
    assert.equal(counters.httpConnections, 0, 'they are not counted as HTTP any more')
  },
)

forBoth('where nobody takes connections over, the header means nothing', async (t, frontEnd) => {
  const { port } = await startFrontEnd(t, frontEnd, { clock: systemClock })
  const client = new Client(t, port)
  client.socket.write('GET /x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  await client.until(() => client.answers() === 1)
  assert.match(client.text, /^HTTP\/1.1 404 /)
})

test('epoll: with no descriptor left clients are refused, and served when there are some again', {
  skip: skipped('epoll'),
}, async (t) => {
  const clock = new ManualClock()
  let failing = false
  let refused = 0
  let calls = 0
  const { port, counters } = await startFrontEnd(t, 'epoll', {
    clock,
    between: (libc) => {
      let failed = false
      return {
        ...libc,
        accept4(fd, address, bytes, flags) {
          calls++
          // Without room for an address it is by the spare descriptor.
          failed = failing && address !== null
          if (failing && address === null) refused++
          return failed ? -1 : libc.accept4(fd, address, bytes, flags)
        },
        errno: () => (failed ? EMFILE : libc.errno()),
      }
    },
  })
  failing = true
  const first = new Client(t, port)
  first.socket.write(request(1))
  await first.until(() => first.closed)
  assert.equal(first.text, '')
  assert.ok(refused > 0)
  assert.ok(counters.transports.http4.dropped > 0)
  // Nobody is there to be refused: the listener rests.
  await turns(20)
  const before = calls
  await turns(20)
  assert.equal(calls, before)
  failing = false
  clock.advance(1000)
  const second = new Client(t, port)
  second.socket.write(request(1))
  await second.until(() => second.answers() === 1)
})

test('epoll: requests that waited too long are shed while there is no end of them', {
  skip: skipped('epoll'),
}, async (t) => {
  const { port, counters } = await startFrontEnd(t, 'epoll', {
    clock: systemClock,
    // As if any wait were too long.
    shedAgeMs: -1,
  })
  const client = new Client(t, port)
  client.socket.write(request(1))
  await client.until(() => client.closed)
  assert.equal(client.text, '')
  assert.equal(counters.transports.http4.shed, 1)
  await until(() => counters.httpConnections === 0)
})
