/** Counts what others do that they may not, over all torrents: what a node's operator wants to see of who attacks it, or is broken. */
import { SeedbedError } from '../base/index.ts'
import { PeerError } from './errors.ts'

export interface MisdeedCounts {
  /** Connections to us that began with something else than a handshake. */
  readonly badHandshakes: number
  /** Connections on which none came in time. */
  readonly slowHandshakes: number
  /** Peers cut off for messages that are longer than any may be. */
  readonly oversized: number
  /** For messages that make no sense otherwise. */
  readonly malformed: number
  /** For asking, or sending, more than anybody needs to, or leaving it unread. */
  readonly floods: number
  /** For owing chunks, or all words, for too long. */
  readonly stalls: number
  /** Pieces that failed their hash. */
  readonly corruptPieces: number
  /** Chunks of them that were found by the leaves of v2. */
  readonly corruptChunks: number
  /** Hosts that were banned for what they sent. */
  readonly bans: number
}

type Mutable = { -readonly [K in keyof MisdeedCounts]: MisdeedCounts[K] }

export class Misdeeds {
  readonly #counts: Mutable = {
    badHandshakes: 0,
    slowHandshakes: 0,
    oversized: 0,
    malformed: 0,
    floods: 0,
    stalls: 0,
    corruptPieces: 0,
    corruptChunks: 0,
    bans: 0,
  }

  get counts(): MisdeedCounts {
    return { ...this.#counts }
  }

  count(what: keyof MisdeedCounts): void {
    this.#counts[what]++
  }

  /** A peer's connection ended so; errors of the network are nobody's misdeed. */
  ended(error: Error | undefined): void {
    if (error instanceof PeerError) this.count(error.misdeed)
    else if (error instanceof SeedbedError && error.code === 'ENGINE_PROTOCOL') {
      this.count('malformed')
    }
  }
}
