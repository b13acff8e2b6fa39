/** The handlers of both protocols by their settings: one pair for each thread that serves. */
import type { PeerStore } from '../peer-store/index.ts'
import { Announcer } from './announce.ts'
import type { ConnectionIds } from './connection-id.ts'
import type { Counters } from './counters.ts'
import type { HookList } from './hooks/hook.ts'
import { HttpHandler } from './http-handler.ts'
import { HttpRoutes } from './http-routes.ts'
import type { Settings } from './options.ts'
import type { RateLimiter } from './rate-limiter.ts'
import { UdpHandler } from './udp-handler.ts'

export interface Handlers {
  readonly udp: UdpHandler
  readonly http: HttpHandler
}

/** What they work on. */
export interface HandlerParts {
  readonly store: PeerStore
  readonly counters: Counters
  readonly connectionIds: ConnectionIds
  readonly limiter: RateLimiter | null
  readonly hooks: HookList
}

export function makeHandlers({ http, udp }: Settings, parts: HandlerParts): Handlers {
  const { store, counters, connectionIds, limiter, hooks } = parts
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
