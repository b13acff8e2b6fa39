/**
 * `npm run prove -- crash [--states N] [--length L] [--exhaustive S] [--seed S] [--replay SEED|SEQUENCE]`
 *
 * The long form of the proofs that the tests run in short. `crash` visits the crash states of all
 * sequences of up to L steps, then of seeded random ones until there are N states. Prints one line of
 * JSON, progress to stderr; exits with 1 when a state is bad.
 */
import { parseArgs } from 'node:util'
import { MUTANTS, tryMutant } from './crash-mutants.ts'
import { type SequenceOptions, Sequences } from './crash-sequences.ts'

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

const proofs: Readonly<Record<string, () => Promise<number>>> = { crash, controls }
const proof = proofs[positionals[0] ?? '']
if (proof === undefined) {
  console.error(`usage: npm run prove -- ${Object.keys(proofs).join('|')} [options]`)
  process.exitCode = 2
} else process.exitCode = await proof()
