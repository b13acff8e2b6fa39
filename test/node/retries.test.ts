/** When a torrent that its storage paused is tried again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock, SeedbedError } from '../../src/base/index.ts'
import type { EngineTorrent } from '../../src/engine/index.ts'
import { FIRST_MS, LAST_MS, Retries } from '../../src/node/retries.ts'

function torrent(code: string, stored = true): EngineTorrent {
  const parts = {
    infoHash: new Uint8Array(20),
    error: new SeedbedError(code, code),
    stored: stored ? {} : undefined,
  }
  return parts as unknown as EngineTorrent
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('sooner at first, then ever more rarely; anew when it ran well for long', async () => {
  const clock = new ManualClock()
  const tries: number[] = []
  let works = false
  const retries = new Retries(clock, async () => {
    tries.push(clock.monotonicMs())
    if (!works) throw new Error('not yet')
  })
  const one = torrent('FS_FULL')
  assert.equal(retries.failed(one), FIRST_MS)
  for (let s = 0; s < 3_600; s++) {
    clock.advance(1_000)
    await settle()
  }
  const gaps = tries.map((at, i) => at - (tries[i - 1] ?? 0))
  assert.deepEqual(
    gaps.slice(0, 7),
    [30, 60, 120, 240, 480, 600, 600].map((s) => s * 1_000),
  )
  works = true
  clock.advance(LAST_MS)
  await settle()
  const count = tries.length
  clock.advance(10 * LAST_MS)
  await settle()
  assert.equal(tries.length, count, 'it runs')
  assert.equal(retries.failed(one), FIRST_MS)
  await retries.stop()
  clock.advance(10 * LAST_MS)
  await settle()
  assert.equal(tries.length, count, 'nothing after stop')
})

test('only what storage has paused is tried again', () => {
  const retries = new Retries(new ManualClock(), () => Promise.resolve())
  for (const code of ['DEVICE_IO', 'DEVICE_FULL', 'FS_FULL', 'FILES_CHANGED']) {
    assert.equal(retries.failed(torrent(code)), FIRST_MS)
  }
  assert.equal(retries.failed(torrent('ENGINE_BAD_METADATA')), null)
  assert.equal(retries.failed(torrent('FS_FULL', false)), null)
})
