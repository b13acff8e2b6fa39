/**
 * The interface of abstract-chunk-store, which WebTorrent and others speak. What it calls a chunk is
 * BitTorrent's piece (elsewhere in this house a chunk is the 16 KiB of a request).
 */

export interface ChunkStoreOptions {
  /** Of all chunks together; the last one may be shorter than the others. Absent: not known. */
  readonly length?: number
  /** WebTorrent hands in its torrent, of which these two are used. */
  readonly torrent?: { readonly infoHash?: string; readonly infoBuffer?: Uint8Array }
  /** The info dictionary, where no `torrent` carries it; WebTorrent passes on what is in `storeOpts`. */
  readonly infoBytes?: Uint8Array
}

export interface ChunkRange {
  /** Default 0. */
  readonly offset?: number
  /** Default: up to the end of the chunk. */
  readonly length?: number
}

export type DoneCallback = (error: Error | null) => void
export type ChunkCallback = (error: Error | null, chunk?: Uint8Array) => void

export interface ChunkStore {
  readonly chunkLength: number
  /** The chunk has been verified, and has its full length. Its memory is in use until the callback. */
  put(index: number, chunk: Uint8Array, done?: DoneCallback): void
  get(index: number, done: ChunkCallback): void
  get(index: number, range: ChunkRange | null | undefined, done: ChunkCallback): void
  /** What was put is durable, where the store is on a device. */
  close(done?: DoneCallback): void
  /** The chunks are gone, and the store is closed. */
  destroy(done?: DoneCallback): void
}

export type ChunkStoreConstructor = new (
  chunkLength: number,
  options?: ChunkStoreOptions,
) => ChunkStore
