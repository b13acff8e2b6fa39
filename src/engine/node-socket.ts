/**
 * A TCP connection to a peer over node:net.
 *
 * Invariants:
 * - `onClose` is called once, also after `destroy()`, and nothing after it;
 * - `write` answers false exactly when bytes remain queued, and every false is followed by `onDrain`
 *   or `onClose`;
 * - bytes are handed to the system as they are, never copied, so they must not change until they left.
 */
import type { Socket } from 'node:net'
import { asBuffer } from '../base/index.ts'
import type { PeerSocket } from './network.ts'

/** Idle time after which the system asks whether the other side still lives. */
export const KEEP_ALIVE_DELAY_MS = 60_000

const OWNER: unique symbol = Symbol('peer socket')

/** One listener of each kind for all connections: a closure each would be memory for each. */
interface Owned extends Socket {
  [OWNER]: NodePeerSocket
}

export class NodePeerSocket implements PeerSocket {
  readonly transport = 'tcp'
  readonly remoteAddress: string
  readonly remotePort: number
  onData: (bytes: Uint8Array) => void = ignore
  onClose: (error: Error | undefined) => void = ignore
  onDrain: () => void = ignore
  onConnect: () => void = ignore
  readonly #socket: Socket
  /** What went wrong first. */
  error: Error | undefined
  #unfinishedWrites = 0
  #owesDrain = false

  constructor(socket: Socket, remoteAddress: string, remotePort: number) {
    this.#socket = socket
    this.remoteAddress = remoteAddress
    this.remotePort = remotePort
    const owned = socket as Owned
    owned[OWNER] = this
    if (socket.connecting) owned.on('connect', connected)
    owned.on('error', failed)
    owned.on('close', closed)
  }

  /** Bytes go to `onData` as node allocates them. */
  read(): void {
    this.#socket.on('data', heard)
  }

  write(bytes: Uint8Array): boolean {
    this.#unfinishedWrites++
    this.#socket.write(asBuffer(bytes), this.#written)
    // What the system took at once is no longer counted here, unlike in what the stream returns.
    if (this.#socket.writableLength === 0) return true
    this.#owesDrain = true
    return false
  }

  /** One function for all writes: a closure for each would be garbage for each. */
  readonly #written = (): void => {
    this.#unfinishedWrites--
    if (this.#unfinishedWrites > 0 || !this.#owesDrain || this.#socket.destroyed) return
    this.#owesDrain = false
    this.onDrain()
  }

  cork(): void {
    this.#socket.cork()
  }

  uncork(): void {
    this.#socket.uncork()
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

function ignore(): void {}

function connected(this: Owned): void {
  this[OWNER].onConnect()
}

function failed(this: Owned, error: Error): void {
  this[OWNER].error ??= error
}

function closed(this: Owned): void {
  this[OWNER].onClose(this[OWNER].error)
}

function heard(this: Owned, bytes: Uint8Array): void {
  this[OWNER].onData(bytes)
}

/** The address as `formatAddress` would write it: a dual-stack socket reports IPv4 mapped into IPv6. */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}
