/** What a node is made of, and told; and what a download is asked for with. */
import type { Clock, Logger, Random } from '../base/index.ts'
import type { EncryptionPolicy, Network, PeerLimits, Rates, UtpPolicy } from '../engine/index.ts'
import type { TorrentFormat } from '../metainfo/index.ts'
import type { NodeEvent } from './events.ts'
import type { ScrubSchedule } from './scrubber.ts'
import type { Selection } from './selection.ts'

export interface NodeOptions {
  /**
   * Devices and images, which are one pool (images are made when none of them is there), or one folder of
   * ordinary files. At least one.
   */
  readonly devices: readonly string[]
  /** The one of `devices` is a folder of ordinary files, made when it is not there. */
  readonly folder?: boolean
  readonly imageBytes?: number
  /** Where to note what is asked of the devices; a file for each that `seedbed plot` draws. */
  readonly accessLog?: string
  /** Reads and hashes again, while it runs, all that is held. */
  readonly scrub?: ScrubSchedule
  /** Keeps .torrent files and import records. */
  readonly dataDir: string
  /** Absent: no tracker of our own. */
  readonly tracker?: { readonly port: number; readonly hosts: readonly string[] }
  readonly peerPort: number
  readonly bind: readonly string[]
  readonly cacheBytes: number
  readonly maxConnections: number
  readonly limits?: PeerLimits
  /** Of all torrents together. */
  readonly rates?: Rates
  readonly encryption?: EncryptionPolicy
  readonly utp?: UtpPolicy
  /** Begin the swarms of torrents that are whole with as little upload as can be (BEP 16). */
  readonly superSeed?: boolean
  /** URLs at which a web server has what is shared: named in magnets and .torrent files (BEP 19). */
  readonly webSeeds?: readonly string[]
  /** Find peers on the local networks too. */
  readonly lsd?: boolean
  /** Have the router let others in to the peer port: the one of this address, or the default one of a private network. */
  readonly portMapping?: { readonly gateway?: string }
  /** Find peers by the DHT too, beginning with these nodes; what it learns is kept in the file, if one is named. */
  readonly dht?: {
    readonly bootstrap: readonly { readonly host: string; readonly port: number }[]
    readonly statePath?: string
  }
  /** Of torrents made of what is shared; v1 by default. */
  readonly format?: TorrentFormat
  readonly clock: Clock
  readonly random: Random
  readonly network: Network
  readonly logger: Logger
  /** Ends what takes long while the node starts: checks of what is in doubt. It runs then, with what was opened until there. */
  readonly signal?: AbortSignal
  onEvent(event: NodeEvent): void
}

export interface FetchOptions {
  /** The files that are wanted (selection.ts), in place of those that a magnet names; the others are skipped. */
  readonly only?: Selection
  /** The beginning before the end. */
  readonly sequential?: boolean
}
