/**
 * Looks at every word of a store and says what is wrong: for tests, and for who doubts.
 *
 * Checked: every record is found by its info-hash; counters of shards and swarms equal contents; every peer is found by
 * its address, once, in its role, and lies in a span in use; no block is lost or handed out twice. Nobody may work on the store meanwhile.
 */
import { visitBlocks } from './block-census.ts'
import type { Core } from './core.ts'
import {
  H_FIRST_SPAN,
  H_FRONTIER,
  S_LEECHERS4,
  S_LEECHERS6,
  S_SEEDERS4,
  S_SEEDERS6,
  S_SWARMS,
  S_VERSION,
  SPAN_SHIFT,
} from './layout.ts'
import type { SwarmPeers } from './swarm-peers.ts'

const WHOLE = 2 ** 32
/** Enough to see what is wrong. */
const MOST_FAULTS = 20

/** What is wrong, as sentences; empty when nothing is. */
export function verifyCore(core: Core): string[] {
  const faults: string[] = []
  const { words, table, peers4, peers6 } = core
  const fault = (what: string): void => {
    if (faults.length < MOST_FAULTS) faults.push(what)
  }
  const firstWord = words[H_FIRST_SPAN]! << SPAN_SHIFT
  const endWord = words[H_FRONTIER]! << SPAN_SHIFT
  for (let number = 0; number < core.shardCount; number++) {
    const shard = core.shard(number)
    const counted = { swarms: 0, seeders4: 0, leechers4: 0, seeders6: 0, leechers6: 0 }
    if ((words[shard + S_VERSION]! & 1) !== 0) fault(`shard ${number} is locked`)
    for (let position = 0; position < WHOLE; position = table.after(shard, position)) {
      const entry = table.segmentOf(shard, position)
      for (let slot = 0; slot < table.capacityOf(entry); slot++) {
        const record = table.recordOf(entry, slot)
        if (table.isFree(record)) continue
        counted.swarms++
        table.enterRecord(record)
        if (table.shard !== shard) fault(`record ${record} is in the wrong shard`)
        if (table.find() !== record) fault(`record ${record} is not found`)
        const four = verifyWindow(core, peers4, record, firstWord, endWord, fault)
        const six = verifyWindow(core, peers6, record, firstWord, endWord, fault)
        counted.seeders4 += four.seeders
        counted.leechers4 += four.leechers
        counted.seeders6 += six.seeders
        counted.leechers6 += six.leechers
        if (four.seeders + four.leechers + six.seeders + six.leechers === 0) {
          fault(`record ${record} has no peer`)
        }
      }
    }
    const said = {
      swarms: words[shard + S_SWARMS],
      seeders4: words[shard + S_SEEDERS4],
      leechers4: words[shard + S_LEECHERS4],
      seeders6: words[shard + S_SEEDERS6],
      leechers6: words[shard + S_LEECHERS6],
    }
    for (const [name, value] of Object.entries(counted)) {
      const counter = said[name as keyof typeof said]
      if (counter !== value) fault(`shard ${number}: ${name} is ${counter}, contents ${value}`)
    }
  }
  verifyBlocks(core, firstWord, endWord, fault)
  return faults
}

/** Live blocks and free ones do not overlap, and the allocator counts exactly the live ones: none is lost. */
function verifyBlocks(
  core: Core,
  firstWord: number,
  endWord: number,
  fault: (what: string) => void,
): void {
  const taken = new Uint8Array(endWord - firstWord)
  const take = (address: number, size: number, what: string): void => {
    const from = address - firstWord
    if (address < firstWord || address + size > endWord) {
      fault(`a ${what} block at ${address} is outside the spans in use`)
    } else if (taken.subarray(from, from + size).includes(1)) {
      fault(`a ${what} block at ${address} overlaps another`)
    }
    taken.fill(1, from, from + size)
  }
  let used = 0
  for (let number = 0; number < core.shardCount; number++) {
    visitBlocks(core, core.shard(number), (address, asked) => {
      const size = core.arena.sizeOf(asked)
      used += size
      take(address, size, 'live')
    })
  }
  core.arena.visitFree((address, size) => take(address, size, 'free'))
  const { bytesUsed } = core.arena
  if (bytesUsed !== used * 4) fault(`${bytesUsed} bytes are allocated, ${used * 4} are reached`)
}

function verifyWindow(
  core: Core,
  peers: SwarmPeers,
  record: number,
  firstWord: number,
  endWord: number,
  fault: (what: string) => void,
): { seeders: number; leechers: number } {
  peers.open(record)
  const { endpoint } = peers
  const { words, sampler } = core
  const found = { seeders: peers.seeders, leechers: peers.count - peers.seeders }
  const seen = new Set<string>()
  for (const seeder of [true, false]) {
    const expected = seeder ? found.seeders : found.leechers
    const count = peers.all(seeder, sampler)
    if (count !== expected) fault(`record ${record}: ${count} of a role, ${expected} counted`)
    const addresses = sampler.chosen.slice(0, count)
    for (const at of addresses) {
      if (at < firstWord || at >= endWord) fault(`a peer at ${at} is outside the spans in use`)
      const name =
        words.subarray(at, at + endpoint.addressWords).join() +
        (words[at + endpoint.addressWords]! >>> 16)
      if (seen.has(name)) fault(`record ${record} has ${name} twice`)
      seen.add(name)
      endpoint.a = words[at]!
      if (endpoint.family === 6) {
        endpoint.b = words[at + 1]!
        endpoint.c = words[at + 2]!
        endpoint.d = words[at + 3]!
      }
      endpoint.port = words[at + endpoint.addressWords]! >>> 16
      if (!peers.find(seeder) || peers.foundSeeder !== seeder) fault(`peer ${name} is not found`)
      if ((endpoint.metaAt(at) & 0x8000) !== (seeder ? 0x8000 : 0))
        fault(`${name} has the wrong role`)
    }
  }
  return found
}
