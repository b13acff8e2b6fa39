/**
 * What a torrent moves: its shares of the limits of rate, how fast it is, and how much it was in all.
 *
 * Invariant: the store's totals are those of the whole life of the torrent, the others of this run.
 */
import type { StoredTorrent } from '../torrent-store/index.ts'
import { RateMeter } from './rate.ts'
import type { Share, Throttle } from './throttle.ts'
import type { Rates } from './types.ts'

type Moved = Pick<Readonly<RateMeter>, 'total' | 'perSecond'>

const NOTHING: Moved = { total: 0, perSecond: 0 }

export class Traffic {
  /** Keeps the totals; undefined until it is known where. */
  stored: StoredTorrent | undefined
  readonly #uploads: Throttle
  readonly #downloads: Throttle
  #rates: Rates | undefined
  #uploadShare: Share | undefined
  #downloadShare: Share | undefined
  #uploaded: RateMeter | undefined
  #downloaded: RateMeter | undefined

  constructor(uploads: Throttle, downloads: Throttle, rates: Rates | undefined) {
    this.#uploads = uploads
    this.#downloads = downloads
    this.#rates = rates
  }

  // Each is made when somebody comes: of thousands of torrents few move anything.

  /** What may be sent. */
  get uploadShare(): Share {
    this.#uploadShare ??= this.#uploads.share(this.#rates?.up)
    return this.#uploadShare
  }

  /** What may be asked for. */
  get downloadShare(): Share {
    this.#downloadShare ??= this.#downloads.share(this.#rates?.down)
    return this.#downloadShare
  }

  get uploaded(): Moved {
    return this.#uploaded ?? NOTHING
  }

  get downloaded(): Moved {
    return this.#downloaded ?? NOTHING
  }

  limit(rates: Rates): void {
    this.#rates = rates
    if (this.#uploadShare !== undefined) this.#uploadShare.rate = rates.up
    if (this.#downloadShare !== undefined) this.#downloadShare.rate = rates.down
  }

  /** Nobody is there any more. */
  rest(): void {
    this.#uploadShare = undefined
    this.#downloadShare = undefined
  }

  countUpload(bytes: number): void {
    this.#uploaded ??= new RateMeter()
    this.#uploaded.add(bytes)
    if (this.stored !== undefined) this.stored.uploadedBytes += bytes
  }

  countDownload(bytes: number): void {
    this.#downloaded ??= new RateMeter()
    this.#downloaded.add(bytes)
    if (this.stored !== undefined) this.stored.downloadedBytes += bytes
  }

  /** Once a second. */
  tick(elapsedMs: number): void {
    this.#downloaded?.tick(elapsedMs)
    this.#uploaded?.tick(elapsedMs)
  }

  get uploadedEver(): number {
    return this.stored?.uploadedBytes ?? this.uploaded.total
  }

  get downloadedEver(): number {
    return this.stored?.downloadedBytes ?? this.downloaded.total
  }
}
