/**
 * From a message to what is said to its sender and to others, without a socket.
 *
 *     announce   the sender is put into the swarm; it is told interval and counts; its offers go to as many others
 *     answer     goes to the peer that made the offer; the sender is told nothing
 *     scrape     counts of the swarms that are named; never all of them
 *
 * A seeder's offers go to leechers only: two seeders have nothing for each other.
 *
 * Invariants: only who is in a swarm is heard by others of it; an answer goes to one peer, and is as long as it came, so nothing is
 * multiplied; nobody takes a peer id from another address.
 */
import { bytesEqual, fromLatin1, toLatin1 } from '../../base/index.ts'
import { writeDecimal } from '../addresses.ts'
import { AnnounceAnswer, EVENT_COMPLETED, EVENT_STOPPED } from '../announce-request.ts'
import type { Counters } from '../counters.ts'
import { type Failure, failures } from '../failures.ts'
import type { HookList } from '../hooks/hook.ts'
import { MAX_HTTP_SCRAPE } from '../http-query.ts'
import type { RateLimiter } from '../rate-limiter.ts'
import { ACTIONS, OTHER_ACTION } from '../responses.ts'
import type { Arena } from './arena.ts'
import { frameHeadBytes, OP_TEXT, writeFrameHead } from './frames.ts'
import { writeBinary } from './json.ts'
import { MAX_OFFERS, parseSignal, SignalRequest } from './signal-codec.ts'
import type { Member, Participant, Swarms } from './swarms.ts'

/** A connection, as far as messages concern it. */
export interface SignalPeer extends Participant {
  /** 4 or 16 bytes, never IPv4-mapped. */
  readonly address: Uint8Array
  /** What it came with: the path and query of its upgrade, and what is a passkey or a query in it. */
  readonly target: Uint8Array
  readonly queryStart: number
  readonly passkeyStart: number
  readonly passkeyEnd: number
  /** Takes a whole frame, by where it lies in the arena. */
  send(start: number, end: number): void
  /** Somebody doubts that it is still there. */
  challenge(): void
}

export interface SignalPolicy {
  readonly announceIntervalMs: number
  /** Offers of one announce that are passed on; at most MAX_OFFERS. */
  readonly maxOffers: number
  readonly maxScrape: number
  /** Swarms, or peer ids in them, of one connection. */
  readonly maxSwarms: number
  /** In all swarms. */
  readonly maxPeers: number
}

export interface SignalHandlerOptions {
  readonly swarms: Swarms
  readonly policy: SignalPolicy
  readonly hooks: HookList
  readonly counters: Counters
  readonly limiter: RateLimiter | null
  /** Memory for frames. */
  readonly arena: Arena
  /** Second of a clock that never steps, as of now or a little before. */
  second(): number
}

const ANNOUNCE: number = ACTIONS.indexOf('announce')
const SCRAPE: number = ACTIONS.indexOf('scrape')
const ANSWER: number = ACTIONS.indexOf('answer')

const ascii = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'))
const ANNOUNCE_OF = ascii('{"action":"announce","info_hash":"')
const INTERVAL = ascii('","interval":')
const COMPLETE = ascii(',"complete":')
const INCOMPLETE = ascii(',"incomplete":')
const PEER_ID = ascii('","peer_id":"')
const OFFER_ID = ascii('","offer_id":')
const OFFER = ascii(',"offer":')
const ANSWER_KEY = ascii(',"answer":')
const FILES = ascii('{"action":"scrape","files":{')
const FILE_COMPLETE = ascii('":{"complete":')
const FILE_DOWNLOADED = ascii(',"downloaded":')
const FLAGS = ascii('},"flags":{"min_request_interval":')
const FAILED_ANNOUNCE = ascii('{"action":"announce","failure reason":"')
const FAILED_SCRAPE = ascii('{"action":"scrape","failure reason":"')
const WITH_INFO_HASH = ascii('","info_hash":"')

/** An info-hash of which every byte is escaped. */
const MAX_BINARY_BYTES = 120
const MAX_MESSAGE_REPLY_BYTES = 512 + MAX_HTTP_SCRAPE * (MAX_BINARY_BYTES + 96)
const HEAD_ROOM = 4
/** Most connections are in fewer swarms. */
const NEAR_MEMBERS = 4

export class SignalHandler {
  /** Of the last message: index in ACTIONS, and why it failed, or nothing. */
  action: number = OTHER_ACTION
  reason: Failure | '' = ''
  readonly #options: SignalHandlerOptions
  readonly #request = new SignalRequest()
  readonly #answer = new AnnounceAnswer()
  readonly #drawn: Member[] = []
  readonly #out = new Uint8Array(HEAD_ROOM + MAX_MESSAGE_REPLY_BYTES)
  #end = HEAD_ROOM

  constructor(options: SignalHandlerOptions) {
    this.#options = options
  }

  /** Does what a message says. False when it is not JSON at all; then nothing was done or said. */
  handle(bytes: Uint8Array, start: number, end: number, peer: SignalPeer): boolean {
    const request = this.#request
    const { counters, limiter } = this.#options
    const transport = peer.address.length === 4 ? 'ws4' : 'ws6'
    const kind = parseSignal(bytes, start, end, request)
    this.reason = ''
    this.action = OTHER_ACTION
    if (kind === 'malformed') {
      this.reason = failures.malformedMessage
      counters.error(transport, failures.malformedMessage)
      return false
    }
    let failure: Failure | null
    if (kind === 'invalid') {
      failure = request.failure
    } else if (kind === 'answer') {
      this.action = ANSWER
      failure = this.#relayAnswer(bytes, peer)
    } else {
      this.action = kind === 'scrape' ? SCRAPE : ANNOUNCE
      if (limiter !== null && !limiter.allows(peer.address)) {
        counters.transports[transport].limited++
        failure = failures.tooMany
      } else if (kind === 'scrape') {
        counters.transports[transport].scrapes++
        failure = this.#scrape(bytes, peer)
      } else {
        counters.transports[transport].announces++
        failure = this.#announce(bytes, peer)
      }
    }
    if (failure !== null) {
      this.reason = failure
      counters.error(transport, failure)
      this.#fail(failure, peer)
    }
    return true
  }

  /** The answer to what is no message. */
  failMalformed(peer: SignalPeer): void {
    this.#request.hasInfoHash = false
    this.#request.isScrape = false
    this.#fail(failures.malformedMessage, peer)
  }

  #announce(bytes: Uint8Array, peer: SignalPeer): Failure | null {
    const { swarms, hooks, policy } = this.#options
    const { announce, offerCount } = this.#request
    this.#fillContext(bytes, peer)
    const refusal = hooks.approve(announce)
    if (refusal !== null) return refusal
    const own = this.#memberOf(peer)
    const infoHash = own?.swarm.infoHash ?? toLatin1(announce.infoHash)
    const peerId = own?.peerId ?? toLatin1(announce.peerId)
    const known = own ?? swarms.get(infoHash)?.find(peerId)
    if (known !== undefined && known.participant !== peer) {
      const other = known.participant as SignalPeer
      if (!bytesEqual(other.address, peer.address)) {
        other.challenge()
        return failures.peerIdTaken
      }
      // The same client, come back before its old connection was seen to be dead.
      swarms.leave(known)
    }
    let member = known?.participant === peer ? known : undefined
    const isSeeder = announce.left === 0 || announce.event === EVENT_COMPLETED
    if (announce.event === EVENT_STOPPED) {
      if (member !== undefined) swarms.leave(member)
      member = undefined
    } else if (member === undefined) {
      if (peer.members.length >= policy.maxSwarms || swarms.peers >= policy.maxPeers)
        return failures.full
      member = swarms.join(infoHash, peerId, peer, isSeeder)
    } else {
      if (announce.event === EVENT_COMPLETED && !member.isSeeder) member.swarm.completed++
      swarms.setRole(member, isSeeder)
    }
    const answer = this.#answer
    const swarm = member?.swarm ?? swarms.get(infoHash)
    answer.family = peer.address.length === 4 ? 4 : 6
    answer.seeders = swarm?.seeders.length ?? 0
    answer.leechers = swarm?.leechers.length ?? 0
    answer.intervalSeconds = Math.ceil(policy.announceIntervalMs / 1000)
    answer.minIntervalSeconds = answer.intervalSeconds
    answer.peers = 0
    let count = 0
    if (member !== undefined) {
      member.seenSecond = this.#options.second()
      const asked = announce.wanted < 0 ? MAX_OFFERS : announce.wanted
      const wanted = Math.min(offerCount, asked, policy.maxOffers)
      const gives = isSeeder || announce.paused
      count = wanted > 0 ? swarms.draw(member, gives, wanted, this.#drawn) : 0
      answer.peers = count
    }
    hooks.finish(announce, answer)
    this.#begin(ANNOUNCE_OF)
    this.#binary(announce.infoHash, 0)
    const infoHashEnd = this.#end
    this.#bytes(INTERVAL)
    this.#number(answer.intervalSeconds)
    this.#bytes(COMPLETE)
    this.#number(answer.seeders)
    this.#bytes(INCOMPLETE)
    this.#number(answer.leechers)
    this.#finish(peer)
    if (count > 0) this.#relayOffers(bytes, count, infoHashEnd)
    return null
  }

  /** The sender in the swarm that its message names, if it has been there before and in few others: found without a string or a map. */
  #memberOf({ members }: SignalPeer): Member | undefined {
    const { announce } = this.#request
    for (let i = 0; i < members.length && i < NEAR_MEMBERS; i++) {
      const member = members[i]!
      if (!isLatin1(member.swarm.infoHash, announce.infoHash)) continue
      if (isLatin1(member.peerId, announce.peerId)) return member
    }
    return undefined
  }

  /** What hooks look at beside the message itself. */
  #fillContext(bytes: Uint8Array, peer: SignalPeer): void {
    const { announce, jwtStart, jwtEnd } = this.#request
    announce.address = peer.address
    announce.port = 0
    announce.owner = ''
    announce.passkeyStart = peer.passkeyStart
    announce.passkeyEnd = peer.passkeyEnd
    announce.parameters = peer.target
    announce.parametersStart = peer.queryStart
    announce.parametersEnd = peer.target.length
    if (jwtStart < 0) return
    // A token in the message goes before one in the query: a connection is for many torrents, a token for one.
    const token = toLatin1(bytes.subarray(jwtStart, jwtEnd))
    const more = fromLatin1(`&jwt=${/^[\w.-]*$/.test(token) ? token : ''}`)
    announce.parameters = Buffer.concat([peer.target, more])
    announce.parametersEnd = announce.parameters.length
  }

  /** The offers, one to each of those drawn. The info-hash is still written in the scratch. */
  #relayOffers(bytes: Uint8Array, count: number, infoHashEnd: number): void {
    const { announce, offers } = this.#request
    this.#end = infoHashEnd
    this.#bytes(PEER_ID)
    this.#binary(announce.peerId, 0)
    this.#bytes(OFFER_ID)
    for (let n = 0; n < count; n++) {
      const at = n * 4
      this.#relay(
        this.#drawn[n]!.participant as SignalPeer,
        bytes,
        offers[at]!,
        offers[at + 1]!,
        OFFER,
        offers[at + 2]!,
        offers[at + 3]!,
      )
    }
    // Members that leave are not kept alive by having been drawn.
    this.#drawn.length = 0
    this.#options.counters.websocket.offers += count
  }

  #relayAnswer(bytes: Uint8Array, peer: SignalPeer): Failure | null {
    const { swarms, counters } = this.#options
    const { announce, toPeerId, offerIdStart, offerIdEnd, answerStart, answerEnd } = this.#request
    const own = this.#memberOf(peer)
    const swarm = own?.swarm ?? swarms.get(toLatin1(announce.infoHash))
    const sender = own ?? swarm?.find(toLatin1(announce.peerId))
    if (swarm === undefined || sender?.participant !== peer) return failures.notInSwarm
    const target = swarm.find(toLatin1(toPeerId))
    if (target === undefined) {
      counters.websocket.undelivered++
      return null
    }
    this.#begin(ANNOUNCE_OF)
    this.#binary(announce.infoHash, 0)
    this.#bytes(PEER_ID)
    this.#binary(announce.peerId, 0)
    this.#bytes(OFFER_ID)
    const to = target.participant as SignalPeer
    this.#relay(to, bytes, offerIdStart, offerIdEnd, ANSWER_KEY, answerStart, answerEnd)
    counters.websocket.answers++
    return null
  }

  /** Sends a frame of what the scratch holds, then an id and a value as they came. */
  #relay(
    to: SignalPeer,
    bytes: Uint8Array,
    idStart: number,
    idEnd: number,
    key: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void {
    const prefix = this.#end - HEAD_ROOM
    const length = prefix + (idEnd - idStart) + key.length + (valueEnd - valueStart) + 1
    const { arena } = this.#options
    const start = arena.room(frameHeadBytes(length) + length)
    const { memory } = arena
    let at = writeFrameHead(memory, start, OP_TEXT, length)
    at = copyFew(this.#out, HEAD_ROOM, this.#end, memory, at)
    at = copyFew(bytes, idStart, idEnd, memory, at)
    at = copyFew(key, 0, key.length, memory, at)
    memory.set(bytes.subarray(valueStart, valueEnd), at)
    at += valueEnd - valueStart
    memory[at] = 0x7d
    to.send(start, at + 1)
  }

  #scrape(bytes: Uint8Array, peer: SignalPeer): Failure | null {
    const { swarms, policy, hooks } = this.#options
    this.#fillContext(bytes, peer)
    const refusal = hooks.approveScrape(this.#request.announce)
    if (refusal !== null) return refusal
    const { infoHashes, infoHashCount } = this.#request
    const count = Math.min(infoHashCount, policy.maxScrape)
    this.#begin(FILES)
    for (let n = 0; n < count; n++) {
      const swarm = swarms.get(toLatin1(infoHashes.subarray(n * 20, n * 20 + 20)))
      if (n > 0) this.#byte(0x2c)
      this.#byte(0x22)
      this.#binary(infoHashes, n * 20)
      this.#bytes(FILE_COMPLETE)
      this.#number(swarm?.seeders.length ?? 0)
      this.#bytes(FILE_DOWNLOADED)
      this.#number(swarm?.completed ?? 0)
      this.#bytes(INCOMPLETE)
      this.#number(swarm?.leechers.length ?? 0)
      this.#byte(0x7d)
    }
    this.#bytes(FLAGS)
    this.#number(Math.ceil(policy.announceIntervalMs / 1000))
    this.#byte(0x7d)
    this.#finish(peer)
    return null
  }

  /** Says why to who asked, with the info-hash where there was one: clients tell their torrents apart by it. */
  #fail(failure: Failure, peer: SignalPeer): void {
    const { hasInfoHash, isScrape, announce } = this.#request
    this.#begin(isScrape ? FAILED_SCRAPE : FAILED_ANNOUNCE)
    for (let i = 0; i < failure.length; i++) this.#byte(failure.charCodeAt(i))
    if (hasInfoHash) {
      this.#bytes(WITH_INFO_HASH)
      this.#binary(announce.infoHash, 0)
    }
    this.#byte(0x22)
    this.#finish(peer)
  }

  #begin(bytes: Uint8Array): void {
    this.#end = HEAD_ROOM
    this.#bytes(bytes)
  }

  /** Closes the object, and sends it. */
  #finish(peer: SignalPeer): void {
    this.#byte(0x7d)
    const length = this.#end - HEAD_ROOM
    const start = HEAD_ROOM - frameHeadBytes(length)
    writeFrameHead(this.#out, start, OP_TEXT, length)
    const { arena } = this.#options
    const from = arena.room(this.#end - start)
    peer.send(from, copyFew(this.#out, start, this.#end, arena.memory, from))
  }

  #binary(source: Uint8Array, from: number): void {
    this.#end = writeBinary(source, from, 20, this.#out, this.#end)
  }

  #byte(value: number): void {
    this.#out[this.#end++] = value
  }

  #bytes(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) this.#out[this.#end + i] = bytes[i]!
    this.#end += bytes.length
  }

  #number(value: number): void {
    this.#end = writeDecimal(value, this.#out, this.#end)
  }
}

/** Returns the offset behind the copy. A call of the engine for so few bytes would take longer. */
function copyFew(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  offset: number,
): number {
  let at = offset
  for (let i = start; i < end; i++) target[at++] = source[i]!
  return at
}

/** Whether these are the bytes of a text of as many characters. */
function isLatin1(text: string, bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (text.charCodeAt(i) !== bytes[i]) return false
  return true
}
