/** Every key of the tracker's configuration, with chihaya's names where chihaya has one. */
import { MAX_LIFETIME_MS } from '../../peer-store/index.ts'
import { MAX_WORKERS } from '../options.ts'
import { bytes, choice, count, duration, endpoints, text, toggle } from './fields.ts'
import { type HttpConfig, http, type UdpConfig, udp } from './front-end-settings.ts'
import { type HookConfig, posthooks, prehooks } from './hook-settings.ts'
import type { Section } from './schema.ts'
import { type WebSocketConfig, websocket } from './websocket-settings.ts'

export interface StoreConfig {
  readonly shardCountBits: number
  readonly shardCount: number
  readonly gcIntervalMs: number
  readonly peerLifetimeMs: number
  readonly maxMemoryBytes: number
  readonly snapshot: string
}

export interface RateLimitConfig {
  /** 0: no limit. */
  readonly requestsPerMinute: number
  readonly burst: number
  readonly memoryBytes: number
}

export interface FullScrapeConfig {
  readonly enabled: boolean
  readonly file: string
  readonly intervalMs: number
}

export interface TrackerConfig {
  readonly announceIntervalMs: number
  readonly minAnnounceIntervalMs: number
  readonly retryIntervalMs: number
  readonly metricsAddr: readonly string[]
  readonly metricsNames: string
  readonly metricsToken: string
  readonly fullScrape: FullScrapeConfig
  readonly frontEnd: string
  readonly workers: number
  readonly http: HttpConfig
  readonly udp: UdpConfig
  readonly websocket: WebSocketConfig
  readonly rateLimit: RateLimitConfig
  readonly storage: { readonly name: string; readonly config: StoreConfig }
  readonly prehooks: readonly HookConfig[]
  readonly posthooks: readonly HookConfig[]
}

const SECOND_MS = 1000
const MINUTE_MS: number = 60 * SECOND_MS
const HOUR_MS: number = 60 * MINUTE_MS
const DAY_MS: number = 24 * HOUR_MS

const rateLimit: Section<RateLimitConfig> = {
  kind: 'section',
  key: 'rate_limit',
  doc: 'Announces and scrapes of one address (of one /64 in IPv6), over both protocols. Beyond the limit UDP is silent, and HTTP says to come back in a minute. Addresses that are not proven (connects over UDP) are not counted, or anybody could use up the share of another.',
  fields: {
    requestsPerMinute: count({
      key: 'requests_per_minute',
      preset: 0,
      least: 0,
      most: 60_000,
      why: 'at most one a millisecond; 0 is no limit',
      doc: 'How many requests are answered in the long run. A client with many torrents, or many clients behind one address, need as many as they have torrents in every announce_interval, and more when they start.',
    }),
    burst: count({
      key: 'burst',
      preset: 200,
      least: 1,
      most: 10_000,
      doc: 'How many may come at once.',
    }),
    memoryBytes: bytes({
      key: 'memory',
      preset: 4 * 2 ** 20,
      least: 64 * 2 ** 10,
      most: 2 ** 30,
      doc: 'The table of who asked when, of fixed size. 8 bytes an address that is active at the same time, times ten, keep addresses from being taken for others.',
    }),
  },
}

const fullScrape: Section<FullScrapeConfig> = {
  kind: 'section',
  key: 'full_scrape',
  doc: 'A scrape of every swarm, both families together, in no order. Clients never get one.',
  fields: {
    enabled: toggle({
      key: 'enable',
      preset: false,
      doc: 'Stream it from /full-scrape at metrics_addr to whoever holds metrics_token.',
    }),
    file: text({
      key: 'file',
      preset: '',
      limit: 'a path; one that ends in .gz is compressed',
      doc: 'Write it to this file, whole each time. Empty: no file.',
    }),
    intervalMs: duration({
      key: 'interval',
      presetMs: HOUR_MS,
      leastMs: SECOND_MS,
      mostMs: DAY_MS,
      doc: 'How often the file is written.',
    }),
  },
}

const storage: Section<TrackerConfig['storage']> = {
  kind: 'section',
  key: 'storage',
  doc: 'Where swarms and peers are kept: in the memory of the process.',
  fields: {
    name: choice({
      key: 'name',
      preset: 'optmem',
      among: ['optmem', 'memory'],
      why: 'both are the one store there is; redis is not supported',
      restart: true,
      doc: 'The name of the store, for configurations of chihaya.',
    }),
    config: {
      kind: 'section',
      key: 'config',
      doc: 'How the store is laid out and how long peers live.',
      inert: { prometheus_reporting_interval: 'the counters of the store are always current' },
      fields: {
        shardCountBits: count({
          key: 'shard_count_bits',
          preset: 10,
          least: 0,
          most: 16,
          why: 'beyond that shards cost memory for nothing',
          restart: true,
          doc: 'The store has 2 to the power of this many shards. 0 means 10, as in optmem.',
        }),
        shardCount: count({
          key: 'shard_count',
          preset: 0,
          least: 0,
          most: 65_536,
          restart: true,
          doc: "The same as a number of shards, of chihaya's memory store: rounded up to a power of two. 0: shard_count_bits counts.",
        }),
        gcIntervalMs: duration({
          key: 'gc_interval',
          presetMs: 2 * MINUTE_MS,
          leastMs: SECOND_MS,
          mostMs: DAY_MS,
          doc: 'The pause between two passes that drop peers past their lifetime.',
        }),
        peerLifetimeMs: duration({
          key: 'peer_lifetime',
          presetMs: 31 * MINUTE_MS,
          leastMs: SECOND_MS,
          mostMs: MAX_LIFETIME_MS,
          why: 'the store keeps the age of a peer in 15 bits, two seconds each',
          doc: 'Peers not heard of for so long are dropped. More than announce_interval, so that one lost announce does not expel anybody.',
        }),
        maxMemoryBytes: bytes({
          key: 'max_memory',
          preset: 0,
          least: 4 * 2 ** 20,
          most: 8128 * 2 ** 20,
          why: 'as far as the addresses of the store reach; or 0, half of the memory of the machine, or of the container that limits it',
          restart: true,
          doc: 'Memory for swarms and peers. At the limit new peers are refused, counted, and room is made by age at the next pass.',
        }),
        snapshot: text({
          key: 'snapshot',
          preset: '',
          limit: 'a path, or empty',
          doc: 'A file in which swarms and peers outlive a restart: written when the tracker is told to stop, read when it starts. One that is damaged, foreign or of a newer version is said so, and the tracker starts empty; a foreign or a newer one is left as it is. Empty: nothing is kept.',
        }),
      },
    },
  },
}

export const trackerSchema: Section<TrackerConfig> = {
  kind: 'section',
  key: 'tracker',
  doc: 'The tracker.',
  fields: {
    announceIntervalMs: duration({
      key: 'announce_interval',
      presetMs: 15 * MINUTE_MS,
      leastMs: SECOND_MS,
      mostMs: DAY_MS,
      doc: 'How often clients are told to announce.',
    }),
    minAnnounceIntervalMs: duration({
      key: 'min_announce_interval',
      presetMs: MINUTE_MS,
      leastMs: 0,
      mostMs: DAY_MS,
      doc: 'How soon clients may announce again, for example because their user asks them to.',
    }),
    retryIntervalMs: duration({
      key: 'retry_interval',
      presetMs: MINUTE_MS,
      leastMs: SECOND_MS,
      mostMs: DAY_MS,
      doc: 'How soon a leecher that got no peer is asked back. With announce_interval here nobody is asked back sooner.',
    }),
    metricsAddr: endpoints({
      key: 'metrics_addr',
      aliases: ['prometheus_addr'],
      preset: [],
      restart: true,
      doc: 'Where /metrics, /stats, /livez and /readyz are: an address that the public does not reach. Empty: nowhere.',
    }),
    metricsNames: choice({
      key: 'metrics_names',
      preset: 'seedbed',
      among: ['seedbed', 'chihaya', 'both'],
      doc: 'Under which names /metrics gives its numbers; chihaya is for dashboards that are there already.',
    }),
    frontEnd: choice({
      key: 'front_end',
      preset: 'auto',
      among: ['auto', 'fast', 'portable'],
      why: 'auto is fast where that can be had',
      restart: true,
      doc: 'How packets and requests are received: fast is for Linux, by its own calls and in threads of their own, and needs the optional package koffi; portable is for every system, in one thread.',
    }),
    workers: count({
      key: 'workers',
      preset: 1,
      least: 0,
      most: MAX_WORKERS,
      why: 'one a processor is most that helps',
      restart: true,
      doc: 'Threads of the fast front end. One answers some 200,000 UDP requests a second; tokens (jwt) cost it a hundred times as much as an announce. 0: one for each processor.',
    }),
    metricsToken: text({
      key: 'metrics_token',
      preset: '',
      secret: true,
      limit: 'at least 16 characters, or empty',
      doc: 'Whoever says it (Authorization: Bearer, or as a password) sees the largest swarms in /stats, and may POST /reload and fetch a full scrape. Empty: nobody may.',
      check: (value) => (value.length < 16 ? 'is shorter than 16 characters' : undefined),
    }),
    fullScrape,
    http,
    udp,
    websocket,
    rateLimit,
    storage,
    prehooks: prehooks(),
    posthooks: posthooks(),
  },
}
