/**
 * Peers that meet by the DHT alone: no tracker in the magnet, nobody named. `seedbed up --dht` and `seedbed get --dht-node`
 * against libtorrent and aria2, each as seeder and as leecher.
 *
 * Transmission 3.00 cannot take part: it begins with dht.transmissionbt.com, and with a node of ours alone found nobody in 100 s.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { digest, makeFile, scratchDirectory } from './content.ts'
import { aria2 } from './peers/aria2.ts'
import type { Child } from './peers/child.ts'
import { createTorrent, libtorrent } from './peers/libtorrent.ts'
import { havePeers, type PeerName } from './peers/presence.ts'
import { drain, shared, type Up, up } from './peers/seedbed.ts'
import { Rows } from './rows.ts'
import {
  compare,
  completeWithLibtorrent,
  DOWNLOAD_LIMIT_MS,
  type Download,
  downloadWithSeedbed,
  MIB,
} from './swarm.ts'

const host = '127.0.0.1'
const bare = (infoHash: string): string => `magnet:?xt=urn:btih:${infoHash}`

const rows = new Rows('seeder', 'leecher', 'found by')

interface Foreign {
  readonly peer: PeerName
  leech(download: Download, dhtPort: number): Promise<void>
  seed(torrent: string, directory: string, dhtPort: number): Child | Promise<Child>
}

const foreigners: readonly Foreign[] = [
  {
    peer: 'libtorrent',
    leech: (download, dhtPort) => completeWithLibtorrent({ ...download, seed: false, dhtPort }),
    seed: (torrent, directory, dhtPort) =>
      libtorrent({ source: { torrent }, directory, host, seed: true, dhtPort }),
  },
  {
    peer: 'aria2',
    leech: async ({ source, directory }, dhtPort) => {
      const leecher = await aria2({
        source,
        directory,
        mode: 'leech',
        dhtNode: `${host}:${dhtPort}`,
      })
      await leecher.succeed(DOWNLOAD_LIMIT_MS)
    },
    seed: (torrent, directory, dhtPort) =>
      aria2({ source: { torrent }, directory, mode: 'seed', dhtNode: `${host}:${dhtPort}` }),
  },
]

test('peers meet by the DHT alone', { concurrency: true }, async (t) => {
  if (!havePeers(t, 'libtorrent')) return
  const scratch = await scratchDirectory(t)
  await makeFile(join(scratch, 'ours.bin'), 4 * MIB, 'ours')
  const node = await up({
    paths: [join(scratch, 'ours.bin')],
    data: join(scratch, 'data'),
    host,
    // A node that begins with nobody: the others begin with it.
    more: ['--dht-node', `${host}:1`],
  })
  t.after(() => node.child.kill())
  const { infoHash } = await shared(node.child, 'ours.bin', 60_000)
  await Promise.all(
    foreigners.flatMap((foreign) => [
      t.test(`${foreign.peer} downloads from seedbed up`, (t) =>
        download(t, foreign, node, infoHash, scratch),
      ),
      t.test(`seedbed get downloads from ${foreign.peer}`, (t) => fetch(t, foreign, node, scratch)),
    ]),
  )
  await drain(node.child)
})

async function download(
  t: TestContext,
  { peer, leech }: Foreign,
  node: Up,
  infoHash: string,
  scratch: string,
): Promise<void> {
  if (!havePeers(t, peer)) return
  const directory = join(scratch, `by-${peer}`)
  await mkdir(directory)
  const expected = await digest(join(scratch, 'ours.bin'))
  const download = {
    source: { magnet: bare(infoHash) },
    directory,
    host,
    name: 'ours.bin',
    expected,
  }
  await leech(download, node.peerPort)
  await compare(download)
  rows.add('seedbed', peer, 'DHT')
}

async function fetch(
  t: TestContext,
  { peer, seed }: Foreign,
  node: Up,
  scratch: string,
): Promise<void> {
  if (!havePeers(t, peer)) return
  const name = `${peer}.bin`
  await makeFile(join(scratch, name), 4 * MIB, peer)
  const torrent = join(scratch, `${peer}.torrent`)
  const made = await createTorrent(join(scratch, name), torrent, 64 * 1024, [])
  const seeder = await seed(torrent, scratch, node.peerPort)
  t.after(() => seeder.stop())
  const expected = await digest(join(scratch, name))
  const source = { magnet: bare(made.infoHash) }
  const directory = join(scratch, `from-${peer}`)
  const download = { source, directory, host, name, expected }
  await downloadWithSeedbed(download, undefined, ['--dht-node', `${host}:${node.peerPort}`])
  rows.add(peer, 'seedbed', 'DHT')
}
