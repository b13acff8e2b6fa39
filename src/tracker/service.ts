/**
 * A tracker by its configuration: makes the store, listens, and goes on by a changed configuration when it is told.
 *
 * Invariants: a reload that fails changes nothing; one that succeeds keeps sockets, connections and peers. What cannot change
 * while the tracker runs keeps its value and is named.
 */
import { access, constants } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { errnoOf, type Logger, type SeedbedError } from '../base/index.ts'
import {
  createPeerStore,
  type PeerStoreOptions,
  type PeerStoreStats,
  type SharedPeerStore,
} from '../peer-store/index.ts'
import { CertificateWatch } from './certificate-watch.ts'
import { inlineMore } from './compiler.ts'
import { endpointsOf } from './config/fields.ts'
import { type HttpConfig, retryOf } from './config/front-end-settings.ts'
import { readText } from './config/load.ts'
import { keepUnchangeable, needRestart } from './config/schema.ts'
import { type StoreConfig, type TrackerConfig, trackerSchema } from './config/settings.ts'
import type { TrackerStats } from './counters.ts'
import { trackerError } from './errors.ts'
import type { HandedSocket, SocketRole } from './handed-sockets.ts'
import type { HookList } from './hooks/hook.ts'
import { type HookTools, makeHooks } from './hooks/make-hooks.ts'
import { dropFilePagesTwice } from './linux/file-pages.ts'
import { probeLibc } from './linux/libc.ts'
import type { FrontEndChoice, HttpOptions, Place, TrackerPolicy } from './options.ts'
import type { Observation } from './outside/metrics.ts'
import { ScrapeFile } from './outside/scrape-file.ts'
import { type MetricNames, type Outside, startOutside } from './outside/server.ts'
import { startTracker, type Tracker } from './tracker.ts'

export interface ServiceOptions extends HookTools {
  readonly config: TrackerConfig
  /** Where a protocol has some of these, it listens there and nowhere else. */
  readonly handed?: readonly HandedSocket[]
  /** For metrics and statistics. */
  readonly version?: string
  /** Has the configuration read again and given to `reload`, as SIGHUP does; for POST /reload. */
  readonly reread?: () => Promise<Reloaded>
}

/** What a reload did not change. */
export interface Reloaded {
  /** Keys that need a restart. */
  readonly restart: readonly string[]
  /** Lists and keys of hooks that could not be read anew, and why: those before stay. */
  readonly kept: readonly string[]
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
   * Takes what can be changed, and reads lists and keys of hooks again; resolves to what stays nevertheless. Rejects, and changes nothing, when a new hook cannot start; with TRACKER_STOPPING after `stop`.
   */
  reload(config: TrackerConfig): Promise<Reloaded>
  stop(): Promise<void>
}

/** Rejects with the errors of startTracker, of the store, and with TRACKER_LIST or TRACKER_JWK_SET. */
export async function startTrackerService(options: ServiceOptions): Promise<TrackerService> {
  const { clock, random, logger } = options
  inlineMore()
  const [startedWallMs, startedMs] = [clock.wallMs(), clock.monotonicMs()]
  let config = options.config
  const places = (role: SocketRole, configured: readonly string[]): readonly Place[] => {
    const handed = options.handed?.filter((socket) => socket.role === role) ?? []
    return handed.length > 0 ? handed : endpointsOf(configured)
  }
  const listen = {
    http: places('http', config.http.addr),
    https: places('https', config.http.httpsAddr),
    udp: places('udp', config.udp.addr),
  }
  if (
    listen.https.length > 0 &&
    (config.http.tlsCertPath === '' || config.http.tlsKeyPath === '')
  ) {
    throw trackerError(
      'TRACKER_HANDED_SOCKET',
      'a socket for HTTPS was handed in, and there is no certificate',
      { mend: 'Set http.tls_cert_path and http.tls_key_path, or name the socket otherwise.' },
    )
  }
  const hasTls = listen.https.length > 0
  const store = createPeerStore({ clock, random, ...storeOptions(config.storage.config) })
  let hooks = makeHooks([...config.prehooks, ...config.posthooks], options)
  await hooks.start()
  await loadSwarms(store, config.storage.config.snapshot, logger)
  let tracker: Tracker
  try {
    const policy = policyOf(config, hooks, hasTls)
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
      listen: places('metrics', config.metricsAddr),
      logger,
      observe,
      names: () => config.metricsNames as MetricNames,
      ready: () => stopping === undefined,
      store,
      access: () => ({ token: config.metricsToken, fullScrape: config.fullScrape.enabled }),
      ...(options.reread === undefined ? {} : { reload: options.reread }),
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
    () => (hasTls ? [config.http.tlsCertPath, config.http.tlsKeyPath] : []),
    () => tracker.reconfigure(policyOf(config, hooks, hasTls)),
  )
  await certificates.start()
  const scrapeFile = new ScrapeFile(clock, logger, store, () => config.fullScrape)
  scrapeFile.start()
  const { libc } = tracker.frontEnd.path === 'fast' ? probeLibc() : {}
  const keepPages = libc === undefined ? () => {} : dropFilePagesTwice(libc, clock)
  const reload = async (wanted: TrackerConfig): Promise<Reloaded> => {
    if (stopping !== undefined) {
      throw trackerError('TRACKER_STOPPING', 'the tracker is being stopped: nothing is reloaded')
    }
    const next = keepUnchangeable(trackerSchema, config, wanted)
    const same =
      isDeepStrictEqual(next.prehooks, config.prehooks) &&
      isDeepStrictEqual(next.posthooks, config.posthooks)
    let kept: readonly string[] = []
    if (same) {
      kept = await hooks.refresh()
      await tracker.reconfigure(policyOf(next, hooks, hasTls))
    } else {
      const before = hooks
      const made = makeHooks([...next.prehooks, ...next.posthooks], options)
      await made.start()
      try {
        await tracker.reconfigure(policyOf(next, made, hasTls))
      } catch (error) {
        await made.stop()
        throw error
      }
      hooks = made
      await before.stop()
    }
    const restart = needRestart(trackerSchema, config, wanted, trackerSchema.key)
    const isScrapeChanged = !isDeepStrictEqual(next.fullScrape, config.fullScrape)
    config = next
    if (isScrapeChanged) scrapeFile.start()
    await certificates.noteLoaded()
    return { restart, kept }
  }
  let reloading: Promise<unknown> = Promise.resolve()
  // Who asks meanwhile whether it is ready is told no.
  const end = async (): Promise<void> => {
    keepPages()
    certificates.stop()
    await reloading
    await scrapeFile.stop()
    await tracker.stop()
    await hooks.stop()
    await saveSwarms(store, config.storage.config.snapshot, logger)
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
    reload(wanted) {
      // One after the other: each is compared with what the one before left.
      const next = reloading.then(() => reload(wanted))
      reloading = next.catch(() => {})
      return next
    },
    stop() {
      stopping ??= end()
      return stopping
    },
  }
}

/** What was kept, if it can be read; whatever it is, the tracker starts. Where nothing can be kept is known now, and not when it ends. */
async function loadSwarms(store: SharedPeerStore, path: string, logger: Logger): Promise<void> {
  if (path === '') return
  try {
    await access(dirname(path), constants.W_OK)
  } catch (error) {
    const folder = dirname(path)
    logger.warn({ path, folder, error: errnoOf(error) }, 'swarms cannot be kept there')
  }
  try {
    const peers = await store.load(path)
    logger.info({ path, peers }, 'swarms loaded')
  } catch (error) {
    const { code = String(error), message, mend } = error as Partial<SeedbedError>
    if (code === 'ENOENT') logger.info({ path }, 'no swarms are kept yet: starts empty')
    else
      logger.warn({ path, code, error: message, mend }, 'kept swarms cannot be read: starts empty')
  }
}

async function saveSwarms(store: SharedPeerStore, path: string, logger: Logger): Promise<void> {
  if (path === '') return
  try {
    const peers = await store.save(path)
    logger.info({ path, peers }, 'swarms kept')
  } catch (error) {
    logger.error({ path, error: (error as Error).message }, 'swarms could not be kept')
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

function policyOf(config: TrackerConfig, hooks: HookList, hasTls: boolean): TrackerPolicy {
  const { http, udp, websocket, storage, rateLimit } = config
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
    http: httpOptions(http, hasTls),
    udp,
    websocket,
    hooks,
    rateLimit: rateLimit.requestsPerMinute === 0 ? null : rateLimit,
  }
}

/** Certificate and key are read here: at the start, and again with each reload. */
function httpOptions(http: HttpConfig, hasTls: boolean): HttpOptions {
  const { refusalRetry, phpRoutes, announceRoutes, scrapeRoutes, ...rest } = http
  const retry = retryOf(refusalRetry)
  return {
    ...rest,
    announceRoutes: phpRoutes ? [...announceRoutes, '/announce.php'] : announceRoutes,
    scrapeRoutes: phpRoutes ? [...scrapeRoutes, '/scrape.php'] : scrapeRoutes,
    ...(retry === undefined ? {} : { refusalRetry: retry }),
    ...(hasTls
      ? { tls: { cert: readText(http.tlsCertPath), key: readText(http.tlsKeyPath) } }
      : {}),
  }
}
