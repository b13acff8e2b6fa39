/** What a torrent may be at most. Documented, with the reasons, in docs/limits.md. */

export const HASH_BYTES = 20

/** A .torrent file, and the info dictionary in it: 1 PiB in pieces of 256 MiB takes 80 MiB of hashes. */
export const TORRENT_BYTES_MAX: number = 128 * 1024 * 1024
export const PIECE_BYTES_MAX: number = 512 * 1024 * 1024
export const FILES_MAX = 500_000
/** Folders above a file, and the file. */
export const PATH_COMPONENTS_MAX = 100
/** In UTF-8, the torrent's name and `dn` of a magnet too; a name on NTFS has 255 UTF-16 units, which is 765 bytes. */
export const PATH_COMPONENT_BYTES_MAX = 1024

/** Announce URLs of a torrent or magnet; more are ignored. */
export const TRACKERS_MAX = 200
/** A longer announce URL is ignored. */
export const TRACKER_URL_CHARACTERS_MAX = 1024
/** Room for everything below and above, percent-encoded: what is formatted can be parsed. */
export const MAGNET_CHARACTERS_MAX: number = 1024 * 1024
/** `x.pe` of a magnet; more are ignored. */
export const MAGNET_PEERS_MAX = 200
/** `ws` of a magnet; more are ignored. */
export const WEB_SEEDS_MAX = 100
/** Ranges in `so` of a magnet (BEP 53); a longer selection is none. */
export const MAGNET_RANGES_MAX = 1_000
