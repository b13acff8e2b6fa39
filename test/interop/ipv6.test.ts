/**
 * One run on IPv6 alone: everything is bound to ::1 and announced as [::1], so nothing of it can have
 * gone over IPv4. Transmission 3.00 is not in it: with addresses of IPv6 alone it found no peer at a tracker in a minute.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { digest, makeFile, scratchDirectory } from './content.ts'
import { aria2 } from './peers/aria2.ts'
import { createTorrent, endLibtorrent, libtorrent } from './peers/libtorrent.ts'
import { havePeers } from './peers/presence.ts'
import { drain, shared, up } from './peers/seedbed.ts'
import { seedersAnnounced } from './peers/tracker.ts'
import { downloadWithAria2, downloadWithLibtorrent, downloadWithSeedbed, MIB } from './swarm.ts'

const HOST = '::1'
const CONTENT_BYTES = 64 * MIB

test('everything works on IPv6 alone', async (t) => {
  if (!havePeers(t, 'libtorrent')) return
  const scratch = await scratchDirectory(t)
  await makeFile(join(scratch, 'ours.bin'), CONTENT_BYTES, 'ours')
  await makeFile(join(scratch, 'theirs.bin'), CONTENT_BYTES, 'theirs')
  const node = await up({
    paths: [join(scratch, 'ours.bin')],
    data: join(scratch, 'data'),
    host: HOST,
  })
  t.after(() => node.child.kill())
  assert.ok(node.trackers.length > 0)
  for (const url of node.trackers) assert.match(url, /^(http|udp):\/\/\[::1\]:\d+\//)

  const torrent = await shared(node.child, 'ours.bin', 60_000)
  const expected = await digest(join(scratch, 'ours.bin'))
  const ours = { host: HOST, name: 'ours.bin', expected }
  const byMagnet = { magnet: torrent.magnet }
  const byTorrent = { torrent: torrent.torrentFile }
  await t.test('libtorrent downloads by magnet', () =>
    downloadWithLibtorrent({ ...ours, source: byMagnet, directory: join(scratch, '1') }),
  )
  await t.test('libtorrent downloads by torrent', () =>
    downloadWithLibtorrent({ ...ours, source: byTorrent, directory: join(scratch, '2') }),
  )
  await t.test('aria2 downloads by torrent', async (t) => {
    if (!havePeers(t, 'aria2')) return
    await downloadWithAria2({ ...ours, source: byTorrent, directory: join(scratch, '3') })
  })
  await t.test('seedbed get downloads from libtorrent', async (t) => {
    const made = await createTorrent(
      join(scratch, 'theirs.bin'),
      join(scratch, 'theirs.torrent'),
      256 * 1024,
      node.trackers,
    )
    const seeder = libtorrent({
      source: { torrent: made.torrentFile },
      directory: scratch,
      host: HOST,
      seed: true,
    })
    t.after(() => seeder.kill())
    await seedersAnnounced(node.httpTracker, made.infoHash)
    const theirs = {
      host: HOST,
      name: 'theirs.bin',
      expected: await digest(join(scratch, 'theirs.bin')),
    }
    await downloadWithSeedbed({
      ...theirs,
      source: { magnet: made.magnet },
      directory: join(scratch, '4'),
    })
    await endLibtorrent(seeder)
  })
  await t.test('seedbed get downloads from aria2', async (t) => {
    if (!havePeers(t, 'aria2')) return
    const torrentFile = join(scratch, 'aria2.torrent')
    const file = join(scratch, 'theirs.bin')
    const made = await createTorrent(file, torrentFile, 512 * 1024, node.trackers)
    const source = { torrent: torrentFile }
    const seeder = await aria2({ source, directory: scratch, mode: 'seed' })
    t.after(() => seeder.stop())
    await seedersAnnounced(node.httpTracker, made.infoHash)
    const directory = join(scratch, '5')
    const expected = await digest(file)
    await downloadWithSeedbed({ source, directory, host: HOST, name: 'theirs.bin', expected })
  })
  await t.test('and it drains on SIGTERM', () => drain(node.child))
})
