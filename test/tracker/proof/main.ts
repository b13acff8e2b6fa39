/**
 * `npm run prove:tracker -- soak [--minutes 60]`, `-- hostile`, `-- fuzz [--count 2000000] [--seed N]`: the long proofs of the tracker,
 * on both front ends. Ends with 1 when one fails.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { seededRandom, systemRandom } from '../../../src/base/index.ts'
import { FRONT_ENDS, type FrontEndName } from '../../interop/peers/tracker-process.ts'
import { fuzz } from './fuzz.ts'
import { type Finding, flood, idle, slowLoris } from './hostile.ts'
import { startHostile } from './process.ts'
import { judge, soak } from './soak.ts'

const IDLE_CONNECTIONS = 10_000
const FLOOD_ADDRESSES = 10_000

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '60' },
    count: { type: 'string', default: '2000000' },
    seed: { type: 'string' },
  },
})
const seed = Number(values.seed ?? systemRandom().uint32())
const scratch = mkdtempSync(join(tmpdir(), 'seedbed-prove-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))
const say = (text: string): void => console.log(text)
const mib = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`

async function proveSoak(frontEnd: FrontEndName): Promise<void> {
  const report = await soak(scratch, frontEnd, Number(values.minutes), seededRandom(seed), say)
  const { samplesMiB, requests, reloads, lost } = report
  const every = Math.max(1, Math.floor(samplesMiB.length / 12))
  const course = samplesMiB.filter((_, n) => n % every === 0).join(' ')
  say(
    `${frontEnd}: ${requests} requests, ${lost} lost, ${reloads} reloads; resident MiB: ${course}`,
  )
  judge(report)
}

async function proveHostile(frontEnd: FrontEndName): Promise<void> {
  const { child, ports } = await startHostile(scratch, frontEnd)
  try {
    const tell = ({ what, residentBytes }: Finding): void =>
      say(`${frontEnd}: ${what}; ${mib(residentBytes)} resident`)
    tell(await slowLoris(child, ports, 500))
    tell(await idle(child, ports, IDLE_CONNECTIONS))
    tell(await flood(child, ports, FLOOD_ADDRESSES, 10, seededRandom(seed)))
  } finally {
    await child.kill()
  }
}

say(`seed ${seed}`)
switch (positionals[0]) {
  case 'soak':
    for (const frontEnd of FRONT_ENDS) await proveSoak(frontEnd)
    break
  case 'hostile':
    for (const frontEnd of FRONT_ENDS) await proveHostile(frontEnd)
    break
  case 'fuzz': {
    const { answered } = fuzz(seed, Number(values.count))
    say(`${4 * Number(values.count)} mutations, ${answered} still understood; nothing broke`)
    break
  }
  default:
    console.error(
      'usage: npm run prove:tracker -- soak [--minutes N] | hostile | fuzz [--count N] [--seed N]',
    )
    process.exit(2)
}
process.exit(0)
