/** One timer for many who want to be called. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ManualClock } from '../../../src/base/index.ts'
import { type Alarm, Alarms } from '../../../src/engine/announce/alarms.ts'

/** Counts the timers that run. */
class CountingClock extends ManualClock {
  timers = 0

  override after(delayMs: number, task: () => void): () => void {
    this.timers++
    let isOver = false
    const over = (): void => {
      if (!isOver) this.timers--
      isOver = true
    }
    const cancel = super.after(delayMs, () => {
      over()
      task()
    })
    return () => {
      over()
      cancel()
    }
  }
}

test('each is called at its time, once, and not when it is cleared; one timer runs while anybody waits', () => {
  const act = fc.record({
    what: fc.constantFrom('set', 'set', 'clear', 'wait'),
    who: fc.nat(9),
    ms: fc.integer({ min: -5, max: 40 }),
  })
  fc.assert(
    fc.property(fc.array(act, { maxLength: 80 }), (acts) => {
      const clock = new CountingClock(100)
      const alarms = new Alarms(clock)
      /** When each is to be called. */
      const due = new Map<number, number>()
      const all = Array.from({ length: 10 }, (_, who): Alarm => {
        return {
          dueMs: 0,
          place: -1,
          ring() {
            assert.equal(clock.monotonicMs(), due.get(who))
            due.delete(who)
            // Some want to be called again.
            if (who % 3 !== 0) return
            due.set(who, clock.monotonicMs() + 7)
            alarms.set(all[who]!, clock.monotonicMs() + 7)
          },
        }
      })
      for (const { what, who, ms } of acts) {
        const nowMs = clock.monotonicMs()
        if (what === 'set') {
          due.set(who, Math.max(nowMs, nowMs + ms))
          alarms.set(all[who]!, nowMs + ms)
        } else if (what === 'clear') {
          due.delete(who)
          alarms.clear(all[who]!)
        } else {
          clock.advance(Math.max(0, ms))
          assert.ok([...due.values()].every((dueMs) => dueMs > clock.monotonicMs()))
        }
        assert.equal(clock.timers, due.size > 0 ? 1 : 0)
        for (const [i, alarm] of all.entries()) assert.equal(alarm.place >= 0, due.has(i))
      }
    }),
  )
})
