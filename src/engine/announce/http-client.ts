/**
 * Announces over HTTP (BEP 3; compact peers BEP 23; IPv6 BEP 7; retry in BEP 31): the query and the reply
 * as pure functions, and the request between them.
 */
import { isIP } from 'node:net'
import {
  asBytes,
  asDictionary,
  type BencodeDictionary,
  decodeDictionary,
  getBytes,
  getInteger,
  getList,
  getText,
} from '../../bencode/index.ts'
import type { Network } from '../network.ts'
import { formatAddress, parseAddress } from '../wire/address.ts'
import { MAX_PEERS, parseCompactPeers } from './compact.ts'
import {
  type AnnounceRequest,
  type AnnounceResult,
  announceIntervalMs,
  type PeerAddress,
  printable,
  TrackerError,
} from './types.ts'

const TIMEOUT_MS = 30_000
/** A thousand peers as dictionaries, several times over. */
const MAX_REPLY_BYTES = 1024 * 1024
const LIMITS = { ordered: false, depthMax: 8, valuesMax: 20_000 } as const
const MAX_TRACKER_ID_BYTES = 1024
const STATUS_OK = 200

/** Rejects with a TrackerError. `family` forces the addresses that it is said over. */
export async function announceOverHttp(
  network: Network,
  url: string,
  family: 4 | 6,
  request: AnnounceRequest,
  signal?: AbortSignal,
): Promise<AnnounceResult> {
  const options = { timeoutMs: TIMEOUT_MS, maxBytes: MAX_REPLY_BYTES, family }
  const answer = await network
    .httpGet(announceUrl(url, request), signal === undefined ? options : { ...options, signal })
    .catch((cause: unknown) => {
      throw new TrackerError(cause instanceof Error ? cause.message : 'no answer', { cause })
    })
  return parseHttpReply(answer.status, answer.body)
}

/** The announce URL with its query; one that `url` has already stays as it is. */
export function announceUrl(url: string, request: AnnounceRequest): string {
  const base = url.trim().replace(/#.*$/, '')
  const query = [
    `info_hash=${escapeBytes(request.infoHash)}`,
    `peer_id=${escapeBytes(request.peerId)}`,
    `port=${request.port}`,
    `uploaded=${request.uploaded}`,
    `downloaded=${request.downloaded}`,
    `left=${request.left}`,
    `key=${request.key.toString(16).padStart(8, '0')}`,
    `numwant=${request.numWant}`,
    'compact=1',
    'no_peer_id=1',
  ]
  if (request.event !== 'none') query.push(`event=${request.event}`)
  if (request.trackerId !== undefined) query.push(`trackerid=${escapeBytes(request.trackerId)}`)
  return `${base}${base.includes('?') ? '&' : '?'}${query.join('&')}`
}

/** Every byte but the unreserved ones (RFC 3986) as `%XX`. */
function escapeBytes(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) {
    const character = String.fromCharCode(byte)
    text += /[A-Za-z0-9._~-]/.test(character)
      ? character
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return text
}

/** Throws a TrackerError, with the tracker's reason if it gave one, whatever the status. */
export function parseHttpReply(status: number, body: Uint8Array): AnnounceResult {
  const reply = dictionaryOf(status, body)
  const reason = getText(reply, 'failure reason')
  if (reason !== undefined) {
    const details = { retryAfterMs: retryAfterMs(reply), refused: true }
    throw new TrackerError(printable(reason), details)
  }
  if (status !== STATUS_OK) throw new TrackerError(`HTTP status ${status}`)
  const minIntervalS = getInteger(reply, 'min interval')
  const warning = getText(reply, 'warning message')
  const trackerId = getBytes(reply, 'tracker id')
  return {
    intervalMs: announceIntervalMs(getInteger(reply, 'interval')),
    minIntervalMs: minIntervalS === undefined ? undefined : announceIntervalMs(minIntervalS),
    seeders: count(reply, 'complete'),
    leechers: count(reply, 'incomplete'),
    peers: peersOf(reply),
    warning: warning === undefined ? undefined : printable(warning),
    trackerId:
      trackerId !== undefined && trackerId.length <= MAX_TRACKER_ID_BYTES
        ? Uint8Array.from(trackerId)
        : undefined,
  }
}

function dictionaryOf(status: number, body: Uint8Array): BencodeDictionary {
  try {
    return decodeDictionary(body, LIMITS)
  } catch (cause) {
    const what = status === STATUS_OK ? 'the reply is not bencoded' : `HTTP status ${status}`
    throw new TrackerError(what, { cause })
  }
}

/** BEP 31 in minutes or for good; many trackers send an interval beside their reason instead. */
function retryAfterMs(reply: BencodeDictionary): number | undefined {
  if (getText(reply, 'retry in') === 'never') return Number.POSITIVE_INFINITY
  const minutes = getInteger(reply, 'retry in') ?? Number(getText(reply, 'retry in') ?? Number.NaN)
  if (Number.isSafeInteger(minutes) && minutes > 0) return announceIntervalMs(60 * minutes)
  const seconds = getInteger(reply, 'interval')
  return seconds === undefined ? undefined : announceIntervalMs(seconds)
}

function count(reply: BencodeDictionary, key: string): number | undefined {
  const value = getInteger(reply, key)
  return value !== undefined && value >= 0 ? value : undefined
}

/** Both kinds of `peers`, and `peers6`. */
function peersOf(reply: BencodeDictionary): PeerAddress[] {
  const compact4 = getBytes(reply, 'peers')
  const compact6 = getBytes(reply, 'peers6')
  return [
    ...(compact4 === undefined ? [] : parseCompactPeers(compact4, 0, 4)),
    ...listedPeers(reply),
    ...(compact6 === undefined ? [] : parseCompactPeers(compact6, 0, 6)),
  ].slice(0, MAX_PEERS)
}

/** BEP 3: dictionaries with `ip` and `port`. Names in place of addresses are left out. */
function listedPeers(reply: BencodeDictionary): PeerAddress[] {
  const peers: PeerAddress[] = []
  for (const entry of getList(reply, 'peers') ?? []) {
    const peer = asDictionary(entry)
    const ip = peer && asBytes(peer.get('ip'))
    const port = peer && getInteger(peer, 'port')
    if (ip === undefined || port === undefined || port < 1 || port > 65_535) continue
    const text = String.fromCharCode(...ip.subarray(0, 64))
    const address = isIP(text) === 0 ? null : parseAddress(text)
    if (address === null) continue
    peers.push({ host: formatAddress(address, 0, address.length as 4 | 16), port })
  }
  return peers
}
