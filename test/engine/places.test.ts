/** Who gets a connection, and who gives one up, when there are as many as there may be. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EngineTorrent } from '../../src/engine/index.ts'
import { peerPriority } from '../../src/engine/peer-priority.ts'
import { encodeExtendedHandshake } from '../../src/engine/wire/extended.ts'
import * as messages from '../../src/engine/wire/messages.ts'
import { RawPeer } from './raw-peer.ts'
import { BLOCK_BYTES, Swarm } from './swarm.ts'

const PIECE = BLOCK_BYTES / 8

test('a thousand torrents and two hundred connections: each gets what it needs in its turn', async (t) => {
  const TORRENTS = 1_000
  const LIMIT = 200
  const swarm = new Swarm(40, { bytesPerMs: 10_000 })
  const contents = Array.from({ length: TORRENTS }, () => swarm.content(16_384, 16_384))
  const node = await swarm.engine('10.0.0.1', swarm.volume(), { maxConnections: LIMIT })
  // Half of the torrents have five sources, which stay; the other half one.
  const seeders = []
  for (let i = 0; i < 5; i++) {
    const engine = await swarm.engine(`10.0.1.${i}`, swarm.volume(), { maxConnections: 5_000 })
    seeders.push(engine)
    for (const [at, content] of contents.entries()) {
      if (i > 0 && at % 2 === 1) continue
      const holding = await swarm.holding(content)
      engine.open(holding.get(content.info.infoHash)!, content.info, { trackers: [] })
    }
  }
  const torrents: EngineTorrent[] = []
  for (const [at, { info }] of contents.entries()) {
    const hosts = at % 2 === 1 ? 1 : 5
    const peers = Array.from({ length: hosts }, (_, i) => ({ host: `10.0.1.${i}`, port: 6881 }))
    torrents.push(await node.add(info, { trackers: [], peers }))
  }
  let most = 0
  const done = (): number =>
    torrents.filter((torrent) => torrent.progress().state === 'seeding').length
  await swarm.until(
    () => {
      most = Math.max(most, node.status().connections.total)
      return done() === TORRENTS
    },
    600_000,
    100,
  )
  t.diagnostic(`all complete after ${swarm.clock.monotonicMs() - 1_000_000} virtual ms`)
  assert.ok(most <= LIMIT, `${most} connections`)
  await swarm.stop()
})

test('torrents that hold on to all connections give way to those that have none', async (t) => {
  const LIMIT = 20
  const TORRENTS = 60
  const swarm = new Swarm(41)
  const contents = Array.from({ length: TORRENTS }, () => swarm.content(24 * PIECE, PIECE))
  const node = await swarm.engine('10.0.0.1', swarm.volume(), { maxConnections: LIMIT })
  // These say hello, and never unchoke.
  for (let i = 0; i < 3; i++) {
    const engine = await swarm.engine(`10.0.1.${i}`, swarm.volume(), {
      uploadSlots: 0,
      maxConnections: 1_000,
    })
    for (const content of contents) {
      const holding = await swarm.holding(content)
      engine.open(holding.get(content.info.infoHash)!, content.info, { trackers: [] })
    }
  }
  const met = new Set<number>()
  const torrents: EngineTorrent[] = []
  for (const { info } of contents) {
    const peers = Array.from({ length: 3 }, (_, i) => ({ host: `10.0.1.${i}`, port: 6881 }))
    torrents.push(await node.add(info, { trackers: [], peers }))
  }
  const beganMs = swarm.clock.monotonicMs()
  await swarm.until(
    () => {
      for (const [i, torrent] of torrents.entries()) if (torrent.progress().peers > 0) met.add(i)
      return met.size === TORRENTS
    },
    600_000,
    100,
  )
  const { connections } = node.status()
  t.diagnostic(`${connections.givenUp} given up in ${swarm.clock.monotonicMs() - beganMs} ms`)
  assert.ok(connections.total <= LIMIT)
  assert.ok(connections.givenUp > 0)
  await swarm.stop()
})

/** Peers that are told, and tell, nothing: what they have moved is nothing. */
async function crowded(
  seed: number,
  maxConnections: number,
  options = {},
): Promise<{
  swarm: Swarm
  torrent: EngineTorrent
  meet: (host: string) => Promise<RawPeer>
}> {
  const swarm = new Swarm(seed)
  const content = swarm.content(8 * PIECE, PIECE)
  const volume = await swarm.holding(content)
  const engine = await swarm.engine('10.0.0.1', volume, { maxConnections, ...options })
  const { info } = content
  const torrent = engine.open(volume.get(info.infoHash)!, info, { trackers: [] })
  let id = 0
  const meet = async (host: string): Promise<RawPeer> => {
    const peer = new RawPeer(swarm, host, '10.0.0.1')
    peer.handshake(info.infoHash, ++id)
    peer.bare(messages.writeHaveNone)
    peer.extended(
      0,
      encodeExtendedHandshake({ messages: new Map(), yourAddress: '10.0.0.1', port: 6881 }),
    )
    await swarm.until(() => peer.closed || peer.count('extended 0') > 0, 5_000)
    return peer
  }
  return { swarm, torrent, meet }
}

test('a newcomer of higher priority (BEP 40) takes the place of the lowest, one of lower priority has none', async () => {
  for (const options of [{}, { maxConnectionsPerTorrent: 4 }]) {
    const { swarm, torrent, meet } = await crowded(
      42,
      'maxConnectionsPerTorrent' in options ? 99 : 4,
      options,
    )
    const own = { host: '10.0.0.1', port: 6881 }
    const hosts = Array.from({ length: 12 }, (_, i) => `${20 + i}.${i}.0.1`)
    const priority = (host: string): number => peerPriority(own, { host, port: 1 })
    const ranked = hosts.toSorted((a, b) => priority(a) - priority(b))
    const first: RawPeer[] = []
    for (const host of ranked.slice(4, 8)) first.push(await meet(host))
    assert.deepEqual(
      first.map(({ closed }) => closed),
      [false, false, false, false],
    )
    // Nobody goes who has just come.
    const early = await meet(ranked[8]!)
    await swarm.until(() => early.closed, 5_000)
    swarm.clock.advance(12_000)
    const low = await meet(ranked[0]!)
    await swarm.until(() => low.closed, 5_000)
    assert.equal(torrent.progress().peers, 4)
    const high = await meet(ranked[11]!)
    await swarm.until(() => first[0]!.closed, 5_000)
    assert.deepEqual(
      [...first.slice(1), high].map(({ closed }) => closed),
      [false, false, false, false],
    )
    assert.equal(torrent.progress().peers, 4)
    await swarm.stop()
  }
})

test('of the addresses that are known those of the highest priority are tried first', async () => {
  const swarm = new Swarm(43)
  const content = swarm.content(8 * PIECE, PIECE)
  const engine = await swarm.engine('10.0.0.1', swarm.volume(), { maxHalfOpen: 1 })
  const torrent = await engine.add(content.info, { trackers: [] })
  for (const [id, host] of ['40.0.0.1', '41.0.0.1'].entries()) {
    const peer = new RawPeer(swarm, host, '10.0.0.1')
    peer.handshake(content.info.infoHash, id + 1)
    const said = { messages: new Map(), yourAddress: '10.0.0.1' }
    peer.extended(0, encodeExtendedHandshake(said))
    await swarm.until(() => peer.count('extended 0') > 0, 5_000)
  }
  const tried: string[] = []
  const hosts = Array.from({ length: 9 }, (_, i) => `${60 + i}.${i}.0.1`)
  for (const host of hosts) {
    await swarm.internet.host(host).listen([host], 6881, (socket) => {
      tried.push(host)
      socket.destroy()
    })
  }
  torrent.addPeers(hosts.map((host) => ({ host, port: 6881 })))
  await swarm.until(() => tried.length >= 9, 60_000)
  const own = { host: '10.0.0.1', port: 6881 }
  const ranked = hosts.toSorted(
    (a, b) =>
      peerPriority(own, { host: b, port: 6881 }) - peerPriority(own, { host: a, port: 6881 }),
  )
  assert.deepEqual(tried.slice(0, 9), ranked)
  await swarm.stop()
})
