/**
 * Suite `swarm`, part 2: what connections cost that have shaken hands and are idle: memory of `seedbed up` by their number,
 * CPU of the handshakes, and CPU of a minute with them (keep-alives, the tick). What the kernel holds for sockets is not in it.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { makeFile } from '../../../test/interop/content.ts'
import type { Child } from '../../../test/interop/peers/child.ts'
import { drain, shared, up } from '../../../test/interop/peers/seedbed.ts'
import { lineOf } from '../../suite.ts'
import { leeches } from '../engine/leeches.ts'
import type { PathBench } from '../path/setup.ts'

const HOST = '127.0.0.1'
const CONTENT_BYTES = 64 * 2 ** 20
/** What an idle connection may take on average. */
const TARGET_BYTES = 10 * 1024
/** For announces to be answered, and garbage to be collected. */
const SETTLE_MS = 10_000

interface Figures {
  readonly bytes: number
  readonly handshakeUs: number
  readonly idleUs: number
}

interface Seeder {
  readonly child: Child
  readonly port: number
  readonly infoHash: string
}

async function start(bench: PathBench, name: string, count: number): Promise<Seeder> {
  const data = await bench.fresh(`connections-${name}-data`)
  const more = [
    ...['--files', await bench.fresh(`connections-${name}-files`)],
    ...['--max-connections', `${count + 50}`],
  ]
  const paths = [bench.at('connections.bin')]
  const { child, peerPort } = await up({ data, host: HOST, paths, more })
  const { infoHash } = await shared(child, 'connections.bin', 60_000)
  return { child, port: peerPort, infoHash }
}

async function measure(bench: PathBench, count: number, idleMs: number): Promise<Figures> {
  // One without a connection beside it, of the same age: what has just begun gives memory back for a while.
  const bare = await start(bench, 'bare', count)
  const { child, port, infoHash } = await start(bench, 'connected', count)
  await delay(SETTLE_MS)
  const cpuBefore = cpuMs(child)
  const task = { port, infoHash, totalBytes: CONTENT_BYTES, pieceBytes: 16_384 }
  const load = await leeches({ ...task, connections: count, idle: true })
  const cpuShaken = cpuMs(child)
  await delay(idleMs)
  const cpuIdle = cpuMs(child)
  const before = residentBytes(bare.child)
  const after = residentBytes(child)
  load.closeStdin()
  await load.end(10_000)
  await drain(child)
  await drain(bare.child)
  bench.context.log(`${count} connections: ${after} bytes resident, ${before} without`)
  return {
    bytes: (after - before) / count,
    handshakeUs: (1000 * (cpuShaken - cpuBefore)) / count,
    idleUs: (1000 * (cpuIdle - cpuShaken)) / count / (idleMs / 60_000),
  }
}

export async function benchConnections(bench: PathBench): Promise<void> {
  await makeFile(bench.at('connections.bin'), CONTENT_BYTES, 'connections')
  const { quick } = bench.context
  for (const count of quick ? [100] : [1_000, 5_000]) {
    const runs: Figures[] = []
    for (let round = 0; round < (quick ? 1 : 3); round++) {
      runs.push(await measure(bench, count, quick ? SETTLE_MS : 60_000))
    }
    const figure = { suite: 'swarm', better: 'less', note: `of ${count}` } as const
    const name = `connection-${count}`
    bench.context.report(
      lineOf({
        ...{ ...figure, name: `${name}-memory`, unit: 'bytes', target: TARGET_BYTES },
        values: runs.map(({ bytes }) => bytes),
      }),
    )
    bench.context.report(
      lineOf({
        ...{ ...figure, name: `${name}-handshake`, unit: 'µs CPU' },
        values: runs.map(({ handshakeUs }) => handshakeUs),
      }),
    )
    bench.context.report(
      lineOf({
        ...{ ...figure, name: `${name}-idle`, unit: 'µs CPU a minute' },
        values: runs.map(({ idleUs }) => idleUs),
      }),
    )
  }
}

function residentBytes(child: Child): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
}

/** CPU time of the process so far, in ticks of 10 ms. */
function cpuMs(child: Child): number {
  const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8')
  // After the name in parentheses, which may hold anything: user and system time are the 12th and the 13th.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return 10 * (Number(fields[11]) + Number(fields[12]))
}
