/**
 * Where torrents are kept, as the engine and the node see it: a volume (src/filesystem) or a folder of
 * ordinary files (src/plain-files). All sizes in bytes.
 */
import type { Bitfield } from '../base/index.ts'

/** What one torrent is called and how it is cut. */
export interface TorrentGeometry {
  /** 20 bytes. */
  readonly infoHash: Uint8Array
  readonly totalBytes: number
  readonly pieceBytes: number
}

/** What a torrent is made with, besides its cut and its info dictionary. */
export interface Beside {
  /** Piece layers of v2, as a .torrent file has them. */
  readonly layers?: Uint8Array
  /**
   * Stretches of the address space that are filler (BEP 47), ascending: they read as zeros, and what lies in
   * them alone takes no room. Nothing is written there.
   */
  readonly filler?: readonly { readonly offset: number; readonly bytes: number }[]
}

/** What is known of a torrent besides its data. */
export interface About {
  readonly infoBytes: Uint8Array
  readonly attributes: Uint8Array
}

/**
 * A stored torrent: one sparse address space of `totalBytes`.
 *
 * The promise: a have-bit is durable only after its data is. `write` hands data over; `markHave` says
 * that a verified piece is among it; the next `TorrentStore.sync` makes the data durable, then the bits.
 * A crash loses at most what came after the last sync.
 */
export interface StoredTorrent extends TorrentGeometry {
  readonly pieceCount: number
  /** Pieces held, durable or not. Owned by the torrent: read it, never change it. */
  readonly have: Bitfield
  readonly complete: boolean
  /** Milliseconds since 1970. */
  readonly addedAtMs: number
  /** What removing it gives back to the store. */
  readonly usedBytes: number
  /** Why it takes no more data; what it has can be read. */
  readonly failure: Error | undefined
  uploadedBytes: number
  downloadedBytes: number
  /** The info dictionary, read from the store and checked against the info-hash. */
  readInfo(): Promise<Uint8Array>
  /** The opaque bytes given at creation beside the info dictionary, or kept since (the node keeps trackers there). */
  readAttributes(): Promise<Uint8Array>
  /**
   * Reads both at once and hands them to `look`, in memory that is used again when that has returned: for who needs little of
   * them, of thousands of torrents.
   */
  peek<T>(look: (about: About) => T): Promise<T>
  /** Where they lie on the disk, as far as the store knows: who reads those of many in this order seeks least. */
  readonly aboutPosition: number
  /** Keeps attributes in place of those before, durably when this resolves. */
  keepAttributes(attributes: Uint8Array): Promise<void>
  /** The piece layers that were given at creation or kept since; no bytes when there are none. */
  readLayers(): Promise<Uint8Array>
  /** Keeps piece layers in place of those before, durably when this resolves. */
  keepLayers(layers: Uint8Array): Promise<void>
  /**
   * Writes `source` at `offset` of the torrent; may not cross a block of the store (`blockBytes`).
   *
   * Over a piece that is held, write nothing but the same bytes: its have-bit is durable already. To
   * replace what a scrub found rotten: `clearHave`, then `TorrentStore.sync`, then write.
   */
  write(offset: number, source: Uint8Array): Promise<void>
  /** Fills `target` from `offset`: bytes of pieces that are held, or were and are to be looked at again. */
  read(offset: number, target: Uint8Array): Promise<void>
  /** Where the store is at its slowest: equal for all torrents that share one disk. */
  readonly disk: object
  /** Where the byte lies on the disk, as far as the store knows: who reads in this order seeks least. */
  position(offset: number): number
  /** The piece was verified and all of its data has been passed to `write` and resolved. */
  markHave(piece: number): void
  /** The piece is not to be believed any more (scrub). */
  clearHave(piece: number): void
  /**
   * Pieces whose have-bits this call, or the store when it was opened, took away because what holds their
   * bytes was changed by others since. They may well be right: who hashes them may mark them again, or clears them. Until
   * then they are among what this answers, also when the store is opened anew. Only while nothing else uses the torrent.
   */
  doubted(): Promise<readonly number[]>
  /** As `TorrentStore.sync`, of that part of the store which the torrent depends on. */
  sync(): Promise<void>
}

/** A place for torrents. Opened by one process at a time. */
export interface TorrentStore {
  /** What one write may not cross, and is best whole and aligned to. */
  readonly blockBytes: number
  readonly readOnly: boolean
  torrents(): IterableIterator<StoredTorrent>
  get(infoHash: Uint8Array): StoredTorrent | undefined
  /** An empty torrent, durable when this resolves. */
  create(
    geometry: TorrentGeometry,
    infoBytes: Uint8Array,
    attributes?: Uint8Array,
    beside?: Beside,
  ): Promise<StoredTorrent>
  /** Forgets the torrent durably, then frees what it used. */
  remove(infoHash: Uint8Array): Promise<void>
  /**
   * Makes all that was written and marked durable, in order. When it rejects, `failure` says which torrents
   * are concerned; the others are durable.
   */
  sync(): Promise<void>
  /** Syncs and closes; operations under way are awaited. */
  close(): Promise<void>
}
