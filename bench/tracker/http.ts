/**
 * HTTP: the CPU time of a server for each announce, and announces a second, on connections that are kept and on new ones.
 *
 * Beside trackers nginx answers a body of the same size without looking: what a good web server costs. Debian's opentracker closes
 * every connection, so it stands beside kept ones with what a new one costs it.
 */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { interleave, median } from '../statistics.ts'
import { lineOf, type SuiteContext } from '../suite.ts'
import {
  announceRequests,
  CONNECTIONS,
  fillRequests,
  infoHashes,
  MODES,
  type Mode,
  PEERS,
} from './http-requests.ts'
import { nginx } from './nginx.ts'
import {
  type Absent,
  bittorrentTracker,
  type Contender,
  compile,
  isAbsent,
  opentracker,
  type RunningServer,
  runLoad,
  seedbed,
  WANTED,
} from './servers.ts'

const SUITE = 'tracker'
const ROUNDS = 7
const WARM_MS = 300
const MEASURE_MS = 2000

/** Of nginx and of opentracker: the most that our CPU time a request should be of theirs. */
const TARGETS: Readonly<Record<Mode, Readonly<Record<string, number>>>> = {
  keep: { nginx: 1.3, opentracker: 0.35 },
  close: { nginx: 1.3, opentracker: 0.8 },
}

interface LoadResult {
  readonly answers: number
  readonly seconds: number
  readonly cpuNs: number
  readonly ownNs: number
  readonly bad: number
  readonly failed: number
  readonly bodyBytes: number
  readonly p50Us: number
  readonly p99Us: number
}

const nsOf = ({ cpuNs, answers }: LoadResult): number => cpuNs / Math.max(1, answers)

/** What is measured at a time: which requests on what connections. */
class Load {
  readonly #program: string
  readonly #directory: string

  constructor(program: string, directory: string, swarms: number) {
    this.#program = program
    this.#directory = directory
    const shape = { count: swarms, wanted: WANTED }
    this.#write('keep', announceRequests({ ...shape, keepAlive: true }))
    this.#write('close', announceRequests({ ...shape, keepAlive: false }))
    this.#write('fill', fillRequests(swarms, PEERS))
  }

  /** Every peer once. */
  fill(server: RunningServer, connections: Mode): Promise<LoadResult> {
    return this.#run(server, [connections, '0', '0'], 'fill', ['once'])
  }

  measure(server: RunningServer, mode: Mode, connections: Mode, ms: number): Promise<LoadResult> {
    return this.#run(server, [connections, String(WARM_MS), String(ms)], mode, [])
  }

  #write(name: string, requests: readonly Buffer[]): void {
    const framed = requests.flatMap((request) => {
      const length = Buffer.alloc(4)
      length.writeUInt32LE(request.length)
      return [length, request]
    })
    writeFileSync(join(this.#directory, `http-${name}`), Buffer.concat(framed))
  }

  #run(
    server: RunningServer,
    how: readonly string[],
    requests: string,
    rest: readonly string[],
  ): Promise<LoadResult> {
    const file = join(this.#directory, `http-${requests}`)
    const numbers = [String(server.port), String(CONNECTIONS), ...how, String(server.pid)]
    return runLoad([this.#program, ...numbers, file, ...rest], { ANY_BODY: '1' })
  }
}

export async function benchHttp(context: SuiteContext): Promise<void> {
  const { quick, directory, log } = context
  const program = compile(directory, 'http-load')
  if (program === undefined) {
    log('http: skipped, there is no gcc to compile the load with')
    return
  }
  handle(context)
  const swarms = quick ? 200 : 2000
  const load = new Load(program, directory, swarms)
  const whitelist = (): string =>
    Array.from(
      { length: swarms },
      (_, n) =>
        `${Buffer.from(infoHashes(swarms).subarray(n * 20, n * 20 + 20)).toString('hex')}\n`,
    ).join('')
  const trackers = [
    seedbed(directory, 'seedbed-http', { frontEnd: 'fast', protocol: 'http' }),
    seedbed(directory, 'seedbed-http-portable', { frontEnd: 'portable', protocol: 'http' }),
    opentracker(directory, whitelist),
    bittorrentTracker(directory, 'http'),
  ]
  const servers = new Map<string, RunningServer>()
  try {
    for (const tracker of trackers) {
      if (isAbsent(tracker)) {
        log(`http: ${tracker.absent}`)
        continue
      }
      const server = await tracker.start()
      servers.set(tracker.name, server)
      const { failed, bad } = await load.fill(server, connectionsOf(tracker.name, 'keep'))
      if (failed + bad > 0) log(`http: filling ${tracker.name}, ${failed + bad} failed`)
    }
    const { bodyBytes } = await load.measure(servers.get('seedbed-http')!, 'keep', 'keep', 100)
    const web = nginx(directory, Math.round(bodyBytes))
    if (isAbsent(web)) log(`http: ${web.absent}`)
    else servers.set(web.name, await web.start())
    for (const mode of MODES) await benchMode(context, mode, load, [...trackers, web], servers)
  } finally {
    for (const server of servers.values()) await server.stop()
  }
}

async function benchMode(
  context: SuiteContext,
  mode: Mode,
  load: Load,
  all: readonly (Contender | Absent)[],
  servers: ReadonlyMap<string, RunningServer>,
): Promise<void> {
  const { quick, log } = context
  const results = await interleave(
    [...servers].map(([name, server]) => {
      const ms = quick ? 300 : MEASURE_MS
      return [name, () => load.measure(server, mode, connectionsOf(name, mode), ms)] as const
    }),
    quick ? 1 : ROUNDS,
    (name, round, result) =>
      log(
        `http ${mode} ${round}: ${name} ${nsOf(result).toFixed(0)} ns, ${(result.answers / result.seconds).toFixed(0)}/s, ` +
          `p50 ${result.p50Us} us, p99 ${result.p99Us} us, body ${result.bodyBytes.toFixed(0)}, failed ${result.failed}`,
      ),
  )
  const own = results.get('seedbed-http')!
  const ns = (name: string): readonly number[] | undefined => results.get(name)?.map(nsOf)
  const rates = (name: string): readonly number[] | undefined =>
    results.get(name)?.map(({ answers, seconds }) => answers / seconds)
  const note =
    `p50 ${median(own.map(({ p50Us }) => p50Us))} us, p99 ${median(own.map(({ p99Us }) => p99Us))} us; ` +
    `the load itself takes ${median(own.map(({ ownNs, answers }) => ownNs / answers)).toFixed(0)} ns a request`
  for (const { name, title } of all) {
    if (name.startsWith('seedbed-http')) continue
    const values = ns(name)
    const share = TARGETS[mode][name]
    const limit =
      share === undefined || values === undefined ? {} : { target: share * median(values) }
    const base = { suite: SUITE, unit: 'ns CPU', better: 'less' } as const
    const line = { ...base, name: `http/${mode}`, values: ns('seedbed-http')!, note, ...limit }
    context.report(lineOf(line, { peer: title, values }))
    context.report(
      lineOf(
        { ...base, name: `http/${mode}/portable`, values: ns('seedbed-http-portable')! },
        { peer: title, values },
      ),
    )
    const values2 = rates('seedbed-http')!
    const rate = { suite: SUITE, unit: 'requests/s', better: 'more', values: values2 } as const
    context.report(
      lineOf({ ...rate, name: `http/${mode}/rate` }, { peer: title, values: rates(name) }),
    )
  }
}

/** Debian's opentracker keeps none. */
function connectionsOf(name: string, mode: Mode): Mode {
  return name === 'opentracker' ? 'close' : mode
}

/** Without a socket: parse, handle and write. */
function handle(context: SuiteContext): void {
  const program = new URL('./http-handle.js', import.meta.url).pathname
  const numbers = ['1000', '100000', String(WANTED), context.quick ? '20000' : '200000']
  const child = spawnSync(process.execPath, ['--expose-gc', program, ...numbers], {
    encoding: 'utf8',
  })
  if (child.status !== 0) throw new Error(child.stderr)
  const { wholeNs, storeNs, heapBytes } = JSON.parse(child.stdout) as Record<string, number>
  const note = `the store's part ${storeNs} ns; ${heapBytes} bytes of heap a request`
  context.report(
    lineOf({
      suite: SUITE,
      name: 'http/handle',
      unit: 'ns CPU',
      better: 'less',
      values: [wholeNs!],
      note,
    }),
  )
}
