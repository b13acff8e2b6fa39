/**
 * What a benchmark suite is, and what it reports. One file in suites/ exports one Suite; main.ts
 * finds it through suites/index.ts.
 */
import { median } from './statistics.ts'

/** One measured figure, of seedbed and where there is one of a peer measured in the same run. */
export interface Line {
  readonly suite: string
  readonly name: string
  readonly unit: string
  /** The median of the runs. */
  readonly value: number
  readonly runs: { readonly min: number; readonly median: number; readonly max: number }
  /** Who it is compared with, with version. */
  readonly peer?: string
  /** The median of the peer's runs. */
  readonly peerValue?: number
  /** Larger is better for seedbed, whatever the unit. Absent where the peer did not run. */
  readonly ratio?: number
  /** What `value` should reach. */
  readonly target?: number
  /** Why there is no ratio, or what else must be known to read the figure. */
  readonly note?: string
}

export interface SuiteContext {
  /** Fewer and smaller runs: shows that it works, measures little. */
  readonly quick: boolean
  /** In full size, where a suite runs scaled by default. */
  readonly full: boolean
  /** Whether a part of the suite is to run: all do, unless some were named. */
  runs(part: string): boolean
  /** Whether it was named: what wants root and much time runs for nobody else. */
  named(part: string): boolean
  /** Where a part has scenarios, or contenders: those that were asked for; undefined: all. */
  readonly scenarios: readonly string[] | undefined
  readonly contenders: readonly string[] | undefined
  /** Over how many seeds, where a suite simulates; undefined: its own number. */
  readonly seeds: number | undefined
  /** The figures go into its page of docs/ as well. */
  readonly writesDocs: boolean
  /** A directory of its own; removed afterwards. */
  readonly directory: string
  report(line: Line): void
  /** For people; goes to stderr. */
  log(text: string): void
}

export interface Suite {
  readonly name: string
  /** One sentence for the list of suites. */
  readonly about: string
  /** What `--only` may name; absent where a suite runs as a whole. */
  readonly parts?: readonly string[]
  run(context: SuiteContext): Promise<void>
}

export type Better = 'more' | 'less'

export interface Comparison {
  readonly suite: string
  readonly name: string
  readonly unit: string
  readonly better: Better
  readonly values: readonly number[]
  readonly target?: number
  readonly note?: string
}

export interface PeerRuns {
  readonly peer: string
  /** Undefined: it is not installed. */
  readonly values: readonly number[] | undefined
}

/** The line of `ours` against `peer`, or of `ours` alone. */
export function lineOf(ours: Comparison, peer?: PeerRuns): Line {
  const value = round(median(ours.values))
  const base: Line = {
    suite: ours.suite,
    name: ours.name,
    unit: ours.unit,
    value,
    runs: {
      min: round(Math.min(...ours.values)),
      median: value,
      max: round(Math.max(...ours.values)),
    },
    ...(ours.target === undefined ? {} : { target: round(ours.target) }),
    ...(ours.note === undefined ? {} : { note: ours.note }),
  }
  if (peer === undefined) return base
  if (peer.values === undefined) {
    return { ...base, peer: peer.peer, note: `${peer.peer} is not installed` }
  }
  const theirs = median(peer.values)
  const ratio = ours.better === 'more' ? median(ours.values) / theirs : theirs / median(ours.values)
  return { ...base, peer: peer.peer, peerValue: round(theirs), ratio: round(ratio) }
}

/**
 * Those of `things` whose names were asked for, all when nothing was. Throws when there is no such one: a
 * benchmark that runs nothing has measured nothing.
 */
export function chosen<T extends { readonly name: string }>(
  what: string,
  things: readonly T[],
  names: readonly string[] | undefined,
): readonly T[] {
  if (names === undefined) return things
  return names.map((name) => {
    const found = things.find((thing) => thing.name === name)
    if (found !== undefined) return found
    const known = things.map((thing) => thing.name).join(', ')
    throw new Error(`there is no ${what} "${name}"; there are ${known}`)
  })
}

/** Three significant digits: more would pretend. */
function round(value: number): number {
  return Number(value.toPrecision(3))
}
