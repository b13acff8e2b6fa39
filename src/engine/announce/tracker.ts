/**
 * One tracker as one torrent sees it: what it was told over each address family, when it may be asked
 * again, and how it rests after failures.
 *
 * Where its host has IPv4 and IPv6, it is announced to over both, since it can hand out only the peers
 * of the family it is asked over (BEP 7); peer id, key and totals are the same, so it counts us once.
 *
 * Invariants, for each family:
 * - at most one announce is under way;
 * - the first that is answered says `started`; `completed` is answered at most once, and said only
 *   after `started` was; `stopped` is said only if `started` was answered;
 * - a partial seed says `paused` where it would say nothing (BEP 21), until that is refused.
 */
import { below, type Clock, type Logger, type Random } from '../../base/index.ts'
import { originOf } from '../url.ts'
import type { Calls } from './calls.ts'
import type { TrackerClient, TrackerUrl } from './tracker-client.ts'
import {
  type AnnounceCounters,
  type AnnounceEvent,
  type AnnounceRequest,
  type AnnounceResult,
  type PeerAddress,
  TrackerError,
} from './types.ts'

/** What stays the same in all announces of a torrent. */
export interface TorrentIdentity {
  readonly infoHash: Uint8Array
  readonly peerId: Uint8Array
  readonly port: number
  readonly key: number
  readonly numWant: number
}

export interface TrackerContext {
  readonly identity: TorrentIdentity
  readonly client: TrackerClient
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly counters: () => AnnounceCounters
  readonly onPeers: (peers: readonly PeerAddress[]) => void
  /** By which announces are ended; of them `completed` and `stopped` are last words. */
  readonly calls: Calls
}

/** Without a min interval from the tracker, an extra announce waits this long, or for the interval. */
const DEFAULT_MIN_INTERVAL_MS = 5 * 60_000
const FIRST_REST_MS = 15_000
const MAX_REST_MS = 30 * 60_000

interface Family {
  readonly family: 4 | 6
  /** Settles with the announce under way, never rejects. */
  underway: Promise<void> | undefined
  started: boolean
  completedIsDue: boolean
  /** It has refused `paused` (BEP 21), which older trackers take for a mistake. */
  refusesPaused: boolean
}

export class Tracker {
  readonly tracker: TrackerUrl
  readonly #context: TrackerContext
  /** At most two. */
  #families: readonly Family[] = []
  #failures = 0
  #trackerId: Uint8Array | undefined
  #dueMs = Number.NEGATIVE_INFINITY
  #earliestMs = Number.NEGATIVE_INFINITY
  #restsUntilMs = Number.NEGATIVE_INFINITY
  #lastError: string | undefined
  #lastResult: AnnounceResult | undefined

  constructor(tracker: TrackerUrl, context: TrackerContext) {
    this.tracker = tracker
    this.#context = context
  }

  /** When the next regular announce is due; of two families' intervals the longer counts. */
  get dueMs(): number {
    return this.#dueMs
  }

  /** When another announce is allowed: after the min interval, after the rest of a failure. */
  get readyMs(): number {
    return Math.max(this.#earliestMs, this.#restsUntilMs)
  }

  /** The reason of the last announce, if it failed. */
  get lastError(): string | undefined {
    return this.#lastError
  }

  get lastResult(): AnnounceResult | undefined {
    return this.#lastResult
  }

  /** Somebody who heard `started` is yet to hear `completed`. */
  get completedIsDue(): boolean {
    return this.#families.some((f) => f.completedIsDue)
  }

  /** `completed` is to be said to whoever was told `started` while bytes were missing. */
  markCompleted(): void {
    for (const family of this.#families) {
      if (family.started || family.underway !== undefined) family.completedIsDue = true
    }
  }

  /**
   * Announces over every family that has none under way; true as soon as one succeeded, false when all
   * failed. The others go on behind it. Peers are handed on as they come.
   */
  async announce(): Promise<boolean> {
    const { client, clock } = this.#context
    try {
      const families = await client.families(this.tracker)
      if (this.#context.calls.stopped) return false
      const idle = families
        .map((family) => this.#family(family))
        .filter((f) => f.underway === undefined)
      if (idle.length === 0) throw new TrackerError('still waiting for an earlier announce')
      await Promise.any(idle.map((family) => this.#startAnnounce(family)))
      return true
    } catch (error) {
      if (this.#context.calls.stopped) return false
      const first = error instanceof AggregateError ? error.errors[0] : error
      this.#lastError = first instanceof Error ? first.message : String(first)
      this.#restsUntilMs = clock.monotonicMs() + this.#restMs(first)
      this.#context.logger.info(
        { tracker: originOf(this.tracker.url), reason: this.#lastError, failures: this.#failures },
        'announce failed',
      )
      return false
    }
  }

  /**
   * Says `stopped` where `started` was heard, after `completed` if that is still to be said. Settles when
   * all have answered or failed.
   */
  async stop(): Promise<void> {
    const told = this.#families.filter(({ started }) => started)
    await Promise.allSettled(
      told.map(async (family) => {
        await family.underway
        if (family.completedIsDue) await this.#send(family, 'completed').catch(() => {})
        await this.#send(family, 'stopped')
      }),
    )
  }

  #startAnnounce(family: Family): Promise<void> {
    const announce = this.#announceOver(family)
    const over = (): void => {
      family.underway = undefined
      if (!family.started) family.completedIsDue = false
    }
    family.underway = announce.then(over, over)
    return announce
  }

  async #announceOver(family: Family): Promise<void> {
    do {
      const event = this.#nextEvent(family)
      const result = await this.#send(family, event).catch((error: unknown) => {
        const isRefused = error instanceof TrackerError && error.refused
        if (event !== 'paused' || !isRefused) throw error
        family.refusesPaused = true
        return this.#send(family, 'none')
      })
      if (event === 'started') family.started = true
      if (event === 'completed') family.completedIsDue = false
      this.#succeed(result)
    } while (family.completedIsDue && !this.#context.calls.stopped)
  }

  #send(family: Family, event: AnnounceEvent): Promise<AnnounceResult> {
    const { client, counters, identity, calls } = this.#context
    const isLast = event === 'completed' || event === 'stopped'
    const { uploaded, downloaded, left } = counters()
    const request: AnnounceRequest = {
      ...identity,
      numWant: event === 'stopped' ? 0 : identity.numWant,
      uploaded,
      downloaded,
      left,
      event,
      trackerId: this.#trackerId,
    }
    return calls.make(isLast, (signal) =>
      client.announce(this.tracker, family.family, request, signal),
    )
  }

  #succeed(result: AnnounceResult): void {
    const { clock, logger, onPeers, calls } = this.#context
    if (calls.stopped) return
    const nowMs = clock.monotonicMs()
    const minIntervalMs = result.minIntervalMs ?? DEFAULT_MIN_INTERVAL_MS
    const dueMs = nowMs + Math.max(result.intervalMs, result.minIntervalMs ?? 0)
    this.#dueMs = Math.max(this.#dueMs, dueMs)
    this.#earliestMs = Math.max(this.#earliestMs, Math.min(dueMs, nowMs + minIntervalMs))
    this.#restsUntilMs = Number.NEGATIVE_INFINITY
    this.#failures = 0
    this.#trackerId = result.trackerId ?? this.#trackerId
    this.#lastError = undefined
    this.#lastResult = result
    const tracker = originOf(this.tracker.url)
    if (result.warning !== undefined) {
      logger.warn({ tracker, warning: result.warning }, 'the tracker warns')
    }
    logger.debug({ tracker, peers: result.peers.length }, 'announced')
    if (result.peers.length > 0) onPeers(result.peers)
  }

  /** Doubles with each failure in a row, and varies, so that a tracker that returns is not stormed. */
  #restMs(error: unknown): number {
    const asked = error instanceof TrackerError ? error.retryAfterMs : undefined
    const doubledMs = Math.min(MAX_REST_MS, FIRST_REST_MS * 2 ** this.#failures)
    this.#failures++
    if (asked !== undefined) return asked
    return doubledMs * (0.75 + below(this.#context.random, 1001) / 2000)
  }

  #family(family: 4 | 6): Family {
    let state = this.#families.find((one) => one.family === family)
    if (state === undefined) {
      state = {
        family,
        underway: undefined,
        started: false,
        completedIsDue: false,
        refusesPaused: false,
      }
      this.#families = this.#families.concat(state)
    }
    return state
  }

  #nextEvent(family: Family): AnnounceEvent {
    if (!family.started) return 'started'
    if (family.completedIsDue) return 'completed'
    const isPaused = !family.refusesPaused && this.#context.counters().isPartialSeed === true
    return isPaused ? 'paused' : 'none'
  }
}
