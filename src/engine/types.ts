/** The engine as the node sees it. Sizes in bytes, rates in bytes a second. */
import type { Readable } from 'node:stream'
import type { Clock, Logger, Random } from '../base/index.ts'
import type { Magnet, PieceLayers, TorrentInfo } from '../metainfo/index.ts'
import type { StoredTorrent, TorrentStore } from '../torrent-store/index.ts'
import type { TrackerStatus } from './announce/announcer.ts'
import type { DhtOptions } from './dht/dht.ts'
import type { EncryptionPolicy } from './encryption/policy.ts'
import type { PortMappingOptions } from './gateway/port-mapping.ts'
import type { PortMappingStatus } from './gateway/types.ts'
import type { Hasher } from './hasher.ts'
import type { MisdeedCounts } from './misdeeds.ts'
import type { Network } from './network.ts'
import type { Priority } from './pick-order.ts'
import type { UtpPolicy } from './utp/policy.ts'

export type { Priority } from './pick-order.ts'

/** Limits, of payload in bytes a second, each more than 0; what is not there is not limited. */
export interface Rates {
  readonly up?: number | undefined
  readonly down?: number | undefined
}

/** Limits of peers, beside that of all connections. */
export interface PeerLimits {
  /**
   * How many connections may come from one IPv4 address, or one IPv6 /64: a quarter of `maxConnections` by
   * default, but at least 8. Another node connects once for each torrent that it shares with us.
   */
  readonly maxConnectionsPerAddress?: number
  /** How many connections one torrent may have; all by default. */
  readonly maxConnectionsPerTorrent?: number
  /** How many connections may be in the making; 16 by default. */
  readonly maxHalfOpen?: number
  /** Peers of one torrent that may download at a time; 16 by default, fewer under a limit of rate. */
  readonly uploadSlots?: number
  /** Peers of all torrents together that may download at a time, shared fairly; not limited by default. */
  readonly maxUploadSlots?: number
}

export interface EngineOptions extends PeerLimits {
  /** A volume, or a folder of ordinary files. */
  readonly volume: TorrentStore
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** Hashes what is downloaded; the engine closes it. Absent: that is done where the sockets are read. */
  readonly hasher?: Hasher
  /** Peers connect here; 0 lets the system choose. */
  readonly peerPort: number
  /** Addresses to listen on, such as `0.0.0.0` and `::`. */
  readonly bind: readonly string[]
  /**
   * Bound on the memory of stripes being downloaded, one filesystem block each; at least one. Torrents in
   * progress that find none wait for the others.
   */
  readonly cacheBytes: number
  /** Connections at a time, those included that are being made or have not said what they want. */
  readonly maxConnections: number
  /** Bound on the memory that uploads are served from; 64 MiB by default. */
  readonly readCacheBytes?: number
  /** Bound on messages of peers that arrived in part, and of ours that peers do not read; 32 MiB by default. */
  readonly messageMemoryBytes?: number
  /** Of all torrents together. */
  readonly rates?: Rates
  /** Of what is said to peers (MSE); `offered` by default. */
  readonly encryption?: EncryptionPolicy
  /** uTP (BEP 29), on UDP `peerPort`; `off` by default. */
  readonly utp?: UtpPolicy
  /** Find peers on the local networks too (BEP 14): they are told what is shared here. Absent: not. */
  readonly lsd?: boolean
  /** Have gateways let others in to `peerPort`, by PCP or NAT-PMP. Absent: not. */
  readonly portMapping?: PortMappingOptions
  /** Find peers by the DHT too, on UDP `peerPort`; absent: not. */
  readonly dht?: DhtOptions
}

export interface AddOptions {
  /** BEP 12 tiers of announce URLs. */
  readonly trackers: readonly (readonly string[])[]
  readonly peers?: readonly { readonly host: string; readonly port: number }[]
  /** URLs at which a web server has the files (BEP 19). */
  readonly webSeeds?: readonly string[]
  /** Piece layers of v2, as far as they are known; the others are fetched from peers. */
  readonly layers?: PieceLayers
  /**
   * The priority of each file, by its place in `info.files`; without it, or where it answers undefined, all
   * are wanted alike.
   */
  readonly priorities?: (info: TorrentInfo) => readonly Priority[] | undefined
  /** Of this torrent, within those of all together. */
  readonly rates?: Rates
  /** The beginning before the end, rather than the rarest first. */
  readonly sequential?: boolean
  /**
   * If it is whole when it comes: begin its swarm with as little upload as can be, by showing each peer a few pieces only
   * until the swarm has all (BEP 16).
   */
  readonly superSeed?: boolean
  /**
   * Reads the info dictionary and the layers again. With it, a torrent that is whole, or becomes so, lets go of
   * them while nobody is connected: thousands of idle torrents need little memory. One that is whole when it is opened
   * keeps nothing of them, and needs no more, if it is v1.
   */
  readonly reload?: (
    stored: StoredTorrent,
  ) => Promise<{ readonly info: TorrentInfo; readonly layers: PieceLayers }>
  /** Hears of it, after the listeners. */
  readonly watcher?: TorrentWatcher
  /** Opaque bytes to keep beside the info dictionary when the torrent has to be made on the volume. */
  readonly attributes?: Uint8Array
}

export type TorrentState =
  /** Waiting for what peers have to say first: the info dictionary (BEP 9), or piece layers (BEP 52). */
  | 'metadata'
  | 'downloading'
  /** All that is wanted is there. */
  | 'seeding'
  /** Paused by an error (`error` says which) until it is resumed; it keeps what it has. */
  | 'failed'
  | 'stopped'

export interface TorrentProgress {
  readonly state: TorrentState
  readonly totalBytes: number
  /** Bytes of the pieces that are not skipped. */
  readonly wantedBytes: number
  /** Verified bytes. */
  readonly haveBytes: number
  readonly pieceCount: number
  readonly havePieces: number
  readonly downloadRate: number
  readonly uploadRate: number
  readonly downloadedBytes: number
  readonly uploadedBytes: number
  /** Connections, those included that are being made. */
  readonly peers: number
  /** Of them, those over uTP. */
  readonly utpPeers: number
  /** Hosts that were banned, for an hour each, because of what they sent. */
  readonly bans: number
  /** Pieces that failed their hash. */
  readonly hashFailures: number
}

export interface TorrentEvents {
  /** A magnet has become a torrent on the volume. */
  metadata: [info: TorrentInfo]
  /** A piece was verified; `haveBytes` may not be durable yet. */
  piece: [piece: number]
  /**
   * All wanted pieces verified, written and synced. Not for a torrent that was complete when it came; again
   * only when more was wanted meanwhile.
   */
  complete: []
  /** The state is `failed`, peers are cut off; nothing is emitted until it is resumed. */
  failed: [error: Error]
}

/** Hears of all torrents that it was given to: one for thousands of them, where listeners would be each torrent's own. */
export interface TorrentWatcher {
  metadata(torrent: EngineTorrent, info: TorrentInfo): void
  complete(torrent: EngineTorrent): void
  failed(torrent: EngineTorrent, error: Error): void
}

/** A torrent in the engine. */
export interface EngineTorrent {
  /** What it was added by; the store has it under this name. A hybrid answers to its other name, too. */
  readonly infoHash: Uint8Array
  /** Undefined until a magnet has its metadata, and while an idle torrent has let go of it (`reload`). */
  readonly info: TorrentInfo | undefined
  /** Undefined until a magnet has its metadata. */
  readonly name: string | undefined
  /** Undefined until a magnet has its metadata. */
  readonly stored: StoredTorrent | undefined
  readonly error: Error | undefined
  progress(): TorrentProgress
  /** What each tracker said last. */
  trackers(): readonly TrackerStatus[]
  /** More peers to connect to, as far as there is room for them; for nothing once it failed or stopped. */
  addPeers(peers: readonly { readonly host: string; readonly port: number }[]): void
  /**
   * Changes what is wanted: the priority of each file, by its place in `info.files`. Chunks of pieces that
   * are not whole yet may be fetched again. Rejects with ENGINE_NO_METADATA.
   */
  setPriorities(files: readonly Priority[]): Promise<void>
  /**
   * Takes back that these pieces are there, because they are wrong or gone: clears and syncs their have-bits, tells the
   * peers (BEP 54), and fetches again what of it is wanted.
   */
  forget(pieces: readonly number[]): Promise<void>
  /** The beginning before the end from now on, or the rarest first. */
  setSequential(sequential: boolean): void
  /** Limits its rates from now on, in place of those that it had. */
  setRates(rates: Rates): void
  /**
   * A file, or bytes `start` to `end` of it (exclusive), in order as they arrive: what is needed next is
   * asked for before all else while somebody reads. Fails with ENGINE_NO_METADATA, ENGINE_SKIPPED, RangeError,
   * ENGINE_STOPPED when the torrent ends before.
   */
  createReadStream(
    file: number,
    range?: { readonly start?: number; readonly end?: number },
  ): Readable
  /**
   * Goes on after an error that has passed, such as a full or an unplugged disk, from what the store holds.
   * Rejects with that error when it came before the torrent was stored, or with that of a store which takes
   * no more data; harmless when nothing is wrong.
   */
  resume(): Promise<void>
  on<K extends keyof TorrentEvents>(event: K, listener: (...args: TorrentEvents[K]) => void): this
  off<K extends keyof TorrentEvents>(event: K, listener: (...args: TorrentEvents[K]) => void): this
}

/** What the torrents share, right now and so far. */
export interface EngineStatus {
  readonly connections: {
    /** All, those being made and those that have not said their handshake included. */
    readonly total: number
    readonly max: number
    /** In the making. */
    readonly halfOpen: number
    /** Made to us, without a handshake yet. */
    readonly arriving: number
    /** Turned away so far: no place at all, too many without a handshake, too many from one address. */
    readonly refused: { readonly full: number; readonly arriving: number; readonly address: number }
    /** Given up so far for others: those of another torrent, or of a higher priority (BEP 40). */
    readonly givenUp: number
  }
  readonly uploadSlots: {
    /** Peers that may download and want to. */
    readonly used: number
    /** Null: no limit. */
    readonly max: number | null
  }
  /** What others did so far that they may not. */
  readonly misdeeds: MisdeedCounts
  readonly portMapping: PortMappingStatus
}

export interface Engine {
  /** The port that peers reach. */
  readonly port: number
  /** Nodes of the DHT that are known; 0 without it. */
  readonly dhtNodes: number
  /** What the DHT wants to be handed at the next start; undefined without it. */
  dhtState(): Uint8Array | undefined
  status(): EngineStatus
  /** Limits all torrents together from now on. */
  setRates(rates: Rates): void
  torrents(): IterableIterator<EngineTorrent>
  /** By any of its names: the info-hash of v1, or the first 20 bytes of that of v2. */
  get(infoHash: Uint8Array): EngineTorrent | undefined
  /**
   * Seeds, or goes on downloading, what the volume already holds. No hashing: its have-bits are believed.
   * Throws ENGINE_EXISTS, ENGINE_STOPPED.
   */
  open(stored: StoredTorrent, info: TorrentInfo, options: AddOptions): EngineTorrent
  /**
   * Downloads: creates the torrent on the volume unless it is there. Rejects with ENGINE_EXISTS,
   * ENGINE_STOPPED, and with what `Volume.create` rejects with.
   */
  add(info: TorrentInfo, options: AddOptions): Promise<EngineTorrent>
  /**
   * As `add`, with the info dictionary fetched from peers first, unless the volume holds it; `options` says
   * where they are, the magnet may. Throws ENGINE_EXISTS, ENGINE_STOPPED; what goes wrong later, such as a
   * full volume or ENGINE_BAD_METADATA, is `failed`. Without peers it waits, for as long as it takes.
   */
  addMagnet(magnet: Magnet, options: AddOptions): EngineTorrent
  /**
   * Stops serving it; the volume keeps it, and all that was verified is durable when this resolves. Rejects
   * when the volume cannot be synced. Harmless when there is no such torrent.
   */
  remove(infoHash: Uint8Array): Promise<void>
  /**
   * Drain: stopped announces (bounded in time), partial stripes written, volume synced, sockets closed.
   * However often it is called it is done once. Rejects when the volume cannot be synced; all else is
   * closed then. The volume is the caller's to close, which waits for reads still under way.
   */
  stop(): Promise<void>
}
