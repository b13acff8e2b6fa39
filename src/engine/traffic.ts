/**
 * What a torrent moves: its shares of the limits of rate, how fast it is, and how much it was in all.
 *
 * Invariant: the store's totals are those of the whole life of the torrent, the others of this run.
 */
import type { StoredTorrent } from '../torrent-store/index.ts'
import { RateMeter } from './rate.ts'
import type { Share, Throttle } from './throttle.ts'
import type { Rates } from './types.ts'

export class Traffic {
  /** What may be sent, and asked for. */
  readonly uploadShare: Share
  readonly downloadShare: Share
  readonly uploaded: RateMeter = new RateMeter()
  readonly downloaded: RateMeter = new RateMeter()
  /** Keeps the totals; undefined until it is known where. */
  stored: StoredTorrent | undefined

  constructor(uploads: Throttle, downloads: Throttle, rates: Rates | undefined) {
    this.uploadShare = uploads.share(rates?.up)
    this.downloadShare = downloads.share(rates?.down)
  }

  limit({ up, down }: Rates): void {
    this.uploadShare.rate = up
    this.downloadShare.rate = down
  }

  countUpload(bytes: number): void {
    this.uploaded.add(bytes)
    if (this.stored !== undefined) this.stored.uploadedBytes += bytes
  }

  countDownload(bytes: number): void {
    this.downloaded.add(bytes)
    if (this.stored !== undefined) this.stored.downloadedBytes += bytes
  }

  /** Once a second. */
  tick(elapsedMs: number): void {
    this.downloaded.tick(elapsedMs)
    this.uploaded.tick(elapsedMs)
  }

  get uploadedEver(): number {
    return this.stored?.uploadedBytes ?? this.uploaded.total
  }

  get downloadedEver(): number {
    return this.stored?.downloadedBytes ?? this.downloaded.total
  }
}
