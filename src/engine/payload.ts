/**
 * A torrent's payload: what of it is verified, what is wanted, and the download of what is missing, which comes and goes.
 *
 * ```
 * open -> downloading -- all that is wanted is held and durable --> seeding
 *     `-> seeding     <-- something else is wanted, and missing --'
 * ```
 *
 * Invariants: `content.verified` is the have-bits of the store and the pieces verified since; there is a download exactly while
 * `phase` is downloading, or the torrent has failed in it; the stripes of one that has ended are served from until they are written; `completed`
 * is told after what is wanted was synced, once for each time that it was missing.
 */
import { Bitfield } from '../base/index.ts'
import type { PieceLayers, TorrentInfo } from '../metainfo/index.ts'
import type { StoredTorrent } from '../torrent-store/index.ts'
import type { Content } from './content.ts'
import { Download, type DownloadSwarm } from './download.ts'
import { openContent } from './open-content.ts'
import type { Priority, Window } from './pick-order.ts'
import type { TorrentContext } from './torrent-context.ts'
import type { AddOptions } from './types.ts'
import { Wanted } from './wanted.ts'

/** The torrent as its payload sees it. */
export interface PayloadHost {
  readonly running: boolean
  readonly swarm: PayloadSwarm
  pieceVerified(piece: number): void
  /** All that is wanted is there, and durable. */
  completed(): void
  /** Something is wrong with the storage. */
  fail(error: Error): void
}

export interface PayloadSwarm extends DownloadSwarm {
  /** Something else is wanted. */
  wantedChanged(): void
  /** We have these pieces no more. */
  piecesLost(pieces: ReadonlySet<number>): void
}

export class Payload {
  readonly wanted: Wanted
  /** Undefined until the metadata is known. */
  stored: StoredTorrent | undefined
  /** Undefined until the metadata is known, and while the torrent sleeps. */
  content: Content | undefined
  readonly #context: TorrentContext
  readonly #host: PayloadHost
  #phase: 'downloading' | 'seeding' | undefined
  #choosing: Promise<void> | undefined
  #download: Download | undefined
  /** Of downloads that have ended. */
  #hashFailures = 0
  /** Resolves when the stripes of a download that has ended are written. */
  #leaving: Promise<void> | undefined

  constructor(
    context: TorrentContext,
    host: PayloadHost,
    { priorities, sequential = false }: AddOptions,
  ) {
    this.#context = context
    this.#host = host
    this.wanted = new Wanted(priorities, sequential)
  }

  /** Undefined until the metadata is known. */
  get phase(): 'downloading' | 'seeding' | undefined {
    return this.#phase
  }

  /** The torrent is in the store: what it has is seeded, the rest downloaded. Reads nothing; one that failed begins anew. */
  open(stored: StoredTorrent, info: TorrentInfo, layers: PieceLayers): Content {
    this.#forgetDownload()
    this.stored = stored
    const { blockBytes } = this.#context.volume
    const failed = (error: Error): void => this.#host.fail(error)
    const content = openContent(stored, info, layers, blockBytes, failed)
    this.content = content
    this.wanted.learn(info)
    this.#enter(content, info)
    return content
  }

  /** As `open`, of a torrent that is whole, and for which nobody has come yet. */
  openAsleep(stored: StoredTorrent): void {
    this.stored = stored
    this.#phase = 'seeding'
  }

  /** Seeding or downloading, by what is wanted and not there. */
  #enter(content: Content, info: TorrentInfo): void {
    const host = this.#host
    const stored = this.stored!
    const { geometry, verified, hashes } = content
    const { wanted } = this
    wanted.survey(info, geometry, stored.have)
    if (wanted.missing === 0) {
      this.#phase = 'seeding'
      return
    }
    this.#phase = 'downloading'
    const download = new Download(this.#context, host.swarm, {
      stored,
      hashes,
      geometry,
      verified,
      priorities: wanted.priorities,
      events: {
        verified: (piece) => host.pieceVerified(piece),
        held: (piece) => this.#held(piece),
        failed: (error) => host.fail(error),
      },
    })
    wanted.brief(download.order)
    this.#download = download
    content.download = download
  }

  #held(piece: number): void {
    this.#context.changed(this.stored!)
    if (this.wanted.held(piece)) this.#finish().catch((error: Error) => this.#host.fail(error))
  }

  async #finish(): Promise<void> {
    await this.#context.syncSoon(this.stored!)
    // Something else may be wanted by now, or about to be.
    if (!this.#isIn('downloading') || this.wanted.missing > 0 || this.#download === undefined)
      return
    this.#phase = 'seeding'
    await this.#endDownload()
    if (this.#isIn('seeding')) this.#host.completed()
  }

  #isIn(phase: 'downloading' | 'seeding'): boolean {
    return this.#host.running && this.#phase === phase
  }

  /** Once a second. */
  tick(nowMs: number): void {
    this.#download?.tick(nowMs)
  }

  // --- What is wanted ---

  /** One change at a time: the last one says what is wanted. Resolves when it is done. */
  choose(files: readonly Priority[], info: TorrentInfo): Promise<void> {
    this.wanted.files = [...files]
    return this.#change(info, () => {})
  }

  /** As `choose`, with pieces that are not there any more; they are durably forgotten when it is done. */
  async forget(pieces: readonly number[], info: TorrentInfo | undefined): Promise<void> {
    const { stored } = this
    if (stored === undefined) return
    await this.#change(info, () => {
      for (const piece of pieces) stored.clearHave(piece)
      const { content } = this
      if (content === undefined) return
      for (const piece of pieces) content.verified.clear(piece)
      this.#context.reads.drop(content.source)
      this.#host.swarm.piecesLost(new Set(pieces))
    })
    await stored.sync()
  }

  #change(info: TorrentInfo | undefined, change: () => void): Promise<void> {
    const choose = (): Promise<void> => this.#chooseAnew(info, change)
    this.#choosing = this.#choosing?.then(choose, choose) ?? choose()
    return this.#choosing
  }

  /** `change` is made while nothing is downloaded; also when the torrent is over. */
  async #chooseAnew(info: TorrentInfo | undefined, change: () => void): Promise<void> {
    const wasDownloading = this.#phase === 'downloading'
    if (this.#download !== undefined && this.#host.running) await this.#endDownload()
    change()
    if (!this.#host.running || this.content === undefined || info === undefined) return
    this.#enter(this.content, info)
    this.wanted.changed()
    this.#host.swarm.wantedChanged()
    if (!wasDownloading || this.#phase !== 'seeding') return
    await this.stored!.sync()
    if (this.#isIn('seeding')) this.#host.completed()
  }

  set sequential(sequential: boolean) {
    this.wanted.sequential = sequential
    if (this.#download !== undefined) this.#download.order.sequential = sequential
  }

  addWindow(window: Window): void {
    this.wanted.addWindow(window)
    this.#download?.order.addWindow(window)
    this.#download?.hurry()
  }

  windowMoved(): void {
    this.#download?.hurry()
  }

  deleteWindow(window: Window): void {
    this.wanted.deleteWindow(window)
    this.#download?.order.deleteWindow(window)
    this.#download?.picker.reorder()
  }

  // --- What peers bring ---

  /** A chunk of the piece has been put into its stripe. */
  onChunk(piece: number): void {
    this.#download!.stripes.landed(piece)
  }

  /** Chunks that were asked of a peer are free for others. */
  onReleased(): void {
    this.#download?.onReleased()
  }

  /** The picker's peer goes. */
  left(picking: number, host: string): void {
    this.#download?.left(picking, host)
  }

  // --- How much it is ---

  get hashFailures(): number {
    return this.#hashFailures + (this.#download?.hashFailures ?? 0)
  }

  get haveBytes(): number {
    return this.content?.geometry.bytesOf(this.content.verified) ?? 0
  }

  get wantedBytes(): number {
    if (this.content === undefined) return 0
    const { geometry } = this.content
    const wanted = new Bitfield(geometry.pieceCount)
    for (let piece = 0; piece < wanted.length; piece++) {
      if (!this.wanted.isSkipped(piece)) wanted.set(piece)
    }
    return geometry.bytesOf(wanted)
  }

  // --- End ---

  /** Writes what is verified; what is not whole is forgotten. */
  #endDownload(): Promise<void> {
    const download = this.#download!
    const content = this.content!
    content.download = undefined
    content.leaving = download.stripes
    this.#forgetDownload()
    for (const peer of [...this.#host.swarm.peers]) peer.downloadEnded()
    download.flush()
    download.stop()
    this.#leaving = download.stripes.close().then(() => {
      // What was being hashed when it ended.
      download.flush()
      content.leaving = undefined
    })
    return this.#leaving
  }

  #forgetDownload(): void {
    this.#hashFailures += this.#download?.hashFailures ?? 0
    this.#download = undefined
  }

  /** Nothing is asked for any more. */
  halt(): void {
    this.wanted.changed()
    this.#download?.stop()
    if (this.content !== undefined) this.#context.reads.drop(this.content.source)
  }

  /** After `halt`: writes what is verified. */
  async close(): Promise<void> {
    await Promise.all([this.content?.download?.stripes.close(), this.#leaving])
  }

  /** After `halt`: forgets what is not written. */
  async drop(): Promise<void> {
    await Promise.all([this.content?.download?.stripes.drop(), this.#leaving])
  }

  /** Lets go of what can be read again. */
  sleep(): void {
    this.#context.reads.drop(this.content!.source)
    this.content = undefined
  }
}
