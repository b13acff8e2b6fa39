/**
 * Connecting to a peer over whichever transport reaches it: one is begun, and the other when that fails or has not
 * answered after HEAD_START_MS; the first that stands is the connection.
 *
 * ```
 * first ---------------------------------.
 *   |  HEAD_START_MS, or it fails         >--- the first that connects; the other is cut off
 *   `------------------------> second ---'
 * ```
 *
 * Invariants: those of PeerSocket; after `onConnect`, and after the end, one socket at most is left.
 */
import { assert, type Clock } from '../base/index.ts'
import type { Network, PeerSocket, Transport } from './network.ts'
import type { UtpPolicy } from './utp/policy.ts'
import type { Utp } from './utp/utp.ts'

/** Longer than nearly every round trip, and than one SYN that is lost. */
const HEAD_START_MS = 2_000

export type DialledSocket = PeerSocket & { onConnect: () => void }

export class Dialer {
  readonly #network: Pick<Network, 'connect'>
  readonly #clock: Clock
  readonly #utp: Utp | undefined
  readonly #prefersUtp: boolean

  /** Without `utp` all is TCP. */
  constructor(
    network: Pick<Network, 'connect'>,
    clock: Clock,
    utp: Utp | undefined,
    policy: UtpPolicy,
  ) {
    this.#network = network
    this.#clock = clock
    this.#utp = utp
    this.#prefersUtp = policy === 'prefer'
  }

  get speaksUtp(): boolean {
    return this.#utp !== undefined
  }

  /** Over uTP alone; undefined when it cannot be. */
  dialUtp(host: string, port: number): DialledSocket | undefined {
    return this.#utp?.connect(host, port)
  }

  /**
   * `last` is how the last connection to this peer went: one that came to nothing is a reason to begin with the other, but not where
   * it is encryption that is tried the other way (`isHalf`).
   */
  dial(
    host: string,
    port: number,
    last?: {
      readonly transport: Transport
      readonly understood: boolean
      readonly isHalf?: boolean
    },
  ): DialledSocket {
    const tcp = (): DialledSocket => this.#network.connect(host, port)
    const utp = (): DialledSocket | undefined => this.#utp?.connect(host, port)
    if (this.#utp === undefined) return tcp()
    const wasUtp = last?.transport === 'utp'
    const keeps = last?.understood === true || last?.isHalf === true
    const isUtpFirst = last === undefined ? this.#prefersUtp : wasUtp === keeps
    return isUtpFirst
      ? new RacingSocket(host, port, this.#clock, utp, tcp)
      : new RacingSocket(host, port, this.#clock, tcp, utp)
  }
}

type Open = () => DialledSocket | undefined

class RacingSocket implements PeerSocket {
  readonly remoteAddress: string
  readonly remotePort: number
  onConnect: () => void = () => {}
  onData: (bytes: Uint8Array) => void = () => {}
  onClose: (error: Error | undefined) => void = () => {}
  onDrain: () => void = () => {}
  readonly #running = new Set<DialledSocket>()
  readonly #cancelHeadStart: () => void
  #second: Open | undefined
  #winner: DialledSocket | undefined
  #over = false
  #error: Error | undefined

  constructor(host: string, port: number, clock: Clock, first: Open, second: Open) {
    this.remoteAddress = host
    this.remotePort = port
    this.#second = second
    this.#cancelHeadStart = clock.after(HEAD_START_MS, () => this.#runSecond())
    if (!this.#run(first) && !this.#runSecond()) {
      // Nobody listens to us yet.
      clock.after(0, () => this.#end(undefined))
    }
  }

  get transport(): Transport {
    return this.#winner?.transport ?? 'tcp'
  }

  /** False when there is none to run. */
  #runSecond(): boolean {
    const second = this.#second
    this.#second = undefined
    this.#cancelHeadStart()
    return second !== undefined && this.#run(second)
  }

  #run(open: Open): boolean {
    const socket = open()
    if (socket === undefined) return false
    this.#running.add(socket)
    socket.onConnect = () => this.#connected(socket)
    socket.onClose = (error) => this.#closed(socket, error)
    return true
  }

  #connected(socket: DialledSocket): void {
    this.#winner = socket
    this.#second = undefined
    this.#cancelHeadStart()
    socket.onData = (bytes) => this.onData(bytes)
    socket.onDrain = () => this.onDrain()
    for (const other of this.#running) if (other !== socket) drop(other)
    this.#running.clear()
    this.onConnect()
  }

  #closed(socket: DialledSocket, error: Error | undefined): void {
    this.#running.delete(socket)
    this.#error ??= error
    if (socket === this.#winner) this.#end(error)
    else if (!this.#runSecond() && this.#running.size === 0) this.#end(this.#error)
  }

  #end(error: Error | undefined): void {
    if (this.#over) return
    this.#over = true
    this.onClose(error)
  }

  write(bytes: Uint8Array): boolean {
    assert(this.#winner !== undefined, 'nothing is written before it is connected')
    return this.#winner.write(bytes)
  }

  cork(): void {
    this.#winner?.cork()
  }

  uncork(): void {
    this.#winner?.uncork()
  }

  pause(): void {
    this.#winner?.pause()
  }

  resume(): void {
    this.#winner?.resume()
  }

  destroy(): void {
    if (this.#winner !== undefined) {
      this.#winner.destroy()
      return
    }
    this.#second = undefined
    this.#cancelHeadStart()
    for (const socket of [...this.#running]) socket.destroy()
  }
}

/** Nobody wants to hear of it any more. */
function drop(socket: DialledSocket): void {
  socket.onConnect = () => {}
  socket.onClose = () => {}
  socket.destroy()
}
