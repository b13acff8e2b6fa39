/**
 * A node of the DHT in one address family (BEP 5, BEP 32): answers questions, keeps its table alive, searches.
 *
 * Invariants: nobody is announced without a token of ours; a node that says it is read-only enters no table (BEP 43), and a
 * read-only node of ours answers nothing.
 */
import type { Clock, Logger, Random } from '../../base/index.ts'
import type { PeerAddress } from '../announce/types.ts'
import type { OpenDatagramSocket } from '../network.ts'
import { AnnouncedPeers } from './announced.ts'
import { type Contact, ID_BYTES, writeContacts, writeEndpoint } from './contact.ts'
import {
  encodeFailure,
  encodeResponse,
  KRPC_PROTOCOL,
  KRPC_UNKNOWN_METHOD,
  type Method,
  type Query,
  type Response,
} from './krpc.ts'
import { type Closest, Lookup } from './lookup.ts'
import { type Endpoint, Messenger, type MessengerHost } from './messenger.ts'
import { K, RoutingTable } from './routing-table.ts'
import { Tokens } from './tokens.ts'

/** Peers in an answer: the datagram stays whole on every path. */
const MAX_ANSWERED: Readonly<Record<4 | 6, number>> = { 4: 50, 6: 30 }
const MAX_PINGS = 8
const REFRESH_MS = 15 * 60_000
/** With fewer nodes a node asks those that it begins with again, a while later each time. */
const FEW_NODES = K
const FIRST_REBOOTSTRAP_MS = 5_000
const MAX_REBOOTSTRAP_MS = 10 * 60_000

export interface DhtNodeOptions {
  readonly family: 4 | 6
  readonly id: Uint8Array
  readonly socket: OpenDatagramSocket
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly readOnly: boolean
  /** Somebody announced itself here. */
  onAnnounced(infoHash: Uint8Array, peer: PeerAddress): void
  /** Whom to ask when nobody is known. */
  bootstrap(): Promise<readonly Endpoint[]>
  /** The node of the other family, when there is one: each asks for contacts of both. */
  other(): DhtNode | undefined
}

export class DhtNode implements MessengerHost {
  readonly family: 4 | 6
  readonly readOnly: boolean
  readonly #options: DhtNodeOptions
  readonly #table: RoutingTable
  readonly #messenger: Messenger
  readonly #tokens: Tokens
  readonly #announced = new AnnouncedPeers()
  #refreshedMs = Number.NEGATIVE_INFINITY
  #rebootstrapMs = FIRST_REBOOTSTRAP_MS
  #bootstrapDueMs = 0
  #bootstrapping = false
  #stopped = false

  constructor(options: DhtNodeOptions) {
    const { family, id, socket, clock, random } = options
    this.family = family
    this.readOnly = options.readOnly
    this.#options = options
    this.#table = new RoutingTable(id)
    this.#messenger = new Messenger(socket, clock, random, this)
    this.#tokens = new Tokens(random, clock.monotonicMs())
  }

  /** Nodes that have answered. */
  get size(): number {
    return this.#table.answered
  }

  contacts(): readonly Contact[] {
    return this.#table.good()
  }

  /** Nodes that may be there: each is asked. */
  meet(endpoints: readonly (Endpoint & { readonly id?: Uint8Array })[]): void {
    for (const endpoint of endpoints) this.#ask(endpoint, 'ping', {}, () => {})
  }

  stop(): void {
    this.#stopped = true
    this.#messenger.stop()
  }

  /** Finds peers; announces a port to the closest nodes unless `portFor` is undefined. Calls `done` once, unless stopped. */
  search(
    infoHash: Uint8Array,
    portFor: ((host: string) => number) | undefined,
    onPeers: (peers: readonly PeerAddress[]) => void,
    done: () => void,
  ): void {
    this.#lookup('get_peers', infoHash, onPeers, (closest) => {
      for (const { contact, token } of closest) {
        if (portFor === undefined || token === undefined) continue
        const port = portFor(contact.host)
        const parameters = { info_hash: infoHash, port, token, implied_port: 0 }
        this.#ask(contact, 'announce_peer', parameters, () => {})
      }
      done()
    })
  }

  #lookup(
    method: 'find_node' | 'get_peers',
    target: Uint8Array,
    onPeers: (peers: readonly PeerAddress[]) => void,
    done: (closest: readonly Closest[]) => void,
  ): void {
    const other = this.#options.other()
    const named = method === 'find_node' ? { target } : { info_hash: target }
    const parameters = { ...named, want: other === undefined ? undefined : ['n4', 'n6'] }
    new Lookup({
      target,
      from: this.#table.closest(target),
      ask: (contact, answered) => this.#ask(contact, method, parameters, answered),
      contactsOf: (response) => this.#contactsOf(response),
      onPeers,
      done,
    })
  }

  /** Those of our family; of the other the first few are a beginning, when it knows nobody. */
  #contactsOf(response: Response): readonly Contact[] {
    const { contacts4, contacts6 } = response
    const other = this.#options.other()
    if (other !== undefined && other.size < FEW_NODES) {
      other.meet((this.family === 4 ? contacts6 : contacts4).slice(0, 2))
    }
    const ours = this.family === 4 ? contacts4 : contacts6
    return ours.filter(({ id }) => !this.#isOwn(id))
  }

  #isOwn(id: Uint8Array): boolean {
    return id.every((byte, i) => byte === this.#table.ownId[i])
  }

  #ask(
    to: Endpoint & { readonly id?: Uint8Array },
    method: Method,
    parameters: Parameters<Messenger['ask']>[2],
    done: (response: Response | undefined) => void,
  ): void {
    this.#messenger.ask(to, method, { id: this.#table.ownId, ...parameters }, done)
  }

  // --- Time ---

  /** Now and then, a minute at the most: looks after the table. */
  tick(): void {
    if (this.#stopped) return
    const nowMs = this.#options.clock.monotonicMs()
    this.#announced.sweep(nowMs)
    if (this.#table.size < FEW_NODES && nowMs >= this.#bootstrapDueMs) this.#bootstrap(nowMs)
    for (const contact of this.#table.questionable(nowMs).slice(0, MAX_PINGS)) this.meet([contact])
    const stale = this.#table.stale(nowMs)
    // Who knows few has perhaps come before the others.
    const isDue = nowMs - this.#refreshedMs >= REFRESH_MS || this.#table.size < FEW_NODES
    if (this.#table.size === 0 || (!isDue && stale === undefined)) return
    if (isDue) this.#refreshedMs = nowMs
    this.#refresh(isDue ? this.#table.ownId : this.#idIn(stale!))
  }

  #refresh(target: Uint8Array): void {
    this.#lookup(
      'find_node',
      target,
      () => {},
      () => {},
    )
  }

  #bootstrap(nowMs: number): void {
    if (this.#bootstrapping) return
    this.#bootstrapping = true
    this.#bootstrapDueMs = nowMs + this.#rebootstrapMs
    this.#rebootstrapMs = Math.min(MAX_REBOOTSTRAP_MS, 2 * this.#rebootstrapMs)
    this.#options.bootstrap().then(
      (endpoints) => {
        this.#bootstrapping = false
        if (this.#stopped) return
        for (const endpoint of endpoints) {
          const target = this.#table.ownId
          this.#ask(endpoint, 'find_node', { target }, (response) => {
            if (response === undefined) return
            this.#refreshedMs = this.#options.clock.monotonicMs()
            this.meet(this.#contactsOf(response))
            this.#refresh(target)
          })
        }
      },
      (error: unknown) => {
        this.#bootstrapping = false
        this.#options.logger.debug({ err: error }, 'no node of the DHT to begin with')
      },
    )
  }

  /** An id in the bucket of that number. */
  #idIn(bucket: number): Uint8Array {
    const id = new Uint8Array(ID_BYTES)
    this.#options.random.fill(id)
    const own = this.#table.ownId
    const whole = bucket >> 3
    for (let i = 0; i < whole; i++) id[i] = own[i]!
    const bit = 0x80 >> (bucket & 7)
    const above = 0xff & ~(2 * bit - 1)
    id[whole] = (own[whole]! & above) | (~own[whole]! & bit) | (id[whole]! & (bit - 1))
    return id
  }

  // --- What comes ---

  onResponse(response: Response, from: Endpoint): void {
    if (this.#isOwn(response.id)) return
    this.#table.heard({ id: response.id, ...from }, true, this.#options.clock.monotonicMs())
  }

  onFailure(contact: Contact): void {
    this.#table.failed(contact, this.#options.clock.monotonicMs())
  }

  onQuery(query: Query, from: Endpoint): void {
    if (this.readOnly || this.#isOwn(query.id)) return
    const nowMs = this.#options.clock.monotonicMs()
    const reply = this.#replyTo(query, from, nowMs)
    this.#messenger.send(reply, from)
    if (query.readOnly) return
    const contact = { id: query.id, ...from }
    this.#table.heard(contact, false, nowMs)
    // Who knows few has no reason to wait before it asks whether one is really there.
    if (this.#table.answered < FEW_NODES) this.meet([contact])
  }

  #replyTo(query: Query, from: Endpoint, nowMs: number): Uint8Array {
    const { method, transaction, target, token } = query
    const id = this.#table.ownId
    switch (method) {
      case undefined:
        return encodeFailure(transaction, KRPC_UNKNOWN_METHOD, 'Method Unknown')
      case 'ping':
        return encodeResponse(transaction, { id })
      case 'find_node':
        if (target === undefined) break
        return encodeResponse(transaction, { id, ...this.#near(target, query.wants) })
      case 'get_peers': {
        if (target === undefined) break
        const bytes = this.family === 4 ? 6 : 18
        const most = MAX_ANSWERED[this.family]
        const { random } = this.#options
        const values = this.#announced.some(target, bytes, most, nowMs, random)
        return encodeResponse(transaction, {
          id,
          token: this.#tokens.make(from.host, nowMs),
          values: values.length === 0 ? undefined : values,
          ...this.#near(target, query.wants),
        })
      }
      case 'announce_peer': {
        if (target === undefined || token === undefined) break
        if (!this.#tokens.isGood(token, from.host, nowMs)) {
          return encodeFailure(transaction, KRPC_PROTOCOL, 'bad token')
        }
        const port = query.port ?? from.port
        const endpoint = writeEndpoint(from.host, port)
        if (endpoint !== null) this.#announced.add(target, endpoint, nowMs)
        this.#options.onAnnounced(target, { host: from.host, port })
        return encodeResponse(transaction, { id })
      }
    }
    return encodeFailure(transaction, KRPC_PROTOCOL, 'Protocol Error')
  }

  /** The closest nodes, compact, of the families that are wanted (BEP 32). */
  #near(
    target: Uint8Array,
    wants: readonly (4 | 6)[],
  ): { nodes?: Uint8Array; nodes6?: Uint8Array } {
    const families = wants.length === 0 ? [this.family] : wants
    const near: { nodes?: Uint8Array; nodes6?: Uint8Array } = {}
    for (const family of families) {
      const node = family === this.family ? this : this.#options.other()
      if (node === undefined) continue
      const contacts = writeContacts(node.#table.closest(target), family)
      if (family === 4) near.nodes = contacts
      else near.nodes6 = contacts
    }
    return near
  }
}
