/**
 * Peers that refuse to speak in plaintext: libtorrent and aria2 with encryption forced download from `seedbed up`
 * as it is by default, and `seedbed get --encryption required` downloads from them.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { digest, makeFile, scratchDirectory } from './content.ts'
import { aria2 } from './peers/aria2.ts'
import type { Child } from './peers/child.ts'
import { createTorrent, endLibtorrent, libtorrent, type Source } from './peers/libtorrent.ts'
import { havePeers, type PeerName } from './peers/presence.ts'
import { drain, shared, up } from './peers/seedbed.ts'
import { seedersAnnounced } from './peers/tracker.ts'
import { compare, DOWNLOAD_LIMIT_MS, type Download, downloadWithSeedbed, MIB } from './swarm.ts'

const host = '127.0.0.1'
const name = 'sealed.bin'

interface Foreign {
  readonly peer: PeerName
  leech(download: Download): Promise<void>
  seed(source: Source, directory: string): Child | Promise<Child>
}

const foreigners: readonly Foreign[] = [
  {
    peer: 'libtorrent',
    async leech(download) {
      await mkdir(download.directory, { recursive: true })
      const leecher = libtorrent({ ...download, seed: false, encrypted: true })
      await leecher.event('complete', DOWNLOAD_LIMIT_MS)
      await endLibtorrent(leecher)
    },
    seed: (source, directory) =>
      libtorrent({ source, directory, host, seed: true, encrypted: true }),
  },
  {
    peer: 'aria2',
    async leech(download) {
      const leecher = await aria2({ ...download, mode: 'leech', encrypted: true })
      await leecher.succeed(DOWNLOAD_LIMIT_MS)
    },
    seed: (source, directory) => aria2({ source, directory, mode: 'seed', encrypted: true }),
  },
]

test('peers that force encryption are met', async (t) => {
  const scratch = await scratchDirectory(t)
  await makeFile(join(scratch, name), 32 * MIB, 'encryption')
  const expected = await digest(join(scratch, name))
  const node = await up({ paths: [join(scratch, name)], data: join(scratch, 'data'), host })
  t.after(() => node.child.kill())
  const torrent = await shared(node.child, name, 60_000)
  const source: Source = { torrent: torrent.torrentFile }

  for (const { peer, leech } of foreigners) {
    await t.test(`${peer} downloads, encrypted`, async (t) => {
      if (!havePeers(t, peer)) return
      const download = { source, directory: join(scratch, `by-${peer}`), host, name, expected }
      await leech(download)
      await compare(download)
    })
  }
  await drain(node.child)

  const tracker = await up({ data: join(scratch, 'tracker'), host })
  t.after(() => tracker.child.kill())
  for (const [i, { peer, seed }] of foreigners.entries()) {
    await t.test(`seedbed get downloads from ${peer}, encryption required`, async (t) => {
      if (!havePeers(t, peer, 'libtorrent')) return
      // Pieces of another size make another torrent: nobody else is in its swarm.
      const file = join(scratch, `${peer}.torrent`)
      const pieceBytes = (256 * 1024) << i
      const made = await createTorrent(join(scratch, name), file, pieceBytes, tracker.trackers)
      const source = { torrent: file }
      const seeder = await seed(source, scratch)
      t.after(() => seeder.stop())
      await seedersAnnounced(tracker.httpTracker, made.infoHash)
      const directory = join(scratch, `from-${peer}`)
      await downloadWithSeedbed({ source, directory, host, name, expected }, undefined, [
        '--encryption',
        'required',
      ])
    })
  }
  await drain(tracker.child)
})
