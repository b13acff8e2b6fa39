/**
 * UDP: the CPU time of a server for each request, requests a second, and what it takes in memory.
 *
 * Two shapes: 1 M swarms of 2 peers, where every request misses the caches; and 20 k swarms of 50, with 30 peers in every reply. All
 * servers are filled first, then measured in turns. A limit is measured with them: a C program that answers without looking.
 */
import { execFile, execFileSync } from 'node:child_process'
import { promisify } from 'node:util'
import { interleave, median } from '../statistics.ts'
import { lineOf, type SuiteContext } from '../suite.ts'
import {
  type Absent,
  bittorrentTracker,
  type Contender,
  compile,
  freePort,
  LOAD_CPU,
  opentracker,
  type RunningServer,
  SERVER_CPU,
  seedbed,
  startServer,
} from './servers.ts'

const SUITE = 'tracker'
const WANTED = 30
const SOCKETS = 4
const WINDOW = 256
/** Enough that each of two workers gets its share of them. */
const MANY_SOCKETS = 32
const ROUNDS = 5
const SECONDS = 4

interface Shape {
  readonly name: string
  /** Of `--only`; `udp` is all of them. */
  readonly part: string
  readonly swarms: number
  readonly peers: number
  /** In a reply. */
  readonly returned: number
}

interface LoadResult {
  readonly seconds: number
  readonly replies: number
  readonly lost: number
  readonly errors: number
  readonly bad: number
  readonly cpuNs: number
  readonly ownNs: number
  readonly peersPerAnnounce: number
  readonly p50Us: number
  readonly p99Us: number
  readonly firstError: string
}

const isAbsent = (contender: Contender | Absent): contender is Absent => 'absent' in contender

export async function benchUdp(context: SuiteContext): Promise<void> {
  const { quick, directory, log } = context
  const runs = (part: string): boolean => context.runs('udp') || context.runs(part)
  if (!['udp-large-swarms', 'udp-many-swarms', 'udp-workers'].some(runs)) return
  const load = compile(directory, 'udp-load')
  const echo = compile(directory, 'udp-echo')
  if (load === undefined || echo === undefined) {
    log('udp: skipped, there is no gcc to compile the load with')
    return
  }
  const shapes: readonly Shape[] = quick
    ? [{ name: 'quick', part: 'udp-large-swarms', swarms: 2000, peers: 50, returned: WANTED }]
    : [
        {
          name: '20k-swarms-1M-peers',
          part: 'udp-large-swarms',
          swarms: 20_000,
          peers: 50,
          returned: WANTED,
        },
        {
          name: '1M-swarms-2M-peers',
          part: 'udp-many-swarms',
          swarms: 1_000_000,
          peers: 2,
          returned: 1,
        },
      ]
  for (const shape of shapes) if (runs(shape.part)) await benchShape(context, shape, load, echo)
  if (runs('udp-workers')) await benchWorkers(context, shapes[0]!, load)
}

async function benchShape(
  context: SuiteContext,
  shape: Shape,
  load: string,
  echo: string,
): Promise<void> {
  const { quick, directory, log } = context
  const limit: Contender = {
    name: 'C echo',
    title: 'C echo',
    async start() {
      const port = await freePort()
      return startServer([echo, String(port), String(shape.returned)], port, 'line')
    },
  }
  const whitelist = (): string =>
    execFileSync(load, ['list', String(shape.swarms)], {
      encoding: 'utf8',
      maxBuffer: shape.swarms * 41 + 4096,
    })
  const all = [
    limit,
    seedbed(directory, 'seedbed', { frontEnd: 'fast', protocol: 'udp' }),
    seedbed(directory, 'seedbed-portable', { frontEnd: 'portable', protocol: 'udp' }),
    opentracker(directory, whitelist),
    bittorrentTracker(directory, 'udp'),
  ]
  const servers = new Map<string, RunningServer>()
  const resident = new Map<string, number>()
  try {
    const contenders = all.filter((one): one is Contender => !isAbsent(one))
    for (const { name, start } of contenders) {
      const server = await start()
      servers.set(name, server)
      if (name !== limit.name) {
        const filled = await run(load, 'fill', server, shape, 0)
        log(`${shape.name}: ${name} filled, ${filled.lost} lost in ${filled.seconds.toFixed(0)} s`)
      }
      resident.set(name, server.residentBytes())
    }
    const results = await interleave(
      contenders.map(
        ({ name }) =>
          [
            name,
            () => run(load, 'mixed', servers.get(name)!, shape, quick ? 0.5 : SECONDS),
          ] as const,
      ),
      quick ? 1 : ROUNDS,
      (name, round, result) =>
        log(
          `${shape.name} ${round}: ${name} ${nsOf(result).toFixed(0)} ns, ${(result.replies / result.seconds).toFixed(0)}/s, ` +
            `p50 ${result.p50Us} us, p99 ${result.p99Us} us, ${result.peersPerAnnounce} peers, lost ${result.lost}` +
            (result.errors + result.bad > 0
              ? `, errors ${result.errors} ${result.firstError}`
              : ''),
        ),
    )
    report(context, shape, all, limit.name, results, resident)
  } finally {
    for (const server of servers.values()) await server.stop()
  }
}

function report(
  context: SuiteContext,
  shape: Shape,
  all: readonly (Contender | Absent)[],
  limit: string,
  results: ReadonlyMap<string, readonly LoadResult[]>,
  resident: ReadonlyMap<string, number>,
): void {
  const ns = (name: string): readonly number[] | undefined => results.get(name)?.map(nsOf)
  const rate = (name: string): readonly number[] | undefined =>
    results.get(name)?.map(({ replies, seconds }) => replies / seconds)
  const limitNs = median(ns(limit)!)
  const own = results.get('seedbed')!
  const generatorNs = median(results.get(limit)!.map(({ ownNs, replies }) => ownNs / replies))
  const note = `limit ${limitNs.toFixed(0)} ns; the load itself takes ${generatorNs.toFixed(0)} ns a request; p50 ${median(
    own.map(({ p50Us }) => p50Us),
  )} us, p99 ${median(own.map(({ p99Us }) => p99Us))} us; lost ${own.reduce((sum, { lost }) => sum + lost, 0)}`
  for (const peer of all) {
    if (peer.name === 'seedbed' || peer.name === 'seedbed-portable') continue
    const theirs = { peer: peer.title, values: ns(peer.name) }
    const target =
      peer.name === limit ? limitNs / 0.8 : peer.name === 'opentracker' ? 0.55 : undefined
    const base = { suite: SUITE, unit: 'ns CPU', better: 'less' } as const
    context.report(
      lineOf(
        {
          ...base,
          name: `udp/${shape.name}`,
          values: ns('seedbed')!,
          note,
          ...(target === undefined
            ? {}
            : { target: target < 1 ? median(theirs.values ?? [Number.NaN]) * target : target }),
        },
        theirs,
      ),
    )
    context.report(
      lineOf(
        {
          ...base,
          name: `udp/${shape.name}/portable`,
          values: ns('seedbed-portable')!,
          ...(peer.name === limit ? { target: limitNs / 0.33 } : {}),
        },
        theirs,
      ),
    )
    context.report(
      lineOf(
        {
          suite: SUITE,
          unit: 'requests/s',
          better: 'more',
          name: `udp/${shape.name}/rate`,
          values: rate('seedbed')!,
        },
        { peer: peer.title, values: rate(peer.name) },
      ),
    )
    if (peer.name === limit) continue
    const bytes = resident.get(peer.name)
    context.report(
      lineOf(
        {
          suite: SUITE,
          unit: 'MB',
          better: 'less',
          name: `rss/${shape.name}`,
          values: [resident.get('seedbed')! / 1e6],
          ...(peer.name === 'opentracker' && bytes !== undefined ? { target: bytes / 1e6 } : {}),
        },
        { peer: peer.title, values: bytes === undefined ? undefined : [bytes / 1e6] },
      ),
    )
  }
}

/** Two workers against one, both on all processors with the load beside them: by CPU time a request. */
async function benchWorkers(context: SuiteContext, shape: Shape, load: string): Promise<void> {
  const { quick, directory, log } = context
  const processors = SERVER_CPU === LOAD_CPU ? '0' : `0-${LOAD_CPU}`
  const servers = new Map<number, RunningServer>()
  try {
    for (const workers of [1, 2]) {
      const options = { frontEnd: 'fast', protocol: 'udp', workers, processors } as const
      const server = await seedbed(directory, `seedbed-${workers}-workers`, options).start()
      servers.set(workers, server)
      await run(load, 'fill', server, shape, 0)
    }
    const seconds = quick ? 0.5 : SECONDS
    const results = await interleave(
      [1, 2].map(
        (workers) =>
          [
            String(workers),
            () => run(load, 'mixed', servers.get(workers)!, shape, seconds, MANY_SOCKETS),
          ] as const,
      ),
      quick ? 1 : ROUNDS,
      (workers, round, result) =>
        log(
          `workers ${round}: ${workers}: ${nsOf(result).toFixed(0)} ns, ${(result.replies / result.seconds).toFixed(0)}/s`,
        ),
    )
    const one = results.get('1')!.map(nsOf)
    context.report(
      lineOf(
        {
          suite: SUITE,
          name: 'udp/two-workers',
          unit: 'ns CPU',
          better: 'less',
          values: results.get('2')!.map(nsOf),
          target: median(one) * 1.1,
          note: 'servers and load share all processors',
        },
        { peer: 'one worker', values: one },
      ),
    )
  } finally {
    for (const server of servers.values()) await server.stop()
  }
}

const nsOf = ({ cpuNs, replies }: LoadResult): number => cpuNs / Math.max(1, replies)

async function run(
  load: string,
  mode: 'fill' | 'mixed',
  server: RunningServer,
  shape: Shape,
  seconds: number,
  sockets: number = SOCKETS,
): Promise<LoadResult> {
  const numbers = [server.port, server.pid, shape.swarms, shape.peers, seconds]
  const rest = [sockets, WINDOW, WANTED]
  const { stdout } = await promisify(execFile)('taskset', [
    '-c',
    String(LOAD_CPU),
    load,
    mode,
    ...[...numbers, ...rest].map(String),
  ])
  return JSON.parse(stdout) as LoadResult
}
