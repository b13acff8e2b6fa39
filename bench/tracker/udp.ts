/**
 * UDP: the CPU time of a server for each request, requests a second, and what it takes in memory.
 *
 * Two shapes: 1 M swarms of 2 peers, where every request misses the caches; and 20 k swarms of 50, with 30 peers in every reply. All
 * servers are filled first, then measured in turns. A limit is measured with them: a C program that answers without looking.
 */
import { execFileSync } from 'node:child_process'
import { interleave, median } from '../statistics.ts'
import { lineOf, type SuiteContext } from '../suite.ts'
import {
  type Absent,
  bittorrentTracker,
  type Contender,
  compile,
  freePort,
  isAbsent,
  LOAD_CPU,
  opentracker,
  type RunningServer,
  runLoad,
  SERVER_CPU,
  seedbed,
  startServer,
  WANTED,
} from './servers.ts'

const SUITE = 'tracker'
const SOCKETS = 4
const WINDOW = 256
/** Enough that each of two workers gets its share of them. */
const MANY_SOCKETS = 32
/** And that each finds full batches with its share. */
const WIDE_WINDOW = 1024
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
  if (!runs('udp-workers')) return
  for (const placement of PLACEMENTS) {
    await benchWorkers(context, shapes[0]!, load, echo, placement)
  }
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
    start: () => startEcho(echo, shape),
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

/** Where servers run while the load has the last processor: beside each other and it, or all on the first. */
const PLACEMENTS = [
  { name: 'two-workers', processors: SERVER_CPU === LOAD_CPU ? '0' : `0-${LOAD_CPU}` },
  { name: 'two-workers-one-processor', processors: String(SERVER_CPU) },
] as const

/** Two workers against one, and two threads of the limit against one, by CPU time a request. */
async function benchWorkers(
  context: SuiteContext,
  shape: Shape,
  load: string,
  echo: string,
  { name, processors }: (typeof PLACEMENTS)[number],
): Promise<void> {
  const { quick, directory, log } = context
  const tracker = (workers: number): Contender =>
    seedbed(directory, `${name}-${workers}`, {
      frontEnd: 'fast',
      protocol: 'udp',
      workers,
      processors,
    })
  const starts = {
    'one worker': tracker(1).start,
    'two workers': tracker(2).start,
    'C echo, one thread': () => startEcho(echo, shape, 1, processors),
    'C echo, two threads': () => startEcho(echo, shape, 2, processors),
  }
  type Who = keyof typeof starts
  const servers = new Map<string, RunningServer>()
  try {
    for (const [who, start] of Object.entries(starts)) {
      const server = await start()
      servers.set(who, server)
      if (!who.startsWith('C echo')) await run(load, 'fill', server, shape, 0)
    }
    const seconds = quick ? 0.5 : SECONDS
    const measure = (who: string): Promise<LoadResult> =>
      run(load, 'mixed', servers.get(who)!, shape, seconds, MANY_SOCKETS, WIDE_WINDOW)
    const results = await interleave(
      Object.keys(starts).map((who) => [who, () => measure(who)] as const),
      quick ? 1 : ROUNDS,
      (who, round, result) =>
        log(
          `${name} ${round}: ${who}: ${nsOf(result).toFixed(0)} ns, ${(result.replies / result.seconds).toFixed(0)}/s, lost ${result.lost}`,
        ),
    )
    const ns = (who: Who): readonly number[] => results.get(who)!.map(nsOf)
    const base = { suite: SUITE, unit: 'ns CPU', better: 'less' } as const
    const one = ns('one worker')
    const ours = { ...base, name: `udp/${name}`, values: ns('two workers') }
    context.report(
      lineOf({ ...ours, target: median(one) * 1.1 }, { peer: 'one worker', values: one }),
    )
    const limit = { ...base, name: `udp/${name}/limit`, values: ns('C echo, two threads') }
    const note = 'what the kernel takes for two threads that share nothing'
    const peer = 'C echo, one thread' as const
    context.report(lineOf({ ...limit, note }, { peer, values: ns(peer) }))
  } finally {
    for (const server of servers.values()) await server.stop()
  }
}

async function startEcho(
  echo: string,
  shape: Shape,
  threads: number = 1,
  processors?: string,
): Promise<RunningServer> {
  const port = await freePort()
  const command = [echo, port, shape.returned, threads].map(String)
  return startServer(command, port, 'line', processors)
}

const nsOf = ({ cpuNs, replies }: LoadResult): number => cpuNs / Math.max(1, replies)

function run(
  load: string,
  mode: 'fill' | 'mixed',
  server: RunningServer,
  shape: Shape,
  seconds: number,
  sockets: number = SOCKETS,
  window: number = WINDOW,
): Promise<LoadResult> {
  const numbers = [server.port, server.pid, shape.swarms, shape.peers, seconds]
  const rest = [sockets, window, WANTED]
  return runLoad([load, mode, ...[...numbers, ...rest].map(String)])
}
