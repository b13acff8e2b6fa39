/**
 * UDP on the fast path: batches of packets from a socket to the handler and back, in phases.
 *
 *     receive up to 64   admit each   prefetch the swarms of all   answer each into its reply   send all
 *
 * Each phase runs over the whole batch, so that what 64 packets miss in the cache is fetched at the same time. The clock is read once.
 *
 * Out of the epoll while there is much: a socket in one makes the kernel look up and tell whoever waits for each packet that comes and for
 * each that has left, which is a sixteenth of what it does for both.
 *
 * Past capacity the kernel's queue fills and refuses what comes; what is in it grows old, and its senders may have given up. So a queue that was
 * never empty for SHED_AFTER_MS and is more than half full loses what it holds: what is answered next came just now.
 *
 * Invariants: nothing is allocated per packet (hooks may); a socket has its turn for ROUNDS batches, then others have theirs.
 */
import type { SharedPeerStore } from '../../peer-store/index.ts'
import { isMapped } from '../addresses.ts'
import type { Counters, TransportCounters } from '../counters.ts'
import type { Admission, UdpHandler } from '../udp-handler.ts'
import type { BatchClock } from './batch-clock.ts'
import { BATCH, DatagramBatch } from './datagram-batch.ts'
import { EPOLLEXCLUSIVE, EPOLLIN, type Libc } from './libc.ts'
import type { DescriptorHandler, Poller } from './poller.ts'
import { QueueGauge } from './socket.ts'

const ROUNDS = 16
/** Packets in a batch that are worth two calls to leave the epoll and to come back. */
const MANY = 16
/** Half a second is long for a queue of some milliseconds, and short for clients, who wait for 15 s. */
const SHED_AFTER_MS = 500
/** What is shed at a time, at most. */
const SHED_BATCHES = 512
/** Where the info-hash of an announce and the first of a scrape are. */
const INFO_HASH_AT = 16

/** What is served, and replaced for all sockets at once. */
export interface UdpFront {
  readonly libc: Libc
  readonly store: SharedPeerStore
  readonly clock: BatchClock
  readonly counters: Counters
  readonly poller: Pick<Poller, 'add' | 'remove'>
  handler: UdpHandler
  timed: boolean
}

export class UdpListener implements DescriptorHandler {
  readonly #front: UdpFront
  readonly #fd: number
  readonly #counts: TransportCounters
  readonly #batch: DatagramBatch
  readonly #gauge: QueueGauge
  readonly #admissions: Admission[] = new Array<Admission>(BATCH).fill('drop')
  /** Of each packet; IPv4-mapped ones as IPv4. */
  readonly #addresses: Uint8Array[]
  readonly #own: readonly Uint8Array[]
  readonly #mapped: readonly Uint8Array[]
  /** When the queue was last seen empty. */
  #emptyMs: number
  #overflowed: number

  constructor(
    front: UdpFront,
    fd: number,
    family: 4 | 6,
    batch: DatagramBatch = new DatagramBatch(front.libc, family),
  ) {
    this.#front = front
    this.#fd = fd
    this.#counts = front.counters.transports[family === 4 ? 'udp4' : 'udp6']
    this.#batch = batch
    this.#gauge = new QueueGauge(front.libc)
    this.#own = Array.from({ length: BATCH }, () => new Uint8Array(family === 4 ? 4 : 16))
    this.#mapped = this.#own.map((own) => own.subarray(12))
    this.#addresses = [...this.#own]
    this.#emptyMs = front.clock.exactMs()
    this.#overflowed = this.#gauge.read(fd) ? this.#gauge.dropped : 0
  }

  /** Lets the poller tell of packets. */
  listen(): void {
    this.#front.poller.add(this.#fd, EPOLLIN | EPOLLEXCLUSIVE, this)
  }

  onEvents(): void {
    const { clock, poller } = this.#front
    let listens = true
    for (let round = 0; round < ROUNDS; round++) {
      const count = this.#batch.receive(this.#fd)
      clock.take()
      if (count < BATCH) this.#emptyMs = clock.monotonicMs()
      if (count === 0) break
      if (listens && count >= MANY) {
        poller.remove(this.#fd)
        listens = false
      }
      // Then looks again at once: while this batch is served the next one comes, and to ask for it is cheaper than to be told.
      this.#serve(count)
    }
    if (!listens) this.listen()
    if (clock.monotonicMs() - this.#emptyMs > SHED_AFTER_MS) this.#shed()
  }

  /** Counts what the kernel had no room for since the last call. */
  look(): void {
    if (!this.#gauge.read(this.#fd)) return
    this.#counts.overflowed += (this.#gauge.dropped - this.#overflowed) >>> 0
    this.#overflowed = this.#gauge.dropped
  }

  #serve(count: number): void {
    const { handler, store, counters, clock, timed } = this.#front
    const { responses } = counters
    const batch = this.#batch
    const { bytes } = batch
    const admissions = this.#admissions
    const addresses = this.#addresses
    const begunMs = timed ? clock.exactMs() : 0
    let admitted = 0
    for (let i = 0; i < count; i++) {
      const address = this.#readAddress(i)
      const admission = batch.isForged(i)
        ? 'drop'
        : handler.admit(bytes, batch.startOf(i), batch.endOf(i), address)
      admissions[i] = admission
      if (admission === 'announce' || admission === 'scrape') admitted++
    }
    // Of the few others it fetches what nobody reads; of many others, of a flood, it would be a waste.
    if (admitted * 2 > count) {
      store.prefetch(
        bytes,
        batch.startOf(0) + INFO_HASH_AT,
        batch.startOf(1) - batch.startOf(0),
        count,
      )
    }
    for (let i = 0; i < count; i++) {
      const length = handler.answer(
        admissions[i]!,
        bytes,
        batch.startOf(i),
        batch.endOf(i),
        addresses[i]!,
        bytes,
        batch.nextReply,
      )
      if (length > 0) batch.addReply(i, length)
      if (handler.action < 0) continue
      const elapsedMs = timed ? clock.exactMs() - begunMs : -1
      const family = addresses[i]!.length === 4 ? 4 : 6
      responses.note('udp', handler.action, family, handler.reason, elapsedMs)
    }
    const unsent = batch.send(this.#fd)
    if (unsent > 0) this.#counts.unsent += unsent
  }

  /** A socket that was handed in may serve both families. */
  #readAddress(packet: number): Uint8Array {
    const own = this.#own[packet]!
    this.#batch.readAddress(packet, own)
    const address = own.length === 16 && isMapped(own, 0) ? this.#mapped[packet]! : own
    this.#addresses[packet] = address
    return address
  }

  /** Throws away what has waited, if the queue is more than half full. */
  #shed(): void {
    this.#emptyMs = this.#front.clock.monotonicMs()
    const gauge = this.#gauge
    if (!gauge.read(this.#fd) || gauge.queuedBytes * 2 < gauge.roomBytes) return
    for (let batches = 0; batches < SHED_BATCHES; batches++) {
      const count = this.#batch.receive(this.#fd)
      this.#counts.shed += count
      if (count < BATCH) return
      // As many as the queue held; those that came meanwhile stay.
      if (batches % 8 === 7 && gauge.read(this.#fd) && gauge.queuedBytes * 8 < gauge.roomBytes)
        return
    }
  }
}
