/** What becomes of a port that a gateway gives: whom it is told, by every way there is to be found. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom, silentLogger } from '../../../src/base/index.ts'
import { openDatagrams } from '../../../src/engine/datagram-port.ts'
import { Dht } from '../../../src/engine/dht/dht.ts'
import { GATEWAY_PORT } from '../../../src/engine/gateway/client.ts'
import { Reach } from '../../../src/engine/gateway/reach.ts'
import type { GatewayStatus } from '../../../src/engine/index.ts'
import { isHomeAddress, isLocal, isLoopback } from '../../../src/engine/local-address.ts'
import { OwnAddress } from '../../../src/engine/own-address.ts'
import { RawPeer } from '../raw-peer.ts'
import { Swarm } from '../swarm.ts'
import { PlayedGateway } from './played-gateway.ts'

const GATEWAY = '192.168.1.1'
/** Of the node, as the simulated network has it on both sides of the gateway. */
const NODE = '203.0.113.7'
const STRANGER = '198.51.100.20'
const NEIGHBOUR = '192.168.1.30'
const MINUTE_MS = 60_000

test('addresses of a network of one’s own are told from those of the Internet', () => {
  const home = [
    '10.1.2.3',
    '172.16.0.1',
    '172.31.9.9',
    '192.168.0.1',
    '169.254.1.1',
    'fe80::1%eth0',
  ]
  const local = [...home, '127.0.0.1', '::1', '100.64.0.1', 'fd00::1', '0.0.0.0', '::', 'localhost']
  const far = ['203.0.113.7', '172.32.0.1', '100.128.0.1', '2001:db8::1', 'tracker.example', '']
  for (const address of local) assert.ok(isLocal(address), address)
  for (const address of far) assert.ok(!isLocal(address), address)
  for (const address of local) assert.equal(isHomeAddress(address), home.includes(address), address)
  assert.deepEqual(local.filter(isLoopback), ['127.0.0.1', '::1'])
})

test('the port is the outer one of the family for those outside, and ours at home', () => {
  const reach = new Reach(6881)
  assert.equal(reach.tcpPort(STRANGER), 6881)
  assert.ok(reach.learn(4, { tcp: 50_123, udp: 50_124 }))
  assert.equal(reach.learn(4, { tcp: 50_123, udp: 50_125 }), false, 'TCP is what is announced')
  assert.equal(reach.tcpPort(STRANGER), 50_123)
  assert.equal(reach.udpPort(STRANGER), 50_125)
  assert.equal(reach.tcpPort('2001:db8::1'), 6881)
  assert.equal(reach.tcpPort('tracker.example', 4), 50_123)
  assert.equal(reach.tcpPort('tracker.example', 6), 6881)
  for (const near of [NEIGHBOUR, '127.0.0.1', 'localhost']) {
    assert.deepEqual([reach.tcpPort(near, 4), reach.udpPort(near)], [6881, 6881], near)
  }
  assert.equal(reach.learn(6, { tcp: 6881, udp: 6881 }), false, 'the same as before')
  assert.ok(reach.learn(4, { tcp: undefined, udp: undefined }))
  assert.equal(reach.tcpPort(STRANGER), 6881)
})

test('the gateway’s word for our address holds until two peers agree', () => {
  const own = new OwnAddress()
  own.suppose('203.0.113.7')
  assert.deepEqual([own.of(4), own.of(6), own.changes], ['203.0.113.7', undefined, 1])
  own.heard('198.51.100.1', '203.0.113.99')
  assert.equal(own.of(4), '203.0.113.7')
  own.heard('198.51.100.2', '203.0.113.99')
  assert.deepEqual([own.of(4), own.changes], ['203.0.113.99', 2])
  own.suppose('203.0.113.7')
  assert.equal(own.of(4), '203.0.113.99')
})

test('peers and the DHT are told the port that a gateway gives, a neighbour ours', async () => {
  const swarm = new Swarm(401)
  const { internet, clock } = swarm
  const startMs = clock.monotonicMs()
  const played = new PlayedGateway({
    clock: () => Math.floor((clock.monotonicMs() - startMs) / 1000),
    portFor: (port, transport) => (transport === 'tcp' ? 50_123 : port + 1),
  })
  const socket = await internet.host(GATEWAY).openDatagram('', GATEWAY_PORT)
  let isAwake = false
  socket.onMessage = (bytes, host, port) => {
    if (isAwake) socket.send(played.answer(bytes)!, host, port)
  }
  internet.gatewaysOf = (host) => ({
    gateways: host === NODE ? [{ family: 4, address: GATEWAY, local: NODE }] : [],
    lack: host === NODE ? undefined : 'no gateway',
  })
  // Somebody else's node, to which everything is announced.
  const network = internet.host(STRANGER)
  const announced = new Set<string>()
  const tools = {
    network,
    clock,
    random: seededRandom(2),
    logger: silentLogger,
    onAnnounced: (_: Uint8Array, peer: { host: string; port: number }) =>
      void announced.add(`${peer.host} ${peer.port}`),
  }
  const sockets = await openDatagrams(network, ['0.0.0.0'], 6881, silentLogger)
  const dht = Dht.open(tools, sockets, { bootstrap: [] })
  const content = swarm.content(200_000, 65_536)
  const volume = await swarm.holding(content)
  const told: GatewayStatus[] = []
  const engine = await swarm.engine(NODE, volume, {
    dht: { bootstrap: [{ host: STRANGER, port: 6881 }] },
    portMapping: { onChange: (status) => told.push(status) },
  })
  const { infoHash } = content.info
  engine.open(volume.get(infoHash)!, content.info, { trackers: [] })
  await swarm.until(() => announced.has(`${NODE} 6881`), MINUTE_MS)
  isAwake = true
  await swarm.until(() => told.length > 0, MINUTE_MS)
  // Sooner than the next search.
  await swarm.until(() => announced.has(`${NODE} 50123`), 3_000)
  const ports = async (host: string): Promise<unknown> => {
    const peer = new RawPeer(swarm, host, NODE)
    peer.handshake(infoHash, 1, true, false, true)
    const isTold = (): boolean => peer.toldPort !== undefined && peer.count('port') > 0
    await swarm.until(isTold, MINUTE_MS)
    peer.socket.destroy()
    return [peer.toldPort, peer.log.find((line) => line.startsWith('port'))]
  }
  assert.deepEqual(await ports('198.51.100.77'), [50_123, 'port 50124'])
  assert.deepEqual(await ports(NEIGHBOUR), [6881, 'port 6881'])
  assert.equal(told.length, 1)
  assert.deepEqual(engine.status().portMapping, { off: null, gateways: told })
  assert.deepEqual([told[0]!.outerTcpPort, told[0]!.outerUdpPort], [50_123, 50_124])
  dht.stop()
  await swarm.stop()
  assert.equal(played.table.size, 0)
})

test('without a wish, or without a gateway, nobody is asked, and the status says why', async () => {
  const swarm = new Swarm(402)
  const plain = await swarm.engine('10.0.0.1', swarm.volume())
  assert.deepEqual(plain.status().portMapping, { off: 'it is not asked for', gateways: [] })
  const alone = await swarm.engine('10.0.0.2', swarm.volume(), { portMapping: {} })
  await swarm.until(() => alone.status().portMapping.off === 'there is none', MINUTE_MS)
  assert.equal(swarm.internet.datagramsFrom.size, 0)
  await swarm.stop()
})
