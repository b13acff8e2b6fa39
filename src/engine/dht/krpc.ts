/**
 * What nodes of the DHT say to each other (BEP 5, "KRPC Protocol"; BEP 32 for IPv6, BEP 43 for read-only nodes): one
 * bencoded dictionary a datagram.
 *
 * ```
 * query     { t, y: "q", q: method, a: { id, … }, ro }
 * response  { t, y: "r", r: { id, nodes, nodes6, values, token } }
 * error     { t, y: "e", e: [code, message] }
 * ```
 *
 * Invariants: `parseKrpc` throws nothing and keeps nothing of what it was given; what it answers is bounded: ids have 20
 * bytes, ports are 1 to 65535, tokens and transactions at most MAX_TOKEN_BYTES.
 */
import {
  asBytes,
  type BencodeDictionary,
  BencodeError,
  decodeDictionary,
  type Encodable,
  encode,
  getBytes,
  getDictionary,
  getInteger,
  getList,
  getText,
} from '../../bencode/index.ts'
import { parseCompactPeers } from '../announce/compact.ts'
import type { PeerAddress } from '../announce/types.ts'
import { type Contact, ID_BYTES, parseContacts } from './contact.ts'

/** No message is longer: a reply of a hundred peers has 1.3 kB. */
export const MAX_MESSAGE_BYTES = 4096
const MAX_TOKEN_BYTES = 64
const MAX_CONTACTS = 32
const MAX_VALUES = 200
const LIMITS = { ordered: false, depthMax: 5, valuesMax: 512 } as const

export const methods = ['ping', 'find_node', 'get_peers', 'announce_peer'] as const
export type Method = (typeof methods)[number]

/** Codes of errors (BEP 5). */
export const KRPC_GENERIC = 201
export const KRPC_PROTOCOL = 203
export const KRPC_UNKNOWN_METHOD = 204

export interface Query {
  readonly kind: 'query'
  readonly transaction: Uint8Array
  /** Undefined: one that we do not know. */
  readonly method: Method | undefined
  readonly id: Uint8Array
  /** It answers no queries itself (BEP 43). */
  readonly readOnly: boolean
  /** Of find_node; the info-hash of get_peers and announce_peer. */
  readonly target: Uint8Array | undefined
  /** Families of contacts that it wants to be told (BEP 32); empty: the one it asks over. */
  readonly wants: readonly (4 | 6)[]
  /** announce_peer: where the peer listens; undefined: at the port that the query came from. */
  readonly port: number | undefined
  readonly token: Uint8Array | undefined
}

export interface Response {
  readonly kind: 'response'
  readonly transaction: Uint8Array
  readonly id: Uint8Array
  readonly contacts4: readonly Contact[]
  readonly contacts6: readonly Contact[]
  readonly peers: readonly PeerAddress[]
  readonly token: Uint8Array | undefined
}

export interface Failure {
  readonly kind: 'failure'
  readonly transaction: Uint8Array
}

/** Null when it is no message, or one that nothing can be done with. */
export function parseKrpc(bytes: Uint8Array): Query | Response | Failure | null {
  if (bytes.length > MAX_MESSAGE_BYTES) return null
  let message: BencodeDictionary
  try {
    message = decodeDictionary(bytes, LIMITS)
  } catch (error) {
    if (error instanceof BencodeError) return null
    throw error
  }
  const transaction = shortBytes(message, 't')
  if (transaction === undefined) return null
  switch (getText(message, 'y')) {
    case 'q':
      return parseQuery(message, transaction)
    case 'r':
      return parseResponse(message, transaction)
    case 'e':
      return { kind: 'failure', transaction }
    default:
      return null
  }
}

function parseQuery(message: BencodeDictionary, transaction: Uint8Array): Query | null {
  const parameters = getDictionary(message, 'a')
  const name = getText(message, 'q')
  if (parameters === undefined || name === undefined) return null
  const id = idAt(parameters, 'id')
  if (id === undefined) return null
  const implied = getInteger(parameters, 'implied_port') === 1
  const port = getInteger(parameters, 'port')
  const wants = (getList(parameters, 'want') ?? []).map((value) => asBytes(value))
  const wantsFamily = (family: 4 | 6): boolean =>
    wants.some((want) => want?.length === 2 && want[0] === 0x6e && want[1] === 0x30 + family)
  return {
    kind: 'query',
    transaction,
    method: methods.find((method) => method === name),
    id,
    readOnly: getInteger(message, 'ro') === 1,
    target: idAt(parameters, 'target') ?? idAt(parameters, 'info_hash'),
    wants: ([4, 6] as const).filter(wantsFamily),
    port: !implied && port !== undefined && port >= 1 && port <= 65_535 ? port : undefined,
    token: shortBytes(parameters, 'token'),
  }
}

function parseResponse(message: BencodeDictionary, transaction: Uint8Array): Response | null {
  const body = getDictionary(message, 'r')
  const id = body && idAt(body, 'id')
  if (body === undefined || id === undefined) return null
  const contacts = (key: string, family: 4 | 6): Contact[] =>
    parseContacts(getBytes(body, key) ?? new Uint8Array(0), family, MAX_CONTACTS)
  const peers: PeerAddress[] = []
  for (const value of (getList(body, 'values') ?? []).slice(0, MAX_VALUES)) {
    const endpoint = asBytes(value)
    if (endpoint?.length === 6) peers.push(...parseCompactPeers(endpoint, 0, 4))
    else if (endpoint?.length === 18) peers.push(...parseCompactPeers(endpoint, 0, 6))
  }
  return {
    kind: 'response',
    transaction,
    id,
    contacts4: contacts('nodes', 4),
    contacts6: contacts('nodes6', 6),
    peers,
    token: shortBytes(body, 'token'),
  }
}

function idAt(dictionary: BencodeDictionary, key: string): Uint8Array | undefined {
  const id = getBytes(dictionary, key)
  return id?.length === ID_BYTES ? Uint8Array.from(id) : undefined
}

function shortBytes(dictionary: BencodeDictionary, key: string): Uint8Array | undefined {
  const bytes = getBytes(dictionary, key)
  if (bytes === undefined || bytes.length > MAX_TOKEN_BYTES) return undefined
  return Uint8Array.from(bytes)
}

type Parameters = Readonly<Record<string, Encodable | undefined>>

export function encodeQuery(
  transaction: Uint8Array,
  method: Method,
  parameters: Parameters,
  readOnly: boolean,
): Uint8Array {
  return encode({ t: transaction, y: 'q', q: method, a: parameters, ro: readOnly ? 1 : undefined })
}

export function encodeResponse(transaction: Uint8Array, body: Parameters): Uint8Array {
  return encode({ t: transaction, y: 'r', r: body })
}

export function encodeFailure(transaction: Uint8Array, code: number, message: string): Uint8Array {
  return encode({ t: transaction, y: 'e', e: [code, message] })
}
