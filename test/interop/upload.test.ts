/**
 * Foreign clients download from `seedbed up`, through its own tracker: a folder of at least a
 * thousand files and a file of 1 GiB, each by magnet link and by .torrent file, byte by byte.
 */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Digests, digest, makeFile, makeTree, scratchDirectory } from './content.ts'
import { havePeers, type PeerName } from './peers/presence.ts'
import { drain, type Shared, shared, up } from './peers/seedbed.ts'
import { type Download, downloadWithAria2, downloadWithLibtorrent, GIB } from './swarm.ts'

const IMPORT_LIMIT_MS = 120_000

const clients: readonly (readonly [PeerName, (download: Download) => Promise<void>])[] = [
  ['libtorrent', downloadWithLibtorrent],
  ['aria2', downloadWithAria2],
]

test('foreign clients download what `seedbed up` shares', async (t) => {
  const scratch = await scratchDirectory(t)
  await mkdir(join(scratch, 'tree'))
  await makeTree(join(scratch, 'tree'))
  await makeFile(join(scratch, 'big.bin'), GIB, 'upload')
  const { child } = await up({
    paths: [join(scratch, 'tree'), join(scratch, 'big.bin')],
    data: join(scratch, 'data'),
    host: '127.0.0.1',
  })
  t.after(() => child.kill())

  for (const name of ['tree', 'big.bin']) {
    const torrent: Shared = await shared(child, name, IMPORT_LIMIT_MS)
    const expected: Digests = await digest(join(scratch, name))
    for (const [peer, download] of clients) {
      for (const source of [
        { magnet: torrent.magnet },
        { torrent: torrent.torrentFile },
      ] as const) {
        const kind = 'magnet' in source ? 'magnet' : 'torrent'
        await t.test(`${peer} downloads ${name} by ${kind}`, async (t) => {
          if (!havePeers(t, peer)) return
          const directory = join(scratch, `${peer}-${kind}-${name}`)
          t.after(() => rm(directory, { recursive: true, force: true }))
          await download({ source, directory, host: '127.0.0.1', name, expected })
        })
      }
    }
  }

  await t.test('and it drains on SIGTERM', () => drain(child))
})
