/**
 * Suite `picker`: what each way of choosing pieces costs the disk and the swarm, in simulated swarms (picker/swarm.ts).
 * Deterministic: the same commit and seeds give the same figures. `--seeds` says over how many swarms,
 * `--write-docs` puts tables and picture into docs/internals/picker.md.
 */
import { writeDocuments } from '../picker/document.ts'
import {
  LEAVES,
  MEASURES,
  type Measure,
  nameOf,
  type Row,
  SEEDS,
  spreadOf,
  sweep,
  sweepLarge,
  titleOf,
} from '../picker/study.ts'
import { lineOf, type Suite, type SuiteContext } from '../suite.ts'

const UNITS: Readonly<Record<Measure, readonly [unit: string, better: 'more' | 'less']>> = {
  whole: ['of the bytes', 'more'],
  meanWriteBytes: ['bytes', 'more'],
  seeksPerGib: ['a GiB', 'less'],
  diskTime: ['of one stream', 'less'],
  completion: ['of the bound', 'less'],
  completionP95: ['of the bound', 'less'],
  seedSent: ['of the content', 'less'],
  meanCopies: ['copies', 'more'],
  leastCopies: ['copies', 'more'],
  variation: ['of the mean', 'less'],
  wasted: ['of the bytes', 'less'],
}

export const picker: Suite = {
  name: 'picker',
  about: 'ways to choose pieces: order on the disk against the health of the swarm, simulated',
  parts: ['sweep', 'large'],
  async run(context) {
    const seeds = context.seeds ?? (context.quick ? 2 : SEEDS)
    const rows = [
      ...(context.runs('sweep') ? sweep(seeds, context.quick, context.log) : []),
      ...(context.runs('large') ? sweepLarge(seeds, context.log) : []),
    ]
    for (const row of rows) report(context, row)
    if (context.writesDocs) writeDocuments(rows, 'docs')
  },
}

function report(context: SuiteContext, row: Row): void {
  const of = `${titleOf(row)}, ${nameOf(row)}`
  for (const measure of MEASURES) {
    const values = row.runs[measure]
    const { low, high } = spreadOf(values)
    const [unit, better] = UNITS[measure]
    context.report(
      lineOf({
        suite: 'picker',
        name: `${of}: ${measure}`,
        unit,
        better,
        values,
        note: `quartiles ${low.toPrecision(3)} and ${high.toPrecision(3)} of ${row.seeds} seeds`,
      }),
    )
  }
  for (const [i, leaves] of LEAVES.entries()) {
    context.report(
      lineOf({
        suite: 'picker',
        name: `${of}: lives without the seed at ${leaves}`,
        unit: 'of the runs',
        better: 'more',
        values: [row.survival[i]!],
      }),
    )
  }
}
