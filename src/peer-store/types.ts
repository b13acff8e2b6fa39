/**
 * The PeerStore contract, after chihaya's storage interface and optmem's semantics.
 *
 * - A swarm is named by a 20-byte info-hash; its IPv4 and IPv6 peers are separate swarms under it.
 * - A peer is an address and a port; peer ids are not stored. One endpoint is one record: putting a
 *   seeder over a leecher promotes it, a leecher over a seeder demotes it.
 * - Addresses are 4 or 16 bytes; IPv4-mapped IPv6 addresses are IPv4. Any other length is
 *   PEER_STORE_INVALID_ADDRESS.
 * - Info-hashes of another length than 20 are PEER_STORE_INVALID_INFO_HASH.
 * - Lifetimes beyond the store's limit are PEER_STORE_LIFETIME_TOO_LONG.
 * - Every call after `stop` throws PEER_STORE_STOPPED.
 * - At the limit of its memory a store refuses new peers, counts them in `refused`, and goes on: peers
 *   it has are put again, deleted and returned as before. The next pass of garbage collection evicts the
 *   stalest eighth, counted in `evicted`.
 *
 * What is not there is no error here: these calls return false or 0, because on a tracker's hot path it is an
 * ordinary answer. `contractOf` (contract.ts) gives the form with errors.
 *
 * Hot path: nothing here allocates or keeps what it was given; peers are written as compact bytes (BEP 23, BEP 7) into the caller's buffer.
 */
import type { SwarmCursor, SwarmList } from './swarm-list.ts'

export type AddressFamily = 4 | 6

/** Bytes of a compact peer. */
export const COMPACT_BYTES: Readonly<Record<AddressFamily, number>> = { 4: 6, 6: 18 }

/** Counts of one family of one swarm; filled by the store, owned by the caller. */
export interface SwarmCounts {
  seeders: number
  leechers: number
  /** Completed downloads since the swarm is known. */
  completed: number
}

/**
 * What one announce asks of a store, and what it is answered: a put, a draw and a scrape at once. One object is filled again
 * and again; nothing in it is kept.
 */
export class PeerAnnounce {
  infoHash: Uint8Array = new Uint8Array(0)
  address: Uint8Array = new Uint8Array(0)
  port = 0
  /** Put as a seeder. */
  seeder = false
  /** As by `graduateLeecher`; then `seeder` is true. */
  graduates = false
  /** Drawn for as for a seeder: leechers only. */
  gives = false
  wanted = 0
  /** Where the peers are written to, from `offset` on. */
  target: Uint8Array = new Uint8Array(0)
  offset = 0

  /** How many were written. */
  drawn = 0
  /** Of the announcer's family, the announcer included. */
  readonly counts: SwarmCounts = { seeders: 0, leechers: 0, completed: 0 }
}

export interface PeerStoreStats {
  readonly swarms: number
  readonly seeders4: number
  readonly leechers4: number
  readonly seeders6: number
  readonly leechers6: number
  readonly bytesUsed: number
  readonly bytesReserved: number
  /** Puts refused for want of memory since the start. */
  readonly refused: number
  /** Peers dropped since the start: for their age, and to make room. */
  readonly expired: number
  readonly evicted: number
}

export interface PeerStore {
  putSeeder(infoHash: Uint8Array, address: Uint8Array, port: number): void
  putLeecher(infoHash: Uint8Array, address: Uint8Array, port: number): void
  /** False when there is no such seeder. A leecher of the same endpoint stays. */
  deleteSeeder(infoHash: Uint8Array, address: Uint8Array, port: number): boolean
  deleteLeecher(infoHash: Uint8Array, address: Uint8Array, port: number): boolean
  /** Leecher (or nobody) becomes seeder, and a completed download is counted. */
  graduateLeecher(infoHash: Uint8Array, address: Uint8Array, port: number): void
  /**
   * Writes up to `wanted` peers of the announcer's family at `target[offset…]`, compact, and returns
   * how many. Uniform without replacement; never the announcer; a leecher gets seeders first, then
   * leechers; a seeder gets leechers only. 0 for an unknown swarm. What `target` has no room for is not written.
   */
  announcePeers(
    infoHash: Uint8Array,
    seeder: boolean,
    wanted: number,
    address: Uint8Array,
    port: number,
    target: Uint8Array,
    offset: number,
  ): number
  /** Puts, draws and counts, as the calls for each would in this order, of one moment. */
  announce(announce: PeerAnnounce): void
  /** Zeros for an unknown swarm. */
  scrapeSwarm(infoHash: Uint8Array, family: AddressFamily, counts: SwarmCounts): void
  /** All seeders, or all leechers, as compact bytes in no order: for looking at a store, not for announces. */
  listPeers(infoHash: Uint8Array, family: AddressFamily, seeders: boolean): Uint8Array
  /**
   * Puts the next swarms in `list`, from zero, with the counts of both families, as many as fit or as a call may take;
   * there may be none before the end. True: these were the last, and a next call starts anew. A swarm that is there from the first call to the
   * last is listed exactly once, one that comes or goes meanwhile once at most. The counts of a swarm are of one moment,
   * those of two swarms are not. Allocates nothing; other threads wait for one swarm in some hundred at most.
   */
  listSwarms(cursor: SwarmCursor, list: SwarmList): boolean
  /** Drops peers not put again for `maximumAgeMs`, and swarms left empty. Returns how many peers. */
  collectGarbage(maximumAgeMs: number): number
  /**
   * The same in steps, each of about `maximumSwarms` swarms: goes on where the last step stopped. True when
   * the step was the last of a pass over the whole store.
   */
  collectGarbageStep(maximumAgeMs: number, maximumSwarms: number): boolean
  /** Info-hashes known; one with peers of both families counts once. */
  numSwarms(): number
  numTotalPeers(family: AddressFamily): number
  stats(): PeerStoreStats
  stop(): void
}

/** What another thread needs to open a store: may be posted to a worker. */
export interface PeerStoreHandle {
  readonly buffer: SharedArrayBuffer
  readonly layoutVersion: number
  /** Names the locks of the threads that open this handle. */
  readonly owner: number
}

/** A store in shared memory. */
export interface SharedPeerStore extends PeerStore {
  /**
   * For `openPeerStore` in another thread: a handle for each, so that `recover` can tell them apart. From the first call on
   * every access locks.
   */
  handle(): PeerStoreHandle
  /**
   * To be called when a thread has ended that opened `handle` and may have been in a call, for example after
   * `worker.terminate()`; no other thread may have opened the same handle. Gives its locks free, empties the shard that it held, and returns how many were emptied: 0, at
   * once, if it held none, as nearly always. Until then, calls that need that shard throw PEER_STORE_LOCK_LOST after a second or two.
   */
  recover(handle: PeerStoreHandle): number
  /**
   * Touches what calls about `count` info-hashes will read, the first at `infoHashes[offset]` and each `stride` bytes
   * after the one before, so that their cache misses overlap: a front end calls it for a batch of packets, then
   * acts on each. Changes nothing. Allocates nothing.
   */
  prefetch(infoHashes: Uint8Array, offset: number, stride: number, count: number): void
  /** Looks at everything and says what is wrong, as sentences; for tests. Nobody may work on the store meanwhile. */
  verify(): readonly string[]
  /**
   * Writes all peers to a file, atomically; other threads may go on working. Resolves to the number of peers. Rejects, and leaves it, where there is
   * a file that is no snapshot, or one of a newer version.
   */
  save(path: string): Promise<number>
  /**
   * Reads what `save` wrote into this store, which must be empty, and drops who grew too old meanwhile. Resolves to the number
   * of peers. Rejects with PEER_STORE_SNAPSHOT_… and leaves the store empty when the file is torn, foreign or newer.
   */
  load(path: string): Promise<number>
}
