/**
 * The opening handshake of WebSocket (RFC 6455, section 4), from the bytes of a request: who it is, what it came with, and the answer.
 * No extensions and no subprotocols are agreed on. Clients come to `/`, as to the public trackers, or to a route of announces.
 */
import { createHash } from 'node:crypto'
import { toLatin1 } from '../../base/index.ts'
import type { TrustedProxies } from '../client-address.ts'
import { HttpHead, parseHead, reasonOf } from '../http-codec.ts'
import type { HttpRoutes } from '../http-routes.ts'

const ACCEPT_SALT = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

export interface HandshakeRules {
  readonly routes: HttpRoutes
  /** Lower case; null for none. */
  readonly realIpHeader: Uint8Array | null
  readonly proxies: TrustedProxies | null
  /** Pages that may connect; empty for all. Who sends no Origin is no browser, and is let in. */
  readonly allowedOrigins: readonly string[]
}

export interface Handshake {
  /** Behind proxies that are trusted. */
  readonly address: Uint8Array
  /** Path and query, a copy; where the query begins, and the bounds of a passkey in the path (start -1: none). */
  readonly target: Uint8Array
  readonly queryStart: number
  readonly passkeyStart: number
  readonly passkeyEnd: number
  readonly response: string
  /** Bytes of the request; frames may follow. */
  readonly length: number
}

/** One request is read at a time. */
const head: HttpHead = new HttpHead()

/** A number is the status to refuse with. */
export function readHandshake(
  remote: Uint8Array,
  bytes: Uint8Array,
  rules: HandshakeRules,
): Handshake | 400 | 403 | 404 | 426 {
  head.note = rules.realIpHeader
  if (parseHead(bytes, 0, bytes.length, head) !== 'request' || head.version10) return 400
  const address = rules.proxies === null ? remote : rules.proxies.clientOf(remote, bytes, head)
  const route = rules.routes.match(bytes, head.pathStart, head.pathEnd)
  const { parameterStart, parameterEnd } = rules.routes
  const headers = headersOf(toLatin1(bytes.subarray(0, head.length)))
  const key = headers.get('sec-websocket-key') ?? ''
  const upgrades = (headers.get('connection') ?? '').toLowerCase().split(/[ \t]*,[ \t]*/)
  if (address === null || !head.upgrade || !upgrades.includes('upgrade')) return 400
  if (headers.get('sec-websocket-version') !== '13') return 426
  if (!/^[A-Za-z0-9+/]{22}==$/.test(key)) return 400
  if (route !== 'announce' && route !== 'root') return 404
  const origin = headers.get('origin')
  const { allowedOrigins } = rules
  if (origin !== undefined && allowedOrigins.length > 0 && !allowedOrigins.includes(origin)) {
    return 403
  }
  const accept = createHash('sha1')
    .update(key + ACCEPT_SALT)
    .digest('base64')
  const from = head.pathStart
  const hasPasskey = route === 'announce' && parameterStart >= 0
  return {
    // Copies: a connection outlives the buffers of its request.
    address: new Uint8Array(address),
    target: new Uint8Array(bytes.subarray(from, head.queryEnd)),
    queryStart: head.queryStart - from,
    passkeyStart: hasPasskey ? parameterStart - from : -1,
    passkeyEnd: hasPasskey ? parameterEnd - from : -1,
    response: `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    length: head.length,
  }
}

/** An answer that ends the connection. */
export function refusalOf(status: number): string {
  const body = `${status} ${reasonOf(status)}\n`
  const version = status === 426 ? 'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' : ''
  return `HTTP/1.1 ${status} ${reasonOf(status)}\r\nContent-Type: text/plain\r\n${version}Connection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

/** By lower-case name; several lines of a name are one list. */
function headersOf(text: string): ReadonlyMap<string, string> {
  const headers = new Map<string, string>()
  for (const line of text.split('\r\n').slice(1)) {
    const colon = line.indexOf(':')
    if (colon < 0) continue
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    const before = headers.get(name)
    headers.set(name, before === undefined ? value : `${before}, ${value}`)
  }
  return headers
}
