/**
 * Live connections of a worker, moved by its epoll with recv and send.
 *
 *     readable   one recv into memory that all of them share; the owner is told before the next
 *     send       goes to the kernel at once; what that does not take is copied, and leaves when it is told of room
 *
 * They are told of by changes (edge-triggered, of both directions from the beginning), so the kernel need not look again at each that
 * was told of. So who has not read all asks anew (`#ask`).
 *
 * Invariants: what was sent first leaves first; a descriptor that was closed is not touched: it may be another's by now. A connection that
 * fails is ended in its own event, never in the midst of a `send`.
 */
import type { SignalSocket, SocketOwner } from '../websocket/signal-socket.ts'
import {
  EAGAIN,
  EINTR,
  ENOBUFS,
  EPOLLET,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  type Libc,
  MSG_NOSIGNAL,
  SHUT_WR,
} from './libc.ts'
import { PinnedMemory } from './pinned-memory.ts'
import type { DescriptorHandler, Poller } from './poller.ts'
import { SendSources } from './send-sources.ts'

const RECEIVE_BYTES = 65_536
const EVENTS: number = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET

/** Those of one thread. */
export class DescriptorSockets {
  readonly libc: Libc
  readonly poller: Poller
  /** What is read: of one at a time. */
  readonly memory: Buffer
  readonly target: bigint
  readonly sources: SendSources

  constructor(libc: Libc, poller: Poller) {
    this.libc = libc
    this.poller = poller
    const pinned = new PinnedMemory(libc, RECEIVE_BYTES)
    const { buffer, byteOffset } = pinned.bytes
    this.memory = Buffer.from(buffer, byteOffset, RECEIVE_BYTES)
    this.target = pinned.address
    this.sources = new SendSources(libc, this.memory)
  }

  /** A connection whose descriptor is not in the epoll, and this one's from now on. */
  adopt(fd: number): SignalSocket {
    return new DescriptorSocket(this, fd)
  }
}

class DescriptorSocket implements SignalSocket, DescriptorHandler {
  unsentBytes = 0
  readonly #shared: DescriptorSockets
  readonly #fd: number
  #owner: SocketOwner | undefined
  /** What the kernel did not take, in order. */
  readonly #queue: Buffer[] = []
  #watched = false
  #paused = true
  /** The other side ended. */
  #ended = false
  /** Our side ends when the queue is empty. */
  #finishing = false
  /** Nothing can be sent any more. */
  #broken = false
  #gone = false

  constructor(shared: DescriptorSockets, fd: number) {
    this.#shared = shared
    this.#fd = fd
  }

  attach(owner: SocketOwner): void {
    this.#owner = owner
  }

  send(memory: Buffer, start: number, end: number): void {
    if (this.#gone || this.#broken || this.#finishing) return
    const sent = this.#queue.length === 0 ? this.#give(memory, start, end) : 0
    if (start + sent < end && !this.#broken) this.#keep(memory, start + sent, end)
  }

  finish(): void {
    if (this.#gone || this.#finishing) return
    this.#finishing = true
    if (this.#queue.length === 0) this.#shared.libc.shutdown(this.#fd, SHUT_WR)
  }

  destroy(): void {
    if (this.#gone) return
    this.#gone = true
    this.#queue.length = 0
    this.unsentBytes = 0
    const { poller, libc } = this.#shared
    if (this.#watched) poller.forget(this.#fd)
    libc.close(this.#fd)
    this.#owner?.closed()
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    if (!this.#paused || this.#gone) return
    this.#paused = false
    this.#ask()
  }

  onEvents(_fd: number, events: number): void {
    if ((events & EPOLLOUT) !== 0 && this.#queue.length > 0) this.#sendRest()
    if (!this.#gone && !this.#paused && (events & ~EPOLLOUT) !== 0) this.#receive(events)
  }

  #receive(events: number): void {
    const { libc, memory, target } = this.#shared
    const count = libc.recv(this.#fd, target, RECEIVE_BYTES, 0)
    if (count > 0) {
      this.#owner!.received(memory, count)
      // More may be there, or the end.
      const more = count === RECEIVE_BYTES || (events & ~(EPOLLIN | EPOLLOUT)) !== 0
      if (more && !this.#gone && !this.#paused) this.#ask()
    } else if (count === 0) {
      if (this.#ended) return
      this.#ended = true
      this.#owner!.ended()
    } else {
      const errno = libc.errno()
      if (errno === EINTR) this.#ask()
      else if (errno !== EAGAIN) this.destroy()
    }
  }

  /** How much the kernel takes now. */
  #give(memory: Buffer, start: number, end: number): number {
    const { libc, sources } = this.#shared
    const sent = libc.send(this.#fd, sources.pointerTo(memory, start), end - start, MSG_NOSIGNAL)
    if (sent >= 0) return sent
    const errno = libc.errno()
    if (errno === EAGAIN || errno === EINTR || errno === ENOBUFS) return 0
    this.#broken = true
    // The epoll has told that or will, but perhaps to nobody while this was paused.
    this.#ask()
    return 0
  }

  #keep(memory: Buffer, start: number, end: number): void {
    // In memory of its own: small buffers of node's share theirs, and may be moved.
    const rest = Buffer.allocUnsafeSlow(end - start)
    memory.copy(rest, 0, start, end)
    this.#queue.push(rest)
    this.unsentBytes += rest.length
    if (this.#queue.length === 1) this.#ask()
  }

  #sendRest(): void {
    const queue = this.#queue
    let done = 0
    while (done < queue.length) {
      const bytes = queue[done]!
      const sent = this.#give(bytes, 0, bytes.length)
      this.unsentBytes -= sent
      if (sent < bytes.length) {
        queue[done] = bytes.subarray(sent)
        break
      }
      done++
    }
    queue.splice(0, this.#broken ? queue.length : done)
    if (this.#broken) this.unsentBytes = 0
    if (queue.length > 0) {
      this.#ask()
      return
    }
    if (this.#finishing && !this.#broken) this.#shared.libc.shutdown(this.#fd, SHUT_WR)
    this.#owner!.drained()
  }

  /** Has the epoll tell of what is so now, and of what changes. */
  #ask(): void {
    const { poller } = this.#shared
    try {
      if (this.#watched) poller.modify(this.#fd, EVENTS)
      else poller.add(this.#fd, EVENTS, this)
      this.#watched = true
    } catch {
      // The kernel has no memory for it. Its owner ends what says nothing any more.
      this.#broken = true
    }
  }
}
