/**
 * What a node of the DHT remembers from one run to the next: its id and whom it knows, in one file.
 *
 * Invariants: the file is replaced as a whole; one that is missing or damaged costs a slower start and nothing else.
 */
import { readFile } from 'node:fs/promises'
import type { Clock, Logger } from '../base/index.ts'
import { writeFileAtomically } from './torrent-files.ts'

const SAVE_MS = 10 * 60_000

export class DhtMemory {
  readonly #path: string
  readonly #clock: Clock
  readonly #logger: Logger
  #cancelTimer: (() => void) | undefined

  constructor(path: string, clock: Clock, logger: Logger) {
    this.#path = path
    this.#clock = clock
    this.#logger = logger
  }

  async load(): Promise<Uint8Array | undefined> {
    try {
      return await readFile(this.#path)
    } catch {
      return undefined
    }
  }

  /** Writes what `state` answers now and then. */
  keep(state: () => Uint8Array | undefined): void {
    this.#cancelTimer = this.#clock.after(
      SAVE_MS,
      () => {
        this.save(state()).then(() => this.keep(state))
      },
      true,
    )
  }

  stop(): void {
    this.#cancelTimer?.()
  }

  async save(state: Uint8Array | undefined): Promise<void> {
    if (state === undefined) return
    try {
      await writeFileAtomically(this.#path, state)
    } catch (error) {
      this.#logger.warn({ err: error, path: this.#path }, 'the state of the DHT cannot be kept')
    }
  }
}
