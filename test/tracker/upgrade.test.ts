/** A connection that asks to go on as WebSocket is handed over, whole: what was read, what comes later, and nothing of ours. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { seededRandom, systemClock } from '../../src/base/index.ts'
import { createPeerStore } from '../../src/peer-store/index.ts'
import { Announcer } from '../../src/tracker/announce.ts'
import { Counters } from '../../src/tracker/counters.ts'
import { HttpHandler } from '../../src/tracker/http-handler.ts'
import { HttpServer, type TakeOver } from '../../src/tracker/http-server.ts'
import { settle } from '../../src/tracker/options.ts'

const UPGRADE = 'GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'

async function start(t: TestContext, takeOver?: TakeOver) {
  const counters = new Counters()
  const store = createPeerStore({ clock: systemClock, random: seededRandom(1) })
  t.after(() => store.stop())
  const { http } = settle({})
  const handler = new HttpHandler({
    ...http,
    store,
    counters,
    announcer: new Announcer(store, http.policy),
    maxWanted: http.policy.maxWanted,
  })
  const server = new HttpServer(systemClock, handler, counters, http, takeOver)
  t.after(() => server.close())
  return { counters, port: await server.listen('127.0.0.1', 0) }
}

test('what came before is answered, the rest goes to the taker', async (t) => {
  let taken = ''
  const { counters, port } = await start(t, (socket, remote, bytes) => {
    taken = Buffer.from(bytes).toString('latin1')
    assert.deepEqual([...remote], [127, 0, 0, 1])
    socket.on('data', (chunk) => socket.end(`taker heard ${chunk}`))
    socket.resume()
  })
  const client = connect(port, '127.0.0.1')
  t.after(() => client.destroy())
  let heard = ''
  client.on('data', (chunk) => {
    heard += chunk
    if (heard.endsWith('/scrape.\n')) client.write('later')
  })
  client.write(`GET / HTTP/1.1\r\n\r\n${UPGRADE}frame`)
  await once(client, 'end')
  assert.equal(taken, `${UPGRADE}frame`)
  assert.match(heard, /^HTTP\/1.1 200 OK.*taker heard later$/s)
  assert.equal(counters.httpConnections, 0, 'it is not counted as HTTP any more')
})

test('where nobody takes connections over, the header means nothing', async (t) => {
  const { port } = await start(t)
  const client = connect(port, '127.0.0.1')
  t.after(() => client.destroy())
  client.write(UPGRADE)
  const [chunk] = await once(client, 'data')
  assert.match(String(chunk), /^HTTP\/1.1 404 /)
})
