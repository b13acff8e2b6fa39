/**
 * Power cuts: whatever subset of the unflushed writes survives, the volume mounts, fsck finds nothing,
 * what was promised is there, and what is believed verifies. And the proof of the proof: with any one
 * barrier taken out, the same tests must notice.
 *
 * SEEDBED_LONG=1 runs more seeds and more mixtures.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { below, seededRandom, toHex } from '../../src/base/index.ts'
import { crashStates } from '../../src/block-device/index.ts'
import type { BarrierName } from '../../src/filesystem/index.ts'
import { CrashRun, judge, Killed, type Mark, type Verdict } from './crash-harness.ts'
import { BLOCK, hasCode, KIB, putPiece, type Sample, sample } from './support.ts'

const LONG = process.env.SEEDBED_LONG === '1'
const EFFORT = LONG ? 2 : 1

type Work = (run: CrashRun) => Promise<void>

/** Everything in turn, from mkfs on; a small device, so that freed blocks are used again at once. */
const lifecycle: Work = async (run) => {
  await run.format()
  await run.mount()
  const a = sample(1, 5 * BLOCK + 3 * 512, 16 * KIB)
  const b = sample(2, 2 * BLOCK, BLOCK)
  const storedA = await run.create(a)
  for (const piece of [0, 1, 5]) await putPiece(storedA, a, piece)
  await run.sync()
  await run.sync(async () => {
    for (const piece of [2, 20]) await putPiece(storedA, a, piece)
  })
  const storedB = await run.create(b)
  await putPiece(storedB, b, 1)
  storedB.uploadedBytes = 77
  await run.sync()
  await run.remove(a)
  const c = sample(3, 3 * BLOCK, 32 * KIB)
  const storedC = await run.create(c)
  for (const piece of [0, 3, 5]) await putPiece(storedC, c, piece)
  await run.sync()
  await run.volume.close()
  await run.mount()
  await run.remove(b)
  await run.commit(sample(4, 2 * BLOCK + 512, 16 * KIB))
}

/** A piece that begins in one map twin and ends in another. */
const spanning: Work = async (run) => {
  await run.format()
  await run.mount()
  // The header twin maps 90 blocks; piece 51 lies in the blocks 89 and 90.
  const from = sample(5, 300 * BLOCK, 112 * KIB)
  const stored = await run.create(from)
  await putPiece(stored, from, 40)
  await run.sync()
  await putPiece(stored, from, 51)
  await run.sync(() => putPiece(stored, from, 52))
  await putPiece(stored, from, 50)
  await run.sync()
}

/** Continuations come into being, with a piece across the border of two. */
const continued: Work = async (run) => {
  await run.format()
  await run.mount()
  const from = sample(6, 8100 * BLOCK, 96 * KIB)
  const stored = await run.create(from)
  // A continuation maps 64 twins of 121 blocks; the piece at the border lies in two of them.
  const border = Math.floor((64 * 121 * BLOCK) / from.pieceBytes)
  await putPiece(stored, from, 3)
  await run.sync()
  for (const piece of [border - 1, border, border + 1]) await putPiece(stored, from, piece)
  await run.sync()
  await putPiece(stored, from, from.pieces - 1)
  await run.sync()
  await run.remove(from)
}

/** The process dies in the middle of a removal; the next one uses the blocks; then the power fails. */
const killed: Work = async (run) => {
  await run.format()
  await run.mount()
  const a = sample(7, 3 * BLOCK, BLOCK)
  const stored = await run.create(a)
  for (const piece of [0, 1, 2]) await putPiece(stored, a, piece)
  await run.sync()
  for (const barrier of ['remove-root', 'remove-twin'] as const) {
    run.killAt = barrier
    await assert.rejects(run.remove(a), Killed)
    await run.mount()
    await run.commit(sample(8 + barrier.length, 3 * BLOCK, BLOCK))
    if (run.volume.get(a.infoHash) !== undefined) continue
    break
  }
}

/** The device becomes larger, and what is new is used at once; also after a process died half-way. */
const growing: Work = async (run) => {
  run.visibleBlocks = 8
  await run.format()
  await run.mount()
  await run.commit(sample(20, 3 * BLOCK, BLOCK))
  await run.volume.close()
  for (const [round, killAt] of [0, 1, 2, undefined].entries()) {
    const growth = run.grow(12 + 4 * round, killAt)
    if (killAt === undefined) await growth
    else await assert.rejects(growth, Killed)
    await run.mount()
    const free = run.volume.stats().freeBlocks
    if (free > 2) await run.commit(sample(21 + round, (free - 1) * BLOCK, BLOCK))
    await run.volume.close()
  }
  await run.mount()
  await run.remove(sample(20, 3 * BLOCK, BLOCK))
  await run.commit(sample(30, 3 * BLOCK, BLOCK))
}

/** The device becomes larger under a mounted volume that is written to; also when the process dies of it. */
const growingInUse: Work = async (run) => {
  run.visibleBlocks = 8
  await run.format()
  await run.mount()
  const from = sample(40, 30 * BLOCK, BLOCK)
  let stored = await run.create(from)
  let piece = 0
  const put = async (): Promise<void> => {
    await putPiece(stored, from, piece)
    piece++
  }
  for (const [round, killed] of [false, true, false].entries()) {
    await put()
    run.killAt = killed ? 'grow' : undefined
    const growth = run.growMounted(12 + 4 * round, async () => {
      // More than there is room for before it has grown.
      for (let i = 0; i < 5; i++) {
        await put().catch((error: unknown) => assert.ok(hasCode('FS_FULL')(error)))
      }
      if (!killed) await run.sync()
    })
    if (killed) {
      await assert.rejects(growth, Killed)
      await run.mount()
      stored = run.volume.get(from.infoHash)!
      while (stored.have.has(piece)) piece++
      continue
    }
    await growth
    // Three for the next round.
    while (run.volume.stats().freeBlocks > 3) await put()
    await run.sync()
  }
}

/** Pieces that share sectors, as odd piece sizes make them; here a sector is written whole or not. */
const ragged: Work = async (run) => {
  await run.format()
  await run.mount()
  const from = sample(10, 3 * BLOCK - 100, 30_001)
  const stored = await run.create(from)
  for (const piece of [1, 0, 3]) await putPiece(stored, from, piece)
  await run.sync()
  for (const piece of [2, 6, 5]) await putPiece(stored, from, piece)
  await run.sync()
}

/** A seeded walk over all operations, with remounts and killed processes. */
const walk: Work = async (run) => {
  const { random } = run
  await run.format()
  await run.mount()
  let next = 100
  const pick = (): Sample | undefined => {
    const all = [...run.volume.torrents()]
    return all.length === 0
      ? undefined
      : run.samples.get(toHex(all[below(random, all.length)]!.infoHash))
  }
  const put = async (): Promise<void> => {
    const from = pick()
    if (from === undefined) return
    const stored = run.volume.get(from.infoHash)
    const piece = below(random, from.pieces)
    // What is held is not written again: a sector in flight may turn into garbage here.
    if (stored?.have.has(piece) === false) await putPiece(stored, from, piece)
  }
  for (let step = 0; step < (LONG ? 60 : 24); step++) {
    const choice = below(random, 20)
    try {
      if (choice < 3) await run.create(sample(next++, 1 + below(random, 4 * BLOCK), 16 * KIB))
      else if (choice < 10) await put()
      else if (choice < 12) await run.sync()
      else if (choice < 15) await run.sync(put)
      else if (choice === 15) {
        const from = pick()
        if (from !== undefined) await run.remove(from)
      } else if (choice === 16)
        await run.commit(sample(next++, 1 + below(random, 2 * BLOCK), 16 * KIB))
      else if (choice === 17) {
        const from = pick()
        const stored = from === undefined ? undefined : run.volume.get(from.infoHash)
        const piece = from === undefined ? 0 : below(random, from.pieces)
        if (from !== undefined && stored?.have.has(piece) === true) {
          run.mark({ kind: 'clearing', sample: from, piece })
          stored.clearHave(piece)
          await run.sync()
        }
      } else if (choice === 18) {
        await run.volume.close()
        await run.mount()
      } else {
        run.killAt = (
          ['create-inode', 'create-root', 'sync-data', 'sync-map', 'remove-root'] as const
        )[below(random, 5)]
      }
    } catch (error) {
      const full = error instanceof Error && 'code' in error && error.code === 'FS_FULL'
      if (!(error instanceof Killed) && !full) throw error
      if (!full) await run.mount()
    }
  }
}

interface Scenario {
  readonly name: string
  readonly work: Work
  readonly blocks: number
  readonly garbage: boolean
  readonly seeds: readonly number[]
}

const SCENARIOS: readonly Scenario[] = [
  { name: 'lifecycle', work: lifecycle, blocks: 24, garbage: true, seeds: [1] },
  { name: 'spanning pieces', work: spanning, blocks: 24, garbage: true, seeds: [2] },
  { name: 'continuations', work: continued, blocks: 24, garbage: true, seeds: [3] },
  { name: 'killed process', work: killed, blocks: 16, garbage: true, seeds: [4] },
  { name: 'growth', work: growing, blocks: 24, garbage: true, seeds: [6] },
  { name: 'growth in use', work: growingInUse, blocks: 24, garbage: true, seeds: [7] },
  { name: 'ragged pieces', work: ragged, blocks: 16, garbage: false, seeds: [5] },
  {
    name: 'random walk',
    work: walk,
    blocks: 20,
    garbage: true,
    seeds: Array.from({ length: LONG ? 60 : 8 }, (_, i) => 1000 + i),
  },
]

interface Visit {
  readonly without?: BarrierName
  readonly rot?: boolean
  readonly stopAtBad?: boolean
  /** Mixtures of each epoch. */
  readonly perEpoch: number
}

async function visit(scenario: Scenario, seed: number, how: Visit): Promise<Verdict> {
  const run = new CrashRun(scenario.blocks, seededRandom(seed), how.without)
  try {
    await scenario.work(run)
  } catch (error) {
    if (how.without === undefined) throw error
  }
  const options = {
    random: seededRandom(seed + 1),
    perEpoch: how.perEpoch,
    exhaustive: LONG ? 6 : 4,
    garbage: scenario.garbage,
  }
  return judge(run, options, how)
}

for (const scenario of SCENARIOS) {
  for (const rot of [false, true]) {
    const addition = rot ? ', even when a root sector rots on top of it' : ''
    test(`${scenario.name}: every state is sound${addition}`, async (context) => {
      let states = 0
      for (const seed of scenario.seeds) {
        const verdict = await visit(scenario, seed, { rot, perEpoch: (rot ? 4 : 24) * EFFORT })
        assert.equal(verdict.first, undefined, `seed ${seed}: ${verdict.first}`)
        states += verdict.states
      }
      context.diagnostic(`${states} states`)
    })
  }
}

test('a power cut in the work after a power cut leaves sound states, too', async (context) => {
  const first = new CrashRun(24, seededRandom(77))
  await lifecycle(first)
  let states = 0
  let visited = 0
  for (const state of crashStates(first.device, { random: seededRandom(78), perEpoch: 3 })) {
    visited++
    if (visited % (LONG ? 2 : 12) !== 0) continue
    const marks = state.marks as Mark[]
    if (!marks.some((mark) => mark.kind === 'formatted')) continue
    const run = new CrashRun(24, seededRandom(visited), undefined, state.device.flatten())
    for (const mark of marks) {
      run.mark(mark)
      if ('sample' in mark) run.samples.set(toHex(mark.sample.infoHash), mark.sample)
    }
    await run.mount()
    await run.commit(sample(500 + visited, 2 * BLOCK, 16 * KIB))
    const [old] = [...run.volume.torrents()]
    if (old !== undefined) await run.remove(run.samples.get(toHex(old.infoHash))!)
    const verdict = await judge(run, { random: seededRandom(visited), perEpoch: 3 })
    assert.equal(verdict.first, undefined, `after ${state.what}: ${verdict.first}`)
    states += verdict.states
  }
  context.diagnostic(`${states} states`)
})

/** What each barrier is for; the tests above must fail without it. */
const CONTROLS: Readonly<Record<Exclude<BarrierName, 'close'>, string>> = {
  mkfs: 'no header before the root list',
  mount: 'no reuse of blocks on the word of a cache',
  'create-inode': 'no root entry before the i-node',
  'create-root': 'a created torrent stays',
  'sync-data': 'no have-bit before the data',
  'sync-map': 'a synced piece stays',
  'remove-root': 'one good copy of the root sector at any time',
  'remove-twin': 'rot does not bring a removed torrent back',
  grow: 'one good copy of the header at any time',
}

test('controls: without any one barrier, a test above fails', async (context) => {
  const missed: string[] = []
  for (const [without, purpose] of Object.entries(CONTROLS)) {
    const caught: string[] = []
    for (const scenario of SCENARIOS.slice(0, 6)) {
      for (const rot of [false, true]) {
        if (!LONG && caught.length > 0) break
        const how = { without: without as BarrierName, rot, stopAtBad: !LONG, perEpoch: 6 }
        const verdict = await visit(scenario, scenario.seeds[0]!, how)
        if (verdict.bad === 0) continue
        const count = LONG ? `${verdict.bad} of ${verdict.states}` : `state ${verdict.states}`
        caught.push(`${scenario.name}${rot ? ' + rot' : ''}, ${count}: ${verdict.first}`)
      }
    }
    context.diagnostic(`without ${without} (${purpose}):`)
    for (const line of caught) context.diagnostic(`  caught by ${line}`)
    if (caught.length === 0) missed.push(without)
  }
  context.diagnostic('without close: nothing to catch, it orders a hint (cursor and flag)')
  assert.deepEqual(missed, [])
})
