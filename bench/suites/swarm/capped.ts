/**
 * Suite `swarm`, part 4: the swarm of part 1 for real: fifty leechers and one seeder on loopback, each at an address of its own and told all
 * others, every upload capped alike, until the last has all; over the bound that no swarm can beat. All are engines of
 * seedbed, or all are sessions of libtorrent, or half are, with a seeder of either kind.
 *
 * All of a kind live in one process; what it takes of the processors is told, since a swarm that waits for them says nothing.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { seededRandom, systemClock } from '../../../src/base/index.ts'
import { encodeMetainfo } from '../../../src/metainfo/index.ts'
import { makeContent } from '../../../test/engine/swarm.ts'
import { Child } from '../../../test/interop/peers/child.ts'
import { LIBTORRENT_PYTHON } from '../../../test/interop/peers/libtorrent.ts'
import { peerVersion } from '../../../test/interop/peers/presence.ts'
import { chosen, lineOf } from '../../suite.ts'
import type { PathBench } from '../path/setup.ts'
import type { CappedPeer, CappedTask } from './capped-engines.ts'
import { PIECE_BYTES, type Shape, shapeOf, TARGET, UPLOAD_RATE } from './shape.ts'

const READY_LIMIT_MS = 60_000
const ROUNDS = 3
/** Over the bound, before it is given up. */
const PATIENCE = 6

type Kind = 'seedbed' | 'libtorrent'

interface Scenario {
  readonly name: string
  readonly seeder: Kind
  /** Of both kinds; else all are what the seeder is. */
  readonly mixed: boolean
}

const SCENARIOS: readonly Scenario[] = [
  { name: 'seedbed', seeder: 'seedbed', mixed: false },
  { name: 'libtorrent', seeder: 'libtorrent', mixed: false },
  { name: 'mixed', seeder: 'seedbed', mixed: true },
  { name: 'mixed-libtorrent-seeds', seeder: 'libtorrent', mixed: true },
]

/** What the peers of one process have moved, in payload. */
interface Moved {
  readonly host: string
  readonly uploaded: number
}

export async function benchCapped(bench: PathBench): Promise<void> {
  const { context } = bench
  const shape = shapeOf(context.quick)
  const version = peerVersion('libtorrent')
  const asked = chosen('scenario', SCENARIOS, context.scenarios)
  const isSeedbed = ({ seeder, mixed }: Scenario): boolean => seeder === 'seedbed' && !mixed
  const scenarios = version === undefined ? asked.filter(isSeedbed) : asked
  const { bytes, info } = makeContent(shape.contentBytes, PIECE_BYTES, seededRandom(1))
  await writeFile(bench.at('content'), bytes)
  await writeFile(bench.at('content.torrent'), encodeMetainfo(info))
  const results = new Map<string, number[]>(scenarios.map(({ name }) => [name, []]))
  for (let round = 0; round < (context.quick ? 1 : ROUNDS); round++) {
    for (let turn = 0; turn < scenarios.length; turn++) {
      const scenario = scenarios[(turn + round) % scenarios.length]!
      results.get(scenario.name)!.push(await finish(bench, shape, scenario))
    }
  }
  const figure = { suite: 'swarm', unit: 'of the bound', better: 'less' } as const
  const peer = `libtorrent ${version ?? ''}`.trim()
  const theirs = results.get('libtorrent')
  for (const { name, seeder, mixed } of scenarios) {
    const values = results.get(name)!
    if (name === 'libtorrent' && results.has('seedbed')) continue
    const note = `until the last leecher has all; ${mixed ? `half are of each kind, the seeder is of ${seeder}` : `all are of ${seeder}`}`
    const ours = { ...figure, name: name === 'seedbed' ? 'capped' : `capped-${name}`, values, note }
    const rival =
      theirs === undefined && version !== undefined ? undefined : { peer, values: theirs }
    context.report(
      name === 'libtorrent'
        ? lineOf(ours)
        : lineOf(name === 'seedbed' ? { ...ours, target: TARGET } : ours, rival),
    )
  }
}

/** Each in a network of its own: neighbours are allowed the same pieces first (BEP 6). */
function hostOf(peer: number): string {
  return `127.${10 + peer}.0.1`
}

/** Seconds over the bound. */
async function finish(bench: PathBench, shape: Shape, scenario: Scenario): Promise<number> {
  const { leechers, boundSeconds } = shape
  const { seeder, mixed } = scenario
  const hosts = Array.from({ length: leechers }, (_, i) => hostOf(1 + i))
  const others: Kind = seeder === 'seedbed' ? 'libtorrent' : 'seedbed'
  const half = mixed ? Math.floor(leechers / 2) : leechers
  const children: Child[] = []
  try {
    children.push(await start(bench, seeder, [hostOf(0), ...hosts.slice(0, half)], shape, true))
    if (mixed) children.push(await start(bench, others, hosts.slice(half), shape, false))
    const listening = await Promise.all(
      children.map((child) => child.event('listening', READY_LIMIT_MS)),
    )
    const peers = listening.flatMap((event) => event.peers as CappedPeer[])
    const cpuBefore = children.map((child) => child.cpuSeconds())
    const beganMs = systemClock.monotonicMs()
    for (const child of children) child.say(JSON.stringify(peers))
    const limitMs = PATIENCE * boundSeconds * 1000
    const ends = await Promise.all(
      children.map((child, i) => {
        const count = !mixed ? leechers : i === 0 ? half : leechers - half
        return allWhole(child, count, limitMs)
      }),
    )
    const seconds = (Math.max(...ends.map(({ lastMs }) => lastMs)) - beganMs) / 1000
    const cpu = children.map((child, i) => child.cpuSeconds() - cpuBefore[i]!)
    const moved = await Promise.all(children.map(statsOf))
    tell(bench, shape, scenario, { beganMs, seconds, ends, cpu, moved })
    for (const child of children) child.closeStdin()
    for (const child of children) await child.succeed(READY_LIMIT_MS)
    return seconds / boundSeconds
  } finally {
    for (const child of children) await child.kill()
    await rm(bench.at('capped'), { recursive: true, force: true })
  }
}

async function start(
  bench: PathBench,
  kind: Kind,
  hosts: readonly string[],
  shape: Shape,
  seeds: boolean,
): Promise<Child> {
  const directory = bench.at('capped', kind)
  await mkdir(directory, { recursive: true })
  const task: CappedTask = {
    torrent: bench.at('content.torrent'),
    content: bench.at('content'),
    directory,
    hosts,
    seeds,
    uploadRate: UPLOAD_RATE,
    connections: shape.leechers + 10,
  }
  // This file runs as dist/bench/suites/swarm/capped.js; the script stays in the source tree.
  const here = dirname(fileURLToPath(import.meta.url))
  const [command, program] =
    kind === 'seedbed'
      ? [process.execPath, resolve(here, 'capped-engines.js')]
      : [LIBTORRENT_PYTHON, resolve(here, '../../../../bench/suites/swarm/capped_sessions.py')]
  return new Child(`${hosts.length} of ${kind}`, command, [program, JSON.stringify(task)])
}

interface End {
  readonly wholeMs: readonly number[]
  readonly lastMs: number
}

async function allWhole(child: Child, count: number, limitMs: number): Promise<End> {
  const wholes = () => child.events.filter(({ event }) => event === 'whole')
  await child.event(({ event }) => event === 'whole' && wholes().length >= count, limitMs)
  const wholeMs = wholes().map(({ atMs }) => atMs)
  return { wholeMs, lastMs: Math.max(...wholeMs) }
}

async function statsOf(child: Child): Promise<Moved[]> {
  const seen = child.events.length
  child.say('')
  return (await child.event('stats', READY_LIMIT_MS, seen)).peers as Moved[]
}

function tell(
  bench: PathBench,
  { contentBytes, boundSeconds }: Shape,
  { name, seeder, mixed }: Scenario,
  run: {
    readonly beganMs: number
    readonly seconds: number
    readonly ends: readonly End[]
    readonly cpu: readonly number[]
    readonly moved: readonly (readonly Moved[])[]
  },
): void {
  const kinds: Kind[] = mixed ? [seeder, seeder === 'seedbed' ? 'libtorrent' : 'seedbed'] : [seeder]
  const fastest = Math.max(...run.moved.flat().map(({ uploaded }) => uploaded)) / run.seconds
  const copies = run.moved[0]![0]!.uploaded / contentBytes
  const parts = kinds.map((kind, i) => {
    const at = run.ends[i]!.wholeMs.map((atMs) => (atMs - run.beganMs) / 1000)
    const share = (100 * run.cpu[i]!) / run.seconds
    return `${kind}: whole after ${Math.min(...at).toFixed(1)} to ${Math.max(...at).toFixed(1)} s, ${share.toFixed(0)} % of a processor`
  })
  bench.context.log(
    `${name}: ${run.seconds.toFixed(1)} s, bound ${boundSeconds.toFixed(1)} s; ${parts.join('; ')}; ` +
      `the seeder sent ${copies.toFixed(2)} copies, the fastest of all ${(fastest / 1024).toFixed(0)} KiB a second`,
  )
}
