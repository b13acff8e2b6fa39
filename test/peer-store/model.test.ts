/**
 * The store against the model under random commands: the same answers, the same counters, at every step.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ManualClock, seededRandom } from '../../src/base/index.ts'
import {
  COMPACT_BYTES,
  createPeerStore,
  MINIMUM_LIST_SWARMS,
  PeerAnnounce,
  type PeerStore,
  SwarmCursor,
  SwarmList,
} from '../../src/peer-store/index.ts'
import { MapStore } from './map-store.ts'

interface Command {
  readonly kind:
    | 'putSeeder'
    | 'putLeecher'
    | 'graduateLeecher'
    | 'deleteSeeder'
    | 'deleteLeecher'
    | 'announce'
    | 'announceAtOnce'
    | 'scrape'
    | 'list'
    | 'crowd'
    | 'leave'
    | 'advance'
    | 'collect'
    | 'collectStep'
  readonly swarm: number
  readonly family: 4 | 6
  readonly peer: number
  readonly amount: number
}

const command = (peers: number): fc.Arbitrary<Command> =>
  fc.record({
    kind: fc.constantFrom<Command['kind']>(
      'putSeeder',
      'putLeecher',
      'putLeecher',
      'graduateLeecher',
      'deleteSeeder',
      'deleteLeecher',
      'announce',
      'announceAtOnce',
      'announceAtOnce',
      'scrape',
      'list',
      'crowd',
      'leave',
      'advance',
      'collect',
      'collectStep',
    ),
    swarm: fc.nat(2),
    family: fc.constantFrom(4 as const, 6 as const),
    peer: fc.nat(peers),
    amount: fc.nat(400),
  })

function hashOf(swarm: number): Uint8Array {
  return new Uint8Array(20).fill(swarm)
}

function addressOf(family: 4 | 6, peer: number): Uint8Array {
  const address = new Uint8Array(family === 4 ? 4 : 16).fill(0x21)
  address[address.length - 1] = peer
  address[address.length - 2] = peer >>> 8
  return address
}

function announced(store: PeerStore, c: Command, seeder: boolean, wanted: number): string[] {
  const size = COMPACT_BYTES[c.family]
  const target = new Uint8Array(wanted * size)
  const address = addressOf(c.family, c.peer)
  const count = store.announcePeers(hashOf(c.swarm), seeder, wanted, address, 7, target, 0)
  return peersIn(target, 0, count, size)
}

function peersIn(target: Uint8Array, offset: number, count: number, size: number): string[] {
  return Array.from({ length: count }, (_, i) =>
    Buffer.from(target.subarray(offset + i * size, offset + (i + 1) * size)).toString('hex'),
  )
}

function run(store: PeerStore, clock: ManualClock, c: Command): unknown {
  const hash = hashOf(c.swarm)
  const address = addressOf(c.family, c.peer)
  switch (c.kind) {
    case 'putSeeder':
    case 'putLeecher':
    case 'graduateLeecher':
    case 'deleteSeeder':
    case 'deleteLeecher':
      return store[c.kind](hash, address, 7)
    case 'announce': {
      // What is drawn differs from store to store: the number and the whole set do not.
      const part = announced(store, c, c.amount % 2 === 0, c.amount % 60)
      const seeders = new Set(announced(store, c, false, 2000))
      for (const peer of announced(store, c, true, 2000)) seeders.delete(peer)
      assert.equal(new Set(part).size, part.length)
      return [part.length, part.filter((p) => seeders.has(p)).length, [...seeders].sort()]
    }
    case 'announceAtOnce': {
      const announce = new PeerAnnounce()
      announce.infoHash = hash
      announce.address = address
      announce.port = 7
      announce.graduates = c.amount % 5 === 0
      announce.seeder = announce.graduates || c.amount % 3 === 0
      announce.gives = c.amount % 2 === 0
      announce.wanted = c.amount % 60
      announce.target = new Uint8Array(40 * COMPACT_BYTES[c.family] + 5)
      announce.offset = c.amount % 7
      store.announce(announce)
      const seeders = new Set(announced(store, c, false, 2000))
      for (const peer of announced(store, c, true, 2000)) seeders.delete(peer)
      const { target, offset, drawn, counts } = announce
      const part = peersIn(target, offset, drawn, COMPACT_BYTES[c.family])
      assert.equal(new Set(part).size, part.length)
      return [part.length, part.filter((p) => seeders.has(p)).length, { ...counts }]
    }
    case 'scrape': {
      const counts = { seeders: 0, leechers: 0, completed: 0 }
      store.scrapeSwarm(hash, c.family, counts)
      return counts
    }
    case 'list': {
      const list = new SwarmList(MINIMUM_LIST_SWARMS)
      const cursor = new SwarmCursor()
      const swarms: string[] = []
      for (let ended = false; !ended; ) {
        ended = store.listSwarms(cursor, list)
        for (let i = 0; i < list.count; i++) {
          const name = Buffer.from(list.infoHashes.subarray(20 * i, 20 * i + 20)).toString('hex')
          const { seeders4, leechers4, completed4, seeders6, leechers6, completed6 } = list
          const columns = [seeders4, leechers4, completed4, seeders6, leechers6, completed6]
          swarms.push([name, ...columns.map((column) => column[i])].join())
        }
      }
      return swarms.sort()
    }
    case 'crowd':
      for (let n = 0; n < c.amount; n++) {
        const peer = addressOf(c.family, c.peer + n)
        if (n % 3 === 0) store.putSeeder(hash, peer, 7)
        else store.putLeecher(hash, peer, 7)
      }
      return undefined
    case 'leave': {
      const gone: boolean[] = []
      for (let n = 0; n < c.amount; n++) {
        const peer = addressOf(c.family, c.peer + n)
        gone.push(store.deleteSeeder(hash, peer, 7), store.deleteLeecher(hash, peer, 7))
      }
      return gone
    }
    case 'advance':
      return clock.advance(c.amount * 1000)
    case 'collect':
      return store.collectGarbage(c.amount * 2000)
    case 'collectStep':
      // Order is the store's own: only a whole pass can be compared.
      while (!store.collectGarbageStep(c.amount * 2000, 1));
      return undefined
  }
}

for (const peers of [12, 900]) {
  test(`the store does as the model does, among ${peers} peers`, () => {
    fc.assert(
      fc.property(
        fc.array(command(peers), { maxLength: 60, size: 'max' }),
        fc.nat(),
        (commands, seed) => {
          const clocks = [new ManualClock(), new ManualClock()] as const
          const store = createPeerStore({
            clock: clocks[0],
            random: seededRandom(seed),
            shardCountBits: 1,
            maxMemoryBytes: 32 * 2 ** 20,
          })
          // Every other store as if other threads had it open: other ways through the same calls.
          if (seed % 2 === 0) store.handle()
          const model = new MapStore(clocks[1], seededRandom(seed))
          for (const c of commands) {
            assert.deepEqual(run(store, clocks[0], c), run(model, clocks[1], c), c.kind)
            const { bytesUsed: _used, bytesReserved: _reserved, ...counted } = store.stats()
            const { bytesUsed: _u, bytesReserved: _r, ...expected } = model.stats()
            assert.deepEqual(counted, expected)
          }
          assert.deepEqual(store.verify(), [])
        },
      ),
      { numRuns: 150, seed: 20_261_121 },
    )
  })
}
