/** What a torrent is, as the other rooms see it. */

/** v1: BEP 3. v2: BEP 52. A hybrid is both, under two info-hashes, over the same bytes. */
export type TorrentFormat = 'v1' | 'v2' | 'hybrid'

export interface TorrentFile {
  /** Path components below the torrent's name; one component, the name itself, in a single-file torrent. */
  readonly path: readonly string[]
  readonly bytes: number
  /** Where it begins in the torrent's one address space. */
  readonly offset: number
  /** BEP 47: filler, zeros that are neither exported nor stored. */
  readonly padding: boolean
  /** BEP 47: to be exported as a program. */
  readonly executable?: true
  /** BEP 47: hidden where the system knows such a thing. */
  readonly hidden?: true
  /** BEP 47: a symbolic link to this path below the torrent's name; it has no bytes. */
  readonly symlink?: readonly string[]
  /** BEP 52: root of the file's hash tree, 32 bytes; there for files of v2 that have bytes. */
  readonly piecesRoot?: Uint8Array
}

/** A validated info dictionary (BEP 3, BEP 52). All sizes in bytes. */
export interface TorrentInfo {
  readonly format: TorrentFormat
  /**
   * 20 bytes, what the torrent is called everywhere: the SHA-1 of `infoBytes`; of v2 alone, the first 20
   * bytes of its SHA-256.
   */
  readonly infoHash: Uint8Array
  /** SHA-256 of `infoBytes`, 32 bytes; undefined for v1. */
  readonly infoHashV2: Uint8Array | undefined
  /** The info dictionary exactly as it was received: what the info-hash is taken over. */
  readonly infoBytes: Uint8Array
  readonly name: string
  readonly multiFile: boolean
  /** Back to back from offset 0. Of v2 alone, filler that nobody wrote down is among them. */
  readonly files: readonly TorrentFile[]
  /** Of the address space, filler included. */
  readonly totalBytes: number
  /** Of the content: `totalBytes` without filler. */
  readonly contentBytes: number
  readonly pieceBytes: number
  readonly pieceCount: number
  /** `pieceCount` SHA-1 hashes, 20 bytes each, back to back; none for v2 alone. */
  readonly pieceHashes: Uint8Array
  /** BEP 27. */
  readonly private: boolean
}

/**
 * BEP 52: for files of more than one piece, by the hexadecimal of their root, the hashes of their pieces,
 * 32 bytes each.
 */
export type PieceLayers = ReadonlyMap<string, Uint8Array>

/** A .torrent file. */
export interface Metainfo {
  readonly info: TorrentInfo
  /** Those piece layers of the file that lead to their roots; what is missing has to be asked for. */
  readonly layers: PieceLayers
  /** BEP 12: tiers of announce URLs; one tier of one URL when only `announce` is there. */
  readonly trackers: readonly (readonly string[])[]
  /** BEP 19: where a web server has the files; http(s) only. */
  readonly webSeeds: readonly string[]
  readonly comment: string | undefined
  readonly createdBy: string | undefined
  /** Seconds since 1970. */
  readonly createdAtS: number | undefined
}

/** BEP 9. */
export interface Magnet {
  /** As in TorrentInfo: `urn:btih:`, or the first 20 bytes of `urn:btmh:` when that is alone. */
  readonly infoHash: Uint8Array
  /** `urn:btmh:`: the SHA-256 of a torrent that has a v2 part. */
  readonly infoHashV2?: Uint8Array | undefined
  readonly name: string | undefined
  readonly trackers: readonly string[]
  /** `x.pe`: peers as host and port. */
  readonly peers: readonly { readonly host: string; readonly port: number }[]
  /** `ws`: web seeds (BEP 19). */
  readonly webSeeds?: readonly string[] | undefined
  /** `so` (BEP 53): ranges of file indexes, both ends included; undefined: all of them. */
  readonly selected?: readonly (readonly [first: number, last: number])[] | undefined
  /** `xl`: exact length in bytes. */
  readonly totalBytes: number | undefined
}
