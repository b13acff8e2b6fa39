/**
 * Every metric of the tracker: name, type, what it says, which of chihaya's it stands for, and where its numbers come from.
 *
 * Invariant: a label has a value from a fixed set. Never an info-hash, an address, a passkey or anything that a client sent.
 */
import {
  GC_DURATION_BOUNDS_MS,
  type PeerStoreMetrics,
  type PeerStoreStats,
} from '../../peer-store/index.ts'
import type { TrackerStats } from '../counters.ts'
import type { FrontEndFacts } from '../options.ts'
import { type ResponseRow, TIME_BOUNDS_MS } from '../responses.ts'
import type { Family, HistogramSample, Sample } from './exposition.ts'

/** What metrics are made of. */
export interface Observation {
  readonly version: string
  readonly startedWallMs: number
  readonly uptimeMs: number
  readonly tracker: TrackerStats
  readonly frontEnd: FrontEndFacts
  /** Workers that died and were replaced. */
  readonly restarts: number
  readonly store: PeerStoreStats
  readonly gc: PeerStoreMetrics['gc']
  readonly process: { readonly residentBytes: number; readonly cpuSeconds: number }
}

export interface Metric {
  readonly name: string
  readonly help: string
  readonly type: Family['type']
  /** Names of its labels, with what they may be. */
  readonly labels: string
  /** chihaya's names for the same. */
  readonly chihaya?: string
  collect(seen: Observation): readonly Sample[] | readonly HistogramSample[]
}

const scalar =
  (value: (seen: Observation) => number) =>
  (seen: Observation): readonly Sample[] => [{ value: value(seen) }]

const BOUNDS_S: readonly number[] = TIME_BOUNDS_MS.map((ms) => ms / 1000)
const GC_BOUNDS_S: readonly number[] = GC_DURATION_BOUNDS_MS.map((ms) => ms / 1000)

/** In place of a name of chihaya's. */
const SAME_NAME = 'the same'

export const METRICS: readonly Metric[] = [
  {
    name: 'seedbed_build_info',
    help: 'Always 1; the label says which version runs.',
    type: 'gauge',
    labels: 'version',
    collect: ({ version }) => [{ labels: { version }, value: 1 }],
  },
  {
    name: 'seedbed_tracker_front_end_info',
    help: 'Always 1; the label says which front end runs.',
    type: 'gauge',
    labels: 'path: fast, portable',
    collect: ({ frontEnd }) => [{ labels: { path: frontEnd.path }, value: 1 }],
  },
  {
    name: 'seedbed_tracker_workers',
    help: 'Threads of the fast front end.',
    type: 'gauge',
    labels: '',
    collect: scalar(({ frontEnd }) => frontEnd.workers),
  },
  {
    name: 'seedbed_tracker_worker_restarts',
    help: 'Threads of the fast front end that died and were replaced.',
    type: 'counter',
    labels: '',
    collect: scalar(({ restarts }) => restarts),
  },
  {
    name: 'seedbed_tracker_requests',
    help: 'Requests that were understood, by what was answered; an empty error is success.',
    type: 'counter',
    labels:
      'protocol: udp, http, ws; family: 4, 6; action: connect, announce, scrape, answer, other; error: a fixed text',
    chihaya:
      'chihaya_http_response_duration_milliseconds_count, chihaya_udp_response_duration_milliseconds_count',
    collect: ({ tracker }) =>
      tracker.responses.map((row) => ({
        labels: { ...labelsOf(row), error: row.reason },
        value: row.count,
      })),
  },
  {
    name: 'seedbed_tracker_response_seconds',
    help: 'Time to answer a request, without the network. Only where enable_request_timing is on.',
    type: 'histogram',
    labels: 'protocol, family, action',
    chihaya:
      'chihaya_http_response_duration_milliseconds, chihaya_udp_response_duration_milliseconds',
    collect: ({ tracker }) => timesOf(tracker.responses),
  },
  {
    name: 'seedbed_tracker_limited',
    help: 'Requests of addresses that asked too often.',
    type: 'counter',
    labels: 'protocol, family',
    collect: ({ tracker }) => byTransport(tracker, 'limited'),
  },
  {
    name: 'seedbed_tracker_dropped',
    help: 'Packets and connections that got no answer: garbage, beyond a limit, too slow.',
    type: 'counter',
    labels: 'protocol, family',
    collect: ({ tracker }) => byTransport(tracker, 'dropped'),
  },
  {
    name: 'seedbed_tracker_shed',
    help: 'Packets past capacity that were read and thrown away because they had waited too long.',
    type: 'counter',
    labels: 'protocol, family',
    collect: ({ tracker }) => byTransport(tracker, 'shed'),
  },
  {
    name: 'seedbed_tracker_overflowed',
    help: 'Packets past capacity that the receive queue had no room for. Only counted on the fast path.',
    type: 'counter',
    labels: 'protocol, family',
    collect: ({ tracker }) => byTransport(tracker, 'overflowed'),
  },
  {
    name: 'seedbed_tracker_unsent',
    help: 'Answers that the system did not take.',
    type: 'counter',
    labels: 'protocol, family',
    collect: ({ tracker }) => byTransport(tracker, 'unsent'),
  },
  {
    name: 'seedbed_tracker_http_connections',
    help: 'Connections of HTTP and HTTPS that are open.',
    type: 'gauge',
    labels: '',
    collect: scalar(({ tracker }) => tracker.httpConnections),
  },
  {
    name: 'seedbed_tracker_websocket_connections',
    help: 'Connections of WebSocket that are open.',
    type: 'gauge',
    labels: '',
    collect: scalar(({ tracker }) => tracker.websocket.connections),
  },
  {
    name: 'seedbed_tracker_websocket_swarms',
    help: 'Swarms of WebTorrent that have a peer.',
    type: 'gauge',
    labels: '',
    collect: scalar(({ tracker }) => tracker.websocket.swarms),
  },
  {
    name: 'seedbed_tracker_websocket_peers',
    help: 'Peers in all swarms of WebTorrent.',
    type: 'gauge',
    labels: 'role: seeder, leecher',
    collect: ({ tracker }) => [
      { labels: { role: 'seeder' }, value: tracker.websocket.seeders },
      { labels: { role: 'leecher' }, value: tracker.websocket.leechers },
    ],
  },
  {
    name: 'seedbed_tracker_websocket_relayed',
    help: 'Offers and answers passed on; lost are answers to peers that were gone.',
    type: 'counter',
    labels: 'kind: offer, answer, lost',
    collect: ({ tracker }) => [
      { labels: { kind: 'offer' }, value: tracker.websocket.offers },
      { labels: { kind: 'answer' }, value: tracker.websocket.answers },
      { labels: { kind: 'lost' }, value: tracker.websocket.undelivered },
    ],
  },
  {
    name: 'seedbed_tracker_websocket_slow',
    help: 'Connections ended because they did not take what was sent to them.',
    type: 'counter',
    labels: '',
    collect: scalar(({ tracker }) => tracker.websocket.slow),
  },
  {
    name: 'seedbed_tracker_swarms',
    help: 'Info-hashes that have a peer.',
    type: 'gauge',
    labels: '',
    chihaya: 'chihaya_storage_infohashes_count',
    collect: scalar(({ store }) => store.swarms),
  },
  {
    name: 'seedbed_tracker_peers',
    help: 'Peers in all swarms.',
    type: 'gauge',
    labels: 'family: 4, 6; role: seeder, leecher',
    chihaya: 'chihaya_storage_seeders_count, chihaya_storage_leechers_count',
    collect: ({ store }) => [
      { labels: { family: '4', role: 'seeder' }, value: store.seeders4 },
      { labels: { family: '4', role: 'leecher' }, value: store.leechers4 },
      { labels: { family: '6', role: 'seeder' }, value: store.seeders6 },
      { labels: { family: '6', role: 'leecher' }, value: store.leechers6 },
    ],
  },
  {
    name: 'seedbed_tracker_store_used_bytes',
    help: 'Memory of the store that holds swarms and peers.',
    type: 'gauge',
    labels: '',
    collect: scalar(({ store }) => store.bytesUsed),
  },
  {
    name: 'seedbed_tracker_store_reserved_bytes',
    help: 'Memory that the store has taken.',
    type: 'gauge',
    labels: '',
    collect: scalar(({ store }) => store.bytesReserved),
  },
  {
    name: 'seedbed_tracker_store_refused',
    help: 'New peers that the store had no memory for.',
    type: 'counter',
    labels: '',
    collect: scalar(({ store }) => store.refused),
  },
  {
    name: 'seedbed_tracker_store_expired',
    help: 'Peers dropped because they were not heard of.',
    type: 'counter',
    labels: '',
    collect: scalar(({ store }) => store.expired),
  },
  {
    name: 'seedbed_tracker_store_evicted',
    help: 'Peers dropped before their time to make room.',
    type: 'counter',
    labels: '',
    collect: scalar(({ store }) => store.evicted),
  },
  {
    name: 'seedbed_tracker_store_gc_seconds',
    help: 'Work of each pass that drops peers past their lifetime, without the pauses between its steps.',
    type: 'histogram',
    labels: '',
    chihaya: 'chihaya_storage_gc_duration_milliseconds',
    collect: ({ gc }) => [{ bounds: GC_BOUNDS_S, buckets: gc.histogram, sum: gc.totalMs / 1000 }],
  },
  {
    name: 'process_resident_memory_bytes',
    help: 'Resident memory of the process.',
    type: 'gauge',
    labels: '',
    chihaya: SAME_NAME,
    collect: scalar(({ process }) => process.residentBytes),
  },
  {
    name: 'process_cpu_seconds',
    help: 'CPU time of the process, in user and system mode.',
    type: 'counter',
    labels: '',
    chihaya: SAME_NAME,
    collect: scalar(({ process }) => process.cpuSeconds),
  },
  {
    name: 'process_start_time_seconds',
    help: 'When the process started, in seconds since 1970.',
    type: 'gauge',
    labels: '',
    chihaya: SAME_NAME,
    collect: scalar(({ startedWallMs }) => startedWallMs / 1000),
  },
]

export function collect(seen: Observation): readonly Family[] {
  return METRICS.map((metric) => familyOf(metric, seen))
}

/** What chihaya, or its library, gives under the same name. */
export function collectOfSameName(seen: Observation): readonly Family[] {
  return METRICS.filter(({ chihaya }) => chihaya === SAME_NAME).map((one) => familyOf(one, seen))
}

function familyOf({ name, help, type, collect }: Metric, seen: Observation): Family {
  return { name, help, type, samples: collect(seen) } as Family
}

function byTransport(
  { transports }: TrackerStats,
  counter: 'limited' | 'dropped' | 'shed' | 'overflowed' | 'unsent',
): readonly Sample[] {
  return Object.entries(transports).map(([transport, counters]) => ({
    labels: { protocol: transport.slice(0, -1), family: transport.slice(-1) },
    value: counters[counter],
  }))
}

function labelsOf({ protocol, family, action }: ResponseRow): Record<string, string> {
  return { protocol, family: String(family), action }
}

/** One histogram for protocol, family and action: errors are put together. */
function timesOf(rows: readonly ResponseRow[]): readonly HistogramSample[] {
  const found = new Map<
    string,
    { labels: Record<string, string>; buckets: number[]; sum: number }
  >()
  for (const row of rows) {
    if (row.buckets.every((count) => count === 0)) continue
    const labels = labelsOf(row)
    const key = Object.values(labels).join(' ')
    const sums = found.get(key) ?? { labels, buckets: row.buckets.map(() => 0), sum: 0 }
    for (const [i, count] of row.buckets.entries()) sums.buckets[i]! += count
    sums.sum += row.sumMs / 1000
    found.set(key, sums)
  }
  return [...found.values()].map((one) => ({ ...one, bounds: BOUNDS_S }))
}
