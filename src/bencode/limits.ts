/** What a decoder accepts before it looks any further. Documented in docs/limits.md. */

/** Nesting that `decode` accepts unless told otherwise; real messages nest five deep. */
export const BENCODE_DEPTH_DEFAULT = 32
/** Nesting that may be asked for at most, in both directions: keeps recursion off the stack's end. */
export const BENCODE_DEPTH_MAX = 256
/**
 * Values in one input, unless told otherwise: a torrent of half a million files. `le` costs two bytes
 * on the wire and tens in memory, so size alone does not bound what a decoder allocates.
 */
export const BENCODE_VALUES_DEFAULT = 4_000_000
/** Values that may be asked for at most: a Map of the runtime ends at 2^24 entries. */
export const BENCODE_VALUES_MAX = 16_000_000
/** Keys of the dictionary that `spansOf` walks; a .torrent file has a dozen. */
export const BENCODE_SPANS_MAX = 65_536
