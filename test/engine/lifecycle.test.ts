/** Torrents and engines from beginning to end: added, failed, removed, added again, stopped. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Clock, type Logger, SeedbedError, silentLogger, toHex } from '../../src/base/index.ts'
import type { EngineTorrent, Network } from '../../src/engine/index.ts'
import {
  encodeExtendedHandshake,
  encodeMetadataData,
  encodeMetadataReject,
  parseMetadataMessage,
} from '../../src/engine/wire/extended.ts'
import * as messages from '../../src/engine/wire/messages.ts'
import type { Magnet } from '../../src/metainfo/index.ts'
import type { FakeVolume } from './fake-volume.ts'
import { RawPeer } from './raw-peer.ts'
import { assertSame, type Content, Swarm } from './swarm.ts'

const none = { trackers: [] }
const SEED = { host: '10.0.0.1', port: 6881 }
const withSeed = { trackers: [], peers: [SEED] }

function magnetOf(content: Content, peers: Magnet['peers'] = []): Magnet {
  const { infoHash } = content.info
  return { infoHash, name: undefined, trackers: [], peers, totalBytes: undefined }
}

/** Counts the timers that are pending. */
function countingClock(clock: Clock): Clock & { pending: number } {
  const counting = {
    pending: 0,
    monotonicMs: () => clock.monotonicMs(),
    wallMs: () => clock.wallMs(),
    after(delayMs: number, task: () => void): () => void {
      counting.pending++
      let over = false
      const end = (): boolean => {
        if (over) return false
        over = true
        counting.pending--
        return true
      }
      const cancel = clock.after(delayMs, () => {
        if (end()) task()
      })
      return () => {
        if (end()) cancel()
      }
    },
  }
  return counting
}

/** An HTTP tracker that knows nobody and may be asked every minute; counts announces. */
function withTracker(network: Network): Network & { announces: string[] } {
  const body = Buffer.from('d8:intervali1800e12:min intervali60e5:peers0:e')
  const tracked = {
    ...network,
    announces: [] as string[],
    async httpGet(url: string): Promise<{ status: number; body: Uint8Array }> {
      tracked.announces.push(url)
      return { status: 200, body }
    },
  }
  return tracked
}

/** A seeder at 10.0.0.1. */
async function seeded(swarm: Swarm, totalBytes: number, pieceBytes = 65_536): Promise<Content> {
  const content = swarm.content(totalBytes, pieceBytes)
  const volume = await swarm.holding(content)
  const seeder = await swarm.engine('10.0.0.1', volume)
  seeder.open(volume.get(content.info.infoHash)!, content.info, none)
  return content
}

const stateOf = (torrent: EngineTorrent): string => torrent.progress().state

test('a stopped engine leaves no timer, whatever it was doing', async () => {
  const swarm = new Swarm(50, { bytesPerMs: 1_000 })
  const content = await seeded(swarm, 6_000_000)
  const unknown = swarm.content(1_000_000, 65_536)
  const clock = countingClock(swarm.clock)
  const network = withTracker(swarm.internet.host('10.0.1.1'))
  const engine = await swarm.engine('10.0.1.1', swarm.volume(), { clock, network })
  const trackers = [['http://tracker.test/announce']]
  const torrent = await engine.add(content.info, { trackers, peers: [SEED] })
  engine.addMagnet(magnetOf(unknown), { trackers, peers: [SEED, { host: '10.9.9.9', port: 1 }] })
  new RawPeer(swarm, '10.0.9.1', '10.0.1.1')
  await swarm.until(() => torrent.progress().havePieces > 10, 60_000)
  assert.ok(clock.pending > 1)
  const stopped = engine.stop()
  assert.equal(engine.stop(), stopped, 'stopping twice is stopping once')
  await swarm.settled(stopped)
  assert.equal(clock.pending, 0)
  assert.deepEqual(
    [...engine.torrents()].map((other) => other.progress().peers),
    [0, 0],
  )
  assert.ok(network.announces.some((url) => url.includes('event=stopped')))
  await swarm.stop()
})

test('a torrent removed in the middle goes on where it was when it is added again', async () => {
  const swarm = new Swarm(51, { bytesPerMs: 1_000 })
  const content = await seeded(swarm, 6_000_000)
  const volume = swarm.volume()
  const engine = await swarm.engine('10.0.1.1', volume)
  const first = await engine.add(content.info, withSeed)
  await swarm.until(() => first.progress().havePieces > 20, 60_000)
  const had = first.progress().havePieces
  await swarm.settled(Promise.all([1, 2].map(() => engine.remove(content.info.infoHash))))
  assert.equal(engine.get(content.info.infoHash), undefined)
  assert.equal(stateOf(first), 'stopped')
  const again = await engine.add(content.info, withSeed)
  assert.ok(again.progress().havePieces >= had)
  await swarm.until(() => stateOf(again) === 'seeding', 60_000)
  assertSame(volume, content)
  await swarm.stop()
})

test('a torrent that is complete already seeds at once, and completes nothing', async () => {
  const swarm = new Swarm(52)
  const content = swarm.content(1_000_000, 65_536)
  const volume = await swarm.holding(content)
  const network = withTracker(swarm.internet.host('10.0.1.1'))
  const engine = await swarm.engine('10.0.1.1', volume, { network })
  const torrent = await engine.add(content.info, { trackers: [['http://tracker.test/announce']] })
  torrent.on('complete', () => assert.fail('it was complete before'))
  assert.equal(stateOf(torrent), 'seeding')
  await swarm.until(() => network.announces.length > 0, 5_000)
  await swarm.settled(engine.stop())
  assert.match(network.announces[0]!, /left=0/)
  assert.ok(network.announces.every((url) => !url.includes('event=completed')))
  await swarm.stop()
})

test('one info-hash is one torrent, by magnet, by name, and while it is being made', async () => {
  const swarm = new Swarm(53)
  const content = await seeded(swarm, 1_000_000)
  const other = await seeded(new Swarm(54), 1_000_000)
  const engine = await swarm.engine('10.0.1.1', swarm.volume())
  const torrent = engine.addMagnet(magnetOf(content, [SEED]), none)
  assert.throws(() => engine.addMagnet(magnetOf(content), none), { code: 'ENGINE_EXISTS' })
  await assert.rejects(engine.add(content.info, none), { code: 'ENGINE_EXISTS' })
  const both = await Promise.allSettled([
    engine.add(other.info, none),
    engine.add(other.info, none),
  ])
  assert.deepEqual(
    both.map((one) => (one.status === 'fulfilled' ? 'added' : one.reason.code)),
    ['added', 'ENGINE_EXISTS'],
  )
  await swarm.until(() => stateOf(torrent) === 'seeding', 60_000)
  await swarm.stop()
})

test('a magnet whose metadata never comes asks its trackers as often as they allow, and can go', async () => {
  const swarm = new Swarm(55)
  const content = swarm.content(1_000_000, 65_536)
  const network = withTracker(swarm.internet.host('10.0.1.1'))
  const engine = await swarm.engine('10.0.1.1', swarm.volume(), { network })
  const torrent = engine.addMagnet(magnetOf(content), {
    trackers: [['http://tracker.test/announce']],
  })
  const endMs = swarm.clock.monotonicMs() + 310_000
  await swarm.until(() => swarm.clock.monotonicMs() > endMs, 400_000, 500)
  assert.ok(network.announces.length >= 5 && network.announces.length <= 7)
  assert.equal(stateOf(torrent), 'metadata')
  await swarm.settled(engine.remove(content.info.infoHash))
  assert.equal(stateOf(torrent), 'stopped')
  await swarm.stop()
})

/** A peer of a magnet's torrent that offers the info dictionary and answers requests with `answer`. */
function offering(
  swarm: Swarm,
  content: Content,
  address: string,
  id: number,
  answer: (piece: number) => Uint8Array,
): RawPeer & { asked: number } {
  const peer = Object.assign(new RawPeer(swarm, address, '10.0.1.1'), { asked: 0 })
  peer.handshake(content.info.infoHash, id)
  const metadataBytes = content.info.infoBytes.length
  peer.extended(
    0,
    encodeExtendedHandshake({ messages: new Map([['ut_metadata', 3]]), metadataBytes }),
  )
  peer.onMetadata = (payload) => {
    const message = parseMetadataMessage(payload)
    if (message?.type !== 'request') return
    peer.asked++
    peer.extended(peer.metadataId, answer(message.piece))
  }
  return peer
}

test('a peer that rejects requests for metadata is asked again after a rest', async () => {
  const swarm = new Swarm(56)
  const content = swarm.content(300_000, 16_384)
  const engine = await swarm.engine('10.0.1.1', swarm.volume())
  engine.addMagnet(magnetOf(content), none)
  const peer = offering(swarm, content, '10.0.9.1', 1, encodeMetadataReject)
  const endMs = swarm.clock.monotonicMs() + 95_000
  await swarm.until(() => swarm.clock.monotonicMs() > endMs, 100_000, 100)
  assert.equal(peer.asked, 4)
  await swarm.stop()
})

const nonsense: Readonly<Record<string, (peer: RawPeer) => void>> = {
  'a have': (peer) => peer.say(messages.HAVE_BYTES, (b) => messages.writeHave(b, 0, 4_000_000_000)),
  'a bitfield': (peer) =>
    peer.say(messages.BITFIELD_HEADER_BYTES + 99, (b) =>
      messages.writeBitfield(b, 0, new Uint8Array(99)),
    ),
  'a huge bitfield': (peer) =>
    peer.say(messages.BITFIELD_HEADER_BYTES + 1_000_000, (b) =>
      messages.writeBitfield(b, 0, new Uint8Array(1_000_000)),
    ),
}

for (const [what, say] of Object.entries(nonsense)) {
  test(`${what} that does not fit, said before the metadata, ends the peer and not the magnet`, async () => {
    const swarm = new Swarm(57)
    const content = swarm.content(300_000, 16_384)
    const engine = await swarm.engine('10.0.1.1', swarm.volume())
    const torrent = engine.addMagnet(magnetOf(content), none)
    const liar = new RawPeer(swarm, '10.0.9.1', '10.0.1.1')
    liar.handshake(content.info.infoHash, 1)
    say(liar)
    await swarm.until(() => liar.count('extended 0') > 0, 5_000)
    const honest = offering(swarm, content, '10.0.9.2', 2, (piece) =>
      encodeMetadataData(piece, content.info.infoBytes),
    )
    await swarm.until(() => torrent.info !== undefined && liar.closed, 5_000)
    assert.equal(stateOf(torrent), 'downloading')
    assert.ok(!honest.closed)
    await swarm.stop()
  })
}

test('a full disk stops its torrent with the reason; nothing is tried again', async () => {
  const swarm = new Swarm(58)
  const content = await seeded(swarm, 3_000_000)
  const volume = swarm.volume()
  const clock = countingClock(swarm.clock)
  const engine = await swarm.engine('10.0.1.1', volume, { clock })
  const mend = 'Make room on the filesystem that holds the image file.'
  volume.failWith = new SeedbedError('DEVICE_FULL', 'no space left', { mend })
  const torrent = await engine.add(content.info, withSeed)
  await swarm.until(() => stateOf(torrent) === 'failed', 60_000)
  assert.equal(torrent.error, volume.failWith)
  const before = swarm.internet.connections
  const writes = volume.writes.length
  const endMs = swarm.clock.monotonicMs() + 60_000
  await swarm.until(() => swarm.clock.monotonicMs() > endMs, 90_000, 500)
  assert.equal(swarm.internet.connections, before)
  assert.equal(volume.writes.length, writes)
  assert.equal(clock.pending, 1, 'the tick of the engine and nothing else')
  torrent.addPeers([SEED])
  assert.equal(torrent.progress().peers, 0)
  volume.failWith = undefined
  await swarm.settled(engine.remove(content.info.infoHash))
  const again = await engine.add(content.info, withSeed)
  await swarm.until(() => stateOf(again) === 'seeding', 60_000)
  assertSame(volume, content)
  await swarm.stop()
})

test('a torrent that cannot be read stops with the reason, and others are served', async () => {
  const swarm = new Swarm(59)
  const sound = swarm.content(1_000_000, 65_536)
  const rotten = swarm.content(1_000_000, 65_536)
  const volume = await swarm.holding(sound)
  const other = (await swarm.holding(rotten)).stored.values().next().value!
  volume.stored.set([...other.infoHash].map((b) => b.toString(16).padStart(2, '0')).join(''), other)
  other.read = async () => {
    throw new SeedbedError('DEVICE_IO', 'unreadable sector')
  }
  const logged: string[] = []
  const logger: Logger = {
    ...silentLogger,
    error: (fields, message) => {
      logged.push(`${message}: ${(fields as { error: Error }).error.message}`)
    },
  }
  const seeder = await swarm.engine('10.0.0.1', volume, { logger })
  const bad = seeder.open(other, rotten.info, none)
  const good = seeder.open(volume.get(sound.info.infoHash)!, sound.info, none)
  const leecher = await swarm.engine('10.0.1.1', swarm.volume())
  const served = await leecher.add(sound.info, withSeed)
  await leecher.add(rotten.info, withSeed)
  await swarm.until(() => stateOf(served) === 'seeding' && stateOf(bad) === 'failed', 60_000)
  assert.equal(stateOf(good), 'seeding')
  assert.match(bad.error!.message, /unreadable sector/)
  assert.deepEqual(logged, ['a torrent failed: unreadable sector'])
  await swarm.stop()
})

/** Makes `create` take `delayMs`. */
function slowCreate(swarm: Swarm, volume: FakeVolume, delayMs: number): { ended: number } {
  const create = volume.create.bind(volume)
  const seen = { ended: 0 }
  volume.create = async (...args) => {
    await new Promise<void>((resolve) => swarm.clock.after(delayMs, resolve))
    const stored = await create(...args)
    seen.ended++
    return stored
  }
  return seen
}

test('removing a magnet, and stopping, wait for the torrent that is being made on the volume', async () => {
  const swarm = new Swarm(60)
  const content = await seeded(swarm, 1_000_000)
  const volume = swarm.volume()
  const seen = slowCreate(swarm, volume, 2_000)
  const engine = await swarm.engine('10.0.1.1', volume)
  const torrent = engine.addMagnet(magnetOf(content, [SEED]), none)
  await swarm.until(() => torrent.progress().peers > 0, 5_000)
  const endMs = swarm.clock.monotonicMs() + 500
  await swarm.until(() => swarm.clock.monotonicMs() > endMs, 1_000)
  await swarm.settled(engine.remove(content.info.infoHash))
  assert.equal(seen.ended, 1)
  await volume.remove(content.info.infoHash)
  const adding = assert.rejects(engine.add(content.info, none), { code: 'ENGINE_STOPPED' })
  await swarm.settled(engine.stop())
  assert.equal(seen.ended, 2)
  await adding
  await swarm.stop()
})

test('when the volume cannot be synced no download goes on, whoever asked for the sync', async () => {
  const swarm = new Swarm(61)
  const small = await seeded(swarm, 200_000)
  const large = swarm.content(1_000_000, 65_536)
  const volume = swarm.volume()
  const engine = await swarm.engine('10.0.1.1', volume)
  const idle = await engine.add(large.info, none)
  const torrent = await engine.add(small.info, withSeed)
  volume.sync = async () => {
    const failure = new SeedbedError('DEVICE_IO', 'no flush')
    for (const stored of volume.stored.values()) stored.failure = failure
    throw failure
  }
  await swarm.until(() => stateOf(torrent) === 'failed' && stateOf(idle) === 'failed', 60_000)
  assert.match(idle.error!.message, /no flush/)
  await assert.rejects(swarm.settled(engine.stop()), { code: 'DEVICE_IO' })
})

test('of several devices the one that cannot be synced stops its own downloads only', async () => {
  const swarm = new Swarm(61)
  const small = await seeded(swarm, 200_000)
  const large = swarm.content(1_000_000, 65_536)
  const volume = swarm.volume()
  const engine = await swarm.engine('10.0.1.1', volume)
  const elsewhere = await engine.add(large.info, none)
  const torrent = await engine.add(small.info, withSeed)
  const healthy = volume.sync
  volume.sync = async () => {
    const stored = volume.stored.get(toHex(small.info.infoHash))!
    stored.failure = new SeedbedError('DEVICE_IO', 'no flush')
    throw stored.failure
  }
  await swarm.until(() => stateOf(torrent) === 'failed', 60_000)
  const laterMs = swarm.clock.monotonicMs() + 20_000
  await swarm.until(() => swarm.clock.monotonicMs() > laterMs, 30_000)
  assert.equal(stateOf(elsewhere), 'downloading')
  volume.sync = healthy
  await swarm.settled(engine.stop())
})

test('a peer that chokes, and neither serves nor rejects what it owes, is cut off', async () => {
  const swarm = new Swarm(62)
  const content = swarm.content(1_000_000, 65_536)
  const engine = await swarm.engine('10.0.1.1', swarm.volume())
  await engine.add(content.info, none)
  const peer = new RawPeer(swarm, '10.0.9.1', '10.0.1.1')
  peer.handshake(content.info.infoHash)
  peer.bare(messages.writeHaveAll)
  peer.bare(messages.writeUnchoke)
  await swarm.until(() => peer.count('request') > 0, 1_000)
  const keepBusy = (): boolean => {
    peer.bare(messages.writeChoke)
    peer.bare(messages.writeUnchoke)
    peer.bare(messages.writeChoke)
    return peer.closed
  }
  await swarm.until(keepBusy, 90_000, 5_000)
  await swarm.stop()
})
