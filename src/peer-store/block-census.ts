/**
 * Every block that a shard holds, by walking what is reachable from its line: who checks the allocator's books compares
 * them with this, and who has lost them makes them anew.
 */
import type { Core } from './core.ts'
import type { BlockVisitor } from './layout.ts'
import type { SwarmPeers } from './swarm-peers.ts'

const WHOLE = 2 ** 32

/** The shard is whole, and locked if others work. */
export function visitBlocks(core: Core, shard: number, visit: BlockVisitor): void {
  const { table, peers4, peers6 } = core
  table.visitDirectory(shard, visit)
  for (let position = 0; position < WHOLE; position = table.after(shard, position)) {
    const entry = table.segmentOf(shard, position)
    table.visitSegment(entry, visit)
    for (let slot = 0; slot < table.capacityOf(entry); slot++) {
      const record = table.recordOf(entry, slot)
      if (table.isFree(record)) continue
      visitSwarm(peers4, record, visit)
      visitSwarm(peers6, record, visit)
    }
  }
}

function visitSwarm(peers: SwarmPeers, record: number, visit: BlockVisitor): void {
  peers.open(record)
  peers.visitBlocks(visit)
}
