/**
 * The peer store in typed arrays: optmem's job without an object for a peer or a swarm.
 *
 *     info-hash --keyed hash--> shard --> tagged index --> swarm record --> peers of each family
 *     (keyed-hash.ts)           (roots)   (tagged-index.ts) (swarm-records.ts) (swarm-peers.ts)
 *
 * All state lies in 1 MiB slabs of shared memory (arena.ts). One thread works on them today; a shard is the
 * unit that a lock will guard. Counters run along, so `stats` reads nothing but them.
 *
 * Invariants: a swarm exists if and only if it has a peer of either family; the counters equal the contents;
 * no peer is older than its age can say (age.ts).
 */
import { type Clock, type Random, readU32BE, systemRandom } from '../base/index.ts'
import {
  AGE_MODULUS,
  lifetimeTicks,
  MAX_LIFETIME_MS,
  SEEDER_BIT,
  SWEEP_TICKS,
  TICK_MS,
} from './age.ts'
import { Arena, MAX_SLABS, SLAB_BYTES } from './arena.ts'
import { peerStoreError } from './errors.ts'
import { KeyedHash } from './keyed-hash.ts'
import { Sampler } from './sampler.ts'
import { SwarmPeers } from './swarm-peers.ts'
import { KEY_WORDS, SwarmRecords } from './swarm-records.ts'
import { ROOT_WORDS, TaggedIndex } from './tagged-index.ts'
import {
  type AddressFamily,
  COMPACT_BYTES,
  type PeerStore,
  type PeerStoreStats,
  type SwarmCounts,
} from './types.ts'

const DEFAULT_SHARD_COUNT_BITS = 10
const MAX_SHARD_COUNT_BITS = 16
const MINIMUM_MEMORY_BYTES: number = 4 * SLAB_BYTES
/** Addresses reach 16 GiB; what a put may take beyond the limit must be within their reach too. */
const MAXIMUM_MEMORY_BYTES: number = (MAX_SLABS * SLAB_BYTES * 15) / 16

export interface PeerStoreOptions {
  readonly clock: Clock
  /** Keys the hashes and draws the peers: must be unpredictable outside tests. Default: the system's. */
  readonly random?: Random
  /** 2^this many shards, 0 to 16. Default 10. */
  readonly shardCountBits?: number
  /**
   * Lifetime used when a sweep is overdue because nobody collected garbage for two hours. Default and
   * maximum: 15 h 55 min 40 s.
   */
  readonly peerLifetimeMs?: number
  /** Bound on `bytesReserved`, at least 4 MiB. Default 15 GiB, which is also the maximum. */
  readonly maxMemoryBytes?: number
}

/** Throws PEER_STORE_INVALID_OPTION or PEER_STORE_LIFETIME_TOO_LONG. */
export function createPeerStore(options: PeerStoreOptions): PeerStore {
  return new TypedArrayPeerStore(options)
}

class TypedArrayPeerStore implements PeerStore {
  readonly #clock: Clock
  readonly #baseMs: number
  readonly #lifetimeTicks: number
  readonly #shardCountBits: number
  readonly #arena: Arena
  readonly #records = new SwarmRecords()
  readonly #hash: KeyedHash
  readonly #index: TaggedIndex
  readonly #sampler: Sampler
  readonly #peers4: SwarmPeers
  readonly #peers6: SwarmPeers
  /** Index roots, one a shard, in a row. */
  #roots = 0
  readonly #key = new Uint32Array(KEY_WORDS)
  // Of the info-hash at hand.
  #root = 0
  #high = 0
  #low = 0

  #tick = 0
  #sweepCursor = 0
  /** When the pass under way began, and the last complete one. */
  #passTick = 0
  #sweptTick = 0

  #seeders4 = 0
  #leechers4 = 0
  #seeders6 = 0
  #leechers6 = 0
  #refused = 0
  #expired = 0
  #stopped = false

  constructor(options: PeerStoreOptions) {
    const bits = options.shardCountBits ?? DEFAULT_SHARD_COUNT_BITS
    if (!Number.isInteger(bits) || bits < 0 || bits > MAX_SHARD_COUNT_BITS) {
      throw peerStoreError(
        'PEER_STORE_INVALID_OPTION',
        `shardCountBits is ${bits}: it must be a whole number from 0 to ${MAX_SHARD_COUNT_BITS}`,
      )
    }
    const memory = options.maxMemoryBytes ?? MAXIMUM_MEMORY_BYTES
    if (!(memory >= MINIMUM_MEMORY_BYTES && memory <= MAXIMUM_MEMORY_BYTES)) {
      throw peerStoreError(
        'PEER_STORE_INVALID_OPTION',
        `maxMemoryBytes is ${memory}: it must be ${MINIMUM_MEMORY_BYTES} (4 MiB) to ${MAXIMUM_MEMORY_BYTES} (15 GiB)`,
      )
    }
    const random = options.random ?? systemRandom()
    this.#lifetimeTicks = lifetimeTicks(options.peerLifetimeMs ?? MAX_LIFETIME_MS)
    this.#clock = options.clock
    this.#baseMs = options.clock.monotonicMs()
    this.#shardCountBits = bits
    this.#arena = new Arena(memory)
    this.#hash = new KeyedHash(random)
    this.#sampler = new Sampler(random)
    this.#peers4 = new SwarmPeers(4, this.#arena, this.#records, this.#hash)
    this.#peers6 = new SwarmPeers(6, this.#arena, this.#records, this.#hash)
    this.#index = this.#swarmIndex()
    this.#roots = this.#allocateRoots()
  }

  putSeeder(infoHash: Uint8Array, address: Uint8Array, port: number): void {
    this.#put(infoHash, address, port, true, false)
  }

  putLeecher(infoHash: Uint8Array, address: Uint8Array, port: number): void {
    this.#put(infoHash, address, port, false, false)
  }

  graduateLeecher(infoHash: Uint8Array, address: Uint8Array, port: number): void {
    this.#put(infoHash, address, port, true, true)
  }

  deleteSeeder(infoHash: Uint8Array, address: Uint8Array, port: number): boolean {
    return this.#delete(infoHash, address, port, true)
  }

  deleteLeecher(infoHash: Uint8Array, address: Uint8Array, port: number): boolean {
    return this.#delete(infoHash, address, port, false)
  }

  announcePeers(
    infoHash: Uint8Array,
    seeder: boolean,
    wanted: number,
    address: Uint8Array,
    port: number,
    target: Uint8Array,
    offset: number,
  ): number {
    const peers = this.#begin(infoHash, address, port)
    if (wanted <= 0) return 0
    const record = this.#find()
    if (record === 0) return 0
    peers.open(record)
    if (peers.count === 0) return 0
    const self = peers.find()
    const size = COMPACT_BYTES[peers.family]
    let written = 0
    if (!seeder) written = this.#sample(peers, 0, peers.seeders, wanted, self, target, offset)
    return (
      written +
      this.#sample(
        peers,
        peers.seeders,
        peers.count,
        wanted - written,
        self,
        target,
        offset + written * size,
      )
    )
  }

  scrapeSwarm(infoHash: Uint8Array, family: AddressFamily, counts: SwarmCounts): void {
    this.#advance()
    this.#enter(infoHash)
    counts.seeders = 0
    counts.leechers = 0
    counts.completed = 0
    const record = this.#find()
    if (record === 0) return
    const peers = family === 4 ? this.#peers4 : this.#peers6
    peers.open(record)
    counts.seeders = peers.seeders
    counts.leechers = peers.count - peers.seeders
    counts.completed = peers.completed
  }

  collectGarbage(maximumAgeMs: number): number {
    const before = this.#expired
    const ticks = lifetimeTicks(maximumAgeMs)
    this.#advance()
    this.#sweepAll(ticks)
    return this.#expired - before
  }

  collectGarbageStep(maximumAgeMs: number, maximumSwarms: number): boolean {
    const ticks = lifetimeTicks(maximumAgeMs)
    this.#advance()
    return this.#sweep(ticks, maximumSwarms)
  }

  stats(): PeerStoreStats {
    this.#mustRun()
    return {
      swarms: this.#records.live,
      seeders4: this.#seeders4,
      leechers4: this.#leechers4,
      seeders6: this.#seeders6,
      leechers6: this.#leechers6,
      bytesUsed: this.#arena.bytesUsed + this.#records.bytesUsed,
      bytesReserved: this.#arena.bytesReserved + this.#records.bytesReserved,
      refused: this.#refused,
      expired: this.#expired,
    }
  }

  stop(): void {
    this.#mustRun()
    this.#stopped = true
    this.#arena.slabs.length = 0
    this.#records.slabs.length = 0
  }

  #allocateRoots(): number {
    // Address 0 means no block, which the first allocation of whole slabs would have.
    this.#arena.allocate(2)
    const words = ROOT_WORDS << this.#shardCountBits
    const roots = this.#arena.allocate(words)
    this.#arena.clear(roots, words)
    return roots
  }

  /** The index over the records; its keys are the info-hashes in them. */
  #swarmIndex(): TaggedIndex {
    const hash = this.#hash
    const records = this.#records
    const bits = this.#shardCountBits
    return new TaggedIndex(this.#arena, {
      get high() {
        return shardRest(hash.high, bits)
      },
      get low() {
        return hash.low
      },
      rehash(number) {
        const words = records.words(number)
        const at = records.offset(number)
        for (let i = 0; i < KEY_WORDS; i++) hash.words[i] = words[at + i]!
        hash.run(KEY_WORDS)
      },
    })
  }

  #mustRun(): void {
    if (this.#stopped) {
      throw peerStoreError('PEER_STORE_STOPPED', 'the peer store was stopped')
    }
  }

  /** Reads the clock. A sweep that is overdue runs first, as of the moment when it was due. */
  #advance(): void {
    this.#mustRun()
    const now = Math.floor((this.#clock.monotonicMs() - this.#baseMs) / TICK_MS)
    while (now - this.#sweptTick > SWEEP_TICKS) {
      if (this.#records.live === 0) {
        this.#sweptTick = now
        this.#sweepCursor = 0
      } else {
        this.#tick = this.#sweptTick + SWEEP_TICKS
        this.#sweepAll(this.#lifetimeTicks)
      }
    }
    this.#tick = now
  }

  /** Takes in the info-hash, and the endpoint for the window of its family. */
  #begin(infoHash: Uint8Array, address: Uint8Array, port: number): SwarmPeers {
    this.#advance()
    this.#enter(infoHash)
    const length = address.length
    if (length === 4 || (length === 16 && isMapped(address))) {
      const peers = this.#peers4
      peers.address[0] = readU32BE(address, length - 4)
      peers.port = port & 0xffff
      return peers
    }
    if (length !== 16) {
      throw peerStoreError(
        'PEER_STORE_INVALID_ADDRESS',
        `an address of ${length} bytes: IPv4 has 4, IPv6 has 16`,
      )
    }
    const peers = this.#peers6
    for (let i = 0; i < 4; i++) peers.address[i] = readU32BE(address, i * 4)
    peers.port = port & 0xffff
    return peers
  }

  #enter(infoHash: Uint8Array): void {
    if (infoHash.length !== 20) {
      throw peerStoreError(
        'PEER_STORE_INVALID_INFO_HASH',
        `an info-hash of ${infoHash.length} bytes: it has 20`,
      )
    }
    const hash = this.#hash
    for (let i = 0; i < KEY_WORDS; i++) {
      const word = readU32BE(infoHash, i * 4)
      this.#key[i] = word
      hash.words[i] = word
    }
    this.#route()
  }

  /** Hashes the info-hash in `hash.words`: which shard, where in its index. */
  #route(): void {
    const hash = this.#hash
    const bits = this.#shardCountBits
    hash.run(KEY_WORDS)
    const shard = bits === 0 ? 0 : hash.high >>> (32 - bits)
    this.#root = this.#roots + shard * ROOT_WORDS
    this.#high = shardRest(hash.high, bits)
    this.#low = hash.low
  }

  /** The record of the info-hash at hand, or 0. */
  #find(): number {
    const key = this.#key
    let number = this.#index.first(this.#root, this.#high, this.#low)
    while (number !== 0) {
      const words = this.#records.words(number)
      const at = this.#records.offset(number)
      if (
        words[at] === key[0] &&
        words[at + 1] === key[1] &&
        words[at + 2] === key[2] &&
        words[at + 3] === key[3] &&
        words[at + 4] === key[4]
      ) {
        return number
      }
      number = this.#index.next()
    }
    return 0
  }

  #put(
    infoHash: Uint8Array,
    address: Uint8Array,
    port: number,
    seeder: boolean,
    graduates: boolean,
  ): void {
    const peers = this.#begin(infoHash, address, port)
    const meta = (this.#tick % AGE_MODULUS) | (seeder ? SEEDER_BIT : 0)
    let record = this.#find()
    if (record !== 0) {
      peers.open(record)
      const position = peers.find()
      if (position >= 0) {
        const wasSeeder = position < peers.seeders
        peers.put(position, meta)
        if (wasSeeder !== seeder) {
          this.#count(peers.family, wasSeeder, -1)
          this.#count(peers.family, seeder, 1)
        }
        // The counter of an inline peer needs a block, so at the limit of memory it stays uncounted.
        if (graduates && !wasSeeder && this.#hasRoom()) peers.addCompleted()
        return
      }
    }
    if (peers.full || !this.#hasRoom()) {
      this.#refused++
      return
    }
    if (record === 0) {
      record = this.#addRecord()
      peers.open(record)
    }
    peers.add(meta)
    if (graduates) peers.addCompleted()
    this.#count(peers.family, seeder, 1)
  }

  #delete(infoHash: Uint8Array, address: Uint8Array, port: number, seeder: boolean): boolean {
    const peers = this.#begin(infoHash, address, port)
    const record = this.#find()
    if (record === 0) return false
    peers.open(record)
    const position = peers.find()
    if (position < 0 || position < peers.seeders !== seeder) return false
    peers.remove(position)
    this.#count(peers.family, seeder, -1)
    if (peers.count === 0) this.#dropIfEmpty(record)
    return true
  }

  #hasRoom(): boolean {
    const records = this.#records
    const more = records.needsSlab ? SLAB_BYTES : 0
    return !records.full && this.#arena.hasRoom(records.bytesReserved + more)
  }

  #addRecord(): number {
    const number = this.#records.allocate()
    const words = this.#records.words(number)
    const at = this.#records.offset(number)
    for (let i = 0; i < KEY_WORDS; i++) words[at + i] = this.#key[i]!
    this.#index.insert(this.#root, this.#high, this.#low, number)
    return number
  }

  #count(family: AddressFamily, seeder: boolean, by: number): void {
    if (family === 4) {
      if (seeder) this.#seeders4 += by
      else this.#leechers4 += by
    } else if (seeder) {
      this.#seeders6 += by
    } else {
      this.#leechers6 += by
    }
  }

  /** Drops a swarm that has no peer left, whose info-hash may be any. */
  #dropIfEmpty(record: number): void {
    this.#peers4.open(record)
    this.#peers6.open(record)
    if (this.#peers4.count !== 0 || this.#peers6.count !== 0) return
    this.#peers4.release()
    this.#peers6.release()
    const words = this.#records.words(record)
    const at = this.#records.offset(record)
    for (let i = 0; i < KEY_WORDS; i++) this.#hash.words[i] = words[at + i]!
    this.#route()
    this.#index.remove(this.#root, this.#high, this.#low, record)
    this.#records.release(record)
  }

  /** Writes up to `wanted` of the positions from `from` to before `end`, without `self`. */
  #sample(
    peers: SwarmPeers,
    from: number,
    end: number,
    wanted: number,
    self: number,
    target: Uint8Array,
    offset: number,
  ): number {
    const excludes = self >= from && self < end
    const available = end - from - (excludes ? 1 : 0)
    const count = Math.min(wanted, available)
    if (count <= 0) return 0
    const sampler = this.#sampler
    sampler.choose(count, available)
    const chosen = sampler.chosen
    const size = COMPACT_BYTES[peers.family]
    for (let i = 0; i < count; i++) {
      let position = from + chosen[i]!
      if (excludes && position >= self) position++
      peers.writeCompact(position, target, offset + i * size)
    }
    return count
  }

  /** A whole pass, whatever a pass under way has seen. */
  #sweepAll(lifetime: number): void {
    this.#sweepCursor = 0
    this.#sweep(lifetime, Number.POSITIVE_INFINITY)
  }

  #sweep(lifetime: number, maximumSwarms: number): boolean {
    const records = this.#records
    if (this.#sweepCursor === 0) this.#passTick = this.#tick
    let visited = 0
    while (this.#sweepCursor < records.last) {
      if (visited >= maximumSwarms) return false
      const record = ++this.#sweepCursor
      visited++
      if (!records.isFree(record)) this.#sweepSwarm(record, lifetime)
    }
    this.#sweepCursor = 0
    this.#sweptTick = this.#passTick
    return true
  }

  #sweepSwarm(record: number, lifetime: number): void {
    const dropped =
      this.#sweepPeers(this.#peers4, record, lifetime) +
      this.#sweepPeers(this.#peers6, record, lifetime)
    if (dropped === 0) return
    this.#expired += dropped
    this.#dropIfEmpty(record)
  }

  /** From the last position down: what a removal moves has been looked at already. */
  #sweepPeers(peers: SwarmPeers, record: number, lifetime: number): number {
    peers.open(record)
    let dropped = 0
    for (let position = peers.count - 1; position >= 0; position--) {
      // A put may be a whole tick older or younger than the difference says: nobody goes too early.
      if (peers.age(position, this.#tick) <= lifetime) continue
      const seeder = position < peers.seeders
      peers.remove(position)
      this.#count(peers.family, seeder, -1)
      dropped++
    }
    return dropped
  }
}

/** What is left of the high hash when the shard has taken its bits. */
function shardRest(high: number, bits: number): number {
  return (high << bits) >>> 0
}

/** ::ffff:0:0/96 (RFC 4291, section 2.5.5.2). */
function isMapped(address: Uint8Array): boolean {
  if (address[10] !== 0xff || address[11] !== 0xff) return false
  for (let i = 0; i < 10; i++) if (address[i] !== 0) return false
  return true
}
