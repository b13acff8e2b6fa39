/** Engines that download from each other over uTP; the rest of the engine does not know what it runs over. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EngineOptions } from '../../../src/engine/index.ts'
import { assertSame, Swarm } from '../swarm.ts'

const KIB = 1024
const SEEDER = '10.0.0.1'

async function transfer(
  swarm: Swarm,
  seeder: Partial<EngineOptions>,
  leecher: Partial<EngineOptions>,
): Promise<{ readonly utp: boolean }> {
  const content = swarm.content(1024 * KIB, 64 * KIB)
  const source = await swarm.engine(SEEDER, await swarm.holding(content), seeder)
  source.open([...(await swarm.holding(content)).torrents()][0]!, content.info, { trackers: [] })
  const target = swarm.volume()
  const engine = await swarm.engine('10.0.0.2', target, leecher)
  const torrent = await engine.add(content.info, {
    trackers: [],
    peers: [{ host: SEEDER, port: 6881 }],
  })
  let utp = false
  await swarm.until(() => {
    utp ||= torrent.progress().utpPeers > 0
    return torrent.progress().state === 'seeding'
  }, 120_000)
  assertSame(target, content)
  await swarm.stop()
  return { utp }
}

test('who prefers uTP downloads over it, from who takes it, and over TCP from who does not', async () => {
  for (const utp of ['on', 'prefer'] as const) {
    assert.deepEqual(await transfer(new Swarm(1), { utp }, { utp: 'prefer' }), { utp: true })
  }
  assert.deepEqual(await transfer(new Swarm(1), {}, { utp: 'prefer' }), { utp: false })
})

test('TCP is first otherwise, and nobody speaks uTP to who has it off', async () => {
  assert.deepEqual(await transfer(new Swarm(2), { utp: 'on' }, { utp: 'on' }), { utp: false })
  assert.deepEqual(await transfer(new Swarm(2), { utp: 'prefer' }, {}), { utp: false })
})

test('whom TCP does not reach is reached over uTP', async () => {
  const refuses = new Set([SEEDER])
  const swarm = new Swarm(3, { refusesTcp: (host) => refuses.has(host) })
  assert.deepEqual(await transfer(swarm, { utp: 'on' }, { utp: 'on' }), { utp: true })
})

test('encryption goes over uTP as over TCP', async () => {
  const encryption = 'required'
  const options = { utp: 'prefer', encryption } as const
  assert.deepEqual(await transfer(new Swarm(4), options, options), { utp: true })
})

test('datagrams that are lost cost time, not content', async () => {
  const swarm = new Swarm(5, { datagramLoss: 0.03 })
  assert.deepEqual(await transfer(swarm, { utp: 'on' }, { utp: 'prefer' }), { utp: true })
})

test('the DHT and uTP share the port', async () => {
  const swarm = new Swarm(6)
  const dht = { bootstrap: [{ host: SEEDER, port: 6881 }] }
  const content = swarm.content(256 * KIB, 64 * KIB)
  const seeds = await swarm.holding(content)
  const seeder = await swarm.engine(SEEDER, seeds, { utp: 'prefer', dht })
  seeder.open([...seeds.torrents()][0]!, content.info, { trackers: [] })
  const target = swarm.volume()
  const engine = await swarm.engine('10.0.0.2', target, { utp: 'prefer', dht })
  const torrent = await engine.add(content.info, { trackers: [] })
  await swarm.until(() => torrent.progress().state === 'seeding', 600_000)
  assertSame(target, content)
  assert.ok(engine.dhtNodes > 0)
  await swarm.stop()
})
