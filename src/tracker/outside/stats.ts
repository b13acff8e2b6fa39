/** What a tracker is doing, for people and scripts. Fields are a contract (docs/json.md): none is renamed within a major version. */
import type { TrackerStats, WebSocketCounters } from '../counters.ts'
import type { Observation } from './metrics.ts'
import type { TopSwarm } from './swarm-walk.ts'

export interface TrackerSummary {
  readonly version: string
  readonly uptimeSeconds: number
  /** `fast` or `portable`. */
  readonly frontEnd: string
  /** Threads of the fast front end. */
  readonly workers: number
  readonly swarms: number
  readonly peers: {
    readonly seeders4: number
    readonly leechers4: number
    readonly seeders6: number
    readonly leechers6: number
  }
  readonly requests: readonly {
    readonly protocol: string
    readonly family: number
    readonly action: string
    /** Empty for success. */
    readonly error: string
    readonly count: number
  }[]
  /** By protocol and family. */
  readonly limited: Readonly<Record<string, number>>
  readonly dropped: Readonly<Record<string, number>>
  readonly shed: Readonly<Record<string, number>>
  readonly overflowed: Readonly<Record<string, number>>
  readonly unsent: Readonly<Record<string, number>>
  readonly httpConnections: number
  /** Of WebTorrent, by WebSocket. */
  readonly websocket: {
    readonly connections: number
    readonly swarms: number
    readonly seeders: number
    readonly leechers: number
    readonly offers: number
    readonly answers: number
  }
  readonly store: {
    readonly usedBytes: number
    readonly reservedBytes: number
    readonly refused: number
    readonly expired: number
    readonly evicted: number
  }
  readonly residentBytes: number
  /** The swarms with the most peers, for who holds the token. */
  readonly top?: readonly TopSwarm[]
}

export function statsOf(seen: Observation, top?: readonly TopSwarm[]): TrackerSummary {
  const { version, uptimeMs, frontEnd, tracker, store, process } = seen
  const { swarms, seeders4, leechers4, seeders6, leechers6, refused, expired, evicted } = store
  return {
    version,
    uptimeSeconds: Math.floor(uptimeMs / 1000),
    frontEnd: frontEnd.path,
    workers: frontEnd.workers,
    swarms,
    peers: { seeders4, leechers4, seeders6, leechers6 },
    requests: tracker.responses.map(({ protocol, family, action, reason, count }) => ({
      protocol,
      family,
      action,
      error: reason,
      count,
    })),
    limited: byTransport(tracker, 'limited'),
    dropped: byTransport(tracker, 'dropped'),
    shed: byTransport(tracker, 'shed'),
    overflowed: byTransport(tracker, 'overflowed'),
    unsent: byTransport(tracker, 'unsent'),
    httpConnections: tracker.httpConnections,
    websocket: webSocketOf(tracker.websocket),
    store: {
      usedBytes: store.bytesUsed,
      reservedBytes: store.bytesReserved,
      refused,
      expired,
      evicted,
    },
    residentBytes: process.residentBytes,
    ...(top === undefined ? {} : { top }),
  }
}

function byTransport(
  { transports }: TrackerStats,
  counter: 'limited' | 'dropped' | 'shed' | 'overflowed' | 'unsent',
): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(transports).map(([transport, counters]) => [transport, counters[counter]]),
  )
}

function sumOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, one) => sum + one, 0)
}

function webSocketOf(counters: WebSocketCounters): TrackerSummary['websocket'] {
  const { connections, swarms, seeders, leechers, offers, answers } = counters
  return { connections, swarms, seeders, leechers, offers, answers }
}

/** A page of a few tables, without scripts. All that is in it is numbers and fixed texts. */
export function renderPage(stats: TrackerSummary): string {
  const { peers, store } = stats
  const facts: readonly (readonly [string, string | number])[] = [
    ['version', stats.version],
    [
      'up',
      `${Math.floor(stats.uptimeSeconds / 3600)} h ${Math.floor((stats.uptimeSeconds % 3600) / 60)} min`,
    ],
    [
      'front end',
      stats.workers > 0 ? `${stats.frontEnd}, ${stats.workers} threads` : stats.frontEnd,
    ],
    ['swarms', stats.swarms],
    ['IPv4', `${peers.seeders4} seeders, ${peers.leechers4} leechers`],
    ['IPv6', `${peers.seeders6} seeders, ${peers.leechers6} leechers`],
    ['HTTP connections', stats.httpConnections],
    ['WebSocket connections', stats.websocket.connections],
    ['WebTorrent swarms', stats.websocket.swarms],
    ['WebTorrent', `${stats.websocket.seeders} seeders, ${stats.websocket.leechers} leechers`],
    ['offers, answers', `${stats.websocket.offers}, ${stats.websocket.answers}`],
    ['store', `${mebibytes(store.usedBytes)} used of ${mebibytes(store.reservedBytes)} taken`],
    ['limited, dropped, shed', [stats.limited, stats.dropped, stats.shed].map(sumOf).join(', ')],
    ['refused, expired, evicted', `${store.refused}, ${store.expired}, ${store.evicted}`],
    ['resident memory', mebibytes(stats.residentBytes)],
  ]
  const requests = stats.requests.map((row) => [
    `${row.protocol} IPv${row.family}`,
    row.action,
    row.error || 'ok',
    row.count,
  ])
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>seedbed tracker</title>
<style>body{font:16px/1.5 system-ui,sans-serif;margin:2rem;color-scheme:light dark}td,th{padding:.1rem 1rem .1rem 0;text-align:left}td:last-child{text-align:right;font-variant-numeric:tabular-nums}</style>
<h1>seedbed tracker</h1>
<table>${facts.map(row).join('')}</table>
<h2>Requests</h2>
<table><tr><th>protocol<th>action<th>answer<th>count${requests.map(row).join('')}</table>
${stats.top === undefined ? '' : renderTop(stats.top)}</html>
`
}

function renderTop(top: readonly TopSwarm[]): string {
  const rows = top.map(({ infoHash, seeders, leechers, completed }) => [
    infoHash,
    seeders,
    leechers,
    completed,
  ])
  return `<h2>Largest swarms</h2>
<table><tr><th>info-hash<th>seeders<th>leechers<th>downloads${rows.map(row).join('')}</table>
`
}

function row(cells: readonly (string | number)[]): string {
  return `<tr>${cells.map((cell) => `<td>${escapeHtml(String(cell))}`).join('')}`
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
