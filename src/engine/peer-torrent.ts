/** The torrent as the parts of a peer see it: what they read of it, and what they tell it. */
import type { Content } from './content.ts'
import type { ReadCache } from './read-cache.ts'
import type { Share } from './throttle.ts'

export interface PeerTorrent {
  /** The time as `readClock` read it last. */
  readonly nowMs: number
  /** Reads the clock: once for each slice that arrives. */
  readClock(): void
  readonly content: Content | undefined
  readonly reads: ReadCache
  /** What may be sent, and asked for. */
  readonly uploadShare: Share
  readonly downloadShare: Share
  /** A chunk of the piece has been put into its stripe; `other` was asked for it as well, or 0. */
  onChunk(piece: number, chunk: number, other: number): void
  /** Chunks that were asked of this peer are free for others. */
  onReleased(): void
  countDownload(bytes: number): void
  countUpload(bytes: number): void
}
