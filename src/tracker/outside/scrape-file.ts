/**
 * The full scrape as a file, written every so often beside its place and then moved there, so that who reads it finds a whole one.
 * A name that ends in `.gz` is compressed.
 */
import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { type Clock, errnoOf, type Logger } from '../../base/index.ts'
import type { PeerStore } from '../../peer-store/index.ts'
import { fullScrape } from './swarm-walk.ts'

export interface ScrapeFileSettings {
  /** Empty for none. */
  readonly file: string
  readonly intervalMs: number
}

export class ScrapeFile {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #store: PeerStore
  readonly #settings: () => ScrapeFileSettings
  #cancel = (): void => {}
  #writing: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(clock: Clock, logger: Logger, store: PeerStore, settings: () => ScrapeFileSettings) {
    this.#clock = clock
    this.#logger = logger
    this.#store = store
    this.#settings = settings
  }

  /** Writes it after every interval from now on; called again, when the settings changed, by the new one. */
  start(): void {
    this.#cancel()
    if (this.#stopped) return
    this.#cancel = this.#clock.after(
      this.#settings().intervalMs,
      () => {
        this.#writing = this.#writing.then(() => this.write()).finally(() => this.start())
      },
      true,
    )
  }

  /** Writes it now; what fails is logged. */
  async write(): Promise<void> {
    const { file } = this.#settings()
    if (file === '') return
    const beside = `${file}.new`
    try {
      const target = createWriteStream(beside)
      const source = Readable.from(fullScrape(this.#store))
      if (file.endsWith('.gz')) await pipeline(source, createGzip(), target)
      else await pipeline(source, target)
      await rename(beside, file)
    } catch (error) {
      // There may be nothing to take away, and no folder where it would be.
      await rm(beside, { force: true }).catch(() => {})
      const why = errnoOf(error) ?? (error as Error).message
      this.#logger.error({ file, error: why }, 'full scrape not written')
    }
  }

  /** Resolves when nothing is being written. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    await this.#writing
  }
}
