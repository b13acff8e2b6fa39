/**
 * From a parsed head to the whole answer, over buffers, without a socket.
 *
 *     reply:  … head | d8:complete … 5:peers180: | peers, e
 *                                     byte BODY --^
 *
 * The store writes peers straight to their place; what stands before them depends on what it says, so that is written after
 * them and from right to left, and the head before that. Other bodies begin at BODY. Bodies are canonical bencode.
 *
 * Nothing on the way of an announce or a scrape allocates.
 */
import { type AddressFamily, COMPACT_BYTES, type PeerStore } from '../peer-store/index.ts'
import { writeAddressText, writeDecimal } from './addresses.ts'
import { AnnounceAnswer, type Announcer } from './announce.ts'
import type { TrustedProxies } from './client-address.ts'
import type { Counters } from './counters.ts'
import { type Failure, failures } from './failures.ts'
import { ascii } from './http-bytes.ts'
import {
  type HttpHead,
  MAX_ANSWER_HEAD_BYTES,
  type Persistence,
  reasonOf,
  writeHead,
} from './http-codec.ts'
import { MAX_HTTP_SCRAPE, scrapeFailure, takeAnnounce } from './http-query.ts'
import { HttpRoutes } from './http-routes.ts'
import type { RateLimiter } from './rate-limiter.ts'
import { ACTIONS } from './responses.ts'

/** `d2:ip39:…4:porti65535ee` */
const MAX_PEER_DICTIONARY_BYTES = 64
/** `20:…d8:completei…e10:downloadedi…e10:incompletei…ee` */
const MAX_SCRAPE_ENTRY_BYTES = 112
/** Of failures, greetings and ends. */
const FIXED_BYTES = 512
/** `d8:complete…e11:external ip16:…10:incomplete…e8:interval…e12:min interval…e5:peers0:6:peers6180:` */
const MAX_PREFIX_BYTES = 192
const BODY: number = MAX_ANSWER_HEAD_BYTES + MAX_PREFIX_BYTES

const COMPLETE = ascii('8:completei')
const D_COMPLETE = ascii('d8:completei')
const INCOMPLETE = ascii('e10:incompletei')
const INCOMPLETE_BEHIND_TEXT = INCOMPLETE.subarray(1)
const EXTERNAL_IP = ascii('e11:external ip')
const DOWNLOADED = ascii('e10:downloadedi')
const INTERVAL = ascii('e8:intervali')
const MIN_INTERVAL = ascii('e12:min intervali')
const PEERS = ascii('e5:peers')
const PEERS_LIST = ascii('e5:peersl')
const NO_PEERS_PEERS6 = ascii('e5:peers0:6:peers6')
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
const ANNOUNCE: number = ACTIONS.indexOf('announce')
const SCRAPE: number = ACTIONS.indexOf('scrape')

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
  readonly #announcer: Announcer
  readonly #store: PeerStore
  readonly #counters: Counters
  readonly #limiter: RateLimiter | null
  readonly #allowIpSpoofing: boolean
  readonly #maxWanted: number
  readonly #maxScrape: number
  readonly #externalIp: boolean
  readonly #refusalRetry: number | 'never' | undefined
  /** Peers before they become dictionaries. */
  readonly #peers: Uint8Array
  readonly #answer = new AnnounceAnswer()
  readonly #counts = { seeders: 0, leechers: 0, completed: 0 }
  readonly #infoHash = new Uint8Array(20)
  readonly #order = new Uint8Array(MAX_HTTP_SCRAPE)
  readonly #routes: HttpRoutes
  readonly #proxies: TrustedProxies | null

  constructor(options: HttpHandlerOptions) {
    const { maxWanted, announceRoutes = ['/announce'], scrapeRoutes = ['/scrape'] } = options
    this.#announcer = options.announcer
    this.#store = options.store
    this.#counters = options.counters
    this.#limiter = options.limiter ?? null
    this.#allowIpSpoofing = options.allowIpSpoofing
    this.#maxWanted = maxWanted
    this.#maxScrape = Math.min(options.maxScrape ?? MAX_HTTP_SCRAPE, MAX_HTTP_SCRAPE)
    this.#externalIp = options.externalIp ?? false
    this.#refusalRetry = options.refusalRetry
    this.#routes = new HttpRoutes(announceRoutes, scrapeRoutes)
    const { realIpHeader = '', proxies = null } = options
    this.realIpHeader = realIpHeader === '' ? null : ascii(realIpHeader.toLowerCase())
    this.#proxies = this.realIpHeader === null ? null : proxies
    this.#peers = new Uint8Array(maxWanted * COMPACT_BYTES[6])
    this.reply = new Uint8Array(
      BODY +
        FIXED_BYTES +
        Math.max(maxWanted * MAX_PEER_DICTIONARY_BYTES, MAX_HTTP_SCRAPE * MAX_SCRAPE_ENTRY_BYTES),
    )
  }

  /** Answers a whole request. `remote` has 4 or 16 bytes, never IPv4-mapped. */
  handle(bytes: Uint8Array, head: HttpHead, remote: Uint8Array): void {
    const client = this.#proxies === null ? remote : this.#proxies.clientOf(remote, bytes, head)
    const isIpv4 = (client ?? remote).length === 4
    const { transports } = this.#counters
    const counters = isIpv4 ? transports.http4 : transports.http6
    const persistence = head.keepAlive ? (head.version10 ? 'keep10' : 'keep') : 'close'
    const route = this.#routes.match(bytes, head.pathStart, head.pathEnd)
    this.start = BODY
    this.end = BODY
    this.action = OTHER
    this.family = isIpv4 ? 4 : 6
    this.reason = ''
    let failure: Failure | null = null
    if (route === 'announce' || route === 'scrape') {
      this.action = route === 'announce' ? ANNOUNCE : SCRAPE
      if (client === null) {
        failure = failures.address
      } else if (this.#limiter !== null && !this.#limiter.allows(client)) {
        counters.limited++
        failure = failures.tooMany
      } else if (route === 'announce') {
        counters.announces++
        failure = this.#announce(bytes, head, client)
      } else {
        counters.scrapes++
        failure = this.#scrape(bytes, head, isIpv4 ? 4 : 6)
      }
    } else if (route === 'root') {
      this.#text(GREETING)
    } else {
      this.refuse(404, remote, persistence, false)
      return
    }
    if (failure !== null) this.#fail(failure, isIpv4 ? 'http4' : 'http6')
    this.#finish(200, persistence, false)
  }

  #fail(failure: Failure, transport: 'http4' | 'http6'): void {
    this.reason = failure
    this.#counters.error(transport, failure)
    this.start = BODY
    this.end = BODY
    this.#bytes(FAILURE)
    this.#number(failure.length)
    this.#byte(0x3a)
    this.#text(failure)
    if (failure === failures.tooMany) this.#bytes(RETRY_IN_A_MINUTE)
    else if (REFUSALS.has(failure)) this.#retryIn()
    this.#byte(0x65)
  }

  #retryIn(): void {
    const refusalRetry = this.#refusalRetry
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
    this.#counters.error(transport, `http ${status}`)
    this.start = BODY
    this.end = BODY
    this.#text(`${status} ${reasonOf(status)}\n`)
    this.#finish(status, persistence, isHead)
  }

  /** What hooks look at beside the announce itself. */
  #fillContext(bytes: Uint8Array, head: HttpHead): void {
    const { announce } = head.query
    announce.parameters = bytes
    announce.parametersStart = head.queryStart
    announce.parametersEnd = head.queryEnd
    announce.passkeyStart = this.#routes.parameterStart
    announce.passkeyEnd = this.#routes.parameterEnd
    announce.owner = ''
  }

  #announce(bytes: Uint8Array, head: HttpHead, remote: Uint8Array): Failure | null {
    const { query } = head
    const { announce } = query
    const answer = this.#answer
    const failure = takeAnnounce(bytes, query, remote, this.#allowIpSpoofing)
    if (failure !== null) return failure
    this.#fillContext(bytes, head)
    const { compact } = query
    const target = compact ? this.reply : this.#peers
    const room = this.#maxWanted
    const refusal = this.#announcer.announce(announce, answer, target, compact ? BODY : 0, room)
    if (refusal !== null) return refusal
    if (compact) {
      // BEP 23, BEP 7. `peers` is there even when empty: there are clients that insist.
      const length = answer.peers * COMPACT_BYTES[answer.family]
      this.end += length
      this.#byteBefore(0x3a)
      this.#numberBefore(length)
      this.#bytesBefore(answer.family === 6 ? NO_PEERS_PEERS6 : PEERS)
    } else {
      this.#bytesBefore(PEERS_LIST)
      this.#peerDictionaries()
    }
    this.#byte(0x65)
    this.#numberBefore(answer.minIntervalSeconds)
    this.#bytesBefore(MIN_INTERVAL)
    this.#numberBefore(answer.intervalSeconds)
    this.#bytesBefore(INTERVAL)
    this.#numberBefore(answer.leechers)
    if (this.#externalIp) {
      // What stands before ends a text, so there is no number to end.
      this.#bytesBefore(INCOMPLETE_BEHIND_TEXT)
      this.#bytesBefore(remote)
      this.#byteBefore(0x3a)
      this.#numberBefore(remote.length)
      this.#bytesBefore(EXTERNAL_IP)
    } else {
      this.#bytesBefore(INCOMPLETE)
    }
    this.#numberBefore(answer.seeders)
    this.#bytesBefore(D_COMPLETE)
    return null
  }

  /** BEP 3, without `peer id`: the store does not keep them, and BEP 3's own readers do without. */
  #peerDictionaries(): void {
    const { family, peers } = this.#answer
    const addressBytes = family === 4 ? 4 : 16
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

  #scrape(bytes: Uint8Array, head: HttpHead, family: AddressFamily): Failure | null {
    const counts = this.#counts
    const { query } = head
    const failure = scrapeFailure(query)
    if (failure !== null) return failure
    this.#fillContext(bytes, head)
    const refusal = this.#announcer.refuseScrape(query.announce)
    if (refusal !== null) return refusal
    this.#bytes(FILES)
    const { infoHashes } = query
    const distinct = this.#sortHashes(infoHashes, Math.min(query.infoHashCount, this.#maxScrape))
    for (let n = 0; n < distinct; n++) {
      const from = this.#order[n]! * 20
      for (let i = 0; i < 20; i++) this.#infoHash[i] = infoHashes[from + i]!
      this.#store.scrapeSwarm(this.#infoHash, family, counts)
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
  #sortHashes(hashes: Uint8Array, count: number): number {
    const order = this.#order
    let distinct = 0
    for (let n = 0; n < count; n++) {
      let place = distinct
      let comparison = -1
      while (place > 0) {
        comparison = compareHashes(hashes, order[place - 1]!, n)
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

  #finish(status: number, persistence: Persistence, isHead: boolean): void {
    this.start = writeHead(this.reply, this.start, status, persistence, this.end - this.start)
    if (isHead) this.end = BODY
  }

  #byte(value: number): void {
    this.reply[this.end++] = value
  }

  #bytes(bytes: Uint8Array): void {
    const { reply, end } = this
    for (let i = 0; i < bytes.length; i++) reply[end + i] = bytes[i]!
    this.end = end + bytes.length
  }

  #text(text: string): void {
    for (let i = 0; i < text.length; i++) this.reply[this.end++] = text.charCodeAt(i)
  }

  #number(value: number): void {
    this.end = writeDecimal(value, this.reply, this.end)
  }

  #byteBefore(value: number): void {
    this.reply[--this.start] = value
  }

  #bytesBefore(bytes: Uint8Array): void {
    const { reply } = this
    const start = this.start - bytes.length
    for (let i = 0; i < bytes.length; i++) reply[start + i] = bytes[i]!
    this.start = start
  }

  /** Whole, below 2^31. */
  #numberBefore(value: number): void {
    const { reply } = this
    let { start } = this
    let rest = value
    do {
      const next = (rest / 10) | 0
      reply[--start] = 0x30 + rest - next * 10
      rest = next
    } while (rest > 0)
    this.start = start
  }
}

function compareHashes(hashes: Uint8Array, a: number, b: number): number {
  for (let i = 0; i < 20; i++) {
    const difference = hashes[a * 20 + i]! - hashes[b * 20 + i]!
    if (difference !== 0) return difference
  }
  return 0
}
