/**
 * A torrent's way to its peers: the addresses that are known, the connections that it made itself, and
 * whom it does not want to see again.
 *
 * Invariants: at most MAX_OUTGOING connections of ours at a time, and none beyond what the torrent may have and the engine gives leave
 * for; each connection occupies one address until `ended`; a banned host is neither connected to nor let in; who answers and does not
 * understand is tried with encryption, or without, at once, where the policy allows both, and only then has failed.
 */
import { AddressBook, type PeerAddress } from './addresses.ts'
import type { Arrival, Departure } from './connections.ts'
import { encryptsNext } from './encryption/policy.ts'
import { EncryptingSocket } from './encryption/socket.ts'
import type { PeerSocket } from './network.ts'
import { Peer, type PeerHost } from './peer.ts'
import { peerPriority } from './peer-priority.ts'
import type { TorrentContext } from './torrent-context.ts'

const MAX_OUTGOING = 200
/** Two seeds have nothing to say to each other. */
const SEED_RETRY_MS = 30 * 60_000
const TWICE_RETRY_MS = 5 * 60_000
/** A connection that moved no chunk and did not last as long has failed, whatever was said on it. */
const USEFUL_MS = 30_000

/**
 * What a connection was: `unmet`: we made it, and nobody was there, or understood; `half`: the same, and the other half of the attempt is due.
 */
export type Ending = 'met' | 'unmet' | 'half'

/** A connection that we made. */
interface Made {
  readonly address: PeerAddress
  readonly departure: Departure
  readonly encrypted: boolean
  /** Somebody was there. */
  reached: () => boolean
  /** Not to be tried again for this long. */
  restMs: number
}

export class Connector {
  readonly #context: TorrentContext
  readonly #torrent: PeerHost
  readonly #addresses = new AddressBook((address) => this.priorityOf(address))
  /** As of which change of our own address the priorities are. */
  #ranked = 0
  readonly #outgoing = new Map<Peer, Made>()
  readonly #incoming = new Map<Peer, Arrival>()
  readonly #met = new Map<Peer, Departure>()

  constructor(context: TorrentContext, torrent: PeerHost) {
    this.#context = context
    this.#torrent = torrent
  }

  /** BEP 40; 0 as long as nobody has told us our own address. */
  priorityOf({ host, port }: { readonly host: string; readonly port: number }): number {
    const own = this.#context.ownAddress.towards(host)
    if (own === undefined) return 0
    return peerPriority({ host: own, port: this.#context.reach.tcpPort(host) }, { host, port })
  }

  /** No address, whatever became of it, and no ban. */
  get knowsNobody(): boolean {
    return this.#addresses.isEmpty
  }

  /** Room for another peer, as far as the torrent alone is concerned. */
  get hasRoom(): boolean {
    const size = this.#outgoing.size + this.#incoming.size + this.#met.size
    return size < this.#context.maxConnectionsPerTorrent
  }

  add(peers: readonly { readonly host: string; readonly port: number }[]): void {
    const { nowMs } = this.#torrent
    for (const { host, port } of peers) this.#addresses.add(host, port, nowMs)
  }

  /** Somebody could be connected to now, as far as the torrent alone is concerned. */
  get mayConnect(): boolean {
    if (this.#outgoing.size >= MAX_OUTGOING || !this.hasRoom) return false
    this.#torrent.readClock()
    return this.#addresses.isAnyDue(this.#torrent.nowMs)
  }

  /** Begins a connection to whoever is next; undefined when none may be, or nobody is known. */
  connect(): Peer | undefined {
    const { connections, dialer, encryption, random, ownAddress } = this.#context
    if (!this.mayConnect || !connections.mayDepart) return undefined
    if (this.#ranked !== ownAddress.changes) {
      this.#ranked = ownAddress.changes
      this.#addresses.rank()
    }
    const address = this.#addresses.next(this.#torrent.nowMs)
    if (address === undefined) return undefined
    const departure = connections.depart()!
    const encrypted = encryptsNext(encryption, address.last)
    // Who knows a hybrid by v2 alone does not answer to its other name: they are tried in turn.
    const { all } = this.#torrent.names
    const name = all[address.failures % all.length]!
    const plain = dialer.dial(address.host, address.port, address.last)
    const socket = encrypted ? new EncryptingSocket(plain, name, encryption, random) : plain
    const peer = new Peer(this.#torrent, socket, name)
    let connected = false
    const reached = (): boolean => (socket instanceof EncryptingSocket ? socket.reached : connected)
    this.#outgoing.set(peer, { address, departure, encrypted, reached, restMs: 0 })
    socket.onConnect = () => {
      connected = true
      if (peer.closed) return
      departure.opened()
      this.#torrent.readClock()
      peer.sendHandshake()
    }
    return peer
  }

  /** Meets whoever is at the other end of what `open` answers, at no address of the book; undefined when none may be. */
  meet(open: () => (PeerSocket & { onConnect: () => void }) | undefined): Peer | undefined {
    if (!this.hasRoom || !this.#context.connections.mayDepart) return undefined
    const socket = open()
    if (socket === undefined) return undefined
    const departure = this.#context.connections.depart()!
    this.#torrent.readClock()
    const peer = new Peer(this.#torrent, socket, this.#torrent.names.primary)
    this.#met.set(peer, departure)
    socket.onConnect = () => {
      if (peer.closed) return
      departure.opened()
      peer.sendHandshake()
    }
    return peer
  }

  /** Meets whoever opens its NAT for us at this moment (BEP 55). */
  punch(host: string, port: number): Peer | undefined {
    const { dialer, encryption, random } = this.#context
    if (this.isBanned(host)) return undefined
    return this.meet(() => {
      const plain = dialer.dialUtp(host, port)
      const encrypted = plain !== undefined && encryptsNext(encryption, undefined)
      const { primary } = this.#torrent.names
      return encrypted ? new EncryptingSocket(plain, primary, encryption, random) : plain
    })
  }

  isBanned(host: string): boolean {
    return this.#addresses.isBanned(host, this.#torrent.nowMs)
  }

  /** A peer connected to us; undefined when it is not welcome, which includes that the torrent is over. */
  accept(socket: PeerSocket, arrival: Arrival, welcome: boolean): Peer | undefined {
    this.#torrent.readClock()
    if (!welcome || this.isBanned(socket.remoteAddress)) {
      socket.onClose = () => {}
      socket.destroy()
      arrival.ended()
      return undefined
    }
    this.#torrent.readClock()
    const peer = new Peer(this.#torrent, socket, undefined)
    this.#incoming.set(peer, arrival)
    return peer
  }

  /** We are connected to ourselves: never again. */
  isSelf(peer: Peer): void {
    this.#rest(peer, Number.POSITIVE_INFINITY)
  }

  /** There is another connection to the peer, which may have come from another port. */
  isTwice(peer: Peer): void {
    this.#rest(peer, TWICE_RETRY_MS)
  }

  /** Both have everything: nobody needs to hurry back. */
  bothSeed(peer: Peer): void {
    this.#rest(peer, SEED_RETRY_MS)
  }

  /** Something is wanted again of those who had nothing to say. */
  wakeAll(): void {
    this.#addresses.wakeAll()
  }

  #rest(peer: Peer, restMs: number): void {
    const made = this.#outgoing.get(peer)
    if (made !== undefined) made.restMs = restMs
  }

  /** Somebody at the host was turned away because it spoke plaintext: it may be connected to. False when no address of it is known. */
  wake(host: string): boolean {
    this.#torrent.readClock()
    return this.#addresses.wake(host, this.#torrent.nowMs)
  }

  /** The connection is over. */
  ended(peer: Peer): Ending {
    this.#incoming.get(peer)?.ended()
    this.#incoming.delete(peer)
    this.#met.get(peer)?.ended()
    this.#met.delete(peer)
    const made = this.#outgoing.get(peer)
    if (made === undefined) return 'met'
    this.#outgoing.delete(peer)
    const { address, encrypted } = made
    const understood = peer.peerId !== undefined
    const attempt = { encrypted, reached: made.reached(), understood }
    const otherWay = encryptsNext(this.#context.encryption, attempt) !== encrypted
    const isHalf = otherWay && address.last?.isHalf !== true && !this.#isHere(address.host)
    address.last = { ...attempt, transport: peer.transport, isHalf }
    const { nowMs } = this.#torrent
    if (isHalf) {
      this.#addresses.goesOn(address, nowMs)
      made.departure.ended()
      return 'half'
    }
    made.departure.ended()
    const moved = peer.download.rate.total + peer.upload.rate.total > 0
    const useful = understood && (moved || nowMs - peer.connectedMs >= USEFUL_MS)
    this.#addresses.ended(address, useful, nowMs, made.restMs)
    return understood ? 'met' : 'unmet'
  }

  /** Somebody from there has connected to us: who connected to each other at once keep one connection, and hang up the other. */
  #isHere(host: string): boolean {
    for (const peer of this.#incoming.keys()) if (peer.host === host) return true
    return false
  }

  ban(host: string): void {
    this.#addresses.ban(host, this.#torrent.nowMs)
  }
}
