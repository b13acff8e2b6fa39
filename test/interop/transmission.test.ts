/** Transmission downloads from `seedbed up`, and `seedbed get` from Transmission. */
import { join } from 'node:path'
import { test } from 'node:test'
import { digest, makeFile, scratchDirectory } from './content.ts'
import { createTorrent } from './peers/libtorrent.ts'
import { Namespace } from './peers/namespace.ts'
import { havePeers } from './peers/presence.ts'
import { drain, shared, up } from './peers/seedbed.ts'
import { seedersAnnounced } from './peers/tracker.ts'
import { transmission } from './peers/transmission.ts'
import { compare, DOWNLOAD_LIMIT_MS, downloadWithSeedbed, MIB } from './swarm.ts'

const OURS = '10.99.0.1'
const THEIRS = '10.99.0.2'
const CONTENT_BYTES = 64 * MIB

test('Transmission and seedbed exchange content', async (t) => {
  if (!havePeers(t, 'transmission', 'libtorrent')) return
  const namespace = await Namespace.open([OURS, THEIRS])
  if (namespace === undefined) {
    t.skip('this system allows no network namespace of our own')
    return
  }
  t.after(() => namespace.close())
  const scratch = await scratchDirectory(t)
  await makeFile(join(scratch, 'ours.bin'), CONTENT_BYTES, 'ours')
  await makeFile(join(scratch, 'theirs.bin'), CONTENT_BYTES, 'theirs')
  const node = await up({
    paths: [join(scratch, 'ours.bin')],
    data: join(scratch, 'data'),
    host: OURS,
    within: namespace,
  })
  t.after(() => node.child.kill())
  const torrent = await shared(node.child, 'ours.bin', 60_000)
  const peer = { namespace, address: THEIRS }

  for (const source of [{ magnet: torrent.magnet }, { torrent: torrent.torrentFile }] as const) {
    const kind = 'magnet' in source ? 'magnet' : 'torrent'
    await t.test(`Transmission downloads by ${kind}`, async (t) => {
      const directory = join(scratch, `transmission-${kind}`)
      const stateDirectory = join(scratch, `state-${kind}`)
      const leecher = transmission({ ...peer, source, directory, stateDirectory })
      t.after(() => leecher.stop())
      await leecher.event('complete', DOWNLOAD_LIMIT_MS)
      const expected = await digest(join(scratch, 'ours.bin'))
      await compare({ source, directory, host: OURS, name: 'ours.bin', expected })
    })
  }

  await t.test('seedbed get downloads from Transmission', async (t) => {
    const made = await createTorrent(
      join(scratch, 'theirs.bin'),
      join(scratch, 'theirs.torrent'),
      MIB,
      node.trackers,
    )
    const source = { torrent: made.torrentFile }
    const stateDirectory = join(scratch, 'state-seeder')
    const seeder = transmission({ ...peer, source, directory: scratch, stateDirectory })
    t.after(() => seeder.stop())
    await seedersAnnounced(node.httpTracker, made.infoHash, namespace)
    const expected = await digest(join(scratch, 'theirs.bin'))
    await downloadWithSeedbed(
      { source, directory: join(scratch, 'got'), host: OURS, name: 'theirs.bin', expected },
      namespace,
    )
  })
  await t.test('and it drains on SIGTERM', () => drain(node.child))
})
