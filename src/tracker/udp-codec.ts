/**
 * BEP 15, the UDP tracker protocol, as functions over bytes. All numbers are big endian.
 *
 *     connect     0 magic 0x41727101980 (8)   8 action 0   12 transaction id
 *     announce    0 connection id (8)   8 action 1   12 transaction id   16 info-hash (20)   36 peer id (20)
 *                 56 downloaded (8)   64 left (8)   72 uploaded (8)   80 event   84 address   88 key
 *                 92 peers wanted   96 port (2)   98 options (BEP 41) …
 *     announce of old for IPv6: action 4, 16 bytes of address, all behind it 12 bytes later; answered with action 4
 *     scrape      0 connection id (8)   8 action 2   12 transaction id   16 info-hashes (20 each) …
 *
 *     to connect  0 action 0   4 transaction id   8 connection id (8)
 *     to announce 0 action 1   4 transaction id   8 interval   12 leechers   16 seeders   20 peers, compact …
 *     to scrape   0 action 2   4 transaction id   8 seeders, completed, leechers (12 a hash) …
 *     error       0 action 3   4 transaction id   8 text …
 *
 * Nothing here allocates or keeps a reference to the packet; nothing throws.
 */
import { readU16BE, readU32BE, writeU32BE } from '../base/index.ts'
import { type AnnounceEvent, AnnounceRequest, EVENT_STOPPED } from './announce.ts'
import { type Failure, failures } from './failures.ts'

export const UDP_HEADER_BYTES = 16
export const ANNOUNCE_BYTES = 98
export const ANNOUNCE_REPLY_BYTES = 20
export const CONNECTION_ID_BYTES = 8
export const SCRAPE_ENTRY_BYTES = 12
/** Hashes in a scrape of one unfragmented datagram (BEP 15: about 74). Those beyond are not answered. */
export const MAX_UDP_SCRAPE = 74

const MAGIC_HIGH = 0x417
const MAGIC_LOW = 0x27101980
const ACTION_CONNECT = 0
const ACTION_ANNOUNCE = 1
const ACTION_SCRAPE = 2
const ACTION_ERROR = 3
/** Of opentracker's first IPv6, before BEP 15 said that the family is the packet's. */
const ACTION_ANNOUNCE_OLD_IPV6 = 4
const OLD_IPV6_SHIFT = 12
const QUESTION_MARK = 0x3f
const OPTION_END = 0
const OPTION_NOP = 1
const OPTION_URL_DATA = 2
/** Path and query that an announce may bring along; a packet that has more is malformed. */
const MAX_URL_BYTES = 8192

/** `drop`: not this protocol, deserves no answer. `invalid`: see `UdpRequest.failure`. */
export type UdpKind = 'drop' | 'connect' | 'announce' | 'scrape' | 'invalid'

/** A parsed packet; one object is filled again and again. */
export class UdpRequest {
  transactionId = 0
  readonly connectionId: Uint8Array = new Uint8Array(CONNECTION_ID_BYTES)
  readonly announce: AnnounceRequest = new AnnounceRequest()
  /** The address that the announce names, for trackers that allow it: zeros when it names none. */
  namedAddress: Uint8Array
  readonly #named4 = new Uint8Array(4)
  readonly #named6 = new Uint8Array(16)
  /** The announce is one of action 4, and so is its answer. */
  oldIpv6 = false
  /** Info-hashes of a scrape, one behind the other. */
  readonly infoHashes: Uint8Array = new Uint8Array(20 * MAX_UDP_SCRAPE)
  infoHashCount = 0
  /** Path and query that the announce was sent to (BEP 41), the pieces put together. */
  readonly url: Uint8Array = new Uint8Array(MAX_URL_BYTES)
  urlBytes = 0
  /** Of these, what stands before the query. */
  pathBytes = 0
  failure: Failure = failures.malformedPacket

  constructor() {
    this.namedAddress = this.#named4
  }

  /** Says of which of the two kinds an announce is. */
  set(oldIpv6: boolean): void {
    this.oldIpv6 = oldIpv6
    this.namedAddress = oldIpv6 ? this.#named6 : this.#named4
  }
}

export function parseUdp(bytes: Uint8Array, request: UdpRequest): UdpKind {
  if (bytes.length < UDP_HEADER_BYTES) return 'drop'
  const action = readU32BE(bytes, 8)
  request.transactionId = readU32BE(bytes, 12)
  if (action === ACTION_CONNECT) {
    const isMagic = readU32BE(bytes, 0) === MAGIC_HIGH && readU32BE(bytes, 4) === MAGIC_LOW
    return isMagic ? 'connect' : 'drop'
  }
  copy(bytes, 0, CONNECTION_ID_BYTES, request.connectionId)
  if (action === ACTION_ANNOUNCE || action === ACTION_ANNOUNCE_OLD_IPV6) {
    request.set(action === ACTION_ANNOUNCE_OLD_IPV6)
    return parseAnnounce(bytes, request)
  }
  if (action === ACTION_SCRAPE) return parseScrape(bytes, request)
  return invalid(request, failures.unknownAction)
}

function parseAnnounce(bytes: Uint8Array, request: UdpRequest): UdpKind {
  const shift = request.oldIpv6 ? OLD_IPV6_SHIFT : 0
  const { announce } = request
  if (bytes.length < ANNOUNCE_BYTES + shift) return invalid(request, failures.malformedPacket)
  const event = readU32BE(bytes, 80)
  if (event > EVENT_STOPPED) return invalid(request, failures.malformedEvent)
  if (!readOptions(bytes, ANNOUNCE_BYTES + shift, request)) {
    return invalid(request, failures.malformedPacket)
  }
  copy(bytes, 16, 20, announce.infoHash)
  copy(bytes, 36, 20, announce.peerId)
  announce.downloaded = readU32BE(bytes, 56) * 2 ** 32 + readU32BE(bytes, 60)
  announce.uploaded = readU32BE(bytes, 72) * 2 ** 32 + readU32BE(bytes, 76)
  announce.paused = false
  announce.left = readU32BE(bytes, 64) * 2 ** 32 + readU32BE(bytes, 68)
  announce.event = event as AnnounceEvent
  copy(bytes, 84, request.namedAddress.length, request.namedAddress)
  const wanted = readU32BE(bytes, 92 + shift) | 0
  announce.wanted = wanted < 0 ? -1 : wanted
  announce.port = readU16BE(bytes, 96 + shift)
  if (announce.port === 0) return invalid(request, failures.invalidPort)
  return 'announce'
}

/**
 * BEP 41: type, length, data; types 0 (end) and 1 (padding) have neither length nor data. URL data is put together, what is not known is
 * skipped, if whole. False when it is not.
 */
function readOptions(bytes: Uint8Array, start: number, request: UdpRequest): boolean {
  let at = start
  request.urlBytes = 0
  while (at < bytes.length) {
    const type = bytes[at++]!
    if (type === OPTION_END) break
    if (type === OPTION_NOP) continue
    if (at === bytes.length) return false
    const length = bytes[at++]!
    if (at + length > bytes.length) return false
    if (type === OPTION_URL_DATA) {
      if (request.urlBytes + length > MAX_URL_BYTES) return false
      for (let i = 0; i < length; i++) request.url[request.urlBytes + i] = bytes[at + i]!
      request.urlBytes += length
    }
    at += length
  }
  const { announce, url, urlBytes } = request
  let query = 0
  while (query < urlBytes && url[query] !== QUESTION_MARK) query++
  request.pathBytes = query
  announce.parameters = url
  announce.parametersStart = Math.min(query + 1, urlBytes)
  announce.parametersEnd = urlBytes
  return true
}

function parseScrape(bytes: Uint8Array, request: UdpRequest): UdpKind {
  const length = bytes.length - UDP_HEADER_BYTES
  if (length === 0 || length % 20 !== 0) return invalid(request, failures.malformedPacket)
  request.infoHashCount = Math.min(length / 20, MAX_UDP_SCRAPE)
  copy(bytes, UDP_HEADER_BYTES, request.infoHashCount * 20, request.infoHashes)
  return 'scrape'
}

function invalid(request: UdpRequest, failure: Failure): UdpKind {
  request.failure = failure
  return 'invalid'
}

function copy(bytes: Uint8Array, from: number, length: number, target: Uint8Array): void {
  for (let i = 0; i < length; i++) target[i] = bytes[from + i]!
}

/** Each of these writes at `target[0…]` and returns how many bytes. */
export function writeConnectReply(
  target: Uint8Array,
  transactionId: number,
  connectionId: Uint8Array,
): number {
  writeU32BE(target, 0, ACTION_CONNECT)
  writeU32BE(target, 4, transactionId)
  copyInto(target, 8, connectionId)
  return 16
}

/** The head; `peerBytes` of compact peers stand behind it already. */
export function writeAnnounceReply(
  target: Uint8Array,
  transactionId: number,
  intervalSeconds: number,
  leechers: number,
  seeders: number,
  peerBytes: number,
  oldIpv6 = false,
): number {
  writeU32BE(target, 0, oldIpv6 ? ACTION_ANNOUNCE_OLD_IPV6 : ACTION_ANNOUNCE)
  writeU32BE(target, 4, transactionId)
  writeU32BE(target, 8, intervalSeconds)
  writeU32BE(target, 12, leechers)
  writeU32BE(target, 16, seeders)
  return ANNOUNCE_REPLY_BYTES + peerBytes
}

export function writeScrapeHead(target: Uint8Array, transactionId: number): number {
  writeU32BE(target, 0, ACTION_SCRAPE)
  writeU32BE(target, 4, transactionId)
  return 8
}

export function writeScrapeEntry(
  target: Uint8Array,
  offset: number,
  seeders: number,
  completed: number,
  leechers: number,
): number {
  writeU32BE(target, offset, seeders)
  writeU32BE(target, offset + 4, completed)
  writeU32BE(target, offset + 8, leechers)
  return offset + SCRAPE_ENTRY_BYTES
}

export function writeErrorReply(target: Uint8Array, transactionId: number, text: string): number {
  writeU32BE(target, 0, ACTION_ERROR)
  writeU32BE(target, 4, transactionId)
  for (let i = 0; i < text.length; i++) target[8 + i] = text.charCodeAt(i)
  return 8 + text.length
}

function copyInto(target: Uint8Array, offset: number, bytes: Uint8Array): void {
  for (let i = 0; i < bytes.length; i++) target[offset + i] = bytes[i]!
}
