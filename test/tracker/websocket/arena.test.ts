/** Memory of a turn: frames keep what was written until they are, whatever is asked for meanwhile. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../../src/base/index.ts'
import { Arena } from '../../../src/tracker/websocket/arena.ts'

interface Held {
  readonly memory: Buffer
  readonly start: number
  readonly end: number
  readonly fill: number
}

const isIntact = ({ memory, start, end, fill }: Held): boolean =>
  memory.subarray(start, end).every((byte) => byte === fill)

test('frames are intact when they are written, and for as long as a socket holds them', () => {
  const random = seededRandom(3)
  const arena = new Arena()
  let turn: Held[] = []
  /** What sockets did not pass on. */
  let held: Held[] = []
  let written = 0
  const write = (): void => {
    for (const frame of turn) {
      assert.equal(frame.memory, arena.memory)
      assert.ok(isIntact(frame))
    }
    written += turn.length
    const isWritten = random.uint32() % 4 > 0
    if (!isWritten) held.push(...turn)
    turn = []
    arena.endTurn(isWritten)
  }
  arena.whenFull(write)
  for (let n = 0; n < 3000; n++) {
    const bytes = 1 + (random.uint32() % (n % 100 === 0 ? 300_000 : 6000))
    const start = arena.room(bytes)
    const frame = { memory: arena.memory, start, end: start + bytes, fill: n & 255 }
    arena.memory.fill(frame.fill, start, frame.end)
    turn.push(frame)
    if (random.uint32() % 50 === 0) write()
    if (n % 200 === 0) {
      assert.ok(held.every(isIntact))
      held = []
    }
  }
  assert.ok(held.every(isIntact))
  assert.ok(written > 2900)
  assert.ok(arena.memory.length <= 2 ** 20)
})

test('a row is as long as it must be, and another one when a socket holds it', () => {
  const arena = new Arena()
  const row = arena.rowOf(100_000)
  assert.ok(row.length >= 100_000)
  assert.equal(arena.rowOf(50), row)
  arena.leaveRow()
  assert.notEqual(arena.rowOf(50), row)
})
