/**
 * From a packet to its reply, over buffers, without a socket.
 *
 * Invariants: garbage gets no reply, nor does who asks too often; an address that has not proven itself by a connection id gets no reply
 * larger than its packet, so nobody can be flooded through us.
 */
import { type AddressFamily, COMPACT_BYTES, type PeerStore } from '../peer-store/index.ts'
import { unmapped } from './addresses.ts'
import { AnnounceAnswer, type Announcer, peersThatFit } from './announce.ts'
import type { ConnectionIds } from './connection-id.ts'
import type { Counters } from './counters.ts'
import { type Failure, failures } from './failures.ts'
import type { HttpRoutes } from './http-routes.ts'
import type { RateLimiter } from './rate-limiter.ts'
import { ACTIONS } from './responses.ts'
import {
  ANNOUNCE_REPLY_BYTES,
  CONNECTION_ID_BYTES,
  parseUdp,
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

const ACTION_OF: Readonly<Record<UdpKind, number>> = {
  drop: -1,
  connect: ACTIONS.indexOf('connect'),
  announce: ACTIONS.indexOf('announce'),
  scrape: ACTIONS.indexOf('scrape'),
  invalid: ACTIONS.indexOf('other'),
}

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
  /** Of the last `handle`: index in ACTIONS, -1 when it was garbage; and why it failed, or nothing. */
  action = -1
  reason: Failure | '' = ''
  readonly #options: UdpHandlerOptions
  readonly #request = new UdpRequest()
  readonly #answer = new AnnounceAnswer()
  readonly #counts = { seeders: 0, leechers: 0, completed: 0 }
  readonly #infoHash = new Uint8Array(20)
  readonly #connectionId = new Uint8Array(CONNECTION_ID_BYTES)

  constructor(options: UdpHandlerOptions) {
    this.#options = options
  }

  /** Length of the reply in `this.reply`; 0 for none. `address` has 4 or 16 bytes, never IPv4-mapped. */
  handle(packet: Uint8Array, address: Uint8Array): number {
    const request = this.#request
    const { connectionIds, counters } = this.#options
    const transport = address.length === 4 ? 'udp4' : 'udp6'
    const kind = parseUdp(packet, request)
    this.action = ACTION_OF[kind]
    this.reason = ''
    if (kind === 'drop') {
      counters.transports[transport].dropped++
      return 0
    }
    if (kind === 'connect') {
      counters.transports[transport].connects++
      connectionIds.issue(address, this.#connectionId)
      return writeConnectReply(this.reply, request.transactionId, this.#connectionId)
    }
    if (!connectionIds.isValid(address, request.connectionId)) {
      const length = this.#fail(transport, failures.badConnectionId)
      return length <= packet.length ? length : 0
    }
    const { limiter = null } = this.#options
    if (limiter !== null && !limiter.allows(address)) {
      // To answer would cost as much as to serve.
      counters.transports[transport].limited++
      this.reason = failures.tooMany
      return 0
    }
    if (kind === 'announce') {
      counters.transports[transport].announces++
      return this.#announce(transport, address)
    }
    if (kind === 'scrape') {
      counters.transports[transport].scrapes++
      return this.#scrape(address.length === 4 ? 4 : 6)
    }
    return this.#fail(transport, request.failure)
  }

  #announce(transport: 'udp4' | 'udp6', address: Uint8Array): number {
    const { announce, namedAddress, transactionId } = this.#request
    const answer = this.#answer
    announce.address = address
    // Zeros mean the sender's own; four bytes have no room for an IPv6 address.
    const { length } = namedAddress
    if (this.#options.allowIpSpoofing && length >= address.length && !isZero(namedAddress)) {
      announce.address = unmapped(namedAddress)
    }
    const family = announce.address.length === 4 ? 4 : 6
    const room = peersThatFit(MAX_REPLY_BYTES[family] - ANNOUNCE_REPLY_BYTES, family)
    const { announcer, routes } = this.#options
    announce.owner = ''
    announce.passkeyStart = -1
    if (routes !== undefined && this.#request.pathBytes > 0) {
      routes.match(announce.parameters, 0, this.#request.pathBytes)
      announce.passkeyStart = routes.parameterStart
      announce.passkeyEnd = routes.parameterEnd
    }
    const refusal = announcer.announce(announce, answer, this.reply, ANNOUNCE_REPLY_BYTES, room)
    if (refusal !== null) return this.#fail(transport, refusal)
    return writeAnnounceReply(
      this.reply,
      transactionId,
      answer.intervalSeconds,
      answer.leechers,
      answer.seeders,
      answer.peers * COMPACT_BYTES[family],
      this.#request.oldIpv6,
    )
  }

  #scrape(family: AddressFamily): number {
    const { infoHashes, infoHashCount, transactionId } = this.#request
    const counts = this.#counts
    let at = writeScrapeHead(this.reply, transactionId)
    const { maxScrape = infoHashCount } = this.#options
    for (let n = 0; n < infoHashCount && n < maxScrape; n++) {
      for (let i = 0; i < 20; i++) this.#infoHash[i] = infoHashes[n * 20 + i]!
      this.#options.store.scrapeSwarm(this.#infoHash, family, counts)
      at = writeScrapeEntry(this.reply, at, counts.seeders, counts.completed, counts.leechers)
    }
    return at
  }

  #fail(transport: 'udp4' | 'udp6', failure: Failure): number {
    this.reason = failure
    this.#options.counters.error(transport, failure)
    return writeErrorReply(this.reply, this.#request.transactionId, failure)
  }
}

function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false
  return true
}
