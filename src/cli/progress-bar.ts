/**
 * One line of progress on a terminal, redrawn in place; on anything else a line for every tenth part of
 * work that takes long.
 */
import type { WriteStream } from 'node:tty'
import { systemClock } from '../base/index.ts'
import { formatDuration, formatPercent } from './format.ts'

const REDRAW_MS = 100
const BAR_CELLS = 24
/** Off a terminal, work that is shorter is not talked about. */
const QUIET_MS = 3000
/** The rate shown is over about this long. */
const RATE_MS = 3000

export class ProgressBar {
  readonly #stream: WriteStream
  #label = ''
  #drawnAtMs = 0
  #visible = false
  #tenths = 0
  #startedAtMs = 0
  #samples: { atMs: number; done: number }[] = []

  constructor(stream: WriteStream) {
    this.#stream = stream
  }

  draw(
    label: string,
    done: number,
    total: number,
    count: (amount: number) => string,
    note: string,
  ): void {
    const nowMs = systemClock.monotonicMs()
    if (label !== this.#label) {
      this.#label = label
      this.#samples = []
      this.#tenths = 0
      this.#drawnAtMs = 0
      this.#startedAtMs = nowMs
    }
    const whole = done >= total
    if (nowMs - this.#drawnAtMs < REDRAW_MS && !whole) return
    this.#drawnAtMs = nowMs
    this.#samples.push({ atMs: nowMs, done })
    while (this.#samples.length > 2 && nowMs - this.#samples[0]!.atMs > RATE_MS) {
      this.#samples.shift()
    }
    const first = this.#samples[0]!
    const rate = nowMs > first.atMs ? ((done - first.done) * 1000) / (nowMs - first.atMs) : 0
    const figures = [
      formatPercent(done, total),
      `${count(done)} of ${count(total)}`,
      ...(rate > 0 ? [`${count(Math.round(rate))}/s`] : []),
      ...(rate > 0 && !whole ? [`${formatDuration((total - done) / rate)} left`] : []),
      ...(note === '' ? [] : [note]),
    ].join('  ')
    if (this.#stream.isTTY) this.#redraw(label, done, total, figures)
    else if (nowMs - this.#startedAtMs > QUIET_MS) this.#note(label, done, total, figures)
  }

  #redraw(label: string, done: number, total: number, figures: string): void {
    const filled = total === 0 ? 0 : Math.floor((done / total) * BAR_CELLS)
    const bar = `${'█'.repeat(filled)}${'░'.repeat(BAR_CELLS - filled)}`
    const room = Math.max(0, this.#stream.columns - figures.length - BAR_CELLS - 4)
    const name = label.length > room ? `${label.slice(0, Math.max(0, room - 1))}…` : label
    this.#stream.write(`\r\x1b[2K${name} ${bar} ${figures}`)
    this.#visible = true
  }

  #note(label: string, done: number, total: number, figures: string): void {
    const tenths = total === 0 ? 0 : Math.floor((done / total) * 10)
    if (tenths <= this.#tenths) return
    this.#tenths = tenths
    this.#stream.write(`${label} ${figures}\n`)
  }

  /** Before anything else is printed. */
  clear(): void {
    if (this.#visible) this.#stream.write('\r\x1b[2K')
    this.#visible = false
  }
}
