/**
 * Stripes on their way to the disk: a few writes in flight, the others waiting. The disk likes long
 * stretches best, so the next one is the stripe behind the one before; where there is none, the first of
 * the run (geometry.ts) of which most stripes wait.
 *
 * Invariants: at most `maxInFlight` jobs run; every job is answered once, by `done` or `failed`; at most
 * MAX_PASSED jobs that came later begin before one that waits.
 */
import { RUN_STRIPES } from './geometry.ts'

export interface WriteJob {
  /** The torrent: jobs of one owner are kept together. */
  readonly owner: object
  /** Place in the torrent. */
  readonly stripe: number
  run(): Promise<void>
  done(): void
  failed(error: Error): void
}

/** So many stripes are more than most caches hold: it is a bound, not a turn that comes often. */
const MAX_PASSED = 256

/** Whose turn it is: asked before a write begins, told when one does and when it has ended. */
export interface WriteTurns {
  may(): boolean
  began(): void
  ended(): void
}

const ALWAYS: WriteTurns = { may: () => true, began: () => {}, ended: () => {} }

export class WriteQueue {
  readonly #maxInFlight: number
  readonly #turns: WriteTurns
  /** In the order of their coming. */
  readonly #waiting: WriteJob[] = []
  #inFlight = 0
  #last: WriteJob | undefined
  /** How many jobs have passed the one that waits longest. */
  #passed = 0

  constructor(turns: WriteTurns = ALWAYS, maxInFlight = 3) {
    this.#turns = turns
    this.#maxInFlight = maxInFlight
  }

  get waiting(): number {
    return this.#waiting.length
  }

  get pending(): number {
    return this.#waiting.length + this.#inFlight
  }

  add(job: WriteJob): void {
    this.#waiting.push(job)
    this.#next()
  }

  /** Takes the owner's jobs out that have not begun, and returns them unanswered. */
  withdraw(owner: object): WriteJob[] {
    const taken = this.#waiting.filter((job) => job.owner === owner)
    this.#passed = 0
    const others = this.#waiting.filter((job) => job.owner !== owner)
    this.#waiting.length = 0
    this.#waiting.push(...others)
    return taken
  }

  /** It may be the turn of writes now. */
  poke(): void {
    this.#next()
  }

  #next(): void {
    while (this.#inFlight < this.#maxInFlight && this.#waiting.length > 0 && this.#turns.may()) {
      const job = this.#choose()
      this.#last = job
      this.#inFlight++
      const running = job.run()
      this.#turns.began()
      running.then(
        () => this.#finish(() => job.done()),
        (error: unknown) =>
          this.#finish(() => job.failed(error instanceof Error ? error : new Error(String(error)))),
      )
    }
  }

  #finish(answer: () => void): void {
    this.#inFlight--
    try {
      answer()
    } finally {
      this.#turns.ended()
      this.#next()
    }
  }

  #choose(): WriteJob {
    const at = this.#passed >= MAX_PASSED ? 0 : this.#best()
    this.#passed = at === 0 ? 0 : this.#passed + 1
    return this.#waiting.splice(at, 1)[0]!
  }

  #best(): number {
    const last = this.#last
    if (last !== undefined) {
      const next = this.#waiting.findIndex(
        ({ owner, stripe }) => owner === last.owner && stripe === last.stripe + 1,
      )
      if (next >= 0) return next
    }
    /** Of each run: how many of its stripes wait, and where the first of them is. */
    const runs = new Map<object, Map<number, { count: number; first: number }>>()
    let best = { count: 0, first: 0 }
    for (const [at, { owner, stripe }] of this.#waiting.entries()) {
      let own = runs.get(owner)
      if (own === undefined) {
        own = new Map()
        runs.set(owner, own)
      }
      const number = Math.floor(stripe / RUN_STRIPES)
      let run = own.get(number)
      if (run === undefined) {
        run = { count: 0, first: at }
        own.set(number, run)
      }
      run.count++
      if (stripe < this.#waiting[run.first]!.stripe) run.first = at
      if (run.count > best.count) best = run
    }
    return best.first
  }
}
