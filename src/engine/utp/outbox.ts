/**
 * Packets that were sent and not acknowledged, and which of them are lost.
 *
 * ```
 *  first          next
 *    v             v
 *  [ p . p s p p ] .        p: under way or lost; s: acknowledged selectively, gone; a ring by sequence number
 * ```
 *
 * Every time that a packet is sent it gets the next number of an order. A packet is lost when one that was sent REORDER
 * or more after it has arrived: that covers three duplicate acknowledgements, selective ones, and packets that are lost
 * again, and bears a way that changes the order a little.
 *
 * Invariants: at most MAX_PACKETS from `first` to `next`; `flightBytes` is the size of those that are neither acknowledged
 * nor lost; a packet's memory goes back when it is acknowledged.
 */
import { ahead, type Packet, ST_STATE, U16 } from './packet.ts'

/** A window of this many is 1.4 MB. */
const MAX_PACKETS = 1024
const FIRST_PACKETS = 16
const REORDER = 3

export interface Sent {
  /** Header and payload; undefined: acknowledged. */
  bytes: Uint8Array | undefined
  /** Of all it was sent as, the last. */
  order: number
  sentMs: number
  times: number
  lost: boolean
}

export class Outbox {
  /** Number of the first that is not acknowledged. */
  first: number
  /** Number of the next to be sent. */
  next: number
  flightBytes = 0
  /** Of the last `acknowledge`: bytes that were new, and how long the round trip took; -1: not known. */
  ackedBytes = 0
  roundMs = -1
  readonly #free: (bytes: Uint8Array) => void
  #ring: (Sent | undefined)[] = new Array(FIRST_PACKETS)
  #order = 0
  /** The highest order that has arrived. */
  #arrived = -1
  #lostCount = 0
  /** None before it is lost. */
  #lostFrom = 0
  #duplicates = 0

  /** `first` is the number of the first packet; `free` takes a packet's memory back. */
  constructor(first: number, free: (bytes: Uint8Array) => void) {
    this.first = first
    this.next = first
    this.#free = free
  }

  /** Packets from the first that is not acknowledged to the last. */
  get length(): number {
    return ahead(this.next, this.first)
  }

  get isFull(): boolean {
    return this.length === MAX_PACKETS
  }

  get hasLost(): boolean {
    return this.#lostCount > 0
  }

  /** When the first packet was sent last; to be asked only when there is one. */
  get firstSentMs(): number {
    return this.#at(this.first)!.sentMs
  }

  #at(seq: number): Sent | undefined {
    return this.#ring[seq & (this.#ring.length - 1)]
  }

  /** The packet with number `next` is sent. */
  push(bytes: Uint8Array, nowMs: number): void {
    if (this.length === this.#ring.length) this.#grow()
    const index = this.next & (this.#ring.length - 1)
    const slot = this.#ring[index]
    const order = this.#order++
    if (slot === undefined) {
      this.#ring[index] = { bytes, order, sentMs: nowMs, times: 1, lost: false }
    } else {
      slot.bytes = bytes
      slot.order = order
      slot.sentMs = nowMs
      slot.times = 1
      slot.lost = false
    }
    this.flightBytes += bytes.length
    this.next = (this.next + 1) & U16
  }

  #grow(): void {
    const old = this.#ring
    const ring = new Array<Sent | undefined>(old.length * 2)
    for (let i = 0; i < old.length; i++) {
      const seq = (this.first + i) & U16
      ring[seq & (ring.length - 1)] = old[seq & (old.length - 1)]
    }
    this.#ring = ring
  }

  /**
   * What the other side has: all up to `packet.ack`, and what it names. True when something is lost that was not known to
   * be. `leastMs` is the shortest round trip there was. An acknowledgement of what was never sent is for the caller to
   * refuse. Allocates nothing.
   */
  acknowledge(packet: Packet, nowMs: number, leastMs: number): boolean {
    this.ackedBytes = 0
    this.roundMs = -1
    const count = ahead(packet.ack + 1, this.first)
    const isNews = count > 0 && count <= this.length
    if (isNews) {
      for (let i = 0; i < count; i++)
        this.#arrive(this.#at((this.first + i) & U16)!, nowMs, leastMs)
      this.first = (packet.ack + 1) & U16
      this.#duplicates = 0
    }
    // Of an old packet, bits would name others than they did.
    const isCurrent = ahead(packet.ack + 1, this.first) === 0
    if (!isCurrent || this.length === 0) return false
    if (packet.sackBytes > 0) this.#takeSelective(packet, nowMs, leastMs)
    else if (isNews || packet.type !== ST_STATE || !this.#isThird()) return false
    return this.#findLost()
  }

  /** Who knows no selective acknowledgements says the same one again for each packet behind the gap. */
  #isThird(): boolean {
    if (++this.#duplicates < REORDER) return false
    this.#duplicates = 0
    const { order } = this.#at(this.first)!
    if (this.#order <= order + REORDER) return false
    if (this.#arrived < order + REORDER) this.#arrived = order + REORDER
    return true
  }

  #takeSelective(packet: Packet, nowMs: number, leastMs: number): void {
    const { bytes, sackAt, sackBytes } = packet
    const known = this.length
    for (let i = 0; i < sackBytes * 8; i++) {
      // Bit 0 is the second that is missing: the first is missing for sure.
      if (i + 1 >= known) return
      if ((bytes[sackAt + (i >> 3)]! & (1 << (i & 7))) === 0) continue
      const sent = this.#at((this.first + 1 + i) & U16)!
      if (sent.bytes !== undefined) this.#arrive(sent, nowMs, leastMs)
    }
  }

  #arrive(sent: Sent, nowMs: number, leastMs: number): void {
    const { bytes } = sent
    if (bytes === undefined) return
    sent.bytes = undefined
    this.ackedBytes += bytes.length
    if (sent.lost) {
      sent.lost = false
      this.#lostCount--
    } else this.flightBytes -= bytes.length
    const ms = nowMs - sent.sentMs
    if (sent.times === 1) this.roundMs = ms
    // Sooner than a round trip takes it is an earlier time that has arrived, which tells nothing of those since.
    if ((sent.times === 1 || ms >= leastMs) && sent.order > this.#arrived) {
      this.#arrived = sent.order
    }
    this.#free(bytes)
  }

  #findLost(): boolean {
    if (this.#arrived < REORDER) return false
    const before = this.#arrived - REORDER
    let found = false
    const { length } = this
    for (let i = 0; i < length; i++) {
      const sent = this.#at((this.first + i) & U16)!
      if (sent.order > before) {
        // Whoever comes after one that was sent once was sent after it.
        if (sent.times === 1) break
        continue
      }
      if (sent.bytes === undefined || sent.lost) continue
      this.#lose(sent, i)
      found = true
    }
    return found
  }

  #lose(sent: Sent, offset: number): void {
    sent.lost = true
    this.flightBytes -= sent.bytes!.length
    const seq = (this.first + offset) & U16
    if (this.#lostCount++ === 0 || ahead(this.#lostFrom, seq) < MAX_PACKETS) this.#lostFrom = seq
  }

  /** Nothing was heard in time: all that is under way is lost. */
  loseAll(): void {
    const { length } = this
    for (let i = 0; i < length; i++) {
      const sent = this.#at((this.first + i) & U16)!
      if (sent.bytes !== undefined && !sent.lost) this.#lose(sent, i)
    }
  }

  /** The first that is lost, without a change; to be asked only when there is one. */
  get firstLost(): Sent {
    if (ahead(this.#lostFrom, this.first) >= MAX_PACKETS) this.#lostFrom = this.first
    for (;;) {
      const sent = this.#at(this.#lostFrom)!
      if (sent.lost) return sent
      this.#lostFrom = (this.#lostFrom + 1) & U16
    }
  }

  /** The first that is lost is sent again. */
  again(sent: Sent, nowMs: number): void {
    sent.lost = false
    sent.times++
    sent.order = this.#order++
    sent.sentMs = nowMs
    this.#lostCount--
    this.flightBytes += sent.bytes!.length
  }

  /** Gives all memory back. */
  clear(): void {
    while (this.first !== this.next) {
      const { bytes } = this.#at(this.first)!
      if (bytes !== undefined) this.#free(bytes)
      this.first = (this.first + 1) & U16
    }
    this.#ring = []
    this.flightBytes = 0
    this.#lostCount = 0
  }
}
