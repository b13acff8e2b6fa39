/**
 * Downloads to a disk that spins, in real time: the scenarios of suite `spin` on a simulated disk that is a block device
 * (disk/simulated-disk.ts), by seedbed on the raw device, and by seedbed, libtorrent and aria2 on ext4 and on XFS. Each
 * against the sequential limit of the same device, measured in the same run.
 */
import { loadavg } from 'node:os'
import { join } from 'node:path'
import {
  CONTENDERS,
  type Contender,
  DEFAULT_CONTENDERS,
  describe,
  whyNot,
} from '../../disk/contenders.ts'
import { measureLimit, type Phase, type Run, runContender } from '../../disk/run.ts'
import { type RunningSeeders, startSeeders } from '../../disk/seeders.ts'
import { whyNoDisk } from '../../disk/simulated-disk.ts'
import { drawAccesses } from '../../spin/picture.ts'
import type { Scenario } from '../../spin/scenario.ts'
import { scenarios, TARGETS } from '../../spin/scenarios.ts'
import { type Better, chosen, lineOf, type SuiteContext } from '../../suite.ts'
import { inMemory } from './ram.ts'

const MIB = 2 ** 20
export const SEEDERS = 5
/** Of the pieces that a seeder holds. */
export const SHARE = 0.5

/** Twenty-five GiB are more than most memories: in full size the disk's bytes lie where `--dir` says. */
export function backingOf({ full, directory }: SuiteContext): string | undefined {
  return full ? directory : undefined
}

/** Of the disk's time: what its bytes may take, before they would be what is measured. */
const BACKING_SHARE = 0.5

interface Limit {
  readonly write: number
  readonly read: number
}

export async function benchDisk(context: SuiteContext): Promise<void> {
  const why = whyNoDisk()
  if (why !== undefined) {
    context.log(`disk: skipped, ${why}`)
    return
  }
  // What was never touched is found by the host first, and slowly.
  await inMemory(context, (bench) => bench.warmUp())
  const size = context.quick ? 'quick' : context.full ? 'full' : 'scaled'
  for (const scenario of chosen('scenario', scenarios(size), context.scenarios)) {
    await benchScenario(context, scenario)
  }
}

async function benchScenario(context: SuiteContext, scenario: Scenario): Promise<void> {
  const limit = await measureLimit(scenario, backingOf(context))
  const seconds = (value: number): string => value.toFixed(1)
  context.log(
    `${scenario.name}: limit ${seconds(limit.write)} s written, ${seconds(limit.read)} s read`,
  )
  const { directory } = context
  const seeders = await startSeeders({ directory, ...scenario, count: SEEDERS, share: SHARE })
  const runs = new Map<Contender, Run>()
  try {
    for (const contender of chosen(
      'contender',
      CONTENDERS,
      context.contenders ?? DEFAULT_CONTENDERS,
    )) {
      const why = whyNot(contender)
      if (why !== undefined) {
        context.log(`${scenario.name}, ${contender.name}: left out, ${why}`)
        continue
      }
      const run = await runOne(context, scenario, contender, seeders, limit)
      if (run !== undefined) runs.set(contender, run)
    }
  } finally {
    await seeders.end()
  }
  report(context, scenario, limit, runs)
}

/** Undefined when it failed, which is told: the others go on. */
async function runOne(
  context: SuiteContext,
  scenario: Scenario,
  contender: Contender,
  seeders: RunningSeeders,
  limit: Limit,
): Promise<Run | undefined> {
  let run: Run
  try {
    run = await runContender(contender, scenario, seeders, context.directory, backingOf(context))
  } catch (error) {
    context.log(`${scenario.name}, ${contender.name}: ${(error as Error).message}`)
    return undefined
  }
  const { write, read, cpuSeconds, seedersCpuSeconds } = run
  const phase = ({ seconds, stats }: Phase, of: number): string =>
    `${seconds.toFixed(1)} s (${(of / seconds).toFixed(3)} of the limit), ` +
    `busy ${(stats.busyMs / 1000).toFixed(1)} s, ${stats.seeks} seeks, ` +
    `${(stats.writtenBytes / MIB).toFixed(0)} MiB written, ${(stats.readBytes / MIB).toFixed(0)} read`
  context.log(
    `${scenario.name}, ${contender.name}: ${phase(write, limit.write)}; ` +
      `read back ${phase(read, limit.read)}; CPU ${cpuSeconds.toFixed(1)} s, ` +
      `seeders ${seedersCpuSeconds.toFixed(1)} s; load ${loadavg()[0]!.toFixed(1)}`,
  )
  for (const { stats } of [write, read]) {
    const share = stats.backingMs / stats.busyMs
    if (share < BACKING_SHARE) continue
    context.log(
      `${scenario.name}, ${contender.name}: the file beneath the disk took ${share.toFixed(2)} of its time; ` +
        'these figures are of the machine, not of the disk',
    )
  }
  const pictures = process.env.SEEDBED_PICTURES
  if (pictures !== undefined) {
    const path = join(pictures, `disk-${scenario.name}-${contender.name}.svg`)
    await drawAccesses(run.accesses, scenario.diskBytes, path, context.directory)
  }
  return run
}

function report(
  context: SuiteContext,
  scenario: Scenario,
  limit: Limit,
  runs: ReadonlyMap<Contender, Run>,
): void {
  const { torrents, torrentBytes, pieceBytes, parallel, cacheBytes, queueDepth } = scenario
  const setup =
    `${torrents} torrents of ${torrentBytes / MIB} MiB in pieces of ${pieceBytes / 1024} KiB, ` +
    `${parallel} at a time, cache ${cacheBytes / MIB} MiB, queue ${queueDepth}`
  const gib = (torrents * torrentBytes) / 2 ** 30
  const figures: readonly [string, string, Better, number, string, (run: Run) => number][] = [
    [
      'write',
      'of the limit',
      'more',
      TARGETS.writeFraction,
      `${setup}; limit ${limit.write.toFixed(1)} s`,
      ({ write }) => limit.write / write.seconds,
    ],
    [
      'mean-write',
      'MiB',
      'more',
      TARGETS.meanDataWriteBytes / MIB,
      'unbroken, as the head writes it',
      ({ write }) => write.stats.writtenBytes / write.stats.writeStrokes / MIB,
    ],
    [
      'seeks',
      'a GiB',
      'less',
      TARGETS.seeksPerGib,
      'of payload; those for metadata included',
      ({ write }) => write.stats.seeks / gib,
    ],
    [
      'read-back',
      'of the limit',
      'more',
      TARGETS.readFraction,
      `all torrents in file order, mounted anew; limit ${limit.read.toFixed(1)} s`,
      ({ read }) => limit.read / read.seconds,
    ],
  ]
  const own = [...runs].find(([{ name }]) => name === 'seedbed')?.[1]
  for (const [what, unit, better, target, note, pick] of figures) {
    const name = `disk-${scenario.name}-${what}`
    // Without seedbed's own run a rival's figure stands alone.
    if (own === undefined) {
      for (const [contender, run] of runs) {
        const line = { suite: 'engine', unit, better, values: [pick(run)], note }
        context.report(lineOf({ ...line, name: `${name}/${contender.name}` }))
      }
      continue
    }
    const line = { suite: 'engine', name, unit, better, values: [pick(own)], target, note }
    const rivals = [...runs].filter(([{ name }]) => name !== 'seedbed')
    if (rivals.length === 0) context.report(lineOf(line))
    for (const [contender, run] of rivals) {
      context.report(lineOf(line, { peer: describe(contender), values: [pick(run)] }))
    }
  }
  if (own?.meanDataWriteBytes !== undefined) {
    context.report(
      lineOf({
        suite: 'engine',
        name: `disk-${scenario.name}-data-write`,
        unit: 'MiB',
        better: 'more',
        values: [own.meanDataWriteBytes / MIB],
        target: TARGETS.meanDataWriteBytes / MIB,
        note: 'of data, as seedbed asks the device for it',
      }),
    )
  }
}
