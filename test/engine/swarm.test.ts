/** Whole swarms of real engines in virtual time: honest ones end complete, whatever the others do. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Engine, EngineTorrent } from '../../src/engine/index.ts'
import type { FakeVolume } from './fake-volume.ts'
import { assertSame, BLOCK_BYTES, Swarm } from './swarm.ts'

const seeding = (torrents: readonly EngineTorrent[]): boolean =>
  torrents.every((torrent) => torrent.progress().state === 'seeding')

const none = { trackers: [] }
const SEED = { host: '10.0.0.1', port: 6881 }

/** A seeder at 10.0.0.1 and leechers at 10.0.1.x that know it. */
async function start(
  swarm: Swarm,
  totalBytes: number,
  pieceBytes: number,
  leechers: number,
): Promise<{
  content: ReturnType<Swarm['content']>
  seeder: Engine
  volumes: FakeVolume[]
  engines: Engine[]
  torrents: EngineTorrent[]
}> {
  const content = swarm.content(totalBytes, pieceBytes)
  const seedVolume = await swarm.holding(content)
  const seeder = await swarm.engine('10.0.0.1', seedVolume)
  seeder.open(seedVolume.get(content.info.infoHash)!, content.info, none)
  const volumes: FakeVolume[] = []
  const engines: Engine[] = []
  const torrents: EngineTorrent[] = []
  for (let i = 0; i < leechers; i++) {
    const volume = swarm.volume()
    const engine = await swarm.engine(`10.0.1.${i}`, volume)
    volumes.push(volume)
    engines.push(engine)
    const others = Array.from({ length: i }, (_, j) => ({ host: `10.0.1.${j}`, port: 6881 }))
    torrents.push(await engine.add(content.info, { trackers: [], peers: [SEED, ...others] }))
  }
  return { content, seeder, volumes, engines, torrents }
}

for (const [what, pieceBytes] of [
  ['smaller than a block', BLOCK_BYTES / 8],
  ['as large as a block', BLOCK_BYTES],
  ['larger than a block', BLOCK_BYTES * 4],
] as const) {
  test(`a leecher downloads pieces ${what}, and writes each block once and whole`, async () => {
    const swarm = new Swarm(1)
    const totalBytes = 5 * 1024 * 1024 + 12_345
    const { content, volumes, torrents } = await start(swarm, totalBytes, pieceBytes, 1)
    let completed = 0
    torrents[0]!.on('complete', () => {
      completed++
      assertSame(volumes[0]!.afterCrash(), content)
    })
    await swarm.until(() => seeding(torrents), 60_000)
    assertSame(volumes[0]!, content)
    assert.equal(completed, 1)
    const writes = volumes[0]!.writes
    assert.equal(writes.length, Math.ceil(totalBytes / BLOCK_BYTES))
    for (const { offset, length } of writes) {
      assert.equal(offset % BLOCK_BYTES, 0)
      assert.equal(length, Math.min(BLOCK_BYTES, totalBytes - offset))
    }
    await swarm.stop()
  })
}

for (const pieceBytes of [16_384, 50_000, 100_000, 262_145, 600_000, 3_000_001]) {
  test(`pieces of ${pieceBytes} bytes arrive through a cache of one block`, async () => {
    const swarm = new Swarm(pieceBytes)
    const content = swarm.content(7_654_321, pieceBytes)
    const seedVolume = await swarm.holding(content)
    const seeder = await swarm.engine('10.0.0.1', seedVolume)
    seeder.open(seedVolume.get(content.info.infoHash)!, content.info, none)
    const volume = swarm.volume()
    const engine = await swarm.engine('10.0.1.1', volume, { cacheBytes: BLOCK_BYTES })
    const torrent = await engine.add(content.info, { trackers: [], peers: [SEED] })
    await swarm.until(() => seeding([torrent]), 600_000)
    assertSame(volume, content)
    await swarm.stop()
  })
}

test('many leechers share what one seeder has', async () => {
  const swarm = new Swarm(2, { bytesPerMs: 4_000 })
  const { content, volumes, torrents, seeder } = await start(swarm, 8 * 1024 * 1024, 65_536, 8)
  await swarm.until(() => seeding(torrents), 300_000)
  for (const volume of volumes) assertSame(volume, content)
  const sent = seeder.get(content.info.infoHash)!.progress().uploadedBytes
  assert.ok(sent < 6 * content.bytes.length, `the seeder sent ${sent} bytes to eight leechers`)
  await swarm.stop()
})

test('leechers that hold different halves complete each other', async () => {
  const swarm = new Swarm(3)
  const content = swarm.content(3_000_000, 65_536)
  const even = await swarm.holding(content, (piece) => piece % 2 === 0)
  const odd = await swarm.holding(content, (piece) => piece % 2 === 1)
  const a = await swarm.engine('10.0.0.1', even)
  const b = await swarm.engine('10.0.0.2', odd)
  const torrents = [
    a.open(even.get(content.info.infoHash)!, content.info, none),
    b.open(odd.get(content.info.infoHash)!, content.info, { trackers: [], peers: [SEED] }),
  ]
  await swarm.until(() => seeding(torrents), 60_000)
  assertSame(even, content)
  assertSame(odd, content)
  await swarm.stop()
})

test('a peer that sends corrupt pieces is banned, alone or among others', async () => {
  const liar = '10.0.2.1'
  const swarm = new Swarm(4, {
    tamper: (from, bytes) => {
      if (from === liar && bytes.length > 1_000) bytes[bytes.length - 200]! ^= 1
    },
  })
  const content = swarm.content(4_000_000, 65_536)
  const good = await swarm.holding(content)
  const bad = await swarm.holding(content)
  const seeder = await swarm.engine('10.0.0.1', good)
  seeder.open(good.get(content.info.infoHash)!, content.info, none)
  const liarEngine = await swarm.engine(liar, bad)
  const lying = liarEngine.open(bad.get(content.info.infoHash)!, content.info, none)
  const volume = swarm.volume()
  const engine = await swarm.engine('10.0.1.1', volume)
  const torrent = await engine.add(content.info, {
    trackers: [],
    peers: [SEED, { host: liar, port: 6881 }],
  })
  await swarm.until(() => seeding([torrent]), 120_000)
  assertSame(volume, content)
  assert.ok(torrent.progress().hashFailures > 0)
  assert.equal(lying.progress().peers, 0)
  await swarm.stop()
})

test('what a vanished peer owed is fetched from another', async () => {
  const swarm = new Swarm(5, { bytesPerMs: 1_000 })
  const content = swarm.content(6_000_000, 65_536)
  const first = await swarm.holding(content)
  const second = await swarm.holding(content)
  const a = await swarm.engine('10.0.0.1', first)
  a.open(first.get(content.info.infoHash)!, content.info, none)
  const b = await swarm.engine('10.0.0.2', second)
  b.open(second.get(content.info.infoHash)!, content.info, none)
  const volume = swarm.volume()
  const engine = await swarm.engine('10.0.1.1', volume)
  const torrent = await engine.add(content.info, {
    trackers: [],
    peers: [SEED, { host: '10.0.0.2', port: 6881 }],
  })
  await swarm.until(() => torrent.progress().havePieces > 10, 60_000)
  swarm.internet.cut('10.0.0.1')
  a.remove(content.info.infoHash)
  await swarm.until(() => seeding([torrent]), 120_000)
  assertSame(volume, content)
  await swarm.stop()
})

test('a magnet becomes a torrent: its info dictionary comes from peers', async () => {
  const swarm = new Swarm(6)
  const content = swarm.content(3_000_000, 16_384)
  const seedVolume = await swarm.holding(content)
  const seeder = await swarm.engine('10.0.0.1', seedVolume)
  seeder.open(seedVolume.get(content.info.infoHash)!, content.info, none)
  const volume = swarm.volume()
  const engine = await swarm.engine('10.0.1.1', volume)
  const torrent = engine.addMagnet(
    {
      infoHash: content.info.infoHash,
      name: undefined,
      trackers: [],
      peers: [SEED],
      totalBytes: undefined,
    },
    none,
  )
  assert.equal(torrent.progress().state, 'metadata')
  let named = ''
  torrent.on('metadata', (info) => {
    named = info.name
  })
  await swarm.until(() => seeding([torrent]), 60_000)
  assert.equal(named, 'content')
  assertSame(volume, content)
  await swarm.stop()
})

test('what was written before a stop is not downloaded again', async () => {
  const swarm = new Swarm(7, { bytesPerMs: 1_000 })
  const { content, volumes, engines, torrents } = await start(swarm, 6_000_000, 32_768, 1)
  await swarm.until(() => torrents[0]!.progress().havePieces > 60, 60_000)
  const verified = torrents[0]!.progress().havePieces
  await swarm.settled(engines[0]!.stop())
  const volume = volumes[0]!.afterCrash()
  const stored = volume.stored.values().next().value!
  assert.equal(stored.have.count, verified)
  const engine = await swarm.engine('10.0.1.77', volume)
  const torrent = engine.open(stored, content.info, { trackers: [], peers: [SEED] })
  const missing = (content.info.pieceCount - verified) * content.info.pieceBytes
  await swarm.until(() => seeding([torrent]), 60_000)
  assertSame(volume, content)
  assert.ok(stored.downloadedBytes <= missing, 'only what was missing')
  await swarm.stop()
})

test('a torrent whose disk fails keeps the error, others go on', async () => {
  const swarm = new Swarm(8)
  const { volumes, torrents, content } = await start(swarm, 3_000_000, 65_536, 2)
  volumes[0]!.failWith = new Error('no such sector')
  let told: Error | undefined
  torrents[0]!.on('failed', (error) => {
    told = error
  })
  await swarm.until(() => seeding([torrents[1]!]), 120_000)
  assert.equal(torrents[0]!.progress().state, 'failed')
  assert.match(told!.message, /no such sector/)
  assert.equal(torrents[0]!.error, told)
  assertSame(volumes[1]!, content)
  await swarm.stop()
})

test('a torrent whose disk failed goes on when it is well, from what is there', async () => {
  const swarm = new Swarm(18, { bytesPerMs: 500 })
  const { volumes, torrents, content } = await start(swarm, 3_000_000, 65_536, 1)
  const [torrent] = torrents
  await swarm.until(() => torrent!.stored!.have.count > 8, 60_000)
  volumes[0]!.failWith = new Error('no such sector')
  await swarm.until(() => torrent!.progress().state === 'failed', 60_000)
  const held = torrent!.stored!.have.count
  assert.equal(torrent!.progress().peers, 0)
  // Not well yet: it fails again.
  let failures = 0
  let completed = 0
  torrent!.on('failed', () => failures++)
  torrent!.on('complete', () => completed++)
  await swarm.settled(torrent!.resume())
  assert.notEqual(torrent!.progress().state, 'failed')
  await swarm.until(() => torrent!.progress().state === 'failed', 60_000)
  volumes[0]!.failWith = undefined
  const before = torrent!.progress().downloadedBytes
  await swarm.settled(torrent!.resume())
  await swarm.settled(torrent!.resume())
  await swarm.until(() => seeding(torrents), 120_000)
  assertSame(volumes[0]!, content)
  assert.deepEqual([failures, completed], [1, 1])
  const fetched = torrent!.progress().downloadedBytes - before
  assert.ok(fetched <= content.bytes.length - held * 65_536 + 65_536, 'only what was missing')
  await swarm.stop()
  await torrent!.resume()
  assert.equal(torrent!.progress().state, 'stopped')
})

test('an engine does not connect to itself for long', async () => {
  const swarm = new Swarm(9)
  const { torrents } = await start(swarm, 300_000, 65_536, 1)
  torrents[0]!.addPeers([{ host: '10.0.1.0', port: 6881 }])
  await swarm.until(() => seeding(torrents), 60_000)
  await swarm.stop()
})
