/**
 * Where everything lies in the one SharedArrayBuffer of a store, in 32-bit words.
 *
 *     word 0            header: 1024 words (below)
 *     SHARDS            shard lines of 16 words (one cache line), 2^shardBits of them
 *     descriptors       8 words a span, for every span of the reservation (spans.ts)
 *     first data span   … the rest, in spans of 4096 words (16 KiB): segments, blocks, sets
 *
 * The buffer reserves addresses for the whole of `max_memory` at once; the system backs a page when it
 * is first written. So growth needs no message to other threads: a word has one address for ever.
 * A reservation is less than 8 GiB: word addresses then fit an int32, which V8 never boxes.
 *
 * Hot files take these in as `const { S_DEPTH } = layout`: V8 folds a module's own constants into its code, but reads an imported one
 * through a cell, with three checks, at every use. Put and delete fell from 102 to 97 ns by it.
 *
 *     shard line
 *     0 version (odd: locked)  1 directory depth  2 directory  3 its one entry at depth 0
 *     4 swarms  5 seeders4  6 leechers4  7 seeders6  8 leechers6
 *     9 expired  10 refused  11 evicted  12 segments as deep as the directory  13 owner of the lock
 */

export const MAGIC = 0x53454544
export const LAYOUT_VERSION = 1

export const SPAN_SHIFT = 12
export const SPAN_WORDS: number = 1 << SPAN_SHIFT
export const SPAN_BYTES: number = SPAN_WORDS * 4
export const DESCRIPTOR_WORDS = 8
/** Header, shard lines and descriptors come on top: 21 MiB of addresses at most. */
export const MAX_MEMORY_BYTES: number = 2 ** 33 - 2 ** 26

// The header.
export const H_MAGIC = 0
export const H_VERSION = 1
export const H_STOPPED = 2
/** Ticks of TICK_MS since the store was made; written by the thread that made it. */
export const H_TICK = 3
export const H_SHARD_BITS = 4
export const H_TOTAL_SPANS = 5
export const H_DESCRIPTORS = 6
export const H_FIRST_SPAN = 7
export const H_FRONTIER = 8
export const H_FREE_SPANS = 9
export const H_USED_WORDS = 10
/** The age bits of a put now (age.ts). */
export const H_AGE = 11
/** First shard line. */
export const H_SHARDS = 12
/** The allocator's lock, in a cache line of its own. */
export const H_ALLOCATOR_LOCK = 16
/** Handles given out; their numbers own locks (memory.ts). */
export const H_HANDLES = 32
/** Not 0: every lock is wanted, to put the store right after the death of a thread (recovery.ts). */
export const H_RECOVERING = 33
/** The lock that somebody gave up last: others need not wait as long for it. */
export const H_LOST_LOCK = 35
/** Spans of the buffer beyond the limit, for a recovery at the limit. */
export const H_RESERVE_SPANS = 34
export const H_HASH_KEYS = 48
export const HASH_KEY_WORDS = 16
/** Heads of the free lists of runs of 2^order spans. */
export const H_FREE_RUNS = 96
export const RUN_ORDERS = 16
/** Heads of the lists of spans with room, one a size class. */
export const H_PARTIAL = 128
export const HEADER_WORDS = 1024

export const SHARD_SHIFT = 4
export const SHARD_WORDS: number = 1 << SHARD_SHIFT
export const S_VERSION = 0
export const S_DEPTH = 1
export const S_DIRECTORY = 2
export const S_ENTRY = 3
export const S_SWARMS = 4
export const S_SEEDERS4 = 5
export const S_LEECHERS4 = 6
export const S_SEEDERS6 = 7
export const S_LEECHERS6 = 8
export const S_EXPIRED = 9
export const S_REFUSED = 10
export const S_EVICTED = 11
export const S_DEEPEST = 12
/** Of every lock, after its version; of a shard's line too. */
export const LOCK_OWNER = 13

// The descriptor of a span (spans.ts).
export const D_KIND = 0
export const D_LIVE = 1
export const D_FREED = 2
export const D_FRESH = 3
export const D_PREVIOUS = 4
export const D_NEXT = 5

// The record of a swarm (swarm-table.ts), after its info-hash.
export const RECORD_SHIFT = 3
export const RECORD_WORDS: number = 1 << RECORD_SHIFT
export const R_PEERS4 = 5
export const R_META4 = 6
export const R_PEERS6 = 7
export const MAX_SEGMENT_RECORDS = 127

// How the peers of a swarm lie (swarm-shape.ts), and words of a block or a root.
export const NONE = 0
export const INLINE = 1
export const SMALL = 2
export const LARGE = 3
export const MAX_SMALL = 64
export const COMPLETED = 1
export const SEEDERS = 2
export const LEECHERS = 3

// A set of peers (dense-set.ts, bucket-set.ts).
export const SET_COUNT = 0
/** Negative: a bucket set. */
export const SET_CAPACITY = 1
export const SET_SWEEPING = 6
export const MAX_DENSE: number = 1 << 15

/** Of a block in use, or of one that is free. */
export type BlockVisitor = (address: number, words: number) => void
