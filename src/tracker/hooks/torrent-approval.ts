/**
 * `torrent approval`: only torrents of a list, or all but those. The list is in the configuration or in a file
 * (watched-file.ts): a changed one is loaded beside and takes its place at once, whole. One with a mistake does not.
 */
import { type Clock, fromHex, type Logger } from '../../base/index.ts'
import type { AnnounceRequest } from '../announce-request.ts'
import type { Failure } from '../failures.ts'
import type { Hook } from './hook.ts'
import type { HookShare } from './hook-share.ts'
import { loadInfoHashFile, turn } from './info-hash-file.ts'
import { InfoHashSet } from './info-hash-set.ts'
import { ListApproval } from './list-approval.ts'
import { WatchedFile } from './watched-file.ts'

export interface TorrentApprovalOptions {
  /** 40 hexadecimal digits each. At most one of the four is given. */
  readonly whitelist: readonly string[]
  readonly blacklist: readonly string[]
  readonly whitelistFile: string
  readonly blacklistFile: string
}

export class TorrentApproval implements Hook {
  readonly #options: TorrentApprovalOptions
  /** Undefined for a list in the configuration. */
  readonly #file: WatchedFile | undefined
  /** Being on the list is what is wanted. */
  readonly #wanted: boolean
  #set: InfoHashSet | undefined
  #approval: ListApproval = new ListApproval(undefined, false)
  #changed = (): void => {}

  constructor(options: TorrentApprovalOptions, clock: Clock, logger: Logger) {
    this.#options = options
    const path = options.whitelistFile || options.blacklistFile
    const load = async (): Promise<object> => this.#take(await loadInfoHashFile(path))
    this.#file =
      path === '' ? undefined : new WatchedFile({ path, clock, logger, what: 'list', load })
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
    if (this.#file !== undefined) return this.#file.start()
    const { whitelist, blacklist } = this.#options
    const hashes = [...whitelist, ...blacklist].map((text) => fromHex(text)!)
    this.#take(await InfoHashSet.build(Buffer.concat(hashes), hashes.length, turn))
  }

  async refresh(): Promise<string | undefined> {
    return this.#file?.refresh()
  }

  stop(): void {
    this.#file?.stop()
  }

  #take(set: InfoHashSet): object {
    this.#set = set
    this.#approval = new ListApproval(set, this.#wanted)
    this.#changed()
    return { infoHashes: set.size }
  }
}
