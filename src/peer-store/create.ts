/** How a store is made, and opened in other threads. */
import { totalmem } from 'node:os'
import { type Clock, type Random, systemRandom } from '../base/index.ts'
import { lifetimeTicks, MAX_LIFETIME_MS } from './age.ts'
import { baseBytes, Core, createMemory } from './core.ts'
import { peerStoreError } from './errors.ts'
import { H_MAGIC, H_VERSION, LAYOUT_VERSION, MAGIC, MAX_MEMORY_BYTES } from './layout.ts'
import { Memory } from './memory.ts'
import { SharedMemoryStore } from './store.ts'
import { Timekeeper } from './timekeeper.ts'
import type { PeerStoreHandle, SharedPeerStore } from './types.ts'

const MIB = 2 ** 20
const DEFAULT_SHARD_COUNT_BITS = 10
export const MAX_SHARD_COUNT_BITS = 16
const MINIMUM_MEMORY_BYTES: number = 4 * MIB
/** The default is not taken below this. */
const MINIMUM_DEFAULT_BYTES: number = 64 * MIB
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
   * Bound on `bytesReserved`, at least 4 MiB. Default: half of the memory of the machine, or of the container that limits it
   * (less, where the system refuses to reserve that), at most 8 GiB less 64 MiB, which is also the maximum. So many addresses are
   * reserved at once, and memory is taken as it is used.
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

/** Half of what the process may have: of the machine's memory, or of that of its container (0, or more than there is: no limit). */
export function defaultMemoryBytes(
  machineBytes: number = totalmem(),
  containerBytes: number = process.constrainedMemory() ?? 0,
): number {
  const isLimited = containerBytes > 0 && containerBytes < machineBytes
  const mostBytes = isLimited ? containerBytes : machineBytes
  return Math.max(MINIMUM_DEFAULT_BYTES, Math.floor(mostBytes / 2 / MIB) * MIB)
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
