/**
 * Meeting peers that nobody can connect to (BEP 55): two that a third one is connected to, the relay, connect to each other
 * at once, over uTP, and each one's packets open the way through its own NAT.
 *
 * ```
 * we cannot connect to B, of whom relay R told us (PEX)
 *
 *     we --rendezvous(B)--> R --connect(us)--> B
 *                           R --connect(B)---> we
 *     we --SYN--> <--SYN-- B
 * ```
 *
 * Invariants: we bring together only peers of one torrent that both are connected and speak it; of each peer at most MAX_ASKED
 * requests and MAX_ORDERS orders a minute are heard; at most MAX_HEARD addresses are remembered with who told of them; an
 * address is asked for once in RETRY_MS.
 */
import type { PeerAddress } from './announce/types.ts'
import type { Transport } from './network.ts'
import {
  encodeHolepunch,
  HOLEPUNCH_NO_SELF,
  HOLEPUNCH_NO_SUCH_PEER,
  HOLEPUNCH_NO_SUPPORT,
  HOLEPUNCH_NOT_CONNECTED,
  type HolepunchMessage,
  parseHolepunch,
} from './wire/holepunch.ts'

const MAX_ASKED = 20
const MAX_ORDERS = 20
const MINUTE_MS = 60_000
const MAX_HEARD = 2_000
const RETRY_MS = 5 * MINUTE_MS
/** Of those who told of an address. */
const MAX_TELLERS = 4

/** A peer as this sees it. */
export interface Punchable {
  readonly host: string
  /** Of the connection. */
  readonly port: number
  readonly listenPort: number | undefined
  readonly transport: Transport
  readonly closed: boolean
  /** It speaks ut_holepunch. */
  readonly holepunches: boolean
  sendHolepunch(payload: Uint8Array): void
}

export interface HolepunchHost<P extends Punchable> {
  readonly nowMs: number
  readonly peers: ReadonlySet<P>
  /** Connect to it over uTP, now. */
  punch(host: string, port: number): void
}

interface Counts {
  sinceMs: number
  asked: number
  orders: number
}

interface Heard<P> {
  readonly tellers: P[]
  askedMs: number
}

export class Holepunch<P extends Punchable> {
  readonly #host: HolepunchHost<P>
  readonly #heard = new Map<string, Heard<P>>()
  readonly #counts = new WeakMap<P, Counts>()

  constructor(host: HolepunchHost<P>) {
    this.#host = host
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#heard.size
  }

  /** `peer` is connected to these, as it says (BEP 11). */
  told(peer: P, addresses: readonly PeerAddress[]): void {
    if (!peer.holepunches) return
    for (const { host, port } of addresses) {
      const key = keyOf(host, port)
      const heard = this.#heard.get(key) ?? { tellers: [], askedMs: Number.NEGATIVE_INFINITY }
      if (!heard.tellers.includes(peer)) heard.tellers.push(peer)
      if (heard.tellers.length > MAX_TELLERS) heard.tellers.shift()
      this.#heard.set(key, heard)
      if (this.#heard.size > MAX_HEARD) this.#heard.delete(this.#heard.keys().next().value!)
    }
  }

  /** Nobody answered there: whoever told of it is asked to bring us together. */
  unreached(host: string, port: number): void {
    const heard = this.#heard.get(keyOf(host, port))
    const { nowMs } = this.#host
    if (heard === undefined || nowMs - heard.askedMs < RETRY_MS) return
    const relay = heard.tellers.find((peer) => !peer.closed)
    if (relay === undefined) return
    heard.askedMs = nowMs
    this.#say(relay, { kind: 'rendezvous', host, port, error: 0 })
  }

  onMessage(peer: P, payload: Uint8Array): void {
    const message = parseHolepunch(payload)
    // An error leaves everything as it is: it is tried again after a while, if somebody tells of it still.
    if (message === null || message.kind === 'error' || !peer.holepunches) return
    const counts = this.#countsOf(peer)
    if (message.kind === 'rendezvous') {
      if (++counts.asked <= MAX_ASKED) this.#relay(peer, message)
    } else if (++counts.orders <= MAX_ORDERS) this.#host.punch(message.host, message.port)
  }

  #countsOf(peer: P): Counts {
    const { nowMs } = this.#host
    const counts = this.#counts.get(peer)
    if (counts !== undefined && nowMs - counts.sinceMs < MINUTE_MS) return counts
    const fresh = { sinceMs: nowMs, asked: 0, orders: 0 }
    this.#counts.set(peer, fresh)
    return fresh
  }

  #relay(peer: P, { host, port }: HolepunchMessage): void {
    const target = this.#find(host, port)
    const error = this.#refusal(peer, target, host)
    if (error !== 0 || target === undefined) {
      this.#say(peer, { kind: 'error', host, port, error })
      return
    }
    const near = reachedAt(peer)
    const far = reachedAt(target)
    if (near === undefined || far === undefined) {
      this.#say(peer, { kind: 'error', host, port, error: HOLEPUNCH_NO_SUCH_PEER })
      return
    }
    this.#say(target, { kind: 'connect', host: peer.host, port: near, error: 0 })
    this.#say(peer, { kind: 'connect', host, port: far, error: 0 })
  }

  #find(host: string, port: number): P | undefined {
    for (const peer of this.#host.peers) {
      if (peer.closed || peer.host !== host) continue
      if (peer.port === port || peer.listenPort === port) return peer
    }
    return undefined
  }

  #refusal(peer: P, target: P | undefined, host: string): number {
    if (target === undefined) return HOLEPUNCH_NOT_CONNECTED
    if (target === peer) return HOLEPUNCH_NO_SELF
    // Neither could speak to the other.
    if (host.includes(':') !== peer.host.includes(':')) return HOLEPUNCH_NO_SUCH_PEER
    return target.holepunches ? 0 : HOLEPUNCH_NO_SUPPORT
  }

  #say(peer: P, message: HolepunchMessage): void {
    const payload = encodeHolepunch(message)
    if (payload !== null) peer.sendHolepunch(payload)
  }
}

/** Its UDP port: that of its connection over uTP, which a NAT may have given it, or the one that it says it listens on. */
function reachedAt(peer: Punchable): number | undefined {
  return peer.transport === 'utp' ? peer.port : peer.listenPort
}

function keyOf(host: string, port: number): string {
  return `${host} ${port}`
}
