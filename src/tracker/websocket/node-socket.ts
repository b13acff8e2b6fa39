/** A socket of node's own, plain or TLS, for a live connection. */
import type { Socket } from 'node:net'
import type { SignalSocket, SocketOwner } from './signal-socket.ts'

export class NodeSocket implements SignalSocket {
  readonly #socket: Socket

  /** It may be paused; whoever had it listens no more. */
  constructor(socket: Socket) {
    this.#socket = socket
  }

  get unsentBytes(): number {
    return this.#socket.writableLength
  }

  attach(owner: SocketOwner): void {
    const socket = this.#socket
    // Resets are everyday; `close` follows.
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => owner.received(chunk, chunk.length))
    socket.on('end', () => owner.ended())
    socket.on('drain', () => owner.drained())
    socket.on('close', () => owner.closed())
  }

  send(memory: Buffer, start: number, end: number): void {
    this.#socket.write(memory.subarray(start, end))
  }

  finish(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }
}
