/**
 * A connection that a front end gave away, as a socket of node's own with two shorter ways: what it reads lies in memory that all such
 * sockets share, and what it writes may go to the kernel at once. Node's way for both, new memory for each read, an object and
 * two callbacks for each write, costs more than what is read and written.
 */
import { Socket } from 'node:net'
import { type Libc, MSG_DONTWAIT, MSG_NOSIGNAL } from './libc.ts'

/** All the same memory: one is read at a time. */
const input: Buffer = Buffer.allocUnsafeSlow(65_536)

export class AdoptedConnection extends Socket {
  /** Hears what comes instead of listeners of `data`: memory that is good until it returns, and how many bytes of it. */
  onBytes: ((memory: Buffer, bytes: number) => void) | undefined
  readonly #libc: Libc
  readonly #fd: number

  /** Chunks of its `data`, too, are good until the listener returns. */
  constructor(libc: Libc, fd: number) {
    const onread = {
      buffer: input,
      callback: (bytes: number): boolean => {
        if (this.onBytes !== undefined) this.onBytes(input, bytes)
        else this.emit('data', input.subarray(0, bytes))
        return true
      },
    }
    // `onread` is documented for connections that are made; the constructor takes it for all.
    const options = { fd, readable: true, writable: true, allowHalfOpen: true, onread }
    super(options)
    this.#libc = libc
    this.#fd = fd
  }

  /**
   * Gives the kernel what it takes now and returns how much that was, 0 where something waits already; the rest is for `write`, which
   * also learns of errors. A socket that is destroyed is not touched: its descriptor may be another's by now.
   */
  sendNow(bytes: Buffer): number {
    if (this.destroyed || this.writableEnded || this.writableLength > 0) return 0
    const sent = this.#libc.send(this.#fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL)
    return Math.max(0, sent)
  }
}
