/**
 * The client of UDP trackers (BEP 15): one session for each tracker address, shared by all torrents.
 *
 * Invariants:
 * - a session's requests leave from one socket, since trackers may tie the connection id to our port;
 *   it closes a minute after the last one;
 * - a connection id is used for a minute; with its retransmissions, the last 45 seconds later, it is
 *   no older than the two minutes that trackers accept it for;
 * - a reply counts only under a transaction id that is waiting for that action;
 * - every request settles: answered, refused, unreachable, out of tries, aborted or closed.
 */
import { type Clock, type Random, readU32BE } from '../../base/index.ts'
import type { DatagramSocket, Network } from '../network.ts'
import { type AnnounceRequest, type AnnounceResult, TrackerError } from './types.ts'
import {
  parseAnnounceReply,
  parseConnectReply,
  parseErrorReply,
  UDP_HEADER_BYTES,
  UdpAction,
  writeAnnounce,
  writeConnect,
} from './udp-packets.ts'

export interface UdpTarget {
  readonly address: string
  readonly family: 4 | 6
  readonly port: number
  /** Path and query of the announce URL (BEP 41), or empty. */
  readonly path: string
}

/** BEP 15: the n-th retransmission follows after 15 · 2^n seconds. Three tries give up after 105. */
const FIRST_TIMEOUT_MS = 15_000
const MAX_TRIES = 3
const CONNECTION_LIFETIME_MS = 60_000

interface UdpClientOptions {
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
}

export class UdpTrackerClient {
  readonly #options: UdpClientOptions
  readonly #sessions = new Map<string, Session>()
  #closed = false

  constructor(options: UdpClientOptions) {
    this.#options = options
  }

  /** Rejects with a TrackerError. */
  async announce(
    target: UdpTarget,
    request: AnnounceRequest,
    signal?: AbortSignal,
  ): Promise<AnnounceResult> {
    if (this.#closed) throw closedError()
    const key = `${target.address} ${target.port}`
    let session = this.#sessions.get(key)
    if (session === undefined) {
      session = new Session(target, this.#options, () => this.#sessions.delete(key))
      this.#sessions.set(key, session)
    }
    return session.announce(request, target.path, signal)
  }

  /** Rejects what is waiting and closes the sockets. */
  close(): void {
    this.#closed = true
    for (const session of [...this.#sessions.values()]) session.close(closedError())
  }
}

interface Connection {
  readonly id: Uint8Array
  readonly obtainedMs: number
}

interface Exchange {
  readonly action: number
  resolve(reply: Uint8Array): void
  reject(error: Error): void
}

class Session {
  readonly #target: UdpTarget
  readonly #network: Network
  readonly #clock: Clock
  readonly #random: Random
  readonly #ended: () => void
  readonly #waiting = new Map<number, Exchange>()
  #opening: Promise<DatagramSocket> | undefined
  #connection: Connection | undefined
  #connecting: Promise<Connection> | undefined
  #users = 0
  #cancelIdle: () => void = () => {}
  #closed: Error | undefined

  constructor(target: UdpTarget, options: UdpClientOptions, ended: () => void) {
    this.#target = target
    this.#network = options.network
    this.#clock = options.clock
    this.#random = options.random
    this.#ended = ended
  }

  async announce(
    request: AnnounceRequest,
    path: string,
    signal: AbortSignal | undefined,
  ): Promise<AnnounceResult> {
    this.#users++
    this.#cancelIdle()
    try {
      return await this.#announce(request, path, signal)
    } finally {
      this.#users--
      if (this.#users === 0 && this.#closed === undefined) {
        this.#cancelIdle = this.#clock.after(CONNECTION_LIFETIME_MS, () =>
          this.close(closedError()),
        )
      }
    }
  }

  async #announce(
    request: AnnounceRequest,
    path: string,
    signal: AbortSignal | undefined,
  ): Promise<AnnounceResult> {
    const known = this.#usableConnection()
    if (known !== undefined) {
      try {
        return await this.#announceOver(known, request, path, signal)
      } catch (error) {
        // A tracker that was started again does not know the id any more: once more, with a new one.
        if (!(error instanceof Refusal)) throw error
        if (this.#connection === known) this.#connection = undefined
      }
    }
    const connection = await abortable(this.#connect(), signal)
    return this.#announceOver(connection, request, path, signal)
  }

  async #announceOver(
    connection: Connection,
    request: AnnounceRequest,
    path: string,
    signal: AbortSignal | undefined,
  ): Promise<AnnounceResult> {
    const reply = await this.#exchange(
      UdpAction.announce,
      (transaction) => writeAnnounce(connection.id, transaction, request, path),
      signal,
    )
    const result = parseAnnounceReply(reply, this.#target.family)
    if (result === null) throw new TrackerError(`a reply of ${reply.length} bytes`)
    return result
  }

  #usableConnection(): Connection | undefined {
    const connection = this.#connection
    if (connection === undefined) return undefined
    const ageMs = this.#clock.monotonicMs() - connection.obtainedMs
    return ageMs < CONNECTION_LIFETIME_MS ? connection : undefined
  }

  /** A new connection id, asked for once however many need it. */
  #connect(): Promise<Connection> {
    this.#connecting ??= this.#exchange(UdpAction.connect, writeConnect, undefined)
      .then((reply) => {
        const id = parseConnectReply(reply)
        if (id === null) throw new TrackerError(`a reply of ${reply.length} bytes`)
        this.#connection = { id, obtainedMs: this.#clock.monotonicMs() }
        return this.#connection
      })
      .finally(() => {
        this.#connecting = undefined
      })
    return this.#connecting
  }

  /** Sends the packet until its reply arrives. */
  async #exchange(
    action: number,
    packet: (transaction: number) => Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const socket = await this.#socket()
    return new Promise((resolve, reject) => {
      let transaction = this.#random.uint32()
      while (this.#waiting.has(transaction)) transaction = this.#random.uint32()
      const bytes = packet(transaction)
      let tries = 0
      let cancelTimer = (): void => {}
      const settle = (): void => {
        this.#waiting.delete(transaction)
        cancelTimer()
        signal?.removeEventListener('abort', abort)
      }
      const fail = (error: Error): void => {
        settle()
        reject(error)
      }
      const abort = (): void => fail(new TrackerError('given up'))
      const transmit = (): void => {
        if (tries === MAX_TRIES) {
          fail(new TrackerError('no answer'))
          return
        }
        cancelTimer = this.#clock.after(FIRST_TIMEOUT_MS * 2 ** tries, transmit)
        tries++
        socket.send(bytes)
      }
      if (this.#closed !== undefined) return fail(this.#closed)
      if (signal?.aborted === true) return abort()
      this.#waiting.set(transaction, {
        action,
        resolve(reply) {
          settle()
          resolve(reply)
        },
        reject: fail,
      })
      signal?.addEventListener('abort', abort, { once: true })
      transmit()
    })
  }

  async #socket(): Promise<DatagramSocket> {
    this.#opening ??= this.#network.datagram(this.#target.address, this.#target.port)
    try {
      const socket = await this.#opening
      socket.onMessage = (bytes) => this.#receive(bytes)
      socket.onError = (cause) => this.#failAll(new TrackerError('unreachable', { cause }))
      if (this.#closed !== undefined) socket.close()
      return socket
    } catch (cause) {
      this.#opening = undefined
      throw new TrackerError('unreachable', { cause })
    }
  }

  #receive(bytes: Uint8Array): void {
    if (bytes.length < UDP_HEADER_BYTES) return
    const action = readU32BE(bytes, 0)
    const exchange = this.#waiting.get(readU32BE(bytes, 4))
    if (exchange === undefined) return
    if (action === UdpAction.error) exchange.reject(new Refusal(parseErrorReply(bytes)))
    else if (action === exchange.action) exchange.resolve(Uint8Array.from(bytes))
  }

  #failAll(error: Error): void {
    this.#connection = undefined
    for (const exchange of [...this.#waiting.values()]) exchange.reject(error)
  }

  close(error: Error): void {
    if (this.#closed !== undefined) return
    this.#closed = error
    this.#cancelIdle()
    this.#failAll(error)
    this.#opening?.then(
      (socket) => socket.close(),
      () => {},
    )
    this.#ended()
  }
}

/** The tracker said no, as opposed to nothing. */
class Refusal extends TrackerError {}

function closedError(): TrackerError {
  return new TrackerError('the client was closed')
}

/** `promise`, unless `signal` comes first; the promise itself goes on. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(new TrackerError('given up'))
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
