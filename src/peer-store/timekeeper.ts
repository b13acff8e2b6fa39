/**
 * The shared time of a store: a word that a timer of the first thread sets every 2 s, so that a put reads a word and not a
 * clock. It sweeps when nobody else did for too long.
 *
 * Invariants: no tick is set at which a peer would be older than its age can say (age.ts).
 */
import type { Clock } from '../base/index.ts'
import { ageBits, SWEEP_TICKS, TICK_MS } from './age.ts'
import type { Core } from './core.ts'
import { H_AGE, H_TICK, S_SWARMS } from './layout.ts'
import { isLockLost } from './memory.ts'
import { Sweeper } from './sweeper.ts'

/** Only the thread that made a store has one. */
export class Timekeeper {
  readonly clock: Clock
  readonly sweeper: Sweeper
  readonly #core: Core
  readonly #baseMs: number
  readonly #lifetimeTicks: number
  #sweptTick = 0
  #cancel: () => void

  constructor(core: Core, clock: Clock, lifetime: number) {
    this.#core = core
    this.clock = clock
    this.#baseMs = clock.monotonicMs()
    this.#lifetimeTicks = lifetime
    this.sweeper = new Sweeper(core)
    const tick = (): void => {
      this.#cancel = clock.after(this.#untilNextMs(), tick, true)
      try {
        this.advance()
      } catch (error) {
        // The sweep is tried again at the next tick; until then the time stands still.
        if (!isLockLost(error)) throw error
      }
    }
    this.#cancel = clock.after(TICK_MS, tick, true)
  }

  /** Reads the clock. A sweep that is overdue runs first, as of the moment when it was due. */
  advance(): void {
    const now = Math.floor((this.clock.monotonicMs() - this.#baseMs) / TICK_MS)
    while (now - this.#sweptTick > SWEEP_TICKS) {
      if (this.#core.sum(S_SWARMS) === 0) {
        this.#sweptTick = now
        this.sweeper.restart()
      } else {
        this.#set(this.#sweptTick + SWEEP_TICKS)
        this.sweeper.restart()
        this.step(this.#lifetimeTicks, Number.POSITIVE_INFINITY)
      }
    }
    this.#set(now)
  }

  step(lifetime: number, swarms: number): boolean {
    const ended = this.sweeper.step(lifetime, swarms)
    if (ended) this.#sweptTick = this.sweeper.passTick
    return ended
  }

  stop(): void {
    this.#cancel()
  }

  #set(tick: number): void {
    const { words } = this.#core
    if (words[H_TICK] === tick) return
    words[H_TICK] = tick
    words[H_AGE] = ageBits(tick)
  }

  #untilNextMs(): number {
    return TICK_MS - ((this.clock.monotonicMs() - this.#baseMs) % TICK_MS)
  }
}
