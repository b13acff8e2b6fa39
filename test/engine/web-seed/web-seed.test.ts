/** Downloads from web servers (BEP 19), in virtual time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HttpAnswer, Network } from '../../../src/engine/index.ts'
import { fileUrl, webSeedHost } from '../../../src/engine/web-seed/url.ts'
import { WebSeeds } from '../../../src/engine/web-seed/web-seeds.ts'
import { assertSame, Swarm } from '../swarm.ts'

const PIECE = 64 * 1024
const SEED_URL = 'http://web.example/files/'

interface Get {
  readonly url: string
  readonly offset: number
  readonly bytes: number
}

/** The network of 10.0.0.1 with a web server in it, and what was asked of that. */
function served(
  swarm: Swarm,
  answer: (get: Get) => HttpAnswer | undefined,
): { network: Network; gets: Get[] } {
  const gets: Get[] = []
  const network: Network = {
    ...swarm.internet.host('10.0.0.1'),
    httpGet: (url, { range }) =>
      new Promise((resolve, reject) => {
        const get = { url, offset: range?.offset ?? 0, bytes: range?.bytes ?? 0 }
        gets.push(get)
        swarm.clock.after(10, () => {
          const found = answer(get)
          if (found === undefined) reject(new Error('nobody there'))
          else resolve(found)
        })
      }),
  }
  return { network, gets }
}

const part = (bytes: Uint8Array, { offset, bytes: count }: Get): HttpAnswer => ({
  status: 206,
  body: bytes.slice(offset, offset + count),
})

test('a torrent comes whole from a web server, in few and large parts', async () => {
  const swarm = new Swarm(90)
  const content = swarm.content(12_000_000, PIECE)
  const { network, gets } = served(swarm, (get) => part(content.bytes, get))
  const volume = swarm.volume()
  const engine = await swarm.engine('10.0.0.1', volume, { network })
  const torrent = await engine.add(content.info, { trackers: [], webSeeds: [SEED_URL] })
  await swarm.until(() => torrent.progress().state === 'seeding', 60_000)
  assertSame(volume, content)
  assert.ok(gets.every(({ url }) => url === `${SEED_URL}content`))
  assert.ok(Math.max(...gets.map(({ bytes }) => bytes)) <= 2 * 1024 * 1024)
  assert.equal(
    gets.reduce((sum, { bytes }) => sum + bytes, 0),
    content.bytes.length,
    'each byte once',
  )
  assert.ok(gets.length < content.bytes.length / 16_384 / 4, `${gets.length} requests`)
  await swarm.until(() => torrent.progress().peers === 0, 5_000)
  await swarm.stop()
})

for (const format of ['v1', 'v2', 'hybrid'] as const) {
  test(`the files of a ${format} torrent are asked for by their names, filler is not`, async () => {
    const swarm = new Swarm(91)
    const content = swarm.published(format, [PIECE + 1000, 5, 3 * PIECE, 0, 777], PIECE)
    const { bytes, info, layers } = content
    const files = new Map(
      info.files.map(({ path, offset, bytes: size }) => [
        `${SEED_URL}content/${path.map(encodeURIComponent).join('/')}`,
        bytes.subarray(offset, offset + size),
      ]),
    )
    const { network, gets } = served(swarm, (get) => part(files.get(get.url)!, get))
    const volume = swarm.volume()
    const engine = await swarm.engine('10.0.0.1', volume, { network })
    // Without its last slash it is the same folder.
    const webSeeds = [SEED_URL.slice(0, -1)]
    const torrent = await engine.add(info, {
      trackers: [],
      webSeeds,
      ...(layers === undefined ? {} : { layers }),
    })
    await swarm.until(() => torrent.progress().state === 'seeding', 60_000)
    assertSame(volume, content)
    assert.equal(
      gets.reduce((sum, get) => sum + get.bytes, 0),
      4 * PIECE + 1000 + 5 + 777,
    )
    assert.ok(gets.some(({ url }) => url.endsWith('/content/d2/file%202')))
    await swarm.stop()
  })
}

for (const [what, answer, most] of [
  ['is away', () => undefined, 12],
  ['does not have it', () => ({ status: 404, body: new Uint8Array(10) }), 12],
  ['knows no ranges', () => ({ status: 200, body: new Uint8Array(12_345) }), 12],
  ['serves other bytes', ({ bytes }: Get) => ({ status: 206, body: new Uint8Array(bytes) }), 200],
] as const) {
  test(`a web server that ${what} is left alone, and peers serve what it did not`, async () => {
    const swarm = new Swarm(92, { bytesPerMs: 20 })
    const content = swarm.content(2_000_000, PIECE)
    const { network, gets } = served(swarm, answer)
    const seedVolume = await swarm.holding(content)
    const seeder = await swarm.engine('10.0.0.9', seedVolume)
    seeder.open(seedVolume.get(content.info.infoHash)!, content.info, { trackers: [] })
    const volume = swarm.volume()
    const engine = await swarm.engine('10.0.0.1', volume, { network })
    const torrent = await engine.add(content.info, {
      trackers: [],
      webSeeds: [SEED_URL, 'ftp://no.example/'],
      peers: [{ host: '10.0.0.9', port: 6881 }],
    })
    await swarm.until(() => torrent.progress().state === 'seeding', 10 * 60_000)
    assertSame(volume, content)
    assert.ok(gets.length > 0 && gets.length <= most, `${gets.length} requests`)
    await swarm.stop()
  })
}

test('where the files are', () => {
  const single = { name: 'a b', multiFile: false, files: [] }
  assert.equal(fileUrl('http://x/y.iso', single, 0), 'http://x/y.iso')
  assert.equal(fileUrl('http://x/', single, 0), 'http://x/a%20b')
  assert.equal(webSeedHost('https://x:8443/y'), 'x')
  assert.equal(webSeedHost('ftp://x/y'), undefined)
  assert.equal(webSeedHost('nonsense'), undefined)
})

test('a seed that fails rests longer each time; one that served comes back soon', () => {
  const seeds = new WebSeeds<object>(['http://a/', 'http://a/', 'http://b/', 'nonsense'])
  let opened: string[] = []
  const peers = new Map<string, object>()
  const connect = (nowMs: number): string[] => {
    opened = []
    seeds.connect(
      nowMs,
      (host) => host === 'b',
      (url) => {
        opened.push(url)
        const peer = {}
        peers.set(url, peer)
        return peer
      },
    )
    return opened
  }
  assert.deepEqual(connect(0), ['http://a/'], 'each once, nobody banned')
  assert.deepEqual(connect(1), [])
  assert.ok(seeds.ended(peers.get('http://a/')!, false, 0))
  assert.deepEqual(connect(9_999), [])
  assert.deepEqual(connect(10_000), ['http://a/'])
  seeds.ended(peers.get('http://a/')!, false, 10_000)
  assert.deepEqual(connect(29_999), [])
  assert.deepEqual(connect(30_000), ['http://a/'])
  seeds.ended(peers.get('http://a/')!, true, 40_000)
  assert.deepEqual(connect(50_000), ['http://a/'])
  assert.ok(!seeds.ended({}, true, 0))
})
