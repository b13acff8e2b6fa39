/**
 * Seeding from memory to one connection and to fifty.
 *
 * The same load for every seeder (leech.ts): each connection asks for all chunks in order, 128 at a time,
 * from a piece of its own on, and throws them away. What is measured is a window of time after all are
 * connected and served: payload that arrived, and user and system seconds of the seeder's process.
 */
import { rm } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { makeFile } from '../../../test/interop/content.ts'
import type { Child } from '../../../test/interop/peers/child.ts'
import { createTorrent, endLibtorrent, libtorrent } from '../../../test/interop/peers/libtorrent.ts'
import { peerVersion } from '../../../test/interop/peers/presence.ts'
import { drain, shared, up } from '../../../test/interop/peers/seedbed.ts'
import { interleave } from '../../statistics.ts'
import { type Better, type Comparison, lineOf } from '../../suite.ts'
import type { PathBench } from '../path/setup.ts'
import { leeches, receivedBytes } from './leeches.ts'

const HOST = '127.0.0.1'
const PIECE_BYTES = 2 ** 20
const LIMIT_MS = 300_000
const WARM_MS = 2_000
const GIB = 2 ** 30

export interface Run {
  /** 10^6 bytes a second. */
  readonly rate: number
  readonly cpuSecondsPerGib: number
  /** Of the process that is measured, where that is asked. */
  readonly peakResidentBytes?: number
}

interface Seeder {
  readonly child: Child
  readonly port: number
  readonly infoHash: string
  readonly pieceBytes: number
  end(): Promise<void>
}

type Contender = 'seedbed' | 'seedbed-files' | 'libtorrent'

export async function benchSeeding(bench: PathBench): Promise<void> {
  const windowMs = bench.context.quick ? 2_000 : 10_000
  await makeFile(bench.content, bench.contentBytes, 'bench path')
  const onSeedbed = async (more: readonly string[]): Promise<Seeder> => {
    const data = await bench.fresh('seed-data')
    const { child, peerPort } = await up({ data, host: HOST, paths: [bench.content], more })
    const { infoHash } = await shared(child, 'content.bin', LIMIT_MS)
    // As choosePieceBytes cuts 1 GiB, and 128 MiB.
    const pieceBytes = Math.max(256 * 1024, bench.contentBytes / 2048)
    return { child, port: peerPort, infoHash, pieceBytes, end: () => drain(child) }
  }
  const seeders: [Contender, () => Promise<Seeder>][] = [
    ['seedbed', async () => onSeedbed(['--device', await bench.usedVolume()])],
    ['seedbed-files', async () => onSeedbed(['--files', await bench.fresh('seed-files')])],
  ]
  if (peerVersion('libtorrent') !== undefined) {
    seeders.push([
      'libtorrent',
      async () => {
        const torrent = await createTorrent(
          bench.content,
          bench.at('seeding.torrent'),
          PIECE_BYTES,
          [],
        )
        const source = { torrent: torrent.torrentFile }
        const child = libtorrent({ source, directory: bench.at(), host: HOST, seed: true })
        const { port } = await child.event('listening', LIMIT_MS)
        await child.event('complete', LIMIT_MS)
        return {
          child,
          port: Number(port),
          infoHash: torrent.infoHash,
          pieceBytes: PIECE_BYTES,
          end: () => endLibtorrent(child),
        }
      },
    ])
  }
  for (const connections of [1, 50]) {
    const contenders = seeders.map(([name, start]): [Contender, () => Promise<Run>] => [
      name,
      async () => {
        const seeder = await start()
        try {
          return await measure(bench, seeder, connections, windowMs)
        } finally {
          await seeder.end()
        }
      },
    ])
    const results = await interleave(contenders, bench.rounds, (name, round, run) => {
      const counted = round === 0 ? 'unmeasured' : `round ${round}`
      bench.context.log(
        `seed to ${connections}, ${counted}, ${name}: ${run.rate.toFixed(0)} MB/s, ${run.cpuSecondsPerGib.toFixed(2)} CPU s/GiB`,
      )
    })
    report(bench, `seed-to-${connections}`, results)
  }
  await rm(bench.content)
}

async function measure(
  bench: PathBench,
  { child, port, infoHash, pieceBytes }: Seeder,
  connections: number,
  windowMs: number,
): Promise<Run> {
  const totalBytes = bench.contentBytes
  const load = await leeches({ port, infoHash, totalBytes, pieceBytes, connections })
  try {
    await delay(WARM_MS)
    const before = await receivedBytes(load)
    const cpuBefore = child.cpuSeconds()
    await delay(windowMs)
    const after = await receivedBytes(load)
    const cpuSeconds = child.cpuSeconds() - cpuBefore
    const bytes = after.bytes - before.bytes
    return {
      rate: bytes / 1000 / (after.atMs - before.atMs),
      cpuSecondsPerGib: (cpuSeconds * GIB) / bytes,
    }
  } finally {
    load.closeStdin()
    await load.end(10_000)
  }
}

/** Lines of rate, CPU and memory for both storages of seedbed. */
export function report(
  bench: PathBench,
  name: string,
  results: ReadonlyMap<Contender, readonly Run[]>,
): void {
  const figures: readonly [string, string, Better, (run: Run) => number | undefined][] = [
    ['', 'MB/s', 'more', (run) => run.rate],
    ['-cpu', 's/GiB', 'less', (run) => run.cpuSecondsPerGib],
    ['-peak', 'MiB', 'less', ({ peakResidentBytes: bytes }) => bytes && bytes / 2 ** 20],
  ]
  for (const contender of ['seedbed', 'seedbed-files'] as const) {
    const what = contender === 'seedbed' ? name : `${name}-files`
    for (const [suffix, unit, better, pick] of figures) {
      const known = (runs: readonly Run[] | undefined): number[] | undefined =>
        runs?.map(pick).filter((value) => value !== undefined)
      const values = known(results.get(contender))!
      if (values.length === 0) continue
      const ours: Comparison = { suite: 'engine', name: `${what}${suffix}`, unit, better, values }
      const peer = `libtorrent ${peerVersion('libtorrent') ?? ''}`.trim()
      // libtorrent maps its files: what of the page cache lies in its memory says nothing of it.
      const theirs = { peer, values: known(results.get('libtorrent')) }
      bench.context.report(lineOf(ours, unit === 'MiB' ? undefined : theirs))
    }
  }
}
