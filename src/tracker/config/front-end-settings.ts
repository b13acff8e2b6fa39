/** The keys of the front ends, HTTP and UDP, with chihaya's names where chihaya has one. */
import { PRIVATE_NETWORKS, parseNetwork } from '../client-address.ts'
import { routeProblem } from '../http-routes.ts'
import { MAX_WANTED_LIMIT } from '../options.ts'
import { count, duration, endpoints, list, text, toggle } from './fields.ts'
import type { Field, Section } from './schema.ts'

export interface HttpConfig {
  readonly addr: readonly string[]
  readonly httpsAddr: readonly string[]
  readonly tlsCertPath: string
  readonly tlsKeyPath: string
  readonly readTimeoutMs: number
  readonly writeTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly keepAlive: boolean
  readonly timed: boolean
  readonly maxConnections: number
  readonly announceRoutes: readonly string[]
  readonly scrapeRoutes: readonly string[]
  readonly phpRoutes: boolean
  readonly allowIpSpoofing: boolean
  readonly realIpHeader: string
  readonly trustedProxies: readonly string[]
  readonly proxyProtocol: boolean
  readonly externalIp: boolean
  readonly refusalRetry: string
  readonly maxWanted: number
  readonly defaultWanted: number
  readonly maxScrape: number
}

export interface UdpConfig {
  readonly addr: readonly string[]
  readonly connectionIdLifetimeMs: number
  readonly maxClockSkewMs: number
  readonly privateKey: string
  readonly timed: boolean
  readonly allowIpSpoofing: boolean
  readonly maxWanted: number
  readonly defaultWanted: number
  readonly maxScrape: number
}

const SECOND_MS = 1000
const MINUTE_MS: number = 60 * SECOND_MS
const HOUR_MS: number = 60 * MINUTE_MS

const wanted = (key: string, preset: number, doc: string): Field<number> =>
  count({ key, preset, least: 0, most: MAX_WANTED_LIMIT, doc })

const scrape = (): Field<number> =>
  count({
    key: 'max_scrape_infohashes',
    preset: 50,
    least: 0,
    most: 74,
    why: 'as many as a UDP packet and the head of an HTTP request hold',
    doc: 'Info-hashes answered in one scrape; those beyond are left out.',
  })

const spoofing = (): Field<boolean> =>
  toggle({
    key: 'allow_ip_spoofing',
    preset: false,
    doc: 'Believe the address that an announce names instead of the one that it comes from. Then anybody can send peers to anybody.',
  })

const routes = (key: string, preset: string, doc: string): Field<readonly string[]> =>
  list({
    key,
    doc,
    preset: [preset],
    limit: 'paths; :name stands for any one segment, *name at the end for the rest',
    item: 'a path such as /announce or /:passkey/announce',
    most: 64,
    parse: (value) => (routeProblem(value) === undefined ? value : undefined),
  })

const timeout = (key: string, presetMs: number, doc: string): Field<number> =>
  duration({ key, presetMs, leastMs: 100, mostMs: HOUR_MS, doc })

/** What `refusal_retry` means; undefined for nothing. */
export function retryOf(text: string): number | 'never' | undefined {
  if (text === 'never') return text
  return /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 10_080
    ? Number(text)
    : undefined
}

const timing = (): Field<boolean> =>
  toggle({
    key: 'enable_request_timing',
    preset: false,
    doc: 'Time every answer, for the histograms of the metrics. Costs two looks at the clock each.',
  })

export const http: Section<HttpConfig> = {
  kind: 'section',
  key: 'http',
  doc: 'Announces and scrapes over HTTP.',
  fields: {
    addr: endpoints({
      key: 'addr',
      preset: [':6969'],
      restart: true,
      doc: 'Where to listen. Empty: no HTTP.',
    }),
    httpsAddr: endpoints({
      key: 'https_addr',
      preset: [],
      restart: true,
      doc: 'Where to listen for HTTPS. Needs tls_cert_path and tls_key_path.',
    }),
    tlsCertPath: text({
      key: 'tls_cert_path',
      preset: '',
      limit: 'a path',
      doc: 'The certificate and its chain, PEM. Read again within a minute of a change, and on SIGHUP; connections that are there stay.',
    }),
    tlsKeyPath: text({ key: 'tls_key_path', preset: '', limit: 'a path', doc: 'Its key, PEM.' }),
    readTimeoutMs: timeout(
      'read_timeout',
      5 * SECOND_MS,
      'From the first byte of a request to its last.',
    ),
    writeTimeoutMs: timeout(
      'write_timeout',
      10 * SECOND_MS,
      'For a client to take the answers that wait for it.',
    ),
    idleTimeoutMs: timeout(
      'idle_timeout',
      30 * SECOND_MS,
      'For a connection to begin a request, the first or the next.',
    ),
    keepAlive: toggle({
      key: 'enable_keepalive',
      preset: true,
      doc: 'Let connections carry several requests. Costs memory for each client, saves time behind a proxy.',
    }),
    timed: timing(),
    maxConnections: count({
      key: 'max_connections',
      preset: 4096,
      least: 1,
      most: 1_000_000,
      doc: 'Connections at a time. For one more an idle one is closed; where none is idle, that one is.',
    }),
    announceRoutes: routes('announce_routes', '/announce', 'Paths of announces.'),
    scrapeRoutes: routes('scrape_routes', '/scrape', 'Paths of scrapes.'),
    phpRoutes: toggle({
      key: 'enable_legacy_php_urls',
      preset: false,
      doc: 'Also /announce.php and /scrape.php, as in configurations of chihaya from before it had routes.',
    }),
    allowIpSpoofing: spoofing(),
    realIpHeader: text({
      key: 'real_ip_header',
      preset: '',
      limit: 'the name of a header, such as X-Real-IP or X-Forwarded-For; or empty',
      doc: 'The header in which a proxy says whose request it is. Believed only from trusted_proxies; of a chain the last address that is none of them counts.',
      check: (value) =>
        /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/.test(value)
          ? undefined
          : 'is not the name of a header',
    }),
    trustedProxies: list({
      key: 'trusted_proxies',
      preset: PRIVATE_NETWORKS,
      limit: 'addresses and networks',
      item: 'an address or a network such as 192.0.2.0/24',
      most: 1024,
      doc: 'Whom real_ip_header is believed. (chihaya believes anybody.)',
      parse: (value) => (parseNetwork(value) === undefined ? undefined : value),
    }),
    proxyProtocol: toggle({
      key: 'proxy_protocol',
      preset: false,
      doc: 'Connections come from trusted_proxies only, and begin with a header of the PROXY protocol, version 2, also those of HTTPS.',
    }),
    externalIp: toggle({
      key: 'external_ip',
      preset: false,
      doc: 'Tell clients the address that they have from here (BEP 24): 20 bytes more in each answer.',
    }),
    refusalRetry: text({
      key: 'refusal_retry',
      preset: '',
      limit: 'never, or minutes from 1 to 10080, or empty',
      doc: 'What clients that a hook refused are told about coming back (BEP 31). Empty: nothing.',
      check: (value) =>
        retryOf(value) === undefined ? 'is neither never nor minutes from 1 to 10080' : undefined,
    }),
    maxWanted: wanted('max_numwant', 100, 'Peers returned at most.'),
    defaultWanted: wanted('default_numwant', 50, 'Peers returned to who does not say how many.'),
    maxScrape: scrape(),
  },
}

export const udp: Section<UdpConfig> = {
  kind: 'section',
  key: 'udp',
  doc: 'Announces and scrapes over UDP (BEP 15).',
  fields: {
    addr: endpoints({
      key: 'addr',
      preset: [':6969'],
      restart: true,
      doc: 'Where to listen. Empty: no UDP.',
    }),
    connectionIdLifetimeMs: duration({
      key: 'connection_id_lifetime',
      presetMs: 2 * MINUTE_MS,
      leastMs: SECOND_MS,
      mostMs: 12 * HOUR_MS,
      why: 'an id carries 16 bits of its second',
      restart: true,
      doc: 'How long a connection id is good. BEP 15 says two minutes; clients that keep one for longer get errors unless this is longer.',
    }),
    maxClockSkewMs: duration({
      key: 'max_clock_skew',
      presetMs: 0,
      leastMs: 0,
      mostMs: HOUR_MS,
      restart: true,
      doc: 'How far the clock of another tracker with the same private_key may be ahead. Without a key nothing can be ahead.',
    }),
    privateKey: text({
      key: 'private_key',
      preset: '',
      secret: true,
      limit: 'at most 4096 characters',
      restart: true,
      doc: 'A secret text. Trackers that share it take the connection ids of each other, also after a restart. Empty: a random key.',
    }),
    timed: timing(),
    allowIpSpoofing: spoofing(),
    maxWanted: wanted(
      'max_numwant',
      100,
      'Peers returned at most; a packet over IPv6 holds 67, over IPv4 242.',
    ),
    defaultWanted: wanted('default_numwant', 50, 'Peers returned to who does not say how many.'),
    maxScrape: scrape(),
  },
}
