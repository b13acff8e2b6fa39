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
import { assert, below, type Logger, type Random } from '../../base/index.ts'
import { originOf } from '../url.ts'
import type { Alarm } from './alarms.ts'
import { Calls } from './calls.ts'
import { type AnnounceContext, type AnnounceHost, type Announcing, Tracker } from './tracker.ts'
import type { TrackerUrl, TrackerUrls } from './tracker-client.ts'

/** Trackers in the order of BEP 12; each of them once. */
export type Tiers = readonly (readonly TrackerUrl[])[]

export interface AnnouncerOptions {
  readonly tiers: Tiers
  /** 20 bytes. */
  readonly infoHash: Uint8Array
  readonly host: AnnounceHost
  readonly announceToAllTiers?: boolean
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
  /** What was told is not so any more: as `announceNow`, and once more after a round that is under way. */
  announceAgain(): void
  /** Says `stopped` to those that heard `started`, and settles within `timeoutMs` in any case. */
  stop(timeoutMs: number): Promise<void>
  status(): TrackerStatus[]
  /** Those that it announces to. */
  tiers(): Tiers
}

/** Every usable URL once, in its first tier. */
export function tiersOf(
  tiers: readonly (readonly string[])[],
  urls: TrackerUrls,
  logger: Logger,
): Tiers {
  const seen = new Set<TrackerUrl['url']>()
  const parse = (text: string): TrackerUrl[] => {
    const url = urls.of(text)
    if (url === null) {
      logger.info({ tracker: originOf(text) }, 'not a tracker that can be announced to')
      return []
    }
    if (seen.has(url.url)) return []
    seen.add(url.url)
    return [url]
  }
  return tiers.map((tier) => tier.flatMap(parse)).filter((tier) => tier.length > 0)
}

export function createAnnouncer(context: AnnounceContext, options: AnnouncerOptions): Announcer {
  return new TierAnnouncer(context, options)
}

class TierAnnouncer implements Announcer, Announcing {
  readonly context: AnnounceContext
  readonly host: AnnounceHost
  readonly infoHash: Uint8Array
  readonly calls: Calls = new Calls()
  readonly #groups: readonly Group[]
  #state: 'new' | 'running' | 'stopped' = 'new'
  #stopping: Promise<void> | undefined

  constructor(context: AnnounceContext, options: AnnouncerOptions) {
    this.context = context
    this.host = options.host
    this.infoHash = options.infoHash
    const tiers = options.tiers.map((urls) =>
      shuffled(urls, context.random).map((url) => new Tracker(url, this)),
    )
    const groups = options.announceToAllTiers === true ? tiers.map((tier) => [tier]) : [tiers]
    this.#groups = groups.map((tiers) => new Group(tiers, context))
  }

  start(): void {
    assert(this.#state === 'new', 'an announcer is started once')
    this.#state = 'running'
    for (const group of this.#groups) group.start()
  }

  completed(): void {
    if (this.#state !== 'running') return
    for (const tracker of this.#trackers()) tracker.markCompleted()
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

  announceAgain(): void {
    if (this.#state !== 'running') return
    for (const group of this.#groups) group.announceAgain()
  }

  stop(timeoutMs: number): Promise<void> {
    this.#stopping ??= this.#stop(timeoutMs)
    return this.#stopping
  }

  async #stop(timeoutMs: number): Promise<void> {
    this.#state = 'stopped'
    this.calls.stop()
    for (const group of this.#groups) group.stop()
    let cancel = (): void => {}
    // A network that does not heed the signal must not hold up the end.
    const timeUp = new Promise<void>((resolve) => {
      cancel = this.context.clock.after(timeoutMs, () => {
        this.calls.end()
        resolve()
      })
    })
    const told = Promise.all(this.#trackers().map((tracker) => tracker.stop()))
    await Promise.race([told, timeUp])
    cancel()
  }

  #tiers(): readonly (readonly Tracker[])[] {
    return this.#groups.flatMap(({ tiers }) => tiers)
  }

  #trackers(): readonly Tracker[] {
    return this.#tiers().flat()
  }

  tiers(): Tiers {
    return this.#tiers().map((tier) => tier.map(({ tracker }) => tracker))
  }

  status(): TrackerStatus[] {
    return this.#tiers().flatMap((tier, index) =>
      tier.map(({ tracker, said: { error, warning, seeders, leechers } }) => ({
        tracker: originOf(tracker.url),
        tier: index,
        error,
        warning,
        seeders,
        leechers,
      })),
    )
  }
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const order: T[] = []
  for (const item of items) order.splice(below(random, order.length + 1), 0, item)
  return order
}

/** Tiers of which one tracker is announced to. */
class Group implements Alarm {
  readonly tiers: readonly Tracker[][]
  readonly #context: AnnounceContext
  dueMs = 0
  place = -1
  /** Who answered last, unless all have failed since. */
  #working: Tracker | undefined
  #busy = false
  /** Peers are wanted before the next regular announce. */
  #early = false
  /** `completed` is to be said, no matter when the last announce was. */
  #urgent = false
  #stopped = false

  constructor(tiers: readonly Tracker[][], context: AnnounceContext) {
    this.tiers = tiers
    this.#context = context
  }

  start(): void {
    const first = this.tiers[0]?.[0]
    if (first === undefined) return
    this.#busy = true
    this.#context.trackerClient.begin(first.tracker, async () => {
      if (!this.#stopped) await this.#round()
    })
  }

  stop(): void {
    this.#stopped = true
    this.#context.alarms.clear(this)
  }

  /** A round under way brings the peers that are wanted. */
  announceEarly(): void {
    if (this.#busy) return
    this.#early = true
    this.#arm()
  }

  announceAgain(): void {
    this.#early = true
    if (!this.#busy) this.#arm()
  }

  announceWithin(waitMs: number): void {
    const readyMs = this.#working?.readyMs ?? Number.POSITIVE_INFINITY
    if (readyMs <= this.#context.clock.monotonicMs() + waitMs) this.announceEarly()
  }

  announceCompleted(): void {
    this.#urgent = true
    if (this.#busy || this.#working === undefined) return
    this.#context.alarms.clear(this)
    void this.#round()
  }

  #nextMs(): number {
    if (this.#working === undefined) {
      return Math.min(...this.tiers.flat().map((tracker) => tracker.readyMs))
    }
    if (this.#urgent) return Number.NEGATIVE_INFINITY
    return this.#early ? this.#working.readyMs : this.#working.dueMs
  }

  #arm(): void {
    const { alarms } = this.#context
    const nextMs = this.#nextMs()
    if (this.#stopped || nextMs === Number.POSITIVE_INFINITY) alarms.clear(this)
    else alarms.set(this, nextMs)
  }

  ring(): void {
    // A slower family's reply may have put it off.
    if (this.#nextMs() > this.#context.clock.monotonicMs()) this.#arm()
    else void this.#round()
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
    for (const tier of this.tiers) {
      for (const tracker of [...tier]) {
        if (this.#stopped) return undefined
        if (tracker.readyMs > this.#context.clock.monotonicMs()) continue
        if (!(await tracker.announce())) continue
        tier.splice(tier.indexOf(tracker), 1)
        tier.unshift(tracker)
        return tracker
      }
    }
    return undefined
  }
}
