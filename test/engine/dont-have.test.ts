/** Pieces that are lost (BEP 54): told to peers, believed of them, and fetched again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { toHex } from '../../src/base/index.ts'
import type { EngineTorrent } from '../../src/engine/index.ts'
import { DONT_HAVE, encodeDontHave, parseDontHave } from '../../src/engine/wire/dont-have.ts'
import { EXTENDED_HANDSHAKE_ID, encodeExtendedHandshake } from '../../src/engine/wire/extended.ts'
import * as messages from '../../src/engine/wire/messages.ts'
import { parseMagnet } from '../../src/metainfo/index.ts'
import { RawPeer } from './raw-peer.ts'
import { assertSame, BLOCK_BYTES, Swarm } from './swarm.ts'

const CHUNK = 16_384
const PIECE = BLOCK_BYTES / 8
/** Our number for it, and that of the raw peers. */
const OUR_ID = 3
const THEIR_ID = 77

const speaks = encodeExtendedHandshake({ messages: new Map([[DONT_HAVE, THEIR_ID]]) })

test('the message is four bytes, and nothing else is one', () => {
  assert.deepEqual([...encodeDontHave(0x01020304)], [1, 2, 3, 4])
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 12 }), (payload) => {
      if (payload.length === 4) {
        assert.deepEqual(encodeDontHave(parseDontHave(payload)), payload)
        return
      }
      assert.throws(() => parseDontHave(payload), { code: 'ENGINE_PROTOCOL' })
    }),
    { seed: 54 },
  )
})

test('who understands is told, what it waits for is refused; who does not is met anew', async () => {
  const swarm = new Swarm(54)
  const content = swarm.content(16 * PIECE, PIECE)
  const volume = await swarm.holding(content)
  const engine = await swarm.engine('10.0.0.1', volume, { rates: { up: 20_000 } })
  const torrent = engine.open(volume.get(content.info.infoHash)!, content.info, { trackers: [] })
  const meet = async (id: number): Promise<RawPeer> => {
    const peer = new RawPeer(swarm, `10.0.${id}.1`, '10.0.0.1')
    peer.handshake(content.info.infoHash, id)
    await swarm.until(() => peer.count('have all') === 1, 5_000)
    peer.bare(messages.writeInterested)
    await swarm.until(() => peer.count('unchoke') === 1, 15_000)
    return peer
  }
  const modern = await meet(1)
  const old = await meet(2)
  const lost: number[] = []
  modern.onMetadata = (payload) => lost.push(parseDontHave(payload))
  modern.extended(EXTENDED_HANDSHAKE_ID, speaks)
  // At 20 kB/s the later ones have to wait.
  for (let chunk = 0; chunk < 2; chunk++) modern.request(9, chunk * CHUNK, CHUNK)
  for (let chunk = 0; chunk < 2; chunk++) modern.request(5, chunk * CHUNK, CHUNK)
  await swarm.until(() => modern.count('piece 9') === 1, 15_000)
  await swarm.settled(torrent.forget([5, 7]))
  await swarm.until(() => lost.length === 2 && old.closed, 5_000)
  assert.deepEqual(lost, [5, 7])
  assert.equal(modern.count('reject 5'), 2)
  modern.request(7, 0, CHUNK)
  await swarm.until(() => modern.count('reject 7') === 1 && modern.count('piece 9') === 2, 15_000)
  assert.equal(modern.count(`extended ${THEIR_ID}`), 2)
  assert.deepEqual([modern.count('piece 5'), modern.count('piece 7')], [0, 0])
  assert.equal(torrent.progress().state, 'downloading')
  assert.equal(torrent.progress().havePieces, 14)
  assert.ok(!volume.afterCrash().get(content.info.infoHash)!.have.has(5), 'durable')
  // The next one hears what there is now.
  const next = new RawPeer(swarm, '10.0.3.1', '10.0.0.1')
  next.handshake(content.info.infoHash, 3)
  await swarm.until(() => next.count('bitfield') === 1, 5_000)
  await swarm.stop()
})

test('what a peer has lost is not asked of it, and is when it has it again', async () => {
  for (const fast of [true, false]) {
    const swarm = new Swarm(55)
    const content = swarm.content(8 * PIECE, PIECE)
    const engine = await swarm.engine('10.0.0.1', swarm.volume())
    await engine.add(content.info, { trackers: [] })
    const peer = new RawPeer(swarm, '10.0.1.1', '10.0.0.1')
    peer.handshake(content.info.infoHash, 1, fast)
    await swarm.until(() => peer.count('extended 0') > 0, 5_000)
    const bits = new Uint8Array([0xff])
    peer.say(messages.BITFIELD_HEADER_BYTES + 1, (b) => messages.writeBitfield(b, 0, bits))
    await swarm.until(() => peer.count('interested') === 1, 5_000)
    for (let piece = 0; piece < 8; piece++) {
      if (piece !== 6) peer.extended(OUR_ID, encodeDontHave(piece))
    }
    peer.bare(messages.writeUnchoke)
    await swarm.until(() => peer.count('request') === 2, 5_000)
    assert.equal(peer.count('request 6'), 2)
    peer.extended(OUR_ID, encodeDontHave(6))
    await swarm.until(() => peer.count('not interested') === 1, 5_000)
    if (fast) {
      for (const begin of [0, CHUNK]) {
        peer.say(messages.REQUEST_BYTES, (b) => messages.writeReject(b, 0, 6, begin, CHUNK))
      }
    }
    peer.say(messages.HAVE_BYTES, (b) => messages.writeHave(b, 0, 6))
    await swarm.until(() => peer.count('request 6') === 4, 15_000)
    assert.equal(peer.closed, false)
    peer.extended(OUR_ID, encodeDontHave(8))
    await swarm.until(() => peer.closed, 5_000)
    await swarm.stop()
  }
})

test('before the metadata is known it is remembered in its turn', async () => {
  const swarm = new Swarm(56)
  const content = swarm.content(8 * PIECE, PIECE)
  const { infoHash } = content.info
  const holding = await swarm.holding(content)
  const engine = await swarm.engine('10.0.0.1', swarm.volume())
  const magnet = parseMagnet(`magnet:?xt=urn:btih:${toHex(infoHash)}`)
  const torrent = engine.addMagnet(magnet, { trackers: [] })
  const peer = new RawPeer(swarm, '10.0.1.1', '10.0.0.1')
  peer.handshake(infoHash, 1)
  await swarm.until(() => peer.count('extended 0') > 0, 5_000)
  peer.bare(messages.writeHaveAll)
  for (const piece of [0, 1, 2, 3, 4, 5]) peer.extended(OUR_ID, encodeDontHave(piece))
  peer.say(messages.HAVE_BYTES, (bytes) => messages.writeHave(bytes, 0, 3))
  peer.bare(messages.writeUnchoke)
  const seeder = await swarm.engine('10.0.2.1', holding, { uploadSlots: 0 })
  seeder.open(holding.get(infoHash)!, content.info, {
    trackers: [],
    peers: [{ host: '10.0.0.1', port: 6881 }],
  })
  await swarm.until(() => torrent.info !== undefined && peer.count('request') === 6, 30_000)
  const asked = new Set(peer.log.filter((l) => l.startsWith('request')).map((l) => l.split(' ')[1]))
  assert.deepEqual([...asked].sort(), ['3', '6', '7'])
  await swarm.stop()
})

test('whatever a peer says it has and has lost: cut off, or an engine that goes on', async () => {
  const said = fc.array(
    fc.record({
      what: fc.constantFrom('have', 'have', 'lost', 'lost', 'all', 'odd', 'choke', 'unchoke'),
      piece: fc.oneof(fc.nat(9), fc.constantFrom(0xffffffff, 0x80000000)),
    }),
    { maxLength: 60 },
  )
  await fc.assert(
    fc.asyncProperty(said, fc.boolean(), async (said, fast) => {
      const swarm = new Swarm(57)
      const content = swarm.content(8 * PIECE, PIECE)
      const engine = await swarm.engine('10.0.0.1', swarm.volume())
      const torrent = await engine.add(content.info, { trackers: [] })
      const peer = new RawPeer(swarm, '10.0.1.1', '10.0.0.1')
      peer.handshake(content.info.infoHash, 1, fast)
      for (const { what, piece } of said) {
        if (what === 'have') peer.say(9, (bytes) => messages.writeHave(bytes, 0, piece))
        else if (what === 'lost') peer.extended(OUR_ID, encodeDontHave(piece))
        else if (what === 'all') peer.bare(messages.writeHaveAll)
        else if (what === 'odd') peer.extended(OUR_ID, new Uint8Array(piece % 10))
        else if (what === 'choke') peer.bare(messages.writeChoke)
        else peer.bare(messages.writeUnchoke)
      }
      const heardMs = swarm.clock.monotonicMs() + 2_000
      await swarm.until(() => swarm.clock.monotonicMs() >= heardMs, 5_000)
      const holding = await swarm.holding(content)
      const seeder = await swarm.engine('10.0.2.1', holding)
      seeder.open(holding.get(content.info.infoHash)!, content.info, { trackers: [] })
      torrent.addPeers([{ host: '10.0.2.1', port: 6881 }])
      await swarm.until(() => torrent.progress().state === 'seeding', 600_000, 100)
      await swarm.stop()
    }),
    { numRuns: 40, seed: 58 },
  )
})

test('half of a seed is lost while others fetch from it: all is whole again, and nothing wrong was sent', async () => {
  const swarm = new Swarm(59, { bytesPerMs: 300 })
  const content = swarm.content(64 * PIECE, PIECE)
  const { info } = content
  const hosts = ['10.0.0.1', '10.0.0.2', '10.0.1.1', '10.0.1.2']
  const peers = hosts.map((host) => ({ host, port: 6881 }))
  const volumes = []
  const torrents: EngineTorrent[] = []
  for (const [i, host] of hosts.entries()) {
    const volume = i < 2 ? await swarm.holding(content) : swarm.volume()
    const engine = await swarm.engine(host, volume)
    volumes.push(volume)
    const options = { trackers: [], peers }
    torrents.push(
      i < 2
        ? engine.open(volume.get(info.infoHash)!, info, options)
        : await engine.add(info, options),
    )
  }
  await swarm.until(() => torrents[2]!.progress().havePieces > 8, 60_000)
  const lost = Array.from({ length: 32 }, (_, i) => 2 * i)
  const stored = volumes[0]!.stored.get(toHex(info.infoHash))!
  for (const piece of lost) stored.data.fill(0xee, piece * PIECE, (piece + 1) * PIECE)
  await swarm.settled(torrents[0]!.forget(lost))
  await swarm.until(() => torrents.every((t) => t.progress().state === 'seeding'), 600_000)
  for (const volume of volumes) assertSame(volume, content)
  for (const torrent of torrents) assert.equal(torrent.progress().hashFailures, 0)
  await swarm.stop()
})

test('what is forgotten of a torrent that sleeps, or has failed, is forgotten', async () => {
  const swarm = new Swarm(60)
  const content = swarm.content(8 * PIECE, PIECE)
  const volume = await swarm.holding(content)
  const engine = await swarm.engine('10.0.0.1', volume)
  const { info } = content
  const stored = volume.get(info.infoHash)!
  const reload = async () => ({ info, layers: new Map() })
  const torrent = engine.open(stored, info, { trackers: [], reload })
  assert.equal(torrent.info, undefined)
  await swarm.settled(torrent.forget([1]))
  assert.equal(torrent.progress().state, 'downloading')
  assert.equal(stored.have.count, 7)
  await swarm.settled(engine.remove(info.infoHash))
  await swarm.settled(torrent.forget([2]))
  assert.equal(stored.have.count, 6)
  await swarm.stop()
})
