/**
 * Transmission downloads from `seedbed up`, and `seedbed get` from Transmission. It is slow to begin (see
 * peers/transmission.ts), so its three processes begin together, each at an address of its own and
 * with a torrent of its own.
 */
import { join } from 'node:path'
import { test } from 'node:test'
import { digest, makeFile, scratchDirectory } from './content.ts'
import { createTorrent, type Source } from './peers/libtorrent.ts'
import { Namespace } from './peers/namespace.ts'
import { havePeers } from './peers/presence.ts'
import { drain, shared, up } from './peers/seedbed.ts'
import { seedersAnnounced } from './peers/tracker.ts'
import { transmission } from './peers/transmission.ts'
import { compare, DOWNLOAD_LIMIT_MS, downloadWithSeedbed, MIB } from './swarm.ts'

const OURS = '10.99.0.1'
const THEIRS = { magnet: '10.99.0.2', torrent: '10.99.0.3', seeder: '10.99.0.4' } as const
const CONTENT_BYTES = 64 * MIB

test('Transmission and seedbed exchange content', async (t) => {
  if (!havePeers(t, 'transmission', 'libtorrent')) return
  const namespace = await Namespace.open([OURS, ...Object.values(THEIRS)])
  if (namespace === undefined) {
    t.skip('this system allows no network namespace of our own')
    return
  }
  t.after(() => namespace.close())
  const scratch = await scratchDirectory(t)
  const kinds = ['magnet', 'torrent'] as const
  for (const name of [...kinds, 'seeder']) {
    await makeFile(join(scratch, `${name}.bin`), CONTENT_BYTES, name)
  }
  const node = await up({
    paths: kinds.map((kind) => join(scratch, `${kind}.bin`)),
    data: join(scratch, 'data'),
    host: OURS,
    within: namespace,
  })
  t.after(() => node.child.kill())
  const start = (name: keyof typeof THEIRS, source: Source, directory: string) => {
    const stateDirectory = join(scratch, `${name}-state`)
    const address = THEIRS[name]
    // The seeder and one of the leechers want encryption.
    const encryption = name === 'torrent' ? {} : ({ encryption: 'required' } as const)
    const place = { source, directory, stateDirectory }
    const peer = transmission({ namespace, address, ...place, ...encryption })
    t.after(() => peer.stop())
    return peer
  }

  const made = await createTorrent(
    join(scratch, 'seeder.bin'),
    join(scratch, 'seeder.torrent'),
    MIB,
    node.trackers,
  )
  start('seeder', { torrent: made.torrentFile }, scratch)
  const leechers = new Map<string, { peer: ReturnType<typeof start>; source: Source }>()
  for (const kind of kinds) {
    const torrent = await shared(node.child, `${kind}.bin`, 60_000)
    const source = kind === 'magnet' ? { magnet: torrent.magnet } : { torrent: torrent.torrentFile }
    leechers.set(kind, { peer: start(kind, source, join(scratch, `by-${kind}`)), source })
  }

  for (const [kind, { peer, source }] of leechers) {
    await t.test(
      `Transmission downloads by ${kind}${kind === 'magnet' ? ', encrypted' : ''}`,
      async () => {
        await peer.event('complete', DOWNLOAD_LIMIT_MS)
        const name = `${kind}.bin`
        const expected = await digest(join(scratch, name))
        await compare({
          source,
          directory: join(scratch, `by-${kind}`),
          host: OURS,
          name,
          expected,
        })
      },
    )
  }
  await t.test('seedbed get downloads from Transmission, encrypted', async () => {
    await seedersAnnounced(node.httpTracker, made.infoHash, namespace)
    const expected = await digest(join(scratch, 'seeder.bin'))
    const source = { torrent: made.torrentFile }
    const directory = join(scratch, 'got')
    await downloadWithSeedbed(
      { source, directory, host: OURS, name: 'seeder.bin', expected },
      namespace,
    )
  })
  await t.test('and it drains on SIGTERM', () => drain(node.child))
})
