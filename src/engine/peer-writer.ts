/**
 * The sending end of a peer connection: what has been handed to the socket and not left yet, bounded.
 *
 * Invariants: `blocked` from a write that had to be queued until all has left; at most `MAX_QUEUED` bytes
 * of control messages are queued for a peer that does not read, then it is cut off; bytes handed over are
 * never changed before they left.
 */
import type { PeerSocket } from './network.ts'

/** Control messages (have, reject, extended) waiting for a peer that does not read. */
const MAX_QUEUED_BYTES = 4 * 1024 * 1024

export class PeerWriter {
  /** Something waits to leave; payload is not to be added. */
  blocked = false
  /** Bytes of messages handed over since all had left last. */
  queuedBytes = 0
  readonly #socket: PeerSocket

  constructor(socket: PeerSocket) {
    this.#socket = socket
  }

  /** False when the peer does not read and is to be cut off. */
  send(bytes: Uint8Array): boolean {
    if (this.#socket.write(bytes)) {
      if (!this.blocked) this.queuedBytes = 0
    } else {
      this.blocked = true
      this.queuedBytes += bytes.length
    }
    return this.queuedBytes <= MAX_QUEUED_BYTES
  }

  cork(): void {
    this.#socket.cork()
  }

  uncork(): void {
    this.#socket.uncork()
  }

  /** The socket says that all has left. */
  drained(): void {
    this.blocked = false
    this.queuedBytes = 0
  }
}
