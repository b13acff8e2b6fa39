/**
 * Whether a connection is alive: what was heard, and read, on it last, and how long ago that may be.
 *
 * ```
 * connected --- handshake within 20 s ---> met --- something heard every 150 s, and what waits for it read within 60 s
 * ```
 *
 * Invariants: before the handshake only its delay counts, whatever has arrived; a peer for which nothing waits
 * is never late in reading.
 */
import { protocolError } from './errors.ts'
import type { PeerWriter } from './peer-writer.ts'
import { KEEP_ALIVE_BYTES, writeKeepAlive } from './wire/messages.ts'

const HANDSHAKE_TIMEOUT_MS = 20_000
const IDLE_TIMEOUT_MS = 150_000
const KEEP_ALIVE_MS = 100_000
/** Without reading what waits for it. */
const STALL_TIMEOUT_MS = 60_000

export class PeerLiveness {
  readonly connectedMs: number
  readonly #writer: PeerWriter
  #heardMs: number
  #drainedMs: number

  constructor(writer: PeerWriter, nowMs: number) {
    this.#writer = writer
    this.connectedMs = nowMs
    this.#heardMs = nowMs
    this.#drainedMs = nowMs
  }

  /** Something has arrived. */
  heard(nowMs: number): void {
    this.#heardMs = nowMs
  }

  /** All that waited for the peer has left. */
  drained(nowMs: number): void {
    this.#drainedMs = nowMs
  }

  /** Why the connection is to be cut, if it is; to be asked every second. `isMet`: the peer's handshake has come. */
  overdue(nowMs: number, isMet: boolean): Error | undefined {
    if (!isMet) {
      const isLate = nowMs - this.connectedMs > HANDSHAKE_TIMEOUT_MS
      return isLate ? protocolError('no handshake', 'slowHandshakes') : undefined
    }
    if (nowMs - this.#heardMs > IDLE_TIMEOUT_MS) {
      return protocolError('nothing heard for too long', 'stalls')
    }
    if (!this.#writer.blocked) this.#drainedMs = nowMs
    else if (nowMs - this.#drainedMs > STALL_TIMEOUT_MS) {
      return protocolError('nothing read for too long', 'stalls')
    }
    return undefined
  }

  /** Says something when we have been silent for so long that the peer might think us dead. */
  keepAlive(nowMs: number): void {
    if (nowMs - this.#writer.spokeMs < KEEP_ALIVE_MS) return
    this.#writer.message(KEEP_ALIVE_BYTES, writeKeepAlive)
  }
}
