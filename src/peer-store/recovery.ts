/**
 * What is done when a thread died inside a call, and left a lock held: nobody can say how far it came.
 *
 *     everybody out   a thread that holds a shard and waits for the allocator is refused, and leaves
 *     drop            a shard that the dead thread held is emptied: its peers announce themselves again
 *     rebuild         the books of the allocator, from what the other shards reach (block-census.ts)
 *
 * It stops the store for as long as reading all of it takes, a second for some millions of swarms: for what should
 * never be, the simplest way that is right.
 *
 * Invariants: a thread holds one shard's lock at most; what a thread changes lies in the shard that it holds, or in the
 * allocator's books under their own lock. So all other shards are whole.
 */
import { visitBlocks } from './block-census.ts'
import type { Core } from './core.ts'
import {
  H_ALLOCATOR_LOCK,
  H_LOST_LOCK,
  H_RECOVERING,
  LOCK_OWNER,
  S_LEECHERS6,
  S_SWARMS,
} from './layout.ts'

/**
 * Takes back what dead threads held, that opened the handles of the numbers `dead`. Returns how many shards were emptied. Throws
 * PEER_STORE_LOCK_LOST, and has done nothing, when another thread is dead too: its number is still missing.
 */
export function recover(core: Core, dead: ReadonlySet<number>): number {
  const { words, memory, arena, table } = core
  const isHeld = (at: number): boolean =>
    (Atomics.load(words, at) & 1) !== 0 && dead.has(words[at + LOCK_OWNER]!)
  const shards = Array.from({ length: core.shardCount }, (_, number) => core.shard(number))
  const dropped = new Set(shards.filter(isHeld))
  if (dropped.size === 0 && !isHeld(H_ALLOCATOR_LOCK)) return 0
  Atomics.store(words, H_RECOVERING, 1)
  const taken: number[] = []
  try {
    for (const at of [...shards, H_ALLOCATOR_LOCK]) {
      if (isHeld(at)) continue
      memory.lockToRecover(at)
      taken.push(at)
    }
  } catch (error) {
    for (const at of taken) memory.unlock(at)
    Atomics.store(words, H_RECOVERING, 0)
    throw error
  }
  arena.beginRebuild()
  for (const shard of shards) {
    if (!dropped.has(shard)) visitBlocks(core, shard, (at, size) => arena.rebuildBlock(at, size))
  }
  arena.endRebuild()
  memory.unlock(H_ALLOCATOR_LOCK)
  for (const shard of dropped) {
    words.fill(0, shard + S_SWARMS, shard + S_LEECHERS6 + 1)
    // At the limit of memory there is a span kept back for this.
    if (!table.create(shard) && arena.takeReserve()) table.create(shard)
  }
  for (const shard of shards) memory.unlock(shard)
  words[H_LOST_LOCK] = 0
  Atomics.store(words, H_RECOVERING, 0)
  return dropped.size
}
