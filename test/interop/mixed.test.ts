/**
 * A swarm of ten: seedbed, libtorrent, aria2 and Transmission as seeders and as leechers, and one that serves a damaged copy.
 *
 * The damaged one is there first and alone, so that every leecher has to deal with it: seedbed bans it, once. Then the seeders come, and all
 * leechers end with the same content. In a network of the test's own: Transmission refuses loopback and tells peers apart by their address.
 */
import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { digest, makeFile, scratchDirectory } from './content.ts'
import { aria2 } from './peers/aria2.ts'
import { type Child, until } from './peers/child.ts'
import { createTorrent, endLibtorrent, libtorrent } from './peers/libtorrent.ts'
import { Namespace } from './peers/namespace.ts'
import { havePeers } from './peers/presence.ts'
import { drain, seedbed, up } from './peers/seedbed.ts'
import { seedersAnnounced } from './peers/tracker.ts'
import { transmission } from './peers/transmission.ts'
import { Rows } from './rows.ts'
import { compare, DOWNLOAD_LIMIT_MS, MIB } from './swarm.ts'

const CONTENT_BYTES = 16 * MIB
const PIECE_BYTES = 64 * 1024
/** One piece in so many is damaged. */
const DAMAGED_EVERY = 4
/** Of the tracker, and of whoever does not say from which address it connects: in one network that is the one connected to. */
const OURS = '10.94.0.1'
/** Of the one that serves a damaged copy. */
const CORRUPT = '10.94.0.2'
const THEIRS = {
  libtorrentSeeder: '10.94.0.3',
  libtorrentLeecher: '10.94.0.4',
  transmissionSeeder: '10.94.0.5',
  transmissionLeecher: '10.94.0.6',
} as const
const name = 'content.bin'

const rows = new Rows('leecher', 'content', 'the corrupt peer')

/** A copy with one bit of every `DAMAGED_EVERY`th piece turned. */
async function damagedCopy(of: string, to: string): Promise<void> {
  copyFileSync(of, to)
  const file = await open(to, 'r+')
  const byte = Buffer.alloc(1)
  for (let at = 1000; at < CONTENT_BYTES; at += DAMAGED_EVERY * PIECE_BYTES) {
    await file.read(byte, 0, 1, at)
    byte[0]! ^= 1
    await file.write(byte, 0, 1, at)
  }
  await file.close()
}

/** Resolves when it has banned somebody: one host, the corrupt one. */
async function bansTheCorrupt(child: Child): Promise<void> {
  await child.event(({ bans }) => Number(bans) > 0, DOWNLOAD_LIMIT_MS)
  // What it logs comes by another pipe.
  const hosts = (): unknown[] =>
    [...child.output.matchAll(/^{.*"a peer is banned".*}$/gm)].map(
      ([line]) => JSON.parse(line).host,
    )
  await until('the log naming the banned host', 20_000, 50, () => hosts().length > 0)
  assert.deepEqual(hosts(), [CORRUPT])
}

test('ten clients share a torrent, and the one that sends corrupt blocks is banned', async (t) => {
  if (!havePeers(t, 'libtorrent', 'aria2', 'transmission')) return
  const addresses = [OURS, CORRUPT, ...Object.values(THEIRS)]
  const within = await Namespace.open(addresses)
  if (within === undefined) {
    t.skip('this system allows no network namespace of our own')
    return
  }
  t.after(() => within.close())
  const scratch = await scratchDirectory(t)
  const started = (child: Child): Child => {
    t.after(() => child.kill())
    return child
  }
  const folder = (who: string): string => {
    const path = join(scratch, who)
    mkdirSync(path)
    return path
  }
  const good = folder('good')
  const damaged = folder('damaged')
  await makeFile(join(good, name), CONTENT_BYTES, 'mixed')
  await damagedCopy(join(good, name), join(damaged, name))
  const expected = await digest(join(good, name))

  const tracker = await up({ data: join(scratch, 'tracker'), host: OURS, within })
  started(tracker.child)
  const torrent = join(scratch, 'content.torrent')
  const { infoHash } = await createTorrent(join(good, name), torrent, PIECE_BYTES, [
    tracker.httpTracker,
  ])
  const source = { torrent }
  const seedWithLibtorrent = (): Child =>
    started(
      libtorrent({ source, directory: good, host: THEIRS.libtorrentSeeder, seed: true, within }),
    )

  // The volume that seedbed will seed from.
  const data = join(scratch, 'volume')
  const host = OURS
  const first = seedWithLibtorrent()
  await seedersAnnounced(tracker.httpTracker, infoHash, within)
  const mirror = await up({ paths: [torrent], data, host, within })
  started(mirror.child)
  await mirror.child.event('complete', DOWNLOAD_LIMIT_MS)
  await drain(mirror.child)
  await endLibtorrent(first)

  const corrupt = started(
    libtorrent({ source, directory: damaged, host: CORRUPT, seed: true, unchecked: true, within }),
  )
  await seedersAnnounced(tracker.httpTracker, infoHash, within)

  const log = ['--log-level', 'info']
  const gotten = folder('gotten')
  const place = ['--out', gotten, '--peer-port', '0', '--bind', host, '--json']
  const get = started(seedbed(['get', torrent, ...place, ...log], within))
  const files = folder('files')
  const more = ['--files', files, ...log]
  const filing = await up({ paths: [torrent], data: join(scratch, 'notes'), host, more, within })
  started(filing.child)
  const [byLibtorrent, byAria2, byTransmission] = ['libtorrent', 'aria2', 'transmission'].map(
    folder,
  )
  const libtorrentLeecher = libtorrent({
    source,
    directory: byLibtorrent!,
    host: THEIRS.libtorrentLeecher,
    seed: false,
    within,
  })
  const aria2Leecher = await aria2({ source, directory: byAria2!, mode: 'stay', within })
  const transmissionLeecher = transmission({
    source,
    directory: byTransmission!,
    stateDirectory: folder('transmission-leecher'),
    address: THEIRS.transmissionLeecher,
    namespace: within,
  })
  const leechers: readonly [string, string, Child][] = [
    ['seedbed get', gotten, get],
    ['seedbed up --files', files, filing.child],
    ['libtorrent', byLibtorrent!, started(libtorrentLeecher)],
    ['aria2', byAria2!, started(aria2Leecher)],
    ['Transmission', byTransmission!, started(transmissionLeecher)],
  ]
  await Promise.all([bansTheCorrupt(get), bansTheCorrupt(filing.child)])
  assert.ok(leechers.every(([, , { events }]) => !events.some(({ event }) => event === 'complete')))

  seedWithLibtorrent()
  const seeding = await up({ data, host, within })
  started(seeding.child)
  started(await aria2({ source, directory: good, mode: 'seed', within }))
  started(
    transmission({
      source,
      directory: good,
      stateDirectory: folder('transmission-seeder'),
      address: THEIRS.transmissionSeeder,
      namespace: within,
    }),
  )
  for (const [who, directory, child] of leechers) {
    await t.test(`${who} has all of it`, async () => {
      await child.event('complete', DOWNLOAD_LIMIT_MS)
      await compare({ source, directory, host, name, expected })
      const bans = Math.max(0, ...child.events.map(({ bans = 0 }) => Number(bans)))
      if (who.startsWith('seedbed')) assert.equal(bans, 1)
      rows.add(who, 'identical', who.startsWith('seedbed') ? 'banned, counted once' : '')
    })
  }
  assert.equal(corrupt.ending, undefined, 'the corrupt one was there to the end')
  await get.succeed(DOWNLOAD_LIMIT_MS)
  for (const { child } of [filing, seeding, tracker]) await drain(child)
})
