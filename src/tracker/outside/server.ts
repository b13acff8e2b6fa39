/**
 * The tracker seen from outside, on an address of its own: not for the public.
 *
 *     /metrics    Prometheus or OpenMetrics, by Accept
 *     /stats      a small page for people, JSON for the rest (by Accept, or /stats.json)
 *     /livez      200 while the process answers      /readyz   200 while it serves, 503 when it drains
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Logger } from '../../base/index.ts'
import type { Endpoint } from '../config/fields.ts'
import { listenOne } from '../listen.ts'
import type { Place } from '../options.ts'
import { collectAsChihaya } from './chihaya-metrics.ts'
import { CONTENT_TYPES, formatFor, renderFamilies } from './exposition.ts'
import { collect, type Observation } from './metrics.ts'
import { renderPage, statsOf } from './stats.ts'

const MAX_CONNECTIONS = 256
const TIMEOUT_MS = 10_000

export type MetricNames = 'seedbed' | 'chihaya' | 'both'

export interface OutsideOptions {
  readonly listen: readonly Place[]
  readonly logger: Logger
  observe(): Observation
  /** Asked anew for every answer. */
  names(): MetricNames
  ready(): boolean
}

export interface Outside {
  readonly endpoints: readonly Endpoint[]
  close(): Promise<void>
}

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
}

/** Rejects with TRACKER_PORT_TAKEN or TRACKER_LISTEN_FAILED. */
export async function startOutside(options: OutsideOptions): Promise<Outside> {
  const servers: Server[] = []
  const close = async (): Promise<void> => {
    await Promise.all(
      servers.map((server) => {
        const closed = new Promise<void>((resolve) => server.close(() => resolve()))
        server.closeAllConnections()
        return closed
      }),
    )
  }
  const listener = {
    async listen(address: string, port: number, _secure?: boolean, fd?: number): Promise<number> {
      const server = createServer((request, response) => respond(request, response, options))
      server.maxConnections = MAX_CONNECTIONS
      server.headersTimeout = TIMEOUT_MS
      server.requestTimeout = TIMEOUT_MS
      const bound = await listen(server, address, port, fd)
      servers.push(server)
      return bound
    },
  }
  let endpoints: readonly Endpoint[]
  try {
    endpoints = await listenOne('TCP', listener, options.listen, options.logger)
  } catch (error) {
    await close()
    throw error
  }
  return { endpoints, close }
}

function listen(server: Server, host: string, port: number, fd?: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    const place = { host, port, ipv6Only: host.includes(':') }
    server.listen(fd === undefined ? place : { fd }, () => {
      server.off('error', reject)
      server.on('error', () => {})
      const bound = server.address()
      resolve(typeof bound === 'object' && bound !== null ? bound.port : port)
    })
  })
}

function respond(
  request: IncomingMessage,
  response: ServerResponse,
  options: OutsideOptions,
): void {
  // A body is not wanted and not waited for.
  request.resume()
  const { status, type, body } = answerTo(request, options)
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'",
    ...(status === 405 ? { Allow: 'GET, HEAD' } : {}),
  })
  response.end(request.method === 'HEAD' ? '' : body)
}

function answerTo({ method, url = '', headers }: IncomingMessage, options: OutsideOptions): Answer {
  const text = (status: number, body: string): Answer => ({
    status,
    type: 'text/plain; charset=utf-8',
    body,
  })
  const accept = String(headers.accept ?? '')
  if (method !== 'GET' && method !== 'HEAD') return text(405, 'GET only\n')
  switch (url.split('?')[0]) {
    case '/metrics': {
      const format = formatFor(accept)
      const seen = options.observe()
      const names = options.names()
      const families = [
        ...(names === 'chihaya' ? [] : collect(seen)),
        ...(names === 'seedbed' ? [] : collectAsChihaya(seen)),
      ]
      return { status: 200, type: CONTENT_TYPES[format], body: renderFamilies(families, format) }
    }
    case '/':
    case '/stats': {
      const stats = statsOf(options.observe())
      if (accept.includes('text/html')) {
        return { status: 200, type: 'text/html; charset=utf-8', body: renderPage(stats) }
      }
      return { status: 200, type: 'application/json', body: `${JSON.stringify(stats)}\n` }
    }
    case '/stats.json':
      return {
        status: 200,
        type: 'application/json',
        body: `${JSON.stringify(statsOf(options.observe()))}\n`,
      }
    case '/livez':
      return text(200, 'ok\n')
    case '/readyz':
    case '/healthz':
      return options.ready() ? text(200, 'ok\n') : text(503, 'stopping\n')
    default:
      return text(404, 'not found; there are /metrics, /stats, /livez and /readyz\n')
  }
}
