/** What is said to a tracker and what it answers, whatever it speaks. */
import { SeedbedError } from '../../base/index.ts'
import type { engineErrors } from '../errors.ts'

/** `paused` (BEP 21): nothing more will be downloaded, though bytes are missing. */
export type AnnounceEvent = 'none' | 'started' | 'completed' | 'stopped' | 'paused'

export interface AnnounceCounters {
  /** Bytes since `started`. */
  readonly uploaded: number
  readonly downloaded: number
  /** Bytes missing; anything but 0 while that is not known, or trackers take us for a seeder. */
  readonly left: number
  /** All that is wanted is there, and that is not all there is (BEP 21). */
  readonly isPartialSeed?: boolean
}

export interface AnnounceRequest extends Omit<AnnounceCounters, 'isPartialSeed'> {
  /** 20 bytes. */
  readonly infoHash: Uint8Array
  /** 20 bytes. */
  readonly peerId: Uint8Array
  /** Where peers reach us. */
  readonly port: number
  /** 32 bits by which a tracker knows us again under another address (BEP 7). */
  readonly key: number
  readonly event: AnnounceEvent
  readonly numWant: number
  /** What the tracker asked us to repeat (HTTP only). */
  readonly trackerId?: Uint8Array | undefined
}

export interface PeerAddress {
  readonly host: string
  readonly port: number
}

export interface AnnounceResult {
  /** When to announce again; within the bounds of `announceIntervalMs`. */
  readonly intervalMs: number
  /** Never sooner than this, if the tracker says so. */
  readonly minIntervalMs?: number | undefined
  readonly seeders?: number | undefined
  readonly leechers?: number | undefined
  readonly peers: readonly PeerAddress[]
  readonly warning?: string | undefined
  readonly trackerId?: Uint8Array | undefined
}

const CODE: keyof typeof engineErrors = 'ENGINE_TRACKER_FAILED'

/** ENGINE_TRACKER_FAILED. The message holds the tracker's reason, where it gave one. */
export class TrackerError extends SeedbedError {
  /** When the tracker wants to hear from us again, if it said so; Infinity: never. */
  readonly retryAfterMs: number | undefined
  /** The tracker answered, and refused; nothing is known to be wrong with the way there. */
  readonly refused: boolean

  constructor(
    message: string,
    details: {
      readonly retryAfterMs?: number | undefined
      readonly refused?: boolean
      readonly cause?: unknown
    } = {},
  ) {
    super(CODE, message, { cause: details.cause })
    this.retryAfterMs = details.retryAfterMs
    this.refused = details.refused === true
  }
}

const MIN_INTERVAL_S = 5
const MAX_INTERVAL_S = 24 * 60 * 60
const DEFAULT_INTERVAL_S = 30 * 60

/**
 * Milliseconds of an interval that a tracker named, 5 seconds to a day: neither a zero that would have
 * us hammer it, nor a number that would have us never come back. Half an hour if it named none.
 */
export function announceIntervalMs(seconds: number | undefined): number {
  const known = seconds ?? DEFAULT_INTERVAL_S
  return 1000 * Math.min(MAX_INTERVAL_S, Math.max(MIN_INTERVAL_S, known))
}

const MAX_TEXT = 200

/** A tracker's text made fit for logs: one line, no control characters, not long. */
export function printable(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
    .slice(0, MAX_TEXT)
}
