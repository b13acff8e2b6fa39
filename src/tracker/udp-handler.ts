/**
 * From a packet to its reply, over buffers, without a socket. In two steps, so that a front end that receives many packets at once can take each
 * step for all of them, and have the store fetch what the second will read:
 *
 *     admit    who may be answered: the head, the connection id, the rate limit
 *     answer   the body, the store, the reply
 *
 * Invariants: garbage gets no reply, nor does who asks too often; an address that has not proven itself by a connection id gets no reply
 * larger than its packet, so nobody can be flooded through us.
 */
import { type AddressFamily, COMPACT_BYTES, type PeerStore } from '../peer-store/index.ts'
import { unmapped } from './addresses.ts'
import { AnnounceAnswer, type Announcer, peersThatFit } from './announce.ts'
import type { ConnectionIds } from './connection-id.ts'
import type { Counters, TransportCounters } from './counters.ts'
import { type Failure, failures } from './failures.ts'
import type { HttpRoutes } from './http-routes.ts'
import type { RateLimiter } from './rate-limiter.ts'
import { ACTIONS } from './responses.ts'
import {
  ANNOUNCE_REPLY_BYTES,
  kindOf,
  parseAnnounce,
  parseScrape,
  type UdpKind,
  UdpRequest,
  writeAnnounceReply,
  writeConnectReply,
  writeErrorReply,
  writeScrapeEntry,
  writeScrapeHead,
} from './udp-codec.ts'

/**
 * Largest reply, so that it travels unfragmented: IPv6 must carry 1280 bytes, 48 of which are headers; for IPv4
 * Ethernet's 1500 less 28.
 */
export const MAX_REPLY_BYTES: Readonly<Record<AddressFamily, number>> = { 4: 1472, 6: 1232 }

const CONNECT: number = ACTIONS.indexOf('connect')
const ANNOUNCE: number = ACTIONS.indexOf('announce')
const SCRAPE: number = ACTIONS.indexOf('scrape')
const OTHER: number = ACTIONS.indexOf('other')

/** What becomes of a packet: what it asks for, or that its sender is `unproven` or `limited`. */
export type Admission = UdpKind | 'unproven' | 'limited'

export interface UdpHandlerOptions {
  readonly store: PeerStore
  readonly announcer: Announcer
  readonly connectionIds: ConnectionIds
  readonly counters: Counters
  readonly allowIpSpoofing: boolean
  /** Info-hashes answered in one scrape. Default 74, which is the most. */
  readonly maxScrape?: number
  /** What a path in the URL data of an announce means. Default `/announce` and `/scrape`, so no passkey. */
  readonly routes?: HttpRoutes
  /** Asked about addresses that are proven. Default: everything is allowed. */
  readonly limiter?: RateLimiter | null
}

export class UdpHandler {
  /** The reply of the last `handle`. */
  readonly reply: Uint8Array = new Uint8Array(MAX_REPLY_BYTES[4])
  /** Of the last answer: index in ACTIONS, -1 when it was garbage; and why it failed, or nothing. */
  action = -1
  reason: Failure | '' = ''
  readonly #options: UdpHandlerOptions
  readonly #connectionIds: ConnectionIds
  readonly #limiter: RateLimiter | null
  readonly #counts4: TransportCounters
  readonly #counts6: TransportCounters
  readonly #request = new UdpRequest()
  readonly #answer = new AnnounceAnswer()
  readonly #counts = { seeders: 0, leechers: 0, completed: 0 }
  readonly #infoHash = new Uint8Array(20)

  constructor(options: UdpHandlerOptions) {
    this.#options = options
    this.#connectionIds = options.connectionIds
    this.#limiter = options.limiter ?? null
    this.#counts4 = options.counters.transports.udp4
    this.#counts6 = options.counters.transports.udp6
  }

  /** Both steps for one packet: length of the reply in `this.reply`, 0 for none. */
  handle(packet: Uint8Array, address: Uint8Array): number {
    const { length } = packet
    const admission = this.admit(packet, 0, length, address)
    return this.answer(admission, packet, 0, length, address, this.reply, 0)
  }

  /**
   * What becomes of the packet at `bytes[start…end)`. `address` has 4 or 16 bytes, never IPv4-mapped. Counts the request
   * against the limit of its address. Allocates nothing.
   */
  admit(bytes: Uint8Array, start: number, end: number, address: Uint8Array): Admission {
    const kind = kindOf(bytes, start, end)
    if (kind === 'drop' || kind === 'connect') return kind
    if (!this.#connectionIds.isValid(address, bytes, start)) return 'unproven'
    return this.#limiter === null || this.#limiter.allows(address) ? kind : 'limited'
  }

  /**
   * Writes the reply at `target[at…]`, which has room for MAX_REPLY_BYTES, and returns its length; 0 for none. Without hooks it
   * allocates nothing.
   */
  answer(
    admission: Admission,
    bytes: Uint8Array,
    start: number,
    end: number,
    address: Uint8Array,
    target: Uint8Array,
    at: number,
  ): number {
    const counts = address.length === 4 ? this.#counts4 : this.#counts6
    this.reason = ''
    this.action = OTHER
    switch (admission) {
      case 'announce': {
        const failure = parseAnnounce(bytes, start, end, this.#request)
        if (failure !== null) return this.#fail(failure, bytes, start, address, target, at)
        this.action = ANNOUNCE
        counts.announces++
        return this.#announce(bytes, start, address, target, at)
      }
      case 'scrape': {
        const failure = parseScrape(bytes, start, end, this.#request)
        if (failure !== null) return this.#fail(failure, bytes, start, address, target, at)
        this.action = SCRAPE
        counts.scrapes++
        return this.#scrape(bytes, start, address, target, at)
      }
      case 'connect':
        this.action = CONNECT
        counts.connects++
        this.#connectionIds.issue(address, target, at + 8)
        return writeConnectReply(target, at, bytes, start)
      case 'drop':
        this.action = -1
        counts.dropped++
        return 0
      case 'limited':
        // To answer would cost as much as to serve.
        this.action = actionOf(bytes, start, end)
        counts.limited++
        this.reason = failures.tooMany
        return 0
      case 'unproven': {
        this.action = actionOf(bytes, start, end)
        const reason = failures.badConnectionId
        const length = this.#fail(reason, bytes, start, address, target, at)
        return length <= end - start ? length : 0
      }
      case 'invalid':
        return this.#fail(failures.unknownAction, bytes, start, address, target, at)
    }
  }

  #announce(
    bytes: Uint8Array,
    start: number,
    address: Uint8Array,
    target: Uint8Array,
    at: number,
  ): number {
    const { announce, namedAddress, pathBytes } = this.#request
    const { allowIpSpoofing, announcer, routes } = this.#options
    const answer = this.#answer
    announce.address = address
    // Zeros mean the sender's own; four bytes have no room for an IPv6 address.
    if (allowIpSpoofing && namedAddress.length >= address.length && !isZero(namedAddress)) {
      announce.address = unmapped(namedAddress)
    }
    const family = announce.address.length === 4 ? 4 : 6
    const room = peersThatFit(MAX_REPLY_BYTES[family] - ANNOUNCE_REPLY_BYTES, family)
    announce.owner = ''
    announce.passkeyStart = -1
    if (routes !== undefined && pathBytes > 0) {
      routes.match(announce.parameters, 0, pathBytes)
      announce.passkeyStart = routes.parameterStart
      announce.passkeyEnd = routes.parameterEnd
    }
    const refusal = announcer.announce(announce, answer, target, at + ANNOUNCE_REPLY_BYTES, room)
    if (refusal !== null) return this.#fail(refusal, bytes, start, address, target, at)
    return writeAnnounceReply(
      target,
      at,
      bytes,
      start,
      answer.intervalSeconds,
      answer.leechers,
      answer.seeders,
      answer.peers * COMPACT_BYTES[family],
    )
  }

  #scrape(
    bytes: Uint8Array,
    start: number,
    address: Uint8Array,
    target: Uint8Array,
    at: number,
  ): number {
    // A scrape over UDP carries no path, so no passkey: where one is needed there is none.
    this.#request.announce.passkeyStart = -1
    const refusal = this.#options.announcer.refuseScrape(this.#request.announce)
    if (refusal !== null) return this.#fail(refusal, bytes, start, address, target, at)
    const family = address.length === 4 ? 4 : 6
    const { infoHashes, infoHashCount } = this.#request
    const { maxScrape = infoHashCount, store } = this.#options
    const counts = this.#counts
    let length = writeScrapeHead(target, at, bytes, start)
    for (let n = 0; n < infoHashCount && n < maxScrape; n++) {
      for (let i = 0; i < 20; i++) this.#infoHash[i] = infoHashes[n * 20 + i]!
      store.scrapeSwarm(this.#infoHash, family, counts)
      const { seeders, completed, leechers } = counts
      length += writeScrapeEntry(target, at + length, seeders, completed, leechers)
    }
    return length
  }

  #fail(
    failure: Failure,
    bytes: Uint8Array,
    start: number,
    address: Uint8Array,
    target: Uint8Array,
    at: number,
  ): number {
    this.reason = failure
    this.#options.counters.error(address.length === 4 ? 'udp4' : 'udp6', failure)
    return writeErrorReply(target, at, bytes, start, failure)
  }
}

/** Under which action a request is counted that is refused before it is read. */
function actionOf(bytes: Uint8Array, start: number, end: number): number {
  const kind = kindOf(bytes, start, end)
  return kind === 'announce' ? ANNOUNCE : kind === 'scrape' ? SCRAPE : OTHER
}

function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false
  return true
}
