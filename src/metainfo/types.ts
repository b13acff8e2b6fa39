/** What a torrent is, as the other rooms see it. */

export interface TorrentFile {
  /** Path components below the torrent's name; one component, the name itself, in a single-file torrent. */
  readonly path: readonly string[]
  readonly bytes: number
  /** Where it begins in the torrent's one address space. */
  readonly offset: number
  /** BEP 47: filler, never exported. */
  readonly padding: boolean
}

/** A validated info dictionary (BEP 3). All sizes in bytes. */
export interface TorrentInfo {
  /** SHA-1 of `infoBytes`, 20 bytes. */
  readonly infoHash: Uint8Array
  /** The info dictionary exactly as it was received: what the info-hash is taken over. */
  readonly infoBytes: Uint8Array
  readonly name: string
  readonly multiFile: boolean
  readonly files: readonly TorrentFile[]
  readonly totalBytes: number
  readonly pieceBytes: number
  readonly pieceCount: number
  /** `pieceCount` SHA-1 hashes, 20 bytes each, back to back. */
  readonly pieceHashes: Uint8Array
  /** BEP 27. */
  readonly private: boolean
}

/** A .torrent file. */
export interface Metainfo {
  readonly info: TorrentInfo
  /** BEP 12: tiers of announce URLs; one tier of one URL when only `announce` is there. */
  readonly trackers: readonly (readonly string[])[]
  readonly comment: string | undefined
  readonly createdBy: string | undefined
  /** Seconds since 1970. */
  readonly createdAtS: number | undefined
}

/** BEP 9. */
export interface Magnet {
  readonly infoHash: Uint8Array
  readonly name: string | undefined
  readonly trackers: readonly string[]
  /** `x.pe`: peers as host and port. */
  readonly peers: readonly { readonly host: string; readonly port: number }[]
  /** `xl`: exact length in bytes. */
  readonly totalBytes: number | undefined
}
