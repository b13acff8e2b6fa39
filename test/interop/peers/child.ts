/**
 * A process that a test or a benchmark drives from outside: its output is kept for the message of
 * a failure, its JSON lines become events, every wait is bounded, and it never outlives this process.
 *
 * Invariants:
 * - A wait ends with what was waited for, or with an error that names the child and quotes what it
 *   printed last; a child that ends early fails every wait on its events at once.
 * - Whatever was started here is killed when this process exits, however it exits short of SIGKILL.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { delay, systemClock } from '../../../src/base/index.ts'

/** One JSON line of the child's stdout, with the time it arrived. */
export interface ChildEvent {
  readonly event: string
  /** On the monotonic clock of this process. */
  readonly atMs: number
  readonly [field: string]: unknown
}

export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ChildOptions {
  readonly env?: Readonly<Record<string, string>>
}

interface Waiter {
  readonly matches: (event: ChildEvent) => boolean
  readonly resolve: (event: ChildEvent) => void
  readonly reject: (error: Error) => void
}

const OUTPUT_KEPT_CHARACTERS = 6_000
const STOP_GRACE_MS = 10_000
/** USER_HZ of every Linux that Node runs on. */
const TICKS_PER_SECOND = 100

const alive = new Set<Child>()
process.on('exit', () => {
  for (const child of alive) child.signal('SIGKILL')
})

export class Child {
  readonly name: string
  readonly startedAtMs: number
  readonly events: ChildEvent[] = []
  /** Every JSON object that came on stdout, events or not. */
  readonly jsonLines: Record<string, unknown>[] = []
  readonly #process: ChildProcessWithoutNullStreams
  readonly #ended: Promise<Ending>
  readonly #waiters = new Set<Waiter>()
  #ending: Ending | undefined
  #output = ''
  #line = ''

  constructor(
    name: string,
    command: string,
    parameters: readonly string[],
    options: ChildOptions = {},
  ) {
    this.name = name
    this.startedAtMs = systemClock.monotonicMs()
    this.#process = spawn(command, parameters, {
      stdio: 'pipe',
      env: { ...process.env, ...options.env },
    })
    alive.add(this)
    this.#process.stdin.on('error', () => {})
    this.#process.stdout.setEncoding('utf8').on('data', (text: string) => this.#onStdout(text))
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => this.#keep(text))
    this.#ended = new Promise((resolve) => {
      this.#process.on('error', (error) => {
        this.#keep(`cannot run ${command}: ${error.message}\n`)
        this.#onEnd({ code: null, signal: null }, resolve)
      })
      this.#process.on('close', (code, signal) => this.#onEnd({ code, signal }, resolve))
    })
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  get ending(): Ending | undefined {
    return this.#ending
  }

  /** What it printed last, stdout and stderr as they came. */
  get output(): string {
    return this.#output
  }

  /** The first event of that name (or that the function accepts), past or future. */
  event(
    wanted: string | ((event: ChildEvent) => boolean),
    limitMs: number,
    after = 0,
  ): Promise<ChildEvent> {
    const matches =
      typeof wanted === 'string' ? (event: ChildEvent) => event.event === wanted : wanted
    const past = this.events.slice(after).find(matches)
    if (past !== undefined) return Promise.resolve(past)
    const what = typeof wanted === 'string' ? `the event "${wanted}"` : 'the event waited for'
    if (this.#ending !== undefined) return Promise.reject(this.failure(`ended without ${what}`))
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        matches,
        resolve: (event) => {
          this.#waiters.delete(waiter)
          cancel()
          resolve(event)
        },
        reject: (error) => {
          this.#waiters.delete(waiter)
          cancel()
          reject(error)
        },
      }
      const cancel = systemClock.after(limitMs, () =>
        waiter.reject(this.failure(`${what} did not come within ${limitMs / 1000} s`)),
      )
      this.#waiters.add(waiter)
    })
  }

  /** The end of the process, within `limitMs`; kills it when that passes. */
  async end(limitMs: number): Promise<Ending> {
    let late = false
    const cancel = systemClock.after(limitMs, () => {
      late = true
      this.signal('SIGKILL')
    })
    const ending = await this.#ended
    cancel()
    if (late) throw this.failure(`did not end within ${limitMs / 1000} s`)
    return ending
  }

  /** As `end`, and the exit code must be 0. */
  async succeed(limitMs: number): Promise<void> {
    const { code, signal } = await this.end(limitMs)
    if (code !== 0) throw this.failure(`ended with ${signal ?? `exit code ${code}`}`)
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#ending === undefined) this.#process.kill(signal)
  }

  /** A line on its stdin. */
  say(line: string): void {
    this.#process.stdin.write(`${line}\n`)
  }

  closeStdin(): void {
    this.#process.stdin.end()
  }

  /** SIGTERM, then SIGKILL when it does not heed it. Harmless when it has ended. */
  async stop(): Promise<Ending> {
    this.signal('SIGTERM')
    const cancel = systemClock.after(STOP_GRACE_MS, () => this.signal('SIGKILL'))
    const ending = await this.#ended
    cancel()
    return ending
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.#ended
  }

  /** User and system seconds that the process (all its threads) has used so far. Linux only. */
  cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.pid}/stat`, 'utf8')
    // The second field is the command in parentheses, and may hold anything; utime is the 14th.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
  }

  /** Peak resident memory in bytes so far. Linux only. */
  peakResidentBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8')
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
  }

  failure(message: string): Error {
    return new Error(`${this.name} ${message}\n--- its last output ---\n${this.#output}---`)
  }

  #keep(text: string): void {
    this.#output = (this.#output + text).slice(-OUTPUT_KEPT_CHARACTERS)
  }

  #onStdout(text: string): void {
    this.#keep(text)
    const lines = (this.#line + text).split('\n')
    this.#line = lines.pop()!
    for (const line of lines) {
      if (line.startsWith('{')) this.#onJson(line)
    }
  }

  #onJson(line: string): void {
    let fields: Record<string, unknown>
    try {
      fields = JSON.parse(line)
    } catch {
      return
    }
    this.jsonLines.push(fields)
    if (typeof fields.event !== 'string') return
    const event = { ...fields, event: fields.event, atMs: systemClock.monotonicMs() }
    this.events.push(event)
    for (const waiter of [...this.#waiters]) {
      if (waiter.matches(event)) waiter.resolve(event)
    }
  }

  #onEnd(ending: Ending, resolve: (ending: Ending) => void): void {
    if (this.#ending !== undefined) return
    this.#ending = ending
    alive.delete(this)
    for (const waiter of [...this.#waiters]) {
      waiter.reject(this.failure(`ended (${ending.signal ?? ending.code}) before its event`))
    }
    resolve(ending)
  }
}

/** Runs to the end; the stdout of a command that succeeded. */
export async function output(
  name: string,
  command: string,
  parameters: readonly string[],
  limitMs: number,
): Promise<string> {
  const child = new Child(name, command, parameters)
  await child.succeed(limitMs)
  return child.output
}

/** Asks `probe` every `everyMs` until it says yes, at most for `limitMs`. */
export async function until(
  what: string,
  limitMs: number,
  everyMs: number,
  probe: () => Promise<boolean> | boolean,
): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + limitMs
  while (!(await probe())) {
    if (systemClock.monotonicMs() > deadlineMs) {
      throw new Error(`${what} did not happen within ${limitMs / 1000} s`)
    }
    await delay(systemClock, everyMs)
  }
}
