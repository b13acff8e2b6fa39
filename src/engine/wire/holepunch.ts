/**
 * Messages by which two peers that cannot reach each other meet through a third one, ut_holepunch (BEP 55).
 *
 * ```
 * 0       0: rendezvous, 1: connect, 2: error
 * 1       0: IPv4, 1: IPv6
 * 2       4 or 16 bytes of address, u16 port
 * then    u32, why it failed; of an error only (others may bear a 0)
 * ```
 */
import { parseCompactPeers } from '../announce/compact.ts'
import { writeEndpoint } from '../dht/contact.ts'

const RENDEZVOUS = 0
const CONNECT = 1
const ERROR = 2
const KINDS = ['rendezvous', 'connect', 'error'] as const

/** Why a relay does nothing. */
export const HOLEPUNCH_NO_SUCH_PEER = 1
export const HOLEPUNCH_NOT_CONNECTED = 2
export const HOLEPUNCH_NO_SUPPORT = 3
export const HOLEPUNCH_NO_SELF = 4

export interface HolepunchMessage {
  /** Please bring us together; go and connect to it; it cannot be done. */
  readonly kind: 'rendezvous' | 'connect' | 'error'
  readonly host: string
  readonly port: number
  /** 0 but in errors. */
  readonly error: number
}

/** Null when it is none, or of a kind that we do not know. */
export function parseHolepunch(payload: Uint8Array): HolepunchMessage | null {
  if (payload.length < 2) return null
  const kind = payload[0]! <= ERROR ? KINDS[payload[0]!] : undefined
  const bytes = payload[1] === 0 ? 6 : payload[1] === 1 ? 18 : 0
  if (kind === undefined || bytes === 0 || payload.length < 2 + bytes) return null
  const endpoint = payload.subarray(2, 2 + bytes)
  const [peer] = parseCompactPeers(endpoint, 0, bytes === 6 ? 4 : 6)
  if (peer === undefined) return null
  const at = 2 + bytes
  const hasCode = kind === 'error' && payload.length >= at + 4
  const error = hasCode ? new DataView(payload.buffer, payload.byteOffset + at, 4).getUint32(0) : 0
  return { kind, ...peer, error }
}

/** Null when the host is no address. */
export function encodeHolepunch({ kind, host, port, error }: HolepunchMessage): Uint8Array | null {
  const endpoint = writeEndpoint(host, port)
  if (endpoint === null) return null
  const code = { rendezvous: RENDEZVOUS, connect: CONNECT, error: ERROR }[kind]
  const payload = new Uint8Array(2 + endpoint.length + (kind === 'error' ? 4 : 0))
  payload[0] = code
  payload[1] = endpoint.length === 6 ? 0 : 1
  payload.set(endpoint, 2)
  if (kind === 'error') new DataView(payload.buffer).setUint32(2 + endpoint.length, error)
  return payload
}
