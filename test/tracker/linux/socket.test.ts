/** Sockets as descriptors: shared addresses, what is said of them, their queue; and the poller that waits for them. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import {
  EPOLLIN,
  errnoName,
  IP_MTU_DISCOVER,
  IP_PMTUDISC_OMIT,
  IPPROTO_IP,
  MSG_DONTWAIT,
  probeLibc,
} from '../../../src/tracker/linux/libc.ts'
import { openWake, Poller, wake } from '../../../src/tracker/linux/poller.ts'
import {
  type BoundSocket,
  openTcpListener,
  openUdpSocket,
  QueueGauge,
} from '../../../src/tracker/linux/socket.ts'
import { libc, onLinux } from './linux.ts'

function opened<S extends BoundSocket>(t: TestContext, socket: S): S {
  t.after(() => libc.close(socket.fd))
  return socket
}

async function sendTo(port: number, packets: number): Promise<void> {
  const socket = createSocket('udp4')
  for (let i = 0; i < packets; i++) {
    await new Promise<void>((resolve) =>
      socket.send(Buffer.alloc(40), port, '127.0.0.1', () => resolve()),
    )
  }
  socket.close()
}

test('the probe answers alike each time, with a library or with a reason', () => {
  const first = probeLibc()
  assert.equal(probeLibc(), first)
  assert.equal(first.libc === undefined, typeof first.reason === 'string')
})

test(
  'several sockets share an address and its packets; a second first is refused',
  onLinux,
  async (t) => {
    const first = opened(t, openUdpSocket(libc, '127.0.0.1', 0, false))
    const second = opened(t, openUdpSocket(libc, '127.0.0.1', first.port, true))
    assert.equal(second.port, first.port)
    assert.throws(() => openUdpSocket(libc, '127.0.0.1', first.port, false), { code: 'EADDRINUSE' })
    for (let i = 0; i < 40; i++) await sendTo(first.port, 1)
    const gauge = new QueueGauge(libc)
    const queued = [first, second].map(({ fd }) => {
      gauge.read(fd)
      return gauge.queuedBytes
    })
    assert.ok(queued[0]! > 0 && queued[1]! > 0, `by 40 sources: ${queued}`)
  },
)

test('nobody tells a socket of IPv4 how large packets may be', onLinux, (t) => {
  const { fd } = opened(t, openUdpSocket(libc, '127.0.0.1', 0, false))
  const value = new Uint8Array(4)
  const length = Uint8Array.of(4, 0, 0, 0)
  assert.equal(libc.getsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, value, length), 0)
  assert.equal(value[0], IP_PMTUDISC_OMIT)
})

test('listeners share an address likewise', onLinux, async (t) => {
  const first = opened(t, openTcpListener(libc, '127.0.0.1', 0, false))
  const second = opened(t, openTcpListener(libc, '127.0.0.1', first.port, true))
  assert.equal(second.port, first.port)
  assert.throws(() => openTcpListener(libc, '127.0.0.1', first.port, false), { code: 'EADDRINUSE' })
  const accepted = [0, 0]
  for (let i = 0; i < 40; i++) {
    const client = connect({ host: '127.0.0.1', port: first.port })
    // It is closed with its byte unread, which is a reset.
    client.on('error', () => {})
    await once(client, 'connect')
    client.end('x')
    for (let tries = 0; accepted[0]! + accepted[1]! <= i; tries++) {
      assert.ok(tries < 1000)
      for (const [n, { fd }] of [first, second].entries()) {
        const connection = libc.accept4(fd, null, null, 0)
        if (connection < 0) continue
        accepted[n]!++
        libc.close(connection)
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  assert.ok(accepted[0]! > 0 && accepted[1]! > 0, `of 40 connections: ${accepted}`)
})

test('an address that is not of this host is refused with the name of the errno', onLinux, () => {
  for (const [address, code] of [
    ['192.0.2.1', 'EADDRNOTAVAIL'],
    ['none', 'EINVAL'],
  ] as const) {
    assert.throws(() => openUdpSocket(libc, address, 0, false), { code })
    assert.throws(() => openTcpListener(libc, address, 0, false), { code })
  }
  assert.equal(errnoName(98), 'EADDRINUSE')
  assert.equal(errnoName(4711), 'errno 4711')
})

test(
  'the queue of a socket can be measured, and what did not fit is counted',
  onLinux,
  async (t) => {
    const { fd, port } = opened(t, openUdpSocket(libc, '127.0.0.1', 0, false))
    const gauge = new QueueGauge(libc)
    assert.ok(gauge.read(fd))
    assert.equal(gauge.queuedBytes, 0)
    await sendTo(port, 3)
    assert.ok(gauge.read(fd))
    assert.ok(gauge.queuedBytes > 0)
    assert.equal(gauge.dropped, 0)
    const packets = Math.ceil((gauge.roomBytes / gauge.queuedBytes) * 3) + 10
    if (packets > 20_000) return
    await sendTo(port, packets)
    assert.ok(gauge.read(fd))
    assert.ok(gauge.dropped > 0)
  },
)

test('a poller tells who has something to read, and is woken from outside', onLinux, async (t) => {
  const wakeFd = openWake(libc)
  const poller = new Poller(libc, wakeFd)
  t.after(() => {
    poller.close()
    libc.close(wakeFd)
  })
  assert.equal(poller.wait(0), 0)
  const { fd, port } = opened(t, openUdpSocket(libc, '127.0.0.1', 0, false))
  const told: number[] = []
  const bytes = new Uint8Array(new ArrayBuffer(128))
  poller.add(fd, EPOLLIN, {
    onEvents(about, events) {
      assert.ok((events & EPOLLIN) !== 0)
      told.push(about)
      assert.equal(libc.recv(about, bytes, bytes.length, MSG_DONTWAIT), 40)
    },
  })
  await sendTo(port, 2)
  assert.equal(poller.wait(1000), 1)
  assert.equal(poller.wait(1000), 1, 'what was left is told again')
  assert.deepEqual(told, [fd, fd])
  assert.equal(poller.wait(0), 0)
  wake(libc, wakeFd)
  assert.equal(poller.wait(10_000), 1)
  assert.equal(poller.wait(0), 0, 'waking is over when it was noticed')
  poller.remove(fd)
  await sendTo(port, 1)
  assert.equal(poller.wait(0), 0)
  assert.throws(() => poller.add(100_000, EPOLLIN, { onEvents() {} }), { code: 'EBADF' })
})
