/**
 * What a command says: results on stdout, as text or as one JSON object a line; progress, errors and
 * logs on stderr. A command never writes to either by itself.
 */
import { styleText } from 'node:util'
import { errnoOf, SeedbedError } from '../base/index.ts'
import { formatBytes } from './format.ts'
import { ProgressBar } from './progress-bar.ts'

export class Output {
  readonly json: boolean
  readonly #bar = new ProgressBar(process.stderr)

  /** `outlivesReader`: who serves others goes on when nobody reads what it says, and ends as it should. */
  constructor(json: boolean, outlivesReader = false) {
    this.json = json
    process.stdout.on('error', (error) => {
      if (outlivesReader) return
      // A reader that went away (`seedbed ls | head`) is no error.
      if (errnoOf(error) === 'EPIPE') process.exit(0)
      throw error
    })
  }

  /** The same thing for scripts and for people. */
  result(object: object, text: string): void {
    this.#bar.clear()
    process.stdout.write(this.json ? `${JSON.stringify(object)}\n` : `${text}\n`)
  }

  /** For scripts only. */
  object(object: object): void {
    if (this.json) process.stdout.write(`${JSON.stringify(object)}\n`)
  }

  /** For people only. */
  text(text: string): void {
    if (this.json) return
    this.#bar.clear()
    process.stdout.write(`${text}\n`)
  }

  /** Draws or redraws the one progress line, in bytes unless `count` says else; nothing with --json. */
  progress(
    label: string,
    done: number,
    total: number,
    count: (amount: number) => string = formatBytes,
    note = '',
  ): void {
    if (!this.json) this.#bar.draw(label, done, total, count, note)
  }

  endProgress(): void {
    this.#bar.clear()
  }

  /** What is worth knowing and no error; on stderr. */
  notice(text: string): void {
    this.#bar.clear()
    process.stderr.write(this.json ? `${JSON.stringify({ notice: text })}\n` : `seedbed: ${text}\n`)
  }

  error(error: unknown): void {
    this.#bar.clear()
    const code = error instanceof SeedbedError ? error.code : 'INTERNAL'
    const message = error instanceof Error ? error.message : String(error)
    const mend = error instanceof SeedbedError ? error.mend : undefined
    if (this.json) {
      process.stderr.write(
        `${JSON.stringify({ error: { code, message, ...(mend === undefined ? {} : { mend }) } })}\n`,
      )
      return
    }
    process.stderr.write(`${styleText('red', 'seedbed:')} ${message} [${code}]\n`)
    if (mend !== undefined) process.stderr.write(`  ${mend}\n`)
    // Not one of ours: a defect. Where it happened matters more than brevity.
    if (!(error instanceof SeedbedError) && error instanceof Error && error.stack !== undefined) {
      process.stderr.write(`${error.stack}\n`)
    }
  }
}
