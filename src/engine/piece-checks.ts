/**
 * One torrent's pieces on their way through the hasher: which of them is right.
 *
 * Invariants: a check that was cancelled says nothing more; `idle` resolves when none is under way.
 */
import type { PieceHashes, Verdict } from '../metainfo/index.ts'
import type { Hasher, HashTask } from './hasher.ts'

/** `lost`: nobody knows; the piece has to be fetched again, and nobody is to blame. */
export type Finding = Verdict | 'lost'

/** Of an update: undefined when it was not the last. */
export type Found = (finding: Finding | undefined) => void

export class PieceChecks {
  readonly #hasher: Hasher
  readonly #hashes: PieceHashes
  #underWay = 0
  #waiters: (() => void)[] = []

  constructor(hasher: Hasher, hashes: PieceHashes) {
    this.#hasher = hasher
    this.#hashes = hashes
  }

  /** Updates that are not done. */
  get underWay(): number {
    return this.#underWay
  }

  begin(piece: number): RunningCheck {
    const count = (change: number): void => this.#count(change)
    return new RunningCheck(this.#hashes, piece, this.#hasher, count)
  }

  async idle(): Promise<void> {
    while (this.#underWay > 0) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
  }

  #count(change: number): void {
    this.#underWay += change
    if (this.#underWay > 0) return
    const waiters = this.#waiters
    this.#waiters = []
    for (const resolve of waiters) resolve()
  }
}

/** The hash of one try at a piece. */
export class RunningCheck {
  /** An update is under way: its bytes must not change. */
  busy = false
  readonly #hashes: PieceHashes
  readonly #piece: number
  readonly #task: HashTask
  readonly #count: (change: number) => void
  #cancelled = false

  constructor(hashes: PieceHashes, piece: number, hasher: Hasher, count: (change: number) => void) {
    this.#hashes = hashes
    this.#piece = piece
    this.#task = hasher.begin(hashes.recipe(piece))
    this.#count = count
  }

  /** `found` may be called before this returns. */
  update(bytes: Uint8Array, isLast: boolean, found: Found): void {
    this.busy = true
    this.#count(1)
    this.#task.update(bytes, isLast, (answer) => {
      this.busy = false
      try {
        // Of one that is lost the rest is awaited all the same: a piece can be given up when it is whole.
        if (!isLast || answer === 'more') found(undefined)
        else found(answer === 'lost' ? 'lost' : this.#hashes.verdict(this.#piece, answer))
      } finally {
        this.#count(-1)
      }
    })
  }

  cancel(): void {
    if (this.#cancelled) return
    this.#cancelled = true
    this.#task.cancel()
    if (this.busy) this.#count(-1)
    this.busy = false
  }
}
