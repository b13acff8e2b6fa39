/** A peer's writer before a socket that keeps what is sent, and can be made to stop reading. */
import { Budget } from '../../src/engine/budget.ts'
import type { PeerSocket } from '../../src/engine/network.ts'
import { PeerWriter } from '../../src/engine/peer-writer.ts'

export class SentByWriter {
  nowMs = 0
  reads = true
  readonly sent: Uint8Array[] = []
  readonly writer: PeerWriter

  constructor() {
    const write = (bytes: Uint8Array): boolean => {
      this.sent.push(bytes.slice())
      return this.reads
    }
    const socket = { write } as PeerSocket
    this.writer = new PeerWriter(socket, this, new Budget(1 << 20), () => {})
  }

  /** Takes what was sent since this was asked last. */
  take(): Uint8Array {
    return Buffer.concat(this.sent.splice(0))
  }
}
