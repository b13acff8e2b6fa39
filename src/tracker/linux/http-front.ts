/**
 * HTTP on the fast path: connections of one worker, served from its epoll with accept4, recv and send. What becomes of a connection is
 * ../http-connections.ts, the same as on the portable path; a slot there is a descriptor here.
 *
 *     listener readable   accept up to 64; read each at once: with TCP_DEFER_ACCEPT its request is there
 *     connection readable one recv, answers sent at once
 *     an answer that the kernel does not take whole is kept, and nothing more is read until it has left
 *
 * A connection that asks, is answered and closes costs accept4, recv, send and close, and never enters the epoll.
 *
 * Past capacity requests grow old in the kernel. While every look finds as many as it can hold, one in each is asked how long
 * it has waited; if that is longer than a client waits for, each is asked, and those that have are closed unanswered.
 *
 * Invariants: what waits to be sent of a connection is bounded by what http-connections.ts answers at a time. No error of
 * a connection, and no want of descriptors, stops the others or makes the thread spin. Nothing is allocated for a request that
 * comes whole and is answered at once, hooks apart.
 */
import type { Clock } from '../../base/index.ts'
import type { AddressFamily } from '../../peer-store/index.ts'
import { isMapped } from '../addresses.ts'
import type { Counters } from '../counters.ts'
import { type ConnectionLimits, HttpConnections, type HttpTransport } from '../http-connections.ts'
import type { HttpHandler } from '../http-handler.ts'
import { SOCKADDR_ADDRESS, SOCKADDR_BYTES } from './layouts.ts'
import {
  EAGAIN,
  ECONNABORTED,
  EINTR,
  EMFILE,
  ENFILE,
  ENOBUFS,
  EPERM,
  EPOLLET,
  EPOLLEXCLUSIVE,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  EPROTO,
  IPPROTO_TCP,
  type Libc,
  MSG_MORE,
  MSG_NOSIGNAL,
  SHUT_WR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  TCP_INFO,
  TCP_INFO_LAST_DATA_RECEIVED,
  TCP_NODELAY,
} from './libc.ts'
import { PinnedMemory } from './pinned-memory.ts'
import type { DescriptorHandler, Poller } from './poller.ts'
import { SendSources } from './send-sources.ts'
import { setOption } from './socket.ts'

/** Some fifty pipelined announces. */
const RECEIVE_BYTES: number = 16 * 1024
const ACCEPT_BURST = 64
/** Clients wait for some 15 s, and ask again when they give up. */
const SHED_AGE_MS = 3000
const INFO_BYTES = 104

const ADDRESS: number = RECEIVE_BYTES
const ADDRESS_LENGTH: number = ADDRESS + 32
const INFO: number = ADDRESS + 64
const INFO_LENGTH: number = INFO + INFO_BYTES
const BYTES: number = INFO_LENGTH + 8

/**
 * Connections are told of by their changes: the kernel then need not look again at each that was told of. So who has not read all asks
 * anew (`#watch` does), and who is told of an end reads until there is none.
 */
const READABLE: number = EPOLLIN | EPOLLRDHUP | EPOLLET
const WRITABLE: number = EPOLLOUT | EPOLLET

/** Bits of `#states`. */
const IN_POLLER = 1
const WAITS_TO_SEND = 2
const ENDS = 4
/** Reads on, so that what is still coming does not reset the connection before the last answer has arrived. */
const LINGERS = 8
const BROKEN = 16

/**
 * Takes a connection over whose request asks to go on as WebSocket: an open descriptor, the other end, and what has been read from
 * that request on.
 */
export type TakeDescriptor = (fd: number, remote: Uint8Array, bytes: Uint8Array) => void

export interface HttpFrontOptions {
  readonly libc: Libc
  readonly poller: Poller
  readonly clock: Clock
  readonly counters: Counters
  readonly handler: HttpHandler
  readonly limits: ConnectionLimits
  /** Absent: a request for WebSocket is answered as any other. */
  readonly takeOver?: TakeDescriptor
  /** How long a request may have waited. Default SHED_AGE_MS. */
  readonly shedAgeMs?: number
}

export class HttpFront {
  readonly connections: HttpConnections
  readonly #libc: Libc
  readonly #poller: Poller
  readonly #counters: Counters
  readonly #memory: PinnedMemory
  readonly #bytes: Uint8Array
  readonly #target: bigint
  readonly #address: bigint
  readonly #addressLength: bigint
  readonly #info: bigint
  readonly #infoLength: bigint
  readonly #shedAgeMs: number
  readonly #handler: DescriptorHandler
  readonly #listeners: Listener[] = []
  /** Closed to make room for a connection that is to be refused, when there are no descriptors left. */
  #spareFd: number

  // By descriptor.
  #states = new Uint8Array(1024)
  readonly #outgoing: (Uint8Array | undefined)[] = []

  /** The handler's answers, and those of pipelined requests. */
  readonly #sources: SendSources
  /** Whether ages are looked at in this round. */
  #looks = false

  constructor(options: HttpFrontOptions) {
    const { libc, poller, clock, counters, handler, limits, takeOver } = options
    this.#libc = libc
    this.#poller = poller
    this.#counters = counters
    this.#memory = new PinnedMemory(libc, BYTES)
    this.#bytes = this.#memory.bytes
    this.#target = this.#memory.at(0)
    this.#address = this.#memory.at(ADDRESS)
    this.#addressLength = this.#memory.at(ADDRESS_LENGTH)
    this.#info = this.#memory.at(INFO)
    this.#infoLength = this.#memory.at(INFO_LENGTH)
    this.#shedAgeMs = options.shedAgeMs ?? SHED_AGE_MS
    this.#handler = { onEvents: (fd, events) => this.#onEvents(fd, events) }
    this.#spareFd = this.#openSpare()
    this.#sources = new SendSources(libc, handler.reply)
    const transport = this.#transport(takeOver)
    this.connections = new HttpConnections(clock, handler, counters, limits, transport)
  }

  /** Serves connections of a listening socket, which stays the caller's. */
  listen(fd: number, family: AddressFamily): void {
    // Those that it accepts inherit it.
    setOption(this.#libc, fd, IPPROTO_TCP, TCP_NODELAY, 1)
    const listener = new Listener(fd, this.#poller, () => this.#accept(fd, family))
    this.#listeners.push(listener)
  }

  /** Before each round, with the clock taken: whether the poller finds as many events as it can hold, again and again. */
  begin(saturated: boolean): void {
    this.#looks = saturated
    this.connections.readClock()
  }

  /** Once a second (SWEEP_MS): deadlines, and what there was no descriptor for. */
  sweep(): void {
    this.connections.sweep()
    if (this.#spareFd < 0) this.#spareFd = this.#openSpare()
    for (const listener of this.#listeners) listener.resume()
  }

  close(): void {
    for (const listener of this.#listeners.splice(0)) listener.close()
    this.connections.closeAll()
    if (this.#spareFd >= 0) this.#libc.close(this.#spareFd)
    this.#spareFd = -1
  }

  /** False: no more can be accepted for now. */
  #accept(listener: number, family: AddressFamily): boolean {
    const libc = this.#libc
    const connections = this.connections
    const at = ADDRESS + SOCKADDR_ADDRESS[family]
    for (let accepted = 0; accepted < ACCEPT_BURST; accepted++) {
      this.#memory.put(ADDRESS_LENGTH, SOCKADDR_BYTES[family])
      const flags = SOCK_NONBLOCK | SOCK_CLOEXEC
      const fd = libc.accept4(listener, this.#address, this.#addressLength, flags)
      if (fd < 0) {
        const errno = libc.errno()
        if (errno === EAGAIN) return true
        if (errno === EINTR || errno === ECONNABORTED || errno === EPROTO || errno === EPERM)
          continue
        const isFull = errno === EMFILE || errno === ENFILE
        if (!isFull || !this.#refuse(listener, family)) return false
        continue
      }
      if (fd >= this.#states.length) this.#grow(fd)
      this.#states[fd] = 0
      // A socket that was handed in may serve both families.
      const isIpv4 = family === 6 && isMapped(this.#bytes, at)
      const from = isIpv4 ? at + 12 : at
      if (!connections.open(fd, this.#bytes, from, isIpv4 ? 4 : family)) {
        libc.close(fd)
        continue
      }
      this.#receive(fd, EPOLLIN)
      if (this.#states[fd] !== 0 || !connections.isOpen(fd)) continue
      this.#watch(fd, READABLE)
      if ((this.#states[fd]! & BROKEN) !== 0) this.#close(fd)
    }
    return true
  }

  /** With no descriptor left: accepts one by the spare, and closes it. False when that fails, too. */
  #refuse(listener: number, family: AddressFamily): boolean {
    if (this.#spareFd < 0) return false
    const libc = this.#libc
    libc.close(this.#spareFd)
    const fd = libc.accept4(listener, null, null, SOCK_CLOEXEC)
    if (fd >= 0) {
      libc.close(fd)
      this.#counters.transports[family === 4 ? 'http4' : 'http6'].dropped++
    }
    this.#spareFd = this.#openSpare()
    return fd >= 0 && this.#spareFd >= 0
  }

  #openSpare(): number {
    return this.#libc.eventfd(0, SOCK_CLOEXEC)
  }

  #onEvents(fd: number, events: number): void {
    const state = this.#states[fd]!
    if ((state & WAITS_TO_SEND) === 0) {
      this.#receive(fd, events)
      return
    }
    // Also when the connection has failed: sending says so.
    if ((events & ~EPOLLIN) !== 0) this.#sendRest(fd)
  }

  #receive(fd: number, events: number): void {
    const libc = this.#libc
    const connections = this.connections
    const count = libc.recv(fd, this.#target, RECEIVE_BYTES, 0)
    if (count > 0) {
      if (this.#looks && this.#isTooOld(fd)) {
        this.#counters.transports[connections.familyOf(fd) === 4 ? 'http4' : 'http6'].shed++
        this.#close(fd)
        return
      }
      connections.received(fd, this.#bytes, 0, count)
    } else if (count === 0) {
      if ((this.#states[fd]! & LINGERS) !== 0) this.#close(fd)
      else connections.ended(fd)
    } else {
      const errno = libc.errno()
      if (errno !== EAGAIN && errno !== EINTR) this.#close(fd)
      return
    }
    const state = this.#states[fd]!
    if ((state & BROKEN) !== 0) this.#close(fd)
    // More may be there, or the end; unless it has closed or waits to send, it is asked about again.
    else if ((state & (IN_POLLER | WAITS_TO_SEND)) !== IN_POLLER) return
    else if (count === RECEIVE_BYTES || (count > 0 && (events & ~EPOLLIN) !== 0)) {
      this.#watch(fd, READABLE)
    }
  }

  #transport(takeOver: TakeDescriptor | undefined): HttpTransport {
    return {
      send: (fd, bytes, start, end, isLast) => this.#send(fd, bytes, start, end, isLast),
      finish: (fd, abrupt) => this.#finish(fd, abrupt),
      cut: (fd) => this.#close(fd),
      secure: (fd) => this.#close(fd),
      ...(takeOver === undefined
        ? {}
        : {
            takeOver: (fd, remote, bytes, start, end) => {
              if ((this.#states[fd]! & IN_POLLER) !== 0) this.#poller.remove(fd)
              // Who asked for so much before that it has not left yet cannot be given away whole.
              const broken = (this.#states[fd]! & (BROKEN | WAITS_TO_SEND)) !== 0
              this.#forget(fd)
              if (broken) this.#libc.close(fd)
              else takeOver(fd, remote.slice(), bytes.slice(start, end))
            },
          }),
    }
  }

  #send(fd: number, bytes: Uint8Array, start: number, end: number, isLast: boolean): boolean {
    const state = this.#states[fd]!
    if ((state & BROKEN) !== 0) return true
    if ((state & WAITS_TO_SEND) !== 0) {
      this.#queue(fd, bytes, start, end)
      return false
    }
    const libc = this.#libc
    const length = end - start
    // The last answer and the end of the connection travel in one segment.
    const flags = isLast ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL
    const sent = libc.send(fd, this.#sources.pointerTo(bytes, start), length, flags)
    if (sent === length) return true
    if (sent < 0) {
      const errno = libc.errno()
      if (errno !== EAGAIN && errno !== EINTR && errno !== ENOBUFS) {
        this.#states[fd]! |= BROKEN
        return true
      }
    }
    this.#queue(fd, bytes, start + Math.max(0, sent), end)
    return false
  }

  /** Keeps what did not leave. */
  #queue(fd: number, bytes: Uint8Array, start: number, end: number): void {
    const before = this.#outgoing[fd]
    const had = before?.length ?? 0
    const queued = new Uint8Array(had + end - start)
    if (before !== undefined) queued.set(before)
    queued.set(bytes.subarray(start, end), had)
    this.#outgoing[fd] = queued
    if ((this.#states[fd]! & WAITS_TO_SEND) !== 0) return
    this.#watch(fd, WRITABLE)
    this.#states[fd]! |= WAITS_TO_SEND
  }

  #sendRest(fd: number): void {
    const libc = this.#libc
    const queued = this.#outgoing[fd]!
    const sent = libc.send(fd, queued, queued.length, MSG_NOSIGNAL)
    if (sent < 0) {
      const errno = libc.errno()
      if (errno !== EAGAIN && errno !== EINTR && errno !== ENOBUFS) this.#close(fd)
      return
    }
    if (sent < queued.length) {
      this.#outgoing[fd] = queued.slice(sent)
      return
    }
    this.#outgoing[fd] = undefined
    this.#states[fd]! &= ~WAITS_TO_SEND
    if ((this.#states[fd]! & ENDS) !== 0) {
      this.#finish(fd, (this.#states[fd]! & LINGERS) !== 0)
      return
    }
    this.#watch(fd, READABLE)
    this.connections.flushed(fd)
    if ((this.#states[fd]! & BROKEN) !== 0) this.#close(fd)
  }

  #finish(fd: number, abrupt: boolean): void {
    this.#states[fd]! |= abrupt ? ENDS | LINGERS : ENDS
    if ((this.#states[fd]! & WAITS_TO_SEND) !== 0) return
    if (!abrupt) {
      this.#close(fd)
      return
    }
    this.#libc.shutdown(fd, SHUT_WR)
    this.#watch(fd, READABLE)
  }

  /** Asks the epoll for `events` of a connection. */
  #watch(fd: number, events: number): void {
    try {
      if ((this.#states[fd]! & IN_POLLER) !== 0) {
        this.#poller.modify(fd, events)
      } else {
        this.#poller.add(fd, events, this.#handler)
        this.#states[fd]! |= IN_POLLER
      }
    } catch {
      // The kernel has no memory for it.
      this.#states[fd]! |= BROKEN
    }
  }

  #close(fd: number): void {
    this.#poller.forget(fd)
    this.#forget(fd)
    this.#libc.close(fd)
    this.connections.closed(fd)
  }

  #forget(fd: number): void {
    this.#states[fd] = 0
    this.#outgoing[fd] = undefined
  }

  /** Whether what was read had waited too long; one that had not ends the looking of this round. */
  #isTooOld(fd: number): boolean {
    const libc = this.#libc
    this.#memory.put(INFO_LENGTH, INFO_BYTES)
    this.#looks =
      libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, this.#info, this.#infoLength) === 0 &&
      this.#memory.words[(INFO + TCP_INFO_LAST_DATA_RECEIVED) >>> 2]! > this.#shedAgeMs
    return this.#looks
  }

  #grow(fd: number): void {
    const larger = new Uint8Array(2 ** Math.ceil(Math.log2(fd + 1)))
    larger.set(this.#states)
    this.#states = larger
  }
}

/** A listening socket; while nothing can be accepted it is not asked about, until `resume`. */
class Listener implements DescriptorHandler {
  readonly #fd: number
  readonly #poller: Poller
  readonly #accept: () => boolean
  #paused = false

  constructor(fd: number, poller: Poller, accept: () => boolean) {
    this.#fd = fd
    this.#poller = poller
    this.#accept = accept
    this.#watch()
  }

  onEvents(): void {
    if (this.#accept()) return
    this.#paused = true
    this.#poller.remove(this.#fd)
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#watch()
  }

  close(): void {
    this.#poller.remove(this.#fd)
  }

  /** A socket that several workers share wakes one of them. */
  #watch(): void {
    this.#poller.add(this.#fd, EPOLLIN | EPOLLEXCLUSIVE, this)
  }
}
