/**
 * What a node tells while it runs. With --json these objects are printed as they are, one a line:
 * they are a contract (docs/json.md). Sizes in bytes, rates in bytes a second, info-hashes in hex.
 */
import type { EngineStatus, GatewayStatus } from '../engine/index.ts'
import type { ScrubReport } from './scrub.ts'

export type NodeEvent =
  | {
      readonly event: 'ready'
      /** Null in a node without a tracker. */
      readonly tracker: { readonly port: number; readonly urls: readonly string[] } | null
      readonly peerPort: number
      /** The folder of ordinary files, or the first device. */
      readonly device: string
      /** All that are in use; none for a folder. */
      readonly devices: readonly DeviceRoom[]
      readonly created: boolean
      readonly torrents: number
      readonly freeBytes: number
    }
  | {
      readonly event: 'shared'
      readonly infoHash: string
      /** 64 digits; null for v1. */
      readonly infoHashV2: string | null
      readonly magnet: string
      readonly torrentFile: string
      readonly name: string
      readonly bytes: number
      readonly path: string
      /** The volume held it already: nothing was read again. */
      readonly known: boolean
    }
  | ({ readonly event: 'device'; readonly state: 'open' | 'grown' } & DeviceRoom)
  | {
      readonly event: 'device'
      /** Left out when it is absent; when it failed it is read on, and takes no more writes. */
      readonly state: 'absent' | 'failed'
      readonly device: string
      readonly code: string
      readonly message: string
    }
  /** What is asked of the device is noted in the file at `path` from now on, or no more. */
  | {
      readonly event: 'access-log'
      readonly device: string
      readonly path: string
      readonly on: boolean
    }
  | ({
      readonly event: 'scrubbed'
      readonly infoHash: string
      readonly name: string
    } & ScrubReport)
  | { readonly event: 'skipped'; readonly path: string; readonly reason: string }
  | { readonly event: 'resumed'; readonly infoHash: string; readonly name: string }
  | { readonly event: 'added'; readonly infoHash: string; readonly name: string | null }
  | {
      readonly event: 'metadata'
      readonly infoHash: string
      readonly name: string
      readonly bytes: number
    }
  | {
      readonly event: 'progress'
      readonly phase: 'import' | 'export'
      readonly path: string
      readonly bytes: number
      readonly totalBytes: number
    }
  | {
      readonly event: 'progress'
      /** What others or a crash changed is hashed again. */
      readonly phase: 'check'
      readonly infoHash: string
      readonly name: string
      readonly bytes: number
      readonly totalBytes: number
    }
  | {
      readonly event: 'progress'
      readonly phase: 'download'
      readonly infoHash: string
      readonly name: string | null
      readonly bytes: number
      readonly totalBytes: number
      /** Bytes of the pieces that are not skipped. */
      readonly wantedBytes: number
      readonly downloadRate: number
      readonly uploadRate: number
      readonly peers: number
      /** Hosts that sent what is wrong, so far. */
      readonly bans: number
      /** Of them, those over uTP. */
      readonly utpPeers: number
    }
  | {
      readonly event: 'complete'
      readonly infoHash: string
      readonly name: string
      readonly bytes: number
      /** The exported file or folder; the device when the torrent stays on it. */
      readonly path: string
    }
  | {
      readonly event: 'failed'
      readonly infoHash: string
      readonly code: string
      readonly message: string
      /** After this time it is tried again; null: never. */
      readonly retryMs: number | null
    }
  /** What the torrents share, and what others did that they may not; counts are since the start. */
  | ({ readonly event: 'status' } & EngineStatus)
  /** What a router said of the peer port; told when it is something else than before. */
  | ({ readonly event: 'port-mapping' } & GatewayStatus)
  | { readonly event: 'stopping'; readonly signal: string }
  | { readonly event: 'stopped' }

export interface DeviceRoom {
  readonly device: string
  readonly torrents: number
  readonly totalBytes: number
  readonly freeBytes: number
}

export type DownloadProgress = Extract<NodeEvent, { phase: 'download' }>
