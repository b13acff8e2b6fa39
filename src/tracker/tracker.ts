/** The tracker: UDP and HTTP over one store, with garbage collected beside. What it can be told is in options.ts. */
import { isDeepStrictEqual } from 'node:util'
import { maintainPeerStore, type PeerStore, type PeerStoreMetrics } from '../peer-store/index.ts'
import { Announcer } from './announce.ts'
import type { Endpoint } from './config/fields.ts'
import { ConnectionIds, makeConnectionIds } from './connection-id.ts'
import { Counters, type TrackerStats } from './counters.ts'
import { HttpHandler } from './http-handler.ts'
import { HttpRoutes } from './http-routes.ts'
import { HttpServer } from './http-server.ts'
import { listenOnOnePort, listenWhereTold } from './listen.ts'
import {
  bindOf,
  type Settings,
  settle,
  type TrackerOptions,
  type TrackerPolicy,
} from './options.ts'
import { makeRateLimiter, RateLimiter } from './rate-limiter.ts'
import { UdpHandler } from './udp-handler.ts'
import { UdpServer } from './udp-server.ts'

const REPORTING_INTERVAL_MS = 1000

export interface Tracker {
  /** Of both protocols, or the first of HTTP (else of UDP) when each has its own. */
  readonly port: number
  /** Addresses that it listens on. */
  readonly addresses: readonly string[]
  readonly http: readonly Endpoint[]
  readonly https: readonly Endpoint[]
  readonly udp: readonly Endpoint[]
  stats(): TrackerStats
  /** Garbage collection, as of the last second. */
  collection(): PeerStoreMetrics['gc']
  /**
   * Goes on by another policy; sockets, connections and peers stay. The key and the lifetime of connection ids
   * stay too. Throws TRACKER_INVALID_OPTION, and then goes on as before.
   */
  reconfigure(policy: TrackerPolicy): void
  /** Closes sockets and connections; nothing is answered after. */
  stop(): Promise<void>
}

/** Rejects with TRACKER_PORT_TAKEN, TRACKER_LISTEN_FAILED or TRACKER_INVALID_OPTION. */
export async function startTracker(options: TrackerOptions): Promise<Tracker> {
  const { clock, random, logger, store } = options
  let settings = settle(options)
  const counters = new Counters()
  const connectionIds = new ConnectionIds(
    clock,
    makeConnectionIds(clock, random, {
      lifetimeSeconds: Math.floor(settings.udp.connectionIdLifetimeMs / 1000),
      sharedKey: settings.udp.privateKey,
      maxSkewSeconds: Math.floor(settings.udp.maxClockSkewMs / 1000),
    }),
  )
  const limiterOf = ({ rateLimit }: Settings): RateLimiter | null =>
    rateLimit === null ? null : new RateLimiter(clock, makeRateLimiter(clock, random, rateLimit))
  let limiter = limiterOf(settings)
  const makeHandlers = () => handlersOf(settings, store, counters, connectionIds, limiter)
  let handlers = makeHandlers()
  const makeServers = () => ({
    udp: new UdpServer(clock, handlers.udp, counters, settings.udp.timed),
    http: new HttpServer(clock, handlers.http, counters, settings.http),
  })
  const { bind, port } = bindOf(options)
  const {
    servers,
    http,
    https = [],
    udp,
  } = options.listen === undefined
    ? await listenOnOnePort(makeServers, bind, port, logger)
    : await listenWhereTold(makeServers, options.listen, logger)
  const maintenance = maintainPeerStore({
    store,
    clock,
    // Read anew at every step.
    config: {
      get gcIntervalMs() {
        return settings.gcIntervalMs
      },
      get peerLifetimeMs() {
        return settings.peerLifetimeMs
      },
      reportingIntervalMs: REPORTING_INTERVAL_MS,
    },
  })
  logger.info({ http, https, udp }, 'tracker listens')
  let stopped: Promise<unknown> | undefined
  return {
    port: http[0]?.port ?? https[0]?.port ?? udp[0]?.port ?? 0,
    addresses: [...new Set([...http, ...https, ...udp].map((endpoint) => endpoint.address))],
    http,
    https,
    udp,
    stats: () => counters.snapshot(),
    collection: () => maintenance.metrics().gc,
    reconfigure(policy) {
      const next = settle(policy)
      // The same limit goes on counting.
      if (!isDeepStrictEqual(next.rateLimit, settings.rateLimit)) limiter = limiterOf(next)
      settings = next
      handlers = makeHandlers()
      servers.http.reconfigure(handlers.http, settings.http)
      servers.udp.reconfigure(handlers.udp, settings.udp.timed)
    },
    async stop() {
      maintenance.stop()
      stopped ??= Promise.all([servers.udp.close(), servers.http.close()])
      await stopped
    },
  }
}

function handlersOf(
  { http, udp, hooks }: Settings,
  store: PeerStore,
  counters: Counters,
  connectionIds: ConnectionIds,
  limiter: RateLimiter | null,
): { udp: UdpHandler; http: HttpHandler } {
  return {
    udp: new UdpHandler({
      store,
      counters,
      connectionIds,
      limiter,
      routes: new HttpRoutes(http.announceRoutes, http.scrapeRoutes),
      announcer: new Announcer(store, udp.policy, hooks),
      allowIpSpoofing: udp.allowIpSpoofing,
      maxScrape: udp.maxScrape,
    }),
    http: new HttpHandler({
      ...http,
      limiter,
      store,
      counters,
      announcer: new Announcer(store, http.policy, hooks),
      maxWanted: http.policy.maxWanted,
    }),
  }
}
