/** Which transport a peer is dialled over, and who wins; and the UDP port that the DHT and uTP share. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock, seededRandom, silentLogger } from '../../src/base/index.ts'
import { openDatagrams, shareDatagrams } from '../../src/engine/datagram-port.ts'
import { Dialer, type DialledSocket } from '../../src/engine/dialer.ts'
import type { OpenDatagramSocket } from '../../src/engine/index.ts'
import { Utp } from '../../src/engine/utp/utp.ts'
import { FakeInternet } from './fake-network.ts'

const HOST = '10.0.0.2'
const PORT = 6881

/** What is dialled by whom; TCP answers when the test says so. */
class World {
  readonly clock: ManualClock = new ManualClock(1_000)
  readonly internet: FakeInternet = new FakeInternet(this.clock, {
    latencyMs: 10,
    bytesPerMs: 1000,
  })
  readonly tcp: (DialledSocket & { destroyed: boolean })[] = []
  readonly heard: string[] = []

  async utp(host: string): Promise<Utp> {
    const sockets = await openDatagrams(this.internet.host(host), ['0.0.0.0'], PORT, silentLogger)
    const accept = (): void => {
      this.heard.push(`accepted by ${host}`)
    }
    const random = seededRandom(5)
    return new Utp({ sockets, clock: this.clock, random, maxConnections: 10, accept })
  }

  connect(host: string, port: number): DialledSocket {
    const clock = this.clock
    const socket = {
      transport: 'tcp' as const,
      remoteAddress: host,
      remotePort: port,
      destroyed: false,
      onConnect: () => {},
      onData: () => {},
      onDrain: () => {},
      onClose: (_error: Error | undefined) => {},
      write: () => true,
      cork: () => {},
      uncork: () => {},
      pause: () => {},
      resume: () => {},
      destroy() {
        if (socket.destroyed) return
        socket.destroyed = true
        clock.after(0, () => socket.onClose(undefined))
      },
    }
    this.tcp.push(socket)
    return socket
  }

  listen(socket: DialledSocket): DialledSocket {
    socket.onConnect = () => this.heard.push(`connected over ${socket.transport}`)
    socket.onClose = (error) => this.heard.push(`closed${error === undefined ? '' : ' by error'}`)
    return socket
  }
}

test('TCP that answers is all there is', async () => {
  const world = new World()
  const dialer = new Dialer(world, world.clock, await world.utp('10.0.0.1'), 'on')
  await world.utp(HOST)
  world.listen(dialer.dial(HOST, PORT))
  world.clock.advance(1_000)
  world.tcp[0]!.onConnect()
  world.clock.advance(10_000)
  assert.deepEqual(world.heard, ['connected over tcp'])
})

test('TCP that does not answer has a head start of two seconds, one that fails has none', async () => {
  const world = new World()
  const dialer = new Dialer(world, world.clock, await world.utp('10.0.0.1'), 'on')
  await world.utp(HOST)
  world.listen(dialer.dial(HOST, PORT))
  world.clock.advance(1_990)
  assert.deepEqual(world.heard, [])
  world.clock.advance(100)
  assert.deepEqual(world.heard, ['connected over utp'])
  assert.ok(world.tcp[0]!.destroyed, 'the loser is cut off')

  world.listen(dialer.dial(HOST, PORT))
  world.tcp[1]!.onClose(new Error('refused'))
  world.clock.advance(100)
  assert.deepEqual(world.heard, ['connected over utp', 'connected over utp'])
})

test('uTP first gives way to TCP; where neither answers the end is told once', async () => {
  const world = new World()
  const dialer = new Dialer(world, world.clock, await world.utp('10.0.0.1'), 'prefer')
  world.listen(dialer.dial('10.0.0.9', PORT))
  assert.equal(world.tcp.length, 0)
  world.clock.advance(2_100)
  world.tcp[0]!.onConnect()
  world.clock.advance(10_000)
  assert.deepEqual(world.heard, ['connected over tcp'])

  world.heard.length = 0
  world.listen(dialer.dial('10.0.0.9', PORT))
  world.clock.advance(2_100)
  world.tcp[1]!.onClose(new Error('refused'))
  world.clock.advance(20_000)
  assert.deepEqual(world.heard, ['closed by error'])
})

test('what reached a peer the last time is first, what did not is second', async () => {
  const world = new World()
  const dialer = new Dialer(world, world.clock, await world.utp('10.0.0.1'), 'on')
  const begins = (transport: 'tcp' | 'utp', understood: boolean): string => {
    const before = world.tcp.length
    dialer.dial('10.0.0.9', PORT, { transport, understood }).destroy()
    return world.tcp.length > before ? 'tcp' : 'utp'
  }
  assert.equal(begins('tcp', true), 'tcp')
  assert.equal(begins('utp', true), 'utp')
  assert.equal(begins('tcp', false), 'utp')
  assert.equal(begins('utp', false), 'tcp')
})

test('who hangs up before anybody answers hears of the end once, and nothing is left', async () => {
  const world = new World()
  const dialer = new Dialer(world, world.clock, await world.utp('10.0.0.1'), 'on')
  const socket = world.listen(dialer.dial('10.0.0.9', PORT))
  world.clock.advance(2_500)
  socket.destroy()
  world.clock.advance(20_000)
  assert.deepEqual(world.heard, ['closed'])
  assert.ok(world.tcp[0]!.destroyed)
})

test('each side of the UDP port hears what is meant for it, and nothing once it is closed', async () => {
  const world = new World()
  const open = (host: string): Promise<OpenDatagramSocket> =>
    world.internet.host(host).openDatagram('0.0.0.0', PORT)
  const { dht, utp } = shareDatagrams(new Map([[4, await open(HOST)]]))
  const heard: string[] = []
  for (const [name, side] of [
    ['dht', dht.get(4)!],
    ['utp', utp.get(4)!],
  ] as const) {
    side.onMessage = (bytes, from) => heard.push(`${name} ${bytes[0]} ${from}`)
    side.onQuiet = () => heard.push(`${name} quiet`)
  }
  const stranger = await open('10.0.0.7')
  const say = (first: number, size: number): void => {
    stranger.send(new Uint8Array(size).fill(first, 0, 1), HOST, PORT)
    world.clock.advance(50)
  }
  say(0x64, 40)
  say(0x41, 20)
  say(0x41, 19)
  say(0x71, 40)
  utp.get(4)!.close()
  say(0x41, 20)
  assert.deepEqual(
    heard.filter((line) => !line.endsWith('quiet')),
    ['dht 100 10.0.0.7', 'utp 65 10.0.0.7'],
  )
})
