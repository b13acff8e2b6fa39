/**
 * The query of /announce and /scrape (BEP 3, 7, 23, 48), read from its escaped bytes.
 *
 * Parameters are parted by `&` or `;`; `+` is a space; names in any case except `info_hash`; the last of equals
 * counts. Checked in chihaya's order, so the same request fails with the same words. Two deviations: compact answers
 * are the default, because most clients of today send no `compact` or can read nothing else; and the event `paused`
 * (BEP 21) is known.
 */
import { parseAddress } from './addresses.ts'
import {
  type AnnounceEvent,
  AnnounceRequest,
  EVENT_COMPLETED,
  EVENT_NONE,
  EVENT_STARTED,
  EVENT_STOPPED,
} from './announce.ts'
import { type Failure, failures } from './failures.ts'
import { isWord } from './http-codec.ts'

/** Info-hashes answered in one scrape; those beyond are not. */
export const MAX_HTTP_SCRAPE = 74

const SCRATCH_BYTES = 64

/** A parsed query; one object is filled again and again. */
export class HttpQuery {
  /** Unescaped name or value; longer ones are known by their length alone. */
  readonly scratch: Uint8Array = new Uint8Array(SCRATCH_BYTES)
  readonly announce: AnnounceRequest = new AnnounceRequest()
  readonly infoHashes: Uint8Array = new Uint8Array(20 * MAX_HTTP_SCRAPE)
  /** How many there were; at most MAX_HTTP_SCRAPE of them are kept. */
  infoHashCount = 0
  compact = true
  /** Bounds of the escaped value of each parameter: start, end; start -1 when absent. */
  readonly values: Int32Array = new Int32Array(2 * 11)
}

const ascii = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'))
const INFO_HASH = ascii('info_hash')
const NAMES = [
  'event',
  'compact',
  'peer_id',
  'left',
  'downloaded',
  'uploaded',
  'numwant',
  'port',
  'ip',
  'ipv4',
  'ipv6',
].map(ascii)
const EVENT = 0
const COMPACT = 1
const PEER_ID = 2
const LEFT = 3
const DOWNLOADED = 4
const UPLOADED = 5
const NUM_WANT = 6
const PORT = 7
const FIRST_ADDRESS = 8
const LAST_ADDRESS = 10

const EVENTS: readonly (readonly [Uint8Array, AnnounceEvent])[] = [
  [ascii(''), EVENT_NONE],
  [ascii('none'), EVENT_NONE],
  [ascii('started'), EVENT_STARTED],
  [ascii('stopped'), EVENT_STOPPED],
  [ascii('completed'), EVENT_COMPLETED],
]
const PAUSED = ascii('paused')

/** The reason to refuse, or null. `remote` is the announcer's address unless the query may name another. */
export function parseAnnounceQuery(
  bytes: Uint8Array,
  start: number,
  end: number,
  remote: Uint8Array,
  allowIpSpoofing: boolean,
  query: HttpQuery,
): Failure | null {
  const failure = readParameters(bytes, start, end, query)
  if (failure !== null) return failure
  const { announce } = query
  if (!readEvent(bytes, query)) return failures.invalidEvent
  query.compact = readCompact(bytes, query)
  if (query.infoHashCount === 0) return failures.noInfoHash
  if (query.infoHashCount > 1) return failures.manyInfoHashes
  for (let i = 0; i < 20; i++) announce.infoHash[i] = query.infoHashes[i]!
  const peerIdBytes = readValue(bytes, query, PEER_ID)
  if (peerIdBytes < 0) return failures.noPeerId
  if (peerIdBytes !== 20) return failures.invalidPeerId
  for (let i = 0; i < 20; i++) announce.peerId[i] = query.scratch[i]!
  announce.left = readNumber(bytes, query, LEFT, '18446744073709551615')
  if (announce.left < 0) return failures.left
  announce.downloaded = readNumber(bytes, query, DOWNLOADED, '18446744073709551615')
  if (announce.downloaded < 0) return failures.downloaded
  announce.uploaded = readNumber(bytes, query, UPLOADED, '18446744073709551615')
  if (announce.uploaded < 0) return failures.uploaded
  announce.wanted = readNumber(bytes, query, NUM_WANT, '4294967295')
  if (announce.wanted < 0 && isPresent(query, NUM_WANT)) return failures.numWant
  announce.port = readNumber(bytes, query, PORT, '65535')
  if (announce.port < 0) return failures.port
  announce.address = remote
  announce.parameters = bytes
  announce.parametersStart = start
  announce.parametersEnd = end
  if (allowIpSpoofing && !readAddress(bytes, query)) return failures.address
  return announce.port === 0 ? failures.invalidPort : null
}

export function parseScrapeQuery(
  bytes: Uint8Array,
  start: number,
  end: number,
  query: HttpQuery,
): Failure | null {
  const failure = readParameters(bytes, start, end, query)
  if (failure !== null) return failure
  return query.infoHashCount === 0 ? failures.noInfoHash : null
}

/** Finds the parameters; checks every escape and the length of every info-hash. */
function readParameters(
  bytes: Uint8Array,
  start: number,
  end: number,
  query: HttpQuery,
): Failure | null {
  query.infoHashCount = 0
  query.values.fill(-1)
  for (let from = start; from < end; ) {
    let stop = from
    let equals = -1
    for (; stop < end && bytes[stop] !== 0x26 && bytes[stop] !== 0x3b; stop++) {
      if (bytes[stop] === 0x3d && equals < 0) equals = stop
    }
    const nameEnd = equals < 0 ? stop : equals
    const valueStart = equals < 0 ? stop : equals + 1
    const nameBytes = unescapeInto(query.scratch, bytes, from, nameEnd)
    if (nameBytes < 0) return failures.invalidEscape
    const isInfoHash = isExactly(query.scratch, nameBytes, INFO_HASH)
    if (!isInfoHash && nameBytes <= SCRATCH_BYTES) note(query, nameBytes, valueStart, stop)
    const valueBytes = unescapeInto(query.scratch, bytes, valueStart, stop)
    if (valueBytes < 0) return failures.invalidEscape
    if (isInfoHash) {
      if (valueBytes !== 20) return failures.invalidInfoHash
      if (query.infoHashCount < MAX_HTTP_SCRAPE) {
        const at = query.infoHashCount * 20
        for (let i = 0; i < 20; i++) query.infoHashes[at + i] = query.scratch[i]!
      }
      query.infoHashCount++
    }
    from = stop + 1
  }
  return null
}

function note(query: HttpQuery, nameBytes: number, start: number, end: number): void {
  for (let name = 0; name < NAMES.length; name++) {
    if (!isWord(query.scratch, 0, nameBytes, NAMES[name]!)) continue
    query.values[name * 2] = start
    query.values[name * 2 + 1] = end
    return
  }
}

function isExactly(bytes: Uint8Array, length: number, word: Uint8Array): boolean {
  if (length !== word.length) return false
  for (let i = 0; i < length; i++) if (bytes[i] !== word[i]) return false
  return true
}

/** Unescapes as far as there is room; the whole length, or -1 for a wrong escape. */
function unescapeInto(target: Uint8Array, bytes: Uint8Array, start: number, end: number): number {
  let length = 0
  for (let at = start; at < end; at++) {
    let byte = bytes[at]!
    if (byte === 0x25) {
      if (at + 2 >= end) return -1
      const high = hexDigit(bytes[at + 1]!)
      const low = hexDigit(bytes[at + 2]!)
      if (high < 0 || low < 0) return -1
      byte = (high << 4) | low
      at += 2
    } else if (byte === 0x2b) {
      byte = 0x20
    }
    if (length < target.length) target[length] = byte
    length++
  }
  return length
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

function isPresent(query: HttpQuery, name: number): boolean {
  return query.values[name * 2]! >= 0
}

/** The value in `scratch`; its length, or -1 when the parameter is absent. */
function readValue(bytes: Uint8Array, query: HttpQuery, name: number): number {
  if (!isPresent(query, name)) return -1
  return unescapeInto(query.scratch, bytes, query.values[name * 2]!, query.values[name * 2 + 1]!)
}

/** A whole number of at most `limit`, or -1 when absent or none. */
function readNumber(bytes: Uint8Array, query: HttpQuery, name: number, limit: string): number {
  const length = readValue(bytes, query, name)
  if (length < 1 || length > limit.length) return -1
  let value = 0
  let order = 0
  for (let i = 0; i < length; i++) {
    const byte = query.scratch[i]!
    if (byte < 0x30 || byte > 0x39) return -1
    value = value * 10 + byte - 0x30
    if (order === 0) order = byte - limit.charCodeAt(i)
  }
  return length === limit.length && order > 0 ? -1 : value
}

function readEvent(bytes: Uint8Array, query: HttpQuery): boolean {
  const length = readValue(bytes, query, EVENT)
  query.announce.event = EVENT_NONE
  query.announce.paused = length > 0 && isWord(query.scratch, 0, length, PAUSED)
  if (length < 0 || query.announce.paused) return true
  for (const [word, event] of EVENTS) {
    if (!isWord(query.scratch, 0, length, word)) continue
    query.announce.event = event
    return true
  }
  return false
}

function readCompact(bytes: Uint8Array, query: HttpQuery): boolean {
  const length = readValue(bytes, query, COMPACT)
  return !(length === 1 && query.scratch[0] === 0x30)
}

/** The first address parameter there is; true when none is. */
function readAddress(bytes: Uint8Array, query: HttpQuery): boolean {
  for (let name = FIRST_ADDRESS; name <= LAST_ADDRESS; name++) {
    const length = readValue(bytes, query, name)
    if (length < 0) continue
    if (length > SCRATCH_BYTES) return false
    const address = parseAddress(String.fromCharCode(...query.scratch.subarray(0, length)))
    if (address === null) return false
    query.announce.address = address
    return true
  }
  return true
}
