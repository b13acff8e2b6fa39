/**
 * The distributed hash table (BEP 5): finds peers where no tracker is. One node for each address family that we
 * listen in (BEP 32), under one id.
 *
 * ```
 * torrents -> searches, a few at a time -> node IPv4 -> datagrams
 *                                       `-> node IPv6 -> datagrams
 * state kept across restarts: { id, nodes, nodes6 }, bencoded
 * ```
 *
 * Invariants: nobody is asked but nodes that others named, those of the last run, and the bootstrap that was handed in; at
 * most MAX_SEARCHES at a time; after `stop` no timer and no socket is left.
 */
import { type Clock, type Logger, type Random, SeedbedError } from '../../base/index.ts'
import { decodeDictionary, encode, getBytes } from '../../bencode/index.ts'
import type { PeerAddress } from '../announce/types.ts'
import type { DatagramSockets } from '../datagram-port.ts'
import type { Network, OpenDatagramSocket } from '../network.ts'
import { type Contact, ID_BYTES, parseContacts, writeContacts } from './contact.ts'
import type { Endpoint } from './messenger.ts'
import { DhtNode } from './node.ts'

const TICK_MS = 10_000
const MAX_SEARCHES = 8
/** Of each family, from the last run. */
const MAX_KEPT = 200

export interface DhtOptions {
  /** Nodes to begin with, by name or address; none are built in. */
  readonly bootstrap: readonly Endpoint[]
  /** What `state` gave in the last run. */
  readonly state?: Uint8Array
  /** Ask, but answer nobody (BEP 43): for machines that others cannot reach. */
  readonly readOnly?: boolean
}

interface DhtTools {
  readonly network: Pick<Network, 'resolve'>
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** A peer announced itself to us: it is in a swarm of that info-hash. */
  onAnnounced?(infoHash: Uint8Array, peer: PeerAddress): void
}

interface Search {
  readonly infoHash: Uint8Array
  /** The port that whoever has that address is told; undefined: it is not announced. */
  readonly portFor: ((host: string) => number) | undefined
  readonly onPeers: (peers: readonly PeerAddress[]) => void
}

export class Dht {
  readonly #tools: DhtTools
  readonly #options: DhtOptions
  readonly #id: Uint8Array
  readonly #nodes = new Map<4 | 6, DhtNode>()
  /** Searches that wait for their turn. */
  readonly #waiting: Search[] = []
  /** All that are not over, with what to call when they are. */
  readonly #pending = new Map<Search, () => void>()
  #searching = 0
  #cancelTick: (() => void) | undefined
  #stopped = false

  private constructor(tools: DhtTools, options: DhtOptions, id: Uint8Array) {
    this.#tools = tools
    this.#options = options
    this.#id = id
  }

  /** Begins a node on the socket of each family. */
  static open(tools: DhtTools, sockets: DatagramSockets, options: DhtOptions): Dht {
    const kept = parseState(options.state)
    const id = kept?.id ?? new Uint8Array(ID_BYTES)
    if (kept === undefined) tools.random.fill(id)
    const dht = new Dht(tools, options, id)
    for (const [family, socket] of sockets) dht.#open(family, socket)
    for (const [family, node] of dht.#nodes) node.meet(kept?.contacts[family] ?? [])
    dht.#tick()
    return dht
  }

  #open(family: 4 | 6, socket: OpenDatagramSocket): void {
    const { clock, random, logger } = this.#tools
    const node = new DhtNode({
      family,
      id: this.#id,
      socket,
      clock,
      random,
      logger,
      readOnly: this.#options.readOnly ?? false,
      onAnnounced: (infoHash, peer) => this.#tools.onAnnounced?.(infoHash, peer),
      bootstrap: () => this.#resolve(family),
      other: () => this.#nodes.get(family === 4 ? 6 : 4),
    })
    this.#nodes.set(family, node)
  }

  /** Nodes that are known to be there, of both families. */
  get size(): number {
    let size = 0
    for (const node of this.#nodes.values()) size += node.size
    return size
  }

  /** Whether there is a node of ours in the family of this address. */
  speaksTo(host: string): boolean {
    return this.#nodes.has(host.includes(':') ? 6 : 4)
  }

  /** A node that may be there: a peer said so (BEP 5, message `port`). */
  meet(endpoint: Endpoint): void {
    this.#nodes.get(endpoint.host.includes(':') ? 6 : 4)?.meet([endpoint])
  }

  /**
   * Finds peers, and announces a port unless `portFor` is undefined. Resolves when it is over, also when it was stopped;
   * waits for its turn before.
   */
  search(search: Search): Promise<void> {
    if (this.#stopped) return Promise.resolve()
    return new Promise((resolve) => {
      this.#pending.set(search, resolve)
      this.#waiting.push(search)
      this.#next()
    })
  }

  #next(): void {
    while (this.#searching < MAX_SEARCHES) {
      const search = this.#waiting.shift()
      if (search === undefined) return
      this.#searching++
      let left = this.#nodes.size
      for (const node of this.#nodes.values()) {
        node.search(search.infoHash, search.portFor, search.onPeers, () => {
          if (--left > 0) return
          this.#searching--
          this.#pending.get(search)?.()
          this.#pending.delete(search)
          this.#next()
        })
      }
    }
  }

  /** For the next run. */
  state(): Uint8Array {
    const contacts = (family: 4 | 6): Uint8Array | undefined => {
      const node = this.#nodes.get(family)
      return node && writeContacts(node.contacts().slice(0, MAX_KEPT), family)
    }
    return encode({ id: this.#id, nodes: contacts(4), nodes6: contacts(6) })
  }

  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#cancelTick?.()
    for (const node of this.#nodes.values()) node.stop()
    this.#waiting.length = 0
    for (const resolve of this.#pending.values()) resolve()
    this.#pending.clear()
  }

  #tick(): void {
    for (const node of this.#nodes.values()) node.tick()
    this.#cancelTick = this.#tools.clock.after(TICK_MS, () => this.#tick(), true)
  }

  async #resolve(family: 4 | 6): Promise<readonly Endpoint[]> {
    const { network, logger } = this.#tools
    const found: Endpoint[] = []
    for (const { host, port } of this.#options.bootstrap) {
      try {
        for (const resolved of await network.resolve(host)) {
          if (resolved.family === family) found.push({ host: resolved.address, port })
        }
      } catch (error) {
        logger.info({ host, err: error }, 'a node of the DHT to begin with has no address')
      }
    }
    return found
  }
}

export interface KeptState {
  readonly id: Uint8Array
  readonly contacts: Readonly<Record<4 | 6, readonly Contact[]>>
}

/** Undefined when there is none, or it is no state: the DHT begins anew. */
export function parseState(bytes: Uint8Array | undefined): KeptState | undefined {
  if (bytes === undefined) return undefined
  try {
    const dictionary = decodeDictionary(bytes, { valuesMax: 8, depthMax: 2 })
    const id = getBytes(dictionary, 'id')
    if (id?.length !== ID_BYTES) return undefined
    const contacts = (key: string, family: 4 | 6): readonly Contact[] =>
      parseContacts(getBytes(dictionary, key) ?? new Uint8Array(0), family, MAX_KEPT)
    return {
      id: Uint8Array.from(id),
      contacts: { 4: contacts('nodes', 4), 6: contacts('nodes6', 6) },
    }
  } catch (error) {
    if (error instanceof SeedbedError) return undefined
    throw error
  }
}
