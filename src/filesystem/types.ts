/** The filesystem as the engine and the commands see it. All sizes in bytes. */
import type { Bitfield } from '../base/index.ts'

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
   */
  write(offset: number, source: Uint8Array): Promise<void>
  /** Fills `target` from `offset`. Refuses (FS_HOLE) what was never written. Any alignment; aligned is direct. */
  read(offset: number, target: Uint8Array): Promise<void>
  /** True when every block that the range touches is on the device. */
  mapped(offset: number, bytes: number): boolean
  /** The piece was verified and all of its data has been passed to `write` and resolved. */
  markHave(piece: number): void
  /** The piece is not to be believed any more (scrub). */
  clearHave(piece: number): void
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
