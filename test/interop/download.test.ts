/**
 * `seedbed get` downloads from foreign seeders, through seedbed's tracker, torrents that seedbed did
 * not make: by .torrent file and by magnet link, byte by byte.
 */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { digest, makeFile, makeTree, scratchDirectory } from './content.ts'
import { aria2 } from './peers/aria2.ts'
import type { Child } from './peers/child.ts'
import { createTorrent, libtorrent, type Source } from './peers/libtorrent.ts'
import { havePeers, type PeerName } from './peers/presence.ts'
import { drain, up } from './peers/seedbed.ts'
import { seedersAnnounced } from './peers/tracker.ts'
import { downloadWithSeedbed, GIB, MIB } from './swarm.ts'

const SEED_LIMIT_MS = 60_000

const seeders: readonly (readonly [
  PeerName,
  (source: Source, directory: string) => Child | Promise<Child>,
])[] = [
  [
    'libtorrent',
    (source, directory) => libtorrent({ source, directory, host: '127.0.0.1', seed: true }),
  ],
  ['aria2', (source, directory) => aria2({ source, directory, mode: 'seed' })],
]

test('`seedbed get` downloads from foreign seeders', async (t) => {
  // The torrents are made by libtorrent, whoever seeds them.
  if (!havePeers(t, 'libtorrent')) return
  const scratch = await scratchDirectory(t)
  const content = join(scratch, 'content')
  await mkdir(join(content, 'tree'), { recursive: true })
  await makeTree(join(content, 'tree'))
  await makeFile(join(content, 'big.bin'), GIB, 'download')
  const tracker = await up({ data: join(scratch, 'data'), host: '127.0.0.1' })
  t.after(() => tracker.child.kill())

  for (const name of ['tree', 'big.bin']) {
    const torrent = await createTorrent(
      join(content, name),
      join(scratch, `${name}.torrent`),
      // Small pieces for the tree: most files then share pieces with their neighbours.
      name === 'tree' ? 256 * 1024 : MIB,
      tracker.trackers,
    )
    const expected = await digest(join(content, name))
    for (const [peer, seed] of seeders) {
      await t.test(`${name} from ${peer}`, async (t) => {
        if (!havePeers(t, peer)) return
        const seeder = await seed({ torrent: torrent.torrentFile }, content)
        t.after(() => seeder.stop())
        if (peer === 'libtorrent') await seeder.event('complete', SEED_LIMIT_MS)
        await seedersAnnounced(tracker.httpTracker, torrent.infoHash)
        for (const source of [
          { magnet: torrent.magnet },
          { torrent: torrent.torrentFile },
        ] as const) {
          const kind = 'magnet' in source ? 'magnet' : 'torrent'
          await t.test(`by ${kind}`, async (t) => {
            const directory = join(scratch, `${peer}-${kind}-${name}`)
            t.after(() => rm(directory, { recursive: true, force: true }))
            await downloadWithSeedbed({ source, directory, host: '127.0.0.1', name, expected })
          })
        }
      })
    }
  }

  await t.test('and the tracker drains on SIGTERM', () => drain(tracker.child))
})
