/** Peers that lie, flood, stall or talk nonsense: cut off, and nobody else notices. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import type { Engine } from '../../src/engine/index.ts'
import { MAX_REQUESTS } from '../../src/engine/upload-queue.ts'
import {
  encodeExtendedHandshake,
  encodeMetadataData,
  parseMetadataMessage,
} from '../../src/engine/wire/extended.ts'
import { writeHandshake } from '../../src/engine/wire/handshake.ts'
import * as messages from '../../src/engine/wire/messages.ts'
import { RawPeer } from './raw-peer.ts'
import { type Content, Swarm } from './swarm.ts'

const CHUNK = 16_384
const none = { trackers: [] }

interface Scene {
  readonly swarm: Swarm
  readonly content: Content
  readonly engine: Engine
  /** Connects, shakes hands, and waits until the engine's first words are there. */
  meet(address?: string, peerId?: number): Promise<RawPeer>
}

async function scene(seed: number, holding: 'all' | 'nothing', options = {}): Promise<Scene> {
  const swarm = new Swarm(seed)
  const content = swarm.content(2_000_000, 65_536)
  const volume = await swarm.holding(content, () => holding === 'all')
  const engine = await swarm.engine('10.0.0.1', volume, options)
  engine.open(volume.get(content.info.infoHash)!, content.info, none)
  const meet = async (address = '10.0.9.1', peerId = 1): Promise<RawPeer> => {
    const peer = new RawPeer(swarm, address, '10.0.0.1')
    peer.handshake(content.info.infoHash, peerId)
    await swarm.until(() => peer.count('extended 0') > 0 || peer.closed, 5_000)
    return peer
  }
  return { swarm, content, engine, meet }
}

const nonsense: Readonly<Record<string, (peer: RawPeer) => void>> = {
  'a request behind the end of a piece': (peer) => peer.request(0, 65_536 - 1, 2),
  'a request of a piece that is not there': (peer) => peer.request(31, 0, CHUNK),
  'a request of nothing': (peer) => peer.request(0, 0, 0),
  'a request of a megabyte': (peer) => peer.request(0, 0, 1 << 20),
  'a have of a piece that is not there': (peer) =>
    peer.say(messages.HAVE_BYTES, (b) => messages.writeHave(b, 0, 4_000_000_000)),
  'a bitfield of another size': (peer) =>
    peer.say(messages.BITFIELD_HEADER_BYTES + 9, (b) =>
      messages.writeBitfield(b, 0, new Uint8Array(9)),
    ),
  'a bitfield with spare bits': (peer) =>
    peer.say(messages.BITFIELD_HEADER_BYTES + 4, (b) =>
      messages.writeBitfield(b, 0, new Uint8Array(4).fill(255)),
    ),
  'a message of a gigabyte': (peer) => peer.say(5, (b) => b.set([0x40, 0, 0, 0, 20])),
  'an extended handshake that is not bencoded': (peer) => peer.extended(0, new Uint8Array(50)),
  'metadata that is not bencoded': (peer) => peer.extended(1, new Uint8Array(50)),
}

for (const [what, say] of Object.entries(nonsense)) {
  test(`${what} ends the connection`, async () => {
    const { swarm, meet, engine, content } = await scene(20, 'nothing')
    const peer = await meet()
    assert.ok(!peer.closed)
    say(peer)
    await swarm.until(() => peer.closed, 5_000)
    assert.equal(engine.get(content.info.infoHash)!.progress().peers, 0)
    const { malformed, oversized, floods } = engine.status().misdeeds
    assert.equal(malformed + oversized + floods, 1)
    await swarm.stop()
  })
}

test('what can be no handshake is cut off at once, silence after a while', async () => {
  const { swarm, engine } = await scene(21, 'all')
  const web = new RawPeer(swarm, '10.0.9.1', '10.0.0.1')
  // As long as the key and the padding of an encrypted one may be.
  web.say(700, (bytes) => bytes.set(Buffer.from('GET / HTTP/1.1\r\n')))
  await swarm.until(() => web.closed, 1_000)
  const silent = new RawPeer(swarm, '10.0.9.2', '10.0.0.1')
  await swarm.until(() => silent.closed, 30_000)
  const stranger = new RawPeer(swarm, '10.0.9.3', '10.0.0.1')
  stranger.handshake(new Uint8Array(20))
  await swarm.until(() => stranger.closed, 1_000)
  // A torrent that is not here is nobody's misdeed.
  const { badHandshakes, slowHandshakes } = engine.status().misdeeds
  assert.deepEqual([badHandshakes, slowHandshakes], [1, 1])
  await swarm.stop()
})

test('an honest request is served with the right bytes, after the unchoke', async () => {
  const { swarm, meet, content } = await scene(22, 'all')
  const peer = await meet()
  peer.request(3, CHUNK, CHUNK)
  await swarm.until(() => peer.count('reject 3') === 1, 1_000)
  peer.bare(messages.writeInterested)
  await swarm.until(() => peer.count('unchoke') === 1, 1_000)
  peer.request(3, CHUNK, CHUNK)
  peer.request(3, 5, 77)
  peer.request(30, 0, 2_000_000 - 30 * 65_536)
  await swarm.until(() => peer.chunks.length === 3, 1_000)
  for (const { piece, begin, bytes } of peer.chunks) {
    const from = piece * 65_536 + begin
    assert.deepEqual(bytes, content.bytes.slice(from, from + bytes.length))
  }
  await swarm.stop()
})

test('a cancelled request is not served', async () => {
  const { swarm, meet } = await scene(23, 'all')
  const peer = await meet()
  peer.bare(messages.writeInterested)
  await swarm.until(() => peer.count('unchoke') === 1, 1_000)
  for (let i = 0; i < 4; i++) peer.request(i, 0, CHUNK)
  peer.say(messages.REQUEST_BYTES, (b) => messages.writeCancel(b, 0, 2, 0, CHUNK))
  await swarm.until(() => peer.chunks.length === 3 && peer.count('reject 2') === 1, 1_000)
  await swarm.stop()
})

test('a flood of requests is refused beyond the bound, and the rest is served', async () => {
  const { swarm, meet } = await scene(24, 'all')
  const peer = await meet()
  peer.bare(messages.writeInterested)
  await swarm.until(() => peer.count('unchoke') === 1, 1_000)
  const flood = MAX_REQUESTS + 500
  peer.say(messages.REQUEST_BYTES * flood, (bytes) => {
    for (let i = 0; i < flood; i++) {
      messages.writeRequest(bytes, i * messages.REQUEST_BYTES, i % 30, 0, 64)
    }
  })
  await swarm.until(() => peer.chunks.length + peer.count('reject') === flood, 100_000)
  assert.ok(peer.count('reject') >= 400)
  assert.ok(!peer.closed)
  await swarm.stop()
})

test('chunks that nobody asked for change nothing', async () => {
  const { swarm, meet, engine, content } = await scene(25, 'nothing')
  const peer = await meet()
  const bytes = new Uint8Array(messages.PIECE_HEADER_BYTES + CHUNK)
  messages.writePieceHeader(bytes, 0, 0, 0, CHUNK)
  for (let i = 0; i < 10; i++) peer.socket.write(bytes)
  await swarm.until(() => swarm.clock.monotonicMs() > 1_001_000, 5_000)
  const progress = engine.get(content.info.infoHash)!.progress()
  assert.equal(progress.havePieces, 0)
  assert.equal(progress.hashFailures, 0)
  await swarm.stop()
})

test('a peer that owes chunks and sends none is cut off', async () => {
  const { swarm, meet, engine } = await scene(26, 'nothing')
  const peer = await meet()
  peer.bare(messages.writeHaveAll)
  peer.bare(messages.writeUnchoke)
  await swarm.until(() => peer.count('request') > 0, 1_000)
  const keepAlive = new Uint8Array(4)
  await swarm.until(
    () => {
      peer.socket.write(keepAlive)
      return peer.closed
    },
    90_000,
    1_000,
  )
  assert.equal(engine.status().misdeeds.stalls, 1)
  await swarm.stop()
})

test('without the fast extension a choke forgets the requests: they are made again', async () => {
  const { swarm, content } = await scene(33, 'nothing')
  const peer = new RawPeer(swarm, '10.0.9.1', '10.0.0.1')
  peer.handshake(content.info.infoHash, 1, false)
  peer.say(messages.BITFIELD_HEADER_BYTES + 4, (b) =>
    messages.writeBitfield(b, 0, new Uint8Array([255, 255, 255, 254])),
  )
  peer.bare(messages.writeUnchoke)
  await swarm.until(() => peer.count('request') > 0, 1_000)
  const asked = peer.log.filter((line) => line.startsWith('request'))
  peer.bare(messages.writeChoke)
  peer.bare(messages.writeUnchoke)
  await swarm.until(() => peer.count('request') >= 2 * asked.length, 5_000)
  for (const line of asked) assert.equal(peer.count(line), 2, line)
  await swarm.stop()
})

test('a peer that is silent gets keep-alives, then is cut off', async () => {
  const { swarm, meet, engine } = await scene(27, 'nothing')
  const peer = await meet()
  await swarm.until(() => peer.closed, 200_000, 500)
  assert.ok(peer.count('keep-alive') >= 1)
  assert.equal(engine.status().misdeeds.stalls, 1)
  await swarm.stop()
})

test('no more connections than allowed', async () => {
  const { swarm, meet, engine, content } = await scene(28, 'all', { maxConnections: 5 })
  const peers: RawPeer[] = []
  for (let i = 0; i < 12; i++) peers.push(await meet(`10.0.9.${i}`, i + 1))
  assert.equal(peers.filter((peer) => !peer.closed).length, 5)
  assert.equal(engine.get(content.info.infoHash)!.progress().peers, 5)
  assert.equal(engine.status().connections.refused.full, 7)
  await swarm.stop()
})

test('the same peer twice is one connection', async () => {
  const { swarm, meet, engine, content } = await scene(29, 'all')
  await meet('10.0.9.1', 7)
  const again = await meet('10.0.9.1', 7)
  await swarm.until(() => again.closed, 1_000)
  assert.equal(engine.get(content.info.infoHash)!.progress().peers, 1)
  await swarm.stop()
})

test('metadata: a liar is found out and the honest peer believed', async () => {
  const swarm = new Swarm(30)
  const content = swarm.content(3_000_000, 16_384)
  const { infoBytes, infoHash } = content.info
  const engine = await swarm.engine('10.0.0.1', swarm.volume())
  const torrent = engine.addMagnet(
    { infoHash, name: undefined, trackers: [], peers: [], totalBytes: undefined },
    none,
  )
  const wrong = infoBytes.slice()
  wrong[wrong.length - 5]! ^= 1
  const serve = (address: string, id: number, bytes: Uint8Array): RawPeer => {
    const peer = new RawPeer(swarm, address, '10.0.0.1')
    peer.handshake(infoHash, id)
    peer.extended(
      0,
      encodeExtendedHandshake({
        messages: new Map([['ut_metadata', 3]]),
        metadataBytes: bytes.length,
      }),
    )
    peer.onMetadata = (payload) => {
      const message = parseMetadataMessage(payload)
      if (message?.type !== 'request') return
      peer.extended(peer.metadataId, encodeMetadataData(message.piece, bytes))
    }
    return peer
  }
  const liar = serve('10.0.9.1', 1, wrong)
  const honest = serve('10.0.9.2', 2, infoBytes)
  await swarm.until(() => torrent.info !== undefined, 60_000)
  assert.equal(
    createHash('sha1').update(torrent.info!.infoBytes).digest('hex'),
    Buffer.from(infoHash).toString('hex'),
  )
  assert.ok(!honest.closed)
  assert.ok(liar.log.length > 0)
  await swarm.stop()
})

test('metadata of an absurd size costs nothing until it arrives', async () => {
  const swarm = new Swarm(31)
  const content = swarm.content(300_000, 16_384)
  const { infoHash } = content.info
  const engine = await swarm.engine('10.0.0.1', swarm.volume())
  const torrent = engine.addMagnet(
    { infoHash, name: undefined, trackers: [], peers: [], totalBytes: undefined },
    none,
  )
  const peer = new RawPeer(swarm, '10.0.9.1', '10.0.0.1')
  peer.handshake(infoHash)
  const before = process.memoryUsage().arrayBuffers
  peer.extended(
    0,
    encodeExtendedHandshake({
      messages: new Map([['ut_metadata', 3]]),
      metadataBytes: 60 * 1024 * 1024,
    }),
  )
  await swarm.until(() => peer.count('extended 3') > 0, 5_000)
  assert.ok(process.memoryUsage().arrayBuffers - before < 10 * 1024 * 1024)
  assert.equal(torrent.progress().state, 'metadata')
  await swarm.stop()
})

test('a second torrent of the same name is refused, a stopped engine takes none', async () => {
  const { swarm, engine, content } = await scene(32, 'all')
  await assert.rejects(engine.add(content.info, none), { code: 'ENGINE_EXISTS' })
  await engine.remove(content.info.infoHash)
  assert.equal(engine.get(content.info.infoHash), undefined)
  await swarm.settled(engine.stop())
  await assert.rejects(engine.add(content.info, none), { code: 'ENGINE_STOPPED' })
})

test('a bitfield later on, in place of many haves, adds to what is known', async () => {
  const { swarm, meet } = await scene(34, 'nothing')
  const peer = await meet()
  const bitfield = (first: number): void =>
    peer.say(messages.BITFIELD_HEADER_BYTES + 4, (b) =>
      messages.writeBitfield(b, 0, new Uint8Array([first, 0, 0, 0])),
    )
  const pieces = (): string[] =>
    [...new Set(peer.log.filter((line) => line.startsWith('request')))]
      .map((line) => line.split(' ')[1]!)
      .sort()
  bitfield(0b1100_0000)
  peer.bare(messages.writeUnchoke)
  await swarm.until(() => new Set(pieces()).size === 2, 1_000)
  bitfield(0b0011_0000)
  await swarm.until(() => new Set(pieces()).size === 4, 1_000)
  assert.deepEqual([...new Set(pieces())], ['0', '1', '2', '3'])
  assert.ok(!peer.closed)
  await swarm.stop()
})

test('one host gets no more connections than its share, another is let in all the same', async () => {
  const { swarm, meet, engine, content } = await scene(35, 'all', { maxConnections: 40 })
  const greedy: RawPeer[] = []
  for (let i = 0; i < 14; i++) greedy.push(await meet('10.0.9.1', i + 1))
  assert.equal(greedy.filter((peer) => !peer.closed).length, 10)
  assert.equal(engine.status().connections.refused.address, 4)
  const other = await meet('10.0.9.2', 100)
  assert.ok(!other.closed)
  assert.equal(engine.get(content.info.infoHash)!.progress().peers, 11)
  greedy[0]!.socket.destroy()
  await swarm.until(() => engine.get(content.info.infoHash)!.progress().peers === 10, 1_000)
  assert.ok(!(await meet('10.0.9.1', 50)).closed, 'a place that is free again is given again')
  await swarm.stop()
})

test('the share of one host can be set, and counts who has not said anything', async () => {
  const { swarm, meet } = await scene(36, 'all', { maxConnectionsPerAddress: 2 })
  const silent = new RawPeer(swarm, '10.0.9.1', '10.0.0.1')
  assert.ok(!(await meet('10.0.9.1', 1)).closed)
  assert.ok((await meet('10.0.9.1', 2)).closed)
  await swarm.until(() => silent.closed, 30_000)
  assert.ok(!(await meet('10.0.9.1', 3)).closed)
  await swarm.stop()
})

test('who is met already, or is ourselves, is not connected to again and again', async () => {
  const { swarm, meet, engine, content } = await scene(37, 'nothing')
  await meet('10.0.9.1', 7)
  let accepted = 0
  await swarm.internet.host('10.0.9.1').listen(['0.0.0.0'], 7000, (socket) => {
    accepted++
    socket.onData = () => {
      const bytes = new Uint8Array(68)
      writeHandshake(bytes, { infoHash: content.info.infoHash, peerId: new Uint8Array(20).fill(7) })
      socket.onData = () => {}
      socket.write(bytes)
    }
  })
  const before = swarm.internet.connections
  engine.get(content.info.infoHash)!.addPeers([
    { host: '10.0.9.1', port: 7000 },
    { host: '10.0.0.1', port: 6881 },
  ])
  const endMs = swarm.clock.monotonicMs() + 60_000
  await swarm.until(() => swarm.clock.monotonicMs() > endMs, 90_000, 1_000)
  assert.equal(accepted, 1)
  assert.equal(swarm.internet.connections - before, 2)
  await swarm.stop()
})
