/**
 * WebSocket: the CPU time of a server for clients of WebTorrent as they live, from connecting to leaving, and for each announce: alone, with
 * five offers that go to five others, and with those answered.
 *
 * 200 connections in swarms of 20; an offer is as a browser makes it. Figures are of the whole process, the kernel's part of each socket
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

interface Mode {
  readonly name: string
  readonly offers: number
  readonly answers: boolean
  /** Clients come and go (websocket-load.ts says how), and the figure is that of a whole life. */
  readonly lives: boolean
}

const MODES: readonly Mode[] = [
  { name: 'as WebTorrent clients do', offers: 5, answers: true, lives: true },
  { name: 'announce', offers: 0, answers: false, lives: false },
  { name: '5 offers', offers: 5, answers: false, lives: false },
  { name: '5 offers, answered', offers: 5, answers: true, lives: false },
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
    const results = await interleave(
      contenders.map((one) => [one.name, () => measure(one, mode, context.quick)] as const),
      rounds,
      (name, round, result) => {
        const us = usOf(mode, result).toFixed(1)
        const rate = Math.round(result.announces / result.seconds)
        context.log(
          `ws ${mode.name}, round ${round}: ${name} ${us} µs, ${rate} announces/s, ${result.lives} lives, ${(result.offers / result.announces).toFixed(1)} offers heard each, load at ${Math.round((result.ownCpuSeconds / result.seconds) * 100)} %`,
        )
      },
    )
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
        ...(peer === undefined ? {} : { target: median(peer) / TARGET }),
        note: `${Math.round(median(values.map((one) => one.announces / one.seconds)))} announces/s; ${withoutKernel(mode, values, others)}`,
      } as const
      context.report(lineOf(line, { peer: theirs.title, values: peer }))
    }
  }
}

async function measure(contender: Contender, mode: Mode, quick: boolean): Promise<LoadResult> {
  const server: RunningServer = await contender.start()
  try {
    const options: LoadOptions = {
      port: server.port,
      pid: server.pid,
      connections: CONNECTIONS,
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
