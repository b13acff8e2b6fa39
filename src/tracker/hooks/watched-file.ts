/**
 * A file that is looked at every few seconds, and read again when it is another: whole, or not at all.
 *
 * Invariants: one reading at a time, and who asks for one gets what is there after it asked. What is wrong with the content of a file is found
 * once, not at every look: a list may have millions of lines. What hinders reading it is tried again at every look, and told once.
 */
import { stat } from 'node:fs/promises'
import { type Clock, errnoOf, type Logger, type SeedbedError } from '../../base/index.ts'

const LOOK_MS = 5000

export interface WatchedFileOptions {
  readonly path: string
  readonly clock: Clock
  readonly logger: Logger
  /** For the log: `list`, `passkeys`. */
  readonly what: string
  /** Reads and takes it; resolves to what is logged of it. Rejects with TRACKER_LIST when its content is wrong. */
  load(): Promise<object>
}

export class WatchedFile {
  readonly #options: WatchedFileOptions
  /** Of what is in use, and of what has been found wrong. */
  #used = ''
  #wrong = ''
  #told = ''
  #reading: Promise<string | undefined> = Promise.resolve(undefined)
  #cancel = (): void => {}
  #stopped = false

  constructor(options: WatchedFileOptions) {
    this.#options = options
  }

  /** Rejects as `load` does. */
  async start(): Promise<void> {
    const stamp = await stampOf(this.#options.path)
    await this.#options.load()
    this.#used = stamp
    this.#lookLater()
  }

  /** Reads what is not in use; resolves to what is wrong with it, if that before stays. */
  refresh(): Promise<string | undefined> {
    return this.#inTurn(async (stamp) => {
      this.#told = ''
      return stamp === this.#used ? undefined : await this.#read(stamp)
    })
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  #lookLater(): void {
    if (this.#stopped) return
    this.#cancel = this.#options.clock.after(LOOK_MS, () => {
      const look = this.#inTurn(async (stamp) => {
        const known = stamp === this.#used || stamp === this.#wrong
        return known ? undefined : await this.#read(stamp)
      })
      void look.then(() => this.#lookLater())
    })
  }

  #inTurn(task: (stamp: string) => Promise<string | undefined>): Promise<string | undefined> {
    this.#reading = this.#reading.then(async () => task(await stampOf(this.#options.path)))
    return this.#reading
  }

  /** Never rejects. */
  async #read(stamp: string): Promise<string | undefined> {
    const { path, what, logger, load } = this.#options
    try {
      const facts = await load()
      this.#used = stamp
      this.#told = ''
      logger.info({ file: path, ...facts }, `${what} loaded anew`)
      return undefined
    } catch (error) {
      const { code, message } = error as SeedbedError
      if (code === 'TRACKER_LIST') this.#wrong = stamp
      if (message !== this.#told) {
        logger.error({ file: path, error: message }, `${what} not loaded: what was before stays`)
      }
      this.#told = message
      return message
    }
  }
}

/** What tells that a file was replaced or written; taken before it is read, so that what comes between is read again. */
async function stampOf(path: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(path)
    return `${mtimeMs} ${size} ${ino}`
  } catch (error) {
    return errnoOf(error) ?? String(error)
  }
}
