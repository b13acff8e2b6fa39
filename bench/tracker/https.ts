/**
 * HTTPS: the CPU time of a server for each announce over TLS 1.3, on connections that are kept and on new ones with a full handshake each,
 * against nginx with the same certificate, which answers a body of the same size without looking.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FIRST } from '../../test/tracker/certificates.ts'
import { interleave, median } from '../statistics.ts'
import { lineOf, type SuiteContext } from '../suite.ts'
import { CONNECTIONS, MODES, type Mode, PEERS } from './http-requests.ts'
import { nginx } from './nginx.ts'
import { type RunningServer, runLoad, seedbed, WANTED } from './servers.ts'
import type { TlsLoadOptions, TlsLoadResult } from './tls-load.ts'

const LOAD = new URL('./tls-load.js', import.meta.url).pathname
const SWARMS = 200
const ROUNDS = 5
/** As many as warm both programs up, and are measured. */
const ANSWERS: Readonly<Record<Mode, number>> = { keep: 20_000, close: 3000 }

const usOf = ({ cpuSeconds, answers }: TlsLoadResult): number =>
  (cpuSeconds * 1e6) / Math.max(1, answers)

export async function benchHttps(context: SuiteContext): Promise<void> {
  const { quick, directory, log, report } = context
  const files = { cert: join(directory, 'tls.crt'), key: join(directory, 'tls.key') }
  writeFileSync(files.cert, FIRST.cert)
  writeFileSync(files.key, FIRST.key)
  const tracker = seedbed(directory, 'seedbed-https', {
    frontEnd: 'fast',
    protocol: 'https',
    tls: files,
  })
  const servers = new Map<string, RunningServer>()
  try {
    const own = await tracker.start()
    servers.set(tracker.name, own)
    const { bodyBytes } = await measure(own, 'keep', 100, PEERS)
    const web = nginx(directory, Math.round(bodyBytes), files)
    if ('absent' in web) log(`https: ${web.absent}`)
    else servers.set(web.name, await web.start())
    for (const mode of MODES) {
      const answers = quick ? ANSWERS[mode] / 10 : ANSWERS[mode]
      const results = await interleave(
        [...servers].map(([name, server]) => [name, () => measure(server, mode, answers)] as const),
        quick ? 1 : ROUNDS,
        (name, round, result) =>
          log(
            `https ${mode} ${round}: ${name} ${usOf(result).toFixed(1)} us, ${Math.round(result.answers / result.seconds)}/s, ` +
              `body ${result.bodyBytes.toFixed(0)}, load at ${Math.round((result.ownCpuSeconds / result.seconds) * 100)} %`,
          ),
      )
      const ours = results.get(tracker.name)!
      const rate = median(ours.map((one) => one.answers / one.seconds))
      const line = {
        suite: 'tracker',
        name: `https/${mode}`,
        unit: 'µs CPU',
        better: 'less',
        values: ours.map(usOf),
        note: `${Math.round(rate)} answers/s`,
      } as const
      report(lineOf(line, { peer: web.title, values: results.get(web.name)?.map(usOf) }))
    }
  } finally {
    for (const server of servers.values()) await server.stop()
  }
}

function measure(
  server: RunningServer,
  mode: Mode,
  answers: number,
  fill: number = 0,
): Promise<TlsLoadResult> {
  const options: TlsLoadOptions = {
    port: server.port,
    pid: server.pid,
    connections: CONNECTIONS,
    keep: mode === 'keep',
    swarms: SWARMS,
    fill,
    wanted: WANTED,
    warmAnswers: answers / 2,
    measureAnswers: answers,
  }
  return runLoad([process.execPath, LOAD, JSON.stringify(options)])
}
