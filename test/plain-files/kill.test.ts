/** A process that works on a folder of ordinary files is killed, again and again, and what it was promised is there. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { below, seededRandom, systemClock } from '../../src/base/index.ts'
import { openPlainFolder } from '../../src/plain-files/index.ts'
import { killSample, pieceOf } from './kill-child.ts'

const root = mkdtempSync(join(tmpdir(), 'seedbed-files-kill-'))
after(() => rmSync(root, { recursive: true }))

const ROUNDS = Number(process.env.SEEDBED_KILL_ROUNDS ?? 6)
const SEED = 1
const LATEST_MS = 300
const program = fileURLToPath(new URL('./kill-child.js', import.meta.url))

/** By torrent: what it was said to be last, and the pieces that were synced. */
type Promises = Map<number, { state: 'maybe' | 'there' | 'going' | 'gone'; synced: Set<number> }>

async function runAndKill(seed: number, delayMs: number, promises: Promises): Promise<void> {
  const child = spawn(process.execPath, [program, root, String(seed)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'ready') {
      void delay(delayMs).then(() => child.kill('SIGKILL'))
      continue
    }
    const [kind, numeral, pieces = ''] = line.split(' ')
    const number = Number(numeral)
    const known = promises.get(number) ?? { state: 'maybe', synced: new Set() }
    promises.set(number, known)
    if (kind === 'created') known.state = 'there'
    else if (kind === 'removing') known.state = 'going'
    else if (kind === 'removed') known.state = 'gone'
    else if (kind === 'synced') {
      for (const piece of pieces.split(',')) if (piece !== '') known.synced.add(Number(piece))
    }
  }
  const [, signal] = (await ended) as [number | null, string | null]
  assert.equal(signal, 'SIGKILL', 'the process ended by itself')
}

test(`what was promised is there after a SIGKILL (${ROUNDS} rounds)`, async () => {
  const random = seededRandom(SEED)
  const promises: Promises = new Map()
  for (let round = 1; round <= ROUNDS; round++) {
    await runAndKill(SEED * 100 + round, below(random, LATEST_MS), promises)
    const folder = await openPlainFolder(root, { clock: systemClock })
    assert.deepEqual(folder.problems, [])
    for (const [number, { state, synced }] of promises) {
      const sample = killSample(number)
      const stored = folder.get(sample.info.infoHash)
      const what = `round ${round}, torrent ${number}`
      if (state === 'gone') assert.equal(stored, undefined, `${what} is gone`)
      if (state === 'there') assert.ok(stored !== undefined, `${what} is there`)
      if (stored === undefined) {
        promises.delete(number)
        continue
      }
      const doubted = new Set(await stored.doubted())
      for (let piece = 0; piece < stored.pieceCount; piece++) {
        const promised = synced.has(piece)
        const believed = stored.have.has(piece)
        assert.ok(!promised || believed || doubted.has(piece), `${what} keeps piece ${piece}`)
        if (!promised && !believed) continue
        const bytes = new Uint8Array(pieceOf(sample, piece).length)
        await stored.read(piece * sample.info.pieceBytes, bytes)
        assert.ok(Buffer.compare(bytes, pieceOf(sample, piece)) === 0, `${what}: piece ${piece}`)
        if (doubted.has(piece)) stored.markHave(piece)
      }
      promises.set(number, { state: 'there', synced })
    }
    const places = [...folder.torrents()].map(({ place }) => place!)
    for (const name of readdirSync(root)) {
      assert.ok(name === '.seedbed' || places.includes(name), `${name} is of no torrent any more`)
    }
    await folder.close()
  }
})
