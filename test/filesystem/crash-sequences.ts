/**
 * Crash states of operations in every order: all sequences of a few steps, and seeded random ones
 * beyond. Small torrents with pieces of three sectors, one of which spans two filesystem blocks, so that
 * most epochs are short enough for every combination of old, new and garbage sectors.
 *
 *   start ── a ──┬── a   Each node of the tree is one sequence; its states are those of its last
 *            │   └── b   step alone (and of what was still pending), so none is visited twice.
 *            └── b ── ...
 *
 * A sequence is replayed by its name: `held: remove a, create a, sync`; a random one by its seed.
 */
import { below, seededRandom, toHex } from '../../src/base/index.ts'
import { crashStates, type SparseImage } from '../../src/block-device/index.ts'
import type { BarrierName } from '../../src/filesystem/index.ts'
import { CrashRun, judge, Killed, type Mark } from './crash-harness.ts'
import { BLOCK, putPiece, type Sample, sample } from './support.ts'

const BLOCKS = 16
/** Of the states of a random sequence, every how many-th is gone on from. */
const AGAIN_EVERY = 40

const a = sample(31, BLOCK + 2048, 1536)
const b = sample(32, 2048, 1024)
const c = sample(33, 700, 16_384)
/** The order in which pieces are written; piece 42 of `a` lies in two blocks. */
const ORDER: ReadonlyMap<Sample, readonly number[]> = new Map([
  [a, [42, 0, 43, 1]],
  [b, [1, 0]],
])

/** False: it makes no sense after what came before. */
export type Step = (run: CrashRun) => Promise<boolean>

const holds = (run: CrashRun, from: Sample): boolean => run.volume.get(from.infoHash) !== undefined

/** The same torrent in its n-th life: what is found later says of which life it is. */
function reborn(run: CrashRun, from: Sample): Sample {
  const lives = run.lives.get(from) ?? 0
  run.lives.set(from, lives + 1)
  return { ...from, attributes: new TextEncoder().encode(`life ${lives}`) }
}

const create =
  (from: Sample): Step =>
  async (run) => {
    if (holds(run, from)) return false
    await run.create(reborn(run, from))
    return true
  }

const remove =
  (from: Sample): Step =>
  async (run) => {
    if (!holds(run, from)) return false
    await run.remove(run.samples.get(toHex(from.infoHash))!)
    return true
  }

const write =
  (from: Sample): Step =>
  async (run) => {
    const stored = run.volume.get(from.infoHash)
    const piece = ORDER.get(from)!.find((each) => stored?.have.has(each) === false)
    if (stored === undefined || piece === undefined) return false
    await putPiece(stored, from, piece)
    return true
  }

/** A have-bit is taken back, as a scrub does, and the piece is written again. */
const heal: Step = async (run) => {
  const stored = run.volume.get(a.infoHash)
  const piece = ORDER.get(a)!.find((each) => stored?.have.has(each) === true)
  if (stored === undefined || piece === undefined) return false
  run.mark({ kind: 'clearing', sample: run.samples.get(toHex(a.infoHash))!, piece })
  stored.clearHave(piece)
  await run.sync()
  await putPiece(stored, a, piece)
  return true
}

/** What a mount shows is a promise: it flushes before it lets anybody build on it. */
async function mount(run: CrashRun): Promise<boolean> {
  await run.mount()
  for (const known of [...run.samples.values()]) {
    const stored = run.volume.get(known.infoHash)
    if (stored === undefined) {
      run.mark({ kind: 'removed', sample: known })
      continue
    }
    const pieces: number[] = []
    for (let i = 0; i < stored.pieceCount; i++) if (stored.have.has(i)) pieces.push(i)
    run.mark({ kind: 'created', sample: known })
    run.mark({ kind: 'synced', sample: known, pieces })
  }
  return true
}

/** The process dies at a barrier of `step`; the next one mounts what it finds. */
const dying =
  (step: Step, at: BarrierName): Step =>
  async (run) => {
    run.killAt = at
    try {
      await step(run)
      return false
    } catch (error) {
      if (!(error instanceof Killed)) throw error
    } finally {
      run.killAt = undefined
    }
    return mount(run)
  }

/** Its info record is replaced. */
const keepLayers: Step = async (run) => {
  const stored = run.volume.get(a.infoHash)
  if (stored === undefined) return false
  await run.keepLayers(stored)
  return true
}

const sync: Step = async (run) => {
  await run.sync()
  return true
}

export const STEPS: Readonly<Record<string, Step>> = {
  'create a': create(a),
  'create b': create(b),
  'create a and b at once': async (run) => {
    if (holds(run, a) || holds(run, b)) return false
    await Promise.all([create(a)(run), create(b)(run)])
    return true
  },
  'write a': write(a),
  'write b': write(b),
  sync,
  'sync while a is written': async (run) => {
    if (!holds(run, a)) return false
    let wrote = false
    await run.sync(async () => {
      wrote = await write(a)(run)
    })
    return wrote
  },
  'sync before a write of a is done': async (run) => {
    if (!holds(run, a)) return false
    const writing = write(a)(run)
    await run.sync()
    return writing
  },
  'sync again while a sync runs': async (run) => {
    if (!holds(run, a)) return false
    let wrote = false
    // Begun before the sync, or it would give way to it.
    const writing = write(a)(run)
    await run.sync(async () => {
      wrote = await writing
      await run.sync()
    })
    return wrote
  },
  'remove a': remove(a),
  'remove a while it is written, and commit': async (run) => {
    const stored = run.volume.get(a.infoHash)
    const piece = ORDER.get(a)!.find((each) => each !== 42 && stored?.have.has(each) === false)
    if (stored === undefined || piece === undefined || holds(run, c)) return false
    // Refused or done; if it still came after the removal, it would hit what is committed.
    const writing = stored.write(piece * a.pieceBytes, a.piece(piece)).catch(() => {})
    await remove(a)(run)
    await run.commit(reborn(run, c))
    await writing
    return true
  },
  'remove a and create it': async (run) => (await remove(a)(run)) && create(a)(run),
  commit: async (run) => {
    if (holds(run, c)) return false
    await run.commit(reborn(run, c))
    return true
  },
  'remove c': remove(c),
  'heal a': heal,
  remount: async (run) => {
    await run.volume.close()
    return mount(run)
  },
  'die and mount': mount,
  'keep layers of a': keepLayers,
  'keep layers of a while it is written': async (run) => {
    const keeping = keepLayers(run)
    const wrote = await write(a)(run)
    return (await keeping) && wrote
  },
  'die while layers of a are kept': dying(keepLayers, 'sync-map'),
  'die in sync': dying(sync, 'sync-map'),
  'die in remove': dying(remove(a), 'remove-root'),
  'die in create': dying(create(a), 'create-root'),
}

/** Where sequences begin: a closed volume, and what it promises. */
interface Start {
  readonly image: SparseImage
  readonly marks: readonly Mark[]
  readonly samples: ReadonlyMap<string, Sample>
}

const STARTS: Readonly<Record<string, readonly string[]>> = {
  empty: [],
  held: ['create a', 'write a', 'write a', 'create b', 'write b', 'sync', 'commit'],
}

async function prepare(steps: readonly string[]): Promise<Start> {
  const run = new CrashRun(BLOCKS, seededRandom(1))
  await run.format()
  await run.mount()
  for (const step of steps) await STEPS[step]!(run)
  await run.volume.close()
  const marks = run.device.log.flatMap((event) => (event.kind === 'mark' ? [event.value] : []))
  return { image: run.device.image, marks: marks as Mark[], samples: run.samples }
}

export interface SequenceOptions {
  /** Sectors of an epoch up to which every combination is visited. */
  readonly exhaustive: number
  /** Mixtures of a longer epoch. */
  readonly perEpoch: number
  /** Takes part in every choice; the same seed visits the same states. */
  readonly seed: number
  /** Every how many-th flush is a lie; 0 = none. */
  readonly lies?: number
  readonly stopAtBad?: boolean
  /** Steps to choose from. Default: all. */
  readonly steps?: readonly string[]
}

export interface Tally {
  sequences: number
  states: number
  bad: number
  /** The first bad state: sequence, place of the cut, and what was wrong. */
  first: string | undefined
}

export const noTally = (): Tally => ({ sequences: 0, states: 0, bad: 0, first: undefined })

/** Plays and judges sequences. */
export class Sequences {
  readonly options: SequenceOptions
  readonly tally: Tally = noTally()
  readonly #starts = new Map<string, Start>()

  constructor(options: SequenceOptions) {
    this.options = options
  }

  /** All sequences of up to `length` steps, from each start; `onSequence` after each. */
  async all(length: number, onSequence: () => void = () => {}): Promise<void> {
    const names = this.options.steps ?? Object.keys(STEPS)
    for (const start of Object.keys(STARTS)) {
      const visit = async (steps: readonly string[]): Promise<void> => {
        if (!(await this.play(start, steps))) return
        onSequence()
        if (this.#over || steps.length === length) return
        for (const name of names) await visit([...steps, name])
      }
      await visit([])
    }
  }

  /** One random sequence of `seed`; visits the states of all its steps. */
  async random(seed: number): Promise<void> {
    const random = seededRandom(seed)
    const names = Object.keys(STEPS)
    const start = Object.keys(STARTS)[below(random, 2)]!
    const run = await this.#begin(start, seed)
    const from = run.device.log.length
    const length = 4 + below(random, 12)
    const played: string[] = []
    while (played.length < length) {
      const name = names[below(random, names.length)]!
      if (await STEPS[name]!(run)) played.push(name)
    }
    const name = `seed ${seed} (${start}: ${played.join(', ')})`
    await this.#judge(run, from, seed, name)
    await this.#cutAgain(run, from, seed, name)
  }

  /** Of some of the states a volume is mounted, and does one step; the power fails in that, too. */
  async #cutAgain(run: CrashRun, from: number, seed: number, name: string): Promise<void> {
    const names = Object.keys(STEPS)
    const options = { random: seededRandom(seed ^ 0xc07), exhaustive: 0, perEpoch: 2, from }
    let visited = 0
    for (const state of crashStates(run.device, options)) {
      if (this.#over) return
      if (visited++ % AGAIN_EVERY !== 0) continue
      const random = seededRandom(seed + visited)
      const next = new CrashRun(BLOCKS, random, undefined, state.device.flatten())
      for (const mark of state.marks as Mark[]) {
        next.mark(mark)
        if ('sample' in mark) next.samples.set(toHex(mark.sample.infoHash), mark.sample)
      }
      for (const each of [a, b, c]) next.lives.set(each, run.lives.get(each) ?? 0)
      await mount(next)
      await STEPS[names[below(random, names.length)]!]!(next)
      await this.#judge(next, 0, seed + visited, `${name}; after ${state.what}`)
    }
  }

  /** False: the last step makes no sense after the others. */
  async play(start: string, steps: readonly string[]): Promise<boolean> {
    const name = `${start}: ${steps.join(', ')}`
    const seed = this.options.seed + hashOf(name)
    const run = await this.#begin(start, seed)
    let from = steps.length === 0 ? 0 : run.device.log.length
    for (const step of steps) {
      from = run.device.log.length
      if (!(await STEPS[step]!(run))) return false
    }
    await this.#judge(run, from, seed, name)
    return true
  }

  get #over(): boolean {
    return this.options.stopAtBad === true && this.tally.bad > 0
  }

  async #begin(name: string, seed: number): Promise<CrashRun> {
    let start = this.#starts.get(name)
    if (start === undefined) {
      start = await prepare(STARTS[name]!)
      this.#starts.set(name, start)
    }
    const run = new CrashRun(BLOCKS, seededRandom(seed), undefined, start.image.copy())
    const { lies = 0 } = this.options
    if (lies > 0) run.device.lie = (flush) => flush % lies === lies - 1
    for (const [hash, known] of start.samples) {
      run.samples.set(hash, known)
      for (const each of [a, b, c]) if (toHex(each.infoHash) === hash) run.lives.set(each, 1)
    }
    for (const mark of start.marks) run.mark(mark)
    await run.mount()
    return run
  }

  async #judge(run: CrashRun, from: number, seed: number, name: string): Promise<void> {
    const { exhaustive, perEpoch, stopAtBad = false } = this.options
    const options = { random: seededRandom(seed ^ 0x5eed), exhaustive, perEpoch, from }
    const verdict = await judge(run, options, { stopAtBad })
    this.tally.sequences++
    this.tally.states += verdict.states
    this.tally.bad += verdict.bad
    if (verdict.first !== undefined) this.tally.first ??= `${name}; ${verdict.first}`
  }
}

/** FNV-1a: a sequence's own seed, whatever was visited before it. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}
