/**
 * A walk over all swarms of a store, a segment a lock, for whoever reads everything: listings and snapshots.
 *
 *     cursor:  shard | position in the shard's hash space
 *     begin:   locks the shard, and leaves in `records` the swarms of the segment there, from the position on
 *     end:     unlocks, and moves the cursor behind the segment
 *
 * Between two holds segments may split and unite. The position then lies at the start of a segment, or inside one that
 * united: its first part was visited already, and is told apart by its hash.
 *
 * Invariants: a swarm that is there from the first hold to the last is visited exactly once; a hold is of one segment.
 * Allocates nothing.
 */

import type { Core } from './core.ts'
import { MAX_SEGMENT_RECORDS } from './layout.ts'
import type { SwarmCursor } from './swarm-list.ts'

const WHOLE = 2 ** 32

export class SegmentWalk {
  /** Addresses of the swarm records of this hold, the first `count`. */
  readonly records: Int32Array = new Int32Array(MAX_SEGMENT_RECORDS)
  count = 0
  readonly #core: Core

  constructor(core: Core) {
    this.#core = core
  }

  /** False, and nothing is locked: the walk is over. */
  begin(cursor: SwarmCursor): boolean {
    const core = this.#core
    const { table } = core
    if (cursor.shard >= core.shardCount) return false
    const shard = core.shard(cursor.shard)
    const { position } = cursor
    core.lock(shard)
    const entry = table.segmentOf(shard, position)
    const capacity = table.capacityOf(entry)
    const isWhole = table.startOf(shard, position) === position
    let count = 0
    for (let slot = 0; slot < capacity; slot++) {
      const record = table.recordOf(entry, slot)
      if (table.isFree(record)) continue
      if (isWhole || table.positionOf(record) >= position) this.records[count++] = record
    }
    this.count = count
    return true
  }

  /** `goesOn` false: the cursor stays, and the next hold begins at the same place. */
  end(cursor: SwarmCursor, goesOn: boolean): void {
    const core = this.#core
    const shard = core.shard(cursor.shard)
    const next = goesOn ? core.table.after(shard, cursor.position) : cursor.position
    core.unlock(shard)
    cursor.position = next < WHOLE ? next : 0
    if (next >= WHOLE) cursor.shard++
  }
}
