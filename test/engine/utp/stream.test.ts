/** A connection of uTP as a stream: what is written arrives, whole, in order and once, on any way; and it ends. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { UtpConnection } from '../../../src/engine/utp/connection.ts'
import { RECEIVE_WINDOW } from '../../../src/engine/utp/incoming.ts'
import {
  isUtp,
  Packet,
  ST_DATA,
  ST_RESET,
  ST_STATE,
  ST_SYN,
} from '../../../src/engine/utp/packet.ts'
import { byteAt, Drain, flow, Lab, PORT, Source } from './pair.ts'

const KIB = 1024
const MIB = 1024 * KIB

test('both sides write, and hear what the other wrote; both hear of the end once', () => {
  const lab = new Lab(10)
  let far: UtpConnection | undefined
  const heard: string[] = []
  lab.end('b1', (connection) => {
    far = connection
    connection.onData = (bytes) => {
      heard.push(`far ${Buffer.from(bytes)}`)
      connection.write(Buffer.from('and back'))
    }
    connection.onClose = (error) => heard.push(`far closed ${error}`)
  })
  const end = lab.end('a1')
  const near = end.connect('b1', PORT)!
  near.onConnect = () => near.write(Buffer.from('there'))
  near.onData = (bytes) => heard.push(`near ${Buffer.from(bytes)}`)
  near.onClose = (error) => heard.push(`near closed ${error}`)
  lab.clock.advance(1_000)
  assert.deepEqual(heard, ['far there', 'near and back'])
  assert.equal(far!.remoteAddress, 'a1')
  assert.equal(far!.remotePort, PORT)
  near.destroy()
  near.destroy()
  lab.clock.advance(20_000)
  assert.deepEqual(heard.slice(2).sort(), ['far closed undefined', 'near closed undefined'])
  assert.equal(end.size, 0)
})

for (const [name, ways] of Object.entries({
  'loses one in a hundred': { loss: 0.01 },
  'loses one in twenty': { loss: 0.05 },
  'lets packets overtake each other': { overtake: 0.05 },
  'repeats packets': { repeat: 0.1 },
  'does all of that': { loss: 0.03, overtake: 0.05, repeat: 0.05 },
})) {
  test(`all arrives on a way that ${name}`, () => {
    for (const seed of [1, 2, 3]) {
      const lab = new Lab(seed, ways, ways)
      const total = 2 * MIB + 17
      const { connection, drain, ...made } = run(lab, total)
      lab.until(() => made.read() === total, 400_000)
      connection.destroy()
      lab.until(() => drain()?.closed === undefined, 60_000)
    }
  })
}

function run(
  lab: Lab,
  total: number,
): { connection: UtpConnection; drain: () => Drain | undefined; read: () => number } {
  const made = flow(lab, 'a1', 'b1', total)
  return {
    connection: made.connection,
    drain: () => made.drain,
    read: () => made.drain?.read ?? 0,
  }
}

test('sequence numbers wrap as often as it takes', () => {
  const lab = new Lab(
    12,
    { bytesPerMs: 50_000, delayMs: 2, queueBytes: 20_000_000 },
    { delayMs: 2 },
  )
  const total = 130 * MIB
  const { read } = run(lab, total)
  lab.until(() => read() === total, 60_000)
})

test('a receiver that pauses is sent a window at most, and all of it when it goes on', () => {
  const lab = new Lab(13)
  let far: UtpConnection | undefined
  let drain: Drain | undefined
  const end = lab.end('b1', (connection) => {
    far = connection
    drain = new Drain(connection)
  })
  const near = lab.end('a1').connect('b1', PORT)!
  const total = 4 * MIB
  const source = new Source(near, total)
  near.onConnect = () => source.begin()
  lab.until(() => drain !== undefined && drain.read > 100 * KIB, 10_000)
  far!.pause()
  const before = drain!.read
  lab.clock.advance(50_000)
  assert.equal(drain!.read, before)
  assert.ok(source.written - before <= RECEIVE_WINDOW + 64 * KIB, `${source.written - before}`)
  assert.ok(source.written - before >= RECEIVE_WINDOW / 2, 'the window is used')
  assert.ok(end.received.used <= RECEIVE_WINDOW)
  far!.resume()
  lab.until(() => drain!.read === total, 30_000)
  assert.equal(end.received.used, 0)
})

test('a window that opens is noticed though the word of it is lost', () => {
  const lab = new Lab(14)
  let far: UtpConnection | undefined
  let drain: Drain | undefined
  lab.end('b1', (connection) => {
    far = connection
    drain = new Drain(connection)
    connection.pause()
  })
  const near = lab.end('a1').connect('b1', PORT)!
  const source = new Source(near, 2 * MIB)
  near.onConnect = () => source.begin()
  lab.clock.advance(20_000)
  const cut = lab.back.options
  Object.assign(cut, { loss: 1 })
  far!.resume()
  lab.clock.advance(50)
  Object.assign(cut, { loss: 0 })
  lab.until(() => drain!.read === 2 * MIB, 60_000)
})

test('without memory nothing is believed to have arrived, and all arrives in the end', () => {
  const lab = new Lab(15, { loss: 0.05 })
  let drain: Drain | undefined
  const end = lab.end(
    'b1',
    (connection) => {
      drain = new Drain(connection)
    },
    { memoryBytes: 5_000 },
  )
  const near = lab.end('a1', undefined, { memoryBytes: 20_000 }).connect('b1', PORT)!
  const source = new Source(near, 500 * KIB)
  near.onConnect = () => source.begin()
  lab.until(() => {
    assert.ok(end.received.used <= 5_000)
    return drain?.read === 500 * KIB
  }, 600_000)
})

test('somebody who is not there is given up after seconds; who falls silent, after a minute', () => {
  const lab = new Lab(16)
  const lonely = lab.end('a9').connect('b9', PORT)!
  let failure: Error | undefined
  lonely.onClose = (error) => {
    failure = error
  }
  const startMs = lab.clock.monotonicMs()
  lab.until(() => failure !== undefined, 20_000)
  assert.match(String(failure), /does not answer/)
  assert.ok(lab.clock.monotonicMs() - startMs < 10_000)

  const made = flow(lab, 'a1', 'b1')
  lab.clock.advance(5_000)
  assert.ok(made.drain!.read > 0)
  let silence: Error | undefined
  made.connection.onClose = (error) => {
    silence = error
  }
  Object.assign(lab.back.options, { loss: 1 })
  lab.clock.advance(20_000)
  assert.equal(silence, undefined)
  lab.until(() => silence !== undefined, 120_000)
  assert.match(String(silence), /does not answer/)
})

test('an idle connection is kept alive, with a packet in half a minute', () => {
  const lab = new Lab(17)
  const made = flow(lab, 'a1', 'b1', 10)
  lab.clock.advance(5_000)
  lab.wires.keeps = true
  lab.clock.advance(300_000)
  const { sent } = lab.wires
  assert.ok(sent.length >= 18 && sent.length <= 24, `${sent.length} packets`)
  assert.ok(sent.every(({ bytes }) => isUtp(bytes) && bytes.length === 20))
  assert.equal(made.drain!.closed, null)
})

test('a packet that comes alone is acknowledged within a tenth of a second, several at once by one', () => {
  const lab = new Lab(18)
  const made = flow(lab, 'a1', 'b1', 0)
  lab.clock.advance(5_000)
  made.connection.write(Uint8Array.of(byteAt(0)))
  lab.clock.advance(1_000)
  lab.wires.keeps = true
  made.connection.write(Uint8Array.of(byteAt(1)))
  lab.clock.advance(20 + 150 + 20)
  const acknowledgements = lab.wires.sent.filter(({ from }) => from === 'b1')
  assert.equal(acknowledgements.length, 1)
  made.connection.destroy()
})

// --- Strangers ---

test('whoever is not where it says gets one small packet for each of its own, and no place', () => {
  const lab = new Lab(20)
  let accepted = 0
  const end = lab.end('b1', () => accepted++, { maxConnections: 10_000 })
  const stranger = lab.wires.socket('a1', 7000)
  const answers: Uint8Array[] = []
  stranger.onMessage = (bytes) => answers.push(bytes)
  for (let id = 0; id < 1_000; id++) stranger.send(syn(id), 'b1', PORT)
  lab.clock.advance(1_000)
  assert.equal(answers.length, 1_000)
  assert.ok(answers.every((bytes) => bytes.length === 20))
  assert.ok(end.size <= 128)
  // Data that does not know our number is data from nowhere.
  const data = syn(0)
  for (let id = 872; id < 1_000; id++) {
    const answer = new Packet()
    assert.ok(answer.read(answers[id]!))
    assert.equal(answer.type, ST_STATE)
    const guess = (answer.seq + 7) & 0xffff
    data.set([(ST_DATA << 4) | 1, 0, (id + 1) >> 8, id + 1])
    data.set([0, 2, guess >> 8, guess], 16)
    stranger.send(Buffer.concat([data, Buffer.from('hello')]), 'b1', PORT)
  }
  lab.clock.advance(1_000)
  assert.equal(accepted, 0)
  lab.clock.advance(15_000)
  assert.equal(end.size, 0)
  // Not even a time-out made it say more.
  assert.equal(answers.length, 1_000)
})

function syn(id: number): Uint8Array {
  const bytes = new Uint8Array(20)
  bytes.set([(ST_SYN << 4) | 1, 0, id >> 8, id])
  bytes.set([0, 16, 0, 0], 12)
  bytes.set([0, 1], 16)
  return bytes
}

test('packets of connections that are not there are answered a few times a second', () => {
  const lab = new Lab(21)
  lab.end('b1')
  const stranger = lab.wires.socket('a1', 7000)
  const answers: Uint8Array[] = []
  stranger.onMessage = (bytes) => answers.push(bytes)
  const data = syn(5)
  data[0] = (ST_DATA << 4) | 1
  for (let i = 0; i < 500; i++) stranger.send(data, 'b1', PORT)
  lab.clock.advance(500)
  assert.equal(answers.length, 20)
  assert.ok(answers.every((bytes) => bytes[0]! >> 4 === ST_RESET && bytes.length === 20))
})

test('a node that was started again ends what it does not know', () => {
  const lab = new Lab(22)
  const made = flow(lab, 'a1', 'b1', 100)
  lab.clock.advance(1_000)
  let failure: Error | undefined
  made.connection.onClose = (error) => {
    failure = error
  }
  lab.end('b1')
  made.connection.write(new Uint8Array(12))
  lab.clock.advance(1_000)
  assert.match(String(failure), /reset/)
})

test('a reset that knows nothing of what is under way is not heard', () => {
  const lab = new Lab(23)
  const made = flow(lab, 'a1', 'b1', 100)
  lab.clock.advance(1_000)
  let closed = 0
  made.connection.onClose = () => closed++
  // From the right address, by somebody who writes its name on the envelope.
  const forger = lab.wires.socket('b1', PORT)
  for (let ack = 0; ack < 0x10000; ack += 97) {
    const bytes = syn(made.connection.receiveId)
    bytes[0] = (ST_RESET << 4) | 1
    bytes.set([ack >> 8, ack], 18)
    forger.send(bytes, 'a1', PORT)
  }
  lab.clock.advance(1_000)
  assert.equal(closed, 0)
})

test('a full house refuses', () => {
  const lab = new Lab(24)
  lab.end('b1', undefined, { maxConnections: 1 })
  const caller = lab.end('a1')
  const first = caller.connect('b1', PORT)!
  first.onConnect = () => first.write(Buffer.from('x'))
  lab.clock.advance(1_000)
  const second = caller.connect('b1', PORT)!
  let failure: Error | undefined
  second.onClose = (error) => {
    failure = error
  }
  lab.clock.advance(1_000)
  assert.match(String(failure), /refused/)
})

test('spoilt headers, and garbage, break nothing but the connection they are on', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const lab = new Lab(seed, { spoil: 0.02, loss: 0.01, repeat: 0.01 }, { spoil: 0.02 })
    let fars = 0
    const end = lab.end('b1', (connection) => {
      fars++
      // What was spoilt may arrive: that is for hashes to find out.
      connection.onData = () => {}
      connection.onClose = () => {}
    })
    const caller = lab.end('a1')
    const noise = lab.wires.socket('a2', 1)
    for (let i = 0; i < 5; i++) {
      const near = caller.connect('b1', PORT)!
      const source = new Source(near, 200 * KIB)
      near.onConnect = () => source.begin()
      near.onClose = () => {}
    }
    for (let i = 0; i < 500; i++) {
      const bytes = new Uint8Array(lab.random.uint32() % 80)
      lab.random.fill(bytes)
      if (bytes.length > 0 && i % 2 === 0) bytes[0] = ((i % 5) << 4) | 1
      noise.send(bytes, 'b1', PORT)
    }
    lab.clock.advance(120_000)
    assert.ok(fars >= 1, `seed ${seed}`)
    assert.ok(end.received.used <= 16 * MIB)
    end.stop()
    caller.stop()
    assert.equal(end.size, 0)
    assert.equal(end.received.used, 0, `seed ${seed}`)
  }
})
