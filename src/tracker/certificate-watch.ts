/**
 * Looks every minute whether the files of the certificate and its key have changed, and has them read then: who renews certificates need not
 * tell the tracker.
 *
 * The two are replaced one after the other, so they may be no pair for a moment: what cannot be used is tried again when it changes
 * again, and until then the pair before serves.
 */
import { stat } from 'node:fs/promises'
import { type Clock, errnoOf, type Logger } from '../base/index.ts'

const LOOK_MS = 60_000

export class CertificateWatch {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #files: () => readonly string[]
  readonly #load: () => Promise<void>
  /** Of the files when they were read last, or failed to be used. */
  #stamp: string | undefined
  #cancel = (): void => {}
  #stopped = false

  /** `files` says which they are now; none: there is nothing to watch. `load` reads and uses them, or rejects. */
  constructor(
    clock: Clock,
    logger: Logger,
    files: () => readonly string[],
    load: () => Promise<void>,
  ) {
    this.#clock = clock
    this.#logger = logger
    this.#files = files
    this.#load = load
  }

  /** To be called once they are in use. */
  async start(): Promise<void> {
    await this.noteLoaded()
    this.#lookLater()
  }

  /** They were just read by other means. */
  async noteLoaded(): Promise<void> {
    this.#stamp = await this.#stampNow()
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  #lookLater(): void {
    if (this.#stopped) return
    this.#cancel = this.#clock.after(
      LOOK_MS,
      () => void this.#look().then(() => this.#lookLater()),
      true,
    )
  }

  async #look(): Promise<void> {
    const stamp = await this.#stampNow()
    if (this.#stopped || stamp === undefined || stamp === this.#stamp) return
    this.#stamp = stamp
    const [cert, key] = this.#files()
    try {
      await this.#load()
      this.#logger.info({ cert, key }, 'certificate loaded anew')
    } catch (error) {
      const { message } = error as Error
      this.#logger.error({ cert, key, error: message }, 'certificate not loaded: that before stays')
    }
  }

  /** Undefined when one of them is not there just now. */
  async #stampNow(): Promise<string | undefined> {
    try {
      const facts = await Promise.all(this.#files().map((file) => stat(file)))
      return facts.map(({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`).join(' ')
    } catch (error) {
      if (errnoOf(error) === undefined) throw error
      return undefined
    }
  }
}
