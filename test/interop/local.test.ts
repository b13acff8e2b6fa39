/**
 * Peers that meet on the local network alone (BEP 14): no tracker in the magnet, nobody named, no DHT. On an Ethernet of the
 * test's own, so that nothing is said to any other network; IPv4 and IPv6; seedbed, and libtorrent on either side.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { digest, makeFile, scratchDirectory } from './content.ts'
import type { Child } from './peers/child.ts'
import { createTorrent, endLibtorrent, libtorrent } from './peers/libtorrent.ts'
import { Namespace } from './peers/namespace.ts'
import { havePeers } from './peers/presence.ts'
import { drain, shared, up } from './peers/seedbed.ts'
import { Rows } from './rows.ts'
import {
  compare,
  completeWithLibtorrent,
  type Download,
  downloadWithSeedbed,
  MIB,
} from './swarm.ts'

const FAMILIES = [
  { family: '4', seeder: '10.97.0.1', leecher: '10.97.0.2' },
  { family: '6', seeder: 'fd00:97::1', leecher: 'fd00:97::2' },
] as const
const PAIRS = [
  ['seedbed', 'seedbed'],
  ['seedbed', 'libtorrent'],
  ['libtorrent', 'seedbed'],
] as const
type Name = (typeof PAIRS)[number][number]

interface Seeder {
  readonly infoHash: string
  readonly child: Child
  end(): Promise<void>
}

const rows = new Rows('seeder', 'leecher', 'family', 'found by')

/** The file `name` in `scratch`, for whoever asks the local network. */
async function seed(
  by: Name,
  scratch: string,
  name: string,
  host: string,
  within: Namespace,
): Promise<Seeder> {
  const content = join(scratch, name)
  if (by === 'seedbed') {
    const data = join(scratch, `${name}-data`)
    const node = await up({ paths: [content], data, host, within, more: ['--lsd'] })
    const { infoHash } = await shared(node.child, name, 60_000)
    return { infoHash, child: node.child, end: () => drain(node.child) }
  }
  const made = await createTorrent(content, `${content}.torrent`, 64 * 1024, [])
  const source = { torrent: made.torrentFile }
  const peer = libtorrent({ source, directory: scratch, host, within, seed: true, lsd: true })
  await peer.event('complete', 60_000)
  return { infoHash: made.infoHash, child: peer, end: () => endLibtorrent(peer) }
}

async function leech(by: Name, download: Download, within: Namespace): Promise<void> {
  if (by === 'seedbed') return downloadWithSeedbed(download, within, ['--lsd'])
  mkdirSync(download.directory)
  await completeWithLibtorrent({ ...download, within, seed: false, lsd: true })
  await compare(download)
}

test('peers meet on the local network alone', { concurrency: true }, async (t) => {
  if (!havePeers(t, 'libtorrent')) return
  const addresses = FAMILIES.flatMap(({ seeder, leecher }) => [seeder, leecher])
  const within = await Namespace.openEthernet(addresses)
  if (within === undefined) {
    t.skip('this system allows no network namespace of our own, or no Ethernet in it')
    return
  }
  t.after(() => within.close())
  const scratch = await scratchDirectory(t)
  const runs = FAMILIES.flatMap(
    (hosts) => PAIRS.map(([seeds, leeches]) => ({ ...hosts, seeds, leeches })),
    // libtorrent 2.0.8 says nothing to the group of IPv6: it hears who begins after it, and is not heard.
  ).filter(({ family, leeches }) => family === '4' || leeches === 'seedbed')
  await Promise.all(
    runs.map(({ family, seeder, leecher, seeds, leeches }) =>
      t.test(`${leeches} finds ${seeds}, IPv${family}`, async (t) => {
        const name = `${seeds}-${leeches}-${family}.bin`
        await makeFile(join(scratch, name), 2 * MIB, name)
        const { infoHash, child, end } = await seed(seeds, scratch, name, seeder, within)
        t.after(() => child.kill())
        const source = { magnet: `magnet:?xt=urn:btih:${infoHash}` }
        const directory = join(scratch, `${name}-out`)
        const expected = await digest(join(scratch, name))
        await leech(leeches, { source, directory, host: leecher, name, expected }, within)
        await end()
        rows.add(seeds, leeches, `IPv${family}`, 'BEP 14')
      }),
    ),
  )
})
