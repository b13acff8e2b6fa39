/**
 * Seeding from a disk that spins to fifty leechers that come at random: 25 torrents, each leecher one of them and its
 * pieces in an order of its own, so that what is asked for is all over the disk. seedbed from the raw device and
 * libtorrent from ext4, with the same memory in all, page cache included. `--scenario` names other sizes of pieces.
 */
import { loadavg } from 'node:os'
import { CONTENDERS, type Contender, describe, whyNot } from '../../disk/contenders.ts'
import { startSeeders } from '../../disk/seeders.ts'
import { type Load, runSeeder, type Served } from '../../disk/serve.ts'
import { whyNoDisk } from '../../disk/simulated-disk.ts'
import type { Scenario } from '../../spin/scenario.ts'
import { scenarios } from '../../spin/scenarios.ts'
import { type Better, chosen, lineOf, type SuiteContext } from '../../suite.ts'
import { backingOf, SEEDERS, SHARE } from './disk.ts'

const MIB = 2 ** 20
const RATIO_TARGET = 1.5
const LEECHERS = 50

/** Those that take part unless others are asked for. */
const DEFAULT = ['seedbed', 'libtorrent-ext4']

export async function benchDiskSeed(context: SuiteContext): Promise<void> {
  const why = whyNoDisk()
  if (why !== undefined) {
    context.log(`disk-seed: skipped, ${why}`)
    return
  }
  const size = context.quick ? 'quick' : context.full ? 'full' : 'scaled'
  for (const scenario of chosen('scenario', scenarios(size), context.scenarios ?? ['downloads'])) {
    await benchScenario(context, scenario)
  }
}

async function benchScenario(context: SuiteContext, scenario: Scenario): Promise<void> {
  const load: Load = {
    leechers: LEECHERS,
    joinMs: context.quick ? 4_000 : 20_000,
    windowMs: context.quick ? 10_000 : 60_000,
    memoryBytes: 3 * scenario.cacheBytes,
  }
  const { directory } = context
  const seeders = await startSeeders({ directory, ...scenario, count: SEEDERS, share: SHARE })
  const results = new Map<Contender, Served>()
  try {
    for (const contender of chosen('contender', CONTENDERS, context.contenders ?? DEFAULT)) {
      const hindrance =
        contender.client === 'aria2' ? 'it cannot seed unchecked' : whyNot(contender)
      if (hindrance !== undefined) {
        context.log(`disk-seed ${scenario.name}, ${contender.name}: left out, ${hindrance}`)
        continue
      }
      let served: Served
      try {
        served = await runSeeder(contender, scenario, load, seeders, directory, backingOf(context))
      } catch (error) {
        context.log(`disk-seed ${scenario.name}, ${contender.name}: ${(error as Error).message}`)
        continue
      }
      results.set(contender, served)
      const { bytes, seconds, seeks, readBytes, busyMs, cpuSeconds, unchoked } = served
      context.log(
        `disk-seed ${scenario.name}, ${contender.name}: ${(bytes / 1e6 / seconds).toFixed(1)} MB/s, ` +
          `${(seeks / (bytes / 2 ** 30)).toFixed(0)} seeks a GiB, ${(readBytes / bytes).toFixed(2)} bytes read for each sent, ` +
          `busy ${((100 * busyMs) / 1000 / seconds).toFixed(0)} %, ${unchoked} unchoked, CPU ${cpuSeconds.toFixed(1)} s; load ${loadavg()[0]!.toFixed(1)}`,
      )
    }
  } finally {
    await seeders.end()
  }
  report(context, scenario, load, results)
}

function report(
  context: SuiteContext,
  { name: scenario, torrents, torrentBytes, pieceBytes }: Scenario,
  { leechers, windowMs, memoryBytes }: Load,
  results: ReadonlyMap<Contender, Served>,
): void {
  const setup =
    `${leechers} leechers, ${torrents} torrents of ${torrentBytes / MIB} MiB in pieces of ${pieceBytes / 1024} KiB, ` +
    `${windowMs / 1000} s, memory ${memoryBytes / MIB} MiB`
  const figures: readonly [string, string, Better, string, (served: Served) => number][] = [
    [
      'rate',
      'MB/s',
      'more',
      `${setup}; the ratio should reach ${RATIO_TARGET}`,
      ({ bytes, seconds }) => bytes / 1e6 / seconds,
    ],
    ['seeks', 'a GiB', 'less', 'of payload sent', ({ seeks, bytes }) => seeks / (bytes / 2 ** 30)],
    [
      'read',
      'bytes',
      'less',
      'read from the disk for each byte sent',
      ({ readBytes, bytes }) => readBytes / bytes,
    ],
  ]
  const own = [...results].find(([{ name }]) => name === 'seedbed')?.[1]
  for (const [what, unit, better, note, pick] of figures) {
    const line = { suite: 'engine', unit, better, note }
    const name = `disk-seed-${scenario}-${what}`
    for (const [contender, served] of results) {
      if (own === undefined) {
        const values = [pick(served)]
        context.report(lineOf({ ...line, name: `${name}/${contender.name}`, values }))
      } else if (served !== own) {
        const peer = { peer: describe(contender), values: [pick(served)] }
        context.report(lineOf({ ...line, name, values: [pick(own)] }, peer))
      } else if (results.size === 1) context.report(lineOf({ ...line, name, values: [pick(own)] }))
    }
  }
}
