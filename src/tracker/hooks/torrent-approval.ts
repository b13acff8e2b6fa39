/**
 * `torrent approval`: only torrents of a list, or all but those. The list is in the configuration or in a file, which is
 * looked at every few seconds: a changed one is loaded beside and takes its place at once, whole. One with a
 * mistake does not.
 */
import { stat } from 'node:fs/promises'
import { type Clock, fromHex, type Logger } from '../../base/index.ts'
import type { AnnounceRequest } from '../announce-request.ts'
import type { Failure } from '../failures.ts'
import type { Hook } from './hook.ts'
import type { HookShare } from './hook-share.ts'
import { type FileState, loadInfoHashFile, turn } from './info-hash-file.ts'
import { InfoHashSet } from './info-hash-set.ts'
import { ListApproval } from './list-approval.ts'

const LOOK_MS = 5000

export interface TorrentApprovalOptions {
  /** 40 hexadecimal digits each. At most one of the four is given. */
  readonly whitelist: readonly string[]
  readonly blacklist: readonly string[]
  readonly whitelistFile: string
  readonly blacklistFile: string
}

export class TorrentApproval implements Hook {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #options: TorrentApprovalOptions
  readonly #file: string
  /** Being on the list is what is wanted. */
  readonly #wanted: boolean
  #set: InfoHashSet | undefined
  #approval: ListApproval = new ListApproval(undefined, false)
  #state: FileState | undefined
  #loading: Promise<void> | undefined
  #changed = (): void => {}
  #cancel = (): void => {}
  #stopped = false

  constructor(options: TorrentApprovalOptions, clock: Clock, logger: Logger) {
    this.#options = options
    this.#clock = clock
    this.#logger = logger
    this.#file = options.whitelistFile || options.blacklistFile
    this.#wanted = options.whitelist.length > 0 || options.whitelistFile !== ''
  }

  get size(): number {
    return this.#set?.size ?? 0
  }

  approve(request: AnnounceRequest): Failure | null {
    return this.#approval.approve(request)
  }

  /** Once it has started. */
  share(): HookShare {
    return { name: 'torrent approval', wanted: this.#wanted, list: this.#set!.share }
  }

  watch(changed: () => void): void {
    this.#changed = changed
  }

  async start(): Promise<void> {
    if (this.#file === '') {
      const { whitelist, blacklist } = this.#options
      const hashes = [...whitelist, ...blacklist].map((text) => fromHex(text)!)
      this.#take(await InfoHashSet.build(Buffer.concat(hashes), hashes.length, turn))
      return
    }
    await this.#load()
    this.#lookLater()
  }

  async refresh(): Promise<void> {
    if (this.#file === '') return
    try {
      const { mtimeMs, size, ino } = await stat(this.#file)
      const known = this.#state
      if (known?.modifiedMs === mtimeMs && known.bytes === size && known.inode === ino) return
      await this.#load()
      this.#logger.info({ file: this.#file, infoHashes: this.size }, 'list loaded anew')
    } catch (error) {
      this.#logger.error(
        { file: this.#file, error: (error as Error).message },
        'list not loaded: the one before stays',
      )
    }
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  #take(set: InfoHashSet): void {
    this.#set = set
    this.#approval = new ListApproval(set, this.#wanted)
  }

  #load(): Promise<void> {
    this.#loading ??= loadInfoHashFile(this.#file)
      .then(({ set, state }) => {
        this.#take(set)
        this.#state = state
        this.#changed()
      })
      .finally(() => {
        this.#loading = undefined
      })
    return this.#loading
  }

  #lookLater(): void {
    if (this.#stopped) return
    this.#cancel = this.#clock.after(LOOK_MS, () => {
      void this.refresh().then(() => this.#lookLater())
    })
  }
}
