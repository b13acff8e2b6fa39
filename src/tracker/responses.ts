/**
 * How many requests were answered with what, and in what time: a table of numbers that is there from the start, so that noting
 * an answer is a few additions. The numbers lie where counters.ts says: one table for each thread that answers, summed by who asks.
 *
 *     row     protocol, action, family, reason ('' is success)
 *     cells   one for each bound of time, one beyond, then the sum of milliseconds, then the count
 *
 * Reasons are the fixed texts of failures.ts and HTTP statuses: never anything that a client sent.
 */
import { failures } from './failures.ts'

export const ACTIONS = ['connect', 'announce', 'scrape', 'answer', 'other'] as const
/** Requests that are none of the others. */
export const OTHER_ACTION: number = ACTIONS.indexOf('other')
export type Action = (typeof ACTIONS)[number]
export const PROTOCOLS = ['udp', 'http', 'ws'] as const
export type Protocol = (typeof PROTOCOLS)[number]

/** Milliseconds. From 9.375 on they are chihaya's. */
export const TIME_BOUNDS_MS: readonly number[] = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 9.375, 18.75, 37.5, 75, 150, 300, 600, 1200,
  2400, 4800,
]
const SUM: number = TIME_BOUNDS_MS.length + 1
const COUNT: number = SUM + 1
const CELLS: number = COUNT + 1

const STATUSES = [400, 403, 404, 405, 408, 413, 414, 426, 429, 431, 500, 501, 503, 505]
/** With which a WebSocket is closed that broke a rule. */
const CLOSE_CODES = [1002, 1007, 1009]
/** Why a request failed; the first is that it did not. */
export const REASONS: readonly string[] = [
  '',
  ...Object.values(failures),
  ...STATUSES.map((status) => `http ${status}`),
  ...CLOSE_CODES.map((code) => `close ${code}`),
]
const REASON_INDEX: ReadonlyMap<string, number> = new Map(REASONS.map((text, i) => [text, i]))
/** 64-bit numbers of one table. */
export const RESPONSE_CELLS: number = PROTOCOLS.length * ACTIONS.length * 2 * REASONS.length * CELLS

/** Place in REASONS; 0 for what is not there. */
export function reasonIndex(reason: string): number {
  return reason === '' ? 0 : (REASON_INDEX.get(reason) ?? 0)
}

export interface ResponseRow {
  readonly protocol: Protocol
  readonly action: Action
  readonly family: 4 | 6
  /** Empty for success. */
  readonly reason: string
  readonly count: number
  readonly sumMs: number
  /** Answers within each bound and not within the one before; the last are beyond all. Only those that were timed. */
  readonly buckets: readonly number[]
}

export class Responses {
  readonly #cells: Float64Array

  /** `cells` has RESPONSE_CELLS numbers, zeros at first. */
  constructor(cells: Float64Array) {
    this.#cells = cells
  }

  /** `elapsedMs` below 0: not timed. */
  note(protocol: Protocol, action: number, family: 4 | 6, reason: string, elapsedMs: number): void {
    const place = protocol === 'udp' ? 0 : protocol === 'http' ? 1 : 2
    const at = rowAt(place, action, family === 4 ? 0 : 1, reasonIndex(reason))
    this.#cells[at + COUNT]!++
    if (elapsedMs < 0) return
    let bucket = 0
    while (bucket < TIME_BOUNDS_MS.length && elapsedMs > TIME_BOUNDS_MS[bucket]!) bucket++
    this.#cells[at + bucket]!++
    this.#cells[at + SUM]! += elapsedMs
  }

  /** Rows that have an answer. */
  rows(): readonly ResponseRow[] {
    const rows: ResponseRow[] = []
    for (const [p, protocol] of PROTOCOLS.entries()) {
      for (const [a, action] of ACTIONS.entries()) {
        for (const [f, family] of ([4, 6] as const).entries()) {
          for (const [r, reason] of REASONS.entries()) {
            const at = rowAt(p, a, f, r)
            const count = this.#cells[at + COUNT]!
            if (count === 0) continue
            const buckets = [...this.#cells.subarray(at, at + SUM)]
            rows.push({
              protocol,
              action,
              family,
              reason,
              count,
              sumMs: this.#cells[at + SUM]!,
              buckets,
            })
          }
        }
      }
    }
    return rows
  }
}

function rowAt(protocol: number, action: number, family: number, reason: number): number {
  return (((protocol * ACTIONS.length + action) * 2 + family) * REASONS.length + reason) * CELLS
}
