/**
 * The same numbers under chihaya's names, for dashboards that are there already. Its histograms have ten bounds from 9.375 ms on;
 * where requests are not timed, they count as taking no time, as there.
 */
import { GC_DURATION_BOUNDS_MS } from '../../peer-store/index.ts'
import { type Protocol, type ResponseRow, TIME_BOUNDS_MS } from '../responses.ts'
import type { Family, HistogramSample } from './exposition.ts'
import type { Observation } from './metrics.ts'

const FIRST: number = TIME_BOUNDS_MS.indexOf(9.375)
const BOUNDS_MS: readonly number[] = TIME_BOUNDS_MS.slice(FIRST, FIRST + 10)

export function collectAsChihaya(seen: Observation): readonly Family[] {
  const { store, gc, tracker } = seen
  const responses = (protocol: Protocol): Family => ({
    name: `chihaya_${protocol}_response_duration_milliseconds`,
    help: `Time to answer a request over ${protocol.toUpperCase()}.`,
    type: 'histogram',
    samples: tracker.responses.filter((row) => row.protocol === protocol).map(sampleOf),
  })
  const gauge = (name: string, help: string, value: number): Family => ({
    name: `chihaya_storage_${name}`,
    help,
    type: 'gauge',
    samples: [{ value }],
  })
  return [
    responses('http'),
    responses('udp'),
    {
      name: 'chihaya_storage_gc_duration_milliseconds',
      help: 'Work of each pass that drops peers past their lifetime.',
      type: 'histogram',
      samples: [{ bounds: GC_DURATION_BOUNDS_MS, buckets: gc.histogram, sum: gc.totalMs }],
    },
    gauge('infohashes_count', 'Info-hashes that have a peer.', store.swarms),
    gauge('seeders_count', 'Seeders in all swarms.', store.seeders4 + store.seeders6),
    gauge('leechers_count', 'Leechers in all swarms.', store.leechers4 + store.leechers6),
  ]
}

function sampleOf(row: ResponseRow): HistogramSample {
  const { action, family, reason, buckets, count, sumMs } = row
  const within = BOUNDS_MS.map((_, i) => buckets[FIRST + i]!)
  const beyond = buckets.slice(FIRST + BOUNDS_MS.length).reduce((sum, one) => sum + one, 0)
  // What is faster than the first bound, and what was not timed.
  within[0] = count - beyond - within.slice(1).reduce((sum, one) => sum + one, 0)
  return {
    labels: { action, address_family: `IPv${family}`, error: reason },
    bounds: BOUNDS_MS,
    buckets: [...within, beyond],
    sum: sumMs,
  }
}
