/**
 * Suite `spin`: `downloads` and its variants (spin/scenarios.ts) in virtual time: how much of the disk's sequential limit
 * the engine and the filesystem reach, writing and reading back. Deterministic: one run says it all. The
 * picture of each goes beside the figures (`.svg`), drawn as `seedbed plot` draws a log.
 */
import { join } from 'node:path'
import { drawAccesses } from '../spin/picture.ts'
import { runScenario, type Scenario, type ScenarioResult } from '../spin/scenario.ts'
import { scenarios, TARGETS } from '../spin/scenarios.ts'
import { chosen, lineOf, type Suite, type SuiteContext } from '../suite.ts'

const MIB = 1024 * 1024

export const spin: Suite = {
  name: 'spin',
  about: 'downloads to a disk that spins, in virtual time, against its sequential limit',
  run,
}

async function run(context: SuiteContext): Promise<void> {
  const size = context.quick ? 'quick' : context.full ? 'full' : 'scaled'
  for (const scenario of chosen('scenario', scenarios(size), context.scenarios)) {
    const result = await runScenario(scenario)
    report(context, scenario, result)
    const pictures = process.env.SEEDBED_PICTURES
    if (pictures !== undefined) {
      const path = join(pictures, `spin-${scenario.name}.svg`)
      await drawAccesses(result.accesses, scenario.diskBytes, path, context.directory)
    }
  }
}

function report(context: SuiteContext, scenario: Scenario, { write, read }: ScenarioResult): void {
  const { torrents, torrentBytes, pieceBytes, parallel, cacheBytes, queueDepth } = scenario
  const setup =
    `${torrents} torrents of ${torrentBytes / MIB} MiB in pieces of ${pieceBytes / 1024} KiB, ` +
    `${parallel} at a time, cache ${cacheBytes / MIB} MiB, queue ${queueDepth}`
  const line = (
    what: string,
    unit: string,
    better: 'more' | 'less',
    value: number,
    target: number,
    note: string,
  ): void =>
    context.report(
      lineOf({
        suite: 'spin',
        name: `${scenario.name}-${what}`,
        unit,
        better,
        values: [value],
        target,
        note,
      }),
    )
  const { writeFraction, readFraction, meanDataWriteBytes, seeksPerGib } = TARGETS
  line(
    'write',
    'of the limit',
    'more',
    write.fraction,
    writeFraction,
    `${setup}: ${write.seconds.toFixed(1)} s`,
  )
  line(
    'mean-write',
    'MiB',
    'more',
    write.meanDataWriteBytes / MIB,
    meanDataWriteBytes / MIB,
    `of data; ${write.otherWrites} writes of metadata beside ${write.dataWrites}, ${(write.meanWriteBytes / MIB).toFixed(2)} MiB with them`,
  )
  line(
    'seeks',
    'a GiB',
    'less',
    write.seeksPerGib,
    seeksPerGib,
    `${write.seeks} seeks, those for metadata included`,
  )
  line(
    'read-back',
    'of the limit',
    'more',
    read.fraction,
    readFraction,
    `all torrents in file order, caches dropped: ${read.seconds.toFixed(1)} s, ${read.seeksPerGib.toFixed(0)} seeks a GiB`,
  )
}
