/**
 * A torrent's way to its peers: the addresses that are known, the connections that it made itself, and
 * whom it does not want to see again.
 *
 * Invariants: at most MAX_OUTGOING connections at a time, and none beyond what the engine gives leave
 * for; each connection occupies one address until `ended`; a banned host is neither connected to nor let in.
 */
import { AddressBook, type PeerAddress } from './addresses.ts'
import type { PeerSocket } from './network.ts'
import { Peer } from './peer.ts'
import type { PeerHost } from './peer-host.ts'
import type { TorrentContext } from './torrent-context.ts'

const MAX_OUTGOING = 200
/** Two seeds have nothing to say to each other. */
const SEED_RETRY_MS = 30 * 60_000

export class Connector {
  readonly #context: TorrentContext
  readonly #torrent: PeerHost
  readonly #addresses = new AddressBook()
  readonly #outgoing = new Map<Peer, PeerAddress>()

  constructor(context: TorrentContext, torrent: PeerHost) {
    this.#context = context
    this.#torrent = torrent
  }

  add(peers: readonly { readonly host: string; readonly port: number }[]): void {
    for (const { host, port } of peers) this.#addresses.add(host, port)
  }

  /** Begins a connection to whoever is next; undefined when none may be, or nobody is known. */
  connect(): Peer | undefined {
    if (this.#outgoing.size >= MAX_OUTGOING || !this.#context.mayConnect()) return undefined
    this.#torrent.readClock()
    const address = this.#addresses.next(this.#torrent.nowMs)
    if (address === undefined) return undefined
    this.#context.connectionBegun()
    const socket = this.#context.network.connect(address.host, address.port)
    const peer = new Peer(this.#torrent, socket, true)
    this.#outgoing.set(peer, address)
    socket.onConnect = () => {
      if (peer.closed) return
      peer.opened = true
      this.#context.connectionOpened()
      this.#torrent.readClock()
      peer.sendHandshake()
    }
    return peer
  }

  /** A peer connected to us; undefined when it is not welcome, which includes that the torrent is over. */
  accept(socket: PeerSocket, welcome: boolean): Peer | undefined {
    const { connectionBegun, connectionOpened, connectionEnded } = this.#context
    connectionBegun()
    connectionOpened()
    if (!welcome || this.#addresses.isBanned(socket.remoteAddress)) {
      socket.onClose = () => {}
      socket.destroy()
      connectionEnded(true)
      return undefined
    }
    this.#torrent.readClock()
    return new Peer(this.#torrent, socket, false)
  }

  /** The peer is we ourselves. */
  isSelf(peer: Peer): void {
    const address = this.#outgoing.get(peer)
    if (address !== undefined) this.#addresses.forget(address)
  }

  /** The connection is over. `bothSeed`: no need to hurry back. */
  ended(peer: Peer, bothSeed: boolean): void {
    this.#context.connectionEnded(peer.opened)
    const address = this.#outgoing.get(peer)
    if (address === undefined) return
    const { nowMs } = this.#torrent
    this.#outgoing.delete(peer)
    this.#addresses.ended(address, peer.peerId !== undefined, nowMs)
    if (bothSeed) address.notBeforeMs = nowMs + SEED_RETRY_MS
  }

  ban(host: string): void {
    this.#addresses.ban(host)
  }
}
