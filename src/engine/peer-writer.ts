/**
 * The sending end of a peer connection: what has been handed to the socket and not left yet, bounded.
 *
 * Invariants: `blocked` from a write that had to be queued until all has left; at most `MAX_QUEUED_BYTES`
 * of control messages are queued for a peer that does not read, out of a budget that all peers share, then
 * `overrun` is called; bytes handed over are never changed before they left; nothing is handed over after `stop`.
 */
import type { Budget } from './budget.ts'
import type { PeerSocket } from './network.ts'

/** Control messages (have, reject, extended) waiting for a peer that does not read. */
const MAX_QUEUED_BYTES = 4 * 1024 * 1024

export class PeerWriter {
  /** Something waits to leave; payload is not to be added. */
  blocked = false
  /** Bytes of messages handed over since all had left last. */
  queuedBytes = 0
  /** When a message was sent last. */
  spokeMs: number
  readonly #socket: PeerSocket
  readonly #time: { readonly nowMs: number }
  readonly #overrun: () => void
  readonly #memory: Budget
  /** Taken from the budget. */
  #taken = 0
  #stopped = false

  /** `overrun` hears of a peer that does not read and is to be cut off. */
  constructor(
    socket: PeerSocket,
    time: { readonly nowMs: number },
    memory: Budget,
    overrun: () => void,
  ) {
    this.#memory = memory
    this.#socket = socket
    this.#time = time
    this.#overrun = overrun
    this.spokeMs = time.nowMs
  }

  /** Sends control messages. */
  send(bytes: Uint8Array): void {
    if (this.#stopped) return
    this.spokeMs = this.#time.nowMs
    this.#hand(bytes)
    if (!this.blocked) return
    const taken = this.#memory.take(bytes.length)
    if (taken) this.#taken += bytes.length
    if (!taken || this.queuedBytes > MAX_QUEUED_BYTES) this.#overrun()
  }

  /** Sends the message of `size` bytes that `write` writes: one of those of wire/messages.ts. */
  message(size: number, write: (target: Uint8Array, offset: number) => number): void {
    const bytes = Buffer.allocUnsafe(size)
    write(bytes, 0)
    this.send(bytes)
  }

  /** Sends a part of a chunk; the caller keeps it bounded, by `blocked`. */
  payload(bytes: Uint8Array): void {
    if (!this.#stopped) this.#hand(bytes)
  }

  #hand(bytes: Uint8Array): void {
    if (this.#socket.write(bytes)) {
      if (!this.blocked) this.queuedBytes = 0
    } else {
      this.blocked = true
      this.queuedBytes += bytes.length
    }
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
    this.#giveBack()
  }

  stop(): void {
    this.#stopped = true
    this.#giveBack()
  }

  #giveBack(): void {
    this.#memory.give(this.#taken)
    this.#taken = 0
  }
}
