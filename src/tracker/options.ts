/**
 * What a tracker can be told, and what it does when nothing is said.
 *
 * Defaults. Clients announce every 15 minutes and may every minute; a leecher that finds nobody comes back after one. Peers
 * live 31 minutes: one lost announce does not expel them. Garbage is looked for every two minutes, a few thousand swarms at a time.
 */
import type { Clock, Logger, Random } from '../base/index.ts'
import type { SharedPeerStore } from '../peer-store/index.ts'
import { parseAddress } from './addresses.ts'
import type { AnnouncePolicy } from './announce.ts'
import { type CertificateTexts, secureContextOf } from './certificate.ts'
import { parseNetwork, TrustedProxies } from './client-address.ts'
import type { Endpoint } from './config/fields.ts'
import { MAX_LIFETIME_SECONDS, MAX_SKEW_SECONDS } from './connection-id.ts'
import { trackerError } from './errors.ts'
import { HookList } from './hooks/hook.ts'
import { MAX_HTTP_SCRAPE } from './http-query.ts'
import { routeProblem } from './http-routes.ts'
import type { HttpLimits } from './http-server.ts'
import type { RateLimit } from './rate-limiter.ts'
import { MAX_UDP_SCRAPE } from './udp-codec.ts'
import { settleWebSocket, type WebSocketOptions } from './websocket/options.ts'
import type { WebSocketSettings } from './websocket/server.ts'

const MINUTE_MS = 60_000
const DAY_MS: number = 24 * 60 * MINUTE_MS
/** More than any machine has processors for. */
export const MAX_WORKERS = 1024
/** As many peers as a request may be given in any protocol. */
export const MAX_WANTED_LIMIT = 10_000

/** What may differ between the protocols. */
export interface FrontEndOptions {
  /** Peers for who does not say how many. Default 50. */
  readonly defaultWanted?: number
  /** Default 100. UDP over IPv6 returns at most 67, so that the datagram stays whole. */
  readonly maxWanted?: number
  /** Info-hashes answered in one scrape. Default and maximum 74. */
  readonly maxScrape?: number
  /** Believe the address that an announce names. Default false: anybody could send peers to anybody. */
  readonly allowIpSpoofing?: boolean
  /** Time every answer, for the histograms. Default false. */
  readonly timed?: boolean
}

export interface HttpOptions extends FrontEndOptions {
  /** Default true. */
  readonly keepAlive?: boolean
  /** Default `/announce`; `:name` stands for any segment, a trailing `*name` for the rest. */
  readonly announceRoutes?: readonly string[]
  /** Default `/scrape`. */
  readonly scrapeRoutes?: readonly string[]
  /** The header in which proxies say whose request it is. Default: none. */
  readonly realIpHeader?: string
  /** Proxies that are believed: addresses and networks. Default: none. */
  readonly trustedProxies?: readonly string[]
  /** Connections come from `trustedProxies` only, and begin with a PROXY header of version 2. Default false. */
  readonly proxyProtocol?: boolean
  /** Tell clients their address (BEP 24). Default false. */
  readonly externalIp?: boolean
  /** Minutes after which who was refused by a hook may come back, or `never` (BEP 31). Default: not said. */
  readonly refusalRetry?: number | 'never'
  /** PEM, for the addresses of `listen.https`. */
  readonly tls?: CertificateTexts
}

export interface UdpOptions extends FrontEndOptions {
  /** How long a connection id is good. Default 2 min (BEP 15), at most 12 h. */
  readonly connectionIdLifetimeMs?: number
  /** Shared by trackers that take each other's connection ids. Default: a random key. */
  readonly privateKey?: string
  /** How far the clocks of such trackers may differ. Default 0, at most 1 h. */
  readonly maxClockSkewMs?: number
}

/** What a running tracker can be told anew. */
export interface TrackerPolicy {
  /** Default 15 min. */
  readonly announceIntervalMs?: number
  /** Default 1 min. */
  readonly minAnnounceIntervalMs?: number
  /** Interval for a leecher that got no peer. Default 1 min. */
  readonly retryIntervalMs?: number
  /** Peers not heard of for so long are dropped. Default 31 min. */
  readonly peerLifetimeMs?: number
  /** Pause between two passes of garbage collection. Default 2 min. */
  readonly gcIntervalMs?: number
  /** Default 4096. */
  readonly maxHttpConnections?: number
  /** Default 30 s. */
  readonly httpIdleTimeoutMs?: number
  /** Default 5 s. */
  readonly httpHeadTimeoutMs?: number
  /** Default 10 s. */
  readonly httpWriteTimeoutMs?: number
  /** For both protocols. */
  readonly defaultWanted?: number
  readonly maxWanted?: number
  readonly allowIpSpoofing?: boolean
  readonly http?: HttpOptions
  readonly udp?: UdpOptions
  readonly websocket?: WebSocketOptions
  /** Started, and stopped, by the caller. Default: none. */
  readonly hooks?: HookList
  /** For each address, over both protocols. Default: none. */
  readonly rateLimit?: RateLimit | null
}

/** `auto`: the fast one where it can be had. */
export type FrontEndChoice = 'auto' | 'fast' | 'portable'

/** Which one runs. */
export interface FrontEndFacts {
  readonly path: 'fast' | 'portable'
  /** Threads that serve beside the main one. */
  readonly workers: number
  /** Why it is not the fast one. */
  readonly reason?: string
}

export interface TrackerOptions extends TrackerPolicy {
  /** Stays the caller's: `stop` does not stop it. */
  readonly store: SharedPeerStore
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** Addresses to listen on, such as `0.0.0.0` and `::` (which takes IPv6 only). Default: these two. */
  readonly bind?: readonly string[]
  /** Of both protocols on all addresses. 0 (the default): one that is free there. */
  readonly port?: number
  /** Instead of `bind` and `port`: where each protocol listens. Port 0 is any port, for each by itself. */
  readonly listen?: ListenOptions
  /** Default `auto`: the fast one where it can be had. `fast` where it cannot is TRACKER_FRONT_END. */
  readonly frontEnd?: FrontEndChoice
  /** Threads of the fast front end. Default 1; 0 is one for each processor. */
  readonly workers?: number
}

/** Where to listen; with `fd`, a socket that is there already. */
export interface Place extends Endpoint {
  readonly fd?: number
}

export interface ListenOptions {
  readonly http: readonly Place[]
  readonly https?: readonly Place[]
  readonly udp: readonly Place[]
}

export interface Settings {
  readonly hooks: HookList
  readonly rateLimit: RateLimit | null
  readonly gcIntervalMs: number
  readonly peerLifetimeMs: number
  readonly http: HttpLimits & {
    readonly policy: AnnouncePolicy
    readonly maxScrape: number
    readonly allowIpSpoofing: boolean
    readonly announceRoutes: readonly string[]
    readonly scrapeRoutes: readonly string[]
    readonly proxies: TrustedProxies
    readonly externalIp: boolean
    readonly refusalRetry?: number | 'never'
    readonly realIpHeader: string
  }
  readonly websocket: WebSocketSettings
  readonly udp: {
    readonly policy: AnnouncePolicy
    readonly maxScrape: number
    readonly allowIpSpoofing: boolean
    readonly timed: boolean
    readonly connectionIdLifetimeMs: number
    readonly privateKey: string
    readonly maxClockSkewMs: number
  }
}

/** Throws TRACKER_INVALID_OPTION. */
export function settle(options: TrackerPolicy): Settings {
  const { http = {}, udp = {} } = options
  const timing = {
    announceIntervalMs: number(options, 'announceIntervalMs', 15 * MINUTE_MS, 1000, DAY_MS),
    minAnnounceIntervalMs: number(options, 'minAnnounceIntervalMs', MINUTE_MS, 0, DAY_MS),
    retryIntervalMs: number(options, 'retryIntervalMs', MINUTE_MS, 1000, DAY_MS),
  }
  const common = {
    defaultWanted: number(options, 'defaultWanted', 50, 0, MAX_WANTED_LIMIT),
    maxWanted: number(options, 'maxWanted', 100, 0, MAX_WANTED_LIMIT),
  }
  const policyOf = (of: FrontEndOptions): AnnouncePolicy => ({
    ...timing,
    defaultWanted: number(of, 'defaultWanted', common.defaultWanted, 0, MAX_WANTED_LIMIT),
    maxWanted: number(of, 'maxWanted', common.maxWanted, 0, MAX_WANTED_LIMIT),
  })
  const { announceRoutes = ['/announce'], scrapeRoutes = ['/scrape'] } = http
  for (const route of [...announceRoutes, ...scrapeRoutes]) {
    const problem = routeProblem(route)
    if (problem !== undefined) throw invalid(`the route ${route} ${problem}`)
  }
  const { trustedProxies = [], realIpHeader = '' } = http
  for (const network of trustedProxies) {
    if (parseNetwork(network) === undefined)
      throw invalid(`trustedProxies has ${network}, which is no network`)
  }
  const proxies = new TrustedProxies(trustedProxies)
  const spoofing = options.allowIpSpoofing ?? false
  const maxHttpScrape = number(http, 'maxScrape', MAX_HTTP_SCRAPE, 0, MAX_HTTP_SCRAPE)
  return {
    hooks: options.hooks ?? new HookList(),
    rateLimit: rateLimitOf(options.rateLimit ?? null),
    gcIntervalMs: number(options, 'gcIntervalMs', 2 * MINUTE_MS, 1000, DAY_MS),
    peerLifetimeMs: number(options, 'peerLifetimeMs', 31 * MINUTE_MS, 1000, DAY_MS),
    http: {
      policy: policyOf(http),
      maxScrape: maxHttpScrape,
      allowIpSpoofing: http.allowIpSpoofing ?? spoofing,
      announceRoutes,
      scrapeRoutes,
      proxies,
      proxyProtocol: http.proxyProtocol === true ? proxies : null,
      realIpHeader,
      externalIp: http.externalIp ?? false,
      ...(http.refusalRetry === undefined ? {} : { refusalRetry: http.refusalRetry }),
      ...(http.tls === undefined ? {} : { tls: secureContextOf(http.tls) }),
      timed: http.timed ?? false,
      keepAlive: http.keepAlive ?? true,
      maxConnections: number(options, 'maxHttpConnections', 4096, 1, 1e6),
      idleTimeoutMs: number(options, 'httpIdleTimeoutMs', 30_000, 1, DAY_MS),
      headTimeoutMs: number(options, 'httpHeadTimeoutMs', 5000, 1, DAY_MS),
      writeTimeoutMs: number(options, 'httpWriteTimeoutMs', 10_000, 1, DAY_MS),
    },
    udp: {
      policy: policyOf(udp),
      maxScrape: number(udp, 'maxScrape', MAX_UDP_SCRAPE, 0, MAX_UDP_SCRAPE),
      allowIpSpoofing: udp.allowIpSpoofing ?? spoofing,
      timed: udp.timed ?? false,
      connectionIdLifetimeMs: number(
        udp,
        'connectionIdLifetimeMs',
        2 * MINUTE_MS,
        1000,
        MAX_LIFETIME_SECONDS * 1000,
      ),
      privateKey: udp.privateKey ?? '',
      maxClockSkewMs: number(udp, 'maxClockSkewMs', 0, 0, MAX_SKEW_SECONDS * 1000),
    },
    websocket: settleWebSocket(
      options.websocket ?? {},
      { announceRoutes, realIpHeader, proxies, maxScrape: maxHttpScrape, timed: http.timed },
      number,
    ),
  }
}

function rateLimitOf(limit: RateLimit | null): RateLimit | null {
  if (limit === null) return null
  return {
    requestsPerMinute: number(limit, 'requestsPerMinute', 1, 1, 60_000),
    burst: number(limit, 'burst', 1, 1, 10_000),
    memoryBytes: number(limit, 'memoryBytes', 4 * 2 ** 20, 1024, 2 ** 30),
  }
}

/** What of the options can be told anew, and nothing else. */
export function policyOf(options: TrackerPolicy & Partial<TrackerOptions>): TrackerPolicy {
  const { store, clock, random, logger, bind, port, listen, frontEnd, workers, ...policy } = options
  return policy
}

/** Throws TRACKER_INVALID_OPTION. */
export function workersOf(options: TrackerOptions): number {
  return number(options, 'workers', 1, 0, MAX_WORKERS)
}

/** The addresses and the port for both protocols. Throws TRACKER_INVALID_OPTION. */
export function bindOf(options: TrackerOptions): { bind: readonly string[]; port: number } {
  const bind = options.bind ?? ['0.0.0.0', '::']
  for (const address of bind) {
    if (parseAddress(address) === null) throw invalid(`bind has ${address}, which is no IP address`)
  }
  if (bind.length === 0) throw invalid('bind names no address')
  return { bind, port: number(options, 'port', 0, 0, 65_535) }
}

function number<T extends object>(
  options: T,
  name: keyof T & string,
  fallback: number,
  least: number,
  most: number,
): number {
  const value: unknown = options[name] ?? fallback
  if (Number.isInteger(value) && Number(value) >= least && Number(value) <= most)
    return Number(value)
  throw invalid(`${name} is ${String(value)}: it must be a whole number from ${least} to ${most}`)
}

function invalid(message: string): Error {
  return trackerError('TRACKER_INVALID_OPTION', message)
}
