/**
 * The tracker seen from outside, on an address of its own: not for the public.
 *
 *     /metrics    Prometheus or OpenMetrics, by Accept
 *     /stats      a small page for people, JSON for the rest (by Accept, or /stats.json)
 *     /full-scrape   every swarm as a scrape, streamed; where it is switched on, for who holds the token
 *     /reload     POST: reads configuration, lists, keys and certificates again; for who holds the token
 *     /livez      200 while the process answers      /readyz   200 while it serves, 503 when it drains
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import type { Logger, SeedbedError } from '../../base/index.ts'
import type { PeerStore } from '../../peer-store/index.ts'
import type { Endpoint } from '../config/fields.ts'
import { listenOne } from '../listen.ts'
import type { Place } from '../options.ts'
import { collectAsChihaya } from './chihaya-metrics.ts'
import { CONTENT_TYPES, formatFor, renderFamilies } from './exposition.ts'
import { collect, collectOfSameName, type Observation } from './metrics.ts'
import { renderPage, statsOf } from './stats.ts'
import { fullScrape, type TopSwarm, topSwarms } from './swarm-walk.ts'

const MAX_CONNECTIONS = 256
const TIMEOUT_MS = 10_000
const TOP_SWARMS = 100

export type MetricNames = 'seedbed' | 'chihaya' | 'both'

export interface OutsideOptions {
  readonly listen: readonly Place[]
  readonly logger: Logger
  observe(): Observation
  /** Asked anew for every answer. */
  names(): MetricNames
  ready(): boolean
  readonly store: PeerStore
  access(): OutsideAccess
  /** Reads the configuration again; resolves to what is told of it. Absent: there is none to read. */
  reload?(): Promise<object>
}

export interface OutsideAccess {
  /** Empty: nobody holds it. */
  readonly token: string
  readonly fullScrape: boolean
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
  // Who asks may go away while it is told.
  serve(request, response, options).catch(() => response.destroy())
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  options: OutsideOptions,
): Promise<void> {
  const { authorization } = request.headers
  const { token } = options.access()
  const isEntitled = holdsToken(authorization, token)
  const path = request.url?.split('?')[0] ?? ''
  if (path === '/full-scrape' && request.method === 'GET' && options.access().fullScrape) {
    if (isEntitled) await streamScrape(request, response, options)
    else send(request, response, UNAUTHORIZED)
    return
  }
  if (path === '/reload' && options.reload !== undefined) {
    // A browser adds a password that it knows to what other pages send: not enough to change anything.
    const isBearer = isEntitled && /^bearer /i.test(authorization ?? '')
    send(request, response, await reload(request, options, isBearer))
    return
  }
  const isStats = path === '/' || path === '/stats' || path === '/stats.json'
  const top = isEntitled && isStats ? await topSwarms(options.store, TOP_SWARMS) : undefined
  send(request, response, answerTo(request, options, top))
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  const { status, type, body } = answer
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'",
    ...(status === 405 ? { Allow: request.url === '/reload' ? 'POST' : 'GET, HEAD' } : {}),
    ...(status === 401 ? { 'WWW-Authenticate': 'Bearer' } : {}),
  })
  response.end(request.method === 'HEAD' ? '' : body)
}

const textAnswer = (status: number, body: string): Answer => ({
  status,
  type: 'text/plain; charset=utf-8',
  body,
})
const jsonAnswer = (status: number, value: unknown): Answer => ({
  status,
  type: 'application/json',
  body: `${JSON.stringify(value)}\n`,
})
const UNAUTHORIZED: Answer = textAnswer(401, 'Authorization: Bearer TOKEN is needed\n')

/** As `Bearer TOKEN`, or as the password of `Basic` for browsers. Compared by hashes, so that time tells nothing. */
function holdsToken(authorization: string | undefined, token: string): boolean {
  if (token === '' || authorization === undefined) return false
  const [scheme = '', credentials = ''] = authorization.split(' ')
  const decoded = Buffer.from(credentials, 'base64').toString('utf8')
  const said = /^basic$/i.test(scheme) ? decoded.slice(decoded.indexOf(':') + 1) : credentials
  if (!/^(basic|bearer)$/i.test(scheme)) return false
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(said), digest(token))
}

async function streamScrape(
  request: IncomingMessage,
  response: ServerResponse,
  options: OutsideOptions,
): Promise<void> {
  const zips = /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''))
  response.writeHead(200, {
    'Content-Type': 'application/octet-stream',
    'Cache-Control': 'no-store',
    ...(zips ? { 'Content-Encoding': 'gzip' } : {}),
  })
  const source = Readable.from(fullScrape(options.store))
  if (zips) await pipeline(source, createGzip(), response)
  else await pipeline(source, response)
}

async function reload(
  { method }: IncomingMessage,
  options: OutsideOptions,
  isEntitled: boolean,
): Promise<Answer> {
  if (method !== 'POST') return textAnswer(405, 'POST only\n')
  if (!isEntitled) return UNAUTHORIZED
  try {
    return jsonAnswer(200, { reloaded: true, ...(await options.reload!()) })
  } catch (error) {
    const { code = 'INTERNAL', message } = error as Partial<SeedbedError>
    return jsonAnswer(422, { reloaded: false, error: { code, message } })
  }
}

function answerTo(
  { method, url = '', headers }: IncomingMessage,
  options: OutsideOptions,
  top: readonly TopSwarm[] | undefined,
): Answer {
  const text = textAnswer
  const accept = String(headers.accept ?? '')
  if (method !== 'GET' && method !== 'HEAD') return text(405, 'GET only\n')
  switch (url.split('?')[0]) {
    case '/metrics': {
      const format = formatFor(accept)
      const seen = options.observe()
      const names = options.names()
      const families = [
        ...(names === 'chihaya' ? collectOfSameName(seen) : collect(seen)),
        ...(names === 'seedbed' ? [] : collectAsChihaya(seen)),
      ]
      return { status: 200, type: CONTENT_TYPES[format], body: renderFamilies(families, format) }
    }
    case '/':
    case '/stats': {
      const stats = statsOf(options.observe(), top)
      if (accept.includes('text/html')) {
        return { status: 200, type: 'text/html; charset=utf-8', body: renderPage(stats) }
      }
      return jsonAnswer(200, stats)
    }
    case '/stats.json':
      return jsonAnswer(200, statsOf(options.observe(), top))
    case '/livez':
      return text(200, 'ok\n')
    case '/readyz':
    case '/healthz':
      return options.ready() ? text(200, 'ok\n') : text(503, 'stopping\n')
    default:
      return text(404, 'not found; there are /metrics, /stats, /livez and /readyz\n')
  }
}
