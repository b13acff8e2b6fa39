/**
 * A torrent's swarm, as far as we are connected to it: who is let in and looked for, met twice or banned, and
 * the way of what each peer says to the part that it concerns.
 *
 * ```
 *          .-- Connector       connections, ours and theirs; bans
 * peers ---+-- Choking         who may download from us
 *          +-- MetadataFetch   a magnet's info dictionary
 *          +-- TorrentHashes   hash trees of v2
 *          |-- SuperSeed       what each is shown, where we are the first seed
 *          `-- WebSeeds        web servers in the shape of peers
 * ```
 *
 * Invariants: every peer in `peers` has told, or will tell, that it is closed; after `close` there is none; of two connections to one
 * peer id one is kept, the same on both sides; nobody from a banned host is there.
 */
import { bytesEqual, type Logger, toHex, toLatin1 } from '../base/index.ts'
import type { HashRange, PieceLayers, TorrentInfo } from '../metainfo/index.ts'
import type { PeerAddress } from './announce/types.ts'
import type { Budget } from './budget.ts'
import { Choking, slotsFor } from './choking.ts'
import type { Arrival } from './connections.ts'
import { Connector } from './connector.ts'
import type { Content } from './content.ts'
import type { Discovery } from './discovery.ts'
import type { DownloadSwarm } from './download.ts'
import type { HashJob } from './hash-requests.ts'
import { Holepunch } from './holepunch.ts'
import { MetadataFetch } from './metadata.ts'
import type { PeerSocket } from './network.ts'
import type { Payload } from './payload.ts'
import type { Peer, PeerHost } from './peer.ts'
import { type Newcomer, SETTLE_MS, type Tenant } from './places.ts'
import type { ReadCache } from './read-cache.ts'
import { Suggestions } from './suggestions.ts'
import { SuperSeed } from './super-seed.ts'
import type { TorrentContext } from './torrent-context.ts'
import { TorrentHashes } from './torrent-hashes.ts'
import type { TorrentNames } from './torrent-names.ts'
import type { Traffic } from './traffic.ts'
import type { TorrentState } from './types.ts'
import { WebSeedSocket } from './web-seed/socket.ts'
import { WebSeeds } from './web-seed/web-seeds.ts'
import {
  encodeMetadataData,
  encodeMetadataReject,
  metadataPieceCount,
  parseMetadataMessage,
} from './wire/extended.ts'

/** With fewer peers a download asks its trackers as often as they allow. */
const FEW_PEERS = 10

/** The torrent as its swarm sees it. */
export interface SwarmHost {
  readonly names: TorrentNames
  readonly state: TorrentState
  readonly running: boolean
  readonly asleep: boolean
  readonly info: TorrentInfo | undefined
  readonly isPrivate: boolean
  readonly payload: Payload
  readonly traffic: Traffic
  readonly discovery: Discovery<Peer>
  /** Resolves when it is awake, or has failed. */
  wake(): Promise<void>
}

export class Swarm implements PeerHost, DownloadSwarm, Tenant {
  readonly peers: Set<Peer> = new Set()
  /** Those that have shaken hands. */
  readonly #byId = new Map<string, Peer>()
  readonly peerId: Uint8Array
  readonly prefersEncryption: boolean
  readonly reads: ReadCache
  readonly messageMemory: Budget
  nowMs: number
  /** Hosts that were banned so far. */
  bans = 0
  readonly #host: SwarmHost
  readonly #context: TorrentContext
  readonly #logger: Logger
  readonly #connector: Connector
  /** Who may download from us. */
  readonly choking: Choking
  readonly #suggestions: Suggestions
  readonly #hashes: TorrentHashes
  readonly #webSeeds: WebSeeds<Peer>
  readonly #holepunch: Holepunch<Peer> | undefined
  #metadata: MetadataFetch | undefined
  /** To begin as the swarm's first seed (BEP 16); done once. */
  #beginsSwarm: boolean
  #superSeed: SuperSeed | undefined

  constructor(
    host: SwarmHost,
    context: TorrentContext,
    webSeeds: readonly string[],
    superSeed: boolean,
  ) {
    this.#host = host
    this.#context = context
    this.#logger = context.logger
    this.peerId = context.peerId
    this.prefersEncryption = ['preferred', 'required'].includes(context.encryption)
    this.reads = context.reads
    this.messageMemory = context.messageMemory
    this.nowMs = context.clock.monotonicMs()
    if (context.dialer.speaksUtp) this.#holepunch = new Holepunch<Peer>(this)
    this.#connector = new Connector(context, this)
    const slots = (): number =>
      slotsFor(context.uploadSlots, host.traffic.uploadShare.mostPerSecond)
    this.#suggestions = new Suggestions(this.peers, this.reads, context.random)
    this.choking = new Choking(this.peers, slots, context.firstSlots, context.random, (peer) =>
      this.#suggestions.deal(peer, this.#shown, this.nowMs),
    )
    this.#hashes = new TorrentHashes(
      () => this.nowMs,
      (peer, reason) => this.ban(peer, reason),
    )
    this.#webSeeds = new WebSeeds(webSeeds)
    this.#beginsSwarm = superSeed
  }

  // --- The torrent as its peers see it ---

  get names(): TorrentNames {
    return this.#host.names
  }

  get payload(): Payload {
    return this.#host.payload
  }

  get traffic(): Traffic {
    return this.#host.traffic
  }

  get isPrivate(): boolean {
    return this.#host.isPrivate
  }

  get infoBytes(): Uint8Array | undefined {
    return this.#host.info?.infoBytes
  }

  /** BEP 21. */
  get uploadOnly(): boolean {
    // Who has nothing and wants nothing would be left: a super-seed seems to be one.
    return this.#host.state === 'seeding' && this.#superSeed === undefined
  }

  get superSeeds(): boolean {
    return this.#superSeed !== undefined
  }

  get speaksUtp(): boolean {
    return this.#holepunch !== undefined
  }

  get utpPeers(): number {
    let count = 0
    for (const peer of this.peers) if (peer.transport === 'utp') count++
    return count
  }

  readClock(): void {
    this.nowMs = this.#context.clock.monotonicMs()
  }

  // --- Who comes ---

  /** Addresses where peers may be. */
  add(peers: readonly PeerAddress[]): void {
    this.#connector.add(peers)
    this.connect()
  }

  /** A peer connected to us and named this torrent, which is awake; `first` is what it has sent so far. */
  admit(socket: PeerSocket, arrival: Arrival, first: Uint8Array): void {
    const isWelcome = this.#host.running && this.#hasRoomFor(socket)
    const peer = this.#connector.accept(socket, arrival, isWelcome)
    if (peer === undefined) return
    this.peers.add(peer)
    peer.receive(first)
  }

  /** Somebody at the host was turned away because it spoke plaintext. False when nobody knows where to connect to it. */
  turnedAway(host: string): boolean {
    for (const peer of this.peers) if (peer.host === host) return true
    const isKnown = this.#connector.wake(host)
    this.connect()
    return isKnown
  }

  #hasRoomFor({ remoteAddress: host, remotePort: port }: PeerSocket): boolean {
    if (this.#connector.hasRoom) return true
    this.readClock()
    return this.giveWay({ host, port }, this.nowMs - SETTLE_MS)
  }

  // --- Its connections, of those that there may be ---

  get places(): number {
    return this.peers.size
  }

  /** Begins connections, in turn with other torrents, as long as there may be more. */
  connect(): void {
    if (this.#host.running && this.#connector.mayConnect) this.#context.connections.queue(this)
  }

  depart(): void {
    const host = this.#host
    if (!host.running) return
    if (host.asleep) {
      host.wake().then(() => this.connect())
      return
    }
    const peer = this.#connector.connect()
    if (peer === undefined) return
    this.peers.add(peer)
    this.connect()
  }

  oldestMs(idle: boolean): number | undefined {
    let oldestMs: number | undefined
    for (const peer of this.peers) {
      if (idle && !peer.isIdle) continue
      if (oldestMs === undefined || peer.connectedMs < oldestMs) oldestMs = peer.connectedMs
    }
    return oldestMs
  }

  giveUp(beforeMs: number, idle: boolean): boolean {
    let least: Peer | undefined
    for (const peer of this.peers) {
      if (peer.connectedMs > beforeMs || (idle && !peer.isIdle)) continue
      if (least === undefined || this.#isLess(peer, least)) least = peer
    }
    least?.close()
    return least !== undefined
  }

  giveWay(newcomer: Newcomer, beforeMs: number): boolean {
    const priority = this.#connector.priorityOf(newcomer)
    let least: Peer | undefined
    for (const peer of this.peers) {
      if (peer.connectedMs > beforeMs || this.#connector.priorityOf(peer) >= priority) continue
      if (least === undefined || this.#isLess(peer, least)) least = peer
    }
    least?.close()
    return least !== undefined
  }

  /** Whether the one is of less use than the other. */
  #isLess(one: Peer, other: Peer): boolean {
    if (one.isIdle !== other.isIdle) return one.isIdle
    return this.#connector.priorityOf(one) < this.#connector.priorityOf(other)
  }

  #connectWebSeeds(): void {
    this.#webSeeds.connect(
      this.nowMs,
      (host) => this.#connector.isBanned(host),
      (url) => {
        const open = (): WebSeedSocket => new WebSeedSocket(url, this.#host.info!, this.#context)
        const peer = this.#connector.meet(open)
        if (peer !== undefined) this.peers.add(peer)
        return peer
      },
    )
  }

  onHandshake(peer: Peer): boolean {
    const id = peer.peerId!
    if (bytesEqual(id, this.peerId)) {
      // Only the end that connected knows the address: it has to hear our answer.
      this.#connector.isSelf(peer)
      return !peer.outgoing
    }
    const key = toLatin1(id)
    const other = this.#byId.get(key)
    if (other !== undefined) {
      // Both connected at once: both sides keep the connection that the smaller peer id made.
      const mine = toHex(this.peerId) < toHex(id)
      if (other.outgoing === peer.outgoing || peer.outgoing !== mine) {
        this.#connector.isTwice(peer)
        return false
      }
      this.#connector.isTwice(other)
      other.close()
    }
    this.#byId.set(key, peer)
    return true
  }

  // --- What they say ---

  onMet(peer: Peer): void {
    this.#hashes.add(peer)
    this.#superSeed?.met(peer, this.nowMs)
  }

  onHas(peer: Peer, piece?: number): void {
    this.#suggestions.onHas(peer, piece, this.#shown, this.nowMs)
    const superSeed = this.#superSeed
    if (superSeed === undefined) return
    if (piece === undefined) superSeed.heard(peer, this.nowMs)
    else superSeed.had(peer, piece, this.nowMs)
    if (superSeed.over) this.#endSuperSeed(superSeed)
  }

  onLost(peer: Peer, piece: number): void {
    this.#superSeed?.lost(peer, piece)
  }

  /** What may be suggested of: a super-seed has ways of its own. */
  get #shown(): Content | undefined {
    return this.#superSeed === undefined ? this.payload.content : undefined
  }

  /** From now on it is a seed like any other. */
  #endSuperSeed(superSeed: SuperSeed): void {
    this.#superSeed = undefined
    this.#beginsSwarm = false
    superSeed.end()
    for (const peer of [...this.peers]) peer.tellUploadOnly()
    const infoHash = toHex(this.names.primary)
    this.#logger.info({ infoHash }, 'the swarm has all: no super-seed any more')
  }

  onInterest(peer: Peer): void {
    this.choking.onInterest(peer)
  }

  portTowards(host: string): number {
    return this.#context.reach.tcpPort(host)
  }

  dhtPort(host: string): number | undefined {
    const { dht, reach } = this.#context
    return this.isPrivate || dht?.speaksTo(host) !== true ? undefined : reach.udpPort(host)
  }

  onDhtPort(peer: Peer, port: number): void {
    if (!this.isPrivate) this.#context.dht?.meet({ host: peer.host, port })
  }

  onPex(peer: Peer, payload: Uint8Array): void {
    const told = this.#host.discovery.onPex(peer, payload, this.nowMs)
    this.#holepunch?.told(peer, told)
  }

  onHolepunch(peer: Peer, payload: Uint8Array): void {
    if (!this.isPrivate) this.#holepunch?.onMessage(peer, payload)
  }

  /** Connects over uTP to who connects to us at this moment. */
  punch(host: string, port: number): void {
    for (const peer of this.peers) if (peer.host === host && peer.port === port) return
    const peer = this.#host.running ? this.#connector.punch(host, port) : undefined
    if (peer !== undefined) this.peers.add(peer)
  }

  onHashRequest(peer: Peer, root: Uint8Array, range: HashRange): void {
    this.#hashes.onRequest(peer, this.payload.content, root, range)
  }

  onHashes(peer: Peer, root: Uint8Array, range: HashRange, hashes: Uint8Array): void {
    this.#hashes.onHashes(peer, root, range, hashes)
  }

  onHashReject(peer: Peer, root: Uint8Array, range: HashRange): void {
    this.#hashes.onReject(peer, root, range)
  }

  onExtended(peer: Peer): void {
    const { yourAddress } = peer.extensions.theirs!
    if (yourAddress !== undefined) this.#context.ownAddress.heard(peer.host, yourAddress)
    this.#metadata?.add(peer, this.nowMs)
  }

  onMetadata(peer: Peer, payload: Uint8Array): void {
    const message = parseMetadataMessage(payload)
    if (message === null) return
    if (message.type !== 'request') {
      this.#metadata?.receive(peer, message, this.nowMs)
      return
    }
    const { infoBytes } = this
    const known = infoBytes !== undefined && message.piece < metadataPieceCount(infoBytes.length)
    peer.sendMetadata(
      known ? encodeMetadataData(message.piece, infoBytes) : encodeMetadataReject(message.piece),
    )
  }

  /** Asks for the info dictionary until `done` gets one that `isRight`; who sends another is banned. */
  fetchMetadata(
    isRight: (infoBytes: Uint8Array) => boolean,
    done: (infoBytes: Uint8Array) => void,
  ): void {
    this.#metadata = new MetadataFetch(
      isRight,
      (infoBytes) => {
        this.#metadata = undefined
        done(infoBytes)
      },
      (peer) => this.ban(peer as Peer, 'it sent an info dictionary that is not the one'),
    )
  }

  /** Piece layers that `known` lacks. Rejects with ENGINE_BAD_METADATA when they are too many. */
  fetchLayers(info: TorrentInfo, known: PieceLayers): Promise<PieceLayers> {
    return new Promise((resolve) => this.#hashes.fetch(info, known, this.peers, resolve))
  }

  askLeaves(job: HashJob): boolean {
    return this.#hashes.askLeaves(job, this.peers)
  }

  // --- What they are told ---

  /** The info dictionary is known: peers may be asked for hashes. */
  infoKnown(): void {
    for (const peer of this.peers) if (peer.peerId !== undefined) this.#hashes.add(peer)
  }

  /** The payload was opened: what came whole begins its swarm, if it is to. */
  begin(): void {
    const { content, phase } = this.payload
    if (!this.#beginsSwarm || phase !== 'seeding' || !content!.verified.full) return
    this.#superSeed ??= new SuperSeed(content!.geometry.pieceCount)
  }

  /** What the torrent is made of is known: peers that came before take part now. */
  contentKnown(): void {
    for (const peer of [...this.peers]) peer.contentKnown(this.payload.content!)
  }

  /** Something else is wanted than before. */
  wantedChanged(): void {
    const isDownloading = this.#host.state === 'downloading'
    for (const peer of [...this.peers]) {
      if (isDownloading) peer.downloadBegun()
      peer.tellUploadOnly()
    }
    if (isDownloading) this.#connector.wakeAll()
  }

  /** We have these pieces no more: who cannot be told (BEP 54) is met anew. */
  piecesLost(pieces: ReadonlySet<number>): void {
    if (this.#superSeed !== undefined) this.#endSuperSeed(this.#superSeed)
    for (const peer of [...this.peers]) if (!peer.piecesLost(pieces)) peer.close()
  }

  // --- Time ---

  /** A download, or a magnet, that knows few peers. */
  get isHungry(): boolean {
    const { state } = this.#host
    return (state === 'downloading' || state === 'metadata') && this.peers.size < FEW_PEERS
  }

  /** Nothing would be lost with it: nobody is connected, known, or banned. */
  get knowsNobody(): boolean {
    return this.peers.size === 0 && this.bans === 0 && this.#connector.knowsNobody
  }

  /** Once a second, before `tick`: whoever may be connected to is. */
  gather(): void {
    this.readClock()
    this.connect()
    if (this.#host.state === 'downloading') this.#connectWebSeeds()
  }

  /** Once a second, while there are peers, or may be soon. */
  tick(elapsedMs: number): void {
    for (const peer of [...this.peers]) peer.tick(this.nowMs, elapsedMs)
    this.closeSeeds()
    this.#metadata?.pump(this.nowMs)
    this.#hashes.tick()
    this.#superSeed?.tick(this.nowMs)
    const content = this.#shown
    this.choking.tick(
      this.nowMs,
      this.#host.state === 'seeding',
      this.#suggestions.turnBytes(content),
    )
    this.#suggestions.tick(content, this.nowMs)
  }

  // --- Who goes ---

  onPeerClosed(peer: Peer, error: Error | undefined): void {
    this.peers.delete(peer)
    const key = peer.peerId === undefined ? undefined : toLatin1(peer.peerId)
    if (key !== undefined && this.#byId.get(key) === peer) this.#byId.delete(key)
    this.#superSeed?.gone(peer)
    this.#suggestions.gone(peer)
    this.choking.gone(peer)
    if (this.#host.state === 'seeding' && peer.wantsNothing) this.#connector.bothSeed(peer)
    const ending = this.#connector.ended(peer)
    if (ending === 'unmet' && this.#host.running) {
      this.#holepunch?.unreached(peer.host, peer.port)
    }
    this.#webSeeds.ended(peer, peer.download.rate.total > 0, this.nowMs)
    this.#metadata?.remove(peer, this.nowMs)
    this.#hashes.remove(peer)
    const { picking } = peer.pieces
    if (picking !== undefined) this.payload.left(picking.id, peer.host)
    if (peer.pieces.leave()) this.payload.onReleased()
    this.#context.misdeeds.ended(error)
    if (error !== undefined) {
      const { host, port, transport } = peer
      this.#logger.debug({ host, port, transport, error }, 'a peer was cut off')
    }
    if (ending === 'half') this.connect()
  }

  ban(peer: Peer, reason: string): void {
    this.banHost(peer.host, reason)
  }

  /** Nobody from there is connected to, or let in, for BAN_MS. */
  banHost(host: string, reason: string): void {
    this.#logger.info({ host, reason }, 'a peer is banned')
    // What it sent before may be found out later, and more than once.
    if (!this.#connector.isBanned(host)) {
      this.bans++
      this.#context.misdeeds.count('bans')
    }
    this.#connector.ban(host)
    for (const peer of [...this.peers]) if (peer.host === host) peer.close()
  }

  /** When we have all that we want, who wants nothing either goes. */
  closeSeeds(): void {
    if (this.#host.state !== 'seeding') return
    for (const peer of [...this.peers]) if (peer.wantsNothing) peer.close()
  }

  /** The addresses are tried again, whatever happened to them. */
  wakeAll(): void {
    this.#connector.wakeAll()
  }

  /** Cuts everybody off. */
  close(): void {
    this.#metadata = undefined
    this.#context.connections.unqueue(this)
    for (const peer of [...this.peers]) peer.close()
  }
}
