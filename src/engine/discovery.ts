/**
 * All the ways by which a torrent finds peers: its trackers, the DHT, the local network, and what its peers tell of others. A hybrid is two
 * swarms, each is asked for by its own name.
 *
 * Invariant: of a private torrent (BEP 27) nobody hears but its trackers, and nobody else is believed.
 */
import {
  type Announcer,
  createAnnouncer,
  type Tiers,
  type TrackerStatus,
} from './announce/announcer.ts'
import type { AnnounceHost } from './announce/tracker.ts'
import type { PeerAddress } from './announce/types.ts'
import { DhtSeeker } from './dht/seeker.ts'
import { type Gossip, PeerExchange } from './peer-exchange.ts'
import type { TorrentContext } from './torrent-context.ts'

const STOP_ANNOUNCE_MS = 3_000
/** Half of what libtorrent waits before it comes again: later it is there before the answer. */
const ASK_WITHIN_MS = 30_000
const NOBODY: readonly never[] = []

export interface DiscoveryHost extends AnnounceHost {
  /** False also while that is not known: a magnet has nothing but its name. */
  readonly isPrivate: boolean
}

export class Discovery<P extends Gossip> {
  readonly #context: TorrentContext
  readonly #host: DiscoveryHost
  // Lists of one or two: what grows by `push`, or is spread into another, keeps room for seventeen.
  #announcers: readonly Announcer[] = NOBODY
  #seekers: readonly DhtSeeker[] = NOBODY
  /** Of those who have had peers. */
  #exchange: PeerExchange<P> | undefined
  #names: readonly Uint8Array[] = NOBODY
  #toldLocally = false
  #started = false

  /** `names`: at least one. */
  constructor(
    context: TorrentContext,
    host: DiscoveryHost,
    names: readonly Uint8Array[],
    tiers: Tiers,
  ) {
    this.#context = context
    this.#host = host
    for (const name of names) this.#announce(name, tiers)
  }

  /** The trackers that it asks. */
  tiers(): Tiers {
    return this.#announcers[0]!.tiers()
  }

  /** The torrent is known by this name, too. */
  announce(name: Uint8Array): void {
    this.#announce(name, this.tiers())
  }

  #announce(name: Uint8Array, tiers: Tiers): void {
    this.#names = this.#names.concat(name)
    if (this.#toldLocally) this.#context.local?.announce(name)
    const { reach, random, dht } = this.#context
    const announcer = createAnnouncer(this.#context, {
      tiers,
      infoHash: name,
      host: this.#host,
      // Our links have a tier for each address family: a swarm is whole only when all are told.
      announceToAllTiers: true,
    })
    this.#announcers = this.#announcers.concat(announcer)
    if (this.#started) announcer.start()
    if (dht === undefined) return
    const found = (peers: readonly PeerAddress[]): void => this.believe(peers)
    const portFor = (host: string): number => reach.tcpPort(host)
    this.#seekers = this.#seekers.concat(new DhtSeeker(dht, name, portFor, random, found))
  }

  start(): void {
    this.#started = true
    for (const announcer of this.#announcers) announcer.start()
  }

  /** Somebody is there whose address is not known: asks the trackers that may be asked soon. */
  askAround(): void {
    for (const announcer of this.#announcers) announcer.announceWithin(ASK_WITHIN_MS)
  }

  /** We are reached at another port than the one that was told. */
  moved(): void {
    for (const announcer of this.#announcers) announcer.announceAgain()
    for (const seeker of this.#seekers) seeker.announceAgain()
  }

  /** Peers that somebody else than a tracker has named. */
  believe(peers: readonly PeerAddress[]): void {
    if (!this.#host.isPrivate) this.#host.addPeers(peers)
  }

  /** The download is complete. */
  completed(): void {
    for (const announcer of this.#announcers) announcer.completed()
  }

  /** Once a second. `hungry`: more peers are wanted than there are. */
  tick(nowMs: number, hungry: boolean, peers: ReadonlySet<P>): void {
    const { isPrivate } = this.#host
    if (this.#toldLocally === isPrivate) this.#tellLocally(!isPrivate)
    if (!isPrivate) {
      for (const seeker of this.#seekers) seeker.tick(nowMs, hungry)
      if (peers.size > 0) this.#exchangeAt(nowMs).tick(nowMs, peers)
    }
    if (!hungry) return
    for (const announcer of this.#announcers) announcer.announceNow()
  }

  /** Not before the first tick: only then it is known of what was opened whether it is private. */
  #tellLocally(tells: boolean): void {
    this.#toldLocally = tells
    const { local } = this.#context
    for (const name of this.#names) {
      if (tells) local?.announce(name)
      else local?.withdraw(name)
    }
  }

  /** A peer tells of others (BEP 11): of these. */
  onPex(peer: P, payload: Uint8Array, nowMs: number): readonly PeerAddress[] {
    const peers = this.#exchangeAt(nowMs).receive(peer, payload, nowMs)
    this.believe(peers)
    return peers
  }

  #exchangeAt(nowMs: number): PeerExchange<P> {
    this.#exchange ??= new PeerExchange(nowMs)
    return this.#exchange
  }

  trackers(): readonly TrackerStatus[] {
    return this.#announcers.flatMap((announcer) => announcer.status())
  }

  /** Says goodbye; resolves when that was heard, or took too long. */
  async stop(): Promise<void> {
    this.#tellLocally(false)
    await Promise.all(this.#announcers.map((announcer) => announcer.stop(STOP_ANNOUNCE_MS)))
  }
}
