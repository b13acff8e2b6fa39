/**
 * uTP against libtorrent, which has TCP off on both sides of it: each downloads from the other, over IPv4 and IPv6, in
 * plaintext and encrypted. Rates are printed, and say little about a machine that does other things beside.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { test } from 'node:test'
import { digest, makeFile, scratchDirectory } from './content.ts'
import { createTorrent, endLibtorrent, libtorrent } from './peers/libtorrent.ts'
import { havePeers } from './peers/presence.ts'
import { drain, shared, up } from './peers/seedbed.ts'
import { seedersAnnounced } from './peers/tracker.ts'
import { Rows } from './rows.ts'
import { compare, DOWNLOAD_LIMIT_MS, type Download, downloadWithSeedbed, MIB } from './swarm.ts'

const name = 'gentle.bin'
const table = new Rows('seeder', 'leecher', 'over', 'encryption', 'rate')
/** `UTP_MIB=1024` for figures. */
const SIZE_BYTES = Number(process.env.UTP_MIB ?? 64) * MIB

const rows = [
  { host: '127.0.0.1', encrypted: false },
  { host: '127.0.0.1', encrypted: true },
  { host: '::1', encrypted: false },
  { host: '::1', encrypted: true },
] as const

for (const { host, encrypted } of rows) {
  const encryption = encrypted ? 'required' : 'off'
  const over = `uTP on ${host}`
  const how = `${host}, ${encrypted ? 'encrypted' : 'plaintext'}`
  test(`over uTP alone, ${how}`, async (t) => {
    if (!havePeers(t, 'libtorrent')) return
    const scratch = await scratchDirectory(t)
    await makeFile(join(scratch, name), SIZE_BYTES, `utp ${how}`)
    const expected = await digest(join(scratch, name))
    const node = await up({ paths: [join(scratch, name)], data: join(scratch, 'data'), host })
    t.after(() => node.child.kill())
    const torrent = await shared(node.child, name, 60_000)

    await t.test('libtorrent downloads from seedbed up', async (t) => {
      const directory = join(scratch, 'by-libtorrent')
      const source = { torrent: torrent.torrentFile }
      const download: Download = { source, directory, host, name, expected }
      await mkdir(directory)
      const leecher = libtorrent({ ...download, seed: false, encryption, utp: true })
      t.after(() => leecher.stop())
      await leecher.event('first-byte', DOWNLOAD_LIMIT_MS)
      const startMs = performance.now()
      await leecher.event('complete', DOWNLOAD_LIMIT_MS)
      const ms = performance.now() - startMs
      await endLibtorrent(leecher)
      await compare(download)
      table.add('seedbed', 'libtorrent', over, encryption, rate(ms))
    })
    await drain(node.child)

    const tracker = await up({ data: join(scratch, 'tracker'), host })
    t.after(() => tracker.child.kill())
    await t.test('seedbed get downloads from libtorrent', async (t) => {
      const file = join(scratch, 'theirs.torrent')
      const made = await createTorrent(join(scratch, name), file, MIB, tracker.trackers)
      const source = { torrent: file }
      const seeder = libtorrent({
        source,
        directory: scratch,
        host,
        seed: true,
        encryption,
        utp: true,
      })
      t.after(() => seeder.stop())
      await seedersAnnounced(tracker.httpTracker, made.infoHash)
      const directory = join(scratch, 'by-seedbed')
      const more = ['--utp', 'prefer', '--encryption', encryption]
      const [startMs] = await Promise.all([
        seeder.event('first-byte', DOWNLOAD_LIMIT_MS).then(() => performance.now()),
        downloadWithSeedbed({ source, directory, host, name, expected }, undefined, more),
      ])
      table.add('libtorrent', 'seedbed', over, encryption, rate(performance.now() - startMs))
    })
    await drain(tracker.child)
  })
}

function rate(ms: number): string {
  return `${(SIZE_BYTES / 1000 / ms).toFixed(1)} MB/s`
}
