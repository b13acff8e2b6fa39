/** The tracker by its configuration, over real sockets: what is set holds, what is changed holds at once. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { seededRandom, silentLogger, systemClock } from '../../src/base/index.ts'
import { loadConfig, startTrackerService, type TrackerService } from '../../src/tracker/index.ts'
import { choosing, overFrontEnds } from './front-ends.ts'

const QUERY = `?info_hash=${'a'.repeat(20)}&peer_id=-SE0100-000000000000&uploaded=0&downloaded=0&left=1`

async function startBy(
  frontEnd: 'fast' | 'portable',
  t: TestContext,
  yaml: string,
): Promise<TrackerService> {
  const { config } = loadConfig({ text: yaml, environment: choosing(frontEnd) })
  const service = await startTrackerService({
    config,
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
  })
  t.after(() => service.stop())
  return service
}

function get(
  service: TrackerService,
  path: string,
  headers: Record<string, string> = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const { address, port } = service.http[0]!
    const sent = request({ host: address, port, path, headers, agent: false }, (response) => {
      let body = ''
      response.setEncoding('latin1')
      response.on('data', (chunk) => {
        body += chunk
      })
      response.on('end', () =>
        resolve(response.statusCode === 200 ? body : String(response.statusCode)),
      )
    })
    sent.on('error', reject)
    sent.end()
  })
}

overFrontEnds((frontEnd) => {
  const start = startBy.bind(null, frontEnd)
  test('each protocol listens where it is told, or not at all', async (t) => {
    const service = await start(t, 'tracker: {http: {addr: "127.0.0.1:0"}, udp: {addr: ""}}')
    assert.equal(service.http.length, 1)
    assert.deepEqual(service.udp, [])
    assert.match(await get(service, `/announce${QUERY}&port=1`), /10:incompletei1e/)
    const udp = await start(
      t,
      'tracker: {udp: {addr: ["127.0.0.1:0", "127.0.0.2:0"]}, http: {addr: []}}',
    )
    assert.equal(udp.udp.length, 2)
    assert.deepEqual(udp.http, [])
    await assert.rejects(start(t, 'tracker: {http: {addr: "192.0.2.1:1"}, udp: {addr: ""}}'), {
      code: 'TRACKER_LISTEN_FAILED',
    })
  })

  test('routes, proxies and limits are those of the configuration, and of the next after a reload', async (t) => {
    const yaml = (more: string) => `
tracker:
  announce_interval: 20m
  http:
    addr: 127.0.0.1:0
    announce_routes: [/a.php, "/:key/announce"]
    real_ip_header: X-Real-IP
    ${more}
  udp: {addr: ""}
`
    const service = await start(t, yaml('max_numwant: 1'))
    assert.equal(await get(service, `/announce${QUERY}&port=1`), '404')
    const peer = (n: number, path = '/k/announce') =>
      get(service, `${path}${QUERY}&port=${n}`, { 'X-Real-IP': `9.9.9.${n}` })
    await peer(1)
    await peer(2, '/a.php')
    const third = await peer(3)
    assert.match(third, /8:intervali1200e/)
    assert.ok(
      third.includes('5:peers6:\x09\x09\x09'),
      'one peer, at the address that the proxy named',
    )
    assert.equal(
      await get(service, `/k/announce${QUERY}&port=4`, { 'X-Real-IP': 'x' }),
      'd14:failure reason31:failed to parse peer IP addresse',
    )

    const socket = connect(service.http[0]!)
    const requestText = `GET /a.php${QUERY}&port=5 HTTP/1.1\r\n\r\n`
    socket.write(requestText)
    await once(socket, 'data')
    const { restart, kept } = await service.reload(
      loadConfig({
        environment: choosing(frontEnd),
        text: yaml('trusted_proxies: [10.0.0.1]')
          .replace('20m', '21m')
          .replace('127.0.0.1:0', '127.0.0.1:1')
          .replace('udp: {addr: ""}', 'udp: {addr: "", private_key: x}'),
      }).config,
    )
    assert.deepEqual([...restart].sort(), ['tracker.http.addr', 'tracker.udp.private_key'])
    assert.deepEqual(kept, [])
    socket.write(requestText)
    const [answer] = (await once(socket, 'data')) as [Buffer]
    assert.match(
      answer.toString('latin1'),
      /8:intervali1260e.*5:peers18:/s,
      'the connection stayed and has the new rules',
    )
    socket.destroy()
    await peer(6)
    assert.ok((await peer(7)).includes('\x7f\0\0\x01\0\x06'), 'the proxy is not believed any more')
    assert.equal(service.stats().store.leechers4, 6)
  })

  test('hooks come and go with a reload; one that cannot start changes nothing', async (t) => {
    const yaml = (hooks: string) =>
      `tracker: {http: {addr: "127.0.0.1:0"}, udp: {addr: ""}, prehooks: [${hooks}]}`
    const other = 'b'.repeat(40)
    const service = await start(
      t,
      yaml(`{name: torrent approval, options: {whitelist: [${other}]}}`),
    )
    const announce = () => get(service, `/announce${QUERY}&port=1`)
    assert.equal(await announce(), 'd14:failure reason18:unapproved torrente')
    const reload = (hooks: string) =>
      service.reload(loadConfig({ environment: choosing(frontEnd), text: yaml(hooks) }).config)
    await reload('{name: client approval, options: {blacklist: [SE0100]}}')
    assert.equal(await announce(), 'd14:failure reason17:unapproved cliente')
    await assert.rejects(
      reload('{name: torrent approval, options: {whitelist_file: /nowhere/list}}'),
      {
        code: 'TRACKER_CONFIG_UNREADABLE',
      },
    )
    assert.equal(await announce(), 'd14:failure reason17:unapproved cliente')
    await reload('')
    assert.match(await announce(), /^d8:complete/)
  })

  test('old configurations of chihaya may ask for /announce.php and /scrape.php', async (t) => {
    const yaml = (php: boolean): string =>
      `chihaya: {http: {addr: "127.0.0.1:0", enable_legacy_php_urls: ${php}}}`
    const service = await start(t, yaml(true))
    assert.match(await get(service, `/announce.php${QUERY}&port=1`), /^d8:complete/)
    assert.match(await get(service, `/announce${QUERY}&port=1`), /^d8:complete/)
    assert.match(await get(service, `/scrape.php${QUERY}`), /^d5:filesd20:/)
    await service.reload(loadConfig({ environment: choosing(frontEnd), text: yaml(false) }).config)
    assert.equal(await get(service, `/announce.php${QUERY}&port=1`), '404')
  })

  test('a place where swarms cannot be kept is known at the start', async (t) => {
    const warned: object[] = []
    const { config } = loadConfig({
      environment: choosing(frontEnd),
      text: 'tracker: {http: {addr: ""}, udp: {addr: "127.0.0.1:0"}, storage: {config: {snapshot: /nowhere/swarms}}}',
    })
    const service = await startTrackerService({
      config,
      clock: systemClock,
      random: seededRandom(1),
      logger: { ...silentLogger, warn: (fields) => warned.push(fields) },
    })
    t.after(() => service.stop())
    assert.deepEqual(warned, [{ path: '/nowhere/swarms', folder: '/nowhere', error: 'ENOENT' }])
  })

  test('what is being stopped is not reloaded', async (t) => {
    const yaml = 'tracker: {http: {addr: ""}, udp: {addr: "127.0.0.1:0"}}'
    const service = await start(t, yaml)
    const { config } = loadConfig({ environment: choosing(frontEnd), text: yaml })
    const stopped = service.stop()
    await assert.rejects(service.reload(config), { code: 'TRACKER_STOPPING' })
    await stopped
  })

  test('without keep-alive every answer is the last', async (t) => {
    const service = await start(
      t,
      'tracker: {http: {addr: "127.0.0.1:0", enable_keepalive: false}, udp: {addr: ""}}',
    )
    const socket = connect(service.http[0]!)
    socket.write('GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n')
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    await once(socket, 'close')
    assert.equal(text.split('HTTP/1.1 200').length - 1, 1)
    assert.match(text, /Connection: close/)
  })
})
