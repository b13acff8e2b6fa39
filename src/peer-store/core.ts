/**
 * One thread's view of a store: the parts that work on its shared words, wired together.
 *
 * Invariants: under a shard's lock nothing throws; a swarm exists if and only if it has a peer of either family; the counters
 * of a shard equal its contents.
 */

import type { Random } from '../base/index.ts'
import { Arena } from './arena.ts'
import { Endpoint } from './endpoint.ts'
import { drawHashKeys, KeyedHash } from './keyed-hash.ts'
import * as layout from './layout.ts'
import { Memory } from './memory.ts'
import { Sampler } from './sampler.ts'
import { SwarmPeers } from './swarm-peers.ts'
import { EMPTY_SEGMENT_BYTES, SwarmTable } from './swarm-table.ts'

const {
  DESCRIPTOR_WORDS,
  HEADER_WORDS,
  H_AGE,
  H_DESCRIPTORS,
  H_FIRST_SPAN,
  H_FRONTIER,
  H_HANDLES,
  H_RESERVE_SPANS,
  H_MAGIC,
  H_SHARDS,
  H_SHARD_BITS,
  H_TOTAL_SPANS,
  H_VERSION,
  LAYOUT_VERSION,
  MAGIC,
  SHARD_SHIFT,
  SHARD_WORDS,
  SPAN_BYTES,
  SPAN_SHIFT,
  S_SEEDERS4,
  S_SWARMS,
} = layout

/** Header, shard lines and the first segments of a store. */
export function baseBytes(shardBits: number): number {
  return HEADER_WORDS * 4 + (SHARD_WORDS * 4 + EMPTY_SEGMENT_BYTES) * 2 ** shardBits
}

/** The words of a new, empty store. `maxBytes` is room for it (see `baseBytes`). */
export function createMemory(maxBytes: number, shardBits: number, random: Random): Memory {
  const spans = Math.floor(maxBytes / SPAN_BYTES)
  const shards = HEADER_WORDS
  const descriptors = shards + (SHARD_WORDS << shardBits)
  // What is not data lies in whole spans too, which have descriptors: a few more than they need.
  const fixedWords = descriptors + (spans + MOST_FIXED_SPANS) * DESCRIPTOR_WORDS
  const fixed = (fixedWords + (1 << SPAN_SHIFT) - 1) >>> SPAN_SHIFT
  const memory = new Memory(new SharedArrayBuffer((fixed + spans) * SPAN_BYTES), false, FIRST_OWNER)
  const { words } = memory
  words[H_MAGIC] = MAGIC
  words[H_VERSION] = LAYOUT_VERSION
  words[H_SHARD_BITS] = shardBits
  words[H_SHARDS] = shards
  words[H_DESCRIPTORS] = descriptors
  words[H_FIRST_SPAN] = fixed
  words[H_FRONTIER] = fixed
  words[H_TOTAL_SPANS] =
    fixed + Math.max(0, spans - Math.ceil(baseOverhead(shardBits) / SPAN_BYTES))
  words[H_AGE] = 1
  words[H_HANDLES] = FIRST_OWNER
  words[H_RESERVE_SPANS] = 1
  drawHashKeys(words, random)
  return memory
}

/** Of the thread that made the store. */
const FIRST_OWNER = 1
/** Of the largest store: 4 MiB of shard lines, and a descriptor for each of half a million spans. */
const MOST_FIXED_SPANS = 2048

function baseOverhead(shardBits: number): number {
  return HEADER_WORDS * 4 + SHARD_WORDS * 4 * 2 ** shardBits
}

export class Core {
  readonly memory: Memory
  readonly words: Int32Array
  readonly arena: Arena
  readonly hash: KeyedHash
  readonly table: SwarmTable
  readonly sampler: Sampler
  readonly peers4: SwarmPeers
  readonly peers6: SwarmPeers
  readonly shardCount: number
  readonly #shards: number

  constructor(memory: Memory, random: Random) {
    const { words } = memory
    this.memory = memory
    this.words = words
    this.arena = new Arena(memory)
    this.hash = new KeyedHash(words)
    this.#shards = words[H_SHARDS]!
    const bits = words[H_SHARD_BITS]!
    this.shardCount = 1 << bits
    this.table = new SwarmTable(words, this.arena, this.hash, this.#shards, bits)
    this.sampler = new Sampler(random)
    this.peers4 = new SwarmPeers(words, this.arena, new Endpoint(4, words, this.hash))
    this.peers6 = new SwarmPeers(words, this.arena, new Endpoint(6, words, this.hash))
  }

  /** Header and shard lines; blocks are the arena's. */
  get fixedBytes(): number {
    return (HEADER_WORDS + this.shardCount * SHARD_WORDS) * 4
  }

  /** Address of the line of shard `number`. */
  shard(number: number): number {
    return this.#shards + (number << SHARD_SHIFT)
  }

  /** Throws PEER_STORE_LOCK_LOST. */
  lock(shard: number): void {
    this.memory.lock(shard)
  }

  unlock(shard: number): void {
    this.memory.unlock(shard)
  }

  /** Adds to a counter of a shard's line. */
  add(shard: number, counter: number, by: number): void {
    this.words[shard + counter] = (this.words[shard + counter]! + by) | 0
  }

  /** The sum of a counter over all shards; approximate while others work. */
  sum(counter: number): number {
    let sum = 0
    for (let number = 0; number < this.shardCount; number++) {
      sum += this.words[this.shard(number) + counter]!
    }
    return sum
  }

  /** Counts peers of a window's family in or out. */
  count(shard: number, peers: SwarmPeers, seeders: number, leechers: number): void {
    const at = S_SEEDERS4 + (peers === this.peers4 ? 0 : 2)
    if (seeders !== 0) this.add(shard, at, seeders)
    if (leechers !== 0) this.add(shard, at + 1, leechers)
  }

  /** The record of the info-hash at hand, made if it is missing; 0: no memory. */
  findOrInsert(): number {
    const found = this.table.find()
    if (found !== 0) return found
    const record = this.table.insert()
    if (record !== 0) this.add(this.table.shard, S_SWARMS, 1)
    return record
  }

  /** Drops the swarm of the info-hash at hand if it has no peer left. True: it is gone, and records moved. */
  dropIfEmpty(record: number): boolean {
    const { peers4, peers6 } = this
    peers4.open(record)
    if (peers4.count !== 0) return false
    peers6.open(record)
    if (peers6.count !== 0) return false
    peers4.release()
    peers6.release()
    this.table.remove(record)
    this.add(this.table.shard, S_SWARMS, -1)
    return true
  }
}
