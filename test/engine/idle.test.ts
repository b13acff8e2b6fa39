/** Idle torrents let go of what can be read again, and are there at once when somebody comes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RawPeer } from './raw-peer.ts'
import { assertSame, Swarm } from './swarm.ts'

test('a whole torrent sleeps until a peer comes, serves it, and sleeps again', async () => {
  const swarm = new Swarm(1)
  const content = swarm.content(3_000_000, 65_536)
  const seedVolume = await swarm.holding(content)
  const seeder = await swarm.engine('10.0.0.1', seedVolume)
  let reloads = 0
  const asleep = seeder.open(seedVolume.get(content.info.infoHash)!, content.info, {
    trackers: [],
    reload: async () => {
      reloads++
      await new Promise((resolve) => setImmediate(resolve))
      return { info: content.info, layers: new Map() }
    },
  })
  assert.equal(asleep.info, undefined)
  assert.equal(asleep.name, 'content')
  const { state, haveBytes, totalBytes, havePieces, wantedBytes } = asleep.progress()
  assert.deepEqual(
    { state, haveBytes, totalBytes, havePieces, wantedBytes },
    {
      state: 'seeding',
      haveBytes: 3_000_000,
      totalBytes: 3_000_000,
      havePieces: 46,
      wantedBytes: 3_000_000,
    },
  )

  // Several at once: it is read once. One goes before it is awake.
  const early = new RawPeer(swarm, '10.0.3.1', '10.0.0.1')
  early.handshake(content.info.infoHash, 3)
  const volumes = [swarm.volume(), swarm.volume()]
  const torrents = await Promise.all(
    volumes.map(async (volume, i) => {
      const engine = await swarm.engine(`10.0.1.${i}`, volume)
      return engine.add(content.info, {
        trackers: [],
        peers: [{ host: '10.0.0.1', port: 6881 }],
      })
    }),
  )
  await swarm.until(() => early.count('handshake') > 0, 5_000, 1)
  early.socket.destroy()
  await swarm.until(
    () => torrents.every((torrent) => torrent.progress().state === 'seeding'),
    60_000,
  )
  for (const volume of volumes) assertSame(volume, content)
  assert.equal(reloads, 1)
  assert.notEqual(asleep.info, undefined)
  await swarm.until(() => asleep.info === undefined, 600_000, 500)
  assert.equal(asleep.progress().peers, 0)

  // A reader wakes it, too.
  const parts: Buffer[] = []
  let ended = false
  asleep
    .createReadStream(0, { start: 100_000, end: 200_000 })
    .on('data', (part: Buffer) => parts.push(part))
    .on('end', () => {
      ended = true
    })
  await swarm.until(() => ended, 60_000)
  assert.ok(Buffer.concat(parts).equals(content.bytes.subarray(100_000, 200_000)))
  assert.equal(reloads, 2)
  await swarm.stop()
})

test('a download sleeps, too, once it is whole and nobody is there', async () => {
  const swarm = new Swarm(3)
  const content = swarm.content(500_000, 65_536)
  const seedVolume = await swarm.holding(content)
  const seeder = await swarm.engine('10.0.0.1', seedVolume)
  seeder.open(seedVolume.get(content.info.infoHash)!, content.info, { trackers: [] })
  const volume = swarm.volume()
  const engine = await swarm.engine('10.0.1.1', volume)
  const asked: Uint8Array[] = []
  const torrent = await engine.add(content.info, {
    trackers: [],
    peers: [{ host: '10.0.0.1', port: 6881 }],
    reload: async (stored) => {
      asked.push(stored.infoHash)
      return { info: content.info, layers: new Map() }
    },
  })
  await swarm.until(() => torrent.progress().state === 'seeding', 60_000)
  assert.notEqual(torrent.info, undefined)
  await seeder.stop()
  await swarm.until(() => torrent.info === undefined, 600_000, 500)

  const late = new RawPeer(swarm, '10.0.3.1', '10.0.1.1')
  late.handshake(content.info.infoHash, 3)
  await swarm.until(() => late.log.includes('have all'), 5_000, 1)
  assert.deepEqual(asked, [content.info.infoHash])
  await swarm.stop()
})

test('one that cannot be read again fails, lets nobody wait, and goes on when it can', async () => {
  const swarm = new Swarm(2)
  const content = swarm.content(300_000, 65_536)
  const volume = await swarm.holding(content)
  const seeder = await swarm.engine('10.0.0.1', volume)
  let works = false
  const torrent = seeder.open(volume.get(content.info.infoHash)!, content.info, {
    trackers: [],
    reload: async () => {
      if (!works) throw new Error('no such sector')
      return { info: content.info, layers: new Map() }
    },
  })
  const peer = new RawPeer(swarm, '10.0.3.1', '10.0.0.1')
  peer.handshake(content.info.infoHash)
  await swarm.until(() => peer.closed, 5_000)
  assert.equal(torrent.progress().state, 'failed')
  assert.match(torrent.error!.message, /no such sector/)
  await assert.rejects(swarm.settled(torrent.resume()), /no such sector/)
  works = true
  await swarm.settled(torrent.resume())
  const again = new RawPeer(swarm, '10.0.3.1', '10.0.0.1')
  again.handshake(content.info.infoHash, 2)
  await swarm.until(() => again.count('have all') === 1, 5_000)
  await swarm.stop()
})
