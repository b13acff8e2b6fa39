/** The fast loop over a kernel that is played: no garbage, no reply lost without a count, nothing answered too late. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { networkInterfaces } from 'node:os'
import { test } from 'node:test'
import { clockOriginMs, ManualClock, seededRandom } from '../../../src/base/index.ts'
import { createPeerStore } from '../../../src/peer-store/index.ts'
import { Announcer } from '../../../src/tracker/announce.ts'
import { ConnectionIds, makeConnectionIds } from '../../../src/tracker/connection-id.ts'
import { Counters } from '../../../src/tracker/counters.ts'
import { BatchClock } from '../../../src/tracker/linux/batch-clock.ts'
import { BATCH, DatagramBatch } from '../../../src/tracker/linux/datagram-batch.ts'
import {
  type Libc,
  MEMINFO_DROPS,
  MEMINFO_RECEIVE_BUFFER,
} from '../../../src/tracker/linux/libc.ts'
import {
  hasSeveralAddresses,
  noteDestinations,
  openUdpSocket,
} from '../../../src/tracker/linux/socket.ts'
import { UdpListener } from '../../../src/tracker/linux/udp-front.ts'
import { makeRateLimiter, RateLimiter } from '../../../src/tracker/rate-limiter.ts'
import { UdpHandler } from '../../../src/tracker/udp-handler.ts'
import { garbageOf, garbageTest } from '../../garbage.ts'
import { libc, onLinux } from './linux.ts'

const EAGAIN = 11
const EPERM = 1
const ROOM = 1000

/** A kernel whose every answer can be set. */
class PlayedKernel {
  /** What each next receive finds; the last is for all that follow. */
  received: number[] = [0]
  /** What each next send takes of what it is given, or the negative of an errno; then all. */
  sent: number[] = []
  queued = 0
  drops = 0
  receives = 0
  onSend: () => void = () => {}
  #errno = 0

  get libc(): Libc {
    const played: Partial<Libc> = {
      addressOf: () => 4096n,
      recvmmsg: () => {
        this.receives++
        return this.received.length > 1 ? this.received.shift()! : this.received[0]!
      },
      sendmmsg: (_fd, _messages, count) => {
        this.onSend()
        const taken = this.sent.length === 0 ? count : this.sent.shift()!
        if (taken >= 0) return Math.min(taken, count)
        this.#errno = -taken
        return -1
      },
      getsockopt: (_fd, _level, _name, value) => {
        const words = new Uint32Array((value as Uint8Array).buffer)
        words[0] = this.queued
        words[MEMINFO_RECEIVE_BUFFER] = ROOM
        words[MEMINFO_DROPS] = this.drops
        return 0
      },
      errno: () => this.#errno,
    }
    return played as Libc
  }
}

function setUp(limited = false) {
  const kernel = new PlayedKernel()
  const manual = new ManualClock(1000)
  const clock = new BatchClock(manual, clockOriginMs(manual))
  const store = createPeerStore({ clock: manual, random: seededRandom(1) })
  store.handle()
  const counters = new Counters()
  const ids = makeConnectionIds(manual, seededRandom(2))
  const connectionIds = new ConnectionIds(clock, ids)
  const limit = { requestsPerMinute: 60_000, burst: 1_000_000, memoryBytes: 2 ** 16 }
  const limiter = new RateLimiter(clock, makeRateLimiter(manual, seededRandom(3), limit))
  const handler = new UdpHandler({
    ...{ store, counters, connectionIds, allowIpSpoofing: false },
    ...(limited ? { limiter } : {}),
    announcer: new Announcer(store, {
      announceIntervalMs: 900_000,
      minAnnounceIntervalMs: 60_000,
      retryIntervalMs: 60_000,
      defaultWanted: 30,
      maxWanted: 100,
    }),
  })
  const poller = {
    listens: true,
    add: () => {
      poller.listens = true
    },
    remove: () => {
      poller.listens = false
    },
  }
  const front = { libc: kernel.libc, store, clock, counters, poller, handler, timed: false }
  const batch = new DatagramBatch(front.libc, 4)
  const listener = new UdpListener(front, 3, 4, batch)
  // The packets stay where they are, so each receive finds them again.
  const id = new Uint8Array(8)
  const address = new Uint8Array(4)
  for (let i = 0; i < BATCH; i++) {
    address.set([127, 0, 0, i + 1])
    connectionIds.issue(address, id)
    batch.put(i, address, 5000 + i, announce(id, i))
  }
  return { kernel, manual, clock, store, poller, counts: counters.transports.udp4, listener }
}

function announce(id: Uint8Array, i: number): Uint8Array {
  const packet = Buffer.alloc(98)
  packet.set(id)
  packet.writeUInt32BE(1, 8)
  packet.fill(i & 7, 16, 36)
  // Numbers of all sizes: what does not fit 32 bits may be an object on the heap.
  if (i % 3 === 0) packet.fill(i | 0x80, 56, 64)
  if (i % 7 === 0) packet.fill(i | 0x80, 72, 80)
  if (i % 11 === 0) packet.fill(i | 0x80, 64, 68)
  packet.writeUInt32BE(i % 5, 68)
  packet.writeInt32BE(-1, 92)
  packet.writeUInt16BE(1000 + i, 96)
  return packet
}

for (const [what, limited] of [
  ['a packet', false],
  ['a packet of a limited address', true],
] as const) {
  garbageTest(`${what} leaves no garbage`, import.meta.url, () => {
    const { kernel, listener, counts } = setUp(limited)
    kernel.received = [BATCH]
    const packets = 50 * 16 * BATCH
    const bytes = garbageOf(packets, () => {
      for (let i = 0; i < 50; i++) listener.onEvents()
    })
    assert.ok(bytes < 1, `${bytes.toFixed(2)} bytes a packet`)
    assert.ok(counts.announces >= packets)
  })
}

test('what the system takes in part is sent on; what it refuses is counted', () => {
  const { kernel, listener, counts } = setUp()
  const run = (...sent: number[]): number => {
    const before = counts.unsent
    kernel.received = [BATCH, 0]
    kernel.sent = sent
    listener.onEvents()
    assert.equal(kernel.sent.length, 0, 'every send was made')
    return counts.unsent - before
  }
  assert.equal(run(10, 20, 34), 0)
  assert.equal(run(10, -EPERM, 20, -EPERM, -EPERM, 31), 3, 'a filter refuses three')
  assert.equal(run(10, -EAGAIN), BATCH - 10, 'no room for the rest')
  assert.equal(run(-4, 64), 0, 'a signal came in between')
})

test('a queue that is never empty loses what is in it, if it is long', () => {
  const { kernel, listener, counts, manual } = setUp()
  kernel.received = [BATCH]
  kernel.queued = ROOM * 0.4
  const served = (): number => {
    const before = counts.announces
    listener.onEvents()
    manual.advance(100)
    return (counts.announces - before) / BATCH
  }
  for (let i = 0; i < 20; i++) assert.equal(served(), 16)
  assert.equal(counts.shed, 0, 'busy, but keeping up')
  kernel.queued = ROOM
  for (let i = 0; i < 6; i++) served()
  const { shed } = counts
  assert.ok(shed >= BATCH, 'once in half a second')
  for (let i = 0; i < 3; i++) served()
  assert.equal(counts.shed, shed)
  // A moment of rest, and it counts from there.
  for (let i = 0; i < 20; i++) {
    kernel.received = [BATCH, 5, 0, BATCH]
    assert.equal(served(), 1 + 5 / BATCH)
  }
  assert.equal(counts.shed, shed)
})

test('a socket leaves the epoll while there is much, and is back whenever somebody may wait', () => {
  const { kernel, listener, poller } = setUp()
  let sentWhileListening = 0
  kernel.onSend = () => {
    if (poller.listens) sentWhileListening++
  }
  for (const [received, expected] of [
    [[1, 0], 1],
    [[15, 15, 0], 2],
    [[BATCH, 3, 0], 0],
    [[3, BATCH, BATCH, 1, 0], 1],
    [new Array<number>(16).fill(BATCH), 0],
  ] as const) {
    kernel.received = [...received, 0]
    sentWhileListening = 0
    listener.onEvents()
    assert.equal(sentWhileListening, expected, String(received))
    assert.ok(poller.listens)
  }
})

test('shedding ends when the queue is short, and in any case', () => {
  const { kernel, listener, counts, manual } = setUp()
  kernel.queued = ROOM
  kernel.received = [BATCH]
  listener.onEvents()
  manual.advance(600)
  kernel.receives = 0
  listener.onEvents()
  assert.ok(kernel.receives < 1000, 'although it never was')
  const { shed } = counts
  kernel.received = [...new Array<number>(18).fill(BATCH), 7, 0]
  manual.advance(600)
  listener.onEvents()
  assert.equal(counts.shed - shed, 2 * BATCH + 7)
})

test('what the kernel had no room for is counted, across the wrap of its counter', () => {
  const { kernel, listener, counts } = setUp()
  kernel.drops = 5
  listener.look()
  assert.equal(counts.overflowed, 5)
  kernel.drops = 2 ** 32 - 1
  listener.look()
  kernel.drops = 3
  listener.look()
  assert.equal(counts.overflowed, 2 ** 32 + 3)
})

test('packets come with their senders; one that is too long is none', onLinux, async (t) => {
  const { fd, port } = openUdpSocket(libc, '127.0.0.1', 0, false)
  t.after(() => libc.close(fd))
  const client = createSocket('udp4')
  t.after(() => client.close())
  await new Promise<void>((resolve) => client.bind(0, '127.0.0.3', resolve))
  for (const bytes of [0, 16, 8512, 8513, 60_000]) {
    await new Promise((resolve) => client.send(Buffer.alloc(bytes, 7), port, '127.0.0.1', resolve))
  }
  const batch = new DatagramBatch(libc, 4)
  assert.equal(batch.receive(fd), 5)
  const lengths = Array.from({ length: 5 }, (_, i) => batch.endOf(i) - batch.startOf(i))
  assert.deepEqual(lengths, [0, 16, 8512, 0, 0])
  const address = new Uint8Array(4)
  batch.readAddress(1, address)
  assert.deepEqual(address, Uint8Array.of(127, 0, 0, 3))
  assert.equal(batch.bytes[batch.endOf(2) - 1], 7)
  batch.bytes.set([1, 2, 3], batch.nextReply)
  batch.addReply(2, 3)
  const [reply] = await Promise.all([
    new Promise<Buffer>((resolve) => client.once('message', resolve)),
    assert.equal(batch.send(fd), 0),
  ])
  assert.deepEqual([...reply], [1, 2, 3])
  assert.equal(batch.receive(fd), 0)
})

for (const [family, everywhere, asked] of [
  [4, '0.0.0.0', ['127.0.0.2', '127.0.0.1', '127.0.0.9']],
  [6, '::', ['::1', '::1']],
] as const) {
  test(`IPv${family}: answers leave from the address that was asked`, onLinux, async (t) => {
    if (family === 6 && !networkInterfaces().lo?.some((one) => one.family === 'IPv6')) {
      t.skip('this host has no IPv6')
      return
    }
    const { fd, port } = openUdpSocket(libc, everywhere, 0, false)
    t.after(() => libc.close(fd))
    assert.equal(noteDestinations(libc, fd, family), true)
    const batch = new DatagramBatch(libc, family, true)
    for (const round of [1, 2]) {
      const answers: Promise<Buffer>[] = []
      for (const [i, address] of asked.entries()) {
        const client = createSocket(`udp${family}`)
        t.after(() => client.close())
        // Only what comes from there is heard.
        client.connect(port, address)
        await once(client, 'connect')
        answers.push(once(client, 'message').then(([bytes]: Buffer[]) => bytes!))
        await new Promise((resolve) => client.send(Buffer.of(i, round), resolve))
      }
      assert.equal(batch.receive(fd), asked.length)
      for (const packet of [...asked.keys()].reverse()) {
        batch.bytes.set([batch.bytes[batch.startOf(packet)]!, round, 7], batch.nextReply)
        batch.addReply(packet, 3)
      }
      assert.equal(batch.send(fd), 0)
      for (const [i, answer] of answers.entries())
        assert.deepEqual([...(await answer)], [i, round, 7])
    }
  })
}

test('a socket of one address needs not be told which', onLinux, (t) => {
  const { fd } = openUdpSocket(libc, '127.0.0.1', 0, false)
  t.after(() => libc.close(fd))
  assert.equal(noteDestinations(libc, fd, 4), false)
})

test('a host has several addresses when there is a choice', () => {
  const one = { netmask: '', mac: '', cidr: null, internal: false }
  const lo = [
    { ...one, address: '127.0.0.1', family: 'IPv4' as const, internal: true },
    { ...one, address: '::1', family: 'IPv6' as const, scopeid: 0, internal: true },
  ]
  const eth0 = [
    { ...one, address: '192.0.2.1', family: 'IPv4' as const },
    { ...one, address: '2001:db8::1', family: 'IPv6' as const, scopeid: 0 },
    { ...one, address: 'fe80::1', family: 'IPv6' as const, scopeid: 2 },
  ]
  assert.deepEqual(
    ([4, 6] as const).map((family) => hasSeveralAddresses({ lo, eth0 }, family)),
    [false, false],
  )
  const eth1 = [
    { ...one, address: '192.0.2.2', family: 'IPv4' as const },
    { ...one, address: '2001:db8::2', family: 'IPv6' as const, scopeid: 0 },
  ]
  assert.deepEqual(
    ([4, 6] as const).map((family) => hasSeveralAddresses({ lo, eth0, eth1 }, family)),
    [true, true],
  )
  const services = eth1.map((address) => ({ ...address, internal: true }))
  assert.deepEqual(
    ([4, 6] as const).map((family) =>
      hasSeveralAddresses({ lo: [...lo, ...services], eth0 }, family),
    ),
    [true, true],
  )
})
