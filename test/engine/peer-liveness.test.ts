/** When a connection is taken for dead, and when something is said on it so that ours is not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PeerLiveness } from '../../src/engine/peer-liveness.ts'
import { SentByWriter } from './sent-by-writer.ts'

const START_MS = 5_000
const wire = (): SentByWriter => Object.assign(new SentByWriter(), { nowMs: START_MS })

/** The second, counted from the connection, in which it is found overdue; at most `lastS`. */
function deathOf(
  { writer }: SentByWriter,
  isMet: boolean,
  lastS: number,
  each: (liveness: PeerLiveness, second: number, nowMs: number) => void = () => {},
): [second: number, why: string] | undefined {
  const liveness = new PeerLiveness(writer, START_MS)
  for (let second = 1; second <= lastS; second++) {
    const nowMs = START_MS + second * 1_000
    each(liveness, second, nowMs)
    const error = liveness.overdue(nowMs, isMet)
    if (error !== undefined) return [second, error.message]
  }
  return undefined
}

test('who does not say who it is has twenty seconds, whatever else it says', () => {
  const late = [21, 'no handshake']
  assert.deepEqual(deathOf(wire(), false, 30), late)
  const talks = deathOf(wire(), false, 30, (liveness, _, nowMs) => liveness.heard(nowMs))
  assert.deepEqual(talks, late)
})

test('who is silent for longer than two minutes and a half is gone', () => {
  assert.deepEqual(deathOf(wire(), true, 1_000), [151, 'nothing heard for too long'])
  const speaks = deathOf(wire(), true, 1_000, (liveness, second, nowMs) => {
    if (second % 150 === 0) liveness.heard(nowMs)
  })
  assert.equal(speaks, undefined)
})

test('who talks and reads nothing is gone a minute after it read last', () => {
  const deaf = wire()
  const death = deathOf(deaf, true, 1_000, (liveness, second, nowMs) => {
    liveness.heard(nowMs)
    if (second !== 100) return
    deaf.reads = false
    deaf.writer.send(new Uint8Array(10))
  })
  // It was seen to have nothing waiting for it in second 99.
  assert.deepEqual(death, [160, 'nothing read for too long'])
})

test('who reads slowly stays', () => {
  const slow = wire()
  slow.reads = false
  slow.writer.send(new Uint8Array(10))
  const death = deathOf(slow, true, 1_000, (liveness, second, nowMs) => {
    liveness.heard(nowMs)
    if (second % 60 === 0) liveness.drained(nowMs)
  })
  assert.equal(death, undefined)
})

test('after a hundred seconds of our silence a keep-alive is sent, and then not at once another', () => {
  const quiet = wire()
  const liveness = new PeerLiveness(quiet.writer, START_MS)
  const said: number[] = []
  for (let second = 1; second <= 350; second++) {
    quiet.nowMs = START_MS + second * 1_000
    if (second === 30) quiet.writer.send(new Uint8Array(5))
    quiet.take()
    liveness.keepAlive(quiet.nowMs)
    const bytes = quiet.take()
    if (bytes.length === 0) continue
    assert.deepEqual([...bytes], [0, 0, 0, 0])
    said.push(second)
  }
  assert.deepEqual(said, [130, 230, 330])
})
