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
import type { Reach } from '../gateway/reach.ts'
import { originOf } from '../url.ts'
import type { Alarms } from './alarms.ts'
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

/** What torrents share that announce themselves. */
export interface AnnounceContext {
  /** 20 bytes. */
  readonly peerId: Uint8Array
  /** Where peers reach us. */
  readonly reach: Reach
  /** 32 random bits, the same for all torrents of a run. */
  readonly key: number
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly alarms: Alarms
  /** Whoever made it closes it. */
  readonly trackerClient: TrackerClient
}

/** The torrent that announces itself. */
export interface Announcing {
  readonly context: AnnounceContext
  readonly infoHash: Uint8Array
  /** By which announces are ended; of them `completed` and `stopped` are last words. */
  readonly calls: Calls
  readonly host: AnnounceHost
}

export interface AnnounceHost {
  counters(): AnnounceCounters
  /** Called for every reply with peers; the same peer may come again, and again from another tracker. */
  addPeers(peers: readonly PeerAddress[]): void
}

const NUM_WANT = 100
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

/** What the tracker was told and has said. Of a list of trackers most are never asked. */
class Talk {
  /** At most two. */
  families: readonly Family[] = []
  failures = 0
  trackerId: Uint8Array | undefined
  dueMs: number = Number.NEGATIVE_INFINITY
  earliestMs: number = Number.NEGATIVE_INFINITY
  restsUntilMs: number = Number.NEGATIVE_INFINITY
  error: string | undefined
  warning: string | undefined
  seeders: number | undefined
  leechers: number | undefined
}

const SILENCE: Readonly<Talk> = new Talk()

export class Tracker {
  readonly tracker: TrackerUrl
  readonly #torrent: Announcing
  #talk: Talk | undefined

  constructor(tracker: TrackerUrl, torrent: Announcing) {
    this.tracker = tracker
    this.#torrent = torrent
  }

  /** What it has said last. */
  get said(): Pick<Readonly<Talk>, 'error' | 'warning' | 'seeders' | 'leechers'> {
    return this.#talk ?? SILENCE
  }

  get #said(): Talk {
    this.#talk ??= new Talk()
    return this.#talk
  }

  /** When the next regular announce is due; of two families' intervals the longer counts. */
  get dueMs(): number {
    return (this.#talk ?? SILENCE).dueMs
  }

  /** When another announce is allowed: after the min interval, after the rest of a failure. */
  get readyMs(): number {
    const { earliestMs, restsUntilMs } = this.#talk ?? SILENCE
    return Math.max(earliestMs, restsUntilMs)
  }

  get #families(): readonly Family[] {
    return (this.#talk ?? SILENCE).families
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
    const { calls, context } = this.#torrent
    try {
      const families = await context.trackerClient.families(this.tracker)
      if (calls.stopped) return false
      const idle = families
        .map((family) => this.#family(family))
        .filter((f) => f.underway === undefined)
      if (idle.length === 0) throw new TrackerError('still waiting for an earlier announce')
      await Promise.any(idle.map((family) => this.#startAnnounce(family)))
      return true
    } catch (error) {
      if (calls.stopped) return false
      const first = error instanceof AggregateError ? error.errors[0] : error
      const said = this.#said
      said.error = first instanceof Error ? first.message : String(first)
      said.restsUntilMs = context.clock.monotonicMs() + this.#restMs(first)
      context.logger.info(
        { tracker: originOf(this.tracker.url), reason: said.error, failures: said.failures },
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
    } while (family.completedIsDue && !this.#torrent.calls.stopped)
  }

  #send(family: Family, event: AnnounceEvent): Promise<AnnounceResult> {
    const { infoHash, host, calls, context } = this.#torrent
    const { peerId, reach, key, trackerClient } = context
    const isLast = event === 'completed' || event === 'stopped'
    const { uploaded, downloaded, left } = host.counters()
    const request: AnnounceRequest = {
      infoHash,
      peerId,
      port: reach.tcpPort(this.tracker.host, family.family),
      key,
      numWant: event === 'stopped' ? 0 : NUM_WANT,
      uploaded,
      downloaded,
      left,
      event,
      trackerId: this.#said.trackerId,
    }
    return calls.make(isLast, (signal) =>
      trackerClient.announce(this.tracker, family.family, request, signal),
    )
  }

  #succeed(result: AnnounceResult): void {
    const { host, calls, context } = this.#torrent
    if (calls.stopped) return
    const { clock, logger } = context
    const said = this.#said
    const nowMs = clock.monotonicMs()
    const minIntervalMs = result.minIntervalMs ?? DEFAULT_MIN_INTERVAL_MS
    const dueMs = nowMs + Math.max(result.intervalMs, result.minIntervalMs ?? 0)
    said.dueMs = Math.max(said.dueMs, dueMs)
    said.earliestMs = Math.max(said.earliestMs, Math.min(dueMs, nowMs + minIntervalMs))
    said.restsUntilMs = Number.NEGATIVE_INFINITY
    said.failures = 0
    said.trackerId = result.trackerId ?? said.trackerId
    said.error = undefined
    // The peers are not kept: of ten thousand torrents they would be a million.
    said.warning = result.warning
    said.seeders = result.seeders
    said.leechers = result.leechers
    const tracker = originOf(this.tracker.url)
    if (result.warning !== undefined) {
      logger.warn({ tracker, warning: result.warning }, 'the tracker warns')
    }
    logger.debug({ tracker, peers: result.peers.length }, 'announced')
    if (result.peers.length > 0) host.addPeers(result.peers)
  }

  /** Doubles with each failure in a row, and varies, so that a tracker that returns is not stormed. */
  #restMs(error: unknown): number {
    const asked = error instanceof TrackerError ? error.retryAfterMs : undefined
    const doubledMs = Math.min(MAX_REST_MS, FIRST_REST_MS * 2 ** this.#said.failures++)
    if (asked !== undefined) return asked
    return doubledMs * (0.75 + below(this.#torrent.context.random, 1001) / 2000)
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
      this.#said.families = this.#families.concat(state)
    }
    return state
  }

  #nextEvent(family: Family): AnnounceEvent {
    if (!family.started) return 'started'
    if (family.completedIsDue) return 'completed'
    const isPaused = !family.refusesPaused && this.#torrent.host.counters().isPartialSeed === true
    return isPaused ? 'paused' : 'none'
  }
}
