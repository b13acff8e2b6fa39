/**
 * The sweep: every picker with every size of pieces, those with a bound on active extents with every bound, over the
 * same swarms. A row is one of these over all seeds, each figure a median with its quartiles.
 */
import { median } from '../statistics.ts'
import { isBounded, STRATEGIES, type Strategy } from './choosers.ts'
import { type Outcome, type Scenario, simulate } from './swarm.ts'

const KIB = 1024
const MIB = 1024 * KIB

export const STRIPE_BYTES: number = 4 * MIB
export const CACHE_STRIPES = 8
export const PIECE_BYTES: readonly number[] = [16 * KIB, 64 * KIB, 256 * KIB, MIB]
export const ACTIVE: readonly number[] = [1, 2, 4, 8, 20]
export const SEEDS = 30
/** Pieces of 16 KiB cost as much as all others together, so they get a third of the seeds. */
const seedsFor = (pieceBytes: number, seeds: number): number =>
  pieceBytes === 16 * KIB ? Math.ceil(seeds / 3) : seeds
/** What the seed has sent when it leaves, by the content. */
export const LEAVES: readonly number[] = [1, 1.1, 1.5, 2]

export const SWARM: Omit<Scenario, 'strategy' | 'active' | 'pieceBytes' | 'seed'> = {
  totalBytes: 96 * MIB,
  stripeBytes: STRIPE_BYTES,
  cacheStripes: CACHE_STRIPES,
  leechers: 20,
  late: 8,
  partial: 3,
  quitting: 2,
}

/** Content much larger than memory, and more of it, as the engine has by default. */
export const LARGE: typeof SWARM = { ...SWARM, totalBytes: 384 * MIB, cacheStripes: 16 }
const LARGE_PIECE_BYTES = 256 * KIB
const LARGE_ROWS: readonly (readonly [Strategy, number | undefined])[] = [
  ['random', undefined],
  ['rarest', undefined],
  ['affinity', 4],
  ['affinity', 16],
  ['extent', 4],
  ['extent', 16],
  ['dealt', 4],
  ['dealt', 8],
  ['dealt', 16],
  ['sequential', undefined],
]

export interface Spread {
  readonly low: number
  readonly median: number
  readonly high: number
}

export const MEASURES = [
  'whole',
  'meanWriteBytes',
  'seeksPerGib',
  'diskTime',
  'completion',
  'completionP95',
  'seedSent',
  'meanCopies',
  'leastCopies',
  'variation',
  'wasted',
] as const
export type Measure = (typeof MEASURES)[number]

export interface Row {
  readonly swarm: typeof SWARM
  readonly strategy: Strategy
  readonly pieceBytes: number
  /** Undefined where there is no such bound. */
  readonly active: number | undefined
  readonly seeds: number
  readonly runs: Readonly<Record<Measure, readonly number[]>>
  /** Share of the runs in which the others could finish, for each of LEAVES. */
  readonly survival: readonly number[]
}

export function sweep(seeds: number, quick: boolean, log: (text: string) => void): Row[] {
  const rows: Row[] = []
  for (const pieceBytes of quick ? PIECE_BYTES.slice(2) : PIECE_BYTES) {
    for (const strategy of STRATEGIES) {
      for (const active of isBounded(strategy) ? (quick ? [4] : ACTIVE) : [undefined]) {
        const row = study(SWARM, strategy, pieceBytes, active, seedsFor(pieceBytes, seeds))
        rows.push(row)
        log(summaryOf(row))
      }
    }
  }
  return rows
}

export function sweepLarge(seeds: number, log: (text: string) => void): Row[] {
  return LARGE_ROWS.map(([strategy, active]) => {
    const row = study(LARGE, strategy, LARGE_PIECE_BYTES, active, seeds)
    log(summaryOf(row))
    return row
  })
}

function summaryOf(row: Row): string {
  const { completion, whole } = row.runs
  return (
    `${titleOf(row)}, ${nameOf(row)}: ` +
    `${spreadOf(completion).median.toFixed(2)} of the bound, whole ${spreadOf(whole).median.toFixed(2)}`
  )
}

export const titleOf = ({ swarm, pieceBytes }: Row): string =>
  `${swarm.totalBytes / MIB} MiB, pieces of ${pieceBytes / KIB} KiB`

export function study(
  swarm: typeof SWARM,
  strategy: Strategy,
  pieceBytes: number,
  active: number | undefined,
  seeds: number,
): Row {
  const outcomes = Array.from({ length: seeds }, (_, i) =>
    simulate({ ...swarm, strategy, pieceBytes, active: active ?? 1, seed: i + 1 }),
  )
  return {
    swarm,
    strategy,
    pieceBytes,
    active,
    seeds,
    runs: Object.fromEntries(
      MEASURES.map((measure) => [measure, outcomes.map((outcome) => figureOf(outcome, measure))]),
    ) as unknown as Record<Measure, number[]>,
    survival: LEAVES.map(
      (leaves) => outcomes.filter(({ seedSent }) => seedSent <= leaves).length / seeds,
    ),
  }
}

export const nameOf = ({ strategy, active }: Row): string =>
  active === undefined ? strategy : `${strategy} ${active}`

export function spreadOf(values: readonly number[]): Spread {
  return { low: quantile(values, 0.25), median: median(values), high: quantile(values, 0.75) }
}

function figureOf(outcome: Outcome, measure: Measure): number {
  if (measure === 'completion') return median(outcome.completions)
  if (measure === 'completionP95') return quantile(outcome.completions, 0.95)
  return outcome[measure]
}

/** Between neighbours in a straight line. */
export function quantile(values: readonly number[], at: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const place = at * (sorted.length - 1)
  const below = Math.floor(place)
  const above = Math.min(below + 1, sorted.length - 1)
  return sorted[below]! + (sorted[above]! - sorted[below]!) * (place - below)
}
