/**
 * What a connection of uTP sends: bytes become packets, as many as the windows allow, and packets that are lost are sent
 * again.
 *
 * ```
 *  write -> queue -> open packet -> outbox (sent, not acknowledged) -> gone
 * ```
 *
 * Invariants: what has left the queue was copied; no more is under way than the smaller of our window and theirs, but for one
 * packet when nothing is; a small packet leaves only when the queue is empty and nobody holds it.
 */
import { DelayHistory } from './delay-history.ts'
import type { PacketMemory } from './host.ts'
import { Ledbat } from './ledbat.ts'
import { Outbox } from './outbox.ts'
import { ahead, HEADER_BYTES, type Packet, ST_DATA, U16, writeHeader } from './packet.ts'
import { RoundTrip } from './round-trip.ts'

const SEND_WINDOW = 1024 * 1024
/** An old packet is one of the last that could have been under way. */
const MAX_OLD = 2048

export interface OutgoingHost {
  /** In what we send. */
  readonly sendId: number
  /** The other side has answered, and nobody has said the last word. */
  readonly isOpen: boolean
  /** Completes the header and sends. */
  transmit(bytes: Uint8Array): void
  /** The queue is empty. */
  drained(): void
}

export class Outgoing {
  /** How long our packets are under way, as the other side says. */
  readonly delays: DelayHistory = new DelayHistory()
  /** Small packets wait while this is more than 0. */
  held = 0
  /** In a row. */
  timeouts = 0
  readonly #host: OutgoingHost
  readonly #memory: PacketMemory
  #outbox: Outbox
  readonly #round = new RoundTrip()
  readonly #ledbat: Ledbat
  readonly #queue: Uint8Array[] = []
  /** Of the first in the queue. */
  #queueAt = 0
  #packet: Uint8Array | undefined
  #packetAt = HEADER_BYTES
  #owesDrain = false
  #pumping = false
  #peerWindow = 0
  /** The window, ours or theirs, kept something from leaving. */
  #isLimited = false
  #timeoutAtMs = 0
  #sentMs = 0
  /** A window that stays shut is tried then: that it opens may have been lost. */
  #probeAtMs = Number.POSITIVE_INFINITY
  /** What is lost before this was the same loss. */
  #recoverAt: number
  #nowMs = 0

  /** `first` is the number of the first packet. */
  constructor(host: OutgoingHost, memory: PacketMemory, first: number) {
    this.#host = host
    this.#memory = memory
    this.#outbox = this.#outboxFrom(first)
    this.#recoverAt = first
    this.#ledbat = new Ledbat(memory.packetBytes, SEND_WINDOW)
  }

  #outboxFrom(first: number): Outbox {
    return new Outbox(first, (bytes) => this.#memory.freePacket(bytes))
  }

  /** Before anything was sent: it begins with this number. */
  beginWith(first: number): void {
    this.#outbox = this.#outboxFrom(first)
    this.#recoverAt = first
  }

  /** Of the first packet that is not acknowledged, and of the next one. */
  get first(): number {
    return this.#outbox.first
  }

  get next(): number {
    return this.#outbox.next
  }

  /** All that was sent is acknowledged. */
  get isDone(): boolean {
    return this.#outbox.length === 0
  }

  /** Something has to be sent, or waited for. */
  get isBusy(): boolean {
    return !this.isDone || this.#queue.length > 0 || this.#packet !== undefined
  }

  /** Whether a packet (RESET) speaks of one that is under way, or of the last that we said without a number of its own. */
  isAbout(ack: number): boolean {
    return ahead(ack + 1, this.#outbox.first) <= this.#outbox.length + 1
  }

  /** Takes bytes over. True when all of them have left, as far as the writer is concerned. */
  write(bytes: Uint8Array, nowMs: number): boolean {
    if (bytes.length > 0) this.#queue.push(bytes)
    this.pump(nowMs)
    if (this.#queue.length === 0) return true
    this.#owesDrain = true
    return false
  }

  /** Sends what may be sent. */
  pump(nowMs: number): void {
    if (this.#pumping) return
    this.#pumping = true
    this.#nowMs = nowMs
    this.#resend()
    this.#isLimited = false
    while (!this.#isLimited && this.#host.isOpen) {
      this.#fill()
      if (this.#queue.length === 0 && this.#owesDrain) {
        this.#owesDrain = false
        this.#host.drained()
        continue
      }
      if (this.#packet === undefined) break
      const isFull = this.#packetAt === this.#packet.length
      if (!isFull && (this.held > 0 || this.#queue.length > 0)) break
      this.#sendPacket()
    }
    this.#pumping = false
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
        this.#packet = this.#memory.takePacket()
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
    const { flightBytes } = outbox
    const fits =
      flightBytes + this.#packetAt <= Math.min(this.#ledbat.windowBytes, this.#peerWindow) &&
      !outbox.isFull &&
      !outbox.hasLost
    const probes = this.isDone && this.#nowMs >= this.#probeAtMs
    if (!fits && !probes) {
      this.#isLimited = true
      const isShut = this.isDone && this.#probeAtMs === Number.POSITIVE_INFINITY
      if (isShut) this.#probeAtMs = this.#nowMs + this.#round.timeoutMs
      return
    }
    if (this.isDone && this.#nowMs - this.#sentMs > this.#round.timeoutMs) this.#ledbat.rested()
    this.#pushPacket()
  }

  #pushPacket(): void {
    const full = this.#packet!
    const size = this.#packetAt
    this.#packet = undefined
    const bytes = size === full.length ? full : this.#memory.shrinkPacket(full, size)
    this.#push(bytes, ST_DATA, this.#host.sendId)
  }

  #push(bytes: Uint8Array, type: number, id: number): void {
    writeHeader(bytes, type, id, this.#outbox.next)
    if (this.isDone) this.#timeoutAtMs = this.#nowMs + this.#round.timeoutMs
    this.#outbox.push(bytes, this.#nowMs)
    this.#transmit(bytes)
  }

  #transmit(bytes: Uint8Array): void {
    this.#sentMs = this.#nowMs
    this.#host.transmit(bytes)
  }

  /** Sends a packet without a payload that counts; false when there is no room for it. */
  pushBare(type: number, id: number, nowMs: number): boolean {
    this.#nowMs = nowMs
    const packet = this.#outbox.isFull ? undefined : this.#memory.takePacket()
    if (packet === undefined) return false
    this.#push(this.#memory.shrinkPacket(packet, HEADER_BYTES), type, id)
    return true
  }

  /** The last word: what counts as having left is sent, the queue is not. */
  finish(nowMs: number): void {
    this.#nowMs = nowMs
    this.#queue.length = 0
    this.#owesDrain = false
    if (this.#packet !== undefined && !this.#outbox.isFull) this.#pushPacket()
  }

  /** What a packet acknowledges. False when that was never sent: nothing of the packet is to be believed. */
  hear(packet: Packet, nowMs: number): boolean {
    this.#nowMs = nowMs
    const outbox = this.#outbox
    const distance = ahead(packet.ack + 1, outbox.first)
    if (distance > outbox.length) return distance > U16 - MAX_OLD
    this.timeouts = 0
    this.#peerWindow = packet.windowBytes
    if (packet.windowBytes > 0) this.#probeAtMs = Number.POSITIVE_INFINITY
    const lost = outbox.acknowledge(packet, nowMs, this.#round.leastMs)
    if (outbox.ackedBytes > 0) this.#acknowledged(packet)
    if (lost && ahead(outbox.first, this.#recoverAt) <= U16 >> 1) {
      this.#recoverAt = outbox.next
      this.#ledbat.lost(nowMs)
    }
    return true
  }

  #acknowledged(packet: Packet): void {
    const { ackedBytes, roundMs } = this.#outbox
    if (roundMs >= 0) this.#round.add(roundMs)
    if (packet.delayMicros !== 0) this.delays.add(packet.delayMicros, this.#nowMs)
    this.#timeoutAtMs = this.#nowMs + this.#round.timeoutMs
    let queue = this.delays.queueMicros
    // Clocks may step: nothing waits longer than the whole round trip took.
    if (roundMs >= 0) queue = Math.min(queue, 1000 * roundMs)
    this.#ledbat.acked(ackedBytes, queue, this.#round.leastMs, this.#isLimited, this.#nowMs)
  }

  /** Nothing was heard of what is under way for too long. */
  isOverdue(nowMs: number): boolean {
    return !this.isDone && nowMs >= this.#timeoutAtMs
  }

  /** Takes all that is under way for lost, and begins to send it again, by one packet. */
  timedOut(nowMs: number): void {
    this.#nowMs = nowMs
    this.#outbox.loseAll()
    this.#ledbat.silent()
    this.#recoverAt = this.#outbox.next
    this.#round.passed()
    this.#resend()
  }

  /** Gives all memory back. */
  clear(): void {
    this.#outbox.clear()
    this.#queue.length = 0
    if (this.#packet !== undefined) this.#memory.freePacket(this.#packet)
    this.#packet = undefined
  }
}
