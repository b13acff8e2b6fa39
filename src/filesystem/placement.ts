/**
 * Where a block of a torrent goes: in runs, whatever order the blocks are written in.
 *
 * ```
 * torrent   | 0 1 2 3 | 4 5 6 7 | 8 9 .. |      runs of RUN_BYTES (here four blocks)
 *                 |         |
 * device    ..| 4 5 6 7 | 0 1 2 3 |..            block 4 was written first, then 2, ...
 * ```
 *
 * The first block of a run to be written chooses the stretch for all of them; the others go to their
 * places in it as they come. So a torrent is read back in long stretches though several were
 * downloaded side by side, each in its own order.
 *
 * A stretch is not reserved: the allocator goes on behind it, and comes back only when it has been
 * around the whole device. A place that somebody else has by then is made up for by another stretch.
 */
import type { Allocator } from './allocator.ts'
import type { BlockMap } from './block-map.ts'

/** At 150 MB/s 0.45 s: a seek between two runs is a fortieth of it. */
export const RUN_BYTES: number = 64 * 1024 * 1024

/** Takes a place for `block`, which has none, and notes it in `map`; 0 when the volume is full. */
export function placeBlock(
  allocator: Allocator,
  map: BlockMap,
  block: number,
  runBlocks: number,
): number {
  const first = block - (block % runBlocks)
  const end = Math.min(first + runBlocks, map.blocks)
  let place = neighbourly(allocator, map, block, first, end)
  if (place === 0) {
    // Of a run that has lost its stretch only the rest needs another.
    let from = block
    while (from > first && map.get(from - 1) === 0) from--
    let to = block + 1
    while (to < end && map.get(to) === 0) to++
    const run = allocator.nextRun(to - from, to - from < runBlocks)
    if (run === undefined) return 0
    place = run.block + Math.min(block - from, run.blocks - 1)
  }
  allocator.take(place)
  map.set(block, place)
  return place
}

/** The free place that keeps the block in line with the nearest one of its run that has a place, or 0. */
function neighbourly(
  allocator: Allocator,
  map: BlockMap,
  block: number,
  first: number,
  end: number,
): number {
  for (let distance = 1; distance < end - first; distance++) {
    for (const other of [block - distance, block + distance]) {
      if (other < first || other >= end) continue
      const place = map.get(other)
      if (place === 0) continue
      const wanted = place + block - other
      const inside = wanted > 0 && wanted < allocator.totalBlocks
      return inside && allocator.isFree(wanted) ? wanted : 0
    }
  }
  return 0
}
