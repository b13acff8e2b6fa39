/** The torrent as its peers see it: what they read of it, and what they tell it. */
import type { Content } from './content.ts'
import type { Peer } from './peer.ts'
import type { ReadCache } from './read-cache.ts'

export interface PeerHost {
  readonly infoHash: Uint8Array
  readonly peerId: Uint8Array
  readonly listenPort: number
  /** The time as `readClock` read it last. */
  readonly nowMs: number
  /** Reads the clock: once for each slice that arrives. */
  readClock(): void
  readonly content: Content | undefined
  readonly infoBytes: Uint8Array | undefined
  readonly reads: ReadCache
  /** False when the peer is not wanted: ourselves, known already, one too many. */
  onHandshake(peer: Peer): boolean
  onInterest(peer: Peer): void
  onMetadata(peer: Peer, payload: Uint8Array): void
  onExtended(peer: Peer): void
  /** A chunk of the piece has been put into its stripe; `other` was asked for it as well, or 0. */
  onChunk(piece: number, chunk: number, other: number): void
  /** Chunks that were asked of this peer are free for others. */
  onReleased(): void
  onPeerClosed(peer: Peer, error: Error | undefined): void
  countDownload(bytes: number): void
  countUpload(bytes: number): void
}
