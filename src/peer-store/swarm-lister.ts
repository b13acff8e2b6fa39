/** Fills pages of a listing of all swarms (swarm-list.ts), in holds of one segment. */

import type { Core } from './core.ts'
import { R_PEERS4 } from './layout.ts'
import { SegmentWalk } from './segment-walk.ts'
import type { SwarmCursor, SwarmList } from './swarm-list.ts'
import type { SwarmCounts } from './types.ts'

/** Most holds of a call: the segments of a store of many shards may all be empty. */
const HOLDS = 1024
const KEY_BYTES = 20

export class SwarmLister {
  readonly #core: Core
  readonly #walk: SegmentWalk
  readonly #counts: SwarmCounts = { seeders: 0, leechers: 0, completed: 0 }

  constructor(core: Core) {
    this.#core = core
    this.#walk = new SegmentWalk(core)
  }

  /** As `listSwarms` of types.ts. */
  fill(cursor: SwarmCursor, list: SwarmList): boolean {
    const walk = this.#walk
    list.count = 0
    for (let holds = 0; holds < HOLDS; holds++) {
      if (!walk.begin(cursor)) {
        cursor.restart()
        return true
      }
      const fits = list.count + walk.count <= list.capacity
      if (fits) for (let i = 0; i < walk.count; i++) this.#add(walk.records[i]!, list)
      walk.end(cursor, fits)
      if (!fits) return false
    }
    return false
  }

  #add(record: number, list: SwarmList): void {
    const { words, peers4, peers6 } = this.#core
    const counts = this.#counts
    const at = list.count++
    const { infoHashes } = list
    for (let i = 0, to = at * KEY_BYTES; i < R_PEERS4; i++) {
      const word = words[record + i]!
      infoHashes[to++] = word >>> 24
      infoHashes[to++] = word >>> 16
      infoHashes[to++] = word >>> 8
      infoHashes[to++] = word
    }
    peers4.readCounts(record, counts)
    list.seeders4[at] = counts.seeders
    list.leechers4[at] = counts.leechers
    list.completed4[at] = counts.completed
    peers6.readCounts(record, counts)
    list.seeders6[at] = counts.seeders
    list.leechers6[at] = counts.leechers
    list.completed6[at] = counts.completed
  }
}
