/**
 * The configuration of the store as it stands in a configuration file, with the keys of optmem.
 *
 *     shard_count_bits               0 to 16; 0 means 10                       default 10
 *     gc_interval                    1s to 2h16m32s                            default 3m
 *     peer_lifetime                  1s to 15h55m40s                           default 30m
 *     prometheus_reporting_interval  100ms to 1h                               default 1s
 *     max_memory                     bytes, or KiB, MiB, GiB; 4MiB to 8128MiB  default half of what there is
 *
 * Durations are numbers with units, as in "2m", "1h30m", "1.5s", "500ms". A value that is not within its limits is
 * refused, with the key, the value, the limit and why; it is never replaced. Unknown keys are refused too.
 *
 * gc_interval and peer_lifetime are bounded by the 15 bits of an age (age.ts): L + interval <= 32766 ticks of 2 s.
 */
import { MAX_LIFETIME_MS, SWEEP_TICKS, TICK_MS } from './age.ts'
import { MAX_SHARD_COUNT_BITS } from './create.ts'
import { peerStoreError } from './errors.ts'
import { MAX_MEMORY_BYTES } from './layout.ts'

export interface PeerStoreConfig {
  readonly shardCountBits: number
  readonly gcIntervalMs: number
  readonly peerLifetimeMs: number
  readonly reportingIntervalMs: number
  /** Undefined: the store's default. */
  readonly maxMemoryBytes: number | undefined
}

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: SECOND_MS,
  m: MINUTE_MS,
  h: HOUR_MS,
}
const UNITS_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
}
const KEYS = [
  'shard_count_bits',
  'gc_interval',
  'peer_lifetime',
  'prometheus_reporting_interval',
  'max_memory',
]

/** Throws PEER_STORE_INVALID_OPTION. */
export function parsePeerStoreConfig(values: Readonly<Record<string, unknown>>): PeerStoreConfig {
  for (const key of Object.keys(values)) {
    if (KEYS.includes(key)) continue
    throw peerStoreError('PEER_STORE_INVALID_OPTION', `the peer store has no option ${key}`, {
      mend: `Its options are ${KEYS.join(', ')}.`,
    })
  }
  const bits = values.shard_count_bits ?? 0
  if (!Number.isInteger(bits) || Number(bits) < 0 || Number(bits) > MAX_SHARD_COUNT_BITS) {
    throw refused(
      'shard_count_bits',
      bits,
      `a whole number from 0 (which means 10) to ${MAX_SHARD_COUNT_BITS}`,
      'each shard takes memory even when it is empty',
    )
  }
  const memory = values.max_memory
  return {
    shardCountBits: Number(bits) || 10,
    gcIntervalMs: duration(
      values,
      'gc_interval',
      3 * MINUTE_MS,
      SECOND_MS,
      SWEEP_TICKS * TICK_MS - MINUTE_MS,
      'ages have 15 bits, and the lifetime needs the rest of them',
    ),
    peerLifetimeMs: duration(
      values,
      'peer_lifetime',
      30 * MINUTE_MS,
      SECOND_MS,
      MAX_LIFETIME_MS,
      'ages have 15 bits: a peer that is older would look fresh again',
    ),
    reportingIntervalMs: duration(
      values,
      'prometheus_reporting_interval',
      SECOND_MS,
      100,
      HOUR_MS,
      'a report costs some microseconds, and an old one misleads',
    ),
    maxMemoryBytes: memory === undefined ? undefined : memoryBytes(memory),
  }
}

/** Milliseconds of a duration such as "1h30m"; undefined: it is none. */
export function parseDurationMs(text: string): number | undefined {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(text)) return undefined
  let sum = 0
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    sum += Number(number) * UNITS_MS[unit!]!
  }
  return sum
}

function duration(
  values: Readonly<Record<string, unknown>>,
  key: string,
  fallback: number,
  least: number,
  most: number,
  why: string,
): number {
  const value = values[key]
  if (value === undefined) return fallback
  const ms = typeof value === 'string' ? parseDurationMs(value) : undefined
  if (ms !== undefined && ms >= least && ms <= most) return ms
  throw refused(key, value, `a duration from ${durationText(least)} to ${durationText(most)}`, why)
}

function memoryBytes(value: unknown): number {
  const match = /^(\d+(?:\.\d+)?) ?(|B|KiB|MiB|GiB)$/.exec(String(value))
  const bytes = match === null ? Number.NaN : Math.floor(Number(match[1]) * UNITS_BYTES[match[2]!]!)
  if (bytes >= 4 * 2 ** 20 && bytes <= MAX_MEMORY_BYTES) return bytes
  throw refused(
    'max_memory',
    value,
    'a number of bytes, such as 512MiB, from 4MiB to 8128MiB',
    'addresses of words in the store have 31 bits',
  )
}

function refused(key: string, value: unknown, limit: string, why: string): Error {
  return peerStoreError(
    'PEER_STORE_INVALID_OPTION',
    `${key} is ${JSON.stringify(value)}: it must be ${limit}, because ${why}`,
  )
}

function durationText(ms: number): string {
  if (ms < SECOND_MS) return `${ms}ms`
  const parts = [
    [Math.floor(ms / HOUR_MS), 'h'],
    [Math.floor((ms % HOUR_MS) / MINUTE_MS), 'm'],
    [Math.floor((ms % MINUTE_MS) / SECOND_MS), 's'],
  ] as const
  return parts.map(([number, unit]) => (number > 0 ? `${number}${unit}` : '')).join('')
}
