/** What the engine lends to its torrents: what they share, and what they tell it. */
import type { Clock, Logger, Random } from '../base/index.ts'
import type { StoredTorrent, TorrentStore } from '../torrent-store/index.ts'
import type { Alarms } from './announce/alarms.ts'
import type { TrackerClient, TrackerUrls } from './announce/tracker-client.ts'
import type { Budget } from './budget.ts'
import type { Connections } from './connections.ts'
import type { Dht } from './dht/dht.ts'
import type { Dialer } from './dialer.ts'
import type { Disks } from './disk.ts'
import type { EncryptionPolicy } from './encryption/policy.ts'
import type { Reach } from './gateway/reach.ts'
import type { Hasher } from './hasher.ts'
import type { LocalDiscovery } from './local/local-discovery.ts'
import type { Misdeeds } from './misdeeds.ts'
import type { Network } from './network.ts'
import type { OwnAddress } from './own-address.ts'
import type { ReadBlock, ReadCache } from './read-cache.ts'
import type { StripePool } from './stripe-pool.ts'
import type { Throttle } from './throttle.ts'

export interface TorrentContext {
  readonly volume: TorrentStore
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly peerId: Uint8Array
  /** Where others reach us. */
  readonly reach: Reach
  /** For trackers: the same for all torrents of a run. */
  readonly key: number
  readonly trackerClient: TrackerClient
  readonly trackerUrls: TrackerUrls
  /** For announces. */
  readonly alarms: Alarms
  readonly pool: StripePool
  readonly hasher: Hasher
  readonly disks: Disks<ReadBlock>
  readonly reads: ReadCache
  /** For what peers have said in part, or do not read. */
  readonly messageMemory: Budget
  readonly connections: Connections
  readonly maxConnectionsPerTorrent: number
  readonly ownAddress: OwnAddress
  readonly misdeeds: Misdeeds
  readonly dialer: Dialer
  readonly encryption: EncryptionPolicy
  readonly dht: Dht | undefined
  readonly local: LocalDiscovery | undefined
  /** Of one torrent. */
  readonly uploadSlots: number
  /** What a torrent has of those of all, before that is shared out. */
  readonly firstSlots: number
  readonly uploads: Throttle
  readonly downloads: Throttle
  /** Something of it was written or marked that a sync has to make durable. */
  changed(stored: StoredTorrent): void
  /** Makes it durable when that does not keep a busy disk from its work. */
  syncSoon(stored: StoredTorrent): Promise<void>
}
