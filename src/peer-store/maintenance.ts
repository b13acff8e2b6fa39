/**
 * What a running store needs beside its callers: passes of garbage collection, in steps, and a snapshot of its counters at every
 * reporting interval.
 *
 * A pass begins `gcIntervalMs` after the one before ended. A step works for about STEP_MS, then the event loop has its turn. The
 * counters are sums over the shard lines, so a report costs the same with ten swarms and with ten million.
 */
import type { Clock } from '../base/index.ts'
import type { PeerStoreConfig } from './config.ts'
import { isLockLost } from './memory.ts'
import type { PeerStore, PeerStoreStats } from './types.ts'

/** Upper bounds of the histogram in milliseconds, as chihaya's: 9.375 * 2^n. The last class has none. */
export const GC_DURATION_BOUNDS_MS: readonly number[] = Array.from(
  { length: 10 },
  (_, n) => 9.375 * 2 ** n,
)
const STEP_SWARMS = 4096
const STEP_PAUSE_MS = 5

export interface PeerStoreMetrics {
  readonly store: PeerStoreStats
  readonly infohashes: number
  /** When `store` was taken, on the clock's monotonic time. */
  readonly takenMs: number
  readonly gc: {
    readonly passes: number
    /** Time at work in all passes, without the pauses between steps. */
    readonly totalMs: number
    readonly longestStepMs: number
    /** Passes of up to each bound of GC_DURATION_BOUNDS_MS, and of more; not cumulative. */
    readonly histogram: readonly number[]
  }
}

export interface PeerStoreMaintenance {
  /** As of the last reporting interval. */
  metrics(): PeerStoreMetrics
  stop(): void
}

export interface MaintenanceOptions {
  readonly store: PeerStore
  readonly clock: Clock
  readonly config: Pick<PeerStoreConfig, 'gcIntervalMs' | 'peerLifetimeMs' | 'reportingIntervalMs'>
}

/** Collects and reports until `stop`, which must come before the store's. One thread does this for all. */
export function maintainPeerStore(options: MaintenanceOptions): PeerStoreMaintenance {
  const { store, clock, config } = options
  const histogram = new Array<number>(GC_DURATION_BOUNDS_MS.length + 1).fill(0)
  let passes = 0
  let totalMs = 0
  let longestStepMs = 0
  let passMs = 0

  const take = (): PeerStoreMetrics => {
    const stats = store.stats()
    return {
      store: stats,
      infohashes: stats.swarms,
      takenMs: clock.monotonicMs(),
      gc: { passes, totalMs, longestStepMs, histogram: [...histogram] },
    }
  }
  let last = take()

  const step = (): void => {
    const begun = clock.monotonicMs()
    const ended = collect()
    const stepMs = clock.monotonicMs() - begun
    passMs += stepMs
    totalMs += stepMs
    longestStepMs = Math.max(longestStepMs, stepMs)
    if (ended) {
      const klass = GC_DURATION_BOUNDS_MS.findIndex((bound) => passMs <= bound)
      histogram[klass < 0 ? GC_DURATION_BOUNDS_MS.length : klass]!++
      passes++
      passMs = 0
    }
    cancelGc = clock.after(ended ? config.gcIntervalMs : STEP_PAUSE_MS, step, true)
  }
  /** A lock that a dead thread left is no reason to end the process: this goes on when it was recovered. */
  const collect = (): boolean => {
    try {
      return store.collectGarbageStep(config.peerLifetimeMs, STEP_SWARMS)
    } catch (error) {
      if (!isLockLost(error)) throw error
      return false
    }
  }
  const report = (): void => {
    last = take()
    cancelReport = clock.after(config.reportingIntervalMs, report, true)
  }
  let cancelGc = clock.after(config.gcIntervalMs, step, true)
  let cancelReport = clock.after(config.reportingIntervalMs, report, true)
  return {
    metrics: () => last,
    stop() {
      cancelGc()
      cancelReport()
    },
  }
}
