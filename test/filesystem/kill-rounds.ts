/**
 * A real process on a real device, killed at a random moment, again and again; after each kill the
 * device is judged by what the process had been promised.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { below, seededRandom } from '../../src/base/index.ts'
import { openFileDevice } from '../../src/block-device/index.ts'
import { formatVolume, mountVolume } from '../../src/filesystem/index.ts'
import { judgeDevice, type Mark } from './crash-harness.ts'
import { killSample } from './kill-child.ts'
import { formatOptions, mountOptions } from './support.ts'

export interface KillTally {
  rounds: number
  bad: number
  /** Promises made, by what they promise. */
  readonly promises: { created: number; removed: number; pieces: number }
  first: string | undefined
}

const LATEST_MS = 300

/** Formats what is at `path` and runs `rounds` rounds on it. The same seed does the same work, killed at other moments. */
export async function killRounds(path: string, rounds: number, seed: number): Promise<KillTally> {
  const tally: KillTally = {
    rounds: 0,
    bad: 0,
    promises: { created: 0, removed: 0, pieces: 0 },
    first: undefined,
  }
  const random = seededRandom(seed)
  const fresh = await openFileDevice(path)
  await formatVolume(fresh, formatOptions({ force: true }))
  await fresh.close()
  let marks: Mark[] = [{ kind: 'formatted' }]
  for (let round = 1; round <= rounds; round++) {
    const said = await runAndKill(path, seed * 1000 + round, below(random, LATEST_MS))
    marks.push(...said)
    for (const mark of said) {
      if (mark.kind === 'created' || mark.kind === 'removed') tally.promises[mark.kind]++
      else if (mark.kind === 'synced') tally.promises.pieces += mark.pieces.length
    }
    const wrong = await judgeDevice(await openFileDevice(path), marks)
    tally.rounds++
    if (wrong !== undefined) {
      tally.bad++
      tally.first ??= `round ${round}: ${wrong}`
      return tally
    }
    marks = await found(path, marks)
  }
  return tally
}

/** What the process said before it died. */
async function runAndKill(path: string, seed: number, delayMs: number): Promise<Mark[]> {
  const program = fileURLToPath(new URL('./kill-child.js', import.meta.url))
  const child = spawn(process.execPath, [program, path, String(seed)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  const marks: Mark[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'ready') void delay(delayMs).then(() => child.kill('SIGKILL'))
    else marks.push(markOf(line))
  }
  const [code, signal] = (await ended) as [number | null, string | null]
  if (signal !== 'SIGKILL') throw new Error(`the process ended by itself: ${code ?? signal}`)
  return marks
}

function markOf(line: string): Mark {
  const [kind, number, pieces = ''] = line.split(' ')
  const sample = killSample(Number(number))
  if (kind === 'synced') {
    return { kind, sample, pieces: pieces === '' ? [] : pieces.split(',').map(Number) }
  }
  return { kind: kind as 'creating' | 'created' | 'removing' | 'removed', sample }
}

/** What was in doubt is settled now: the next round is judged by what this one left. */
async function found(path: string, marks: readonly Mark[]): Promise<Mark[]> {
  const volume = await mountVolume(
    await openFileDevice(path, { readOnly: true }),
    mountOptions({ readOnly: true }),
  )
  const settled: Mark[] = [{ kind: 'formatted' }]
  const seen = new Set<string>()
  for (const mark of marks) {
    if (mark.kind !== 'creating') continue
    const stored = volume.get(mark.sample.infoHash)
    const name = Buffer.from(mark.sample.infoHash).toString('hex')
    if (stored === undefined || seen.has(name)) continue
    seen.add(name)
    const pieces: number[] = []
    for (let i = 0; i < stored.pieceCount; i++) if (stored.have.has(i)) pieces.push(i)
    const { sample } = mark
    settled.push(mark, { kind: 'created', sample }, { kind: 'synced', sample, pieces })
  }
  await volume.close()
  return settled
}
