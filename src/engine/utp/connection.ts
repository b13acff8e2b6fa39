/**
 * One connection of uTP (BEP 29): a stream of bytes both ways over datagrams, as a PeerSocket.
 *
 * ```
 *  we connect      connecting --STATE--> open --FIN, either side's--> leaving --our FIN acknowledged--> closed
 *  they connect    SYN: proving --DATA that knows our number--> open
 *
 *  outgoing.ts: what we send        incoming.ts: what we receive
 * ```
 *
 * A SYN may come from an address that was made up; it is answered with one packet of its size, and nobody hears of it before
 * data shows that the answer has arrived.
 *
 * Invariants:
 * - those of PeerSocket;
 * - `onClose` is called once; after it the connection only takes leave, for LEAVE_MS at most;
 * - what the other side says about packets that we have not sent changes nothing.
 */
import { engineError } from '../errors.ts'
import type { PeerSocket } from '../network.ts'
import { DelayHistory } from './delay-history.ts'
import type { UtpHost } from './host.ts'
import { MAX_SACK_BYTES } from './inbox.ts'
import { Incoming, RECEIVE_WINDOW } from './incoming.ts'
import { Outgoing, type OutgoingHost } from './outgoing.ts'
import {
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

type State = 'connecting' | 'proving' | 'open' | 'leaving' | 'closed'

export class UtpConnection implements PeerSocket, OutgoingHost {
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
  readonly #host: UtpHost<UtpConnection>
  readonly #outgoing: Outgoing
  #incoming: Incoming
  #state: State
  readonly #bornMs: number
  #nowMs: number
  /** When it began to take leave. */
  #leftMs = 0
  /** When something was sent last. */
  #saidMs: number
  /** `onClose` was called, or is about to be. */
  #over = false
  /** What the SYN had as its number. */
  readonly #synSeq: number
  /** How long their packets are under way, and the last one was: what it has to be told. */
  readonly #delays = new DelayHistory()
  #replyMicros = 0
  #acknowledgeAtMs = Number.POSITIVE_INFINITY

  /** `first` is the number that our packets begin with; `syn` what was received, undefined when we connect. */
  constructor(
    host: UtpHost<UtpConnection>,
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
    this.#outgoing = new Outgoing(this, host, first)
    this.#synSeq = syn?.seq ?? 0
    this.#incoming = this.#incomingFrom(this.#synSeq)
    this.#state = syn === undefined ? 'connecting' : 'proving'
  }

  #incomingFrom(ack: number): Incoming {
    const { received } = this.#host
    return new Incoming(ack, received, (payload) => this.#host.gather(this, payload))
  }

  // --- As the host sees it ---

  /** Says the first word: SYN, or the answer to it. */
  begin(syn: Packet | undefined): void {
    if (syn === undefined) {
      // The one packet that bears the id of those that come back.
      if (!this.#outgoing.pushBare(ST_SYN, this.receiveId, this.#nowMs)) {
        this.#host.later(() => this.#fail('no memory is left'))
        return
      }
    } else {
      this.#hear(syn)
      this.#sendState()
    }
    this.#host.busy(this)
  }

  /** A packet of this connection. */
  receive(packet: Packet, nowMs: number): void {
    this.#nowMs = nowMs
    switch (this.#state) {
      case 'closed':
        return
      case 'connecting':
        this.#answered(packet)
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
      if (this.#outgoing.isAbout(packet.ack)) this.#fail('reset by the other side')
      return
    }
    if (packet.type === ST_SYN) {
      // Our answer was lost, or is late.
      this.#incoming.isUrgent = true
      this.#host.touched(this)
      return
    }
    if (!this.#outgoing.hear(packet, nowMs)) return
    this.#hear(packet)
    if (packet.type === ST_DATA) {
      this.#incoming.arrive(packet.seq, packet.bytes.subarray(packet.payloadAt))
    } else if (packet.type === ST_FIN) this.#incoming.arriveFin(packet.seq)
    this.#host.touched(this)
  }

  /** What comes back for our SYN. */
  #answered(packet: Packet): void {
    if (packet.ack !== this.#outgoing.first) return
    if (packet.type === ST_RESET) {
      this.#fail('refused')
      return
    }
    if (packet.type !== ST_STATE) return
    // It bears the number of the first packet that will come.
    this.#incoming = this.#incomingFrom((packet.seq - 1) & U16)
    this.#state = 'open'
    this.#outgoing.hear(packet, this.#nowMs)
    this.#hear(packet)
    this.#outgoing.held++
    this.onConnect()
    this.#outgoing.held--
    this.#pump()
  }

  /** Whether the packet knows the number that we have drawn: then the other side is where it says. */
  #prove(packet: Packet): boolean {
    const { first } = this.#outgoing
    if (packet.type === ST_RESET) return false
    // By the letter of BEP 29 the answer to SYN has a number of its own; in the field it has not.
    if (packet.ack === first) this.#outgoing.beginWith((first + 1) & U16)
    else if (packet.ack !== ((first - 1) & U16)) return false
    this.#state = 'open'
    this.#host.proven(this)
    // Who heard of it may have refused it.
    return !this.#over
  }

  /** What every packet tells. */
  #hear(packet: Packet): void {
    const delay = (this.#host.micros() - packet.sentMicros) >>> 0
    const before = this.#delays.base
    const isFirst = this.#delays.isEmpty
    this.#replyMicros = delay
    this.#delays.add(delay, this.#nowMs)
    const ours = this.#outgoing.delays
    if (isFirst || ours.isEmpty) return
    // The way to us can hardly become shorter than ever: it is a clock that drifts, the other way round for ours.
    const drift = (before - this.#delays.base) | 0
    if (drift > 0 && drift <= MAX_DRIFT_MICROS) ours.shift(drift)
  }

  /** All that came together has been read, and delivered. */
  settle(nowMs: number): void {
    this.#nowMs = nowMs
    if (this.#state === 'closed') return
    const incoming = this.#incoming
    if (incoming.atEnd && !this.#over) this.#end()
    this.#pump()
    if (this.#state === 'leaving' && this.#outgoing.isDone) {
      if (incoming.isUrgent) this.#sendState()
      this.#close()
      return
    }
    if (incoming.isUrgent || incoming.unacknowledged >= 2) this.#sendState()
    else if (incoming.unacknowledged > 0 && this.#acknowledgeAtMs === Number.POSITIVE_INFINITY) {
      this.#acknowledgeAtMs = nowMs + DELAYED_ACK_MS
    }
    if (this.#isBusy) this.#host.busy(this)
  }

  get #isBusy(): boolean {
    const { unacknowledged } = this.#incoming
    return this.#state !== 'open' || this.#outgoing.isBusy || unacknowledged > 0
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
    if (this.#outgoing.isOverdue(nowMs)) this.#timedOut()
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
    if (++this.#outgoing.timeouts >= most) this.#fail('the other side does not answer')
    else this.#outgoing.timedOut(this.#nowMs)
  }

  // --- Writing ---

  write(bytes: Uint8Array): boolean {
    if (this.#over) return true
    this.#nowMs = this.#host.nowMs()
    const hasLeft = this.#outgoing.write(bytes, this.#nowMs)
    if (this.#isBusy) this.#host.busy(this)
    return hasLeft
  }

  cork(): void {
    this.#outgoing.held++
  }

  uncork(): void {
    this.#outgoing.held--
    this.#nowMs = this.#host.nowMs()
    this.#pump()
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  drained(): void {
    this.onDrain()
  }

  #pump(): void {
    if (this.#state !== 'open' && this.#state !== 'leaving') return
    this.#outgoing.pump(this.#nowMs)
    if (this.#isBusy) this.#host.busy(this)
  }

  transmit(bytes: Uint8Array): void {
    const incoming = this.#incoming
    const micros = this.#host.micros()
    stampHeader(bytes, micros, this.#replyMicros, incoming.windowBytes, incoming.ack)
    this.#saidMs = this.#nowMs
    this.#acknowledgeAtMs = Number.POSITIVE_INFINITY
    incoming.acknowledged()
    this.#host.send(bytes, this)
  }

  #sendState(): void {
    const most = this.#incoming.hasGap ? 2 + MAX_SACK_BYTES : 0
    const bytes = Buffer.allocUnsafe(HEADER_BYTES + most)
    writeHeader(bytes, ST_STATE, this.sendId, this.#outgoing.next)
    let size = HEADER_BYTES
    if (most > 0) {
      const sackBytes = this.#incoming.writeSack(bytes, HEADER_BYTES + 2)
      bytes[1] = EXTENSION_SACK
      bytes[HEADER_BYTES] = 0
      bytes[HEADER_BYTES + 1] = sackBytes
      size += 2 + sackBytes
    }
    this.transmit(bytes.subarray(0, size))
    this.#incoming.isUrgent = false
  }

  // --- Reading ---

  /** What `gather` was given, in order; the receiver's only during the call. */
  deliver(bytes: Uint8Array): void {
    if (this.#over) return
    if (this.#incoming.paused) {
      // It is acknowledged: there is no way back.
      if (!this.#incoming.keepFirst(bytes)) this.#fail('no memory is left')
      return
    }
    this.#outgoing.held++
    this.onData(bytes)
    this.#outgoing.held--
  }

  pause(): void {
    this.#incoming.paused = true
  }

  resume(): void {
    const incoming = this.#incoming
    incoming.paused = false
    this.#nowMs = this.#host.nowMs()
    const wasShut = incoming.windowBytes < RECEIVE_WINDOW / 2
    while (!incoming.paused && !this.#over) {
      const bytes = incoming.takeKept()
      if (bytes === undefined) break
      this.deliver(bytes)
    }
    if (this.#over) return
    this.#pump()
    // The other side waits for it.
    if (wasShut && this.#state === 'open') this.#sendState()
    if (incoming.atEnd) this.#host.later(() => this.settle(this.#host.nowMs()))
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
    if (this.#incoming.hasKept) return
    this.#over = true
    this.#leave()
    this.onClose(undefined)
  }

  /** Sends what counts as having left, and FIN. */
  #leave(): void {
    this.#leftMs = this.#nowMs
    this.#state = 'leaving'
    this.#incoming.clear()
    this.#outgoing.finish(this.#nowMs)
    if (this.#outgoing.pushBare(ST_FIN, this.sendId, this.#nowMs)) this.#host.busy(this)
    else this.#close()
  }

  #fail(reason: string): void {
    const isTold = this.#over
    this.#over = true
    this.#close()
    if (isTold) return
    const where = `${this.remoteAddress} port ${this.remotePort}`
    this.onClose(engineError('ENGINE_UTP_FAILED', `uTP to ${where}: ${reason}`))
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
    this.#incoming.clear()
    this.#outgoing.clear()
    this.#host.ended(this)
  }
}
