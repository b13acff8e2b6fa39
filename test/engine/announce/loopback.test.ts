/** Announcing over the real network to small trackers on the loopback, IPv4 and where it is there IPv6. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { seededRandom, silentLogger, systemClock } from '../../../src/base/index.ts'
import { encode } from '../../../src/bencode/index.ts'
import { Alarms } from '../../../src/engine/announce/alarms.ts'
import { type Announcer, createAnnouncer } from '../../../src/engine/announce/announcer.ts'
import type { AnnounceContext } from '../../../src/engine/announce/tracker.ts'
import {
  createTrackerClient,
  parseTrackerUrl,
} from '../../../src/engine/announce/tracker-client.ts'
import type { PeerAddress } from '../../../src/engine/announce/types.ts'
import { Reach } from '../../../src/engine/gateway/reach.ts'
import { nodeNetwork } from '../../../src/engine/node-network.ts'

const INFO_HASH = Uint8Array.from({ length: 20 }, (_, i) => 255 - 13 * i)
const PEER_ID = new Uint8Array(Buffer.from("-SE0100-'%&= +#\0\xff!;~", 'latin1'))
const EVENTS = ['none', 'completed', 'started', 'stopped']

interface TestTracker {
  readonly url: string
  /** Events heard. */
  readonly heard: string[]
  /** Resolves when that many events were heard. */
  count(events: number): Promise<void>
}

function hearing(url: string, heard: string[], ears: (() => void)[]): TestTracker {
  return {
    url,
    heard,
    async count(events) {
      while (heard.length < events) await new Promise<void>((resolve) => ears.push(resolve))
    },
  }
}

async function udpTracker(t: TestContext, host: string): Promise<TestTracker> {
  const v6 = host.includes(':')
  const socket = createSocket(v6 ? 'udp6' : 'udp4')
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(0, host, resolve)
  })
  t.after(() => socket.close())
  const heard: string[] = []
  const ears: (() => void)[] = []
  const connection = Buffer.from('connectn')
  socket.on('message', (packet, from) => {
    const head = Buffer.alloc(8)
    packet.copy(head, 0, 8, 16)
    const send = (...parts: Uint8Array[]): void =>
      socket.send(Buffer.concat([head, ...parts]), from.port, from.address)
    if (packet.readUInt32BE(8) === 0) {
      assert.equal(packet.readBigUInt64BE(0), 0x41727101980n)
      send(connection)
      return
    }
    assert.deepEqual(packet.subarray(0, 8), connection)
    assert.deepEqual(new Uint8Array(packet.subarray(16, 36)), INFO_HASH)
    assert.deepEqual(new Uint8Array(packet.subarray(36, 56)), PEER_ID)
    assert.equal(packet.subarray(100).toString(), '/announce')
    heard.push(EVENTS[packet.readUInt32BE(80)]!)
    const counts = Buffer.from('000007080000000000000001', 'hex')
    const address = v6 ? Buffer.alloc(16) : Buffer.from([10, 0, 0, 1])
    if (v6) address[15] = 9
    send(counts, address, Buffer.from([0, 80]))
    for (const ear of ears.splice(0)) ear()
  })
  const name = v6 ? `[${host}]` : host
  return hearing(`udp://${name}:${socket.address().port}/announce`, heard, ears)
}

async function httpTracker(t: TestContext): Promise<TestTracker> {
  const heard: string[] = []
  const ears: (() => void)[] = []
  const server = createServer((request, response) => {
    const query = new Map(
      request
        .url!.replace(/^[^?]*\?/, '')
        .split('&')
        .map((pair) => pair.split('=') as [string, string]),
    )
    const bytes = (key: string): Uint8Array => {
      const text = query
        .get(key)!
        .replace(/%(..)/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
      return new Uint8Array(Buffer.from(text, 'latin1'))
    }
    assert.deepEqual(bytes('info_hash'), INFO_HASH)
    assert.deepEqual(bytes('peer_id'), PEER_ID)
    heard.push(query.get('event') ?? 'none')
    response.end(encode({ interval: 1800, peers: Uint8Array.of(10, 0, 0, 1, 0, 80) }))
    for (const ear of ears.splice(0)) ear()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return hearing(`http://127.0.0.1:${(server.address() as AddressInfo).port}/announce`, heard, ears)
}

function announcing(t: TestContext, url: string): { announcer: Announcer; peers: PeerAddress[] } {
  const peers: PeerAddress[] = []
  const tools = { network: nodeNetwork(), clock: systemClock, random: seededRandom(1) }
  const context: AnnounceContext = {
    peerId: PEER_ID,
    reach: new Reach(6881),
    key: 1,
    ...tools,
    logger: silentLogger,
    alarms: new Alarms(systemClock),
    trackerClient: createTrackerClient(tools),
  }
  const announcer = createAnnouncer(context, {
    tiers: [[parseTrackerUrl(url)!]],
    infoHash: INFO_HASH,
    host: {
      counters: () => ({ uploaded: 0, downloaded: 0, left: 1 }),
      addPeers: (more) => peers.push(...more),
    },
  })
  t.after(async () => {
    await announcer.stop(0)
    context.trackerClient.close()
  })
  return { announcer, peers }
}

async function hasIPv6(): Promise<boolean> {
  const listener = await nodeNetwork()
    .listen(['::1'], 0, () => {})
    .catch(() => undefined)
  await listener?.close()
  return listener !== undefined
}

const KINDS: readonly (readonly [string, string, (t: TestContext) => Promise<TestTracker>])[] = [
  ['UDP', '10.0.0.1', (t) => udpTracker(t, '127.0.0.1')],
  ['UDP over IPv6', '::9', (t) => udpTracker(t, '::1')],
  ['HTTP', '10.0.0.1', httpTracker],
]

for (const [name, peer, open] of KINDS) {
  test(`started, completed and stopped over ${name}`, { timeout: 30_000 }, async (t) => {
    if (name.includes('IPv6') && !(await hasIPv6())) {
      t.skip('no IPv6 here')
      return
    }
    const tracker = await open(t)
    const { announcer, peers } = announcing(t, tracker.url)
    announcer.start()
    await tracker.count(1)
    while (peers.length === 0) await new Promise(setImmediate)
    assert.deepEqual(peers, [{ host: peer, port: 80 }])
    announcer.completed()
    await tracker.count(2)
    await announcer.stop(10_000)
    assert.deepEqual(tracker.heard, ['started', 'completed', 'stopped'])
  })
}
