/**
 * The messages of WebTorrent signalling, as the public trackers speak them: JSON, in which info-hashes, peer ids and offer ids are
 * binary strings (one character from U+0000 to U+00FF a byte).
 *
 *     in    {action: "announce", info_hash, peer_id, numwant, uploaded, downloaded, left, event, offers: [{offer, offer_id}]}
 *           {action: "announce", info_hash, peer_id, to_peer_id, answer, offer_id}
 *           {action: "scrape", info_hash: one or several}
 *     out   {action: "announce", info_hash, interval, complete, incomplete}
 *           {action: "announce", info_hash, peer_id, offer_id, offer}     to others
 *           {action: "announce", info_hash, peer_id, offer_id, answer}    to one
 *           {action: "scrape", files: {…: {complete, downloaded, incomplete}}, flags: {min_request_interval}}
 *           {action, "failure reason", info_hash}
 *
 * Messages are read in place, in one pass. Offers and answers are not looked into: they are checked to be JSON, and passed on byte by
 * byte. Keys that are not known are passed over; of equal keys the last counts.
 */
import {
  type AnnounceEvent,
  AnnounceRequest,
  EVENT_COMPLETED,
  EVENT_NONE,
  EVENT_STARTED,
  EVENT_STOPPED,
} from '../announce-request.ts'
import { type Failure, failures } from '../failures.ts'
import { MAX_HTTP_SCRAPE } from '../http-query.ts'
import { numberOf, readBinary, skipSpace, skipString, skipValue } from './json.ts'

/** Offers that one announce may carry to others; those beyond are left out. */
export const MAX_OFFERS = 32
/** An offer id, with its quotes; clients send 20 bytes, which may all be escaped. */
const MAX_OFFER_ID_BYTES = 160

export type SignalKind = 'announce' | 'answer' | 'scrape' | 'invalid' | 'malformed'

/** A parsed message; one object is filled again and again. */
export class SignalRequest {
  readonly announce: AnnounceRequest = new AnnounceRequest()
  readonly toPeerId: Uint8Array = new Uint8Array(20)
  /** Bounds of the id (with quotes) and the offer of each: four numbers. */
  readonly offers: Int32Array = new Int32Array(4 * MAX_OFFERS)
  offerCount = 0
  answerStart = 0
  answerEnd = 0
  offerIdStart = 0
  offerIdEnd = 0
  readonly infoHashes: Uint8Array = new Uint8Array(20 * MAX_HTTP_SCRAPE)
  /** Of a scrape; at most MAX_HTTP_SCRAPE of them are kept. */
  infoHashCount = 0
  /** Bounds of a token in the message, without quotes; start -1 when there is none. */
  jwtStart = -1
  jwtEnd = -1
  /** When the kind is `invalid`. */
  failure: Failure = failures.unknownAction
  /** When the kind is `invalid`: there is an info-hash to answer with, and whether it is a scrape that failed. */
  hasInfoHash = false
  isScrape = false
}

const KEYS = [
  'action',
  'info_hash',
  'peer_id',
  'offers',
  'left',
  'event',
  'numwant',
  'uploaded',
  'downloaded',
  'to_peer_id',
  'answer',
  'offer_id',
  'jwt',
] as const
const KEY_BYTES: readonly Uint8Array[] = KEYS.map((key) => new Uint8Array(Buffer.from(key)))
const [ACTION, INFO_HASH, PEER_ID, OFFERS, LEFT, EVENT, NUM_WANT, UPLOADED, DOWNLOADED] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8,
] as const
const [TO_PEER_ID, ANSWER, OFFER_ID, JWT] = [9, 10, 11, 12] as const
const OFFER_KEY = new Uint8Array(Buffer.from('offer'))

/** Bounds of the values of the message being read; one message is read at a time. */
const values = new Int32Array(2 * KEYS.length)
const QUOTE = 0x22

/** Reads one message. Allocates nothing, throws nothing. */
export function parseSignal(
  bytes: Uint8Array,
  start: number,
  end: number,
  request: SignalRequest,
): SignalKind {
  request.offerCount = 0
  if (!readMembers(bytes, start, end, request)) return 'malformed'
  request.hasInfoHash = false
  request.isScrape = false
  request.jwtStart = -1
  const action = actionOf(bytes)
  if (action === 0) return invalid(request, failures.unknownAction)
  if (action === 2) return readScrape(bytes, request)
  const { announce } = request
  if (!readId(bytes, INFO_HASH, announce.infoHash)) {
    return invalid(
      request,
      values[INFO_HASH * 2]! < 0 ? failures.noInfoHash : failures.invalidInfoHash,
    )
  }
  request.hasInfoHash = true
  if (!readId(bytes, PEER_ID, announce.peerId)) {
    return invalid(request, values[PEER_ID * 2]! < 0 ? failures.noPeerId : failures.invalidPeerId)
  }
  if (isText(bytes, JWT)) {
    request.jwtStart = values[JWT * 2]! + 1
    request.jwtEnd = values[JWT * 2 + 1]! - 1
  }
  if (isGiven(bytes, ANSWER)) return readAnswer(bytes, request)
  return readAnnounce(bytes, request)
}

function invalid(request: SignalRequest, failure: Failure): 'invalid' {
  request.failure = failure
  return 'invalid'
}

function readMembers(
  bytes: Uint8Array,
  start: number,
  end: number,
  request: SignalRequest,
): boolean {
  values.fill(-1)
  let at = skipSpace(bytes, start, end)
  if (at >= end || bytes[at] !== 0x7b) return false
  at = skipSpace(bytes, at + 1, end)
  if (at < end && bytes[at] === 0x7d) return skipSpace(bytes, at + 1, end) === end
  for (;;) {
    const keyEnd = skipString(bytes, at, end)
    if (keyEnd < 0) return false
    const key = keyOf(bytes, at + 1, keyEnd - 1)
    at = skipSpace(bytes, keyEnd, end)
    if (at >= end || bytes[at] !== 0x3a) return false
    at = skipSpace(bytes, at + 1, end)
    const hasOffers = key === OFFERS && at < end && bytes[at] === 0x5b
    const valueEnd = hasOffers ? readOffers(bytes, at, end, request) : skipValue(bytes, at, end)
    if (valueEnd < 0) return false
    if (key >= 0) {
      values[key * 2] = at
      values[key * 2 + 1] = valueEnd
    }
    at = skipSpace(bytes, valueEnd, end)
    if (at >= end) return false
    if (bytes[at] === 0x7d) return skipSpace(bytes, at + 1, end) === end
    if (bytes[at] !== 0x2c) return false
    at = skipSpace(bytes, at + 1, end)
  }
}

function keyOf(bytes: Uint8Array, start: number, end: number): number {
  for (let key = 0; key < KEY_BYTES.length; key++) {
    if (isBytes(bytes, start, end, KEY_BYTES[key]!)) return key
  }
  return -1
}

function isBytes(bytes: Uint8Array, start: number, end: number, word: Uint8Array): boolean {
  if (end - start !== word.length) return false
  for (let i = 0; i < word.length; i++) if (bytes[start + i] !== word[i]) return false
  return true
}

function isText(bytes: Uint8Array, key: number): boolean {
  const start = values[key * 2]!
  return start >= 0 && bytes[start] === QUOTE
}

/** An object or a text: `null` and the like are how some clients say nothing. */
function isGiven(bytes: Uint8Array, key: number): boolean {
  const start = values[key * 2]!
  return start >= 0 && (bytes[start] === 0x7b || bytes[start] === QUOTE)
}

function readId(bytes: Uint8Array, key: number, target: Uint8Array): boolean {
  if (!isText(bytes, key)) return false
  return readBinary(bytes, values[key * 2]!, values[key * 2 + 1]!, target, 0, 20) === 20
}

const word = (text: string): Uint8Array => new Uint8Array(Buffer.from(`"${text}"`))
const ANNOUNCE_WORD = word('announce')
const SCRAPE_WORD = word('scrape')
const EVENT_WORDS: readonly (readonly [Uint8Array, AnnounceEvent, boolean])[] = [
  [word(''), EVENT_NONE, false],
  [word('started'), EVENT_STARTED, false],
  [word('completed'), EVENT_COMPLETED, false],
  [word('stopped'), EVENT_STOPPED, false],
  [word('update'), EVENT_NONE, false],
  [word('paused'), EVENT_NONE, true],
]

/** 1 announce, 2 scrape, 0 neither. */
function actionOf(bytes: Uint8Array): number {
  const [start, end] = [values[ACTION * 2]!, values[ACTION * 2 + 1]!]
  if (start < 0) return 0
  if (isBytes(bytes, start, end, ANNOUNCE_WORD)) return 1
  return isBytes(bytes, start, end, SCRAPE_WORD) ? 2 : 0
}

function readAnnounce(bytes: Uint8Array, request: SignalRequest): SignalKind {
  const { announce } = request
  announce.event = EVENT_NONE
  announce.paused = false
  if (isText(bytes, EVENT)) {
    let known = false
    for (let i = 0; i < EVENT_WORDS.length && !known; i++) {
      const [text, event, paused] = EVENT_WORDS[i]!
      if (!isBytes(bytes, values[EVENT * 2]!, values[EVENT * 2 + 1]!, text)) continue
      known = true
      announce.event = event
      announce.paused = paused
    }
    if (!known) return invalid(request, failures.invalidEvent)
  }
  // A magnet link does not know what is left: clients then say null, or nothing.
  announce.left = readCount(bytes, LEFT, Number.MAX_SAFE_INTEGER)
  announce.uploaded = readCount(bytes, UPLOADED, 0)
  announce.downloaded = readCount(bytes, DOWNLOADED, 0)
  announce.wanted = readCount(bytes, NUM_WANT, -1)
  return 'announce'
}

function readCount(bytes: Uint8Array, key: number, absent: number): number {
  const start = values[key * 2]!
  if (start < 0 || bytes[start]! < 0x30 || bytes[start]! > 0x39) return absent
  return Math.min(Math.floor(numberOf(bytes, start, values[key * 2 + 1]!)), Number.MAX_SAFE_INTEGER)
}

/** Behind the list of offers at `from`; -1 when it is not JSON. Notes what an offer is made of on the way: most of a message is this. */
function readOffers(bytes: Uint8Array, from: number, end: number, request: SignalRequest): number {
  request.offerCount = 0
  let at = skipSpace(bytes, from + 1, end)
  if (at < end && bytes[at] === 0x5d) return at + 1
  for (;;) {
    const isObject = at < end && bytes[at] === 0x7b
    const behind = isObject ? readOffer(bytes, at, end, request) : skipValue(bytes, at, end)
    if (behind < 0) return -1
    at = skipSpace(bytes, behind, end)
    if (at >= end) return -1
    if (bytes[at] === 0x5d) return at + 1
    if (bytes[at] !== 0x2c) return -1
    at = skipSpace(bytes, at + 1, end)
  }
}

/** Behind one offer, or -1; it is kept if it has what an offer has, and there is room. */
function readOffer(bytes: Uint8Array, from: number, end: number, request: SignalRequest): number {
  let [idStart, idEnd, offerStart, offerEnd] = [-1, -1, -1, -1]
  let at = skipSpace(bytes, from + 1, end)
  while (at < end && bytes[at] !== 0x7d) {
    const keyEnd = skipString(bytes, at, end)
    if (keyEnd < 0) return -1
    const isId = isBytes(bytes, at + 1, keyEnd - 1, KEY_BYTES[OFFER_ID]!)
    const isOffer = isBytes(bytes, at + 1, keyEnd - 1, OFFER_KEY)
    at = skipSpace(bytes, keyEnd, end)
    if (at >= end || bytes[at] !== 0x3a) return -1
    at = skipSpace(bytes, at + 1, end)
    const valueEnd = skipValue(bytes, at, end)
    if (valueEnd < 0) return -1
    if (isId) {
      idStart = at
      idEnd = valueEnd
    } else if (isOffer) {
      offerStart = at
      offerEnd = valueEnd
    }
    at = skipSpace(bytes, valueEnd, end)
    if (at >= end) return -1
    if (bytes[at] === 0x7d) break
    if (bytes[at] !== 0x2c) return -1
    at = skipSpace(bytes, at + 1, end)
    // A comma wants another member behind it.
    if (at < end && bytes[at] === 0x7d) return -1
  }
  if (at >= end) return -1
  const { offers, offerCount } = request
  if (offerCount < MAX_OFFERS && offerStart >= 0 && isOfferId(bytes, idStart, idEnd)) {
    offers[offerCount * 4] = idStart
    offers[offerCount * 4 + 1] = idEnd
    offers[offerCount * 4 + 2] = offerStart
    offers[offerCount * 4 + 3] = offerEnd
    request.offerCount++
  }
  return at + 1
}

function isOfferId(bytes: Uint8Array, start: number, end: number): boolean {
  return start >= 0 && bytes[start] === QUOTE && end - start <= MAX_OFFER_ID_BYTES
}

function readAnswer(bytes: Uint8Array, request: SignalRequest): SignalKind {
  if (!readId(bytes, TO_PEER_ID, request.toPeerId)) return invalid(request, failures.toPeerId)
  request.offerIdStart = values[OFFER_ID * 2]!
  request.offerIdEnd = values[OFFER_ID * 2 + 1]!
  if (!isOfferId(bytes, request.offerIdStart, request.offerIdEnd)) {
    return invalid(request, failures.offerId)
  }
  request.answerStart = values[ANSWER * 2]!
  request.answerEnd = values[ANSWER * 2 + 1]!
  return 'answer'
}

function readScrape(bytes: Uint8Array, request: SignalRequest): SignalKind {
  request.isScrape = true
  request.infoHashCount = 0
  const [start, end] = [values[INFO_HASH * 2]!, values[INFO_HASH * 2 + 1]!]
  if (start >= 0 && bytes[start] === QUOTE) {
    if (!keepInfoHash(bytes, start, end, request)) return invalid(request, failures.invalidInfoHash)
  } else if (start >= 0 && bytes[start] === 0x5b) {
    let at = skipSpace(bytes, start + 1, end)
    while (bytes[at] !== 0x5d && request.infoHashCount < MAX_HTTP_SCRAPE) {
      const valueEnd = skipValue(bytes, at, end)
      if (!keepInfoHash(bytes, at, valueEnd, request)) {
        return invalid(request, failures.invalidInfoHash)
      }
      at = skipSpace(bytes, valueEnd, end)
      if (bytes[at] === 0x2c) at = skipSpace(bytes, at + 1, end)
    }
  }
  return request.infoHashCount === 0 ? invalid(request, failures.noInfoHash) : 'scrape'
}

function keepInfoHash(
  bytes: Uint8Array,
  start: number,
  end: number,
  request: SignalRequest,
): boolean {
  if (bytes[start] !== QUOTE) return false
  const offset = request.infoHashCount * 20
  if (readBinary(bytes, start, end, request.infoHashes, offset, 20) !== 20) return false
  request.infoHashCount++
  return true
}
