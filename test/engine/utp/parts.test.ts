/** Parts of uTP by themselves: packets, the history of delays, what is under way, what came before its turn. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Budget } from '../../../src/engine/budget.ts'
import { DelayHistory } from '../../../src/engine/utp/delay-history.ts'
import { Inbox } from '../../../src/engine/utp/inbox.ts'
import { Outbox } from '../../../src/engine/utp/outbox.ts'
import {
  ahead,
  isUtp,
  Packet,
  ST_DATA,
  ST_STATE,
  stampHeader,
  writeHeader,
} from '../../../src/engine/utp/packet.ts'

const u16 = fc.nat(0xffff)
const u32 = fc.nat(0xffffffff)

test('a packet that was written reads the same', () => {
  fc.assert(
    fc.property(
      fc.nat(4),
      u16,
      u16,
      u16,
      u32,
      u32,
      u32,
      fc.uint8Array({ maxLength: 50 }),
      (type, id, seq, ack, sent, delay, window, payload) => {
        const bytes = new Uint8Array(20 + payload.length)
        writeHeader(bytes, type, id, seq)
        stampHeader(bytes, sent, delay, window, ack)
        bytes.set(payload, 20)
        const packet = new Packet()
        assert.ok(packet.read(bytes))
        assert.deepEqual([packet.type, packet.id, packet.seq, packet.ack], [type, id, seq, ack])
        assert.deepEqual(
          [packet.sentMicros, packet.delayMicros, packet.windowBytes, packet.sackBytes],
          [sent, delay, window, 0],
        )
        assert.deepEqual(bytes.subarray(packet.payloadAt), payload)
      },
    ),
  )
})

test('nothing is read beyond a datagram, whatever it is', () => {
  const packet = new Packet()
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(4), (bytes, type) => {
      if (bytes.length > 0) bytes[0] = (type << 4) | 1
      if (!packet.read(bytes)) return
      assert.ok(packet.payloadAt <= bytes.length)
      assert.ok(packet.sackBytes === 0 || packet.sackAt + packet.sackBytes <= bytes.length)
    }),
  )
  // Extensions without an end.
  const endless = new Uint8Array(200)
  endless.set([1, 9])
  for (let at = 20; at < 200; at += 2) endless.set([9, 0], at)
  assert.equal(packet.read(endless), false)
})

test('the DHT and uTP are told apart by the first byte', () => {
  const query = new Uint8Array(30)
  query.set(Buffer.from('d1:ad2:id20:'))
  assert.equal(isUtp(query), false)
  for (const first of [0x01, 0x11, 0x21, 0x31, 0x41]) {
    query[0] = first
    assert.equal(isUtp(query), true)
    assert.equal(isUtp(query.subarray(0, 19)), false)
  }
  for (const first of [0x00, 0x02, 0x51, 0x61, 0xf1]) {
    query[0] = first
    assert.equal(isUtp(query), false)
  }
})

test('the queue is the lowest of the last delays, above the lowest of ten minutes, wherever the clocks are', () => {
  fc.assert(
    fc.property(u32, (offset) => {
      const history = new DelayHistory()
      const add = (ms: number, nowMs: number): void =>
        history.add((offset + ms * 1000) >>> 0, nowMs)
      for (let i = 0; i < 10; i++) add(20, i)
      assert.equal(history.queueMicros, 0)
      for (let i = 0; i < 4; i++) add(70 + i, 20)
      assert.equal(history.queueMicros, 50_000)
      // One that is late is no queue.
      add(500, 21)
      assert.equal(history.queueMicros, 51_000)
      // The way has become longer by 30 ms: after ten minutes that is what it is.
      for (let minute = 1; minute <= 11; minute++) {
        for (let i = 0; i < 4; i++) add(50, minute * 60_000)
      }
      assert.equal(history.queueMicros, 0)
      history.shift(5_000)
      assert.equal(history.queueMicros, 0)
      for (let i = 0; i < 4; i++) add(60, 12 * 60_000)
      assert.equal(history.queueMicros, 5_000)
    }),
  )
})

/** `.` not sent yet, `p` under way, `x` lost, `s` arrived out of turn. */
function picture(arrived: readonly number[], duplicates = 0): string {
  const outbox = new Outbox(65_530, () => {})
  for (let i = 0; i < 10; i++) outbox.push(new Uint8Array(100), i)
  const packet = new Packet()
  const sack = new Uint8Array(4)
  for (const seq of arrived) {
    const bit = seq - 1
    sack[bit >> 3]! |= 1 << (bit & 7)
  }
  const bytes = new Uint8Array(26)
  writeHeader(bytes, ST_STATE, 1, 1)
  stampHeader(bytes, 0, 0, 0, 65_529)
  if (arrived.length > 0) {
    bytes[1] = 1
    bytes.set([0, 4, ...sack], 20)
  }
  assert.ok(packet.read(bytes.subarray(0, arrived.length > 0 ? 26 : 20)))
  for (let i = 0; i < Math.max(1, duplicates); i++) outbox.acknowledge(packet, 50, 1)
  let drawn = ''
  const lost = new Set<number>()
  while (outbox.hasLost) {
    const sent = outbox.firstLost
    lost.add(sent.sentMs)
    outbox.again(sent, 1_000)
  }
  for (let i = 0; i < 10; i++) drawn += arrived.includes(i) ? 's' : lost.has(i) ? 'x' : 'p'
  assert.equal(outbox.flightBytes, 100 * (10 - arrived.length))
  return drawn
}

test('what three later ones have passed is lost, also by plain duplicates', () => {
  assert.equal(picture([1]), 'pspppppppp')
  assert.equal(picture([1, 2]), 'pssppppppp')
  assert.equal(picture([1, 2, 3]), 'xssspppppp')
  assert.equal(picture([4]), 'xxppsppppp')
  assert.equal(picture([2, 6, 9]), 'xxsxxxspps')
  assert.equal(picture([], 2), 'pppppppppp')
  assert.equal(picture([], 3), 'xppppppppp')
})

test('packets that were sent go back once each, however they are acknowledged', () => {
  fc.assert(
    fc.property(
      u16,
      fc.array(fc.record({ ack: fc.nat(40), sack: fc.uint8Array({ minLength: 4, maxLength: 8 }) })),
      (first, words) => {
        const freed = new Map<Uint8Array, number>()
        const outbox = new Outbox(first, (bytes) => {
          freed.set(bytes, (freed.get(bytes) ?? 0) + 1)
        })
        const packet = new Packet()
        let sent = 0
        let nowMs = 0
        for (const { ack, sack } of words) {
          nowMs += 10
          for (let i = 0; i < 10; i++) outbox.push(new Uint8Array(50), nowMs)
          sent += 10
          const bytes = new Uint8Array(22 + sack.length)
          writeHeader(bytes, ST_DATA, 1, 1)
          stampHeader(bytes, 0, 0, 0, (first + ack) & 0xffff)
          bytes[1] = 1
          bytes.set([0, sack.length, ...sack], 20)
          assert.ok(packet.read(bytes))
          if (ahead(packet.ack + 1, outbox.first) <= outbox.length) {
            outbox.acknowledge(packet, nowMs, 1)
          }
          while (outbox.hasLost) outbox.again(outbox.firstLost, nowMs)
          assert.equal(outbox.flightBytes, 50 * (sent - freed.size))
        }
        outbox.loseAll()
        assert.equal(outbox.flightBytes, 0)
        outbox.clear()
        assert.equal(freed.size, sent)
        assert.ok([...freed.values()].every((times) => times === 1))
      },
    ),
  )
})

test('the inbox gives out what follows, says what it has, and pays for it', () => {
  const memory = new Budget(100_000)
  const inbox = new Inbox(0xfffe, memory)
  inbox.keep(0xffff, Uint8Array.of(9))
  assert.ok(inbox.isEmpty, 'the next is not kept')
  inbox.keep(1, Uint8Array.of(1))
  inbox.keep(2, Uint8Array.of(2))
  inbox.keep(2, Uint8Array.of(7))
  inbox.keep(40, Uint8Array.of(40))
  inbox.keep((0xfffe + 2_000) & 0xffff, Uint8Array.of(3))
  const sack = new Uint8Array(70)
  const bytes = inbox.writeSack(sack, 2)
  assert.equal(bytes, 8)
  // Packets 0 (bit 0), 1 and 2; 40 is bit 40.
  assert.deepEqual([...sack.subarray(2, 10)], [0b110, 0, 0, 0, 0, 1, 0, 0])
  assert.equal(inbox.isOld(0xfffe), true)
  assert.equal(inbox.isOld(5), false)
  assert.equal(inbox.advance(), undefined)
  assert.deepEqual(inbox.advance(), Uint8Array.of(1))
  assert.deepEqual(inbox.advance(), Uint8Array.of(2))
  assert.equal(inbox.advance(), undefined)
  assert.equal(inbox.ack, 2)
  inbox.clear()
  assert.equal(memory.used, 0)
})
