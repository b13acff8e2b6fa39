/** The tracker: BEP 15 over UDP and BEP 3 over HTTP, on a PeerStore; signalling for WebTorrent beside. */
export { type Endpoint, showEndpoint } from './config/fields.ts'
export type { HttpConfig, UdpConfig } from './config/front-end-settings.ts'
export { type ConfigSource, type LoadedConfig, loadConfig, loadConfigFile } from './config/load.ts'
export { checkNamedFiles } from './config/named-files.ts'
export { renderDefaults, renderReference } from './config/render.ts'
export type { RateLimitConfig, StoreConfig, TrackerConfig } from './config/settings.ts'
export type { WebSocketConfig } from './config/websocket-settings.ts'
export type {
  TrackerStats,
  Transport,
  TransportCounters,
  WebSocketCounters,
} from './counters.ts'
export { trackerErrors } from './errors.ts'
export { type HandedSocket, handedSockets, type SocketRole } from './handed-sockets.ts'
export type {
  FrontEndChoice,
  FrontEndFacts,
  FrontEndOptions,
  HttpOptions,
  ListenOptions,
  TrackerOptions,
  TrackerPolicy,
  UdpOptions,
} from './options.ts'
export { METRICS, type Metric } from './outside/metrics.ts'
export type { TrackerSummary } from './outside/stats.ts'
export {
  type Reloaded,
  type ServiceOptions,
  startTrackerService,
  type TrackerService,
} from './service.ts'
export { startTracker, type Tracker } from './tracker.ts'
export type { WebSocketOptions } from './websocket/options.ts'
