/**
 * WebSocket on the fast path: the connections of all workers live in one of them, because a swarm's must meet. This is their way in, and
 * what a round does for them; what is said on them is ../websocket/, the same as on the portable path.
 */
import { type WebSocketContext, type WebSocketParts, WebSocketServer } from '../websocket/server.ts'
import { DescriptorSockets } from './descriptor-socket.ts'
import type { TakeDescriptor } from './http-front.ts'
import type { Libc } from './libc.ts'
import type { Poller } from './poller.ts'

export class LiveConnections {
  readonly #server: WebSocketServer
  readonly #sockets: DescriptorSockets
  readonly #due: (() => void)[] = []

  constructor(
    libc: Libc,
    poller: Poller,
    parts: Omit<WebSocketParts, 'soon'>,
    context: WebSocketContext,
  ) {
    this.#sockets = new DescriptorSockets(libc, poller)
    const soon = (work: () => void): void => void this.#due.push(work)
    this.#server = new WebSocketServer({ ...parts, soon }, context)
  }

  /** A connection that is not in the epoll, and this one's from now on. */
  readonly take: TakeDescriptor = (fd, remote, bytes) => {
    this.#server.takeOver(this.#sockets.adopt(fd), remote, bytes)
  }

  reconfigure(context: WebSocketContext): void {
    this.#server.reconfigure(context)
  }

  /** When all that was told in a round has been heard: what is to be said is sent. */
  endRound(): void {
    const due = this.#due
    for (let i = 0; i < due.length; i++) due[i]!()
    due.length = 0
  }

  close(): void {
    this.#server.close()
  }
}
