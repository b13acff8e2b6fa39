/**
 * `npm run prove -- PROOF [options]`: the long form of the proofs that the tests run in short.
 *
 *   crash [--states N] [--length L] [--exhaustive S] [--mixtures M] [--seed S] [--lies N] [--stop]
 *       visits the crash states of all sequences of up to L steps, then of seeded random ones until
 *       there are N states; with --lies every N-th flush is a lie
 *   crash --replay SEED|SEQUENCE     one sequence again
 *   controls                         turns orders of the code round; each must be noticed
 *   kill [--rounds N] [--seed S]     kills a real process N times
 *
 * Prints JSON lines, progress to stderr; exits with 1 when something is wrong.
 */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { attachLoop } from '../block-device/loop.ts'
import { MUTANTS, tryMutant } from './crash-mutants.ts'
import { type SequenceOptions, Sequences } from './crash-sequences.ts'
import { killRounds } from './kill-rounds.ts'
import { BLOCK } from './support.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    states: { type: 'string', default: '1000000' },
    length: { type: 'string', default: '3' },
    exhaustive: { type: 'string', default: '5' },
    mixtures: { type: 'string', default: '24' },
    seed: { type: 'string', default: '1' },
    replay: { type: 'string' },
    lies: { type: 'string', default: '0' },
    rounds: { type: 'string', default: '400' },
    stop: { type: 'boolean', default: false },
  },
})

function progress(): (sequences: Sequences) => void {
  let said = 0
  return ({ tally }) => {
    if (tally.states - said < 20_000) return
    said = tally.states
    console.error(`${tally.states} states of ${tally.sequences} sequences, ${tally.bad} bad`)
  }
}

async function crash(): Promise<number> {
  const options: SequenceOptions = {
    exhaustive: Number(values.exhaustive),
    perEpoch: Number(values.mixtures),
    seed: Number(values.seed),
    lies: Number(values.lies),
    stopAtBad: values.stop,
  }
  const sequences = new Sequences(options)
  const say = progress()
  const begun = process.hrtime.bigint()
  let exhaustive = 0
  if (values.replay !== undefined) {
    const [start, steps] = values.replay.split(': ')
    if (steps === undefined) await sequences.random(Number(start))
    else if (!(await sequences.play(start!, steps.split(', ')))) console.error('no such sequence')
  } else {
    await sequences.all(Number(values.length), () => say(sequences))
    exhaustive = sequences.tally.sequences
    for (let seed = options.seed; sequences.tally.states < Number(values.states); seed++) {
      if (values.stop && sequences.tally.bad > 0) break
      await sequences.random(seed)
      say(sequences)
    }
  }
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9
  const { tally } = sequences
  const { user, system } = process.cpuUsage()
  console.log(
    JSON.stringify({
      proof: 'crash',
      ...tally,
      exhaustiveSequences: exhaustive,
      seed: options.seed,
      seconds: Math.round(seconds),
      cpuSeconds: Math.round((user + system) / 1e6),
      statesPerSecond: Math.round(tally.states / seconds),
    }),
  )
  return tally.bad === 0 && tally.states > 0 ? 0 : 1
}

/** Each order turned round must be noticed; the code as it is must not. */
async function controls(): Promise<number> {
  let missed = 0
  for (const mutant of [undefined, ...MUTANTS]) {
    const said = await tryMutant(mutant)
    const wrong = (said === undefined) !== (mutant === undefined)
    if (wrong) missed++
    console.log(`${wrong ? 'WRONG' : 'right'}: ${mutant?.order ?? 'the code as it is'}`)
    console.log(`  ${said === undefined ? 'nothing noticed' : `noticed by ${said}`}`)
  }
  return missed === 0 ? 0 : 1
}

/** On an image file, and on a loop device where there can be one; half the rounds each. */
async function kill(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'seedbed-kill-'))
  const image = (name: string): string => {
    const path = join(folder, name)
    writeFileSync(path, '')
    truncateSync(path, 48 * BLOCK)
    return path
  }
  const loop = attachLoop(image('loop'))
  let bad = 0
  try {
    const rounds = Math.ceil(Number(values.rounds) / 2)
    const devices: [string, string | undefined][] = [
      ['image file', image('image')],
      ['loop device', loop?.path],
    ]
    for (const [device, path] of devices) {
      if (path === undefined) {
        console.error(`${device}: skipped, needs root and losetup`)
        continue
      }
      const tally = await killRounds(path, rounds, Number(values.seed))
      bad += tally.bad
      console.log(JSON.stringify({ proof: 'kill', device, ...tally, seed: Number(values.seed) }))
    }
  } finally {
    loop?.detach()
    rmSync(folder, { recursive: true })
  }
  return bad === 0 ? 0 : 1
}

const proofs: Readonly<Record<string, () => Promise<number>>> = { crash, controls, kill }
const proof = proofs[positionals[0] ?? '']
if (proof === undefined) {
  console.error(`usage: npm run prove -- ${Object.keys(proofs).join('|')} [options]`)
  process.exitCode = 2
} else process.exitCode = await proof()
