/** How flows of uTP share a wire: alone, with each other, and with TCP. Virtual time; nothing here is measured by a clock. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '../../../src/base/index.ts'
import { Ledbat } from '../../../src/engine/utp/ledbat.ts'
import { type Flow, flow, Lab, WAY } from './pair.ts'
import { LossDrivenFlow } from './wires.ts'

/** What went over the wire in this time, as a share of what it could carry. */
function shareDuring(lab: Lab, ms: number): number {
  const before = lab.forward.carriedBytes
  lab.clock.advance(ms)
  return (lab.forward.carriedBytes - before) / (ms * WAY.bytesPerMs)
}

const readOf = ({ drain }: Flow): number => drain?.read ?? 0

test('a lone flow fills nine tenths of the wire, and keeps the queue near its target', () => {
  const lab = new Lab(1)
  flow(lab, 'a1', 'b1')
  lab.clock.advance(5_000)
  const share = shareDuring(lab, 40_000)
  assert.ok(share >= 0.9, `${share}`)
  let most = 0
  for (let i = 0; i < 200; i++) {
    lab.clock.advance(50)
    most = Math.max(most, lab.forward.queueMs)
  }
  assert.ok(most < 150, `queue of ${most} ms`)
  assert.equal(lab.forward.dropped, 0)
})

test('two flows share fairly, though the second finds the queue of the first', () => {
  const lab = new Lab(2)
  const first = flow(lab, 'a1', 'b1')
  lab.clock.advance(20_000)
  const second = flow(lab, 'a2', 'b2')
  lab.clock.advance(60_000)
  const before = [readOf(first), readOf(second)] as const
  const share = shareDuring(lab, 60_000)
  const [mine, theirs] = [readOf(first) - before[0], readOf(second) - before[1]]
  assert.ok(share >= 0.9, `${share}`)
  assert.ok(Math.max(mine, theirs) / Math.min(mine, theirs) < 1.5, `${mine} and ${theirs}`)
})

test('it gives way to a download over TCP, and comes back after it', () => {
  const lab = new Lab(3)
  const mine = flow(lab, 'a1', 'b1')
  lab.clock.advance(10_000)
  const other = new LossDrivenFlow(lab.clock, lab.forward, lab.back)
  lab.clock.advance(20_000)
  const before = [readOf(mine), other.ackedBytes] as const
  lab.clock.advance(40_000)
  const [ours, theirs] = [readOf(mine) - before[0], other.ackedBytes - before[1]]
  assert.ok(theirs >= 0.85 * 40_000 * WAY.bytesPerMs, `TCP got ${theirs}`)
  assert.ok(ours > 0, 'it is not starved')
  assert.ok(ours < theirs / 10, `${ours} and ${theirs}`)
  other.stop()
  lab.clock.advance(20_000)
  const share = shareDuring(lab, 20_000)
  assert.ok(share >= 0.85, `${share}`)
})

test('clocks that differ, and drift apart, change nothing', () => {
  const lab = new Lab(4)
  // 100 parts in a million; off by hours.
  const drifting = (factor: number): Clock => ({
    monotonicMs: () => 20_000_000 + lab.clock.monotonicMs() * factor,
    wallMs: () => 0,
    after: (ms, task) => lab.clock.after(ms, task),
  })
  for (const [i, factor] of [1.0001, 0.9999].entries()) {
    const made = flow(lab, `a${i}`, `b${i}`, undefined, { from: drifting(factor) })
    lab.clock.advance(30_000)
    const share = shareDuring(lab, 100_000)
    assert.ok(share >= 0.85, `${share} at ${factor}`)
    assert.ok(lab.forward.queueMs < 200, `${lab.forward.queueMs}`)
    made.connection.destroy()
    lab.clock.advance(20_000)
  }
})

test('a queue shorter than the target is filled, and the window halved for what it loses', () => {
  const lab = new Lab(5, { queueBytes: 40_000 })
  flow(lab, 'a1', 'b1', undefined)
  lab.clock.advance(5_000)
  const share = shareDuring(lab, 30_000)
  assert.ok(share >= 0.7, `${share}`)
  assert.ok(lab.forward.dropped > 0)
})

test('the window is never less than a packet, nor more than was handed in', () => {
  const ledbat = new Ledbat(1400, 100_000)
  for (let i = 0; i < 20; i++) {
    ledbat.lost(i)
    assert.ok(ledbat.windowBytes >= 1400)
    ledbat.silent()
    assert.equal(ledbat.windowBytes, 1400)
  }
  for (let i = 0; i < 10_000; i++) ledbat.acked(1400, 0, 10, true, 1_000 + i)
  assert.equal(ledbat.windowBytes, 100_000)
  for (let i = 0; i < 10_000; i++) ledbat.acked(1400, 2_000_000_000, 10, true, 20_000 + i)
  assert.ok(ledbat.windowBytes >= 1400)
  assert.ok(ledbat.windowBytes <= 4 * 1400)
})

test('a window that is not used does not grow', () => {
  const ledbat = new Ledbat(1400, 1_000_000)
  const before = ledbat.windowBytes
  for (let i = 0; i < 1_000; i++) ledbat.acked(1400, 0, 10, false, i)
  assert.equal(ledbat.windowBytes, before)
})
