/** Torrents that meet by the DHT alone, in virtual time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '../../../src/base/index.ts'
import type { Engine } from '../../../src/engine/index.ts'
import * as messages from '../../../src/engine/wire/messages.ts'
import { buildInfo, parseMagnet, type TorrentInfo } from '../../../src/metainfo/index.ts'
import { RawPeer } from '../raw-peer.ts'
import { assertSame, Swarm } from '../swarm.ts'

const PORT = 6881
const HUB = '10.0.0.250'

/** Engines of a DHT that all begin with one node. */
async function engines(
  swarm: Swarm,
  volumes: readonly Parameters<Swarm['engine']>[1][],
): Promise<Engine[]> {
  await swarm.engine(HUB, swarm.volume(), { dht: { bootstrap: [] } })
  const dht = { bootstrap: [{ host: HUB, port: PORT }] }
  const made: Engine[] = []
  for (const [i, volume] of volumes.entries()) {
    made.push(await swarm.engine(`10.0.0.${i + 1}`, volume, { dht }))
  }
  return made
}

test('a leecher with nothing but an info-hash finds the seeder, and both find who comes later', async () => {
  const swarm = new Swarm(70)
  const content = swarm.content(1_000_000, 64 * 1024)
  const { info } = content
  const volumes = [await swarm.holding(content), swarm.volume(), swarm.volume()]
  const [seeder, first, second] = await engines(swarm, volumes)
  seeder!.open(volumes[0]!.get(info.infoHash)!, info, { trackers: [] })
  const magnet = parseMagnet(`magnet:?xt=urn:btih:${toHex(info.infoHash)}`)
  for (const [engine, volume] of [
    [first, volumes[1]],
    [second, volumes[2]],
  ] as const) {
    const torrent = engine!.addMagnet(magnet, { trackers: [] })
    await swarm.until(() => torrent.progress().state === 'seeding', 10 * 60_000)
    assertSame(volume!, content)
  }
  assert.ok(first!.dhtNodes >= 2)
  await swarm.stop()
})

test('a private torrent is never asked for', async () => {
  const swarm = new Swarm(71)
  const { bytes, info } = swarm.content(200_000, 64 * 1024)
  const hidden: TorrentInfo = buildInfo({
    name: info.name,
    multiFile: false,
    files: info.files,
    pieceBytes: info.pieceBytes,
    pieceHashes: info.pieceHashes,
    private: true,
  })
  assert.ok(bytes.length > 0 && hidden.private)
  const volumes = [swarm.volume(), swarm.volume()]
  const [first, second] = await engines(swarm, volumes)
  await swarm.until(() => first!.dhtNodes > 0 && second!.dhtNodes > 0, 60_000)
  const torrents = [
    await first!.add(hidden, { trackers: [] }),
    await second!.add(hidden, { trackers: [] }),
  ]
  const open = [await first!.add(info, { trackers: [] }), await second!.add(info, { trackers: [] })]
  // The open one shows that they would have met.
  await swarm.until(() => open.every((torrent) => torrent.progress().peers > 0), 10 * 60_000)
  assert.deepEqual(
    torrents.map((torrent) => torrent.progress().peers),
    [0, 0],
  )
  await swarm.stop()
})

test('peers tell each other where they speak DHT, but not of a private torrent', async () => {
  for (const isPrivate of [false, true]) {
    const swarm = new Swarm(73)
    const { info, bytes } = swarm.content(200_000, 64 * 1024)
    const { name, files, pieceBytes, pieceHashes } = info
    const made = buildInfo({
      ...{ name, multiFile: false, files, pieceBytes, pieceHashes },
      private: isPrivate,
    })
    const volume = await swarm.holding({ info: made, bytes })
    const dht = { bootstrap: [] }
    const seeder = await swarm.engine('10.0.0.1', volume, { dht })
    seeder.open(volume.get(made.infoHash)!, made, { trackers: [] })
    const leecher = await swarm.engine('10.0.0.2', swarm.volume(), { dht })
    const peers = [{ host: '10.0.0.1', port: PORT }]
    const torrent = await leecher.add(made, { trackers: [], peers })
    await swarm.until(() => torrent.progress().havePieces > 0, 60_000)
    const beganMs = swarm.clock.monotonicMs()
    await swarm.until(() => swarm.clock.monotonicMs() > beganMs + 5_000, 10_000)
    assert.equal(seeder.dhtNodes, isPrivate ? 0 : 1)
    assert.equal(leecher.dhtNodes, isPrivate ? 0 : 1)
    await swarm.stop()
  }
})

test('a peer that tells many ports is asked at the first alone', async () => {
  const swarm = new Swarm(74)
  const content = swarm.content(200_000, 64 * 1024)
  const volume = await swarm.holding(content)
  const engine = await swarm.engine('10.0.0.1', volume, { dht: { bootstrap: [] } })
  engine.open(volume.get(content.info.infoHash)!, content.info, { trackers: [] })
  const asked: number[] = []
  const network = swarm.internet.host('10.0.9.1')
  for (let port = 1000; port < 1010; port++) {
    const socket = await network.openDatagram('0.0.0.0', port)
    socket.onMessage = () => void asked.push(port)
  }
  const peer = new RawPeer(swarm, '10.0.9.1', '10.0.0.1')
  peer.handshake(content.info.infoHash)
  for (let port = 1000; port < 1010; port++) {
    peer.say(messages.PORT_BYTES, (bytes) => messages.writePort(bytes, 0, port))
  }
  const beganMs = swarm.clock.monotonicMs()
  await swarm.until(() => swarm.clock.monotonicMs() > beganMs + 2_000, 10_000)
  assert.deepEqual([...new Set(asked)], [1000])
  assert.equal(peer.count('port'), 0, 'it did not say that it is in the DHT')
  assert.ok(!peer.closed)
  await swarm.stop()
})
