/**
 * BitTorrent v2 and hybrids with libtorrent, both ways, by .torrent file and by magnet link. What each pair
 * did is printed as a table at the end.
 *
 * The other peers of Debian 12 cannot take part, in hybrids that libtorrent made either: aria2 1.36 encodes
 * the info dictionary anew, without the empty keys of a file tree, and so has another info-hash; Transmission
 * 3.00 takes the .torrent file for damaged. Peers that know v1 alone are in test/engine/v2.test.ts.
 */
import assert from 'node:assert/strict'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Digests, differences, digest, makeFile, scratchDirectory } from './content.ts'
import type { Child } from './peers/child.ts'
import { createTorrent, endLibtorrent, libtorrent, type Source } from './peers/libtorrent.ts'
import { havePeers, type PeerName } from './peers/presence.ts'
import { drain, imageOf, seedbed, seedbedJson, shared, up } from './peers/seedbed.ts'
import { seedersAnnounced } from './peers/tracker.ts'
import { Rows } from './rows.ts'
import { completeWithLibtorrent, DOWNLOAD_LIMIT_MS, downloadWithSeedbed } from './swarm.ts'

const KIB = 1024
const host = '127.0.0.1'

/**
 * Files of many pieces, of one, of less than a leaf, of none; one has more pieces of 16 KiB than one message
 * has hashes, and ends in a stretch of a single one.
 */
const FILES: readonly (readonly [string, number])[] = [
  ['large.bin', 20 * KIB * KIB + 12_345],
  ['513 pieces', 513 * 16 * KIB],
  ['one piece', 16 * KIB],
  ['a byte more', 16 * KIB + 1],
  ['empty', 0],
  [join('d', 'one byte'), 1],
  [join('d', 'Größe – 大小 – 🌱.txt'), 777],
  [join('d.e', 'three'), 40_000],
  ...Array.from({ length: 40 }, (_, i) => [join('many', `${i}`), i * 3_001] as const),
]

async function makeFolder(path: string): Promise<Digests> {
  for (const [name, bytes] of FILES) await makeFile(join(path, name), bytes, `v2 ${name}`)
  return digest(path)
}

/** Clients of v1 write filler as the files that it is there. */
async function assertSame(path: string, expected: Digests): Promise<void> {
  const found = await digest(path)
  const content = new Map([...found].filter(([name]) => !name.startsWith('.pad/')))
  assert.deepEqual(differences(expected, content), [])
}

const rows = new Rows('format', 'from', 'to', 'by', 'what', 'seconds')

async function row(t: TestContext, what: readonly string[], body: () => Promise<void>) {
  await t.test(what.join(' ').trim(), async () => {
    const begunMs = performance.now()
    await body()
    rows.add(...what, ((performance.now() - begunMs) / 1000).toFixed(1))
  })
}

/**
 * libtorrent 2.0.8 sometimes ends a hybrid that it gets by magnet with these words: 2 of 11 runs, and then each such row of a run. Why is not
 * known, nor whose fault it is, so it has a few tries and says when it used one. What it gets is compared all the same.
 */
const INCONSISTENT = /v1 and v2 hashes do not describe the same data/
const TRIES = 6

async function takeWithLibtorrent(source: Source, directory: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await completeWithLibtorrent({ source, directory, host, seed: false })
      return
    } catch (error) {
      if (attempt === TRIES || !INCONSISTENT.test(String(error))) throw error
      console.error(`libtorrent found a hybrid inconsistent, try ${attempt} of ${TRIES}`)
      await rm(directory, { recursive: true, force: true })
      await mkdir(directory, { recursive: true })
    }
  }
}

const leechers: readonly (readonly [
  PeerName,
  readonly string[],
  (source: Source, directory: string) => Promise<void>,
])[] = [
  [
    'libtorrent',
    ['v2', 'hybrid'],
    async (source, directory) => {
      await mkdir(directory, { recursive: true })
      await takeWithLibtorrent(source, directory)
    },
  ],
]

const seeders: readonly (readonly [
  PeerName,
  readonly string[],
  (source: Source, directory: string) => Child | Promise<Child>,
])[] = [
  [
    'libtorrent',
    ['v2', 'hybrid'],
    (source, directory) => libtorrent({ source, directory, host, seed: true }),
  ],
]

test('v2 and hybrids with libtorrent', async (t) => {
  if (!havePeers(t, 'libtorrent')) return
  const scratch = await scratchDirectory(t)
  const content = join(scratch, 'content')
  const expected = await makeFolder(join(content, 'folder'))
  await makeFile(join(content, 'single.bin'), 9 * KIB * KIB + 7, 'single')
  const single = await digest(join(content, 'single.bin'))

  for (const format of ['v2', 'hybrid'] as const) {
    const data = join(scratch, `data-${format}`)
    const paths = ['folder', 'single.bin'].map((name) => join(content, name))
    const node = await up({ paths, data, host, more: ['--format', format] })
    t.after(() => node.child.kill())
    for (const [name, digests] of [
      ['folder', expected],
      ['single.bin', single],
    ] as const) {
      const torrent = await shared(node.child, name, 60_000)
      for (const [peer, formats, leech] of leechers) {
        if (!formats.includes(format)) continue
        for (const kind of ['magnet', 'torrent'] as const) {
          await row(t, [format, 'seedbed', peer, kind, name], async () => {
            const source =
              kind === 'magnet' ? { magnet: torrent.magnet } : { torrent: torrent.torrentFile }
            const directory = join(scratch, `${format}-${peer}-${kind}-${name}`)
            await leech(source, directory)
            await assertSame(join(directory, name), digests)
            await rm(directory, { recursive: true })
          })
        }
      }

      // The same content made by libtorrent, in the smallest pieces: layers of several stretches.
      const torrentFile = join(scratch, `${format}-${name}.torrent`)
      const made = await createTorrent(
        join(content, name),
        torrentFile,
        16 * KIB,
        node.trackers,
        format,
      )
      for (const [peer, formats, seed] of seeders) {
        if (!formats.includes(format)) continue
        await t.test(`${peer} seeds ${name}, ${format}`, async (t) => {
          if (!havePeers(t, peer)) return
          const seeder = await seed({ torrent: torrentFile }, content)
          t.after(() => seeder.stop())
          if (peer === 'libtorrent') await seeder.event('complete', 60_000)
          await seedersAnnounced(node.httpTracker, made.infoHash)
          for (const kind of ['magnet', 'torrent'] as const) {
            await row(t, [format, peer, 'seedbed', kind, name], async () => {
              const source = kind === 'magnet' ? { magnet: made.magnet } : { torrent: torrentFile }
              const directory = join(scratch, `${format}-from-${peer}-${kind}-${name}`)
              await downloadWithSeedbed({ source, directory, host, name, expected: digests })
              await rm(directory, { recursive: true })
            })
          }
        })
      }
    }

    await row(t, [format, 'volume', 'files', 'export', 'both'], async () => {
      await drain(node.child)
      const torrents = await seedbedJson(['ls', '--device', imageOf(data)])
      assert.equal(torrents.length, 2)
      for (const { infoHash, name } of torrents) {
        const out = join(scratch, `${format}-export`)
        const place = ['--device', imageOf(data), '--out', out]
        await seedbed(['export', String(infoHash), ...place]).succeed(60_000)
        await assertSame(join(out, String(name)), name === 'folder' ? expected : single)
      }
    })
  }
})

/** From a v2 swarm to seedbed's volume, and on to libtorrent, with the first seeder gone. */
test('what a magnet link brought of v2 is seeded on, dictionary, layers and all', async (t) => {
  if (!havePeers(t, 'libtorrent')) return
  const scratch = await scratchDirectory(t)
  const content = join(scratch, 'content')
  const expected = await makeFolder(join(content, 'folder'))
  const node = await up({ data: join(scratch, 'tracker'), host })
  t.after(() => node.child.kill())
  for (const format of ['v2', 'hybrid'] as const) {
    const torrentFile = join(scratch, `${format}.torrent`)
    const path = join(content, 'folder')
    const made = await createTorrent(path, torrentFile, 16 * KIB, node.trackers, format)
    const seeder = libtorrent({
      source: { torrent: torrentFile },
      directory: content,
      host,
      seed: true,
    })
    await seeder.event('complete', 60_000)
    await seedersAnnounced(node.httpTracker, made.infoHash)
    const data = join(scratch, `data-${format}`)
    let mirror = await up({ paths: [made.magnet], data, host })
    t.after(() => mirror.child.kill())
    await mirror.child.event('complete', DOWNLOAD_LIMIT_MS)
    await endLibtorrent(seeder)
    await drain(mirror.child)
    // From the device alone.
    mirror = await up({ data, host })
    await seedersAnnounced(node.httpTracker, made.infoHash)
    await t.test(`${format}: libtorrent downloads it by magnet from the mirror`, async () => {
      const directory = join(scratch, `${format}-again`)
      await mkdir(directory)
      const source = { magnet: made.magnet }
      await takeWithLibtorrent(source, directory)
      await assertSame(join(directory, 'folder'), expected)
    })
    await drain(mirror.child)
  }
})
