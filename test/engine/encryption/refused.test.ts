/** Who answers and does not understand, or is not understood, with encryption or without: how soon both meet all the same, in virtual time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asBuffer, fromLatin1 } from '../../../src/base/index.ts'
import type { EncryptionPolicy, Network } from '../../../src/engine/index.ts'
import { RawPeer } from '../raw-peer.ts'
import { type Content, Swarm } from '../swarm.ts'

const SEEDER = { host: '10.0.0.1', port: 6881 }
const LEECHER = { host: '10.0.1.1', port: 6881 }
const PIECE = 64 * 1024

async function seeded(swarm: Swarm, encryption: EncryptionPolicy): Promise<Content> {
  const content = swarm.content(4 * PIECE, PIECE)
  const volume = await swarm.holding(content)
  const seeder = await swarm.engine(SEEDER.host, volume, { encryption })
  seeder.open(volume.get(content.info.infoHash)!, content.info, { trackers: [] })
  return content
}

for (const [asks, answers] of [
  ['offered', 'required'],
  ['preferred', 'off'],
] as const) {
  test(`who has encryption ${asks} and is refused by who has it ${answers} comes the other way at once`, async () => {
    const swarm = new Swarm(61)
    const content = await seeded(swarm, answers)
    const leecher = await swarm.engine(LEECHER.host, swarm.volume(), { encryption: asks })
    const beganMs = swarm.clock.monotonicMs()
    const torrent = await leecher.add(content.info, { trackers: [], peers: [SEEDER] })
    await swarm.until(() => torrent.progress().havePieces === 4, 60_000)
    // Before the first tick, and long before what has failed is tried again.
    assert.ok(swarm.clock.monotonicMs() - beganMs < 900)
    assert.equal(swarm.internet.connections, 2)
    await swarm.stop()
  })
}

test('who understands neither way has failed once, and is tried both ways again later', async () => {
  const swarm = new Swarm(62)
  const content = swarm.content(4 * PIECE, PIECE)
  const beganMs = swarm.clock.monotonicMs()
  const tries: [atMs: number, greets: boolean][] = []
  const greeting = asBuffer(fromLatin1('\x13BitTorrent protocol'))
  await swarm.internet.host(SEEDER.host).listen([SEEDER.host], SEEDER.port, (socket) => {
    socket.onData = (bytes) => {
      tries.push([swarm.clock.monotonicMs() - beganMs, asBuffer(bytes).indexOf(greeting) === 0])
      socket.onData = () => {}
      socket.destroy()
    }
  })
  const leecher = await swarm.engine(LEECHER.host, swarm.volume())
  await leecher.add(content.info, { trackers: [], peers: [SEEDER] })
  await swarm.until(() => tries.length >= 6, 60_000)
  assert.deepEqual(
    tries.slice(0, 6).map(([, greets]) => greets),
    [true, false, true, false, true, false],
  )
  const waitsMs = tries.slice(1, 6).map(([atMs], i) => atMs - tries[i]![0])
  assert.deepEqual(
    waitsMs.map((ms) => (ms < 100 ? 'at once' : ms < 2_000 ? 'early' : 'later')),
    ['at once', 'later', 'at once', 'later', 'at once'],
  )
  await swarm.stop()
})

test('who hangs up because it has connected to us is not connected to again at once', async () => {
  const swarm = new Swarm(67)
  const content = swarm.content(4 * PIECE, PIECE)
  let knocks = 0
  await swarm.internet.host(SEEDER.host).listen([SEEDER.host], SEEDER.port, (socket) => {
    knocks++
    socket.destroy()
  })
  const leecher = await swarm.engine(LEECHER.host, swarm.volume())
  const torrent = await leecher.add(content.info, { trackers: [] })
  const peer = new RawPeer(swarm, SEEDER.host, LEECHER.host)
  peer.socket.onConnect = () => peer.handshake(content.info.infoHash)
  await swarm.until(() => peer.log.length > 0, 5_000)
  torrent.addPeers([SEEDER])
  await swarm.until(() => knocks > 0, 900)
  const endMs = swarm.clock.monotonicMs() + 1_900
  await swarm.until(() => swarm.clock.monotonicMs() >= endMs, 5_000)
  assert.equal(knocks, 1)
  assert.equal(torrent.progress().peers, 1)
  await swarm.stop()
})

test('whoever was not tried at all comes before the other half of an attempt', async () => {
  const swarm = new Swarm(63)
  const content = swarm.content(4 * PIECE, PIECE)
  const hosts = ['10.2.0.1', '10.3.0.1', '10.4.0.1']
  const tried: string[] = []
  for (const host of hosts) {
    await swarm.internet.host(host).listen([host], 6881, (socket) => {
      tried.push(host)
      socket.destroy()
    })
  }
  const leecher = await swarm.engine(LEECHER.host, swarm.volume(), { maxHalfOpen: 1 })
  const peers = hosts.map((host) => ({ host, port: 6881 }))
  await leecher.add(content.info, { trackers: [], peers })
  await swarm.until(() => tried.length >= 6, 900)
  assert.deepEqual(tried, [...hosts, ...hosts])
  await swarm.stop()
})

/** Knocks in plaintext, as libtorrent does first where it may encrypt. */
async function knock(swarm: Swarm, { info }: Content): Promise<void> {
  const peer = new RawPeer(swarm, LEECHER.host, SEEDER.host)
  peer.socket.onConnect = () => peer.handshake(info.infoHash)
  await swarm.until(() => peer.closed, 5_000)
  assert.deepEqual(peer.log, [])
}

/** Somebody who listens, and what it heard first on each connection. */
async function listening(swarm: Swarm, content: Content): Promise<string[]> {
  const heard: string[] = []
  await swarm.internet.host(LEECHER.host).listen([LEECHER.host], LEECHER.port, (socket) => {
    let bytes = 0
    socket.onData = (chunk) => {
      if (bytes === 0) {
        const greets = asBuffer(chunk).includes(asBuffer(content.info.infoHash))
        heard.push(greets ? 'plaintext' : 'encrypted')
      }
      bytes += chunk.length
    }
  })
  return heard
}

test('who requires encryption and turned somebody away connects to it, if it knows where', async () => {
  const swarm = new Swarm(64)
  const content = await seeded(swarm, 'required')
  const torrent = swarm.engines[0]!.get(content.info.infoHash)!
  // Nobody is there yet, and in a while nobody is expected any more.
  torrent.addPeers([LEECHER])
  const endMs = swarm.clock.monotonicMs() + 40_000
  await swarm.until(() => swarm.clock.monotonicMs() >= endMs, 60_000)
  const heard = await listening(swarm, content)
  await knock(swarm, content)
  await swarm.until(() => heard.length > 0, 900)
  assert.deepEqual(heard, ['encrypted'])
  await swarm.stop()
})

/** A tracker that may be asked every minute; the first time it knows nobody, then `peers`. */
function withTracker(network: Network, peers: Uint8Array): Network & { announces: number } {
  const tracked = {
    ...network,
    announces: 0,
    async httpGet() {
      const told = tracked.announces++ === 0 ? Buffer.alloc(0) : peers
      const head = `d8:intervali1800e12:min intervali60e5:peers${told.length}:`
      return { status: 200, body: Buffer.concat([Buffer.from(head), told, Buffer.from('e')]) }
    },
  }
  return tracked
}

/** A seeder that requires encryption and has announced for the first time. */
async function announced(swarm: Swarm, peers: Uint8Array) {
  const content = swarm.content(4 * PIECE, PIECE)
  const volume = await swarm.holding(content)
  const network = withTracker(swarm.internet.host(SEEDER.host), peers)
  const seeder = await swarm.engine(SEEDER.host, volume, { encryption: 'required', network })
  const trackers = [['http://tracker.test/announce']]
  seeder.open(volume.get(content.info.infoHash)!, content.info, { trackers })
  await swarm.until(() => network.announces === 1, 5_000)
  const pass = async (ms: number): Promise<void> => {
    const endMs = swarm.clock.monotonicMs() + ms
    await swarm.until(() => swarm.clock.monotonicMs() >= endMs, ms + 1_000, 200)
  }
  return { content, network, pass }
}

test('if it does not know where, it asks its trackers', async () => {
  const swarm = new Swarm(65)
  const endpoint = Uint8Array.of(10, 0, 1, 1, LEECHER.port >> 8, LEECHER.port & 255)
  const { content, network, pass } = await announced(swarm, endpoint)
  const heard = await listening(swarm, content)
  await pass(61_000)
  await knock(swarm, content)
  await swarm.until(() => heard.length > 0, 900)
  assert.deepEqual(heard, ['encrypted'])
  assert.equal(network.announces, 2)
  await swarm.stop()
})

test('the trackers are not asked more often than they allow, nor when it would be too late', async () => {
  const swarm = new Swarm(66)
  const { content, network, pass } = await announced(swarm, new Uint8Array(0))
  // Who was refused is back by itself before they may be asked.
  for (let i = 0; i < 3; i++) await knock(swarm, content)
  await pass(70_000)
  assert.equal(network.announces, 1)
  for (let i = 0; i < 3; i++) await knock(swarm, content)
  await pass(40_000)
  assert.equal(network.announces, 2)
  // Asked a little early, they are asked as soon as they allow it.
  for (let i = 0; i < 3; i++) await knock(swarm, content)
  await pass(15_000)
  assert.equal(network.announces, 2)
  await pass(10_000)
  assert.equal(network.announces, 3)
  await swarm.stop()
})
