/** The keys of signalling for WebTorrent. */
import { bytes, count, duration, list, toggle } from './fields.ts'
import type { Section } from './schema.ts'

export interface WebSocketConfig {
  readonly enabled: boolean
  readonly announceIntervalMs: number
  readonly peerLifetimeMs: number
  readonly maxConnections: number
  readonly maxPerAddress: number
  readonly maxSwarms: number
  readonly maxPeers: number
  readonly maxOffers: number
  readonly maxMessageBytes: number
  readonly maxQueueBytes: number
  readonly messagesPerSecond: number
  readonly messageBurst: number
  readonly pingIntervalMs: number
  readonly idleTimeoutMs: number
  readonly allowedOrigins: readonly string[]
}

const SECOND_MS = 1000
const MINUTE_MS: number = 60 * SECOND_MS
const HOUR_MS: number = 60 * MINUTE_MS

export const websocket: Section<WebSocketConfig> = {
  kind: 'section',
  key: 'websocket',
  doc: 'Signalling for WebTorrent: clients in web pages find each other by offers and answers that are passed on. On the addresses of HTTP and HTTPS, at / and at announce_routes; in swarms of its own. Under chihaya: it is off unless enable is set.',
  fields: {
    enabled: toggle({
      key: 'enable',
      preset: true,
      restart: true,
      doc: 'Whether it is there.',
    }),
    announceIntervalMs: duration({
      key: 'announce_interval',
      presetMs: 2 * MINUTE_MS,
      leastMs: SECOND_MS,
      mostMs: 24 * HOUR_MS,
      doc: 'How often clients are told to announce, each time with new offers.',
    }),
    peerLifetimeMs: duration({
      key: 'peer_lifetime',
      presetMs: 10 * MINUTE_MS,
      leastMs: SECOND_MS,
      mostMs: 24 * HOUR_MS,
      doc: 'A peer that has not announced for so long is dropped, though its connection is alive. When a connection ends its peers go at once.',
    }),
    maxConnections: count({
      key: 'max_connections',
      preset: 10_000,
      least: 1,
      most: 1_000_000,
      doc: 'Connections at a time; more are refused. The limit of open files of the process must be higher.',
    }),
    maxPerAddress: count({
      key: 'max_connections_per_address',
      preset: 256,
      least: 1,
      most: 1_000_000,
      doc: 'Connections of one address (of one /64 in IPv6), behind proxies as real_ip_header says.',
    }),
    maxSwarms: count({
      key: 'max_swarms',
      preset: 1000,
      least: 1,
      most: 100_000,
      doc: 'Swarms that one connection may be in.',
    }),
    maxPeers: count({
      key: 'max_peers',
      preset: 500_000,
      least: 1,
      most: 10_000_000,
      why: 'each takes about 300 bytes',
      doc: 'Peers in all these swarms; more are refused.',
    }),
    maxOffers: count({
      key: 'max_offers',
      preset: 10,
      least: 0,
      most: 32,
      doc: 'Offers of one announce that are passed on; those beyond are left out.',
    }),
    maxMessageBytes: bytes({
      key: 'max_message',
      preset: 64 * 1024,
      least: 1024,
      most: 2 ** 20,
      doc: 'The largest message; whoever sends a larger one is disconnected.',
    }),
    maxQueueBytes: bytes({
      key: 'max_queue',
      preset: 256 * 1024,
      least: 16 * 1024,
      most: 16 * 2 ** 20,
      doc: 'What may wait for a client that reads slowly; beyond, it is disconnected.',
    }),
    messagesPerSecond: count({
      key: 'messages_per_second',
      preset: 20,
      least: 1,
      most: 10_000,
      doc: 'Messages that are read from one connection in the long run. Nothing is lost beyond: the connection is read more slowly.',
    }),
    messageBurst: count({
      key: 'message_burst',
      preset: 200,
      least: 1,
      most: 100_000,
      doc: 'How many may come at once.',
    }),
    pingIntervalMs: duration({
      key: 'ping_interval',
      presetMs: 50 * SECOND_MS,
      leastMs: SECOND_MS,
      mostMs: HOUR_MS,
      doc: 'A connection that is silent for so long is asked whether it is there, and ended when it says nothing for as long again. Proxies often cut after 60 s.',
    }),
    idleTimeoutMs: duration({
      key: 'idle_timeout',
      presetMs: 2 * MINUTE_MS,
      leastMs: SECOND_MS,
      mostMs: 24 * HOUR_MS,
      doc: 'A connection that is in no swarm and sends no message for so long is ended.',
    }),
    allowedOrigins: list({
      key: 'allowed_origins',
      preset: [],
      limit: 'origins; or empty for all',
      item: 'an origin such as https://example.org',
      most: 1024,
      parse: (value) => (/^https?:\/\/[^\s/]{1,253}$/.test(value) ? value : undefined),
      doc: 'Pages whose scripts may connect. Browsers say truly which page it is, others need not.',
    }),
  },
}
