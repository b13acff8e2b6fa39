/**
 * From a parsed head to the whole answer, over buffers, without a socket.
 *
 *     reply:  … | head, right-aligned to byte 160 | body …
 *
 * The body is written first because its length stands in the head. Bodies are canonical bencode, written directly.
 */
import { type AddressFamily, COMPACT_BYTES, type PeerStore } from '../peer-store/index.ts'
import { writeAddressText, writeDecimal } from './addresses.ts'
import { AnnounceAnswer, type Announcer } from './announce.ts'
import type { TrustedProxies } from './client-address.ts'
import type { Counters } from './counters.ts'
import { type Failure, failures } from './failures.ts'
import {
  type HttpHead,
  MAX_ANSWER_HEAD_BYTES,
  type Persistence,
  reasonOf,
  writeHead,
} from './http-codec.ts'
import { HttpQuery, MAX_HTTP_SCRAPE, parseAnnounceQuery, parseScrapeQuery } from './http-query.ts'
import { type HttpRoute, HttpRoutes } from './http-routes.ts'
import type { RateLimiter } from './rate-limiter.ts'
import { ACTIONS } from './responses.ts'

/** `d2:ip39:…4:porti65535ee` */
const MAX_PEER_DICTIONARY_BYTES = 64
/** `20:…d8:completei…e10:downloadedi…e10:incompletei…ee` */
const MAX_SCRAPE_ENTRY_BYTES = 112
const FIXED_BYTES = 512

const ascii = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'))
const COMPLETE = ascii('8:completei')
const INCOMPLETE = ascii('e10:incompletei')
const INCOMPLETE_BEHIND_TEXT = INCOMPLETE.subarray(1)
const EXTERNAL_IP = ascii('e11:external ip')
const DOWNLOADED = ascii('e10:downloadedi')
const INTERVAL = ascii('e8:intervali')
const MIN_INTERVAL = ascii('e12:min intervali')
const PEERS = ascii('e5:peers')
const NO_PEERS_PEERS6 = ascii('0:6:peers6')
const PEER_IP = ascii('d2:ip')
const PEER_PORT = ascii('4:porti')
const FILES = ascii('d5:filesd')
const HASH = ascii('20:')
const FAILURE = ascii('d14:failure reason')
const RETRY_IN = ascii('8:retry in')
const RETRY_IN_A_MINUTE = ascii('8:retry ini1e')
const NEVER = ascii('5:never')
/** Refusals of an announce that was understood: what may change, and when to ask again. */
const REFUSALS: ReadonlySet<Failure> = new Set([
  failures.missingJwt,
  failures.invalidJwt,
  failures.unapprovedClient,
  failures.unapprovedTorrent,
  failures.missingPasskey,
  failures.invalidPasskey,
])
const GREETING = 'seedbed: a BitTorrent tracker. Announce at /announce, scrape at /scrape.\n'

const OTHER: number = ACTIONS.indexOf('other')
const ACTION_OF: Readonly<Record<HttpRoute, number>> = {
  announce: ACTIONS.indexOf('announce'),
  scrape: ACTIONS.indexOf('scrape'),
  root: OTHER,
  none: OTHER,
}

export interface HttpHandlerOptions {
  readonly store: PeerStore
  readonly announcer: Announcer
  readonly counters: Counters
  readonly allowIpSpoofing: boolean
  readonly maxWanted: number
  /** Default 74, which is the most. */
  readonly maxScrape?: number
  /** Default `/announce` and `/scrape`. */
  readonly announceRoutes?: readonly string[]
  readonly scrapeRoutes?: readonly string[]
  /** The header in which proxies say whose request it is, and which are believed. Default: none. */
  readonly realIpHeader?: string
  readonly proxies?: TrustedProxies | null
  /** Asked about the client of every announce and scrape. Default: everything is allowed. */
  readonly limiter?: RateLimiter | null
  /** Tell clients their address (BEP 24). Default false. */
  readonly externalIp?: boolean
  /** Minutes after which who was refused by a hook may come back, or `never` (BEP 31). Default: not said. */
  readonly refusalRetry?: number | 'never'
}

export class HttpHandler {
  /** The answer of the last call lies at `reply[start…end)`. */
  readonly reply: Uint8Array
  start = 0
  end = 0
  /** Of the last call: index in ACTIONS, the client's family, and why it failed, or nothing. */
  action: number = OTHER
  family: AddressFamily = 4
  reason = ''
  /** Lower case; to be noted in the heads that are given. */
  readonly realIpHeader: Uint8Array | null
  readonly #options: HttpHandlerOptions
  readonly #peers: Uint8Array
  readonly #query = new HttpQuery()
  readonly #answer = new AnnounceAnswer()
  readonly #counts = { seeders: 0, leechers: 0, completed: 0 }
  readonly #infoHash = new Uint8Array(20)
  readonly #order = new Uint8Array(MAX_HTTP_SCRAPE)
  readonly #routes: HttpRoutes
  readonly #proxies: TrustedProxies | null
  readonly #maxScrape: number

  constructor(options: HttpHandlerOptions) {
    const { maxWanted, announceRoutes = ['/announce'], scrapeRoutes = ['/scrape'] } = options
    this.#options = options
    this.#routes = new HttpRoutes(announceRoutes, scrapeRoutes)
    const { realIpHeader = '', proxies = null } = options
    this.realIpHeader = realIpHeader === '' ? null : ascii(realIpHeader.toLowerCase())
    this.#proxies = this.realIpHeader === null ? null : proxies
    this.#maxScrape = Math.min(options.maxScrape ?? MAX_HTTP_SCRAPE, MAX_HTTP_SCRAPE)
    this.#peers = new Uint8Array(maxWanted * COMPACT_BYTES[6])
    this.reply = new Uint8Array(
      MAX_ANSWER_HEAD_BYTES +
        FIXED_BYTES +
        Math.max(maxWanted * MAX_PEER_DICTIONARY_BYTES, MAX_HTTP_SCRAPE * MAX_SCRAPE_ENTRY_BYTES),
    )
  }

  /** Answers a whole request. `remote` has 4 or 16 bytes, never IPv4-mapped. */
  handle(bytes: Uint8Array, head: HttpHead, remote: Uint8Array): void {
    const client = this.#proxies === null ? remote : this.#proxies.clientOf(remote, bytes, head)
    const transport = (client ?? remote).length === 4 ? 'http4' : 'http6'
    const counters = this.#options.counters.transports[transport]
    const persistence = head.keepAlive ? (head.version10 ? 'keep10' : 'keep') : 'close'
    this.end = MAX_ANSWER_HEAD_BYTES
    let failure: Failure | null = null
    const route = this.#routes.match(bytes, head.pathStart, head.pathEnd)
    this.action = ACTION_OF[route]
    this.family = (client ?? remote).length === 4 ? 4 : 6
    this.reason = ''
    if (route === 'announce' || route === 'scrape') {
      const limiter = this.#options.limiter ?? null
      if (client === null) {
        failure = failures.address
      } else if (limiter !== null && !limiter.allows(client)) {
        counters.limited++
        failure = failures.tooMany
      } else if (route === 'announce') {
        counters.announces++
        failure = this.#announce(bytes, head, client)
      } else {
        counters.scrapes++
        failure = this.#scrape(bytes, head, client)
      }
    } else if (route === 'root') {
      this.#text(GREETING)
    } else {
      this.refuse(404, remote, persistence, false)
      return
    }
    if (failure !== null) {
      this.reason = failure
      this.#options.counters.error(transport, failure)
      this.#bytes(FAILURE)
      this.#number(failure.length)
      this.#byte(0x3a)
      this.#text(failure)
      if (failure === failures.tooMany) this.#bytes(RETRY_IN_A_MINUTE)
      else if (REFUSALS.has(failure)) this.#retryIn()
      this.#byte(0x65)
    }
    this.#finish(200, persistence, false)
  }

  #retryIn(): void {
    const { refusalRetry } = this.#options
    if (refusalRetry === undefined) return
    this.#bytes(RETRY_IN)
    if (refusalRetry === 'never') {
      this.#bytes(NEVER)
      return
    }
    this.#byte(0x69)
    this.#number(refusalRetry)
    this.#byte(0x65)
  }

  /** An answer that is a status and its name. */
  refuse(status: number, remote: Uint8Array, persistence: Persistence, isHead: boolean): void {
    const transport = remote.length === 4 ? 'http4' : 'http6'
    this.action = OTHER
    this.family = remote.length === 4 ? 4 : 6
    this.reason = `http ${status}`
    this.#options.counters.error(transport, `http ${status}`)
    this.end = MAX_ANSWER_HEAD_BYTES
    this.#text(`${status} ${reasonOf(status)}\n`)
    this.#finish(status, persistence, isHead)
  }

  #announce(bytes: Uint8Array, head: HttpHead, remote: Uint8Array): Failure | null {
    const query = this.#query
    const answer = this.#answer
    const { announcer, allowIpSpoofing, maxWanted } = this.#options
    const { queryStart, queryEnd } = head
    const failure = parseAnnounceQuery(bytes, queryStart, queryEnd, remote, allowIpSpoofing, query)
    if (failure !== null) return failure
    query.announce.passkeyStart = this.#routes.parameterStart
    query.announce.passkeyEnd = this.#routes.parameterEnd
    query.announce.owner = ''
    const refusal = announcer.announce(query.announce, answer, this.#peers, 0, maxWanted)
    if (refusal !== null) return refusal
    this.#byte(0x64)
    this.#bytes(COMPLETE)
    this.#number(answer.seeders)
    if (this.#options.externalIp === true) {
      this.#bytes(EXTERNAL_IP)
      this.#number(remote.length)
      this.#byte(0x3a)
      this.#bytes(remote)
      // What follows ends a number; here there is none to end.
      this.#bytes(INCOMPLETE_BEHIND_TEXT)
    } else {
      this.#bytes(INCOMPLETE)
    }
    this.#number(answer.leechers)
    this.#bytes(INTERVAL)
    this.#number(answer.intervalSeconds)
    this.#bytes(MIN_INTERVAL)
    this.#number(answer.minIntervalSeconds)
    this.#bytes(PEERS)
    if (query.compact) this.#compactPeers()
    else this.#peerDictionaries()
    this.#byte(0x65)
    return null
  }

  /** BEP 23, BEP 7. `peers` is there even when empty: there are clients that insist. */
  #compactPeers(): void {
    const { family, peers } = this.#answer
    if (family === 6) this.#bytes(NO_PEERS_PEERS6)
    const length = peers * COMPACT_BYTES[family]
    this.#number(length)
    this.#byte(0x3a)
    for (let i = 0; i < length; i++) this.reply[this.end + i] = this.#peers[i]!
    this.end += length
  }

  /** BEP 3, without `peer id`: the store does not keep them, and BEP 3's own readers do without. */
  #peerDictionaries(): void {
    const { family, peers } = this.#answer
    const addressBytes = family === 4 ? 4 : 16
    this.#byte(0x6c)
    for (let i = 0; i < peers; i++) {
      const at = i * COMPACT_BYTES[family]
      this.#bytes(PEER_IP)
      // Two digits of length always suffice for the place, one may be too many: the text goes first, behind them.
      const textEnd = writeAddressText(this.#peers, at, addressBytes, this.reply, this.end + 3)
      const length = textEnd - this.end - 3
      const digits = length < 10 ? 1 : 2
      if (digits === 1) this.reply.copyWithin(this.end + 2, this.end + 3, textEnd)
      writeDecimal(length, this.reply, this.end)
      this.reply[this.end + digits] = 0x3a
      this.end += digits + 1 + length
      this.#bytes(PEER_PORT)
      this.#number((this.#peers[at + addressBytes]! << 8) | this.#peers[at + addressBytes + 1]!)
      this.#byte(0x65)
      this.#byte(0x65)
    }
    this.#byte(0x65)
  }

  #scrape(bytes: Uint8Array, head: HttpHead, remote: Uint8Array): Failure | null {
    const query = this.#query
    const counts = this.#counts
    const failure = parseScrapeQuery(bytes, head.queryStart, head.queryEnd, query)
    if (failure !== null) return failure
    const family = remote.length === 4 ? 4 : 6
    this.#bytes(FILES)
    const distinct = this.#sortHashes(Math.min(query.infoHashCount, this.#maxScrape))
    for (let n = 0; n < distinct; n++) {
      const from = this.#order[n]! * 20
      for (let i = 0; i < 20; i++) this.#infoHash[i] = query.infoHashes[from + i]!
      this.#options.store.scrapeSwarm(this.#infoHash, family, counts)
      this.#bytes(HASH)
      this.#bytes(this.#infoHash)
      this.#byte(0x64)
      this.#bytes(COMPLETE)
      this.#number(counts.seeders)
      this.#bytes(DOWNLOADED)
      this.#number(counts.completed)
      this.#bytes(INCOMPLETE)
      this.#number(counts.leechers)
      this.#byte(0x65)
      this.#byte(0x65)
    }
    this.#byte(0x65)
    this.#byte(0x65)
    return null
  }

  /** Keys of a dictionary are sorted and different: fills `#order`, returns how many are left. */
  #sortHashes(count: number): number {
    const order = this.#order
    let distinct = 0
    for (let n = 0; n < count; n++) {
      let place = distinct
      let comparison = -1
      while (place > 0) {
        comparison = this.#compareHashes(order[place - 1]!, n)
        if (comparison <= 0) break
        place--
      }
      if (place > 0 && comparison === 0) continue
      order.copyWithin(place + 1, place, distinct)
      order[place] = n
      distinct++
    }
    return distinct
  }

  #compareHashes(a: number, b: number): number {
    const hashes = this.#query.infoHashes
    for (let i = 0; i < 20; i++) {
      const difference = hashes[a * 20 + i]! - hashes[b * 20 + i]!
      if (difference !== 0) return difference
    }
    return 0
  }

  #finish(status: number, persistence: Persistence, isHead: boolean): void {
    const length = this.end - MAX_ANSWER_HEAD_BYTES
    const headBytes = writeHead(this.reply, status, persistence, length)
    this.start = MAX_ANSWER_HEAD_BYTES - headBytes
    this.reply.copyWithin(this.start, 0, headBytes)
    if (isHead) this.end = MAX_ANSWER_HEAD_BYTES
  }

  #byte(value: number): void {
    this.reply[this.end++] = value
  }

  #bytes(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) this.reply[this.end + i] = bytes[i]!
    this.end += bytes.length
  }

  #text(text: string): void {
    for (let i = 0; i < text.length; i++) this.reply[this.end++] = text.charCodeAt(i)
  }

  #number(value: number): void {
    this.end = writeDecimal(value, this.reply, this.end)
  }
}
