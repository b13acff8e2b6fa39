/** A client and a gateway that is played, in virtual time: what is asked when, and what becomes of every kind of answer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { delay, ManualClock, seededRandom, silentLogger } from '../../../src/base/index.ts'
import { GATEWAY_PORT, GatewayClient } from '../../../src/engine/gateway/client.ts'
import { PortMapping } from '../../../src/engine/gateway/port-mapping.ts'
import { type GatewayStatus, TransportNumber } from '../../../src/engine/gateway/types.ts'
import type { FoundGateways, Network, OpenDatagramSocket } from '../../../src/engine/index.ts'
import { FakeInternet } from '../fake-network.ts'
import { PlayedGateway, type PlayedOptions } from './played-gateway.ts'

const GATEWAY = '192.168.1.1'
const OURS = '192.168.1.10'
const PORT = 6881
const SECOND_MS = 1_000
const MINUTE_MS = 60_000
const MAP_BOTH = ['tcp 6881>6881 3600', 'udp 6881>6881 3600']
const RELEASE_BOTH = ['tcp 6881>6881 0', 'udp 6881>6881 0']
/** NAT-PMP wants no outer port then (RFC 6886, section 3.4). */
const RELEASE_BOTH_NAT_PMP = ['tcp 6881>0 0', 'udp 6881>0 0']

class World {
  readonly clock = new ManualClock(1_000_000)
  readonly internet = new FakeInternet(this.clock, { latencyMs: 2, bytesPerMs: 1_000 })
  readonly played: PlayedGateway
  readonly heard: GatewayStatus[] = []
  readonly client: GatewayClient
  /** When something arrived at the gateway, since the beginning. */
  readonly atMs: number[] = []
  /** Whether the gateway gets this question, by its number from 0 on. */
  gets: (question: number) => boolean = () => true
  /** What it answers beside its own answers, first. */
  also: (request: Uint8Array, socket: OpenDatagramSocket, host: string, port: number) => void =
    () => {}

  private constructor(options: Partial<PlayedOptions>, family: 4 | 6) {
    this.played = new PlayedGateway({ clock: this.countFrom(1_000), ...options })
    const gateway = { family, address: GATEWAY, local: OURS }
    const { tcp, udp } = TransportNumber
    this.client = new GatewayClient(gateway, {
      network: this.internet.host(OURS),
      clock: this.clock,
      random: seededRandom(5),
      logger: silentLogger,
      port: PORT,
      transports: [tcp, udp],
      onChange: (status) => this.heard.push(status),
      onAnew: () => {},
    })
  }

  static async open(options: Partial<PlayedOptions> = {}, family: 4 | 6 = 4): Promise<World> {
    const world = new World(options, family)
    const socket = await world.internet.host(GATEWAY).openDatagram('', GATEWAY_PORT)
    const startMs = world.clock.monotonicMs()
    socket.onMessage = (bytes, host, port) => {
      world.atMs.push(world.clock.monotonicMs() - startMs)
      if (!world.gets(world.atMs.length - 1)) return
      world.also(bytes, socket, host, port)
      const answer = world.played.answer(bytes)
      if (answer !== null) socket.send(answer, host, port)
    }
    world.client.start()
    return world
  }

  countFrom(seconds: number): () => number {
    const startMs = this.clock.monotonicMs()
    return () => seconds + Math.floor((this.clock.monotonicMs() - startMs) / 1000)
  }

  /** Lets time pass, in steps that promises follow. */
  async pass(ms: number, stepMs = Math.min(ms, 500)): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      this.clock.advance(Math.min(stepMs, left))
      for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** In small steps, as answers come. */
  settle(): Promise<void> {
    return this.pass(100, 2)
  }

  /** What was asked since the last time. */
  asked(): string[] {
    return this.played.asked.splice(0)
  }

  get last(): GatewayStatus {
    return this.heard.at(-1)!
  }

  async stop(): Promise<void> {
    let isOver = false
    const stopped = this.client.stop().then(() => {
      isOver = true
    })
    for (let i = 0; i < 20 && !isOver; i++) await this.pass(50, 2)
    assert.ok(isOver, 'it does not end within a second')
    await stopped
    assert.equal(this.clock.step(), false, 'a timer is left')
  }
}

/** For TCP alone, over sockets of the test's. */
function clientOver(
  clock: ManualClock,
  datagram: Network['datagram'],
  onChange: (status: GatewayStatus) => void = () => {},
): GatewayClient {
  return new GatewayClient(
    { family: 4, address: GATEWAY, local: OURS },
    {
      network: { datagram },
      clock,
      random: seededRandom(6),
      logger: silentLogger,
      port: 7000,
      transports: [TransportNumber.tcp],
      onChange,
      onAnew: () => {},
    },
  )
}

test('a gateway that speaks PCP maps TCP and UDP, and is told to forget them', async () => {
  const world = await World.open()
  assert.equal(world.client.status().state, 'asking')
  await world.settle()
  assert.deepEqual(world.asked(), MAP_BOTH)
  const status: GatewayStatus = {
    gateway: GATEWAY,
    innerAddress: OURS,
    innerPort: PORT,
    protocol: 'pcp',
    state: 'mapped',
    outerAddress: '203.0.113.7',
    isPublic: true,
    outerTcpPort: PORT,
    outerUdpPort: PORT,
    problem: null,
  }
  assert.deepEqual(world.heard, [status])
  assert.deepEqual(world.client.status(), status)
  await world.stop()
  assert.deepEqual(world.asked(), RELEASE_BOTH)
  assert.equal(world.played.table.size, 0)
})

test('an address outside that is none of the Internet is told as such', async () => {
  const world = await World.open({ address: [100, 64, 0, 9] })
  await world.settle()
  assert.deepEqual([world.last.outerAddress, world.last.isPublic], ['100.64.0.9', false])
  await world.stop()
})

test('the same nonce stands for a mapping from its beginning to its end', async () => {
  const world = await World.open()
  await world.settle()
  const nonces = [...world.played.table.values()].map(({ nonce }) => nonce)
  await world.pass(40 * MINUTE_MS)
  assert.deepEqual(
    [...world.played.table.values()].map(({ nonce }) => nonce),
    nonces,
  )
  assert.equal(new Set(nonces).size, 2)
  await world.stop()
  assert.equal(world.played.table.size, 0, 'the gateway asks for the nonce')
})

test('a gateway of NAT-PMP says so of version 2, and is asked in its own', async () => {
  const world = await World.open({ pcp: false })
  await world.settle()
  assert.deepEqual(world.asked(), ['version 2', 'address', ...MAP_BOTH])
  const { protocol, state, outerAddress } = world.last
  assert.deepEqual([protocol, state, outerAddress], ['nat-pmp', 'mapped', '203.0.113.7'])
  // From now on without the detour.
  await world.pass(40 * MINUTE_MS)
  assert.deepEqual(world.asked(), ['address', ...MAP_BOTH])
  await world.stop()
  assert.deepEqual(world.asked(), RELEASE_BOTH_NAT_PMP)
  assert.equal(world.played.table.size, 0)
})

test('a gateway of NAT-PMP that says nothing to version 2 is found, too', async () => {
  const world = await World.open({ pcp: false })
  const { played } = world
  const answer = played.answer.bind(played)
  played.answer = (request) => (request[0] === 2 ? null : answer(request))
  await world.pass(MINUTE_MS)
  assert.equal(world.last.protocol, 'nat-pmp')
  assert.equal(world.last.state, 'mapped')
  // Three questions of PCP: after 0, 3 and 9 seconds, give or take a tenth; after 21 the other protocol.
  const [first, second, third, fourth] = world.atMs as [number, number, number, number]
  assert.ok(second - first >= 2_700 && second - first <= 3_300, `${second - first}`)
  assert.ok(third - second >= 5_400 && third - second <= 6_600, `${third - second}`)
  assert.ok(fourth - third >= 10_800 && fourth - third <= 13_200, `${fourth - third}`)
  await world.stop()
})

test('over IPv6 there is PCP alone', async () => {
  const world = await World.open({ pcp: false }, 6)
  await world.pass(2 * MINUTE_MS)
  assert.deepEqual(world.asked(), ['version 2'])
  assert.deepEqual([world.last.state, world.last.problem], ['silent', 'does not answer PCP'])
  await world.stop()
  assert.deepEqual(world.asked(), [])
})

test('what is lost is asked again: NAT-PMP after 250 ms, then twice as long each time', async () => {
  const world = await World.open({ pcp: false })
  // The first is the question of PCP; then five of those of NAT-PMP are lost.
  world.gets = (question) => question === 0 || question > 5
  await world.pass(20 * SECOND_MS, 10)
  const gapsMs = world.atMs.slice(1, 7).map((atMs, i, all) => atMs - (all[i - 1] ?? atMs))
  assert.deepEqual(gapsMs, [0, 250, 500, 1_000, 2_000, 4_000])
  assert.equal(world.last.state, 'mapped')
  await world.stop()
})

test('a mapping is renewed after half of the lifetime that was granted', async () => {
  const world = await World.open({ maxLifetimeS: 600 })
  await world.settle()
  assert.deepEqual(world.asked(), MAP_BOTH)
  await world.pass(120 * MINUTE_MS)
  const roundsMs = world.atMs.filter((_, question) => question % 2 === 0)
  assert.ok(roundsMs.length >= 18 && roundsMs.length <= 25, `${roundsMs.length}`)
  // Half of ten minutes, and up to an eighth of them more.
  for (const [i, atMs] of roundsMs.slice(1).entries()) {
    const gapMs = atMs - roundsMs[i]!
    assert.ok(gapMs >= 300_000 && gapMs <= 376_000, `after ${gapMs} ms`)
  }
  assert.deepEqual(new Set(world.asked()), new Set(MAP_BOTH))
  assert.equal(world.heard.length, 1, 'nothing has changed')
  await world.stop()
})

test('another outer port is taken, suggested for UDP, and kept', async () => {
  const world = await World.open({ portFor: (port) => (port === PORT ? 50_123 : port) })
  await world.settle()
  assert.deepEqual(world.asked(), ['tcp 6881>6881 3600', 'udp 6881>50123 3600'])
  assert.deepEqual([world.last.outerTcpPort, world.last.outerUdpPort], [50_123, 50_123])
  await world.pass(40 * MINUTE_MS)
  assert.deepEqual(world.asked(), ['tcp 6881>50123 3600', 'udp 6881>50123 3600'])
  await world.stop()
})

test('answers of others, to other questions, or with another nonce are not believed', async () => {
  for (const pcp of [true, false]) {
    const world = await World.open({ pcp })
    const stranger = await world.internet.host('192.168.1.66').openDatagram('', GATEWAY_PORT)
    const elsewhere = await world.internet.host(GATEWAY).openDatagram('', 4_444)
    const liar = new PlayedGateway({
      clock: () => 1_000,
      pcp,
      address: [198, 51, 100, 66],
      portFor: () => 666,
    })
    world.also = (request, socket, host, port) => {
      const lie = liar.answer(request)!
      stranger.send(lie, host, port)
      elsewhere.send(lie, host, port)
      if (!pcp) {
        // UDP's answer to TCP's question, the wrong inner port, and a piece.
        if (lie.length === 16) {
          const other = Uint8Array.from(lie)
          other[1] = lie[1] === 129 ? 130 : 129
          socket.send(other, host, port)
          const inner = Uint8Array.from(lie)
          inner[9] = 0
          socket.send(inner, host, port)
        }
      } else {
        for (const at of [24, 36, 41]) {
          const other = Uint8Array.from(lie)
          other[at]! ^= 0xff
          socket.send(other, host, port)
        }
      }
      socket.send(lie.subarray(0, 7), host, port)
    }
    await world.settle()
    assert.equal(world.last.outerAddress, '203.0.113.7', `pcp ${pcp}`)
    assert.deepEqual([world.last.outerTcpPort, world.last.outerUdpPort], [PORT, PORT])
    await world.stop()
  }
})

test('a refusal is told with its name, and asked about again when the gateway says', async () => {
  let result = 2
  const world = await World.open({ result: () => result, errorLifetimeS: 120 })
  await world.settle()
  assert.deepEqual([world.last.state, world.last.problem], ['refused', 'NOT_AUTHORIZED'])
  assert.deepEqual([world.last.protocol, world.last.outerTcpPort], ['pcp', null])
  const before = world.atMs.length
  await world.pass(119 * SECOND_MS)
  assert.equal(world.atMs.length, before, 'it is left alone')
  result = 0
  await world.pass(3 * SECOND_MS)
  assert.deepEqual([world.last.state, world.last.problem], ['mapped', null])
  await world.stop()
})

test('a refusal without an end is asked about within an hour, one of no time after half a minute', async () => {
  for (const [errorLifetimeS, least, most] of [
    [2 ** 32 - 1, 3_600, 3_602],
    [0, 30, 32],
  ] as const) {
    const world = await World.open({ result: () => 8, errorLifetimeS })
    await world.settle()
    assert.equal(world.last.problem, 'NO_RESOURCES')
    const before = world.atMs.length
    await world.pass((least - 1) * SECOND_MS)
    assert.equal(world.atMs.length, before)
    await world.pass((most - least + 1) * SECOND_MS)
    assert.ok(world.atMs.length > before)
    await world.stop()
  }
})

test('NAT-PMP refuses, for a quarter of an hour', async () => {
  let result = 4
  const world = await World.open({ pcp: false, result: () => result })
  await world.settle()
  assert.deepEqual([world.last.state, world.last.problem], ['refused', 'out of resources'])
  world.asked()
  await world.pass(14 * MINUTE_MS)
  assert.deepEqual(world.asked(), [])
  result = 0
  await world.pass(2 * MINUTE_MS)
  assert.equal(world.last.state, 'mapped')
  await world.stop()
})

test('TCP is mapped though UDP is refused, which is told', async () => {
  const world = await World.open({ result: (transport) => (transport === 'udp' ? 9 : 0) })
  await world.settle()
  const { state, problem, outerTcpPort, outerUdpPort } = world.last
  assert.deepEqual(
    [state, problem, outerTcpPort, outerUdpPort],
    ['mapped', 'UNSUPP_PROTOCOL', PORT, null],
  )
  await world.stop()
  assert.equal(world.played.table.size, 0)
})

test('success with no port, or for no time, is no mapping and no storm', async () => {
  for (const wrong of [{ portFor: () => 0 }, { maxLifetimeS: 0 }]) {
    const world = await World.open(wrong)
    await world.settle()
    assert.deepEqual([world.last.state, world.last.problem], ['refused', 'gave no port'])
    const before = world.atMs.length
    await world.pass(10 * MINUTE_MS)
    assert.equal(world.atMs.length, before)
    await world.stop()
  }
})

test('a gateway that grants a second is asked every ten, no more often', async () => {
  const world = await World.open({ maxLifetimeS: 1 })
  await world.pass(100 * SECOND_MS)
  assert.ok(world.atMs.length >= 16 && world.atMs.length <= 22, `${world.atMs.length}`)
  await world.stop()
})

test('nobody answers: a bounded number of questions, five minutes of rest, then longer ones', async () => {
  const world = await World.open({ pcp: false, natPmp: false })
  await world.pass(4 * MINUTE_MS)
  assert.equal(world.atMs.length, 3 + 9)
  const { state, protocol, problem } = world.last
  assert.deepEqual([state, protocol, problem], ['silent', null, 'answers neither PCP nor NAT-PMP'])
  await world.pass(24 * 60 * MINUTE_MS, 5_000)
  const rounds = world.atMs.length / 12
  assert.ok(rounds >= 20 && rounds <= 30, `${rounds} rounds in a day`)
  assert.equal(world.heard.length, 1, 'told once')
  const before = world.atMs.length
  await world.stop()
  assert.ok(world.atMs.length - before <= 1, 'nothing is there to be released')
})

test('a mapping whose renewals are lost lives to its end, and comes back', async () => {
  const world = await World.open()
  await world.settle()
  world.gets = () => false
  await world.pass(50 * MINUTE_MS)
  assert.equal(world.last.state, 'mapped')
  assert.equal(world.client.status().outerTcpPort, PORT)
  await world.pass(20 * MINUTE_MS)
  assert.equal(world.last.state, 'silent')
  assert.deepEqual([world.last.outerTcpPort, world.last.outerAddress], [null, null])
  world.gets = () => true
  await world.pass(60 * MINUTE_MS)
  assert.equal(world.last.state, 'mapped')
  await world.stop()
})

test('a gateway that begins anew between two answers is asked for both again', async () => {
  for (const pcp of [true, false]) {
    const world = await World.open({ pcp })
    await world.pass(MINUTE_MS)
    world.asked()
    // It is off and on again when TCP has been renewed.
    const { played } = world
    const answer = played.answer.bind(played)
    let isReset = false
    played.answer = (request) => {
      const isUdp = request[0] === 2 ? request[36] === 17 : request[1] === 1
      if (isUdp && !isReset) {
        isReset = true
        played.reset(world.countFrom(0))
      }
      return answer(request)
    }
    await world.pass(40 * MINUTE_MS)
    assert.ok(isReset)
    assert.deepEqual([...played.table.keys()].sort(), ['tcp', 'udp'], `pcp ${pcp}`)
    await world.stop()
  }
})

test('what is told to all makes a client ask at once, but no more often than every ten seconds', async () => {
  for (const pcp of [true, false]) {
    const world = await World.open({ pcp })
    await world.pass(MINUTE_MS)
    world.asked()
    const protocol = pcp ? 'pcp' : 'nat-pmp'
    // It goes on as before.
    world.client.announced(protocol, 1_060)
    await world.settle()
    assert.deepEqual(world.asked(), [])
    world.played.reset(world.countFrom(0))
    for (let i = 0; i < 100; i++) world.client.announced(protocol, 0)
    await world.settle()
    assert.deepEqual([...world.played.table.keys()], ['tcp', 'udp'])
    const once = world.asked().length
    for (let i = 0; i < 50; i++) {
      world.client.announced(protocol, 77_777_777 - 1_000_000 * i)
      world.client.announced(protocol, 0)
      await world.settle()
    }
    const more = world.asked().length
    assert.ok(more <= once, `${more} questions`)
    await world.stop()
  }
})

test('a gateway that was silent is asked as soon as it speaks', async () => {
  const world = await World.open()
  world.gets = () => false
  await world.pass(4 * MINUTE_MS)
  assert.equal(world.last.state, 'silent')
  world.gets = () => true
  world.client.announced('pcp', 3)
  await world.settle()
  assert.equal(world.last.state, 'mapped')
  await world.stop()
})

test('a network that is not there yet is waited for, a port where nobody listens is not', async () => {
  for (const [code, state] of [
    ['EHOSTUNREACH', 'mapped'],
    ['ECONNREFUSED', 'silent'],
  ] as const) {
    const world = await World.open()
    const network = world.internet.host(OURS)
    const told: GatewayStatus[] = []
    let questions = 0
    const datagram: Network['datagram'] = async (host, port, from) => {
      const socket = await network.datagram(host, port, from)
      const send = socket.send.bind(socket)
      socket.send = (bytes) => {
        if (questions++ > 1) send(bytes)
        else socket.onError(Object.assign(new Error(code), { code }))
      }
      return socket
    }
    const client = clientOver(world.clock, datagram, (status) => told.push(status))
    client.start()
    await world.pass(MINUTE_MS)
    assert.equal(told[0]?.state, state, code)
    const stopped = client.stop()
    await world.pass(MINUTE_MS)
    await stopped
    await world.stop()
  }
})

test('whenever it is stopped, nothing stays mapped, open or due', async () => {
  for (const pcp of [true, false]) {
    for (let ms = 0; ms <= 40; ms += 2) {
      const world = await World.open({ pcp })
      if (ms > 0) await world.pass(ms, 2)
      await world.stop()
      assert.equal(world.played.table.size, 0, `pcp ${pcp}, after ${ms} ms`)
    }
  }
})

test('a router that begins anew is asked for all addresses, by whichever it is heard', async () => {
  const clock = new ManualClock(1_000_000)
  const internet = new FakeInternet(clock, { latencyMs: 2, bytesPerMs: 1_000 })
  let startMs = 0
  const seconds = (): number => Math.floor((clock.monotonicMs() - startMs) / 1000)
  const routers = [GATEWAY, 'fe80::1'].map((host) => ({
    host,
    played: new PlayedGateway({ clock: seconds }),
  }))
  for (const { host, played } of routers) {
    const socket = await internet.host(host).openDatagram('', GATEWAY_PORT)
    socket.onMessage = (bytes, from, port) => socket.send(played.answer(bytes)!, from, port)
  }
  internet.gatewaysOf = () => ({
    gateways: [
      { family: 4, address: GATEWAY, local: OURS },
      { family: 6, address: 'fe80::1', local: '2001:db8::10' },
    ],
    lack: undefined,
  })
  const mapping = new PortMapping(
    {
      network: internet.host(OURS),
      clock,
      random: seededRandom(3),
      logger: silentLogger,
      bind: ['0.0.0.0', '::'],
      port: PORT,
      hasUdp: true,
      onMoved: () => {},
    },
    {},
  )
  const pass = async (ms: number): Promise<void> => {
    for (let i = 0; i < ms; i += 10) {
      clock.advance(10)
      for (let n = 0; n < 4; n++) await new Promise((resolve) => setImmediate(resolve))
    }
  }
  mapping.start()
  await pass(20_000)
  startMs = clock.monotonicMs()
  for (const { played } of routers) played.reset(seconds)
  const speaker = await internet.host(GATEWAY).openMulticast('224.0.0.1', 5350, ['0.0.0.0'])
  speaker.send(routers[0]!.played.announcement())
  await pass(500)
  for (const { host, played } of routers) assert.equal(played.table.size, 2, host)
  const stopped = mapping.stop()
  await pass(500)
  await stopped
  for (const { host, played } of routers) assert.equal(played.table.size, 0, host)
})

test('nobody is waited for at the end, whether it has answered before or never', async () => {
  for (const ms of [0, 2, 100, 5_000, 10_000, 30_000, 100_000, 200_000]) {
    const never = await World.open({ pcp: false, natPmp: false })
    if (ms > 0) await never.pass(ms, 2)
    await never.stop()
    const before = await World.open()
    await before.settle()
    before.gets = () => false
    if (ms > 0) await before.pass(ms, 500)
    await before.stop()
  }
  // It is stopped while the system opens its socket.
  const clock = new ManualClock(1_000_000)
  const { datagram } = new FakeInternet(clock, { latencyMs: 2, bytesPerMs: 1_000 }).host(OURS)
  const client = clientOver(clock, async (...to) => {
    await delay(clock, 100)
    return datagram(...to)
  })
  client.start()
  let isOver = false
  const stopped = client.stop().then(() => {
    isOver = true
  })
  for (let i = 0; i < 500; i++) {
    clock.advance(2)
    for (let n = 0; n < 4; n++) await new Promise((resolve) => setImmediate(resolve))
  }
  assert.ok(isOver)
  await stopped
})

test('gateways come and go with the networks of a machine', async () => {
  const clock = new ManualClock(1_000_000)
  const internet = new FakeInternet(clock, { latencyMs: 2, bytesPerMs: 1_000 })
  const gateways = new Map<string, PlayedGateway>()
  for (const host of [GATEWAY, '10.0.0.1']) {
    const played = new PlayedGateway({ clock: () => Math.floor(clock.monotonicMs() / 1000) })
    gateways.set(host, played)
    const socket = await internet.host(host).openDatagram('', GATEWAY_PORT)
    socket.onMessage = (bytes, from, port) => socket.send(played.answer(bytes)!, from, port)
  }
  let found: FoundGateways = {
    gateways: [{ family: 4, address: GATEWAY, local: OURS }],
    lack: undefined,
  }
  internet.gatewaysOf = () => found
  const moved: (string | undefined)[] = []
  const mapping = new PortMapping(
    {
      network: internet.host(OURS),
      clock,
      random: seededRandom(3),
      logger: silentLogger,
      bind: ['0.0.0.0'],
      port: PORT,
      hasUdp: false,
      onMoved: (_family, status) => moved.push(status?.gateway),
    },
    {},
  )
  const pass = async (ms: number): Promise<void> => {
    for (let i = 0; i < ms; i += 10) {
      clock.advance(10)
      for (let n = 0; n < 4; n++) await new Promise((resolve) => setImmediate(resolve))
    }
  }
  mapping.start()
  await pass(200)
  assert.equal(mapping.status().off, null)
  assert.deepEqual([...gateways.get(GATEWAY)!.table.keys()], ['tcp'], 'UDP is not open')
  // It tells everybody that it has begun anew.
  gateways.get(GATEWAY)!.reset(() => 0)
  await pass(11_000)
  const ear = await internet.host(GATEWAY).openMulticast('224.0.0.1', 5350, ['0.0.0.0'])
  const liar = await internet.host('192.168.1.66').openMulticast('224.0.0.1', 5350, ['0.0.0.0'])
  const { asked } = gateways.get(GATEWAY)!
  const before = asked.length
  liar.send(gateways.get(GATEWAY)!.announcement())
  await pass(100)
  assert.equal(asked.length, before)
  ear.send(gateways.get(GATEWAY)!.announcement())
  await pass(100)
  assert.deepEqual([...gateways.get(GATEWAY)!.table.keys()], ['tcp'])
  // Another network.
  found = { gateways: [{ family: 4, address: '10.0.0.1', local: '10.0.0.9' }], lack: undefined }
  await pass(61_000)
  assert.equal(gateways.get(GATEWAY)!.table.size, 0)
  assert.deepEqual([...gateways.get('10.0.0.1')!.table.keys()], ['tcp'])
  // None.
  found = { gateways: [], lack: 'no network' }
  await pass(61_000)
  assert.deepEqual(mapping.status(), { off: 'no network', gateways: [] })
  assert.equal(gateways.get('10.0.0.1')!.table.size, 0)
  assert.deepEqual(
    moved.filter((gateway, i) => gateway !== moved[i - 1]),
    [GATEWAY, undefined, '10.0.0.1', undefined],
  )
  await mapping.stop()
  assert.equal(clock.step(), false, 'a timer is left')
})
