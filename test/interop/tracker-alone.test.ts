/**
 * `seedbed tracker` alone, on both front ends: the npm client of WebTorrent's tracker over UDP, HTTP and WebSocket, and clients of
 * Debian over UDP and HTTP, IPv4 and IPv6. Every run is a row of the table that is printed at the end.
 */
import assert from 'node:assert/strict'
import { cpSync, mkdirSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { digest, makeFile, scratchDirectory } from './content.ts'
import type { Child } from './peers/child.ts'
import { createTorrent, endLibtorrent, libtorrent } from './peers/libtorrent.ts'
import { Namespace } from './peers/namespace.ts'
import { haveFromNpm, havePeers } from './peers/presence.ts'
import { seedersAnnounced } from './peers/tracker.ts'
import { ask, FRONT_ENDS, npmClient, trackerProcess } from './peers/tracker-process.ts'
import { transmission } from './peers/transmission.ts'
import { Rows } from './rows.ts'
import {
  compare,
  DOWNLOAD_LIMIT_MS,
  downloadWithAria2,
  downloadWithLibtorrent,
  MIB,
} from './swarm.ts'

const HAS_IPV6 = Object.values(networkInterfaces())
  .flat()
  .some((entry) => entry?.address === '::1')
const HOSTS = HAS_IPV6 ? ['127.0.0.1', '::1'] : ['127.0.0.1']
const SMALL_BYTES = 2 * MIB

const rows = new Rows('front end', 'client', 'protocol', 'family', 'what')

const hexOf = (text: string): string => Buffer.from(text, 'latin1').toString('hex')

/**
 * By whom each was greeted over their data channel. libdatachannel refuses a good certificate now and then, when addresses are
 * found out faster than the answer that names it is read: whoever remains unconnected announces again.
 */
async function greetings(a: Child, b: Child): Promise<unknown[]> {
  const heard = async (child: Child): Promise<unknown> => {
    for (let seen = 0; ; seen++) {
      const event = await child.event(
        ({ event }) => event === 'greeted' || event === 'unconnected',
        60_000,
        seen,
      )
      if (event.event === 'greeted') return event.by
      seen = child.events.indexOf(event)
      await ask(child, 'update', 'update')
    }
  }
  return Promise.all([heard(a), heard(b)])
}

for (const frontEnd of FRONT_ENDS) {
  test(`bittorrent-tracker of npm, front end ${frontEnd}`, async (t) => {
    if (!haveFromNpm(t, 'bittorrent-tracker')) return
    if (!canRun(t, frontEnd)) return
    const scratch = await scratchDirectory(t)
    const tracker = await trackerProcess(scratch, frontEnd, HOSTS)
    t.after(() => tracker.child.kill())
    for (const protocol of ['http', 'udp', 'ws'] as const) {
      await t.test(`${protocol}: announce, find, scrape, complete, stop, many`, async (t) => {
        const url = tracker.url(protocol, '127.0.0.1')
        // Over HTTP it reads keys that are not UTF-8 wrongly.
        const filler = protocol === 'http' ? 'x' : '\xff'
        const infoHash = hexOf(`${protocol}-${frontEnd}`.padEnd(20, filler))
        const options = { infoHash, announce: [url] }
        const [idA, idB] = ['-NP0001-aaaaaaaaaaaa', '-NP0001-bbbbbbbbbbbb'].map(hexOf)
        const a = await npmClient({ ...options, peerId: idA!, port: 7001 })
        t.after(() => a.kill())
        const b = await npmClient({ ...options, peerId: idB!, port: 7002, left: 0 })
        t.after(() => b.kill())
        const first = await ask(a, 'start', 'update')
        assert.deepEqual([first.complete, first.incomplete], [0, 1])
        const second = await ask(b, 'start', 'update')
        assert.deepEqual([second.complete, second.incomplete], [1, 1])
        if (protocol === 'ws') {
          assert.deepEqual(await greetings(a, b), [idB, idA], 'their data channel is open')
        } else {
          const seen = await ask(a, 'update', 'peer')
          assert.equal(seen.peer, '127.0.0.1:7002')
        }
        const scraped = await ask(a, 'scrape', 'scrape')
        assert.deepEqual([scraped.complete, scraped.incomplete], [1, 1])
        const completed = await ask(a, 'complete', 'update')
        assert.deepEqual([completed.complete, completed.incomplete], [2, 0])
        assert.equal((await ask(b, 'scrape', 'scrape')).downloaded, 1)
        const stopped = await ask(a, 'stop', 'update')
        assert.equal(stopped.complete, 1)
        const others = Array.from({ length: 39 }, (_, n) => hexOf(String(n).padStart(20, filler)))
        const many = await ask(b, `scrape ${[infoHash, ...others].join(' ')}`, 'scraped')
        const results = many.results as Record<string, { complete: number }>
        assert.equal(Object.keys(results).length, 40)
        assert.equal(results[infoHash]!.complete, 1)
        const warnings = [...a.events, ...b.events].filter((event) =>
          ['warning', 'error'].includes(event.event),
        )
        assert.deepEqual(warnings, [])
        rows.add(frontEnd, 'bittorrent-tracker', protocol, '4', 'announce, scrape, stop, 40 hashes')
      })
    }
  })

  test(`clients of Debian meet, front end ${frontEnd}`, async (t) => {
    if (!havePeers(t, 'libtorrent') || !canRun(t, frontEnd)) return
    const scratch = await scratchDirectory(t)
    const content = join(scratch, 'content.bin')
    await makeFile(content, SMALL_BYTES, 'alone')
    const expected = await digest(content)
    const tracker = await trackerProcess(scratch, frontEnd, HOSTS)
    t.after(() => tracker.child.kill())
    let pieceBytes = 16 * 1024
    for (const host of HOSTS) {
      for (const protocol of ['http', 'udp'] as const) {
        const family = host.includes(':') ? '6' : '4'
        // The size of the pieces is part of the info-hash: a swarm of its own for each run.
        pieceBytes *= 2
        const url = tracker.url(protocol, host)
        const name = `${protocol}${family}`
        const file = join(scratch, `${name}.torrent`)
        const torrent = await createTorrent(content, file, pieceBytes, [url])
        const source = { torrent: torrent.torrentFile }
        const download = { host, name: 'content.bin', expected, source }
        await t.test(
          `libtorrent seeds to libtorrent and aria2, ${protocol}, IPv${family}`,
          async (t) => {
            const seeder = libtorrent({ source, directory: scratch, host, seed: true })
            t.after(() => seeder.kill())
            await seedersAnnounced(tracker.url('http', host), torrent.infoHash)
            await downloadWithLibtorrent({ ...download, directory: join(scratch, `lt-${name}`) })
            rows.add(frontEnd, 'libtorrent', protocol, family, 'found libtorrent')
            // aria2 announces to UDP trackers over IPv4 only.
            if ((protocol === 'http' || family === '4') && havePeers(t, 'aria2')) {
              const directory = join(scratch, `aria-${name}`)
              await downloadWithAria2({ ...download, directory, udpTrackers: protocol === 'udp' })
              rows.add(frontEnd, 'aria2', protocol, family, 'found libtorrent')
            }
            await endLibtorrent(seeder)
          },
        )
      }
    }
    assert.equal(tracker.child.ending, undefined, 'the tracker is still there')
  })
}

test('Transmission meets Transmission, over HTTP and UDP, on both front ends', async (t) => {
  if (!havePeers(t, 'transmission', 'libtorrent')) return
  const runs = FRONT_ENDS.flatMap((frontEnd, f) =>
    (['http', 'udp'] as const).map((protocol, p) => ({
      frontEnd,
      protocol,
      // Transmission tells peers apart by their address alone.
      seeder: `10.98.0.${10 + f * 4 + p * 2}`,
      leecher: `10.98.0.${11 + f * 4 + p * 2}`,
    })),
  )
  const ours = '10.98.0.1'
  const namespace = await Namespace.open([
    ours,
    ...runs.flatMap(({ seeder, leecher }) => [seeder, leecher]),
  ])
  if (namespace === undefined) {
    t.skip('this system allows no network namespace of our own')
    return
  }
  t.after(() => namespace.close())
  const scratch = await scratchDirectory(t)
  const content = join(scratch, 'content.bin')
  await makeFile(content, SMALL_BYTES, 'transmission')
  const expected = await digest(content)
  const trackers = new Map<string, Awaited<ReturnType<typeof trackerProcess>>>()
  for (const frontEnd of FRONT_ENDS) {
    const tracker = await trackerProcess(scratch, frontEnd, [ours], '', namespace)
    t.after(() => tracker.child.kill())
    trackers.set(frontEnd, tracker)
  }
  const begun = []
  for (const [n, { frontEnd, protocol, seeder, leecher }] of runs.entries()) {
    const name = `${frontEnd}-${protocol}`
    const url = trackers.get(frontEnd)!.url(protocol, ours)
    const file = join(scratch, `${name}.torrent`)
    await createTorrent(content, file, 16 * 1024 * 2 ** n, [url])
    const source = { torrent: file }
    const seeded = join(scratch, `${name}-seed`)
    mkdirSync(seeded)
    cpSync(content, join(seeded, 'content.bin'))
    const start = (address: string, directory: string) => {
      const stateDirectory = `${directory}-state`
      const peer = transmission({ namespace, address, source, directory, stateDirectory })
      t.after(() => peer.stop())
      return peer
    }
    start(seeder, seeded)
    const directory = join(scratch, `${name}-leech`)
    begun.push({ frontEnd, protocol, source, directory, peer: start(leecher, directory) })
  }
  for (const { frontEnd, protocol, source, directory, peer } of begun) {
    await t.test(`front end ${frontEnd}, ${protocol}`, async () => {
      await peer.event('complete', DOWNLOAD_LIMIT_MS)
      await compare({ source, directory, host: ours, name: 'content.bin', expected })
      rows.add(frontEnd, 'Transmission', protocol, '4', 'found Transmission')
    })
  }
})

/** The fast front end is for Linux with koffi. */
function canRun(t: TestContext, frontEnd: string): boolean {
  if (frontEnd === 'portable' || process.platform === 'linux') return true
  t.skip('the fast front end is for Linux')
  return false
}
