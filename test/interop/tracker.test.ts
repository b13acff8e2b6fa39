/**
 * Foreign clients find each other through seedbed's tracker, over HTTP and over UDP; and the
 * tracker's counts follow them.
 */
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { digest, makeFile, scratchDirectory } from './content.ts'
import { aria2 } from './peers/aria2.ts'
import { until } from './peers/child.ts'
import { createTorrent, endLibtorrent, libtorrent } from './peers/libtorrent.ts'
import { havePeers } from './peers/presence.ts'
import { up } from './peers/seedbed.ts'
import { scrape, seedersAnnounced } from './peers/tracker.ts'
import { downloadWithAria2, downloadWithLibtorrent, MIB } from './swarm.ts'

const HOST = '127.0.0.1'

test('foreign clients meet at the tracker of `seedbed up`', async (t) => {
  if (!havePeers(t, 'libtorrent')) return
  const scratch = await scratchDirectory(t)
  const content = join(scratch, 'content.bin')
  await makeFile(content, 32 * MIB, 'tracker')
  const tracker = await up({ data: join(scratch, 'data'), host: HOST })
  t.after(() => tracker.child.kill())
  const expected = await digest(content)
  const download = { host: HOST, name: 'content.bin', expected }

  for (const [protocol, url] of [
    ['http', tracker.httpTracker],
    ['udp', tracker.udpTracker],
  ] as const) {
    // The size of the pieces is part of the info-hash: a swarm of its own for each protocol.
    const torrent = await createTorrent(
      content,
      join(scratch, `${protocol}.torrent`),
      protocol === 'http' ? 256 * 1024 : 512 * 1024,
      [url],
    )
    const source = { torrent: torrent.torrentFile }

    await t.test(`libtorrent to libtorrent over ${protocol}`, async (t) => {
      const seeder = libtorrent({ source, directory: scratch, host: HOST, seed: true })
      t.after(() => seeder.kill())
      await seedersAnnounced(tracker.httpTracker, torrent.infoHash)
      const directory = join(scratch, `libtorrent-${protocol}`)
      await downloadWithLibtorrent({ ...download, source, directory })
      await endLibtorrent(seeder)
      await until('the tracker forgetting both peers', 20_000, 100, async () => {
        const { seeders, leechers } = await scrape(tracker.httpTracker, torrent.infoHash)
        return seeders === 0 && leechers === 0
      })
    })

    if (protocol === 'udp') continue
    await t.test('libtorrent to aria2 by magnet', async (t) => {
      if (!havePeers(t, 'aria2')) return
      const seeder = libtorrent({ source, directory: scratch, host: HOST, seed: true })
      t.after(() => seeder.kill())
      await seedersAnnounced(tracker.httpTracker, torrent.infoHash)
      const directory = join(scratch, 'aria2-magnet')
      await downloadWithAria2({ ...download, source: { magnet: torrent.magnet }, directory })
      await endLibtorrent(seeder)
    })
    await t.test('aria2 to libtorrent', async (t) => {
      if (!havePeers(t, 'aria2')) return
      const seeder = await aria2({ source, directory: scratch, mode: 'seed' })
      t.after(() => seeder.stop())
      await seedersAnnounced(tracker.httpTracker, torrent.infoHash)
      const directory = join(scratch, 'from-aria2')
      await downloadWithLibtorrent({ ...download, source, directory })
      await rm(directory, { recursive: true })
    })
  }
  assert.equal(tracker.child.ending, undefined, 'the tracker is still there')
})
