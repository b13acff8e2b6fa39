/**
 * Peers that meet by the DHT alone: no tracker in the magnet, nobody named. `seedbed up --dht` and `seedbed get --dht-node`
 * against libtorrent, each as seeder and as leecher.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { digest, makeFile, scratchDirectory } from './content.ts'
import { createTorrent, endLibtorrent, libtorrent } from './peers/libtorrent.ts'
import { havePeers } from './peers/presence.ts'
import { drain, shared, up } from './peers/seedbed.ts'
import { compare, DOWNLOAD_LIMIT_MS, downloadWithSeedbed, MIB } from './swarm.ts'

const host = '127.0.0.1'
const bare = (infoHash: string): string => `magnet:?xt=urn:btih:${infoHash}`

test('peers meet by the DHT alone', async (t) => {
  if (!havePeers(t, 'libtorrent')) return
  const scratch = await scratchDirectory(t)
  for (const name of ['ours.bin', 'theirs.bin']) await makeFile(join(scratch, name), 8 * MIB, name)
  const node = await up({
    paths: [join(scratch, 'ours.bin')],
    data: join(scratch, 'data'),
    host,
    // A node that begins with nobody: the others begin with it.
    more: ['--dht-node', `${host}:1`],
  })
  t.after(() => node.child.kill())
  const torrent = await shared(node.child, 'ours.bin', 60_000)
  const made = await createTorrent(join(scratch, 'theirs.bin'), join(scratch, 'theirs'), MIB, [])
  const seeder = libtorrent({
    source: { torrent: made.torrentFile },
    directory: scratch,
    host,
    seed: true,
    dhtPort: node.peerPort,
  })
  t.after(() => seeder.stop())
  await seeder.event('complete', 60_000)

  await t.test('libtorrent downloads from seedbed up', async (t) => {
    const directory = join(scratch, 'by-libtorrent')
    await mkdir(directory)
    const source = { magnet: bare(torrent.infoHash) }
    const leecher = libtorrent({ source, directory, host, seed: false, dhtPort: node.peerPort })
    t.after(() => leecher.stop())
    await leecher.event('complete', DOWNLOAD_LIMIT_MS)
    await endLibtorrent(leecher)
    const expected = await digest(join(scratch, 'ours.bin'))
    await compare({ source, directory, host, name: 'ours.bin', expected })
  })
  await t.test('seedbed get downloads from libtorrent', async () => {
    const directory = join(scratch, 'by-seedbed')
    const source = { magnet: bare(made.infoHash) }
    const expected = await digest(join(scratch, 'theirs.bin'))
    const download = { source, directory, host, name: 'theirs.bin', expected }
    await downloadWithSeedbed(download, undefined, ['--dht-node', `${host}:${node.peerPort}`])
  })
  await drain(node.child)
})
