/**
 * WebSocket: the CPU time of a server for clients of WebTorrent as they live, from connecting to leaving, and for each announce: alone, with
 * five offers that go to five others, and with those answered.
 *
 * 200 connections in swarms of 20, or as many as a server bears; an offer is as a browser makes it. Figures are of the whole process, the kernel's part of each socket
 * included, which both trackers pay alike.
 */
import { interleave, median } from '../statistics.ts'
import { lineOf, type SuiteContext } from '../suite.ts'
import {
  bittorrentTracker,
  type Contender,
  isAbsent,
  type RunningServer,
  runLoad,
  seedbed,
} from './servers.ts'
import type { LoadOptions, LoadResult } from './websocket-load.ts'

const SUITE = 'tracker'
const LOAD = new URL('./websocket-load.js', import.meta.url).pathname
const CONNECTIONS = 200
const PEERS_PER_SWARM = 20
/** Some 600 lives a second, which bittorrent-tracker can serve: it takes 80 % of a processor here. */
const PAUSE_MS = 60
const ROUNDS = 5
/** So many times as little as bittorrent-tracker. */
const TARGET = 3
/** Of a processor, the server's or the load's: more would be a queue. */
const FULL = 0.95
const NEARLY_FULL = 0.88
const MOST_TRIES = 4

interface Mode {
  readonly name: string
  readonly offers: number
  readonly answers: boolean
  /** Clients come and go (websocket-load.ts says how), and the figure is that of a whole life. */
  readonly lives: boolean
  /** As many clients as the server bears, or the load can be. */
  readonly full: boolean
  /** Whether it is to take a third of bittorrent-tracker's time; bench/README.md says why or why not. */
  readonly hasTarget: boolean
}

const LIVES = { offers: 5, answers: true, lives: true }
const STAYS = { lives: false, full: false }

const MODES: readonly Mode[] = [
  { name: 'as WebTorrent clients do, all it bears', ...LIVES, full: true, hasTarget: true },
  { name: 'as WebTorrent clients do', ...LIVES, full: false, hasTarget: false },
  { name: 'announce', ...STAYS, offers: 0, answers: false, hasTarget: false },
  { name: '5 offers', ...STAYS, offers: 5, answers: false, hasTarget: true },
  { name: '5 offers, answered', ...STAYS, offers: 5, answers: true, hasTarget: true },
]

const unitsOf = ({ lives }: Mode, result: LoadResult): number =>
  Math.max(1, lives ? result.lives : result.announces)

const usOf = (mode: Mode, result: LoadResult): number =>
  (result.cpuSeconds * 1e6) / unitsOf(mode, result)

const userUsOf = (mode: Mode, result: LoadResult): number =>
  (result.userSeconds * 1e6) / unitsOf(mode, result)

/** What the programs themselves take: the kernel's part of a read and a write is the same for all. */
function withoutKernel(
  mode: Mode,
  ours: readonly LoadResult[],
  theirs: readonly LoadResult[],
): string {
  const userUs = (results: readonly LoadResult[]): string =>
    median(results.map((result) => userUsOf(mode, result))).toFixed(1)
  const text = `outside of the kernel ${userUs(ours)} µs`
  return theirs.length === 0 ? text : `${text}, theirs ${userUs(theirs)}`
}

export async function benchWebSocket(context: SuiteContext): Promise<void> {
  const theirs = bittorrentTracker(context.directory, 'ws')
  const ours: readonly Contender[] = [
    seedbed(context.directory, 'ws-fast', { frontEnd: 'fast', protocol: 'ws' }),
    seedbed(context.directory, 'ws-portable', { frontEnd: 'portable', protocol: 'ws' }),
  ]
  const contenders = isAbsent(theirs) ? ours : [...ours, theirs]
  const rounds = context.quick ? 1 : ROUNDS
  for (const mode of MODES) {
    const runs: (readonly [string, () => Promise<LoadResult>])[] = []
    for (const one of contenders) {
      const connections = mode.full ? await mostOf(one, mode, context) : CONNECTIONS
      runs.push([one.name, () => measure(one, mode, connections, context.quick)])
    }
    const results = await interleave(runs, rounds, (name, round, result) => {
      const us = usOf(mode, result).toFixed(1)
      const rate = Math.round(result.announces / result.seconds)
      context.log(
        `ws ${mode.name}, round ${round}: ${name} ${us} µs, ${rate} announces/s, ${result.lives} lives, ${(result.offers / result.announces).toFixed(1)} offers heard each, ${sharesOf(result)}`,
      )
    })
    const others = isAbsent(theirs) ? [] : results.get(theirs.name)!
    for (const { name } of ours) {
      const values = results.get(name)!
      const peer = isAbsent(theirs) ? undefined : others.map((one) => usOf(mode, one))
      const line = {
        suite: SUITE,
        name: `${name} ${mode.name}`,
        unit: mode.lives ? 'µs CPU/client' : 'µs CPU/announce',
        better: 'less',
        values: values.map((one) => usOf(mode, one)),
        ...(peer === undefined || !mode.hasTarget ? {} : { target: median(peer) / TARGET }),
        note: `${ratesOf(mode, values, others)}; ${withoutKernel(mode, values, others)}`,
      } as const
      context.report(lineOf(line, { peer: theirs.title, values: peer }))
    }
  }
}

/** Clients, or announces, a second. */
function ratesOf(mode: Mode, ours: readonly LoadResult[], theirs: readonly LoadResult[]): string {
  const rate = (results: readonly LoadResult[]): number =>
    Math.round(median(results.map((result) => unitsOf(mode, result) / result.seconds)))
  const text = `${rate(ours)} ${mode.lives ? 'clients' : 'announces'}/s`
  return theirs.length === 0 ? text : `${text}, theirs ${rate(theirs)}`
}

/** How much of its processor each side takes. */
function sharesOf({ cpuSeconds, ownCpuSeconds, seconds }: LoadResult): string {
  const percent = (value: number): number => Math.round((value / seconds) * 100)
  return `server at ${percent(cpuSeconds)} %, load at ${percent(ownCpuSeconds)} %`
}

/** So many connections that the server, or the load, has next to nothing left of its processor. */
async function mostOf(
  contender: Contender,
  mode: Mode,
  { quick, log }: SuiteContext,
): Promise<number> {
  let connections = CONNECTIONS
  for (let n = 0; n < MOST_TRIES; n++) {
    const result = await measure(contender, mode, connections, quick)
    log(`ws ${mode.name}: ${contender.name} with ${connections} clients, ${sharesOf(result)}`)
    const share = Math.max(result.cpuSeconds, result.ownCpuSeconds) / result.seconds
    if (share >= NEARLY_FULL) break
    connections = Math.round((connections * FULL) / share)
  }
  return connections
}

async function measure(
  contender: Contender,
  mode: Mode,
  connections: number,
  quick: boolean,
): Promise<LoadResult> {
  const server: RunningServer = await contender.start()
  try {
    const options: LoadOptions = {
      port: server.port,
      pid: server.pid,
      connections,
      peersPerSwarm: PEERS_PER_SWARM,
      offers: mode.offers,
      answers: mode.answers,
      lives: mode.lives,
      pauseMs: PAUSE_MS,
      warmMs: quick ? 500 : 1500,
      // What connects and leaves runs once where six announces do, and is to be compiled too.
      warmAnnounces: (quick ? 3000 : 15_000) * (mode.lives ? 3 : 1),
      measureMs: quick ? 1000 : 3000,
      measureAnnounces: quick ? 1000 : 10_000,
    }
    return await runLoad<LoadResult>([process.execPath, LOAD, JSON.stringify(options)])
  } finally {
    await server.stop()
  }
}
