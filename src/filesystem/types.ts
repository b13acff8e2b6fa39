/** The filesystem as the engine and the commands see it. All sizes in bytes. */
import type { Bitfield, Clock, Random } from '../base/index.ts'
import type { AllocatorKind } from './allocator.ts'

/** What one torrent is called and how it is cut. */
export interface TorrentGeometry {
  /** 20 bytes. */
  readonly infoHash: Uint8Array
  readonly totalBytes: number
  readonly pieceBytes: number
}

/**
 * A torrent on a volume: one sparse address space of `totalBytes`, cut into filesystem blocks.
 *
 * The promise: a have-bit is durable only after its data is. `write` puts data on the device;
 * `markHave` says that a verified piece is among it; the next `Volume.sync` makes the data durable,
 * then the map and the bits. A crash loses at most what came after the last sync.
 */
export interface StoredTorrent extends TorrentGeometry {
  readonly pieceCount: number
  /** Pieces held, durable or not. Owned by the torrent: read it, never change it. */
  readonly have: Bitfield
  readonly complete: boolean
  /** Milliseconds since 1970. */
  readonly addedAtMs: number
  /** Blocks of the device that hold its data. */
  readonly allocatedBlocks: number
  uploadedBytes: number
  downloadedBytes: number
  /** The info dictionary, read from the device. Checked against the info-hash (FS_INFO_ROTTEN). */
  readInfo(): Promise<Uint8Array>
  /** The opaque bytes given at creation beside the info dictionary (the node keeps trackers there). */
  readAttributes(): Promise<Uint8Array>
  /**
   * Writes `source` at `offset` of the torrent; may not cross a filesystem block. Allocates the block
   * on first use. Whole sectors from aligned memory go straight to the device; ragged edges are
   * merged with what the sector holds. Writes to one block are serialised.
   *
   * Over a piece that is held, write nothing but the same bytes: its have-bit is durable already. To
   * replace what a scrub found rotten: `clearHave`, then `Volume.sync`, then write.
   */
  write(offset: number, source: Uint8Array): Promise<void>
  /** Fills `target` from `offset`. Refuses (FS_HOLE) what was never written. Any alignment; aligned is direct. */
  read(offset: number, target: Uint8Array): Promise<void>
  /** True when every block that the range touches is on the device. */
  mapped(offset: number, bytes: number): boolean
  /** What is on the device of it, by ascending block of the torrent; what is left out was never written. */
  extents(): IterableIterator<Extent>
  /** The piece was verified and all of its data has been passed to `write` and resolved. */
  markHave(piece: number): void
  /** The piece is not to be believed any more (scrub). */
  clearHave(piece: number): void
}

/** A stretch of a torrent whose blocks follow each other on the device, too. In filesystem blocks. */
export interface Extent {
  /** The first block, of the torrent. */
  readonly block: number
  /** Where it lies: a block of the device. */
  readonly place: number
  readonly blocks: number
}

/** A torrent in the making whose info-hash is not known yet: nothing durable names it until `commit`. */
export interface StagedTorrent {
  /** As StoredTorrent.write. */
  write(offset: number, source: Uint8Array): Promise<void>
  /** Data durable, then i-node, then the root entry: after this the torrent is there, complete. */
  commit(
    infoHash: Uint8Array,
    infoBytes: Uint8Array,
    attributes?: Uint8Array,
  ): Promise<StoredTorrent>
  /** Gives the blocks back. */
  abort(): void
}

export interface VolumeStats {
  readonly uuid: string
  readonly label: string
  readonly formatVersion: number
  readonly deviceBytes: number
  readonly blockBytes: number
  readonly totalBlocks: number
  readonly freeBlocks: number
  readonly dataBlocks: number
  /** Root block and slab blocks. */
  readonly metadataBlocks: number
  readonly torrents: number
  readonly torrentsMax: number
}

/** How the room of a volume is divided. */
export interface AllocatorStats {
  readonly kind: AllocatorKind
  /** Where a sequential allocator goes on: a block of the device. */
  readonly cursor: number
  readonly freeBlocks: number
  /** Stretches of free blocks; few and long ones let a disk write forward. */
  readonly freeExtents: number
  readonly largestFreeExtentBlocks: number
  /** By ascending size of the slots; classes without a block are left out. */
  readonly slabs: readonly SlabStats[]
}

export interface SlabStats {
  readonly slotBytes: number
  readonly blocks: number
  readonly slots: number
  readonly usedSlots: number
}

/** A mounted filesystem. */
export interface Volume {
  readonly blockBytes: number
  /** Writes of whole sectors need no merging. */
  readonly sectorBytes: number
  readonly readOnly: boolean
  stats(): VolumeStats
  torrents(): IterableIterator<StoredTorrent>
  get(infoHash: Uint8Array): StoredTorrent | undefined
  /** An empty torrent, durable when this resolves. FS_EXISTS, FS_FULL, FS_ROOT_FULL. */
  create(
    geometry: TorrentGeometry,
    infoBytes: Uint8Array,
    attributes?: Uint8Array,
  ): Promise<StoredTorrent>
  stage(totalBytes: number, pieceBytes: number): StagedTorrent
  /** Forgets the torrent durably, then frees its blocks. */
  remove(infoHash: Uint8Array): Promise<void>
  /** Makes all that was written and marked durable, in order. */
  sync(): Promise<void>
  /** Syncs and closes the device. */
  close(): Promise<void>
}

/** Where a flush orders writes. See docs/internals/format.md, "Orders of writes". */
export type BarrierName =
  | 'mkfs'
  | 'mount'
  | 'create-inode'
  | 'create-root'
  | 'sync-data'
  | 'sync-map'
  | 'remove-root'
  | 'remove-twin'
  | 'close'
  | 'grow'

/** Something that a scan of the metadata found. Machine readable: names are stable, `what` is not. */
export interface Problem {
  readonly check:
    | 'header'
    | 'root'
    | 'reference'
    | 'i-node'
    | 'map'
    | 'info record'
    | 'owners'
    | 'duplicate'
    | 'have-bits'
    | 'copies'
    | 'half-removed'
  /** A `notice` is what a power cut leaves; a `warning` costs redundancy; an `error` costs data. */
  readonly severity: 'notice' | 'warning' | 'error'
  readonly what: string
  /** Byte of the device. */
  readonly place?: number
  /** Of the torrent concerned, in hexadecimal. */
  readonly infoHash?: string
  /** What a repair would do, and lose. Absent: nothing can be done without losing something. */
  readonly repair?: string
}

export interface FormatOptions {
  readonly random: Random
  readonly clock: Clock
  /** Power of two, 64 KiB to 16 MiB. Default 4 MiB. */
  readonly blockBytes?: number
  /** Metadata sector, 512 or 4096. Default: the device's physical sector, 512 for image files. */
  readonly sectorBytes?: number
  /** At most 64 bytes of UTF-8. Default none. */
  readonly label?: string
  /** Overwrites whatever the device holds. Default false: FS_FOREIGN unless it is blank. */
  readonly force?: boolean
  readonly onBarrier?: (name: BarrierName) => void
}

export interface MountOptions {
  readonly random: Random
  readonly clock: Clock
  /** Default: as the device. */
  readonly readOnly?: boolean
  /** Default `sequential`. Not a property of the volume: it may change from mount to mount. */
  readonly allocator?: AllocatorKind
  /** Called before each flush: for tests and traces. */
  readonly onBarrier?: (name: BarrierName) => void
  /** Torrents read so far, and in all. */
  readonly onProgress?: (done: number, total: number) => void
}

export interface MountedVolume extends Volume {
  /** What mount found. Torrents with an `error` are refused: they are not among `torrents()`. */
  readonly problems: readonly Problem[]
  /** The first failure of a write of metadata, after which the volume takes no more writes. */
  readonly failure: Error | undefined
  /** Looks at every block: for reports, not for a hot path. */
  allocatorStats(): AllocatorStats
}

export interface GrowOptions {
  readonly onBarrier?: (name: BarrierName) => void
}

export interface GrowReport {
  readonly blockBytes: number
  readonly blocksBefore: number
  /** As before: the device has no room for another block. */
  readonly blocksAfter: number
}

export interface FsckOptions {
  /** Mends what can be mended without losing anything. Needs a writable device. Default false. */
  readonly repair?: boolean
  /** Also reads every info dictionary and checks it against its info-hash. Default true. */
  readonly infoRecords?: boolean
  readonly onProgress?: (done: number, total: number) => void
}

export interface FsckReport {
  /** No errors and no warnings; notices are normal after a power cut. */
  readonly clean: boolean
  readonly problems: readonly Problem[]
  /** Problems that were mended. */
  readonly corrected: number
  /** Warnings and errors that remain. */
  readonly uncorrected: number
  readonly torrents: number
  readonly refusedTorrents: number
  readonly totalBlocks: number
  readonly freeBlocks: number
  readonly dataBlocks: number
  readonly metadataBlocks: number
}

/** What is on a device. */
export type ProbeResult =
  | { readonly kind: 'blank' }
  | { readonly kind: 'seedbed'; readonly uuid: string; readonly label: string }
  /** `what` names it, such as `ext2/3/4`. */
  | { readonly kind: 'foreign'; readonly what: string }
  /** Not blank, and nothing that is known. */
  | { readonly kind: 'unknown' }
