/**
 * One epoll of one thread: descriptors with who is told about them, and a way for other threads to wake it.
 *
 * Level-triggered: who does not read all is told again. Descriptors are small numbers that the kernel uses again, so the handlers lie in an
 * array by descriptor.
 *
 * Invariants: a handler is told only of descriptors that it still has; waiting allocates nothing. A descriptor that was closed and
 * opened anew within one round may be told of what happened to the old one: handlers read without waiting, so that is an EAGAIN.
 */
import { EPOLL_EVENT_BYTES, EPOLL_EVENT_DATA } from './layouts.ts'
import {
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLIN,
  errnoError,
  type Libc,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
} from './libc.ts'
import { PinnedMemory } from './pinned-memory.ts'

/** As many as one look finds. */
export const MAX_EVENTS = 256
/** Behind the events: one to give to epoll_ctl, and eight bytes to read what the wake-up says. */
const ARGUMENT: number = MAX_EVENTS * 16
const WOKEN: number = ARGUMENT + 16
const BYTES: number = WOKEN + 8

export interface DescriptorHandler {
  /** `events` as epoll says: EPOLLIN, EPOLLOUT, EPOLLHUP… */
  onEvents(fd: number, events: number): void
}

export class Poller {
  readonly #libc: Libc
  readonly #epoll: number
  readonly #memory: PinnedMemory
  readonly #view: DataView
  readonly #events: bigint
  readonly #argument: bigint
  readonly #handlers: (DescriptorHandler | undefined)[] = []

  /**
   * `wakeFd` is one of `openWake`, and stays the caller's; after a `wake` from another thread `onWake` is called. Throws an error
   * with the errno's name as its code.
   */
  constructor(libc: Libc, wakeFd: number, onWake: () => void = () => {}) {
    this.#libc = libc
    this.#epoll = libc.epoll_create1(SOCK_CLOEXEC)
    if (this.#epoll < 0) throw errnoError('epoll_create1', libc.errno())
    this.#memory = new PinnedMemory(libc, BYTES)
    const { bytes } = this.#memory
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#events = this.#memory.at(0)
    this.#argument = this.#memory.at(ARGUMENT)
    const drain = this.#memory.at(WOKEN)
    this.add(wakeFd, EPOLLIN, {
      onEvents() {
        libc.read(wakeFd, drain, 8)
        onWake()
      },
    })
  }

  /** Throws an error with the errno's name as its code. */
  add(fd: number, events: number, handler: DescriptorHandler): void {
    this.#control(EPOLL_CTL_ADD, fd, events)
    this.#handlers[fd] = handler
  }

  modify(fd: number, events: number): void {
    this.#control(EPOLL_CTL_MOD, fd, events)
  }

  /** Before the descriptor is closed. */
  remove(fd: number): void {
    if (this.#handlers[fd] === undefined) return
    this.#handlers[fd] = undefined
    this.#control(EPOLL_CTL_DEL, fd, 0)
  }

  /** For a descriptor that is about to be closed, and is nobody else's: the kernel then forgets it by itself. */
  forget(fd: number): void {
    this.#handlers[fd] = undefined
  }

  /**
   * Waits up to `timeoutMs`, tells the handlers; returns how many events there were. `before` is told of that before the
   * handlers are.
   */
  wait(timeoutMs: number, before?: (count: number) => void): number {
    const count = this.#libc.epoll_wait(this.#epoll, this.#events, MAX_EVENTS, timeoutMs)
    before?.(count)
    for (let i = 0; i < count; i++) {
      const at = i * EPOLL_EVENT_BYTES
      const fd = this.#view.getInt32(at + EPOLL_EVENT_DATA, true)
      const handler = this.#handlers[fd]
      if (handler !== undefined) handler.onEvents(fd, this.#view.getUint32(at, true))
    }
    return count
  }

  close(): void {
    this.#libc.close(this.#epoll)
  }

  #control(operation: number, fd: number, events: number): void {
    this.#view.setUint32(ARGUMENT, events, true)
    this.#view.setInt32(ARGUMENT + EPOLL_EVENT_DATA, fd, true)
    if (this.#libc.epoll_ctl(this.#epoll, operation, fd, this.#argument) === 0) return
    throw errnoError('epoll_ctl', this.#libc.errno())
  }
}

/** A descriptor by which threads wake a poller. Throws an error with the errno's name as its code. */
export function openWake(libc: Libc): number {
  // The flags of eventfd are those of sockets.
  const fd = libc.eventfd(0, SOCK_NONBLOCK | SOCK_CLOEXEC)
  if (fd < 0) throw errnoError('eventfd', libc.errno())
  return fd
}

const ONE: Uint8Array = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)

export function wake(libc: Libc, wakeFd: number): void {
  libc.write(wakeFd, ONE, 8)
}
