/** The parts of a DHT node: contacts, messages, the table, tokens, what was announced. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromLatin1, seededRandom, toHex, toLatin1 } from '../../../src/base/index.ts'
import { encode } from '../../../src/bencode/index.ts'
import { AnnouncedPeers } from '../../../src/engine/dht/announced.ts'
import {
  type Contact,
  compareDistance,
  parseContacts,
  sharedBits,
  writeContacts,
} from '../../../src/engine/dht/contact.ts'
import { encodeQuery, encodeResponse, parseKrpc } from '../../../src/engine/dht/krpc.ts'
import { K, RoutingTable } from '../../../src/engine/dht/routing-table.ts'
import { Tokens } from '../../../src/engine/dht/tokens.ts'

const MINUTE_MS = 60_000
const idOf = (...head: number[]): Uint8Array => {
  const id = new Uint8Array(20)
  id.set(head)
  return id
}
const id20 = fc.uint8Array({ minLength: 20, maxLength: 20 })

test('contacts are read as they were written, in both families', () => {
  const contact4 = { id: idOf(1), host: '10.1.2.3', port: 6881 }
  const contact6 = { id: idOf(2), host: '2001:db8::1', port: 1 }
  assert.deepEqual(parseContacts(writeContacts([contact4, contact6], 4), 4, 8), [contact4])
  assert.deepEqual(parseContacts(writeContacts([contact4, contact6], 6), 6, 8), [contact6])
  const many = writeContacts(Array<Contact>(9).fill(contact4), 4)
  assert.equal(parseContacts(many, 4, 5).length, 5)
  assert.equal(parseContacts(many.subarray(0, 25), 4, 5).length, 0)
})

test('who shares more bits with a target is closer to it', () => {
  fc.assert(
    fc.property(id20, id20, id20, (target, a, b) => {
      const [near, far] = [sharedBits(target, a), sharedBits(target, b)]
      if (near > far) assert.ok(compareDistance(target, a, b) < 0)
      assert.equal(
        Math.sign(compareDistance(target, a, b)) + Math.sign(compareDistance(target, b, a)),
        0,
      )
      assert.equal(sharedBits(a, a), 160)
    }),
  )
  assert.equal(sharedBits(idOf(0), idOf(0x80)), 0)
  assert.equal(sharedBits(idOf(0, 1), idOf(0, 0)), 15)
})

test('the examples of BEP 5 are understood', () => {
  const query = parseKrpc(
    fromLatin1(
      'd1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe',
    ),
  )
  assert.ok(query?.kind === 'query')
  assert.equal(query.method, 'get_peers')
  assert.equal(toLatin1(query.target!), 'mnopqrstuvwxyz123456')
  const response = parseKrpc(
    fromLatin1(
      'd1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re',
    ),
  )
  assert.ok(response?.kind === 'response')
  assert.deepEqual(response.peers, [
    { host: '97.120.106.101', port: 11893 },
    { host: '105.100.104.116', port: 28269 },
  ])
  assert.equal(toLatin1(response.token!), 'aoeusnth')
  const failure = fromLatin1('d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee')
  assert.equal(parseKrpc(failure)?.kind, 'failure')
})

test('what we ask is what others would have written', () => {
  const id = fromLatin1('abcdefghij0123456789')
  const bytes = encodeQuery(fromLatin1('aa'), 'ping', { id }, false)
  assert.equal(toLatin1(bytes), 'd1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe')
  assert.match(toLatin1(encodeQuery(fromLatin1('aa'), 'ping', {}, true)), /2:roi1e/)
})

test('announce_peer: the port that is said counts, unless the one of the datagram is meant', () => {
  const port = (fields: object): number | undefined => {
    const parameters = { id: idOf(1), info_hash: idOf(2), token: idOf(3), ...fields }
    const message = parseKrpc(encodeQuery(fromLatin1('aa'), 'announce_peer', parameters, false))
    assert.ok(message?.kind === 'query')
    return message.port
  }
  assert.equal(port({ port: 6881 }), 6881)
  assert.equal(port({ port: 6881, implied_port: 0 }), 6881)
  assert.equal(port({ port: 6881, implied_port: 1 }), undefined)
  assert.equal(port({ port: 0 }), undefined)
  assert.equal(port({ port: 65_536 }), undefined)
})

test('any bytes are a message or null, and never an error', () => {
  const aa = fromLatin1('aa')
  const seeds = [
    encodeQuery(aa, 'find_node', { id: idOf(1), target: idOf(2), want: ['n4'] }, true),
    encodeResponse(aa, {
      id: idOf(1),
      nodes: writeContacts([{ id: idOf(3), host: '10.0.0.1', port: 5 }], 4),
      values: [fromLatin1('axje.u')],
      token: idOf(9),
    }),
    encode({ t: 'aa', y: 'q', q: 'ping', a: { id: 5 } }),
  ]
  let understood = 0
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(200), fc.integer({ min: 0, max: 255 })), { maxLength: 3 }),
      fc.nat(200),
      (seed, changes, cut) => {
        const bytes = seed.slice(0, Math.max(1, seed.length - Math.max(0, cut - 150)))
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte
        const message = parseKrpc(bytes)
        if (message !== null) understood++
        if (message?.kind === 'query' || message?.kind === 'response') {
          assert.equal(message.id.length, 20)
        }
      },
    ),
    { numRuns: 3000 },
  )
  assert.ok(understood > 100)
  assert.equal(parseKrpc(new Uint8Array(5000)), null)
})

test('the table keeps eight of a bucket, knows the closest, and tells of those only that answered', () => {
  fc.assert(
    fc.property(fc.array(id20, { maxLength: 200 }), id20, (ids, target) => {
      const table = new RoutingTable(idOf(0x55))
      ids.forEach((id, i) => {
        table.heard({ id, host: `10.0.${i >> 8}.${i & 255}`, port: 1 }, i % 3 !== 0, i)
      })
      const inBucket = new Map<number, number>()
      for (const { id } of table.good()) {
        const bucket = sharedBits(table.ownId, id)
        inBucket.set(bucket, (inBucket.get(bucket) ?? 0) + 1)
      }
      assert.ok(Math.max(0, ...inBucket.values()) <= K)
      const closest = table.closest(target)
      const others = table.good().filter(({ id }) => !closest.some((near) => near.id === id))
      for (const near of closest) {
        for (const far of others) assert.ok(compareDistance(target, near.id, far.id) <= 0)
      }
    }),
    { numRuns: 50 },
  )
})

test('a node that does not answer twice makes room for the one that waits', () => {
  const table = new RoutingTable(idOf(0))
  const node = (i: number): Contact => ({ id: idOf(0x80, i), host: `10.0.0.${i}`, port: 1 })
  for (let i = 0; i < K + 1; i++) table.heard(node(i), true, 0)
  assert.equal(table.size, K)
  const asked = table.questionable(0).map(({ host }) => host)
  assert.deepEqual(asked, ['10.0.0.0'], 'somebody waits: the oldest is asked')
  table.failed(node(0), 1)
  const hosts = (): string[] => table.good().map(({ host }) => host)
  assert.ok(hosts().includes('10.0.0.0'))
  table.failed(node(0), 2)
  assert.ok(!hosts().includes('10.0.0.0'))
  assert.ok(hosts().includes('10.0.0.8'))
})

test('nobody fills the table from one host, and nobody takes the id of another', () => {
  const table = new RoutingTable(idOf(0))
  for (let i = 0; i < 100; i++) {
    table.heard({ id: idOf(i + 1, i), host: '10.6.6.6', port: 1000 + i }, true, 0)
  }
  assert.equal(table.size, 4)
  const honest = { id: idOf(0x70), host: '10.0.0.1', port: 1 }
  table.heard(honest, true, 0)
  table.heard({ ...honest, host: '10.6.6.7' }, true, 1)
  assert.equal(table.closest(honest.id, 1)[0]!.host, '10.0.0.1')
})

test('a token is good for its host, for a while', () => {
  const tokens = new Tokens(seededRandom(1), 0)
  const token = tokens.make('10.0.0.1', 0)
  assert.ok(tokens.isGood(token, '10.0.0.1', 9 * MINUTE_MS))
  assert.ok(!tokens.isGood(token, '10.0.0.2', 9 * MINUTE_MS))
  assert.ok(!tokens.isGood(new Uint8Array(8), '10.0.0.1', 9 * MINUTE_MS))
  assert.ok(!tokens.isGood(token, '10.0.0.1', 11 * MINUTE_MS))
})

test('peers are told until half an hour after they were announced, within bounds', () => {
  const announced = new AnnouncedPeers()
  const random = seededRandom(2)
  const peer = (i: number): Uint8Array => Uint8Array.of(10, 0, i >> 8, i & 255, 26, 225)
  for (let i = 0; i < 300; i++) announced.add(idOf(1), peer(i), i)
  assert.equal(announced.total, 200)
  assert.equal(announced.some(idOf(1), 6, 50, 1000, random).length, 50)
  assert.equal(announced.some(idOf(1), 18, 50, 1000, random).length, 0)
  const drawn = new Set<string>()
  for (let i = 0; i < 40; i++) {
    for (const found of announced.some(idOf(1), 6, 50, 1000, random)) drawn.add(toHex(found))
  }
  assert.ok(drawn.size > 190, 'all have their turn')
  announced.add(idOf(1), peer(0), 29 * MINUTE_MS)
  assert.equal(announced.some(idOf(1), 6, 50, 31 * MINUTE_MS, random).length, 1)
  announced.sweep(60 * MINUTE_MS)
  assert.equal(announced.total, 0)
  for (let i = 0; i < 5000; i++) announced.add(idOf(i >> 8, i & 255, 7), peer(1), 61 * MINUTE_MS)
  assert.equal(announced.total, 4000)
})
