/**
 * Suite `store`: the peer store against the one it is modelled on. Four groups: chihaya's storage benchmarks by their names; the
 * memory tables of the optmem README; ns by the number of swarms; garbage collection. Method: bench/README.md.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { contractBenches } from '../store/contract.ts'
import { type GoResults, runOptmem } from '../store/optmem.ts'
import type { RowRequest, RowResult } from '../store/row.ts'
import { type Comparison, lineOf, type Suite, type SuiteContext } from '../suite.ts'

const SUITE = 'store'
const ROW = new URL('../store/row.js', import.meta.url).pathname
/** The README of optmem, bytes of resident memory for one info-hash or one peer. */
const README_SWARM_BYTES = 201
const README_PEER_BYTES = 32.3

export const store: Suite = {
  name: SUITE,
  about: "the peer store: chihaya's storage benchmarks, memory, scale, garbage collection",
  parts: ['contract', 'growth', 'memory', 'scale', 'gc', 'snapshot', 'hostile'],
  async run(context) {
    const runs = (part: string): boolean => context.runs(part)
    const withGo = runs('contract') || runs('growth')
    const go = withGo ? runOptmem(context.directory, context.quick, context.log) : undefined
    if (runs('contract')) contract(context, go)
    if (runs('growth')) growth(context, go)
    if (runs('memory')) memory(context)
    if (runs('scale')) scale(context)
    if (runs('gc')) gc(context)
    if (runs('snapshot')) snapshot(context)
    if (runs('hostile')) hostile(context)
  },
}

function row(request: RowRequest): RowResult {
  const child = spawnSync(process.execPath, ['--expose-gc', ROW, JSON.stringify(request)], {
    encoding: 'utf8',
  })
  if (child.status !== 0) throw new Error(`${JSON.stringify(request)}: ${child.stderr}`)
  return JSON.parse(child.stdout) as RowResult
}

/** Every figure of this suite is better when it is less. */
function report(
  context: SuiteContext,
  line: Omit<Comparison, 'suite' | 'better'>,
  peer?: { readonly name: string; readonly value: number | undefined },
): void {
  const ours = { ...line, suite: SUITE, better: 'less' } as const
  const theirs = peer?.value === undefined ? undefined : { peer: peer.name, values: [peer.value] }
  context.report(lineOf(ours, theirs))
}

function contract(context: SuiteContext, go: GoResults | undefined): void {
  const operations = context.quick ? 40_000 : 4_000_000
  for (const { name, populated, goNs, factor } of contractBenches) {
    const share = name.startsWith('Announce') ? 8 : 1
    const one = row({ kind: 'contract', name, operations: operations / share })
    const known = go?.one.get(name) ?? goNs
    const limit = known === undefined ? {} : { target: known / factor }
    const note = `V8 heap: ${one.heapBytes} bytes/op${populated ? '; 1000 swarms of 1000' : ''}`
    const peer = { name: go?.version ?? 'Go 1.19, measured before', value: known }
    // A store whose handle was never given away takes no locks; a tracker with workers runs the second and the third.
    report(context, { name, unit: 'ns', values: [one.ns!], note, ...limit }, peer)
    report(context, { name: `${name}/shared`, unit: 'ns', values: [one.sharedNs!], ...limit }, peer)
    const two = row({ kind: 'threads', name, operations: operations / share / 2 })
    const theirTwo = go?.two.get(name)
    report(
      context,
      {
        name: `${name}/2-threads`,
        unit: 'ns',
        values: [two.ns!],
        ...(known === undefined ? {} : { target: theirTwo ?? known }),
      },
      theirTwo === undefined
        ? { name: `${peer.name}, one thread`, value: known }
        : { name: peer.name, value: theirTwo },
    )
  }
}

/** RebalanceBuckets' equivalent: there is no rebalancing, so all growth to the same size is timed. */
function growth(context: SuiteContext, go: GoResults | undefined): void {
  for (const [peers, name] of [
    [1024, 'RebalanceBuckets/1024-peers-to-2-buckets'],
    [2048, 'RebalanceBuckets/2048-peers-to-4-buckets'],
    [4096, 'RebalanceBuckets/4096-peers-to-8-buckets'],
  ] as const) {
    const { ns } = row({ kind: 'growth', peers })
    report(
      context,
      { name, unit: 'ns', values: [ns!], note: 'all puts that fill the swarm, growth included' },
      { name: go?.version ?? 'Go', value: go?.one.get(name) },
    )
  }
}

function memory(context: SuiteContext): void {
  const largest = context.quick ? 100_000 : 10_000_000
  for (const family of [4, 6] as const) {
    for (let swarms = 1; swarms <= largest; swarms *= 10) {
      const result = row({ kind: 'swarms', family, swarms })
      const isTarget = family === 4 && swarms === 10_000_000
      memoryLines(context, `swarms/IPv${family}/${swarms}`, result, {
        ...(isTarget ? { target: 50 } : {}),
        ...(swarms === 10_000_000 ? { original: README_SWARM_BYTES } : {}),
      })
    }
    const most = context.quick ? 100_000 : 25_000_000
    for (const each of [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 25_000_000]) {
      if (each > most) break
      const result = row({ kind: 'peers', family, each })
      const isTarget = each === 25_000_000
      memoryLines(context, `peers/IPv${family}/${each}+${each}`, result, {
        ...(isTarget ? { target: family === 4 ? 9 : 22, original: README_PEER_BYTES } : {}),
      })
    }
  }
  const empty = row({ kind: 'swarms', family: 4, swarms: 0 })
  report(context, { name: 'empty', unit: 'bytes', values: [empty.reserved!], target: 2 ** 21 })
}

/** Bytes a swarm or a peer, of the store and resident; and the whole. */
function memoryLines(
  context: SuiteContext,
  name: string,
  result: RowResult,
  { target, original }: { readonly target?: number; readonly original?: number },
): void {
  const { things, base, used, reserved, resident } = result
  const note = `store ${used} bytes in use, ${reserved} reserved; resident +${resident}; empty ${base}`
  const limit = target === undefined ? {} : { target }
  const peer = { name: "optmem's README", value: original }
  const inStore = things! < 1000 ? used! - base! : used!
  report(context, { name, unit: 'bytes each', values: [inStore / things!], note, ...limit }, peer)
  report(
    context,
    { name: `${name}/resident`, unit: 'bytes each', values: [resident! / things!] },
    peer,
  )
}

function scale(context: SuiteContext): void {
  for (const swarms of context.quick ? [10_000] : [10_000, 100_000, 1_000_000, 10_000_000]) {
    const result = row({ kind: 'scale', swarms })
    for (const [name, ns] of Object.entries(result)) {
      const isTarget = name === 'announceBatched' && swarms === 10_000_000
      const limit = isTarget ? { target: 500 } : {}
      report(context, { name: `scale/${name}/${swarms}`, unit: 'ns', values: [ns], ...limit })
    }
  }
}

function gc(context: SuiteContext): void {
  const peers = context.quick ? 100_000 : 10_000_000
  for (const oneSwarm of [false, true]) {
    const result = row({ kind: 'gc', peers, oneSwarm })
    const shape = oneSwarm ? 'one swarm' : 'swarms of ten'
    const name = `gc/${peers}/${oneSwarm ? 'one-swarm' : 'small-swarms'}`
    const of = (what: string): number[] => [0, 1, 2].map((n) => result[`${what}${n}`]!)
    const note = `${shape}; ${result.holds} holds; ${result.left} left; the same population again took ${result.reservedGrowth} bytes more`
    report(context, { name: `${name}/all-stay`, unit: 'ms', values: of('stayMs') })
    report(context, { name: `${name}/all-leave`, unit: 'ms', values: of('leaveMs'), note })
    const long = of('longHolds').join(', ')
    report(context, {
      name: `${name}/longest-hold`,
      unit: 'ms',
      values: of('leaveUnbrokenMs'),
      target: 1,
      note: `holds in which the processor was not taken away; of all ${of('leaveHoldMs')
        .map((ms) => ms.toFixed(2))
        .join(', ')} ms, over 1 ms: ${long}`,
    })
    report(context, {
      name: `${name}/longest-hold-all-stay`,
      unit: 'ms',
      values: of('stayUnbrokenMs'),
      target: 1,
      note: `the same; of all ${of('stayHoldMs')
        .map((ms) => ms.toFixed(2))
        .join(', ')} ms`,
    })
  }
}

function snapshot(context: SuiteContext): void {
  const swarms = context.quick ? 100_000 : 10_000_000
  const path = join(context.directory, 'snapshot')
  const { saveMs, loadMs } = row({ kind: 'snapshot', swarms, path })
  report(context, { name: `save/${swarms}`, unit: 'ms', values: [saveMs!] })
  report(context, { name: `load/${swarms}`, unit: 'ms', values: [loadMs!] })
}

function hostile(context: SuiteContext): void {
  const result = row({ kind: 'hostile', swarms: context.quick ? 20_000 : 200_000 })
  for (const name of ['chosenLongest', 'chosenMean', 'randomLongest', 'randomMean']) {
    report(context, { name: `hostile/${name}`, unit: 'probes', values: [result[name]!] })
  }
}
