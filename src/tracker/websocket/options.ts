/** What signalling can be told, and what it does when nothing is said. */
import type { TrustedProxies } from '../client-address.ts'
import type { WebSocketSettings } from './server.ts'
import { MAX_OFFERS } from './signal-codec.ts'

const SECOND_MS = 1000
const MINUTE_MS: number = 60 * SECOND_MS
const HOUR_MS: number = 60 * MINUTE_MS
const DAY_MS: number = 24 * HOUR_MS
/** As long as the handshake of HTTP may take. */
const MESSAGE_TIMEOUT_MS: number = 10 * SECOND_MS

/** Signalling for WebTorrent, on the addresses of HTTP and HTTPS. */
export interface WebSocketOptions {
  /** Default true. Cannot be told anew. */
  readonly enabled?: boolean
  /** Default 2 min. */
  readonly announceIntervalMs?: number
  /** A peer that does not announce for so long is dropped, though its connection is alive. Default 10 min. */
  readonly peerLifetimeMs?: number
  /** Default 10,000. */
  readonly maxConnections?: number
  /** Of one address, or one /64 of IPv6. Default 256. */
  readonly maxPerAddress?: number
  /** Of one connection. Default 1000. */
  readonly maxSwarms?: number
  /** In all swarms. Default 500,000. */
  readonly maxPeers?: number
  /** Offers of one announce that are passed on. Default 10, at most 32. */
  readonly maxOffers?: number
  /** Default 64 KiB. */
  readonly maxMessageBytes?: number
  /** What may wait for a slow reader. Default 256 KiB. */
  readonly maxQueueBytes?: number
  /** Frames that are read from one connection, in the long run and at once. Default 20 and 200. */
  readonly messagesPerSecond?: number
  readonly messageBurst?: number
  /** Silence after which a connection is asked whether it is there. Default 50 s. */
  readonly pingIntervalMs?: number
  /** For a connection that is in no swarm. Default 2 min. */
  readonly idleTimeoutMs?: number
  /** Pages that may connect, such as `https://example.org`. Default: all. */
  readonly allowedOrigins?: readonly string[]
}

/** What is taken from HTTP, whose addresses signalling shares. */
export interface SharedWithHttp {
  readonly announceRoutes: readonly string[]
  readonly realIpHeader: string
  readonly proxies: TrustedProxies
  readonly maxScrape: number
  readonly timed: boolean | undefined
}

/** The option, or what it is when nothing is said; throws when it is no whole number within its bounds. */
export type ReadNumber = (
  options: WebSocketOptions,
  name: keyof WebSocketOptions & string,
  fallback: number,
  least: number,
  most: number,
) => number

export function settleWebSocket(
  options: WebSocketOptions,
  shared: SharedWithHttp,
  number: ReadNumber,
): WebSocketSettings {
  const { announceRoutes, realIpHeader, proxies, maxScrape, timed = false } = shared
  const announceIntervalMs = number(options, 'announceIntervalMs', 2 * MINUTE_MS, 1000, DAY_MS)
  return {
    enabled: options.enabled ?? true,
    policy: {
      announceIntervalMs,
      maxOffers: number(options, 'maxOffers', 10, 0, MAX_OFFERS),
      maxScrape,
      maxSwarms: number(options, 'maxSwarms', 1000, 1, 100_000),
      maxPeers: number(options, 'maxPeers', 500_000, 1, 10_000_000),
    },
    limits: {
      maxMessageBytes: number(options, 'maxMessageBytes', 64 * 1024, 1024, 2 ** 20),
      maxQueueBytes: number(options, 'maxQueueBytes', 256 * 1024, 16 * 1024, 16 * 2 ** 20),
      messagesPerSecond: number(options, 'messagesPerSecond', 20, 1, 10_000),
      messageBurst: number(options, 'messageBurst', 200, 1, 100_000),
      pingIntervalMs: number(options, 'pingIntervalMs', 50 * SECOND_MS, 1000, HOUR_MS),
      messageTimeoutMs: MESSAGE_TIMEOUT_MS,
      idleTimeoutMs: number(options, 'idleTimeoutMs', 2 * MINUTE_MS, 1000, DAY_MS),
      peerLifetimeMs: number(options, 'peerLifetimeMs', 10 * MINUTE_MS, 1000, DAY_MS),
      timed,
    },
    maxConnections: number(options, 'maxConnections', 10_000, 1, 1_000_000),
    maxPerAddress: number(options, 'maxPerAddress', 256, 1, 1_000_000),
    allowedOrigins: options.allowedOrigins ?? [],
    announceRoutes,
    realIpHeader,
    proxies,
  }
}
