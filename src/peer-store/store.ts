/**
 * The peer store in shared memory: optmem's job without an object for a peer or a swarm, for every thread.
 *
 *     info-hash --keyed hash--> shard --> segment --> record --> peers of each family
 *     (keyed-hash.ts)           (layout.ts) (swarm-table.ts)     (swarm-peers.ts, peer-set.ts)
 *
 * `createPeerStore` makes the memory, and its thread keeps the time; `openPeerStore` is another thread's view of
 * the same memory. One lock a shard. Scrapes, announces and deletions of what is not there read without a lock
 * and check after that nobody wrote meanwhile; if somebody did, they lock and read again.
 *
 * Time is a word of the shared memory that a timer of the first thread sets every 2 s: a put reads a word, not a clock.
 *
 * Invariants: those of core.ts; no peer is older than its age can say (age.ts).
 */

import { totalmem } from 'node:os'
import * as base from '../base/index.ts'
import { type Clock, type Random, systemClock, systemRandom } from '../base/index.ts'
import * as age from './age.ts'
import { ageBits, lifetimeTicks } from './age.ts'
import { baseBytes, Core, createMemory } from './core.ts'
import { peerStoreError } from './errors.ts'
import * as layout from './layout.ts'
import { isLockLost, LOCKED, Memory } from './memory.ts'
import { recover } from './recovery.ts'
import { loadSnapshot, saveSnapshot } from './snapshot.ts'
import type { SwarmCursor, SwarmList } from './swarm-list.ts'
import { SwarmLister } from './swarm-lister.ts'
import type { SwarmPeers } from './swarm-peers.ts'
import type { SwarmTable } from './swarm-table.ts'
import { Sweeper } from './sweeper.ts'
import {
  type AddressFamily,
  COMPACT_BYTES,
  type PeerStoreHandle,
  type PeerStoreStats,
  type SharedPeerStore,
  type SwarmCounts,
} from './types.ts'
import { verifyCore } from './verify.ts'

const { readU32BE } = base
const { MAX_LIFETIME_MS, NO_AGE, SEEDER_BIT, SWEEP_TICKS, TICK_MS } = age
const {
  H_AGE,
  H_HANDLES,
  H_MAGIC,
  H_STOPPED,
  H_TICK,
  H_VERSION,
  LAYOUT_VERSION,
  MAGIC,
  MAX_MEMORY_BYTES,
  R_META4,
  R_PEERS4,
  R_PEERS6,
  S_EVICTED,
  S_EXPIRED,
  S_LEECHERS4,
  S_LEECHERS6,
  S_REFUSED,
  S_SEEDERS4,
  S_SEEDERS6,
  S_SWARMS,
} = layout

const MIB = 2 ** 20
const DEFAULT_SHARD_COUNT_BITS = 10
export const MAX_SHARD_COUNT_BITS = 16
const MINIMUM_MEMORY_BYTES: number = 4 * MIB
/** The default is not taken below this. */
const MINIMUM_DEFAULT_BYTES: number = 64 * MIB
const INFO_HASH_BYTES = 20
/** Info-hashes that `prefetch` keeps in flight at a time. */
const PREFETCH = 128

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
  /**
   * Bound on `bytesReserved`, at least 4 MiB. Default: half of the machine's memory (less, where the system refuses to
   * reserve that), at most 8 GiB less 64 MiB, which is also the maximum. So many addresses are reserved at once, and memory
   * is taken as it is used.
   */
  readonly maxMemoryBytes?: number
}

export interface OpenPeerStoreOptions {
  /** Draws the peers. Default: the system's. */
  readonly random?: Random
}

/** Throws PEER_STORE_INVALID_OPTION, PEER_STORE_LIFETIME_TOO_LONG or PEER_STORE_NO_MEMORY. */
export function createPeerStore(options: PeerStoreOptions): SharedPeerStore {
  const bits = options.shardCountBits ?? DEFAULT_SHARD_COUNT_BITS
  if (!Number.isInteger(bits) || bits < 0 || bits > MAX_SHARD_COUNT_BITS) {
    throw peerStoreError(
      'PEER_STORE_INVALID_OPTION',
      `shardCountBits is ${bits}: it must be a whole number from 0 to ${MAX_SHARD_COUNT_BITS}`,
    )
  }
  const least = Math.max(MINIMUM_MEMORY_BYTES, Math.ceil(baseBytes(bits) / MIB + 1) * MIB)
  const memory =
    options.maxMemoryBytes ?? Math.max(least, Math.min(MAX_MEMORY_BYTES, defaultMemoryBytes()))
  if (!(memory >= least && memory <= MAX_MEMORY_BYTES)) {
    throw peerStoreError(
      'PEER_STORE_INVALID_OPTION',
      `maxMemoryBytes is ${memory}: with 2^${bits} shards it must be ${least} to ${MAX_MEMORY_BYTES} (8 GiB less 64 MiB)`,
    )
  }
  const lifetime = lifetimeTicks(options.peerLifetimeMs ?? MAX_LIFETIME_MS)
  const random = options.random ?? systemRandom()
  const floor =
    options.maxMemoryBytes === undefined ? Math.max(least, MINIMUM_DEFAULT_BYTES) : memory
  const core = new Core(reserve(memory, floor, bits, random), random)
  for (let number = 0; number < core.shardCount; number++) core.table.create(core.shard(number))
  return new SharedMemoryStore(core, new Timekeeper(core, options.clock, lifetime))
}

/** Another thread's view of a store. Throws PEER_STORE_FOREIGN_HANDLE. */
export function openPeerStore(
  handle: PeerStoreHandle,
  options: OpenPeerStoreOptions = {},
): SharedPeerStore {
  const isBuffer = handle?.buffer instanceof SharedArrayBuffer && handle.buffer.byteLength >= MIB
  const memory = isBuffer ? new Memory(handle.buffer, true, handle.owner) : undefined
  if (memory?.words[H_MAGIC] !== MAGIC || memory.words[H_VERSION] !== LAYOUT_VERSION) {
    throw peerStoreError(
      'PEER_STORE_FOREIGN_HANDLE',
      'the handle is not of a peer store, or not of this version',
    )
  }
  return new SharedMemoryStore(new Core(memory, options.random ?? systemRandom()), undefined)
}

function defaultMemoryBytes(): number {
  return Math.max(MINIMUM_DEFAULT_BYTES, Math.floor(totalmem() / 2 / MIB) * MIB)
}

/** Reserves `bytes`, or half as much and so on down to `least` where the system refuses. */
function reserve(bytes: number, least: number, bits: number, random: Random): Memory {
  try {
    return createMemory(bytes, bits, random)
  } catch (cause) {
    if (bytes > least) return reserve(Math.max(least, Math.floor(bytes / 2)), least, bits, random)
    throw peerStoreError(
      'PEER_STORE_NO_MEMORY',
      `the system refuses to reserve ${bytes} bytes of addresses for the peer store`,
      { mend: 'Lower max_memory, or allow the process more address space.', cause },
    )
  }
}

/** Keeps the shared time, and sweeps when nobody else did for too long. Only the thread that made a store has one. */
class Timekeeper {
  readonly clock: Clock
  readonly sweeper: Sweeper
  readonly #core: Core
  readonly #baseMs: number
  readonly #lifetimeTicks: number
  #sweptTick = 0
  #cancel: () => void

  constructor(core: Core, clock: Clock, lifetime: number) {
    this.#core = core
    this.clock = clock
    this.#baseMs = clock.monotonicMs()
    this.#lifetimeTicks = lifetime
    this.sweeper = new Sweeper(core)
    const tick = (): void => {
      this.#cancel = clock.after(this.#untilNextMs(), tick, true)
      try {
        this.advance()
      } catch (error) {
        // The sweep is tried again at the next tick; until then the time stands still.
        if (!isLockLost(error)) throw error
      }
    }
    this.#cancel = clock.after(TICK_MS, tick, true)
  }

  /** Reads the clock. A sweep that is overdue runs first, as of the moment when it was due. */
  advance(): void {
    const now = Math.floor((this.clock.monotonicMs() - this.#baseMs) / TICK_MS)
    while (now - this.#sweptTick > SWEEP_TICKS) {
      if (this.#core.sum(S_SWARMS) === 0) {
        this.#sweptTick = now
        this.sweeper.restart()
      } else {
        this.#set(this.#sweptTick + SWEEP_TICKS)
        this.sweeper.restart()
        this.step(this.#lifetimeTicks, Number.POSITIVE_INFINITY)
      }
    }
    this.#set(now)
  }

  step(lifetime: number, swarms: number): boolean {
    const ended = this.sweeper.step(lifetime, swarms)
    if (ended) this.#sweptTick = this.sweeper.passTick
    return ended
  }

  stop(): void {
    this.#cancel()
  }

  #set(tick: number): void {
    const { words } = this.#core
    if (words[H_TICK] === tick) return
    words[H_TICK] = tick
    words[H_AGE] = ageBits(tick)
  }

  #untilNextMs(): number {
    return TICK_MS - ((this.clock.monotonicMs() - this.#baseMs) % TICK_MS)
  }
}

class SharedMemoryStore implements SharedPeerStore {
  readonly #core: Core
  readonly #words: Int32Array
  readonly #memory: Memory
  readonly #table: SwarmTable
  readonly #peers4: SwarmPeers
  readonly #peers6: SwarmPeers
  readonly #time: Timekeeper | undefined
  readonly #sweeper: Sweeper
  readonly #lister: SwarmLister
  readonly #places = new Int32Array(PREFETCH)
  /** Over the buffer of the last target. */
  #view: DataView = new DataView(new ArrayBuffer(0))
  /** Owners of locks to recover. */
  readonly #dead = new Set<number>()
  #closed = false
  /** Keeps the loads of `prefetch` alive. */
  #sink = 0

  constructor(core: Core, time: Timekeeper | undefined) {
    this.#core = core
    this.#words = core.words
    this.#memory = core.memory
    this.#table = core.table
    this.#peers4 = core.peers4
    this.#peers6 = core.peers6
    this.#time = time
    this.#sweeper = time?.sweeper ?? new Sweeper(core)
    this.#lister = new SwarmLister(core)
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
    const peers = this.#enter(infoHash, address, port)
    const size = COMPACT_BYTES[peers.endpoint.family]
    let most = wanted
    if (most * size > target.length - offset) most = Math.floor((target.length - offset) / size)
    if (!(most > 0)) return 0
    const { buffer } = target
    if (this.#view.buffer !== buffer) this.#view = new DataView(buffer)
    const at = target.byteOffset + offset
    const memory = this.#memory
    if (!memory.shared) return this.#draw(peers, seeder, most, at, size)
    const { shard } = this.#table
    const version = memory.version(shard)
    if (version !== LOCKED) {
      const drawn = this.#draw(peers, seeder, most, at, size)
      if (memory.isUnchanged(shard, version)) return drawn
    }
    memory.lock(shard)
    const drawn = this.#draw(peers, seeder, most, at, size)
    memory.unlock(shard)
    return drawn
  }

  scrapeSwarm(infoHash: Uint8Array, family: AddressFamily, counts: SwarmCounts): void {
    this.#enterInfoHash(infoHash)
    const memory = this.#memory
    const peers = family === 4 ? this.#peers4 : this.#peers6
    if (!memory.shared) {
      this.#readCounts(peers, counts)
      return
    }
    const { shard } = this.#table
    const version = memory.version(shard)
    if (version !== LOCKED) {
      this.#readCounts(peers, counts)
      if (memory.isUnchanged(shard, version)) return
    }
    memory.lock(shard)
    this.#readCounts(peers, counts)
    memory.unlock(shard)
  }

  listPeers(infoHash: Uint8Array, family: AddressFamily, seeders: boolean): Uint8Array {
    this.#enterInfoHash(infoHash)
    const core = this.#core
    const { table, sampler } = core
    const peers = family === 4 ? this.#peers4 : this.#peers6
    const size = COMPACT_BYTES[family]
    core.lock(table.shard)
    const record = table.find()
    let total = 0
    if (record !== 0) {
      peers.open(record)
      total = peers.all(seeders, sampler)
    }
    const list = new Uint8Array(total * size)
    this.#view = new DataView(list.buffer)
    this.#write(peers, total, 0, size)
    core.unlock(table.shard)
    return list
  }

  listSwarms(cursor: SwarmCursor, list: SwarmList): boolean {
    this.#mustRun()
    return this.#lister.fill(cursor, list)
  }

  prefetch(infoHashes: Uint8Array, offset: number, stride: number, count: number): void {
    this.#mustRun()
    this.#time?.advance()
    for (let from = 0; from < count; from += PREFETCH) {
      this.#touch(infoHashes, offset + from * stride, stride, Math.min(PREFETCH, count - from))
    }
  }

  collectGarbage(maximumAgeMs: number): number {
    const ticks = lifetimeTicks(maximumAgeMs)
    this.#mustRun()
    this.#time?.advance()
    this.#sweeper.restart()
    this.#step(ticks, Number.POSITIVE_INFINITY)
    return this.#sweeper.dropped
  }

  collectGarbageStep(maximumAgeMs: number, maximumSwarms: number): boolean {
    const ticks = lifetimeTicks(maximumAgeMs)
    this.#mustRun()
    this.#time?.advance()
    return this.#step(ticks, maximumSwarms)
  }

  numSwarms(): number {
    this.#mustRun()
    return this.#core.sum(S_SWARMS)
  }

  numTotalPeers(family: AddressFamily): number {
    this.#mustRun()
    const core = this.#core
    return family === 4
      ? core.sum(S_SEEDERS4) + core.sum(S_LEECHERS4)
      : core.sum(S_SEEDERS6) + core.sum(S_LEECHERS6)
  }

  stats(): PeerStoreStats {
    this.#mustRun()
    const core = this.#core
    return {
      swarms: core.sum(S_SWARMS),
      seeders4: core.sum(S_SEEDERS4),
      leechers4: core.sum(S_LEECHERS4),
      seeders6: core.sum(S_SEEDERS6),
      leechers6: core.sum(S_LEECHERS6),
      bytesUsed: core.arena.bytesUsed + core.fixedBytes,
      bytesReserved: core.arena.bytesReserved + core.fixedBytes,
      refused: core.sum(S_REFUSED),
      expired: core.sum(S_EXPIRED),
      evicted: core.sum(S_EVICTED),
    }
  }

  handle(): PeerStoreHandle {
    this.#mustRun()
    const memory = this.#memory
    memory.shared = true
    const owner = Atomics.add(memory.words, H_HANDLES, 1) + 1
    return { buffer: memory.buffer, layoutVersion: LAYOUT_VERSION, owner }
  }

  recover(handle: PeerStoreHandle): number {
    this.#mustRun()
    this.#dead.add(handle.owner)
    const emptied = recover(this.#core, this.#dead)
    this.#dead.clear()
    return emptied
  }

  async save(path: string): Promise<number> {
    this.#mustRun()
    this.#time?.advance()
    return saveSnapshot(this.#core, path, this.#wallMs())
  }

  async load(path: string): Promise<number> {
    this.#mustRun()
    this.#time?.advance()
    return loadSnapshot(this.#core, path, this.#wallMs())
  }

  verify(): string[] {
    this.#mustRun()
    return verifyCore(this.#core)
  }

  stop(): void {
    this.#mustRun()
    this.#closed = true
    if (this.#time === undefined) return
    this.#words[H_STOPPED] = 1
    this.#time.stop()
  }

  #wallMs(): number {
    return (this.#time?.clock ?? systemClock).wallMs()
  }

  #mustRun(): void {
    if (this.#closed || this.#words[H_STOPPED] !== 0) throw stopped()
  }

  /** Takes in the info-hash, and the endpoint for the window of its family. */
  #enter(infoHash: Uint8Array, address: Uint8Array, port: number): SwarmPeers {
    this.#enterInfoHash(infoHash)
    const { length } = address
    if (length === 4 || (length === 16 && isMapped(address))) {
      const peers = this.#peers4
      peers.endpoint.a = readU32BE(address, length - 4) | 0
      peers.endpoint.port = port & 0xffff
      return peers
    }
    if (length !== 16) throw invalidAddress(length)
    const peers = this.#peers6
    const { endpoint } = peers
    endpoint.a = readU32BE(address, 0) | 0
    endpoint.b = readU32BE(address, 4) | 0
    endpoint.c = readU32BE(address, 8) | 0
    endpoint.d = readU32BE(address, 12) | 0
    endpoint.port = port & 0xffff
    return peers
  }

  #enterInfoHash(infoHash: Uint8Array): void {
    this.#mustRun()
    if (infoHash.length !== INFO_HASH_BYTES) throw invalidInfoHash(infoHash.length)
    this.#table.enter(infoHash, 0)
  }

  #put(
    infoHash: Uint8Array,
    address: Uint8Array,
    port: number,
    seeder: boolean,
    graduates: boolean,
  ): void {
    const peers = this.#enter(infoHash, address, port)
    const core = this.#core
    const { shard } = core.table
    this.#memory.lock(shard)
    // Within the lock: a sweep must not meet a put that is younger than its own time.
    const meta = this.#words[H_AGE]! | (seeder ? SEEDER_BIT : 0)
    if (!this.#putLocked(peers, shard, meta, seeder, graduates)) core.add(shard, S_REFUSED, 1)
    this.#memory.unlock(shard)
  }

  /** False: refused. */
  #putLocked(
    peers: SwarmPeers,
    shard: number,
    meta: number,
    seeder: boolean,
    graduates: boolean,
  ): boolean {
    const core = this.#core
    const record = core.findOrInsert()
    if (record === 0) return false
    peers.open(record)
    if (peers.find(seeder)) {
      const wasSeeder = peers.foundSeeder
      if (!peers.put(meta)) return false
      if (wasSeeder === seeder) return true
      core.count(shard, peers, seeder ? 1 : -1, seeder ? -1 : 1)
      if (graduates) peers.addCompleted(1)
      return true
    }
    if (!peers.add(meta)) {
      core.dropIfEmpty(record)
      return false
    }
    core.count(shard, peers, seeder ? 1 : 0, seeder ? 0 : 1)
    if (graduates) peers.addCompleted(1)
    return true
  }

  #delete(infoHash: Uint8Array, address: Uint8Array, port: number, seeder: boolean): boolean {
    const peers = this.#enter(infoHash, address, port)
    const memory = this.#memory
    if (!memory.shared) return this.#deleteLocked(peers, seeder)
    const { shard } = this.#table
    const version = memory.version(shard)
    if (version !== LOCKED && this.#table.find() === 0 && memory.isUnchanged(shard, version)) {
      return false
    }
    memory.lock(shard)
    const deleted = this.#deleteLocked(peers, seeder)
    memory.unlock(shard)
    return deleted
  }

  #deleteLocked(peers: SwarmPeers, seeder: boolean): boolean {
    const core = this.#core
    const record = core.table.find()
    if (record === 0) return false
    peers.open(record)
    if (!peers.find(seeder) || peers.foundSeeder !== seeder) return false
    peers.remove()
    core.count(core.table.shard, peers, seeder ? -1 : 0, seeder ? 0 : -1)
    if (peers.count === 0) core.dropIfEmpty(record)
    return true
  }

  #readCounts(peers: SwarmPeers, counts: SwarmCounts): void {
    const record = this.#table.find()
    if (record !== 0) {
      peers.readCounts(record, counts)
      return
    }
    counts.seeders = 0
    counts.leechers = 0
    counts.completed = 0
  }

  #draw(peers: SwarmPeers, seeder: boolean, wanted: number, at: number, size: number): number {
    const { table, sampler } = this.#core
    const record = table.find()
    if (record === 0) return 0
    peers.open(record)
    let drawn = 0
    if (!seeder) {
      drawn = peers.sample(true, wanted, sampler)
      this.#write(peers, drawn, at, size)
    }
    if (drawn >= wanted) return drawn
    const leechers = peers.sample(false, wanted - drawn, sampler)
    this.#write(peers, leechers, at + drawn * size, size)
    return drawn + leechers
  }

  /** Writes the peers whose addresses are the first of `chosen`, compact. */
  #write(peers: SwarmPeers, count: number, start: number, size: number): void {
    const words = this.#words
    const view = this.#view
    const { chosen } = this.#core.sampler
    let to = start
    if (peers === this.#peers4) {
      // Two peers are three words.
      const pairs = count & ~1
      for (let i = 0; i < pairs; i = (i + 2) | 0, to = (to + 12) | 0) {
        const one = chosen[i]!
        const other = chosen[(i + 1) | 0]!
        const address = words[other]!
        view.setInt32(to, words[one]!)
        view.setInt32((to + 4) | 0, (words[(one + 1) | 0]! & 0xffff0000) | (address >>> 16))
        view.setInt32((to + 8) | 0, (address << 16) | (words[(other + 1) | 0]! >>> 16))
      }
      if (pairs === count) return
      const at = chosen[pairs]!
      view.setInt32(to, words[at]!)
      view.setUint16(to + 4, words[at + 1]! >>> 16)
      return
    }
    for (let i = 0; i < count; i++, to += size) {
      const at = chosen[i]!
      view.setInt32(to, words[at]!)
      view.setInt32(to + 4, words[at + 1]!)
      view.setInt32(to + 8, words[at + 2]!)
      view.setInt32(to + 12, words[at + 3]!)
      view.setUint16(to + 16, words[at + 4]! >>> 16)
    }
  }

  #touch(infoHashes: Uint8Array, offset: number, stride: number, count: number): void {
    const words = this.#words
    const places = this.#places
    const { table } = this.#core
    let sink = 0
    // Each phase runs over all before the next, and the loops that miss the cache do nothing else: the processor looks
    // a few hundred instructions ahead, and one hash would fill that.
    for (let i = 0; i < count; i++) {
      table.enter(infoHashes, offset + i * stride)
      places[i] = table.touch()
    }
    for (let i = 0; i < count; i++) sink ^= words[places[i]!]!
    for (let i = 0; i < count; i++) {
      const place = places[i]!
      const isInline = (words[place + R_META4]! & 0xffff) !== NO_AGE
      // Negative for a count of completed downloads (swarm-peers.ts).
      places[i] = Math.max(0, words[place + (isInline ? R_PEERS6 : R_PEERS4)]!)
    }
    for (let i = 0; i < count; i++) sink ^= words[places[i]!]!
    this.#sink ^= sink
  }

  #step(ticks: number, swarms: number): boolean {
    return this.#time === undefined
      ? this.#sweeper.step(ticks, swarms)
      : this.#time.step(ticks, swarms)
  }
}

// Errors are made outside of what the compiler inlines.

function stopped(): Error {
  return peerStoreError('PEER_STORE_STOPPED', 'the peer store was stopped')
}

function invalidInfoHash(length: number): Error {
  return peerStoreError(
    'PEER_STORE_INVALID_INFO_HASH',
    `an info-hash of ${length} bytes: it has ${INFO_HASH_BYTES}`,
  )
}

function invalidAddress(length: number): Error {
  return peerStoreError(
    'PEER_STORE_INVALID_ADDRESS',
    `an address of ${length} bytes: IPv4 has 4, IPv6 has 16`,
  )
}

/** ::ffff:0:0/96 (RFC 4291, section 2.5.5.2). */
function isMapped(address: Uint8Array): boolean {
  if (address[10] !== 0xff || address[11] !== 0xff) return false
  for (let i = 0; i < 10; i++) if (address[i] !== 0) return false
  return true
}
