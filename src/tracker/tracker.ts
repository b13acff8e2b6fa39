/** The tracker: UDP and HTTP over one store, with garbage collected and WebTorrent signalling beside. What it can be told is in options.ts. */
import { isDeepStrictEqual } from 'node:util'
import { maintainPeerStore, type PeerStoreMetrics } from '../peer-store/index.ts'
import type { Endpoint } from './config/fields.ts'
import { makeConnectionIds } from './connection-id.ts'
import { sumOf, type TrackerStats } from './counters.ts'
import {
  chooseFrontEnd,
  FastFrontEnds,
  type FrontEnds,
  PortableFrontEnds,
  type Terms,
} from './front-ends.ts'
import { listenOnOnePort, listenWhereTold } from './listen.ts'
import {
  bindOf,
  type FrontEndFacts,
  policyOf,
  type Settings,
  settle,
  type TrackerOptions,
  type TrackerPolicy,
  workersOf,
} from './options.ts'
import { makeRateLimiter, type RateLimiterShare } from './rate-limiter.ts'

const REPORTING_INTERVAL_MS = 1000

export interface Tracker {
  /** Of both protocols, or the first of HTTP (else of UDP) when each has its own. */
  readonly port: number
  /** Addresses that it listens on. */
  readonly addresses: readonly string[]
  readonly http: readonly Endpoint[]
  readonly https: readonly Endpoint[]
  readonly udp: readonly Endpoint[]
  /** Which front end serves, and why. */
  readonly frontEnd: FrontEndFacts
  stats(): TrackerStats
  /** How often a worker died and was replaced. */
  restarts(): number
  /** Garbage collection, as of the last second. */
  collection(): PeerStoreMetrics['gc']
  /**
   * Goes on by another policy; sockets, connections and peers stay. The key and the lifetime of connection ids
   * stay too. Resolves when every answer is by it. Rejects with TRACKER_INVALID_OPTION, and then goes on as before.
   */
  reconfigure(policy: TrackerPolicy): Promise<void>
  /** Closes sockets and connections; nothing is answered after. */
  stop(): Promise<void>
}

/**
 * Rejects with TRACKER_PORT_TAKEN, TRACKER_LISTEN_FAILED, TRACKER_INVALID_OPTION, TRACKER_FRONT_END or
 * TRACKER_WORKER.
 */
export async function startTracker(options: TrackerOptions): Promise<Tracker> {
  const { clock, random, logger, store } = options
  const settings = settle(options)
  const { bind, port } = bindOf(options)
  const connectionIds = makeConnectionIds(clock, random, {
    lifetimeSeconds: Math.floor(settings.udp.connectionIdLifetimeMs / 1000),
    sharedKey: settings.udp.privateKey,
    maxSkewSeconds: Math.floor(settings.udp.maxClockSkewMs / 1000),
  })
  const limiterOf = ({ rateLimit }: Settings): RateLimiterShare | null =>
    rateLimit === null ? null : makeRateLimiter(clock, random, rateLimit)
  let terms: Terms = { policy: policyOf(options), settings, limiter: limiterOf(settings) }
  const { facts, libc } = chooseFrontEnd(
    options.frontEnd ?? 'auto',
    workersOf(options),
    settings.hooks,
  )
  const parts = { store, connectionIds, clock, random, logger }
  const makeServers = (): FrontEnds =>
    libc === undefined
      ? new PortableFrontEnds(parts, terms)
      : new FastFrontEnds(libc, facts.workers, parts, terms)
  const {
    servers,
    http,
    https = [],
    udp,
  } = options.listen === undefined
    ? await listenOnOnePort(makeServers, bind, port, logger)
    : await listenWhereTold(makeServers, options.listen, logger)
  try {
    await servers.begin()
  } catch (error) {
    await servers.close()
    throw error
  }
  const maintenance = maintainPeerStore({
    store,
    clock,
    // Read anew at every step.
    config: {
      get gcIntervalMs() {
        return terms.settings.gcIntervalMs
      },
      get peerLifetimeMs() {
        return terms.settings.peerLifetimeMs
      },
      reportingIntervalMs: REPORTING_INTERVAL_MS,
    },
  })
  logger.info({ http, https, udp, frontEnd: facts }, 'tracker listens')
  let stopped: Promise<unknown> | undefined
  return {
    port: http[0]?.port ?? https[0]?.port ?? udp[0]?.port ?? 0,
    addresses: [...new Set([...http, ...https, ...udp].map((endpoint) => endpoint.address))],
    http,
    https,
    udp,
    frontEnd: facts,
    stats: () => sumOf(servers.counters),
    restarts: () => servers.restarts,
    collection: () => maintenance.metrics().gc,
    async reconfigure(policy) {
      const next = settle(policy)
      // The same limit goes on counting.
      const same = isDeepStrictEqual(next.rateLimit, terms.settings.rateLimit)
      const limiter = same ? terms.limiter : limiterOf(next)
      terms = { policy: policyOf(policy), settings: next, limiter }
      await servers.settle(terms)
    },
    async stop() {
      maintenance.stop()
      stopped ??= servers.close()
      await stopped
    },
  }
}
