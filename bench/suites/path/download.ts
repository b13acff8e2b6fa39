/**
 * Download over loopback from one libtorrent seeder that serves from the page cache.
 *
 * The same for every downloader, and seen from outside: the clock starts when the seeder has sent its
 * first payload byte (it looks every 10 ms) and stops when the downloader says that every piece is
 * verified. CPU seconds are user and system time of the downloader's process in the same span. One
 * process, one torrent, one peer, TCP without encryption; each run starts from nothing.
 */
import { rm } from 'node:fs/promises'
import { aria2 } from '../../../test/interop/peers/aria2.ts'
import type { Child } from '../../../test/interop/peers/child.ts'
import { createTorrent, endLibtorrent, libtorrent } from '../../../test/interop/peers/libtorrent.ts'
import { peerVersion } from '../../../test/interop/peers/presence.ts'
import { drain, up } from '../../../test/interop/peers/seedbed.ts'
import { seedersAnnounced } from '../../../test/interop/peers/tracker.ts'
import { interleave } from '../../statistics.ts'
import { type Comparison, lineOf, type PeerRuns } from '../../suite.ts'
import { type PathBench, STORAGE_TARGET } from './setup.ts'

const HOST = '127.0.0.1'
const PIECE_BYTES = 2 ** 20
const LIMIT_MS = 300_000

interface Run {
  readonly rate: number
  readonly cpuSeconds: number
}

type Contender = 'seedbed' | 'seedbed-fresh' | 'libtorrent' | 'aria2'

export async function benchDownload(bench: PathBench): Promise<void> {
  const { context } = bench
  const tracker = await up({ data: await bench.fresh('tracker'), host: HOST })
  const torrent = await createTorrent(bench.content, bench.at('content.torrent'), PIECE_BYTES, [
    tracker.httpTracker,
  ])
  const source = { torrent: torrent.torrentFile }
  const seeder = libtorrent({ source, directory: bench.at(), host: HOST, seed: true })
  // Checking reads all of it: from here on it comes from the page cache.
  await seeder.event('complete', LIMIT_MS)
  await seedersAnnounced(tracker.httpTracker, torrent.infoHash)

  const measure = async (start: () => Promise<Child>): Promise<Run> => {
    const seen = seeder.events.length
    seeder.say('watch')
    await seeder.event('watching', LIMIT_MS, seen)
    const child = await start()
    try {
      const first = await seeder.event('first-byte', LIMIT_MS, seen)
      const cpuBefore = child.cpuSeconds()
      const complete = await child.event('complete', LIMIT_MS)
      const cpuSeconds = child.cpuSeconds() - cpuBefore
      return { rate: bench.rate(complete.atMs - first.atMs), cpuSeconds }
    } finally {
      await child.stop()
    }
  }

  const onSeedbed = (place: () => Promise<readonly string[]>) => (): Promise<Run> =>
    measure(async () => {
      const more = await place()
      const data = await bench.fresh('seedbed-data')
      return (await up({ data, host: HOST, paths: [torrent.torrentFile], more })).child
    })
  const contenders: [Contender, () => Promise<Run>][] = [
    ['seedbed', onSeedbed(async () => ['--device', await bench.usedVolume()])],
    ['seedbed-fresh', onSeedbed(async () => [])],
    [
      'libtorrent',
      () =>
        measure(async () => {
          const directory = await bench.fresh('libtorrent')
          return libtorrent({ source, directory, host: HOST, seed: false })
        }),
    ],
  ]
  if (peerVersion('aria2') !== undefined) {
    contenders.push([
      'aria2',
      () =>
        measure(async () => aria2({ source, directory: await bench.fresh('aria2'), mode: 'stay' })),
    ])
  }
  const results = await interleave(contenders, bench.rounds, (name, round, run) => {
    const counted = round === 0 ? 'unmeasured' : `round ${round}`
    context.log(
      `download, ${counted}, ${name}: ${run.rate.toFixed(0)} MB/s, ${run.cpuSeconds.toFixed(2)} CPU s`,
    )
  })
  await endLibtorrent(seeder)
  await drain(tracker.child)
  for (const name of ['seedbed-data', 'libtorrent', 'aria2']) {
    await rm(bench.at(name), { recursive: true, force: true })
  }

  const peers = (pick: (run: Run) => number): PeerRuns[] =>
    (['libtorrent', 'aria2'] as const).map((name) => ({
      peer: `${name} ${peerVersion(name) ?? ''}`.trim(),
      values: results.get(name)?.map(pick),
    }))
  const report = (name: string, contender: Contender, target?: number): void => {
    const runs = results.get(contender)!
    const rate: Comparison = {
      suite: 'path',
      name,
      unit: 'MB/s',
      better: 'more',
      values: runs.map((run) => run.rate),
      ...(target === undefined ? {} : { target }),
    }
    const cpu: Comparison = {
      suite: 'path',
      name: `${name}-cpu`,
      unit: 's',
      better: 'less',
      values: runs.map((run) => run.cpuSeconds),
    }
    for (const peer of peers((run) => run.rate)) context.report(lineOf(rate, peer))
    for (const peer of peers((run) => run.cpuSeconds)) context.report(lineOf(cpu, peer))
  }
  report('download', 'seedbed', STORAGE_TARGET)
  report('download-fresh', 'seedbed-fresh')
}
