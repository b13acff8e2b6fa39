/** The filesystem as the engine and the commands see it. All sizes in bytes. */
import type { Clock, Random } from '../base/index.ts'
import type {
  Beside,
  StoredTorrent,
  TorrentGeometry,
  TorrentStore,
} from '../torrent-store/index.ts'
import type { AllocatorKind } from './allocator.ts'

export type { About, Beside, StoredTorrent, TorrentGeometry } from '../torrent-store/index.ts'

/**
 * A torrent on a volume: one sparse address space of `totalBytes`, cut into filesystem blocks.
 *
 * `write` allocates blocks on first use, and may cross them. Whole sectors from aligned memory go straight to the device;
 * ragged edges are merged with what the sector holds. Writes to one block are serialised. `read` refuses
 * (FS_HOLE) what was never written; any alignment, aligned is direct. `readInfo` checks the dictionary
 * against the info-hash (FS_INFO_ROTTEN). Nobody but us changes what a volume holds: `doubted` is empty.
 */
export interface MappedTorrent extends StoredTorrent {
  /** Blocks of the device that hold its data. */
  readonly allocatedBlocks: number
  /** True when every block that the range touches is on the device. */
  mapped(offset: number, bytes: number): boolean
  /** What is on the device of it, by ascending block of the torrent; what is left out was never written. */
  extents(): IterableIterator<Extent>
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
    layers?: Uint8Array,
  ): Promise<MappedTorrent>
  /** Gives the blocks back. */
  abort(): void
}

/** How much there is, and how much is left. */
export interface Room {
  readonly totalBytes: number
  readonly freeBytes: number
  /** Of `freeBytes`, what one torrent can have. */
  readonly largestBytes: number
  readonly torrents: number
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
  /** What the torrents that are not whole may still come to need; more than is free, when they are sparse. */
  readonly promisedBlocks: number
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

/** Where torrents live on devices: a mounted filesystem, or a pool of several. */
export interface Volume extends TorrentStore {
  /** Writes of whole sectors need no merging. */
  readonly sectorBytes: number
  room(): Room
  torrents(): IterableIterator<MappedTorrent>
  get(infoHash: Uint8Array): MappedTorrent | undefined
  /** FS_EXISTS, FS_FULL, FS_ROOT_FULL. */
  create(
    geometry: TorrentGeometry,
    infoBytes: Uint8Array,
    attributes?: Uint8Array,
    beside?: Beside,
  ): Promise<MappedTorrent>
  stage(totalBytes: number, pieceBytes: number, filler?: Beside['filler']): StagedTorrent
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
  /** What the disk beneath an image file has room for. Default: without end. */
  readonly spareBytes?: () => number
  /** Called once, when `failure` is set. */
  readonly onFailure?: (error: Error) => void
  /** Torrents read so far, and in all. */
  readonly onProgress?: (done: number, total: number) => void
}

/** One filesystem on one device. */
export interface MountedVolume extends Volume {
  /** The path of the device or image. */
  readonly path: string
  stats(): VolumeStats
  /** What can be written beside `freeBlocks`: a sparse image may be larger than the disk beneath it. */
  spareBytes(): number
  /** What mount found. Torrents with an `error` are refused: they are not among `torrents()`. */
  readonly problems: readonly Problem[]
  /** The first failure of a write of metadata, after which the volume takes no more writes. */
  readonly failure: Error | undefined
  /** Looks at every block: for reports, not for a hot path. */
  allocatorStats(): AllocatorStats
  /**
   * Takes what the device gained since it was mounted, without a pause for anybody. What the new part
   * held is lost. FS_GEOMETRY, FS_READ_ONLY, FS_FAILED, and what a write to the new part throws.
   */
  grow(): Promise<GrowReport>
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
