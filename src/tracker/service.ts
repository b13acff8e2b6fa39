/**
 * A tracker by its configuration: makes the store, listens, and goes on by a changed configuration when it is told.
 *
 * Invariants: a reload that fails changes nothing; one that succeeds keeps sockets, connections and peers. What cannot change
 * while the tracker runs keeps its value and is named.
 */
import { isDeepStrictEqual } from 'node:util'
import { createPeerStore, type PeerStoreOptions, type PeerStoreStats } from '../peer-store/index.ts'
import { CertificateWatch } from './certificate-watch.ts'
import { endpointsOf } from './config/fields.ts'
import { type HttpConfig, retryOf } from './config/front-end-settings.ts'
import { readText } from './config/load.ts'
import { keepUnchangeable, needRestart } from './config/schema.ts'
import { type StoreConfig, type TrackerConfig, trackerSchema } from './config/settings.ts'
import type { TrackerStats } from './counters.ts'
import type { HookList } from './hooks/hook.ts'
import { type HookTools, makeHooks } from './hooks/make-hooks.ts'
import type { FrontEndChoice, HttpOptions, TrackerPolicy } from './options.ts'
import type { Observation } from './outside/metrics.ts'
import { type MetricNames, type Outside, startOutside } from './outside/server.ts'
import { startTracker, type Tracker } from './tracker.ts'

export interface ServiceOptions extends HookTools {
  readonly config: TrackerConfig
  /** For metrics and statistics. */
  readonly version?: string
}

export interface TrackerService {
  readonly http: Tracker['http']
  readonly https: Tracker['https']
  readonly udp: Tracker['udp']
  /** Where metrics and statistics are. */
  readonly metrics: Tracker['http']
  readonly frontEnd: Tracker['frontEnd']
  stats(): TrackerStats & { readonly store: PeerStoreStats }
  /**
   * Takes what can be changed; resolves to the keys that need a restart to change. Lists and keys of hooks are read
   * again. Rejects, and changes nothing, when a new hook cannot start.
   */
  reload(config: TrackerConfig): Promise<readonly string[]>
  stop(): Promise<void>
}

/** Rejects with the errors of startTracker, of the store, and with TRACKER_LIST or TRACKER_JWK_SET. */
export async function startTrackerService(options: ServiceOptions): Promise<TrackerService> {
  const { clock, random, logger } = options
  const [startedWallMs, startedMs] = [clock.wallMs(), clock.monotonicMs()]
  let config = options.config
  const store = createPeerStore({ clock, random, ...storeOptions(config.storage.config) })
  const listen = {
    http: endpointsOf(config.http.addr),
    https: endpointsOf(config.http.httpsAddr),
    udp: endpointsOf(config.udp.addr),
  }
  let hooks = makeHooks([...config.prehooks, ...config.posthooks], options)
  await hooks.start()
  let tracker: Tracker
  try {
    const policy = policyOf(config, hooks)
    const frontEnd = config.frontEnd as FrontEndChoice
    const { workers } = config
    tracker = await startTracker({
      ...{ store, clock, random, logger, listen, frontEnd, workers },
      ...policy,
    })
  } catch (error) {
    await hooks.stop()
    store.stop()
    throw error
  }
  const observe = (): Observation => {
    const { user, system } = process.cpuUsage()
    return {
      version: options.version ?? '',
      startedWallMs,
      uptimeMs: clock.monotonicMs() - startedMs,
      tracker: tracker.stats(),
      frontEnd: tracker.frontEnd,
      restarts: tracker.restarts(),
      store: store.stats(),
      gc: tracker.collection(),
      process: { residentBytes: process.memoryUsage.rss(), cpuSeconds: (user + system) / 1e6 },
    }
  }
  let stopping: Promise<void> | undefined
  let outside: Outside
  try {
    outside = await startOutside({
      listen: endpointsOf(config.metricsAddr),
      logger,
      observe,
      names: () => config.metricsNames as MetricNames,
      ready: () => stopping === undefined,
    })
  } catch (error) {
    await hooks.stop()
    await tracker.stop()
    store.stop()
    throw error
  }
  const certificates = new CertificateWatch(
    clock,
    logger,
    () => certificateFiles(config.http),
    () => tracker.reconfigure(policyOf(config, hooks)),
  )
  await certificates.start()
  // Who asks meanwhile whether it is ready is told no.
  const end = async (): Promise<void> => {
    certificates.stop()
    await tracker.stop()
    await hooks.stop()
    await outside.close()
    store.stop()
  }
  return {
    http: tracker.http,
    https: tracker.https,
    udp: tracker.udp,
    metrics: outside.endpoints,
    frontEnd: tracker.frontEnd,
    stats: () => ({ ...tracker.stats(), store: store.stats() }),
    async reload(wanted) {
      const next = keepUnchangeable(trackerSchema, config, wanted)
      const same =
        isDeepStrictEqual(next.prehooks, config.prehooks) &&
        isDeepStrictEqual(next.posthooks, config.posthooks)
      if (same) {
        await hooks.refresh()
        await tracker.reconfigure(policyOf(next, hooks))
      } else {
        const before = hooks
        const made = makeHooks([...next.prehooks, ...next.posthooks], options)
        await made.start()
        await tracker.reconfigure(policyOf(next, made))
        hooks = made
        await before.stop()
      }
      const waiting = needRestart(trackerSchema, config, wanted, trackerSchema.key)
      config = next
      await certificates.noteLoaded()
      return waiting
    },
    stop() {
      stopping ??= end()
      return stopping
    },
  }
}

function storeOptions(config: StoreConfig): Omit<PeerStoreOptions, 'clock' | 'random'> {
  const { shardCount, shardCountBits, peerLifetimeMs, maxMemoryBytes } = config
  const bits = shardCount > 0 ? Math.ceil(Math.log2(shardCount)) : shardCountBits || 10
  return {
    shardCountBits: bits,
    peerLifetimeMs,
    ...(maxMemoryBytes === 0 ? {} : { maxMemoryBytes }),
  }
}

function policyOf(config: TrackerConfig, hooks: HookList): TrackerPolicy {
  const { http, udp, storage, rateLimit } = config
  return {
    announceIntervalMs: config.announceIntervalMs,
    minAnnounceIntervalMs: config.minAnnounceIntervalMs,
    retryIntervalMs: config.retryIntervalMs,
    peerLifetimeMs: storage.config.peerLifetimeMs,
    gcIntervalMs: storage.config.gcIntervalMs,
    maxHttpConnections: http.maxConnections,
    httpIdleTimeoutMs: http.idleTimeoutMs,
    httpHeadTimeoutMs: http.readTimeoutMs,
    httpWriteTimeoutMs: http.writeTimeoutMs,
    http: httpOptions(http),
    udp,
    hooks,
    rateLimit: rateLimit.requestsPerMinute === 0 ? null : rateLimit,
  }
}

function certificateFiles(http: HttpConfig): readonly string[] {
  return http.httpsAddr.length === 0 ? [] : [http.tlsCertPath, http.tlsKeyPath]
}

/** Certificate and key are read here: at the start, and again with each reload. */
function httpOptions(http: HttpConfig): HttpOptions {
  const { refusalRetry, ...rest } = http
  const retry = retryOf(refusalRetry)
  return {
    ...rest,
    ...(retry === undefined ? {} : { refusalRetry: retry }),
    ...(http.httpsAddr.length === 0
      ? {}
      : { tls: { cert: readText(http.tlsCertPath), key: readText(http.tlsKeyPath) } }),
  }
}
