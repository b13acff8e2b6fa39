/**
 * A peer that is found through another one alone (BEP 11): the learner has no tracker, no DHT, no local discovery, and is told
 * of nobody but the teller.
 *
 * The teller is kept from ever having much of the content, so what the learner has in the end came from the seeder, of which
 * only the teller can have told. The seeder takes no part in peer exchange: it cannot have found the learner.
 */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { digest, makeFile, scratchDirectory } from './content.ts'
import type { Child } from './peers/child.ts'
import {
  type CreatedTorrent,
  createTorrent,
  endLibtorrent,
  libtorrent,
  libtorrentStats,
} from './peers/libtorrent.ts'
import { havePeers } from './peers/presence.ts'
import { drain, seedbed, up } from './peers/seedbed.ts'
import { seedersAnnounced } from './peers/tracker.ts'
import { Rows } from './rows.ts'
import { compare, completeWithLibtorrent, downloadWithSeedbed, MIB } from './swarm.ts'

const host = '127.0.0.1'
const CONTENT_BYTES = 8 * MIB
/** Minutes for all of the content. */
const TELLER_RATE = 32 * 1024

const rows = new Rows('who tells', 'who learns', 'the seeder', 'the teller had')

const PAIRS = [
  ['seedbed', 'libtorrent'],
  ['libtorrent', 'seedbed'],
  ['seedbed', 'seedbed'],
] as const
type Name = (typeof PAIRS)[number][number]

interface Teller {
  readonly child: Child
  readonly port: number
  /** Bytes that it has downloaded. */
  downloaded(): Promise<number>
}

/** Leeches slowly from whom the torrent's tracker names. */
async function startTeller(
  t: TestContext,
  name: Name,
  torrent: string,
  out: string,
): Promise<Teller> {
  mkdirSync(out, { recursive: true })
  if (name === 'libtorrent') {
    const source = { torrent }
    const options = { source, directory: out, host, seed: false, pex: true }
    const child = libtorrent({ ...options, downloadLimit: TELLER_RATE })
    t.after(() => child.kill())
    const { port } = await child.event('listening', 30_000)
    const downloaded = async () => (await libtorrentStats(child)).downloaded
    return { child, port: Number(port), downloaded }
  }
  const place = ['--out', out, '--peer-port', '0', '--bind', host, '--json']
  const child = seedbed(['get', torrent, ...place, '--down-rate', `${TELLER_RATE}`])
  t.after(() => child.kill())
  const { peerPort } = await child.event('ready', 30_000)
  const downloaded = async () =>
    child.events.reduce((most, { phase, bytes }) => {
      return phase === 'download' ? Math.max(most, Number(bytes)) : most
    }, 0)
  return { child, port: Number(peerPort), downloaded }
}

/** How libtorrent came to know the seeder; of seedbed it is enough that it has the content. */
async function learn(
  name: Name,
  made: CreatedTorrent,
  teller: Teller,
  directory: string,
  seederPort: number,
): Promise<void> {
  const peer = `${host}:${teller.port}`
  if (name === 'seedbed') {
    const source = { magnet: `magnet:?xt=urn:btih:${made.infoHash}&x.pe=${peer}` }
    const expected = await digest(join(directory, '..', 'content.bin'))
    await downloadWithSeedbed({ source, directory, host, name: 'content.bin', expected })
    return
  }
  mkdirSync(directory)
  const source = { torrent: made.torrentFile }
  const options = { source, directory, host, seed: false, pex: true, trackers: [], peers: [peer] }
  await completeWithLibtorrent({ ...options, tellPeers: true }, async (leecher) => {
    const met = leecher.events.find(({ event, port }) => event === 'met' && port === seederPort)
    assert.deepEqual(met?.by, ['pex'])
  })
  const expected = await digest(join(directory, '..', 'content.bin'))
  await compare({ source, directory, host, name: 'content.bin', expected })
}

test('a peer is found by peer exchange alone', { concurrency: true }, async (t) => {
  if (!havePeers(t, 'libtorrent')) return
  const tracker = await up({ data: join(await scratchDirectory(t), 'data'), host })
  t.after(() => tracker.child.kill())
  const run = async (t: TestContext, tells: Name, learns: Name): Promise<void> => {
    const scratch = await scratchDirectory(t)
    const content = join(scratch, 'content.bin')
    await makeFile(content, CONTENT_BYTES, `${tells} ${learns}`)
    const torrentFile = join(scratch, 'content.torrent')
    const made = await createTorrent(content, torrentFile, 64 * 1024, [tracker.httpTracker])
    const source = { torrent: torrentFile }
    const seeder = libtorrent({
      source,
      directory: scratch,
      host,
      seed: true,
      // Seconds for all of it: whom the learner meets has to be seen before it is complete, and leaves.
      uploadLimit: 4 * MIB,
    })
    t.after(() => seeder.kill())
    const { port } = await seeder.event('listening', 30_000)
    await seedersAnnounced(tracker.httpTracker, made.infoHash)
    const teller = await startTeller(t, tells, torrentFile, join(scratch, 'teller'))
    await learn(learns, made, teller, join(scratch, 'learner'), Number(port))
    const had = await teller.downloaded()
    assert.ok(had < CONTENT_BYTES / 2, `the teller had ${had} bytes`)
    const { uploaded } = await libtorrentStats(seeder)
    assert.ok(uploaded > CONTENT_BYTES / 2, `the seeder gave ${uploaded} bytes`)
    rows.add(tells, learns, 'libtorrent', `${Math.ceil((had * 100) / CONTENT_BYTES)} %`)
    await teller.child.kill()
    await endLibtorrent(seeder)
  }
  await Promise.all(
    PAIRS.map(([tells, learns]) =>
      t.test(`${tells} tells ${learns}`, (t) => run(t, tells, learns)),
    ),
  )
  await drain(tracker.child)
})
