/**
 * One line of progress on a terminal, redrawn in place; on anything else a line for every tenth part.
 */
import type { WriteStream } from 'node:tty'
import { systemClock } from '../base/index.ts'
import { formatBytes, formatDuration, formatPercent } from './format.ts'

const REDRAW_MS = 100
const BAR_CELLS = 24
/** The rate shown is over about this long. */
const RATE_MS = 3000

export class ProgressBar {
  readonly #stream: WriteStream
  #label = ''
  #drawnAtMs = 0
  #visible = false
  #tenths = 0
  #samples: { atMs: number; bytes: number }[] = []

  constructor(stream: WriteStream) {
    this.#stream = stream
  }

  draw(label: string, bytes: number, totalBytes: number, note: string): void {
    const nowMs = systemClock.monotonicMs()
    if (label !== this.#label) {
      this.#label = label
      this.#samples = []
      this.#tenths = 0
      this.#drawnAtMs = 0
    }
    const done = bytes >= totalBytes
    if (nowMs - this.#drawnAtMs < REDRAW_MS && !done) return
    this.#drawnAtMs = nowMs
    this.#samples.push({ atMs: nowMs, bytes })
    while (this.#samples.length > 2 && nowMs - this.#samples[0]!.atMs > RATE_MS) {
      this.#samples.shift()
    }
    const first = this.#samples[0]!
    const rate = nowMs > first.atMs ? ((bytes - first.bytes) * 1000) / (nowMs - first.atMs) : 0
    const figures = [
      formatPercent(bytes, totalBytes),
      `${formatBytes(bytes)} of ${formatBytes(totalBytes)}`,
      ...(rate > 0 ? [`${formatBytes(rate)}/s`] : []),
      ...(rate > 0 && !done ? [`${formatDuration((totalBytes - bytes) / rate)} left`] : []),
      ...(note === '' ? [] : [note]),
    ].join('  ')
    if (this.#stream.isTTY) this.#redraw(label, bytes, totalBytes, figures)
    else this.#note(label, bytes, totalBytes, figures)
  }

  #redraw(label: string, bytes: number, totalBytes: number, figures: string): void {
    const filled = totalBytes === 0 ? 0 : Math.floor((bytes / totalBytes) * BAR_CELLS)
    const bar = `${'█'.repeat(filled)}${'░'.repeat(BAR_CELLS - filled)}`
    const room = Math.max(0, this.#stream.columns - figures.length - BAR_CELLS - 4)
    const name = label.length > room ? `${label.slice(0, Math.max(0, room - 1))}…` : label
    this.#stream.write(`\r\x1b[2K${name} ${bar} ${figures}`)
    this.#visible = true
  }

  #note(label: string, bytes: number, totalBytes: number, figures: string): void {
    const tenths = totalBytes === 0 ? 0 : Math.floor((bytes / totalBytes) * 10)
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
