/**
 * One connection of uTP (BEP 29): a stream of bytes both ways over datagrams, as a PeerSocket.
 *
 * ```
 *  we connect      connecting --STATE--> open --FIN, either side's--> leaving --our FIN acknowledged--> closed
 *  they connect    SYN: proving --DATA that knows our number--> open
 *
 *  write -> queue -> open packet -> outbox (sent, not acknowledged) -> gone
 *  datagram -> in order? -> what has arrived together -> onData
 *                 `-no-> inbox
 * ```
 *
 * A SYN may come from an address that was made up; it is answered with one packet of its size, and nobody hears of it before
 * data shows that the answer has arrived.
 *
 * Invariants:
 * - those of PeerSocket; what was written has left when it was copied into packets, of which at most a window is under way;
 * - `onClose` is called once; after it the connection only takes leave, for LEAVE_MS at most;
 * - of what arrives at most RECEIVE_WINDOW is kept, paid for out of the memory of all: what finds none was never here;
 * - what the other side says about packets that we have not sent changes nothing.
 */
import { assert } from '../../base/index.ts'
import type { Budget } from '../budget.ts'
import { engineError } from '../errors.ts'
import type { PeerSocket } from '../network.ts'
import { DelayHistory } from './delay-history.ts'
import { Inbox, MAX_SACK_BYTES } from './inbox.ts'
import { Ledbat } from './ledbat.ts'
import { Outbox } from './outbox.ts'
import {
  ahead,
  EXTENSION_SACK,
  HEADER_BYTES,
  type Packet,
  ST_DATA,
  ST_FIN,
  ST_RESET,
  ST_STATE,
  ST_SYN,
  stampHeader,
  U16,
  writeHeader,
} from './packet.ts'
import { RoundTrip } from './round-trip.ts'

/** As libtorrent has it: 10 MB/s over 100 ms. */
export const RECEIVE_WINDOW: number = 1024 * 1024
const SEND_WINDOW = 1024 * 1024
const DELAYED_ACK_MS = 100
/** Shorter than routers remember who spoke to whom over UDP. */
const KEEP_ALIVE_MS = 29_000
const CONNECT_TIMES = 2
const PROVE_MS = 10_000
const LEAVE_MS = 10_000
/** Time-outs in a row, about a minute. */
const MAX_TIMEOUTS = 6
/** A change of the other side's base that is no change of the way but of its clock. */
const MAX_DRIFT_MICROS = 10_000
/** An old packet is one of the last that could have been under way. */
const MAX_OLD = 2048

/** The socket's owner as its connections see it. */
export interface UtpHost {
  readonly packetBytes: number
  /** For packets that came before their turn, or were not taken. */
  readonly received: Budget
  nowMs(): number
  /** Microseconds of our clock, modulo 2^32. */
  micros(): number
  /** Memory for a packet; undefined while there is none. */
  takePacket(): Uint8Array | undefined
  /** A packet of this many bytes needs no more. */
  shrinkPacket(packet: Uint8Array, bytes: number): Uint8Array
  freePacket(packet: Uint8Array): void
  send(bytes: Uint8Array, connection: UtpConnection): void
  /** Payload in its order; copied. */
  gather(connection: UtpConnection, payload: Uint8Array): void
  /** `settle` is to be called when all that has arrived together is read. */
  touched(connection: UtpConnection): void
  /** `tick` is to be called until it answers false. */
  busy(connection: UtpConnection): void
  /** The other side is where it says. */
  proven(connection: UtpConnection): void
  later(task: () => void): void
  ended(connection: UtpConnection): void
}

type State = 'connecting' | 'proving' | 'open' | 'leaving' | 'closed'

export class UtpConnection implements PeerSocket {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly transport = 'utp'
  /** In what we receive, and in what we send. */
  readonly receiveId: number
  readonly sendId: number
  onConnect: () => void = () => {}
  onData: (bytes: Uint8Array) => void = () => {}
  onClose: (error: Error | undefined) => void = () => {}
  onDrain: () => void = () => {}
  readonly #host: UtpHost
  #state: State
  readonly #bornMs: number
  #nowMs: number
  /** `onClose` was called, or is about to be. */
  #over = false

  // --- What we send ---
  #outbox: Outbox
  readonly #round = new RoundTrip()
  readonly #ledbat: Ledbat
  /** How long our packets are under way, and theirs. */
  readonly #ours = new DelayHistory()
  readonly #theirs = new DelayHistory()
  readonly #queue: Uint8Array[] = []
  /** Of the first in the queue. */
  #queueAt = 0
  #packet: Uint8Array | undefined
  #packetAt = HEADER_BYTES
  #owesDrain = false
  /** Small packets wait while this is more than 0. */
  #held = 0
  #pumping = false
  #peerWindow = 0
  /** The window, ours or theirs, kept something from leaving. */
  #isLimited = false
  #timeoutAtMs = 0
  #timeouts = 0
  /** A window that stays shut is tried then: that it opens may have been lost. */
  #probeAtMs = Number.POSITIVE_INFINITY
  /** What is lost before this was the same loss. */
  #recoverAt: number
  #saidMs: number

  // --- What we receive ---
  #inbox: Inbox
  /** What the other side has to be told of its last packet's delay. */
  #replyMicros = 0
  #unacknowledged = 0
  #acknowledgeNow = false
  #acknowledgeAtMs = Number.POSITIVE_INFINITY
  #paused = false
  readonly #kept: Uint8Array[] = []
  #keptBytes = 0
  #finSeq: number | undefined
  #atEnd = false
  /** What the SYN had as its number. */
  readonly #synSeq: number
  /** When it began to take leave. */
  #leftMs = 0

  /** `first` is the number that our packets begin with; `syn` what was received, undefined when we connect. */
  constructor(
    host: UtpHost,
    remote: { readonly address: string; readonly port: number },
    id: number,
    first: number,
    nowMs: number,
    syn: Packet | undefined,
  ) {
    this.#host = host
    this.remoteAddress = remote.address
    this.remotePort = remote.port
    // Who connects chooses the one id, and the other one follows it.
    this.receiveId = syn === undefined ? id : (id + 1) & U16
    this.sendId = syn === undefined ? (id + 1) & U16 : id
    this.#bornMs = nowMs
    this.#nowMs = nowMs
    this.#saidMs = nowMs
    this.#outbox = new Outbox(first, (bytes) => host.freePacket(bytes))
    this.#recoverAt = first
    this.#ledbat = new Ledbat(host.packetBytes, SEND_WINDOW)
    this.#synSeq = syn?.seq ?? 0
    this.#inbox = new Inbox(this.#synSeq, host.received)
    this.#state = syn === undefined ? 'connecting' : 'proving'
  }

  // --- As the host sees it ---

  /** Says the first word: SYN, or the answer to it. */
  begin(syn: Packet | undefined): void {
    if (syn === undefined) {
      // The one packet that bears the id of those that come back.
      if (!this.#pushBare(ST_SYN, this.receiveId)) {
        this.#host.later(() => this.#fail('no memory is left'))
        return
      }
    } else {
      this.#hear(syn)
      this.#sendState()
    }
    this.#host.busy(this)
  }

  get isProving(): boolean {
    return this.#state === 'proving'
  }

  /** A packet of this connection. */
  receive(packet: Packet, nowMs: number): void {
    this.#nowMs = nowMs
    switch (this.#state) {
      case 'closed':
        return
      case 'connecting':
        this.#connected(packet)
        return
      case 'proving':
        if (packet.type === ST_SYN) {
          if (packet.seq === this.#synSeq) this.#sendState()
          return
        }
        if (!this.#prove(packet)) return
    }
    if (packet.type === ST_RESET) {
      // One that was made up knows nothing of what is under way.
      const distance = ahead(packet.ack + 1, this.#outbox.first)
      if (distance <= this.#outbox.length + 1) this.#fail('reset by the other side')
      return
    }
    if (packet.type === ST_SYN) {
      // Our answer was lost, or is late.
      this.#acknowledgeNow = true
      this.#host.touched(this)
      return
    }
    if (!this.#hearAcknowledgement(packet)) return
    this.#hear(packet)
    if (packet.type === ST_DATA) this.#arrive(packet.seq, packet.bytes.subarray(packet.payloadAt))
    else if (packet.type === ST_FIN) this.#arriveFin(packet.seq)
    this.#host.touched(this)
  }

  #connected(packet: Packet): void {
    if (packet.type === ST_RESET) {
      if (packet.ack === this.#outbox.first) this.#fail('refused')
      return
    }
    if (packet.type !== ST_STATE || packet.ack !== this.#outbox.first) return
    // It bears the number of the first packet that will come.
    this.#inbox = new Inbox((packet.seq - 1) & U16, this.#host.received)
    this.#state = 'open'
    if (!this.#hearAcknowledgement(packet)) return
    this.#hear(packet)
    this.#held++
    this.onConnect()
    this.#held--
    this.#pump()
  }

  /** Whether the packet knows the number that we have drawn: then the other side is where it says. */
  #prove(packet: Packet): boolean {
    const { first } = this.#outbox
    if (packet.type === ST_RESET) return false
    if (packet.ack === first) {
      // By the letter of BEP 29 the answer to SYN has a number of its own; in the field it has not.
      this.#outbox = new Outbox((first + 1) & U16, (bytes) => this.#host.freePacket(bytes))
      this.#recoverAt = this.#outbox.first
    } else if (packet.ack !== ((first - 1) & U16)) return false
    this.#state = 'open'
    this.#host.proven(this)
    // Who heard of it may have refused it.
    return !this.#over
  }

  /** What every packet tells. */
  #hear(packet: Packet): void {
    const delay = (this.#host.micros() - packet.sentMicros) >>> 0
    this.#replyMicros = delay
    const before = this.#theirs.base
    const isFirst = this.#theirs.isEmpty
    this.#theirs.add(delay, this.#nowMs)
    if (isFirst || this.#ours.isEmpty) return
    // The way to us can hardly become shorter than ever: it is a clock that drifts, the other way round for ours.
    const drift = (before - this.#theirs.base) | 0
    if (drift > 0 && drift <= MAX_DRIFT_MICROS) this.#ours.shift(drift)
  }

  /** False when it acknowledges what was never sent: nothing of the packet is believed. */
  #hearAcknowledgement(packet: Packet): boolean {
    const outbox = this.#outbox
    const distance = ahead(packet.ack + 1, outbox.first)
    if (distance > outbox.length && distance <= U16 - MAX_OLD) return false
    if (distance > outbox.length) return true
    this.#timeouts = 0
    this.#peerWindow = packet.windowBytes
    if (packet.windowBytes > 0) this.#probeAtMs = Number.POSITIVE_INFINITY
    const lost = outbox.acknowledge(packet, this.#nowMs, this.#round.leastMs)
    if (outbox.ackedBytes > 0) this.#acknowledged(packet)
    if (lost && ahead(outbox.first, this.#recoverAt) <= U16 >> 1) {
      this.#recoverAt = outbox.next
      this.#ledbat.lost(this.#nowMs)
    }
    return true
  }

  #acknowledged(packet: Packet): void {
    const { ackedBytes, roundMs } = this.#outbox
    if (roundMs >= 0) this.#round.add(roundMs)
    if (packet.delayMicros !== 0) this.#ours.add(packet.delayMicros, this.#nowMs)
    this.#timeoutAtMs = this.#nowMs + this.#round.timeoutMs
    let queue = this.#ours.queueMicros
    // Clocks may step: nothing waits longer than the whole round trip took.
    if (roundMs >= 0) queue = Math.min(queue, 1000 * roundMs)
    this.#ledbat.acked(ackedBytes, queue, this.#round.leastMs, this.#isLimited, this.#nowMs)
  }

  /** All that came together has been read, and delivered. */
  settle(nowMs: number): void {
    this.#nowMs = nowMs
    if (this.#state === 'closed') return
    if (this.#atEnd && !this.#over) this.#end()
    this.#pump()
    if (this.#state === 'leaving' && this.#outbox.length === 0) {
      if (this.#acknowledgeNow) this.#sendState()
      this.#close()
      return
    }
    if (this.#acknowledgeNow || this.#unacknowledged >= 2) this.#sendState()
    else if (this.#unacknowledged > 0 && this.#acknowledgeAtMs === Number.POSITIVE_INFINITY) {
      this.#acknowledgeAtMs = nowMs + DELAYED_ACK_MS
    }
    if (this.#isBusy) this.#host.busy(this)
  }

  get #isBusy(): boolean {
    return (
      this.#state !== 'open' ||
      this.#outbox.length > 0 ||
      this.#queue.length > 0 ||
      this.#packet !== undefined ||
      this.#unacknowledged > 0
    )
  }

  /** What is due by time; false when nothing will be until something happens. */
  tick(nowMs: number): boolean {
    this.#nowMs = nowMs
    switch (this.#state) {
      case 'closed':
        return false
      case 'proving':
        if (nowMs - this.#bornMs >= PROVE_MS) this.#close()
        return true
      case 'leaving':
        if (nowMs - this.#leftMs >= LEAVE_MS) {
          this.#close()
          return false
        }
    }
    if (this.#outbox.length > 0 && nowMs >= this.#timeoutAtMs) this.#timedOut()
    if (this.#state === 'open') this.#pump()
    if (nowMs >= this.#acknowledgeAtMs) this.#sendState()
    return this.#isBusy
  }

  /** Now and then, of those that are not busy, too. */
  keepAlive(nowMs: number): void {
    this.#nowMs = nowMs
    if (this.#state === 'open' && nowMs - this.#saidMs >= KEEP_ALIVE_MS) this.#sendState()
  }

  #timedOut(): void {
    const most = this.#state === 'connecting' ? CONNECT_TIMES : MAX_TIMEOUTS
    if (++this.#timeouts >= most) {
      this.#fail('the other side does not answer')
      return
    }
    this.#outbox.loseAll()
    this.#ledbat.silent()
    this.#recoverAt = this.#outbox.next
    this.#round.passed()
    this.#resend()
  }

  // --- Writing ---

  write(bytes: Uint8Array): boolean {
    if (this.#over) return true
    if (bytes.length > 0) this.#queue.push(bytes)
    this.#nowMs = this.#host.nowMs()
    this.#pump()
    if (this.#queue.length === 0) return true
    this.#owesDrain = true
    return false
  }

  cork(): void {
    this.#held++
  }

  uncork(): void {
    this.#held--
    this.#nowMs = this.#host.nowMs()
    this.#pump()
  }

  /** Sends what may be sent. */
  #pump(): void {
    if (this.#pumping || (this.#state !== 'open' && this.#state !== 'leaving')) return
    this.#pumping = true
    this.#resend()
    this.#isLimited = false
    while (!this.#isLimited && this.#state === 'open') {
      this.#fill()
      if (this.#queue.length === 0 && this.#owesDrain) {
        this.#owesDrain = false
        this.onDrain()
        continue
      }
      if (this.#packet === undefined) break
      const isFull = this.#packetAt === this.#packet.length
      if (!isFull && (this.#held > 0 || this.#queue.length > 0)) break
      this.#sendPacket()
    }
    this.#pumping = false
    if (this.#isBusy) this.#host.busy(this)
  }

  #resend(): void {
    const outbox = this.#outbox
    while (outbox.hasLost) {
      const sent = outbox.firstLost
      const bytes = sent.bytes!
      const { flightBytes } = outbox
      if (flightBytes > 0 && flightBytes + bytes.length > this.#ledbat.windowBytes) return
      if (flightBytes === 0) this.#timeoutAtMs = this.#nowMs + this.#round.timeoutMs
      outbox.again(sent, this.#nowMs)
      this.#transmit(bytes)
    }
  }

  /** Moves bytes from the queue into the open packet. */
  #fill(): void {
    const queue = this.#queue
    let done = 0
    while (done < queue.length) {
      if (this.#packet === undefined) {
        this.#packet = this.#host.takePacket()
        // Memory is short: a later tick tries again.
        if (this.#packet === undefined) break
        this.#packetAt = HEADER_BYTES
      }
      const room = this.#packet.length - this.#packetAt
      if (room === 0) break
      const bytes = queue[done]!
      const count = Math.min(room, bytes.length - this.#queueAt)
      this.#packet.set(bytes.subarray(this.#queueAt, this.#queueAt + count), this.#packetAt)
      this.#packetAt += count
      this.#queueAt += count
      if (this.#queueAt < bytes.length) continue
      this.#queueAt = 0
      done++
    }
    if (done > 0) queue.splice(0, done)
  }

  /** Sends the open packet, or notes that the window is shut. */
  #sendPacket(): void {
    const outbox = this.#outbox
    const size = this.#packetAt
    const { flightBytes } = outbox
    const fits =
      flightBytes + size <= Math.min(this.#ledbat.windowBytes, this.#peerWindow) &&
      !outbox.isFull &&
      !outbox.hasLost
    const probes = outbox.length === 0 && this.#nowMs >= this.#probeAtMs
    if (!fits && !probes) {
      this.#isLimited = true
      const isShut = outbox.length === 0 && this.#probeAtMs === Number.POSITIVE_INFINITY
      if (isShut) this.#probeAtMs = this.#nowMs + this.#round.timeoutMs
      return
    }
    const full = this.#packet!
    this.#packet = undefined
    const bytes = size === full.length ? full : this.#host.shrinkPacket(full, size)
    if (outbox.length === 0 && this.#nowMs - this.#saidMs > this.#round.timeoutMs) {
      this.#ledbat.rested()
    }
    writeHeader(bytes, ST_DATA, this.sendId, outbox.next)
    this.#push(bytes)
  }

  /** Sends a packet without a payload that counts; false when memory is short. */
  #pushBare(type: number, id: number): boolean {
    const packet = this.#host.takePacket()
    if (packet === undefined) return false
    const bytes = this.#host.shrinkPacket(packet, HEADER_BYTES)
    writeHeader(bytes, type, id, this.#outbox.next)
    this.#push(bytes)
    return true
  }

  #push(bytes: Uint8Array): void {
    if (this.#outbox.length === 0) this.#timeoutAtMs = this.#nowMs + this.#round.timeoutMs
    this.#outbox.push(bytes, this.#nowMs)
    this.#transmit(bytes)
  }

  #transmit(bytes: Uint8Array): void {
    stampHeader(bytes, this.#host.micros(), this.#replyMicros, this.#windowBytes, this.#inbox.ack)
    this.#said()
    this.#host.send(bytes, this)
  }

  /** Whatever we say acknowledges; what is missing only a STATE can say. */
  #said(): void {
    this.#saidMs = this.#nowMs
    this.#unacknowledged = 0
    this.#acknowledgeAtMs = Number.POSITIVE_INFINITY
    if (this.#inbox.isEmpty) this.#acknowledgeNow = false
  }

  #sendState(): void {
    const most = this.#inbox.isEmpty ? 0 : 2 + MAX_SACK_BYTES
    const bytes = Buffer.allocUnsafe(HEADER_BYTES + most)
    writeHeader(bytes, ST_STATE, this.sendId, this.#outbox.next)
    let size = HEADER_BYTES
    if (most > 0) {
      const sackBytes = this.#inbox.writeSack(bytes, HEADER_BYTES + 2)
      bytes[1] = EXTENSION_SACK
      bytes[HEADER_BYTES] = 0
      bytes[HEADER_BYTES + 1] = sackBytes
      size += 2 + sackBytes
    }
    this.#transmit(bytes.subarray(0, size))
    this.#acknowledgeNow = false
  }

  // --- Reading ---

  /** Bytes that we would take beyond what we acknowledge. */
  get #windowBytes(): number {
    return Math.max(0, RECEIVE_WINDOW - this.#keptBytes - this.#inbox.bytes)
  }

  #arrive(seq: number, payload: Uint8Array): void {
    const inbox = this.#inbox
    if (seq !== ((inbox.ack + 1) & U16)) {
      // Too old, or something is missing before it: the other side has to hear of that at once.
      this.#acknowledgeNow = true
      const isTooMuch = payload.length > this.#windowBytes
      if (!inbox.isOld(seq) && !isTooMuch) inbox.keep(seq, payload)
      return
    }
    if (this.#atEnd) return
    if (!this.#take(payload)) {
      // That we are here has to be heard, or we are given up.
      this.#acknowledgeNow = true
      return
    }
    this.#unacknowledged++
    if (!inbox.isEmpty) this.#acknowledgeNow = true
    for (;;) {
      const following = inbox.advance()
      if (following === undefined) break
      this.#keepOrGather(following)
    }
    this.#endAtFin()
  }

  #arriveFin(seq: number): void {
    this.#acknowledgeNow = true
    if (this.#inbox.isOld(seq)) return
    this.#finSeq ??= seq
    this.#endAtFin()
  }

  #endAtFin(): void {
    if (this.#atEnd || this.#finSeq !== ((this.#inbox.ack + 1) & U16)) return
    this.#inbox.advance()
    this.#inbox.clear()
    this.#acknowledgeNow = true
    this.#atEnd = true
  }

  /** False when there is no room for it. */
  #take(payload: Uint8Array): boolean {
    if (this.#paused && !this.#over) {
      const fits = payload.length <= this.#windowBytes && this.#host.received.take(payload.length)
      if (!fits) return false
      this.#host.received.give(payload.length)
    }
    this.#keepOrGather(payload)
    return true
  }

  #keepOrGather(payload: Uint8Array): void {
    if (this.#over) return
    if (!this.#paused) {
      this.#host.gather(this, payload)
      return
    }
    const isPaid = this.#host.received.take(payload.length)
    assert(isPaid, 'what comes out of the inbox was paid for, and what comes in was asked about')
    this.#kept.push(new Uint8Array(payload))
    this.#keptBytes += payload.length
  }

  /** What `gather` was given, in order; the receiver's only during the call. */
  deliver(bytes: Uint8Array): void {
    if (this.#over) return
    if (this.#paused) {
      this.#keepFirst(bytes)
      return
    }
    this.#held++
    this.onData(bytes)
    this.#held--
  }

  /** It was acknowledged, and came before all that was kept since `pause`. */
  #keepFirst(bytes: Uint8Array): void {
    if (!this.#host.received.take(bytes.length)) {
      this.#fail('no memory is left')
      return
    }
    this.#kept.unshift(new Uint8Array(bytes))
    this.#keptBytes += bytes.length
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#nowMs = this.#host.nowMs()
    const wasShut = this.#windowBytes < RECEIVE_WINDOW / 2
    while (!this.#paused && !this.#over) {
      const bytes = this.#kept.shift()
      if (bytes === undefined) break
      this.#keptBytes -= bytes.length
      this.#host.received.give(bytes.length)
      this.deliver(bytes)
    }
    if (this.#over) return
    this.#pump()
    // The other side waits for it.
    if (wasShut && this.#state === 'open') this.#sendState()
    if (this.#atEnd) this.#host.later(() => this.settle(this.#nowMs))
  }

  // --- The end ---

  destroy(): void {
    if (this.#over) return
    this.#over = true
    this.#nowMs = this.#host.nowMs()
    this.#host.later(() => this.onClose(undefined))
    if (this.#state === 'open') this.#leave()
    else this.#close()
  }

  /** The other side has said all that it had to say. */
  #end(): void {
    if (this.#paused && this.#kept.length > 0) return
    this.#over = true
    this.#leave()
    this.onClose(undefined)
  }

  /** Sends what counts as having left, and FIN. */
  #leave(): void {
    this.#dropReceived()
    this.#queue.length = 0
    this.#leftMs = this.#nowMs
    this.#state = 'leaving'
    if (this.#packet !== undefined && this.#packetAt > HEADER_BYTES && !this.#outbox.isFull) {
      const bytes = this.#host.shrinkPacket(this.#packet, this.#packetAt)
      this.#packet = undefined
      writeHeader(bytes, ST_DATA, this.sendId, this.#outbox.next)
      this.#push(bytes)
    }
    if (this.#outbox.isFull || !this.#pushBare(ST_FIN, this.sendId)) this.#close()
    else this.#host.busy(this)
  }

  #fail(reason: string): void {
    const isTold = this.#over
    this.#over = true
    this.#close()
    if (isTold) return
    const where = `${this.remoteAddress} port ${this.remotePort}`
    this.onClose(engineError('ENGINE_UTP_FAILED', `uTP to ${where}: ${reason}`))
  }

  #dropReceived(): void {
    this.#inbox.clear()
    this.#host.received.give(this.#keptBytes)
    this.#keptBytes = 0
    this.#kept.length = 0
  }

  /** Gone without a word; harmless when it is already. */
  abandon(): void {
    if (this.#state === 'closed') return
    if (!this.#over) this.#host.later(() => this.onClose(undefined))
    this.#over = true
    this.#close()
  }

  #close(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#dropReceived()
    this.#outbox.clear()
    this.#queue.length = 0
    if (this.#packet !== undefined) this.#host.freePacket(this.#packet)
    this.#packet = undefined
    this.#host.ended(this)
  }
}
