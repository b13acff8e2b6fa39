/**
 * Downloads into memory from one seeder and from ten, and of ten times the size where there is room.
 *
 * The seeders are libtorrent's, the same for every downloader. The clock is that of suite `path`: it starts when
 * the first of them has sent its first payload byte, and stops when the downloader says that every piece is verified.
 */
import { linkSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFile } from '../../../test/interop/content.ts'
import type { Child } from '../../../test/interop/peers/child.ts'
import { createTorrent, endLibtorrent, libtorrent } from '../../../test/interop/peers/libtorrent.ts'
import { peerVersion } from '../../../test/interop/peers/presence.ts'
import { drain, up } from '../../../test/interop/peers/seedbed.ts'
import { seedersAnnounced } from '../../../test/interop/peers/tracker.ts'
import { interleave } from '../../statistics.ts'
import type { PathBench } from '../path/setup.ts'
import { roomOf } from './ram.ts'
import { type Run, report } from './seeding.ts'

const HOST = '127.0.0.1'
const PIECE_BYTES = 2 ** 20
const LIMIT_MS = 600_000
const GIB = 2 ** 30
const COPIES = 10
/** Beside the content: the volume's metadata, and what else the machine is doing. */
const SPARE_BYTES: number = 6 * GIB

export async function benchLoopback(bench: PathBench): Promise<void> {
  if (peerVersion('libtorrent') === undefined) {
    bench.context.log('download: skipped, the seeder (libtorrent) is not installed')
    return
  }
  await makeFile(bench.content, bench.contentBytes, 'bench path')
  if (bench.context.runs('download')) {
    await download(bench, 'download', bench.content, 1, 1, bench.rounds)
    await download(bench, 'download-from-10', bench.content, 1, 10, bench.rounds)
  }
  if (bench.context.runs('download-10x')) await downloadLarge(bench)
  await rm(bench.content)
}

/** Ten names of one file: the content takes the memory of one, what is downloaded that of all. */
async function downloadLarge(bench: PathBench): Promise<void> {
  const largeBytes = COPIES * bench.contentBytes
  if (roomOf(bench) < largeBytes + SPARE_BYTES) {
    bench.context.log(`download of ${largeBytes / GIB} GiB: skipped, there is no room in memory`)
    return
  }
  const folder = await bench.fresh('content')
  for (let i = 0; i < COPIES; i++) linkSync(bench.content, join(folder, `${i}.bin`))
  await download(bench, 'download-10x', folder, COPIES, 1, Math.min(2, bench.rounds))
  await rm(folder, { recursive: true })
}

async function download(
  bench: PathBench,
  name: string,
  content: string,
  copies: number,
  seeders: number,
  rounds: number,
): Promise<void> {
  const contentBytes = copies * bench.contentBytes
  const tracker = await up({ data: await bench.fresh('tracker'), host: HOST })
  const { torrentFile: torrent, infoHash } = await createTorrent(
    content,
    bench.at('content.torrent'),
    PIECE_BYTES,
    [tracker.httpTracker],
  )
  const running: Child[] = []
  for (let i = 0; i < seeders; i++) {
    const child = libtorrent({ source: { torrent }, directory: bench.at(), host: HOST, seed: true })
    running.push(child)
    // Checking reads all of it.
    await child.event('complete', LIMIT_MS)
  }
  await seedersAnnounced(tracker.httpTracker, infoHash, undefined, seeders)
  const measure = async (start: () => Promise<Child>): Promise<Run> => {
    const begun = await Promise.all(
      running.map(async (seeder) => {
        const seen = seeder.events.length
        seeder.say('watch')
        await seeder.event('watching', LIMIT_MS, seen)
        return () => seeder.event('first-byte', LIMIT_MS, seen)
      }),
    )
    const child = await start()
    try {
      const first = await Promise.any(begun.map((firstByte) => firstByte()))
      const cpuBefore = child.cpuSeconds()
      const complete = await child.event('complete', LIMIT_MS)
      return {
        rate: contentBytes / 1000 / (complete.atMs - first.atMs),
        cpuSecondsPerGib: ((child.cpuSeconds() - cpuBefore) * GIB) / contentBytes,
        peakResidentBytes: child.peakResidentBytes(),
      }
    } finally {
      await child.stop()
      // The next one needs the memory.
      for (const left of ['down-data', 'down-files', 'down-libtorrent']) {
        await rm(bench.at(left), { recursive: true, force: true })
      }
    }
  }
  const onSeedbed = (more: () => Promise<readonly string[]>) => (): Promise<Run> =>
    measure(async () => {
      const data = await bench.fresh('down-data')
      return (await up({ data, host: HOST, paths: [torrent], more: await more() })).child
    })
  const image = `${Math.ceil((1.1 * contentBytes) / 2 ** 20) + 256}MiB`
  const contenders: ['seedbed' | 'seedbed-files' | 'libtorrent', () => Promise<Run>][] = [
    ['seedbed', onSeedbed(async () => ['--image-size', image])],
    ['seedbed-files', onSeedbed(async () => ['--files', await bench.fresh('down-files')])],
  ]
  contenders.push([
    'libtorrent',
    () =>
      measure(async () => {
        const directory = await bench.fresh('down-libtorrent')
        return libtorrent({ source: { torrent }, directory, host: HOST, seed: false })
      }),
  ])
  const results = await interleave(contenders, rounds, (contender, round, run) => {
    const counted = round === 0 ? 'unmeasured' : `round ${round}`
    bench.context.log(
      `${name}, ${counted}, ${contender}: ${run.rate.toFixed(0)} MB/s, ${run.cpuSecondsPerGib.toFixed(2)} CPU s/GiB, ` +
        `at most ${((run.peakResidentBytes ?? 0) / 2 ** 20).toFixed(0)} MiB of memory`,
    )
  })
  for (const seeder of running) await endLibtorrent(seeder)
  await drain(tracker.child)
  report(bench, name, results)
}
