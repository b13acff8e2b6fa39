/** What only the holder of the token sees and does: the largest swarms, a scrape of all, a reload. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { ManualClock, seededRandom, silentLogger, systemClock } from '../../../src/base/index.ts'
import { createPeerStore, type PeerStore } from '../../../src/peer-store/index.ts'
import { loadConfig, type Reloaded, startTrackerService } from '../../../src/tracker/index.ts'
import { ScrapeFile } from '../../../src/tracker/outside/scrape-file.ts'
import { fullScrape, topSwarms } from '../../../src/tracker/outside/swarm-walk.ts'

const TOKEN = 'a-token-of-some-length'

function hashOf(n: number): Uint8Array {
  return new Uint8Array(Buffer.from(String(n).padStart(20, '.')))
}

function storeWith(swarms: number): PeerStore {
  const store = createPeerStore({ clock: new ManualClock(), random: seededRandom(1) })
  for (let n = 0; n < swarms; n++) {
    for (let peer = 0; peer <= n % 50; peer++) {
      const address = Uint8Array.of(10, n >>> 8, n & 255, peer)
      if (peer % 2 === 0) store.putSeeder(hashOf(n), address, 1)
      else store.putLeecher(hashOf(n), new Uint8Array(16).fill(peer), 1)
    }
  }
  return store
}

/** The entries of a full scrape; `decode` would insist on order. */
function entriesOf(bytes: Buffer): Map<string, string> {
  const text = bytes.toString('latin1')
  assert.ok(text.startsWith('d5:filesd') && text.endsWith('ee'))
  const entry = /20:(.{20})d8:completei(\d+)e10:downloadedi(\d+)e10:incompletei(\d+)ee/gsy
  const found = new Map<string, string>()
  let at = 'd5:filesd'.length
  while (at < text.length - 2) {
    entry.lastIndex = at
    const [all, hash, ...counts] = entry.exec(text)!
    assert.ok(!found.has(hash!))
    found.set(hash!, counts.join(' '))
    at += all.length
  }
  return found
}

async function start(t: TestContext, more = '', reread?: () => Promise<Reloaded>) {
  const text = `
tracker:
  metrics_addr: 127.0.0.1:0
  metrics_token: ${TOKEN}
  ${more}
  http: {addr: "127.0.0.1:0"}
  udp: {addr: ""}
`
  const tools = { clock: systemClock, random: seededRandom(1), logger: silentLogger }
  const { config } = loadConfig({ text })
  const service = await startTrackerService({
    config,
    ...tools,
    ...(reread === undefined ? {} : { reread }),
  })
  t.after(() => service.stop())
  const announce = `/announce?info_hash=${'a'.repeat(20)}&peer_id=${'b'.repeat(20)}&port=1&uploaded=0&downloaded=0&left=0`
  await (await fetch(`http://127.0.0.1:${service.http[0]!.port}${announce}`)).arrayBuffer()
  return (path: string, authorization = '', init: RequestInit = {}) =>
    fetch(`http://127.0.0.1:${service.metrics[0]!.port}${path}`, {
      ...init,
      headers: { ...(authorization === '' ? {} : { authorization }) },
    })
}

test('the largest swarms are those with the most peers, largest first', async () => {
  const store = storeWith(3000)
  const top = await topSwarms(store, 100)
  assert.equal(top.length, 100)
  const sizes = top.map(({ seeders, leechers }) => seeders + leechers)
  assert.deepEqual(sizes, [...Array(60).fill(50), ...Array(40).fill(49)])
  assert.equal(new Set(top.map((one) => one.infoHash)).size, 100)
  assert.deepEqual(await topSwarms(storeWith(0), 100), [])
})

test('a full scrape has every swarm once, with the counts of both families', async () => {
  const store = storeWith(3000)
  const parts: Buffer[] = []
  for await (const part of fullScrape(store)) {
    assert.ok(part.length <= 128 * 1024)
    parts.push(Buffer.from(part))
  }
  const entries = entriesOf(Buffer.concat(parts))
  assert.equal(entries.size, 3000)
  assert.equal(entries.get(Buffer.from(hashOf(2)).toString()), '2 0 1')
})

test('the file of a full scrape is written whole, and compressed by its name', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'seedbed-scrape-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const store = storeWith(200)
  const clock = new ManualClock()
  const errors: unknown[] = []
  const logger = { ...silentLogger, error: (fields: unknown) => errors.push(fields) }
  let file = join(folder, 'all.gz')
  const scrapes = new ScrapeFile(clock, logger, store, () => ({ file, intervalMs: 1000 }))
  await scrapes.write()
  assert.equal(entriesOf(gunzipSync(readFileSync(file))).size, 200)
  file = join(folder, 'all')
  scrapes.start()
  clock.advance(1000)
  await scrapes.stop()
  assert.equal(entriesOf(readFileSync(file)).size, 200)
  file = join(folder, 'nowhere', 'all')
  await scrapes.write()
  assert.equal(errors.length, 1)
  file = join(folder, 'all.gz', 'below-a-file')
  await scrapes.write()
  assert.equal(errors.length, 2)
})

test('a full scrape that a reload asks for is written by its own interval', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'seedbed-scrape-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'all')
  const clock = new ManualClock()
  const text = (more: string) =>
    `tracker: {front_end: portable, http: {addr: "127.0.0.1:0"}, udp: {addr: ""}, ${more}}`
  const { config } = loadConfig({ text: text('full_scrape: {interval: 24h}') })
  const tools = { clock, random: seededRandom(1), logger: silentLogger }
  const service = await startTrackerService({ config, ...tools })
  await service.reload(
    loadConfig({ text: text(`full_scrape: {interval: 10s, file: ${file}}`) }).config,
  )
  clock.advance(10_000)
  // Waits for what is being written.
  await service.stop()
  assert.equal(readFileSync(file, 'latin1'), 'd5:filesdee')
})

test('/stats names swarms to who holds the token, and to nobody else', async (t) => {
  const ask = await start(t)
  for (const authorization of ['', 'Bearer wrong', `Basic ${TOKEN}`, `bearer ${TOKEN}x`, TOKEN]) {
    const stats = await (await ask('/stats.json', authorization)).text()
    assert.doesNotMatch(stats, /6161616161/)
  }
  const basic = `Basic ${Buffer.from(`me:${TOKEN}`).toString('base64')}`
  for (const authorization of [`Bearer ${TOKEN}`, basic]) {
    const { top } = (await (await ask('/stats.json', authorization)).json()) as { top: unknown }
    assert.deepEqual(top, [{ infoHash: '61'.repeat(20), seeders: 1, leechers: 0, completed: 0 }])
  }
})

test('a full scrape is there where it is switched on, for who holds the token', async (t) => {
  const off = await start(t)
  assert.equal((await off('/full-scrape', `Bearer ${TOKEN}`)).status, 404)
  const ask = await start(t, 'full_scrape: {enable: true}')
  assert.equal((await ask('/full-scrape')).status, 401)
  const answer = await ask('/full-scrape', `Bearer ${TOKEN}`)
  assert.equal(answer.headers.get('content-encoding'), 'gzip')
  const entries = entriesOf(Buffer.from(await answer.arrayBuffer()))
  assert.deepEqual([...entries], [['a'.repeat(20), '1 0 0']])
})

test('POST /reload reloads for who holds the token, and says what is wrong', async (t) => {
  let calls = 0
  const ask = await start(t, '', async () => {
    calls++
    if (calls > 1) throw Object.assign(new Error('F:1:1: wrong'), { code: 'TRACKER_CONFIG' })
    return { restart: ['tracker.udp.addr'], kept: ['list:3: wrong'] }
  })
  const post = (authorization: string) => ask('/reload', authorization, { method: 'POST' })
  assert.equal((await post('')).status, 401)
  const basic = `Basic ${Buffer.from(`me:${TOKEN}`).toString('base64')}`
  assert.equal((await post(basic)).status, 401, 'another page may have sent it')
  assert.equal((await ask('/reload', `Bearer ${TOKEN}`)).status, 405)
  assert.equal(calls, 0)
  const done = await post(`Bearer ${TOKEN}`)
  assert.deepEqual(await done.json(), {
    reloaded: true,
    restart: ['tracker.udp.addr'],
    kept: ['list:3: wrong'],
  })
  const failed = await post(`Bearer ${TOKEN}`)
  assert.equal(failed.status, 422)
  assert.deepEqual(await failed.json(), {
    reloaded: false,
    error: { code: 'TRACKER_CONFIG', message: 'F:1:1: wrong' },
  })
})

test('a token is long, or there is none; what is wrong with it is said without it', () => {
  const text = 'tracker: {metrics_token: hunter2}'
  assert.throws(() => loadConfig({ text }), /metrics_token: what is given is shorter than 16 char/)
  const list = 'tracker: {metrics_token: [hunter2], udp: {private_key: [hunter2]}}'
  for (const wrong of [text, list]) {
    assert.throws(
      () => loadConfig({ text: wrong }),
      (error: Error) => !error.message.includes('hunter2'),
    )
  }
})
