/**
 * Questions and answers over one datagram socket: each answer goes to whoever asked, each question that comes is given on.
 *
 * Invariants: at most MAX_PENDING questions wait, each for TIMEOUT_MS; an answer counts only when it comes from where
 * the question went; of questions that come, at most so many a second are given on, in all and from one host.
 */
import { type Clock, type Random, readU16BE, writeU16BE } from '../../base/index.ts'
import type { OpenDatagramSocket } from '../network.ts'
import type { Contact } from './contact.ts'
import { encodeQuery, type Method, parseKrpc, type Query, type Response } from './krpc.ts'

const TIMEOUT_MS = 4_000
const MAX_PENDING = 512
const MAX_QUERIES_A_SECOND = 500
const MAX_QUERIES_OF_HOST = 25

export interface Endpoint {
  readonly host: string
  readonly port: number
}

export interface MessengerHost {
  /** Whether our questions say that we answer none (BEP 43). */
  readonly readOnly: boolean
  onQuery(query: Query, from: Endpoint): void
  onResponse(response: Response, from: Endpoint): void
  /** A node with this id was asked and did not answer, or somebody else did. */
  onFailure(contact: Contact): void
}

interface Pending {
  readonly to: Endpoint & { readonly id?: Uint8Array }
  readonly done: (response: Response | undefined) => void
  readonly cancelTimer: () => void
}

export class Messenger {
  readonly #socket: OpenDatagramSocket
  readonly #clock: Clock
  readonly #host: MessengerHost
  readonly #pending = new Map<number, Pending>()
  #next: number
  #secondMs = 0
  #queries = 0
  readonly #queriesFrom = new Map<string, number>()
  #stopped = false

  constructor(socket: OpenDatagramSocket, clock: Clock, random: Random, host: MessengerHost) {
    this.#socket = socket
    this.#clock = clock
    this.#host = host
    this.#next = random.uint32() & 0xffff
    socket.onMessage = (bytes, from, port) => this.#receive(bytes, { host: from, port })
  }

  /** Calls `done` once, later: with undefined when no answer comes, or too many are awaited already. */
  ask(
    to: Endpoint & { readonly id?: Uint8Array },
    method: Method,
    parameters: Parameters<typeof encodeQuery>[2],
    done: (response: Response | undefined) => void,
  ): void {
    if (this.#stopped) return
    if (this.#pending.size >= MAX_PENDING) {
      this.#clock.after(0, () => done(undefined))
      return
    }
    while (this.#pending.has(this.#next)) this.#next = (this.#next + 1) & 0xffff
    const number = this.#next
    this.#next = (this.#next + 1) & 0xffff
    const cancelTimer = this.#clock.after(
      TIMEOUT_MS,
      () => {
        this.#pending.delete(number)
        if (to.id !== undefined) this.#host.onFailure({ ...to, id: to.id })
        done(undefined)
      },
      true,
    )
    this.#pending.set(number, { to, done, cancelTimer })
    const transaction = new Uint8Array(2)
    writeU16BE(transaction, 0, number)
    this.send(encodeQuery(transaction, method, parameters, this.#host.readOnly), to)
  }

  send(bytes: Uint8Array, { host, port }: Endpoint): void {
    if (!this.#stopped) this.#socket.send(bytes, host, port)
  }

  /** Nothing is called any more. */
  stop(): void {
    this.#stopped = true
    for (const { cancelTimer } of this.#pending.values()) cancelTimer()
    this.#pending.clear()
    this.#socket.close()
  }

  #receive(bytes: Uint8Array, from: Endpoint): void {
    if (this.#stopped) return
    const message = parseKrpc(bytes)
    if (message === null) return
    if (message.kind === 'query') {
      if (this.#isWelcome(from.host)) this.#host.onQuery(message, from)
      return
    }
    if (message.transaction.length !== 2) return
    const number = readU16BE(message.transaction, 0)
    const pending = this.#pending.get(number)
    if (pending === undefined) return
    const { to, done, cancelTimer } = pending
    if (to.host !== from.host || to.port !== from.port) return
    this.#pending.delete(number)
    cancelTimer()
    if (message.kind === 'failure') {
      done(undefined)
      return
    }
    if (to.id !== undefined && !isSame(to.id, message.id))
      this.#host.onFailure({ ...to, id: to.id })
    this.#host.onResponse(message, from)
    done(message)
  }

  #isWelcome(host: string): boolean {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#secondMs >= 1000) {
      this.#secondMs = nowMs
      this.#queries = 0
      this.#queriesFrom.clear()
    }
    const fromHost = this.#queriesFrom.get(host) ?? 0
    if (this.#queries >= MAX_QUERIES_A_SECOND || fromHost >= MAX_QUERIES_OF_HOST) return false
    this.#queries++
    this.#queriesFrom.set(host, fromHost + 1)
    return true
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, i) => byte === b[i])
}
