/** Who proves an address, who does not, and how much each is told. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ManualClock, seededRandom } from '../../src/base/index.ts'
import { createPeerStore } from '../../src/peer-store/index.ts'
import { Announcer } from '../../src/tracker/announce.ts'
import { ConnectionIds, makeConnectionIds } from '../../src/tracker/connection-id.ts'
import { Counters } from '../../src/tracker/counters.ts'
import { MAX_REPLY_BYTES, UdpHandler } from '../../src/tracker/udp-handler.ts'

const HERE = Uint8Array.of(127, 0, 0, 1)
const THERE = Uint8Array.of(127, 0, 0, 2)
const HERE6 = new Uint8Array(16).fill(1)

function setUp(allowIpSpoofing = false) {
  const clock = new ManualClock(5_000_000)
  const random = seededRandom(1)
  const store = createPeerStore({ clock, random })
  const counters = new Counters()
  const announcer = new Announcer(store, {
    announceIntervalMs: 900_000,
    minAnnounceIntervalMs: 60_000,
    retryIntervalMs: 60_000,
    defaultWanted: 50,
    maxWanted: 10_000,
  })
  const connectionIds = new ConnectionIds(clock, makeConnectionIds(clock, random))
  const handler = new UdpHandler({ store, announcer, connectionIds, counters, allowIpSpoofing })
  const send = (packet: Uint8Array, from = HERE): Buffer =>
    Buffer.from(handler.reply.slice(0, handler.handle(packet, from)))
  const connect = (from = HERE): Buffer => {
    const packet = Buffer.alloc(16)
    packet.writeBigUInt64BE(0x41727101980n)
    packet.writeUInt32BE(77, 12)
    return send(packet, from).subarray(8, 16)
  }
  return { clock, store, counters, send, connect }
}

function announce(
  id: Uint8Array,
  fields: { left?: number; event?: number; port?: number; wanted?: number; ip?: number } = {},
): Buffer {
  const packet = Buffer.alloc(98)
  packet.set(id)
  packet.writeUInt32BE(1, 8)
  packet.writeUInt32BE(0x01020304, 12)
  packet.fill(0xaa, 16, 36)
  packet.writeUInt32BE(fields.left ?? 1, 68)
  packet.writeUInt32BE(fields.event ?? 0, 80)
  packet.writeUInt32BE(fields.ip ?? 0, 84)
  packet.writeInt32BE(fields.wanted ?? -1, 92)
  packet.writeUInt16BE(fields.port ?? 6881, 96)
  return packet
}

const errorText = (reply: Buffer): string => {
  assert.equal(reply.readUInt32BE(0), 3)
  return reply.subarray(8).toString('latin1')
}

test('a connection id serves for two minutes, for the address that asked', () => {
  const { clock, send, connect } = setUp()
  const id = connect()
  assert.equal(send(announce(id)).readUInt32BE(0), 1)
  assert.equal(errorText(send(announce(id), THERE)), 'bad connection ID')
  assert.equal(errorText(send(announce(id), HERE6)), 'bad connection ID')
  clock.advance(120_000)
  assert.equal(send(announce(id)).readUInt32BE(0), 1, 'at two minutes')
  clock.advance(1000)
  assert.equal(errorText(send(announce(id))), 'bad connection ID', 'a second later')
})

test('a connection id is not believed when any bit of it is another', () => {
  const { send, connect } = setUp()
  const id = connect()
  for (let bit = 0; bit < 64; bit++) {
    const forged = Buffer.from(id)
    forged[bit >>> 3] = forged[bit >>> 3]! ^ (1 << (bit & 7))
    assert.equal(errorText(send(announce(forged))), 'bad connection ID', `bit ${bit}`)
  }
  assert.equal(errorText(send(announce(Buffer.alloc(8)))), 'bad connection ID')
})

test('a connection id does not come back when its seconds have gone round', () => {
  const { clock, send, connect } = setUp()
  const id = connect()
  clock.advance(65_536_000)
  assert.equal(errorText(send(announce(id))), 'bad connection ID')
})

test('errors of the packet are told only to who has proven the address', () => {
  const { send, connect } = setUp()
  const id = connect()
  const short = Buffer.alloc(16)
  short.writeUInt32BE(9, 8)
  assert.equal(send(short).length, 0, 'the error would be larger than the packet')
  short.set(id)
  assert.equal(errorText(send(short)), 'unknown action ID')
  assert.equal(errorText(send(announce(id, { port: 0 }))), 'invalid port')
})

test('no address without a valid id gets more bytes than it sent', () => {
  const { send, counters } = setUp()
  const header = fc
    .tuple(fc.constantFrom(0, 1, 2, 3, 4), fc.uint8Array({ minLength: 4, maxLength: 200 }))
    .map(([action, rest]) => {
      const packet = Buffer.concat([Buffer.alloc(12), rest])
      packet.writeUInt32BE(action, 8)
      if (action === 0) packet.writeBigUInt64BE(0x41727101980n)
      return packet
    })
  fc.assert(
    fc.property(
      fc.oneof(header, fc.uint8Array({ maxLength: 2000 })),
      fc.constantFrom(HERE, HERE6),
      (packet, from) => {
        assert.ok(send(packet, from).length <= packet.length)
      },
    ),
    { numRuns: 10_000, seed: 3 },
  )
  assert.equal(counters.transports.udp4.announces, 0)
})

test('garbage gets no reply and is counted', () => {
  const { send, counters } = setUp()
  assert.equal(send(Buffer.from('GET / HTTP/1.1\r\n')).length > 16, false)
  assert.equal(send(Buffer.alloc(15)).length, 0)
  assert.equal(send(Buffer.alloc(16)).length, 0)
  assert.ok(counters.transports.udp4.dropped >= 2)
})

test('the answer stays in one unfragmented datagram, however many peers are wanted', () => {
  const { send, connect, store } = setUp()
  const hash = new Uint8Array(20).fill(0xaa)
  for (let n = 0; n < 400; n++) {
    store.putSeeder(hash, Uint8Array.of(10, 0, n >>> 8, n), 1)
    store.putSeeder(hash, new Uint8Array(16).fill(n >>> 2).fill(n & 3, 15), n)
  }
  const reply4 = send(announce(connect(), { wanted: 1000 }))
  assert.equal(reply4.length, 20 + 6 * 242)
  assert.ok(reply4.length <= MAX_REPLY_BYTES[4])
  const reply6 = send(announce(connect(HERE6), { wanted: 1000 }), HERE6)
  assert.equal(reply6.length, 20 + 18 * 67)
  assert.ok(reply6.length <= MAX_REPLY_BYTES[6])
})

test('the default number of peers is for -1, none for 0', () => {
  const { send, connect, store } = setUp()
  const hash = new Uint8Array(20).fill(0xaa)
  for (let n = 0; n < 200; n++) store.putSeeder(hash, Uint8Array.of(10, 0, 0, n), 1)
  assert.equal(send(announce(connect())).length, 20 + 6 * 50)
  assert.equal(send(announce(connect(), { wanted: 0 })).length, 20)
  assert.equal(send(announce(connect(), { wanted: 7 })).length, 20 + 6 * 7)
})

test('the life of a swarm, counts with the announcer in them', () => {
  const { send, connect, counters } = setUp()
  const id = connect()
  const id2 = connect(THERE)
  const counts = (reply: Buffer) => ({
    seeders: reply.readUInt32BE(16),
    leechers: reply.readUInt32BE(12),
    peers: reply.subarray(20).toString('hex'),
    interval: reply.readUInt32BE(8),
  })
  assert.deepEqual(counts(send(announce(id, { event: 2 }))), {
    seeders: 0,
    leechers: 1,
    peers: '',
    interval: 60,
  })
  assert.deepEqual(counts(send(announce(id2, { left: 0 }), THERE)), {
    seeders: 1,
    leechers: 1,
    peers: '7f0000011ae1',
    interval: 900,
  })
  assert.deepEqual(counts(send(announce(id))), {
    seeders: 1,
    leechers: 1,
    peers: '7f0000021ae1',
    interval: 900,
  })
  assert.deepEqual(counts(send(announce(id, { left: 0, event: 1 }))), {
    seeders: 2,
    leechers: 0,
    peers: '',
    interval: 900,
  })
  const scrape = Buffer.concat([announce(id).subarray(0, 16), Buffer.alloc(20, 0xaa)])
  scrape.writeUInt32BE(2, 8)
  assert.equal(send(scrape).toString('hex'), '0000000201020304000000020000000100000000')
  assert.deepEqual(counts(send(announce(id, { event: 3 }))), {
    seeders: 1,
    leechers: 0,
    peers: '',
    interval: 900,
  })
  assert.equal(counters.transports.udp4.announces, 5)
  assert.equal(counters.transports.udp4.scrapes, 1)
})

test('the address in the packet counts only if that is allowed', () => {
  for (const allowed of [false, true]) {
    const { send, connect } = setUp(allowed)
    const id = connect()
    send(announce(id, { ip: 0x01020304, port: 1 }))
    const [, address] = /^(.{8})/.exec(
      send(announce(id, { port: 2 }))
        .subarray(20)
        .toString('hex'),
    )!
    assert.equal(address, allowed ? '01020304' : '7f000001')
  }
})

/** An announce of action 4, with 16 bytes of address. */
function oldAnnounce(id: Uint8Array, port: number, ip: Uint8Array = new Uint8Array(16)): Buffer {
  const packet = Buffer.alloc(110)
  packet.set(announce(id).subarray(0, 84))
  packet.writeUInt32BE(4, 8)
  packet.set(ip, 84)
  packet.writeInt32BE(-1, 104)
  packet.writeUInt16BE(port, 108)
  return packet
}

test('the old announce for IPv6, action 4, is answered with action 4', () => {
  const { send, connect } = setUp()
  const id = connect(HERE6)
  const first = send(oldAnnounce(id, 1, HERE6), HERE6)
  assert.deepEqual(
    [first.readUInt32BE(0), first.readUInt32BE(4), first.length],
    [4, 0x01020304, 20],
  )
  const second = send(announce(id, { port: 2 }), HERE6)
  assert.equal(second.readUInt32BE(0), 1)
  assert.deepEqual([...second.subarray(20)], [...HERE6, 0, 1])
  assert.equal(send(oldAnnounce(id, 3), HERE6).length, 20 + 2 * 18)
  assert.equal(errorText(send(oldAnnounce(id, 3).subarray(0, 109), HERE6)), 'malformed packet')
  assert.equal(errorText(send(oldAnnounce(id, 0), HERE6)), 'invalid port')
})

test('an address in the old announce counts only if spoofing is allowed, IPv4-mapped as IPv4', () => {
  const named = new Uint8Array(16).fill(7)
  for (const allowed of [false, true]) {
    const { send, connect, store } = setUp(allowed)
    const id = connect(HERE6)
    send(oldAnnounce(id, 5, named), HERE6)
    const found = send(announce(id, { port: 6 }), HERE6)
    assert.deepEqual([...found.subarray(20, 36)], [...(allowed ? named : HERE6)])
    const mapped = Uint8Array.from([...Array(10).fill(0), 255, 255, 1, 2, 3, 4])
    send(oldAnnounce(id, 7, mapped), HERE6)
    assert.equal(store.stats().leechers4, allowed ? 1 : 0)
  }
})
