/**
 * Stripes on their way to the disk: a few writes in flight, the others waiting, in the order that the
 * disk likes best: the next stripe of the torrent written last, so that its blocks lie in file order.
 *
 * Invariants: at most `maxInFlight` jobs run; every job is answered once, by `done` or `failed`; no job
 * is passed over more than `MAX_RUN` times in a row for the sake of order.
 */

export interface WriteJob {
  /** The torrent: jobs of one owner are kept together. */
  readonly owner: object
  /** Place in the torrent. */
  readonly stripe: number
  run(): Promise<void>
  done(): void
  failed(error: Error): void
}

const MAX_RUN = 32

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
  readonly #waiting: WriteJob[] = []
  #inFlight = 0
  #last: WriteJob | undefined
  #run = 0

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
    let best = 0
    const last = this.#last
    if (last !== undefined && this.#run < MAX_RUN) {
      let bestStripe = Number.POSITIVE_INFINITY
      for (const [at, job] of this.#waiting.entries()) {
        if (job.owner !== last.owner || job.stripe < last.stripe || job.stripe >= bestStripe)
          continue
        best = at
        bestStripe = job.stripe
      }
    }
    const [job] = this.#waiting.splice(best, 1)
    this.#run = job!.owner === last?.owner ? this.#run + 1 : 0
    return job!
  }
}
