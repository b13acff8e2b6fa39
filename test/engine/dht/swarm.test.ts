/** Torrents that meet by the DHT alone, in virtual time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '../../../src/base/index.ts'
import type { Engine } from '../../../src/engine/index.ts'
import { buildInfo, parseMagnet, type TorrentInfo } from '../../../src/metainfo/index.ts'
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
