/**
 * Message stream encryption with every foreign client, both ways: what happens when each side requires it or prefers it, and
 * that nobody who requires it is spoken to by who does not want it.
 *
 * In a network of the test's own, because Transmission refuses loopback and tells peers apart by their address.
 */
import assert from 'node:assert/strict'
import { linkSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { digest, makeFile, scratchDirectory } from './content.ts'
import { aria2 } from './peers/aria2.ts'
import type { Child } from './peers/child.ts'
import { createTorrent, libtorrent } from './peers/libtorrent.ts'
import { Namespace } from './peers/namespace.ts'
import { havePeers, type PeerName } from './peers/presence.ts'
import { drain, shared, type Up, up } from './peers/seedbed.ts'
import { seedersAnnounced } from './peers/tracker.ts'
import { transmission } from './peers/transmission.ts'
import { Rows } from './rows.ts'
import { compare, DOWNLOAD_LIMIT_MS, downloadWithSeedbed, MIB } from './swarm.ts'

const PEERS: readonly PeerName[] = ['libtorrent', 'aria2', 'transmission']
const WISHES = ['required', 'preferred'] as const
type Wish = (typeof WISHES)[number]
/** `offered` is the default of seedbed: plaintext, and encryption with who wants it. */
type OurWish = Wish | 'offered'

/** What a leecher or a seeder of theirs is started with. */
interface Run {
  readonly torrent: string
  readonly directory: string
  readonly encryption: Wish
  readonly host: string
  readonly seed: boolean
}

const rows = new Rows('seeder', 'leecher', 'seeder wants', 'leecher wants', 'encrypted')

const OURS = '10.95.0.1'
/** One for each foreign client. */
const addresses = Array.from({ length: 40 }, (_, i) => `10.95.0.${i + 10}`)

test('encryption, required and preferred, with every client', { concurrency: 12 }, async (t) => {
  if (!havePeers(t, ...PEERS)) return
  const within = await Namespace.open([OURS, ...addresses])
  if (within === undefined) {
    t.skip('this system allows no network namespace of our own')
    return
  }
  t.after(() => within.close())
  const scratch = await scratchDirectory(t)
  const name = 'sealed.bin'
  await makeFile(join(scratch, name), MIB, 'encryption')
  const expected = await digest(join(scratch, name))
  let used = 0
  const start = async (t: TestContext, peer: PeerName, run: Omit<Run, 'host'>): Promise<Child> => {
    const child = await startForeign(peer, within, { ...run, host: addresses[used++]! })
    t.after(() => child.stop())
    return child
  }

  const ups = new Map<OurWish, Up>()
  for (const wish of ['offered', ...WISHES] as const) {
    const node = await up({
      paths: [join(scratch, name)],
      data: join(scratch, `data-${wish}`),
      host: OURS,
      within,
      more: ['--encryption', wish],
    })
    t.after(() => node.child.kill())
    ups.set(wish, node)
  }
  const downloads = [...ups].flatMap(([wish, node]) =>
    PEERS.flatMap((peer) => WISHES.map((theirs) => ({ wish, node, peer, theirs }))),
  )
  // What prefers meets what offers in many tests.
  const down = downloads
    .filter(({ wish, theirs }) => wish !== 'offered' || theirs === 'required')
    .map(({ wish, node, peer, theirs }) =>
      t.test(`${peer}, ${theirs}, downloads from seedbed, ${wish}`, async (t) => {
        const { torrentFile } = await shared(node.child, name, 60_000)
        const directory = join(scratch, `${peer}-${theirs}-${wish}`)
        mkdirSync(directory)
        const run = { torrent: torrentFile, directory, encryption: theirs, seed: false }
        const leecher = await start(t, peer, run)
        await leecher.event('complete', DOWNLOAD_LIMIT_MS)
        await compare({ source: { torrent: torrentFile }, directory, host: OURS, name, expected })
        // Other leechers of the swarm may have our address, too.
        const { peerPort } = node
        rows.add('seedbed', peer, wish, theirs, sealed(leecher, [wish, theirs], peerPort))
      }),
    )

  const tracker = ups.get('preferred')!
  // A seeder for each: Transmission lets nobody in twice.
  const pairs = WISHES.flatMap((theirs) => WISHES.map((wish) => ({ theirs, wish })))
  const got = PEERS.flatMap((peer) => pairs.map((pair) => ({ peer, ...pair }))).map(
    ({ peer, theirs, wish }, i) =>
      t.test(`seedbed, ${wish}, downloads from ${peer}, ${theirs}`, async (t) => {
        // Another name makes another torrent: nobody else is in its swarm.
        const directory = join(scratch, `seed-${i}`)
        mkdirSync(directory)
        const file = join(directory, `${i}.bin`)
        linkSync(join(scratch, name), file)
        const torrent = `${file}.torrent`
        const made = await createTorrent(file, torrent, 64 * 1024, [tracker.httpTracker])
        const seeder = await start(t, peer, { torrent, directory, encryption: theirs, seed: true })
        await seedersAnnounced(tracker.httpTracker, made.infoHash, within)
        const place = { directory: join(scratch, `got-${i}`), host: OURS, name: `${i}.bin` }
        const download = { ...place, source: { torrent }, expected }
        await downloadWithSeedbed(download, within, ['--encryption', wish])
        rows.add(peer, 'seedbed', theirs, wish, sealed(seeder, [wish, theirs]))
      }),
  )
  await Promise.all([...down, ...got])
  for (const { child } of ups.values()) await drain(child)
})

/**
 * Whether it was encrypted, as the table says it. Where one side requires it every connection is; libtorrent is asked, about those to
 * `toPort`. Two that only prefer it may connect in plaintext, when who connects begins so.
 */
function sealed(child: Child, wishes: readonly OurWish[], toPort?: number): string {
  if (!wishes.includes('required')) return 'perhaps'
  for (const { event, host, port, encrypted } of child.events) {
    if (event !== 'met' || (toPort !== undefined && port !== toPort)) continue
    assert.equal(encrypted, true, `the connection to ${host}:${port}`)
  }
  return 'yes'
}

async function startForeign(peer: PeerName, namespace: Namespace, run: Run): Promise<Child> {
  const { torrent, directory, encryption, host, seed } = run
  const source = { torrent }
  switch (peer) {
    case 'libtorrent':
      return libtorrent({
        source,
        directory,
        host,
        seed,
        encryption,
        tellPeers: true,
        within: namespace,
      })
    case 'aria2':
      return aria2({
        source,
        directory,
        mode: seed ? 'seed' : 'stay',
        encryption,
        within: namespace,
      })
    case 'transmission': {
      const stateDirectory = `${directory}-state`
      return transmission({
        namespace,
        address: host,
        source,
        directory,
        stateDirectory,
        encryption,
      })
    }
  }
}
