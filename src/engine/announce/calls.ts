/**
 * The announces of one torrent that are under way, and how they are ended: all but the last words when it stops, those when the
 * time is up.
 *
 * Invariant: there is nothing to abort while nothing is under way; of ten thousand idle torrents few announce at a time, and the
 * means to abort it is a kilobyte.
 */
export class Calls {
  /** Of announces, and of last words. */
  #abort: AbortController | undefined
  #limit: AbortController | undefined
  #underWay = 0
  #stopped = false
  #ended = false

  /** Only last words are said from now on. */
  get stopped(): boolean {
    return this.#stopped
  }

  /** Runs `send` with the signal that ends it. `isLast`: what is said when the torrent stops. */
  async make<T>(isLast: boolean, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#underWay++
    try {
      return await send(this.#signal(isLast))
    } finally {
      if (--this.#underWay === 0) {
        this.#abort = undefined
        this.#limit = undefined
      }
    }
  }

  #signal(isLast: boolean): AbortSignal {
    if (isLast ? this.#ended : this.#stopped) return AbortSignal.abort()
    if (isLast) {
      this.#limit ??= new AbortController()
      return this.#limit.signal
    }
    this.#abort ??= new AbortController()
    return this.#abort.signal
  }

  /** Ends what is under way but for last words. */
  stop(): void {
    this.#stopped = true
    this.#abort?.abort()
  }

  /** Ends last words, too. */
  end(): void {
    this.#ended = true
    this.#limit?.abort()
  }
}
