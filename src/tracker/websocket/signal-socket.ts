/**
 * What moves the bytes of a live connection, and what it tells whoever owns it. Two do: node's sockets (node-socket.ts), everywhere, and
 * descriptors in a worker's epoll (../linux/descriptor-socket.ts).
 */

export interface SignalSocket {
  /** Bytes that were given to it and that the system has not taken. */
  readonly unsentBytes: number
  /** Tells `owner` what happens, from now on. What comes is read from the first `resume` on. */
  attach(owner: SocketOwner): void
  /** Gives bytes to the system, and keeps what that does not take. Their memory is the caller's again when `unsentBytes` is 0. */
  send(memory: Buffer, start: number, end: number): void
  /** When all has left, tells the other side that no more will come. It may still speak. */
  finish(): void
  /** Ends the connection; what was not sent is lost. `closed` is told in this call or later. */
  destroy(): void
  pause(): void
  resume(): void
}

export interface SocketOwner {
  /** The first `bytes` of `memory`, which is the socket's again when this returns. */
  received(memory: Buffer, bytes: number): void
  /** The other side will say no more. */
  ended(): void
  /** All that waited has left. */
  drained(): void
  /** Nothing is told after. */
  closed(): void
}
