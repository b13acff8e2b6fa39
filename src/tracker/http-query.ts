/**
 * The query of /announce and /scrape (BEP 3, 7, 23, 48), read from its escaped bytes in one pass.
 *
 *     info_hash=%A1…&peer_id=…&port=6881&…&key=…
 *     unescaped as it is met | bounds of the values noted | anything else passed over, its escapes checked
 *
 * Parameters are parted by `&` or `;`; `+` is a space; names in any case except `info_hash`; the last of equals
 * counts. Checked in chihaya's order, so the same request fails with the same words. Two deviations: compact answers
 * are the default, because most clients of today send no `compact` or can read nothing else; and the event `paused`
 * (BEP 21) is known.
 *
 * Allocates nothing, throws nothing.
 */
import { readAddress } from './addresses.ts'
import {
  type AnnounceEvent,
  AnnounceRequest,
  EVENT_COMPLETED,
  EVENT_NONE,
  EVENT_STARTED,
  EVENT_STOPPED,
} from './announce.ts'
import { type Failure, failures } from './failures.ts'
import {
  ascii,
  CLASS_OF,
  DELIMITER,
  EQUALS,
  HEX_OF,
  isWord,
  PERCENT,
  PLAIN,
  PLUS,
  STOP,
  startsWith,
  startsWithWord,
} from './http-bytes.ts'

/** Info-hashes answered in one scrape; those beyond are not. */
export const MAX_HTTP_SCRAPE = 74

const HASH_BYTES = 20
const SCRATCH_BYTES = 64

/** A query that was read; one object is filled again and again. */
export class HttpQuery {
  /** Unescaped name or value; longer ones are known by their length alone. */
  readonly scratch: Uint8Array = new Uint8Array(SCRATCH_BYTES)
  readonly announce: AnnounceRequest = new AnnounceRequest()
  /** Those that were given; the last place is for those that are too many. */
  readonly infoHashes: Uint8Array = new Uint8Array(HASH_BYTES * (MAX_HTTP_SCRAPE + 1))
  /** How many there were; at most MAX_HTTP_SCRAPE of them are kept. */
  infoHashCount = 0
  compact = true
  /** What is wrong with escapes or info-hashes: the first of it. */
  failure: Failure | null = null
  /** Bounds of the escaped value of each parameter: start, end; start -1 when absent. */
  readonly values: Int32Array = new Int32Array(2 * 11)
  /** For an address that the query names. */
  readonly address4: Uint8Array = new Uint8Array(4)
  readonly address6: Uint8Array = new Uint8Array(16)
}

const INFO_HASH = ascii('info_hash')
const INFO_HASH_EQUALS = ascii('info_hash=')
const NAMES: readonly Uint8Array[] = [
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
/** By the first two letters of a name (`letters`): which one it may be, -1 none, -2 one of several. */
const BY_LETTERS: Int8Array = new Int8Array(1024).fill(-1)
const SEVERAL = -2
for (const [place, name] of NAMES.entries()) {
  const key = letters(name[0]!, name[1]!)
  BY_LETTERS[key] = BY_LETTERS[key] === -1 ? place : SEVERAL
}

/** The same in upper and lower case. */
function letters(first: number, second: number): number {
  return ((first & 31) << 5) | (second & 31)
}

const EVENT_WORDS: readonly Uint8Array[] = ['', 'none', 'started', 'stopped', 'completed'].map(
  ascii,
)
const EVENT_NUMBERS: readonly AnnounceEvent[] = [
  EVENT_NONE,
  EVENT_NONE,
  EVENT_STARTED,
  EVENT_STOPPED,
  EVENT_COMPLETED,
]
const PAUSED = ascii('paused')
const MAX_U64 = ascii('18446744073709551615')
const MAX_U32 = ascii('4294967295')
const MAX_U16 = ascii('65535')

/**
 * Reads parameters from `bytes[start]` on; returns where the first byte stands that cannot be in a query, or `end`: then
 * more may come, and what was read is not to be used.
 */
export function readQuery(bytes: Uint8Array, start: number, end: number, query: HttpQuery): number {
  query.infoHashCount = 0
  query.failure = null
  const { values } = query
  for (let i = 0; i < values.length; i += 2) values[i] = -1
  let at = start
  while (at < end) {
    const byte = bytes[at]!
    if (CLASS_OF[byte]! >= DELIMITER) {
      if (CLASS_OF[byte] === STOP) return at
      at++
      continue
    }
    if (startsWith(bytes, at, end, INFO_HASH_EQUALS)) {
      at = readInfoHash(bytes, at + INFO_HASH_EQUALS.length, end, query)
      continue
    }
    const name = nameAt(bytes, at, end)
    if (name < 0) {
      at = readOther(bytes, at, end, query)
      continue
    }
    const value = at + NAMES[name]!.length + 1
    at = passValue(bytes, value, end, query)
    values[name * 2] = value
    values[name * 2 + 1] = at
  }
  return at
}

/** Which known name and its `=` stand there, plainly written; -1 for none. */
function nameAt(bytes: Uint8Array, at: number, end: number): number {
  if (at + 1 >= end) return -1
  const which = BY_LETTERS[letters(bytes[at]!, bytes[at + 1]!)]!
  if (which === -1) return -1
  if (which >= 0) return isNameAt(bytes, at, end, which) ? which : -1
  for (let name = FIRST_ADDRESS; name <= LAST_ADDRESS; name++) {
    if (isNameAt(bytes, at, end, name)) return name
  }
  return -1
}

function isNameAt(bytes: Uint8Array, at: number, end: number, name: number): boolean {
  const word = NAMES[name]!
  const equals = at + word.length
  return (
    equals < end && CLASS_OF[bytes[equals]!] === EQUALS && startsWithWord(bytes, at, equals, word)
  )
}

/** A parameter that is unknown, or whose name is escaped or lacks its `=`; returns where it ends. */
function readOther(bytes: Uint8Array, start: number, end: number, query: HttpQuery): number {
  let equals = start
  let isPlain = true
  for (; equals < end; equals++) {
    const kind = CLASS_OF[bytes[equals]!]!
    if (kind === PLAIN) continue
    if (kind === EQUALS || kind >= DELIMITER) break
    isPlain = false
  }
  const hasEquals = equals < end && CLASS_OF[bytes[equals]!] === EQUALS
  // A plain name with `=` would have been known.
  if (isPlain && hasEquals) return passValue(bytes, equals + 1, end, query)
  const nameBytes = unescapeInto(query.scratch, bytes, start, equals)
  if (nameBytes < 0) query.failure ??= failures.invalidEscape
  const value = hasEquals ? equals + 1 : equals
  if (nameBytes === INFO_HASH.length && startsWith(query.scratch, 0, nameBytes, INFO_HASH)) {
    return readInfoHash(bytes, value, end, query)
  }
  const valueEnd = passValue(bytes, value, end, query)
  if (nameBytes > SCRATCH_BYTES) return valueEnd
  for (let name = 0; name < NAMES.length; name++) {
    if (!isWord(query.scratch, 0, nameBytes, NAMES[name]!)) continue
    query.values[name * 2] = value
    query.values[name * 2 + 1] = valueEnd
  }
  return valueEnd
}

/** Where the value ends; its escapes are checked. */
function passValue(bytes: Uint8Array, start: number, end: number, query: HttpQuery): number {
  for (let at = start; at < end; at++) {
    const kind = CLASS_OF[bytes[at]!]!
    if (kind < PERCENT) continue
    if (kind > PERCENT) return at
    // Not whole yet.
    if (at + 2 >= end) return end
    if ((HEX_OF[bytes[at + 1]!]! | HEX_OF[bytes[at + 2]!]!) === 255) {
      query.failure ??= failures.invalidEscape
    } else {
      at += 2
    }
  }
  return end
}

/** Unescapes an info-hash to the others; returns where it ends. */
function readInfoHash(bytes: Uint8Array, start: number, end: number, query: HttpQuery): number {
  const { infoHashes } = query
  const to = Math.min(query.infoHashCount, MAX_HTTP_SCRAPE) * HASH_BYTES
  let length = 0
  let isWrong = false
  let at = start
  for (; at < end; at++) {
    let byte = bytes[at]!
    const kind = CLASS_OF[byte]!
    if (kind >= PLUS) {
      if (kind >= DELIMITER) break
      if (kind === PLUS) {
        byte = 0x20
      } else {
        if (at + 2 >= end) return end
        const high = HEX_OF[bytes[at + 1]!]!
        const low = HEX_OF[bytes[at + 2]!]!
        if ((high | low) === 255) isWrong = true
        else at += 2
        byte = (high << 4) | low
      }
    }
    if (length < HASH_BYTES) infoHashes[to + length] = byte
    length++
  }
  if (isWrong) query.failure ??= failures.invalidEscape
  else if (length !== HASH_BYTES) query.failure ??= failures.invalidInfoHash
  query.infoHashCount++
  return at
}

/**
 * Takes the announce out of a query that was read: the reason to refuse, or null. `remote` is the announcer's address
 * unless the query may name another.
 */
export function takeAnnounce(
  bytes: Uint8Array,
  query: HttpQuery,
  remote: Uint8Array,
  allowIpSpoofing: boolean,
): Failure | null {
  if (query.failure !== null) return query.failure
  const { announce, values } = query
  if (!takeEvent(bytes, query)) return failures.invalidEvent
  query.compact = takeCompact(bytes, query)
  if (query.infoHashCount === 0) return failures.noInfoHash
  if (query.infoHashCount > 1) return failures.manyInfoHashes
  for (let i = 0; i < HASH_BYTES; i++) announce.infoHash[i] = query.infoHashes[i]!
  if (values[PEER_ID * 2]! < 0) return failures.noPeerId
  const idBytes = unescapeInto(
    announce.peerId,
    bytes,
    values[PEER_ID * 2]!,
    values[PEER_ID * 2 + 1]!,
  )
  if (idBytes !== announce.peerId.length) return failures.invalidPeerId
  announce.left = takeNumber(bytes, query, LEFT, MAX_U64)
  if (announce.left < 0) return failures.left
  announce.downloaded = takeNumber(bytes, query, DOWNLOADED, MAX_U64)
  if (announce.downloaded < 0) return failures.downloaded
  announce.uploaded = takeNumber(bytes, query, UPLOADED, MAX_U64)
  if (announce.uploaded < 0) return failures.uploaded
  announce.wanted = takeNumber(bytes, query, NUM_WANT, MAX_U32)
  if (announce.wanted < 0 && isPresent(query, NUM_WANT)) return failures.numWant
  announce.port = takeNumber(bytes, query, PORT, MAX_U16)
  if (announce.port < 0) return failures.port
  announce.address = remote
  if (allowIpSpoofing && !takeAddress(bytes, query)) return failures.address
  return announce.port === 0 ? failures.invalidPort : null
}

/** The reason to refuse a scrape, or null. */
export function scrapeFailure(query: HttpQuery): Failure | null {
  if (query.failure !== null) return query.failure
  return query.infoHashCount === 0 ? failures.noInfoHash : null
}

/** Unescapes as far as there is room; the whole length, or -1 for a wrong escape. */
function unescapeInto(target: Uint8Array, bytes: Uint8Array, start: number, end: number): number {
  let length = 0
  for (let at = start; at < end; at++) {
    let byte = bytes[at]!
    const kind = CLASS_OF[byte]!
    if (kind === PERCENT) {
      if (at + 2 >= end) return -1
      const high = HEX_OF[bytes[at + 1]!]!
      const low = HEX_OF[bytes[at + 2]!]!
      if ((high | low) === 255) return -1
      byte = (high << 4) | low
      at += 2
    } else if (kind === PLUS) {
      byte = 0x20
    }
    if (length < target.length) target[length] = byte
    length++
  }
  return length
}

function isPresent(query: HttpQuery, name: number): boolean {
  return query.values[name * 2]! >= 0
}

/** The value in `scratch`; its length, or -1 when the parameter is absent. */
function takeValue(bytes: Uint8Array, query: HttpQuery, name: number): number {
  if (!isPresent(query, name)) return -1
  return unescapeInto(query.scratch, bytes, query.values[name * 2]!, query.values[name * 2 + 1]!)
}

/** A whole number of at most `limit`, or -1 when absent or none. */
function takeNumber(bytes: Uint8Array, query: HttpQuery, name: number, limit: Uint8Array): number {
  const start = query.values[name * 2]!
  const end = query.values[name * 2 + 1]!
  if (start < 0) return -1
  // Fewer digits than the limit has, as they mostly are.
  if (end > start && end - start < limit.length) {
    let value = 0
    let at = start
    for (; at < end; at++) {
      const digit = bytes[at]! - 0x30
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
    }
    if (at === end) return value
  }
  return takeUnusualNumber(bytes, query, name, limit)
}

/** The same of digits that may be escaped, as many as in `limit` or more. */
function takeUnusualNumber(
  bytes: Uint8Array,
  query: HttpQuery,
  name: number,
  limit: Uint8Array,
): number {
  const length = takeValue(bytes, query, name)
  if (length < 1 || length > limit.length) return -1
  let value = 0
  let order = 0
  for (let i = 0; i < length; i++) {
    const byte = query.scratch[i]!
    if (byte < 0x30 || byte > 0x39) return -1
    value = value * 10 + byte - 0x30
    if (order === 0) order = byte - limit[i]!
  }
  return length === limit.length && order > 0 ? -1 : value
}

function takeEvent(bytes: Uint8Array, query: HttpQuery): boolean {
  const { announce, scratch } = query
  announce.event = EVENT_NONE
  announce.paused = false
  const length = takeValue(bytes, query, EVENT)
  if (length < 0) return true
  for (let i = 0; i < EVENT_WORDS.length; i++) {
    if (!isWord(scratch, 0, length, EVENT_WORDS[i]!)) continue
    announce.event = EVENT_NUMBERS[i]!
    return true
  }
  announce.paused = isWord(scratch, 0, length, PAUSED)
  return announce.paused
}

function takeCompact(bytes: Uint8Array, query: HttpQuery): boolean {
  const length = takeValue(bytes, query, COMPACT)
  return !(length === 1 && query.scratch[0] === 0x30)
}

/** The first address parameter there is; true when none is. */
function takeAddress(bytes: Uint8Array, query: HttpQuery): boolean {
  for (let name = FIRST_ADDRESS; name <= LAST_ADDRESS; name++) {
    const length = takeValue(bytes, query, name)
    if (length < 0) continue
    if (length > SCRATCH_BYTES) return false
    const addressBytes = readAddress(query.scratch, 0, length, query.address6)
    if (addressBytes === 0) return false
    if (addressBytes === 4) for (let i = 0; i < 4; i++) query.address4[i] = query.address6[i]!
    query.announce.address = addressBytes === 4 ? query.address4 : query.address6
    return true
  }
  return true
}
