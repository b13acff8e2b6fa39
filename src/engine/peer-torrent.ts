/** The torrent as the parts of a peer see it: what they read of it, and what they tell it. */
import type { Content } from './content.ts'
import type { ReadCache } from './read-cache.ts'
import type { Traffic } from './traffic.ts'

export interface PeerTorrent {
  /** The time as `readClock` read it last. */
  readonly nowMs: number
  /** Reads the clock: once for each slice that arrives. */
  readClock(): void
  readonly reads: ReadCache
  readonly traffic: Traffic
  readonly payload: PeerPayload
}

/** The torrent's payload as the parts of a peer see it. */
export interface PeerPayload {
  readonly content: Content | undefined
  /** A chunk of the piece has been put into its stripe. */
  onChunk(piece: number): void
  /** Chunks that were asked of this peer are free for others. */
  onReleased(): void
}
