/**
 * What becomes of connections of HTTP: their phases, their deadlines and what they have said so far. No I/O: a front end says what came,
 * and sends what it is told to (HttpTransport). What is said is http-handler.ts.
 *
 *                 PROXY header            a part of a head                  whole request, closes
 *     PREAMBLE ------------------> IDLE <==================> HEAD --------------------------------> ENDING
 *                                   ^    its rest, answered   |
 *                                   +------- WRITING <--------+  (answers that do not leave)
 *
 * A connection is a number, its slot, and a few bytes in arrays by slot: ten thousand idle ones cost some hundred
 * kilobytes. Each has one deadline at a time: to begin a request (idle), to finish a head, to take what was written. One sweep
 * a second cuts those past it off, so none has a timer.
 *
 * At the limit who is idle makes room for who comes, as if its time had run out: connections that are kept for nothing keep nobody out.
 *
 * Invariants: a slot is FREE or its front end holds a connection for it; a connection keeps at most one incomplete head plus what
 * came with it in one read; while its answers do not leave, nothing more of it is answered. Bytes of several answers
 * leave in the order of their requests. A request that comes whole in one read allocates nothing.
 */
import type { Clock } from '../base/index.ts'
import type { AddressFamily } from '../peer-store/index.ts'
import { unmapped } from './addresses.ts'
import type { TrustedProxies } from './client-address.ts'
import type { Counters } from './counters.ts'
import { HttpHead, parseHead } from './http-codec.ts'
import type { HttpHandler } from './http-handler.ts'
import { parseProxyHeader } from './proxy-protocol.ts'

export interface ConnectionLimits {
  /** Connections at a time, over all addresses. */
  readonly maxConnections: number
  /** Time to begin a request, also the first. */
  readonly idleTimeoutMs: number
  /** Time from the first byte of a head to its last. */
  readonly headTimeoutMs: number
  /** Time to take the answers that are waiting. */
  readonly writeTimeoutMs: number
  /** False: every answer is the last of its connection. Default true. */
  readonly keepAlive?: boolean
  /** Proxies that begin every connection with a PROXY header; with it only they are served. Default: none. */
  readonly proxyProtocol?: TrustedProxies | null
  /** Whether answers are timed. Default false. */
  readonly timed?: boolean
}

/**
 * What a front end does for its connections, by slot. Bytes that it is given are good only during the call. It calls nothing
 * back from within `send`.
 */
export interface HttpTransport {
  /**
   * Takes all of `bytes[start…end)`. False: not all of it has left yet; `flushed` is to be called when it has. `isLast`: `finish`
   * follows at once.
   */
  send(slot: number, bytes: Uint8Array, start: number, end: number, isLast: boolean): boolean
  /**
   * Nothing more is sent. Closes when all has left and calls `closed`. `abrupt`: more may be coming that nobody reads, and the
   * last answer must not be lost by it.
   */
  finish(slot: number, abrupt: boolean): void
  /** Closes at once and calls `closed`, now or later. */
  cut(slot: number): void
  /** The PROXY header of a connection that speaks TLS has been read; `bytes` come behind it. Its slot stays. */
  secure(slot: number, bytes: Uint8Array, start: number, end: number): void
  /**
   * The request at `bytes[start]` asks to go on as WebSocket: the connection leaves, its slot is free from now on. `remote` is
   * the other end. Absent where nobody takes it; then such requests are answered as any.
   */
  takeOver?(slot: number, remote: Uint8Array, bytes: Uint8Array, start: number, end: number): void
}

const FREE = 0
const PREAMBLE = 1
const IDLE = 2
const HEAD = 3
const WRITING = 4
const ENDING = 5
/** Cut off; its `closed` has not come yet. */
const CUT = 6

/** Bits of `#flags`. */
const IS_SECURE = 1
const HALF_CLOSED = 2

/** How often `sweep` is to be called. */
export const SWEEP_MS = 1000
/** For the last answer to leave. */
const LINGER_MS = 2000
/** Answers to pipelined requests leave together, up to so many bytes. */
const GATHER_BYTES: number = 64 * 1024
const MIN_PENDING_BYTES = 512
const MIN_SLOTS = 64
/** Connections that are looked at to find one that is idle. */
const IDLE_LOOKS = 256

export class HttpConnections {
  /** Slots that are not free. */
  count = 0
  readonly #clock: Clock
  readonly #counters: Counters
  readonly #transport: HttpTransport
  #handler: HttpHandler
  #limits: ConnectionLimits
  #nowMs: number
  /** Where the search for who is idle goes on. */
  #hand = 0
  readonly #head = new HttpHead()
  readonly #remote4 = new Uint8Array(4)
  readonly #remote6 = new Uint8Array(16)
  readonly #gathered = new Uint8Array(GATHER_BYTES)

  // By slot.
  #phases = new Uint8Array(MIN_SLOTS)
  #flags = new Uint8Array(MIN_SLOTS)
  #deadlinesMs = new Float64Array(MIN_SLOTS)
  #families = new Uint8Array(MIN_SLOTS)
  #addresses = new Uint8Array(16 * MIN_SLOTS)
  /** How far the search for the end of a head has come. */
  #scanned = new Uint16Array(MIN_SLOTS)
  /** Bytes that came and are not answered; `#pending` has room for more than that. */
  #pendingBytes = new Uint32Array(MIN_SLOTS)
  readonly #pending: (Uint8Array | undefined)[] = []

  constructor(
    clock: Clock,
    handler: HttpHandler,
    counters: Counters,
    limits: ConnectionLimits,
    transport: HttpTransport,
  ) {
    this.#clock = clock
    this.#handler = handler
    this.#counters = counters
    this.#limits = limits
    this.#transport = transport
    this.#nowMs = clock.monotonicMs()
  }

  /** For requests from now on, also those of connections that are there. */
  reconfigure(handler: HttpHandler, limits: ConnectionLimits): void {
    this.#handler = handler
    this.#limits = limits
  }

  /** Reads the clock: at least before each round of calls. */
  readClock(): void {
    this.#nowMs = this.#clock.monotonicMs()
  }

  /**
   * A connection from `address[at…]` (4 or 16 bytes by its family, never IPv4-mapped) gets `slot`, which must be free. False: it
   * is not welcome and is to be closed; that is counted. When a PROXY header comes first, `secure` says whether TLS comes then.
   */
  open(
    slot: number,
    address: Uint8Array,
    at: number,
    family: AddressFamily,
    secure = false,
  ): boolean {
    const { maxConnections, proxyProtocol = null, headTimeoutMs, idleTimeoutMs } = this.#limits
    if (slot >= this.#phases.length) this.#grow(slot)
    this.#families[slot] = family
    const length = family === 4 ? 4 : 16
    for (let i = 0; i < length; i++) this.#addresses[slot * 16 + i] = address[at + i]!
    const isStranger = proxyProtocol !== null && !proxyProtocol.has(this.remoteOf(slot))
    if (isStranger || (this.count >= maxConnections && !this.#makeRoom())) {
      this.#dropped(slot)
      return false
    }
    this.#phases[slot] = proxyProtocol === null ? IDLE : PREAMBLE
    this.#flags[slot] = secure ? IS_SECURE : 0
    this.#scanned[slot] = 0
    this.#deadlinesMs[slot] = this.#nowMs + (proxyProtocol === null ? idleTimeoutMs : headTimeoutMs)
    this.count++
    this.#counters.httpConnections++
    return true
  }

  /** Cuts off who has been idle for long, the longest of some; false when none of them is. */
  #makeRoom(): boolean {
    let longest = -1
    for (let looks = 0; looks < IDLE_LOOKS; looks++) {
      this.#hand = (this.#hand + 1) % this.#phases.length
      if (this.#phases[this.#hand] !== IDLE) continue
      if (longest < 0 || this.#deadlinesMs[this.#hand]! < this.#deadlinesMs[longest]!) {
        longest = this.#hand
      }
    }
    if (longest < 0) return false
    this.#phases[longest] = CUT
    this.#transport.cut(longest)
    return true
  }

  /** Whether the slot has a connection. */
  isOpen(slot: number): boolean {
    return this.#phases[slot] !== FREE
  }

  familyOf(slot: number): AddressFamily {
    return this.#families[slot] === 4 ? 4 : 6
  }

  /** Whether a PROXY header is still to come. */
  awaitsPreamble(slot: number): boolean {
    return this.#phases[slot] === PREAMBLE
  }

  /** Bytes came. */
  received(slot: number, bytes: Uint8Array, start: number, end: number): void {
    const phase = this.#phases[slot]!
    if (phase === IDLE) {
      this.#serve(slot, bytes, start, end)
    } else if (phase === HEAD || phase === PREAMBLE || phase === WRITING) {
      this.#keep(slot, bytes, start, end)
      if (phase === WRITING) return
      const pending = this.#pending[slot]!
      if (phase === HEAD) this.#serve(slot, pending, 0, this.#pendingBytes[slot]!)
      else this.#readPreamble(slot, pending, this.#pendingBytes[slot]!)
    }
  }

  /** All that was sent has left. */
  flushed(slot: number): void {
    if (this.#phases[slot] !== WRITING) return
    const pending = this.#pending[slot]
    this.#phases[slot] = pending === undefined ? IDLE : HEAD
    this.#expectWithin(slot, this.#limits.headTimeoutMs)
    this.#serve(slot, pending ?? this.#gathered, 0, this.#pendingBytes[slot]!)
  }

  /** The other end will send no more. It gets what it has asked for. */
  ended(slot: number): void {
    const phase = this.#phases[slot]!
    if (phase === WRITING) this.#flags[slot]! |= HALF_CLOSED
    else if (phase === PREAMBLE || phase === IDLE || phase === HEAD) this.#end(slot, false)
  }

  /** The connection is gone, by whoever's will. */
  closed(slot: number): void {
    if (this.#phases[slot] === FREE) return
    this.#phases[slot] = FREE
    this.#drop(slot)
    this.count--
    this.#counters.httpConnections--
  }

  /** Cuts off who is past its deadline; counted where the client owed something. */
  sweep(): void {
    this.readClock()
    const phases = this.#phases
    for (let slot = 0; slot < phases.length; slot++) {
      const phase = phases[slot]!
      if (phase === FREE || phase === CUT || this.#nowMs < this.#deadlinesMs[slot]!) continue
      if (phase === PREAMBLE || phase === HEAD || phase === WRITING) this.#dropped(slot)
      phases[slot] = CUT
      this.#transport.cut(slot)
    }
  }

  /** Cuts all off. */
  closeAll(): void {
    for (let slot = 0; slot < this.#phases.length; slot++) {
      if (this.#phases[slot] !== FREE) this.#transport.cut(slot)
    }
  }

  /** The other end of a connection: good until the next call. */
  remoteOf(slot: number): Uint8Array {
    const remote = this.#families[slot] === 4 ? this.#remote4 : this.#remote6
    for (let i = 0; i < remote.length; i++) remote[i] = this.#addresses[slot * 16 + i]!
    return remote
  }

  #expectWithin(slot: number, timeoutMs: number): void {
    this.#deadlinesMs[slot] = this.#nowMs + timeoutMs
  }

  /** Answers what is whole in `bytes`, which may be what is pending, and keeps the rest. */
  #serve(slot: number, bytes: Uint8Array, start: number, end: number): void {
    const head = this.#head
    const transport = this.#transport
    const handler = this.#handler
    head.note = handler.realIpHeader
    head.scanned = this.#scanned[slot]!
    let at = start
    let gathered = 0
    let leaves = true
    while (at < end && leaves) {
      const parsed = parseHead(bytes, at, end, head)
      if (parsed === 'more') break
      if (parsed === 'request' && head.upgrade && transport.takeOver !== undefined) {
        if (gathered > 0) transport.send(slot, this.#gathered, 0, gathered, false)
        this.#leave(slot, bytes, at, end)
        return
      }
      const closes = parsed !== 'request' || !head.keepAlive || this.#limits.keepAlive === false
      if (closes) head.keepAlive = false
      this.#handle(slot, bytes, parsed)
      at = parsed === 'request' ? at + head.length : end
      const length = handler.end - handler.start
      const isLast = closes || at === end
      if ((isLast && gathered === 0) || length > GATHER_BYTES - gathered) {
        if (gathered > 0) leaves = transport.send(slot, this.#gathered, 0, gathered, false)
        // When the first did not leave, this one waits behind it.
        leaves = transport.send(slot, handler.reply, handler.start, handler.end, closes) && leaves
        gathered = 0
      } else {
        this.#gathered.set(handler.reply.subarray(handler.start, handler.end), gathered)
        gathered += length
      }
      if (closes) {
        if (gathered > 0) transport.send(slot, this.#gathered, 0, gathered, true)
        this.#end(slot, parsed !== 'request' || at < end)
        return
      }
    }
    if (gathered > 0) leaves = transport.send(slot, this.#gathered, 0, gathered, false) && leaves
    this.#rest(slot, bytes, start, at, end, leaves)
  }

  #handle(slot: number, bytes: Uint8Array, parsed: ReturnType<typeof parseHead>): void {
    const handler = this.#handler
    const head = this.#head
    const timed = this.#limits.timed === true
    const begunMs = timed ? this.#clock.monotonicMs() : 0
    if (parsed === 'request') handler.handle(bytes, head, this.remoteOf(slot))
    else if (parsed !== 'more') handler.refuse(parsed, this.remoteOf(slot), 'close', head.isHead)
    const elapsedMs = timed ? this.#clock.monotonicMs() - begunMs : -1
    const { action, family, reason } = handler
    this.#counters.responses.note('http', action, family, reason, elapsedMs)
  }

  /** What was answered ends at `at`; what is left is kept, and the connection waits for something. */
  #rest(
    slot: number,
    bytes: Uint8Array,
    start: number,
    at: number,
    end: number,
    leaves: boolean,
  ): void {
    const before = this.#phases[slot]!
    const { headTimeoutMs, idleTimeoutMs, writeTimeoutMs } = this.#limits
    this.#scanned[slot] = this.#head.scanned
    if (at === end) {
      if (this.#pending[slot] !== undefined) this.#drop(slot)
    } else if (bytes === this.#pending[slot]) {
      bytes.copyWithin(0, at, end)
      this.#pendingBytes[slot] = end - at
    } else {
      this.#keep(slot, bytes, at, end)
    }
    if (!leaves) {
      this.#phases[slot] = WRITING
      this.#expectWithin(slot, writeTimeoutMs)
    } else if (at === end) {
      this.#phases[slot] = IDLE
      this.#expectWithin(slot, idleTimeoutMs)
    } else {
      this.#phases[slot] = HEAD
      // A byte now and then does not buy time.
      if (before === IDLE || at > start) this.#expectWithin(slot, headTimeoutMs)
    }
    if (leaves && (this.#flags[slot]! & HALF_CLOSED) !== 0) this.#end(slot, false)
  }

  /** The last answer has been sent. */
  #end(slot: number, abrupt: boolean): void {
    this.#drop(slot)
    this.#phases[slot] = ENDING
    this.#expectWithin(slot, LINGER_MS)
    this.#transport.finish(slot, abrupt)
  }

  /** Hands the connection over, with the request that asked for it. */
  #leave(slot: number, bytes: Uint8Array, start: number, end: number): void {
    const remote = this.remoteOf(slot)
    this.#phases[slot] = FREE
    this.count--
    this.#counters.httpConnections--
    this.#transport.takeOver!(slot, remote, bytes, start, end)
    this.#drop(slot)
  }

  #readPreamble(slot: number, bytes: Uint8Array, end: number): void {
    const header = parseProxyHeader(bytes.subarray(0, end))
    if (header === 'more') return
    if (header === 'invalid') {
      this.#dropped(slot)
      this.#phases[slot] = CUT
      this.#transport.cut(slot)
      return
    }
    if (header.source !== null) {
      const client = unmapped(header.source)
      this.#families[slot] = client.length === 4 ? 4 : 6
      this.#addresses.set(client, slot * 16)
    }
    this.#pending[slot] = undefined
    this.#pendingBytes[slot] = 0
    this.#phases[slot] = IDLE
    this.#expectWithin(slot, this.#limits.idleTimeoutMs)
    if ((this.#flags[slot]! & IS_SECURE) !== 0) {
      this.#transport.secure(slot, bytes, header.length, end)
    } else if (header.length < end) {
      this.#serve(slot, bytes, header.length, end)
    }
  }

  /** Adds bytes to those that are pending. */
  #keep(slot: number, bytes: Uint8Array, start: number, end: number): void {
    const had = this.#pendingBytes[slot]!
    const needed = had + end - start
    let pending = this.#pending[slot]
    if (pending === undefined || pending.length < needed) {
      let room = MIN_PENDING_BYTES
      while (room < needed) room *= 2
      const larger = new Uint8Array(room)
      if (pending !== undefined) larger.set(pending.subarray(0, had))
      this.#pending[slot] = larger
      pending = larger
    }
    pending.set(bytes.subarray(start, end), had)
    this.#pendingBytes[slot] = needed
  }

  #drop(slot: number): void {
    this.#pending[slot] = undefined
    this.#pendingBytes[slot] = 0
    this.#scanned[slot] = 0
  }

  #dropped(slot: number): void {
    const { transports } = this.#counters
    const counters = this.#families[slot] === 4 ? transports.http4 : transports.http6
    counters.dropped++
  }

  #grow(slot: number): void {
    const slots = 2 ** Math.ceil(Math.log2(slot + 1))
    const larger = <T extends Uint8Array | Uint16Array | Uint32Array | Float64Array>(
      from: T,
      to: T,
    ): T => {
      to.set(from)
      return to
    }
    this.#phases = larger(this.#phases, new Uint8Array(slots))
    this.#flags = larger(this.#flags, new Uint8Array(slots))
    this.#deadlinesMs = larger(this.#deadlinesMs, new Float64Array(slots))
    this.#families = larger(this.#families, new Uint8Array(slots))
    this.#addresses = larger(this.#addresses, new Uint8Array(16 * slots))
    this.#scanned = larger(this.#scanned, new Uint16Array(slots))
    this.#pendingBytes = larger(this.#pendingBytes, new Uint32Array(slots))
  }
}
