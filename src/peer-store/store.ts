/**
 * The peer store in shared memory: optmem's job without an object for a peer or a swarm, for every thread.
 *
 *     info-hash --keyed hash--> shard --> segment --> record --> peers of each family
 *     (swarm-key.ts)            (layout.ts) (swarm-table.ts)     (swarm-shape.ts, swarm-peers.ts, peer-set.ts)
 *
 * This is one thread's view of it (create.ts makes them). One lock a shard. Scrapes, announces and deletions of what is not there read without a lock
 * and check after that nobody wrote meanwhile; if somebody did, they lock and read again.
 *
 * Invariants: those of core.ts; no peer is older than its age can say (age.ts).
 */
import * as base from '../base/index.ts'
import { systemClock } from '../base/index.ts'
import * as age from './age.ts'
import { lifetimeTicks } from './age.ts'
import type { Core } from './core.ts'
import { peerStoreError } from './errors.ts'
import * as layout from './layout.ts'
import { LOCKED, type Memory } from './memory.ts'
import { PeerWriter } from './peer-writer.ts'
import { Prefetcher } from './prefetcher.ts'
import { recover } from './recovery.ts'
import { loadSnapshot, saveSnapshot } from './snapshot.ts'
import type { SwarmCursor, SwarmList } from './swarm-list.ts'
import { SwarmLister } from './swarm-lister.ts'
import type { SwarmPeers } from './swarm-peers.ts'
import type { SwarmTable } from './swarm-table.ts'
import { Sweeper } from './sweeper.ts'
import type { Timekeeper } from './timekeeper.ts'
import {
  type AddressFamily,
  COMPACT_BYTES,
  type PeerAnnounce,
  type PeerStoreHandle,
  type PeerStoreStats,
  type SharedPeerStore,
  type SwarmCounts,
} from './types.ts'
import { verifyCore } from './verify.ts'

const { readI32BE } = base
const { SEEDER_BIT } = age
const {
  H_AGE,
  H_HANDLES,
  H_STOPPED,
  LAYOUT_VERSION,
  S_EVICTED,
  S_EXPIRED,
  S_LEECHERS4,
  S_LEECHERS6,
  S_REFUSED,
  S_SEEDERS4,
  S_SEEDERS6,
  S_SWARMS,
} = layout

const INFO_HASH_BYTES = 20
export class SharedMemoryStore implements SharedPeerStore {
  readonly #core: Core
  readonly #words: Int32Array
  readonly #memory: Memory
  readonly #table: SwarmTable
  readonly #peers4: SwarmPeers
  readonly #peers6: SwarmPeers
  readonly #time: Timekeeper | undefined
  readonly #sweeper: Sweeper
  readonly #lister: SwarmLister
  readonly #prefetcher: Prefetcher
  readonly #writer: PeerWriter
  /** Owners of locks to recover. */
  readonly #dead = new Set<number>()
  #closed = false

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
    this.#prefetcher = new Prefetcher(core)
    this.#writer = new PeerWriter(core)
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
    const most = mostOf(wanted, peers, target, offset)
    if (most === 0) return 0
    this.#writer.aim(target)
    const memory = this.#memory
    if (!memory.shared) return this.#draw(peers, seeder, most, offset)
    const { shard } = this.#table
    const version = memory.version(shard)
    if (version !== LOCKED) {
      const drawn = this.#draw(peers, seeder, most, offset)
      if (memory.isUnchanged(shard, version)) return drawn
    }
    memory.lock(shard)
    const drawn = this.#draw(peers, seeder, most, offset)
    memory.unlock(shard)
    return drawn
  }

  announce(announce: PeerAnnounce): void {
    const { seeder, target, offset, counts } = announce
    const peers = this.#enter(announce.infoHash, announce.address, announce.port)
    const most = mostOf(announce.wanted, peers, target, offset)
    this.#writer.aim(target)
    const core = this.#core
    const { shard } = core.table
    this.#memory.lock(shard)
    const meta = this.#words[H_AGE]! | (seeder ? SEEDER_BIT : 0)
    const isPut = this.#putLocked(peers, shard, meta, seeder, announce.graduates)
    if (!isPut) core.add(shard, S_REFUSED, 1)
    // Where the peer was put the swarm is open; where it was refused there may be none.
    if (isPut || this.#open(peers)) {
      announce.drawn = most === 0 ? 0 : this.#drawOpen(peers, announce.gives, most, offset)
      counts.seeders = peers.seeders
      counts.leechers = peers.count - peers.seeders
      counts.completed = peers.completed
    } else {
      announce.drawn = 0
      counts.seeders = 0
      counts.leechers = 0
      counts.completed = 0
    }
    this.#memory.unlock(shard)
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
    this.#writer.aim(list)
    this.#writer.write(peers, total, 0)
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
    this.#prefetcher.touch(infoHashes, offset, stride, count)
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
      peers.endpoint.a = readI32BE(address, length - 4)
      peers.endpoint.port = port & 0xffff
      return peers
    }
    if (length !== 16) throw invalidAddress(length)
    const peers = this.#peers6
    const { endpoint } = peers
    endpoint.a = readI32BE(address, 0)
    endpoint.b = readI32BE(address, 4)
    endpoint.c = readI32BE(address, 8)
    endpoint.d = readI32BE(address, 12)
    endpoint.port = port & 0xffff
    return peers
  }

  #enterInfoHash(infoHash: Uint8Array): void {
    this.#mustRun()
    if (infoHash.length !== INFO_HASH_BYTES) throw invalidInfoHash(infoHash.length)
    this.#table.enter(infoHash)
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

  #draw(peers: SwarmPeers, seeder: boolean, wanted: number, offset: number): number {
    return this.#open(peers) ? this.#drawOpen(peers, seeder, wanted, offset) : 0
  }

  /** False: there is no such swarm. */
  #open(peers: SwarmPeers): boolean {
    const record = this.#table.find()
    if (record === 0) return false
    peers.open(record)
    return true
  }

  #drawOpen(peers: SwarmPeers, seeder: boolean, wanted: number, offset: number): number {
    const writer = this.#writer
    const { sampler } = this.#core
    let drawn = 0
    if (!seeder) {
      drawn = peers.sample(true, wanted, sampler)
      writer.write(peers, drawn, offset)
    }
    if (drawn >= wanted) return drawn
    const leechers = peers.sample(false, wanted - drawn, sampler)
    writer.write(peers, leechers, offset + drawn * COMPACT_BYTES[peers.endpoint.family])
    return drawn + leechers
  }

  #step(ticks: number, swarms: number): boolean {
    return this.#time === undefined
      ? this.#sweeper.step(ticks, swarms)
      : this.#time.step(ticks, swarms)
  }
}

/** How many of the peers that are wanted there is room for. */
function mostOf(wanted: number, peers: SwarmPeers, target: Uint8Array, offset: number): number {
  const size = COMPACT_BYTES[peers.endpoint.family]
  const room = target.length - offset
  const most = wanted * size > room ? Math.floor(room / size) : wanted
  return most > 0 ? most : 0
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
