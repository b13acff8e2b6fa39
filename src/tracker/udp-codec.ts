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
 * Nothing here allocates or keeps a reference to the packet; nothing throws. Words are read as int32: a number beyond that is an object on the
 * heap wherever the compiler does not inline the function that returns it.
 */
import { readI32BE, readU16BE, writeU32BE } from '../base/index.ts'
import { type AnnounceEvent, AnnounceRequest, EVENT_NONE } from './announce.ts'
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
/** Not of BEP 15: what libtorrent sends for `paused` (BEP 21), once a part of a torrent is all that it wants. */
const EVENT_PAUSED = 4
const OPTION_END = 0
const OPTION_NOP = 1
const OPTION_URL_DATA = 2
/** Path and query that an announce may bring along; a packet that has more is malformed. */
const MAX_URL_BYTES = 8192

/** `drop`: not this protocol, deserves no answer. `invalid`: an action that there is not. */
export type UdpKind = 'drop' | 'connect' | 'announce' | 'scrape' | 'invalid'

/** A parsed packet; one object is filled again and again. */
export class UdpRequest {
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

  constructor() {
    this.namedAddress = this.#named4
  }

  /** Says of which of the two kinds an announce is. */
  set(oldIpv6: boolean): void {
    this.oldIpv6 = oldIpv6
    this.namedAddress = oldIpv6 ? this.#named6 : this.#named4
  }
}

/** What the packet at `bytes[start…end)` wants, by its head alone. */
export function kindOf(bytes: Uint8Array, start: number, end: number): UdpKind {
  if (end - start < UDP_HEADER_BYTES) return 'drop'
  switch (readI32BE(bytes, start + 8)) {
    case ACTION_CONNECT: {
      const isMagic =
        readI32BE(bytes, start) === MAGIC_HIGH && readI32BE(bytes, start + 4) === MAGIC_LOW
      return isMagic ? 'connect' : 'drop'
    }
    case ACTION_ANNOUNCE:
    case ACTION_ANNOUNCE_OLD_IPV6:
      return 'announce'
    case ACTION_SCRAPE:
      return 'scrape'
    default:
      return 'invalid'
  }
}

/** Reads a packet that is an announce by its head; null, or why it is none. */
export function parseAnnounce(
  bytes: Uint8Array,
  start: number,
  end: number,
  request: UdpRequest,
): Failure | null {
  request.set(readI32BE(bytes, start + 8) === ACTION_ANNOUNCE_OLD_IPV6)
  const shift = request.oldIpv6 ? OLD_IPV6_SHIFT : 0
  const { announce } = request
  if (end - start < ANNOUNCE_BYTES + shift) return failures.malformedPacket
  const event = readI32BE(bytes, start + 80)
  if (event < EVENT_NONE || event > EVENT_PAUSED) return failures.malformedEvent
  if (!readOptions(bytes, start + ANNOUNCE_BYTES + shift, end, request)) {
    return failures.malformedPacket
  }
  copy(bytes, start + 16, 20, announce.infoHash)
  copy(bytes, start + 36, 20, announce.peerId)
  announce.downloaded =
    (readI32BE(bytes, start + 56) >>> 0) * 2 ** 32 + (readI32BE(bytes, start + 60) >>> 0)
  announce.uploaded =
    (readI32BE(bytes, start + 72) >>> 0) * 2 ** 32 + (readI32BE(bytes, start + 76) >>> 0)
  announce.paused = event === EVENT_PAUSED
  announce.left =
    (readI32BE(bytes, start + 64) >>> 0) * 2 ** 32 + (readI32BE(bytes, start + 68) >>> 0)
  announce.event = announce.paused ? EVENT_NONE : (event as AnnounceEvent)
  copy(bytes, start + 84, request.namedAddress.length, request.namedAddress)
  const wanted = readI32BE(bytes, start + 92 + shift)
  announce.wanted = wanted < 0 ? -1 : wanted
  announce.port = readU16BE(bytes, start + 96 + shift)
  return announce.port === 0 ? failures.invalidPort : null
}

/**
 * BEP 41: type, length, data; types 0 (end) and 1 (padding) have neither length nor data. URL data is put together, what is not known is
 * skipped, if whole. False when it is not.
 */
function readOptions(bytes: Uint8Array, start: number, end: number, request: UdpRequest): boolean {
  let at = start
  request.urlBytes = 0
  while (at < end) {
    const type = bytes[at++]!
    if (type === OPTION_END) break
    if (type === OPTION_NOP) continue
    if (at === end) return false
    const length = bytes[at++]!
    if (at + length > end) return false
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

/** Reads a packet that is a scrape by its head; null, or why it is none. */
export function parseScrape(
  bytes: Uint8Array,
  start: number,
  end: number,
  request: UdpRequest,
): Failure | null {
  const length = end - start - UDP_HEADER_BYTES
  if (length === 0 || length % 20 !== 0) return failures.malformedPacket
  request.infoHashCount = Math.min(length / 20, MAX_UDP_SCRAPE)
  copy(bytes, start + UDP_HEADER_BYTES, request.infoHashCount * 20, request.infoHashes)
  return null
}

function copy(bytes: Uint8Array, from: number, length: number, target: Uint8Array): void {
  for (let i = 0; i < length; i++) target[i] = bytes[from + i]!
}

/**
 * Each of these writes at `target[offset…]` and returns how many bytes. The transaction id is that of the packet
 * at `request[start…]`.
 */
export function writeConnectReply(
  target: Uint8Array,
  offset: number,
  request: Uint8Array,
  start: number,
): number {
  writeHead(target, offset, ACTION_CONNECT, request, start)
  return UDP_HEADER_BYTES
}

/** The head; `peerBytes` of compact peers stand behind it already. */
export function writeAnnounceReply(
  target: Uint8Array,
  offset: number,
  request: Uint8Array,
  start: number,
  intervalSeconds: number,
  leechers: number,
  seeders: number,
  peerBytes: number,
): number {
  // ACTION_ANNOUNCE, or what it was of old.
  writeHead(target, offset, readI32BE(request, start + 8), request, start)
  writeU32BE(target, offset + 8, intervalSeconds)
  writeU32BE(target, offset + 12, leechers)
  writeU32BE(target, offset + 16, seeders)
  return ANNOUNCE_REPLY_BYTES + peerBytes
}

export function writeScrapeHead(
  target: Uint8Array,
  offset: number,
  request: Uint8Array,
  start: number,
): number {
  writeHead(target, offset, ACTION_SCRAPE, request, start)
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
  return SCRAPE_ENTRY_BYTES
}

export function writeErrorReply(
  target: Uint8Array,
  offset: number,
  request: Uint8Array,
  start: number,
  text: string,
): number {
  writeHead(target, offset, ACTION_ERROR, request, start)
  for (let i = 0; i < text.length; i++) target[offset + 8 + i] = text.charCodeAt(i)
  return 8 + text.length
}

function writeHead(
  target: Uint8Array,
  offset: number,
  action: number,
  request: Uint8Array,
  start: number,
): void {
  writeU32BE(target, offset, action)
  for (let i = 0; i < 4; i++) target[offset + 4 + i] = request[start + 12 + i]!
}
