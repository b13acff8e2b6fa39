import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock, readU32BE, seededRandom, writeU32BE } from '../../../src/base/index.ts'
import { type UdpTarget, UdpTrackerClient } from '../../../src/engine/announce/udp-client.ts'
import { FakeNetwork, type FakeSocket } from './fake-network.ts'
import { REQUEST, settled } from './samples.ts'

const TARGET: UdpTarget = { address: '192.0.2.7', family: 4, port: 1337, path: '' }

/** A reply to `request` with another action or transaction if told so, and `words` behind. */
function reply(
  request: Uint8Array,
  words: readonly number[],
  change: { action?: number; transaction?: number } = {},
): Uint8Array {
  const bytes = new Uint8Array(8 + 4 * words.length)
  writeU32BE(bytes, 0, change.action ?? readU32BE(request, 8))
  writeU32BE(bytes, 4, change.transaction ?? readU32BE(request, 12))
  words.forEach((word, i) => void writeU32BE(bytes, 8 + 4 * i, word))
  return bytes
}

const actionOf = (request: Uint8Array): number => readU32BE(request, 8)
const COUNTS = [1800, 3, 5] as const

function setUp(): { network: FakeNetwork; clock: ManualClock; client: UdpTrackerClient } {
  const network = new FakeNetwork()
  const clock = new ManualClock(1000)
  const client = new UdpTrackerClient({ network, clock, random: seededRandom(1) })
  return { network, clock, client }
}

/** A tracker that answers everything; connections are numbered. */
function answering(network: FakeNetwork): { connections: number } {
  const state = { connections: 0 }
  network.onSend = (socket, bytes) => {
    if (actionOf(bytes) === 0) {
      state.connections++
      socket.onMessage(reply(bytes, [0, state.connections]))
    } else socket.onMessage(reply(bytes, COUNTS))
  }
  return state
}

test('an announce connects first, and then announces under the connection it got', async () => {
  const { network, client } = setUp()
  answering(network)
  const result = await client.announce(TARGET, REQUEST)
  assert.equal(result.seeders, 5)
  const [socket] = network.sockets
  assert.equal(`${socket!.host} ${socket!.port}`, '192.0.2.7 1337')
  assert.deepEqual(socket!.sent.map(actionOf), [0, 1])
  assert.equal(readU32BE(socket!.sent[1]!, 4), 1)
})

test('a connection serves for a minute, and all who announce meanwhile', async () => {
  const { network, clock, client } = setUp()
  const tracker = answering(network)
  await Promise.all([client.announce(TARGET, REQUEST), client.announce(TARGET, REQUEST)])
  clock.advance(59_999)
  await client.announce(TARGET, REQUEST)
  assert.equal(tracker.connections, 1)
  clock.advance(1)
  await client.announce(TARGET, REQUEST)
  assert.equal(tracker.connections, 2)
  assert.equal(network.sockets.length, 1)
})

test('a socket that nobody needs for a minute is closed, and opened again when needed', async () => {
  const { network, clock, client } = setUp()
  answering(network)
  await client.announce(TARGET, REQUEST)
  clock.advance(59_999)
  assert.equal(network.sockets[0]!.closed, false)
  clock.advance(1)
  await settled()
  assert.equal(network.sockets[0]!.closed, true)
  await client.announce(TARGET, REQUEST)
  assert.equal(network.sockets.length, 2)
})

for (const silent of ['connect', 'announce'] as const) {
  test(`without an answer to its ${silent} it asks after 15 and 45 seconds, and gives up after 105`, async () => {
    const { network, clock, client } = setUp()
    const silentAction = silent === 'connect' ? 0 : 1
    const sentMs: number[] = []
    const packets: Uint8Array[] = []
    network.onSend = (socket, bytes) => {
      if (actionOf(bytes) !== silentAction) {
        socket.onMessage(reply(bytes, [0, 1]))
        return
      }
      sentMs.push(clock.monotonicMs() - 1000)
      packets.push(bytes.slice())
    }
    const failed = assert.rejects(client.announce(TARGET, REQUEST), {
      code: 'ENGINE_TRACKER_FAILED',
      message: 'no answer',
    })
    await settled()
    for (let i = 0; i < 105; i++) {
      assert.ok(sentMs.length <= 3)
      clock.advance(1000)
    }
    await failed
    assert.deepEqual(sentMs, [0, 15_000, 45_000])
    assert.deepEqual(packets[1], packets[0], 'a retransmission is the same packet')
  })
}

test('a late answer to an earlier transmission counts', async () => {
  const { network, clock, client } = setUp()
  const pending = client.announce(TARGET, REQUEST)
  await settled()
  const socket = network.sockets[0]!
  clock.advance(15_000)
  answering(network)
  socket.onMessage(reply(socket.sent[0]!, [0, 9]))
  assert.equal((await pending).leechers, 3)
})

test('replies to nobody, of another action, or too short for a head are not believed', async () => {
  const { network, client } = setUp()
  const pending = client.announce(TARGET, REQUEST)
  await settled()
  const socket = network.sockets[0]!
  const connect = socket.sent[0]!
  const transaction = readU32BE(connect, 12)
  socket.onMessage(reply(connect, [6, 6], { transaction: transaction ^ 1 }))
  socket.onMessage(reply(connect, [6, 6], { action: 1 }))
  socket.onMessage(new Uint8Array(7))
  socket.onMessage(reply(connect, [0, 0], { action: 3, transaction: transaction ^ 1 }))
  assert.equal(socket.sent.length, 1)
  answering(network)
  socket.onMessage(reply(connect, [0, 9]))
  await pending
  assert.equal(readU32BE(socket.sent[1]!, 4), 9)
})

test('a reply that is too short for its action is a failure', async () => {
  const { network, client } = setUp()
  network.onSend = (socket, bytes) => socket.onMessage(reply(bytes, [1]))
  const failure = { code: 'ENGINE_TRACKER_FAILED', message: 'a reply of 12 bytes' }
  await assert.rejects(client.announce(TARGET, REQUEST), failure)
})

function refusing(socket: FakeSocket, bytes: Uint8Array): void {
  const text = Buffer.from('go away')
  socket.onMessage(Buffer.concat([reply(bytes, [], { action: 3 }), text]))
}

test("a refusal has the tracker's reason", async () => {
  const { network, client } = setUp()
  network.onSend = (socket, bytes) => {
    if (actionOf(bytes) === 0) socket.onMessage(reply(bytes, [0, 1]))
    else refusing(socket, bytes)
  }
  const refused = { code: 'ENGINE_TRACKER_FAILED', message: 'go away' }
  await assert.rejects(client.announce(TARGET, REQUEST), refused)
  assert.equal(network.sockets[0]!.sent.length, 2, 'a new connection is not doubted')
})

test('a tracker that forgot the connection is asked once more under a new one', async () => {
  const { network, client } = setUp()
  let known = 0
  network.onSend = (socket, bytes) => {
    if (actionOf(bytes) === 0) socket.onMessage(reply(bytes, [0, ++known]))
    else if (readU32BE(bytes, 4) === known) socket.onMessage(reply(bytes, COUNTS))
    else refusing(socket, bytes)
  }
  await client.announce(TARGET, REQUEST)
  known = 100
  await client.announce(TARGET, REQUEST)
  assert.deepEqual(network.sockets[0]!.sent.map(actionOf), [0, 1, 1, 0, 1])
})

test('a tracker that is reported unreachable is not waited for', async () => {
  const { network, client } = setUp()
  network.onSend = (socket) => socket.onError(new Error('refused'))
  const failure = { code: 'ENGINE_TRACKER_FAILED', message: 'unreachable' }
  await assert.rejects(client.announce(TARGET, REQUEST), failure)
})

test('a family that this machine does not have is unreachable', async () => {
  const { network, client } = setUp()
  network.datagram = () => Promise.reject(new Error('ENETUNREACH'))
  const failure = { code: 'ENGINE_TRACKER_FAILED', message: 'unreachable' }
  await assert.rejects(client.announce(TARGET, REQUEST), failure)
})

test('giving up ends one announce, and not the one beside it', async () => {
  const { network, client } = setUp()
  const abort = new AbortController()
  const first = client.announce(TARGET, REQUEST, abort.signal)
  const second = client.announce(TARGET, REQUEST)
  await settled()
  const givenUp = assert.rejects(first, { message: 'given up' })
  abort.abort()
  await givenUp
  answering(network)
  const socket = network.sockets[0]!
  socket.onMessage(reply(socket.sent[0]!, [0, 9]))
  assert.equal((await second).seeders, 5)
  await assert.rejects(client.announce(TARGET, REQUEST, abort.signal), { message: 'given up' })
})

test('closing ends what waits, closes the sockets and leaves no timer', async () => {
  const { network, clock, client } = setUp()
  const pending = assert.rejects(client.announce(TARGET, REQUEST), { message: /closed/ })
  await settled()
  client.close()
  await pending
  await settled()
  assert.equal(network.sockets[0]!.closed, true)
  clock.advance(1_000_000)
  assert.equal(network.sockets[0]!.sent.length, 1)
  await assert.rejects(client.announce(TARGET, REQUEST), { message: /closed/ })
})
