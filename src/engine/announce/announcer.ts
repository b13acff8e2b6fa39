/**
 * Announces one torrent to its trackers: when, to which, and what it says.
 *
 * Tiers are tried in order, the trackers of a tier in an order that was shuffled once, until one works;
 * that one moves to the front of its tier (BEP 12). With `announceToAllTiers` each tier is tried so for
 * itself.
 *
 * Invariants:
 * - no tracker is asked again before its interval, or its min interval when peers are wanted, other
 *   than to say that the torrent is complete or stopped;
 * - a tracker that failed is left alone until its rest is over;
 * - after `stop` has settled nothing is under way and no timer is left.
 */
import { assert, below, type Clock, type Logger, type Random } from '../../base/index.ts'
import type { Network } from '../network.ts'
import { originOf } from '../url.ts'
import { Calls } from './calls.ts'
import { Tracker, type TrackerContext } from './tracker.ts'
import { createTrackerClient, parseTrackerUrl, type TrackerClient } from './tracker-client.ts'
import type { AnnounceCounters, PeerAddress } from './types.ts'

export interface AnnouncerOptions {
  /** BEP 12 tiers of announce URLs. Those of an unknown kind are left out. */
  readonly trackers: readonly (readonly string[])[]
  readonly infoHash: Uint8Array
  readonly peerId: Uint8Array
  readonly port: number
  /** 32 random bits, the same for all torrents of a run. */
  readonly key: number
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly counters: () => AnnounceCounters
  /** Called for every reply with peers; the same peer may come again, and again from another tracker. */
  readonly onPeers: (peers: readonly PeerAddress[]) => void
  readonly announceToAllTiers?: boolean
  readonly numWant?: number
  /** Shared by the torrents of a process; whoever made it closes it. */
  readonly client?: TrackerClient
}

export interface TrackerStatus {
  /** Scheme and host: the rest may be a secret. */
  readonly tracker: string
  readonly tier: number
  readonly error: string | undefined
  readonly warning: string | undefined
  readonly seeders: number | undefined
  readonly leechers: number | undefined
}

export interface Announcer {
  /** Once. */
  start(): void
  /** The download is complete; not to be called for a torrent that was complete when it started. */
  completed(): void
  /** Peers are wanted: announces as soon as the tracker's min interval allows. Call it as often as you like. */
  announceNow(): void
  /** Peers are wanted within `waitMs`, or not at all: as `announceNow` where the min interval allows that. */
  announceWithin(waitMs: number): void
  /** Says `stopped` to those that heard `started`, and settles within `timeoutMs` in any case. */
  stop(timeoutMs: number): Promise<void>
  status(): TrackerStatus[]
}

const DEFAULT_NUM_WANT = 100

export function createAnnouncer(options: AnnouncerOptions): Announcer {
  return new TierAnnouncer(options)
}

class TierAnnouncer implements Announcer {
  readonly #tiers: Tracker[][]
  readonly #groups: Group[]
  readonly #clock: Clock
  readonly #client: TrackerClient
  readonly #ownsClient: boolean
  readonly #calls = new Calls()
  #state: 'new' | 'running' | 'stopped' = 'new'
  #stopping: Promise<void> | undefined

  constructor(options: AnnouncerOptions) {
    this.#clock = options.clock
    this.#ownsClient = options.client === undefined
    this.#client = options.client ?? createTrackerClient(options)
    const context: TrackerContext = {
      identity: {
        infoHash: options.infoHash,
        peerId: options.peerId,
        port: options.port,
        key: options.key,
        numWant: options.numWant ?? DEFAULT_NUM_WANT,
      },
      client: this.#client,
      clock: options.clock,
      random: options.random,
      logger: options.logger,
      counters: options.counters,
      onPeers: options.onPeers,
      calls: this.#calls,
    }
    this.#tiers = makeTiers(options, context)
    const groups = options.announceToAllTiers === true ? this.#tiers.map((t) => [t]) : [this.#tiers]
    this.#groups = groups.map((tiers) => new Group(tiers, options.clock, this.#client))
  }

  start(): void {
    assert(this.#state === 'new', 'an announcer is started once')
    this.#state = 'running'
    for (const group of this.#groups) group.start()
  }

  completed(): void {
    if (this.#state !== 'running') return
    for (const tracker of this.#tiers.flat()) tracker.markCompleted()
    for (const group of this.#groups) group.announceCompleted()
  }

  announceNow(): void {
    if (this.#state !== 'running') return
    for (const group of this.#groups) group.announceEarly()
  }

  announceWithin(waitMs: number): void {
    if (this.#state !== 'running') return
    for (const group of this.#groups) group.announceWithin(waitMs)
  }

  stop(timeoutMs: number): Promise<void> {
    this.#stopping ??= this.#stop(timeoutMs)
    return this.#stopping
  }

  async #stop(timeoutMs: number): Promise<void> {
    this.#state = 'stopped'
    this.#calls.stop()
    for (const group of this.#groups) group.stop()
    let cancel = (): void => {}
    // A network that does not heed the signal must not hold up the end.
    const timeUp = new Promise<void>((resolve) => {
      cancel = this.#clock.after(timeoutMs, () => {
        this.#calls.end()
        resolve()
      })
    })
    const told = Promise.all(this.#tiers.flat().map((tracker) => tracker.stop()))
    await Promise.race([told, timeUp])
    cancel()
    if (this.#ownsClient) this.#client.close()
  }

  status(): TrackerStatus[] {
    return this.#tiers.flatMap((tier, index) =>
      tier.map(({ tracker, lastError, lastResult }) => ({
        tracker: originOf(tracker.url),
        tier: index,
        error: lastError,
        warning: lastResult?.warning,
        seeders: lastResult?.seeders,
        leechers: lastResult?.leechers,
      })),
    )
  }
}

/** Every usable URL once, in its first tier; shuffled within the tier. */
function makeTiers(options: AnnouncerOptions, context: TrackerContext): Tracker[][] {
  const seen = new Set<string>()
  const tiers: Tracker[][] = []
  for (const urls of options.trackers) {
    const tier: Tracker[] = []
    for (const text of urls) {
      const url = parseTrackerUrl(text)
      if (url === null) {
        options.logger.info({ tracker: originOf(text) }, 'not a tracker that can be announced to')
      } else if (!seen.has(url.url)) {
        seen.add(url.url)
        tier.splice(below(options.random, tier.length + 1), 0, new Tracker(url, context))
      }
    }
    // Copies are as long as they are: what grew by `push` has room for seventeen.
    if (tier.length > 0) tiers.push(tier.slice())
  }
  return tiers.slice()
}

/** Tiers of which one tracker is announced to. */
class Group {
  readonly #tiers: readonly Tracker[][]
  readonly #clock: Clock
  readonly #client: TrackerClient
  /** Who answered last, unless all have failed since. */
  #working: Tracker | undefined
  #cancelTimer: () => void = () => {}
  #busy = false
  /** Peers are wanted before the next regular announce. */
  #early = false
  /** `completed` is to be said, no matter when the last announce was. */
  #urgent = false
  #stopped = false

  constructor(tiers: readonly Tracker[][], clock: Clock, client: TrackerClient) {
    this.#tiers = tiers
    this.#clock = clock
    this.#client = client
  }

  start(): void {
    const first = this.#tiers[0]?.[0]
    if (first === undefined) return
    this.#busy = true
    this.#client.begin(first.tracker, async () => {
      if (!this.#stopped) await this.#round()
    })
  }

  stop(): void {
    this.#stopped = true
    this.#cancelTimer()
  }

  /** A round under way brings the peers that are wanted. */
  announceEarly(): void {
    if (this.#busy) return
    this.#early = true
    this.#arm()
  }

  announceWithin(waitMs: number): void {
    const readyMs = this.#working?.readyMs ?? Number.POSITIVE_INFINITY
    if (readyMs <= this.#clock.monotonicMs() + waitMs) this.announceEarly()
  }

  announceCompleted(): void {
    this.#urgent = true
    if (this.#busy || this.#working === undefined) return
    this.#cancelTimer()
    void this.#round()
  }

  #nextMs(): number {
    if (this.#working === undefined) {
      return Math.min(...this.#tiers.flat().map((tracker) => tracker.readyMs))
    }
    if (this.#urgent) return Number.NEGATIVE_INFINITY
    return this.#early ? this.#working.readyMs : this.#working.dueMs
  }

  #arm(): void {
    this.#cancelTimer()
    this.#cancelTimer = () => {}
    const nextMs = this.#nextMs()
    if (this.#stopped || nextMs === Number.POSITIVE_INFINITY) return
    const delayMs = Math.max(0, nextMs - this.#clock.monotonicMs())
    this.#cancelTimer = this.#clock.after(delayMs, () => {
      // A slower family's reply may have put it off.
      if (this.#nextMs() > this.#clock.monotonicMs()) this.#arm()
      else void this.#round()
    })
  }

  async #round(): Promise<void> {
    this.#busy = true
    const urgent = this.#urgent
    this.#urgent = false
    this.#early = false
    const told = urgent && this.#working !== undefined && (await this.#working.announce())
    if (!told) this.#working = await this.#findWorking()
    this.#busy = false
    // Said during the round, and heard with it.
    if (this.#working?.completedIsDue !== true) this.#urgent = false
    this.#arm()
  }

  /** The first tracker that answers, moved to the front of its tier. */
  async #findWorking(): Promise<Tracker | undefined> {
    for (const tier of this.#tiers) {
      for (const tracker of [...tier]) {
        if (this.#stopped) return undefined
        if (tracker.readyMs > this.#clock.monotonicMs()) continue
        if (!(await tracker.announce())) continue
        tier.splice(tier.indexOf(tracker), 1)
        tier.unshift(tracker)
        return tracker
      }
    }
    return undefined
  }
}
