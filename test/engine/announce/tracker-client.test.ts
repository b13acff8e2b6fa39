import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock, seededRandom } from '../../../src/base/index.ts'
import { encode } from '../../../src/bencode/index.ts'
import {
  createTrackerClient,
  parseTrackerUrl,
  type TrackerClient,
  type TrackerUrl,
} from '../../../src/engine/announce/tracker-client.ts'
import type { HttpAnswer } from '../../../src/engine/network.ts'
import { FakeNetwork } from './fake-network.ts'
import { REQUEST, settled } from './samples.ts'

const URLS: readonly (readonly [string, string | null])[] = [
  ['http://host/announce', 'http host 0'],
  ['HTTPS://host:81/announce?x', 'http host 0'],
  ['udp://host:1337/announce', 'udp host 1337'],
  ['udp://host:80', 'udp host 80'],
  ['udp://[2001:db8::1]:80/a', 'udp 2001:db8::1 80'],
  ['udp://host/announce', null],
  ['udp://host:0/announce', null],
  ['ws://host/announce', null],
  ['http://', null],
  ['nonsense', null],
  ['', null],
]
for (const [text, expected] of URLS) {
  test(`"${text}" is ${expected ?? 'no tracker of ours'}`, () => {
    const url = parseTrackerUrl(text)
    assert.equal(url && `${url.kind} ${url.host} ${url.port}`, expected)
  })
}

function setUp(): { network: FakeNetwork; clock: ManualClock; client: TrackerClient } {
  const network = new FakeNetwork()
  network.names.set('both', [
    { address: '2001:db8::1', family: 6 },
    { address: '192.0.2.1', family: 4 },
    { address: '192.0.2.2', family: 4 },
  ])
  network.names.set('other', [{ address: '192.0.2.9', family: 4 }])
  const clock = new ManualClock()
  const client = createTrackerClient({ network, clock, random: seededRandom(2) })
  return { network, clock, client }
}

const UDP = parseTrackerUrl('udp://both:1337/announce?pass=%41')!
const HTTP = parseTrackerUrl('http://both/announce')!
const ELSEWHERE = parseTrackerUrl('http://other/announce')!

test('the families are those of the addresses', async () => {
  const { client } = setUp()
  assert.deepEqual(await client.families(UDP), [4, 6])
  assert.deepEqual(await client.families(ELSEWHERE), [4])
})

test('a name is resolved once in five minutes, and again at once after it failed', async () => {
  const { network, clock, client } = setUp()
  await Promise.all([client.families(UDP), client.families(HTTP)])
  clock.advance(299_999)
  await client.families(UDP)
  assert.deepEqual(network.resolved, ['both'])
  clock.advance(1)
  await client.families(UDP)
  assert.deepEqual(network.resolved, ['both', 'both'])
  const nobody = parseTrackerUrl('http://nobody/')!
  for (let i = 0; i < 2; i++) {
    await assert.rejects(client.families(nobody), { code: 'ENGINE_TRACKER_FAILED' })
  }
  assert.deepEqual(network.resolved.slice(2), ['nobody', 'nobody'])
})

test('UDP goes to the address of the family, with path and query letter for letter', async () => {
  const { network, client } = setUp()
  network.onSend = (socket, bytes) => {
    const reply = new Uint8Array(20)
    reply.set(bytes.subarray(8, 16))
    socket.onMessage(reply)
  }
  await client.announce(UDP, 6, REQUEST)
  await client.announce(UDP, 4, REQUEST)
  const hosts = network.sockets.map((socket) => `${socket.host} ${socket.port}`)
  assert.deepEqual(hosts, ['2001:db8::1 1337', '192.0.2.1 1337'])
  const options = Buffer.from(network.sockets[0]!.sent[1]!.subarray(98)).toString('latin1')
  assert.equal(options, '\x02\x12/announce?pass=%41')
  client.close()
})

test('of those that begin together with a host a few are at it, others follow in turn, no other host waits', async () => {
  const { client } = setUp()
  const begun: number[] = []
  const ends: (() => void)[] = []
  const beginAt = (tracker: TrackerUrl, number: number): void =>
    client.begin(tracker, () => {
      begun.push(number)
      return new Promise((resolve) => ends.push(resolve))
    })
  for (let i = 0; i < 40; i++) beginAt(i % 2 === 0 ? UDP : HTTP, i)
  beginAt(ELSEWHERE, 100)
  const first = Array.from({ length: 32 }, (_, i) => i)
  assert.deepEqual(begun, [...first, 100])
  ends[5]!()
  ends[6]!()
  await settled()
  assert.deepEqual(begun, [...first, 100, 32, 33])
  for (let i = 0; i < 41; i++) {
    ends[i]?.()
    await settled()
  }
  assert.equal(begun.length, 41)
})

test('a host is asked sixteen things at a time, and holds up no other', async () => {
  const { network, client } = setUp()
  const answers: ((answer: HttpAnswer) => void)[] = []
  network.onGet = () => new Promise((resolve) => answers.push(resolve))
  const abort = new AbortController()
  const announces = Array.from({ length: 40 }, () => client.announce(HTTP, 4, REQUEST))
  const impatient = assert.rejects(client.announce(HTTP, 4, REQUEST, abort.signal))
  await settled()
  assert.equal(network.urls.length, 16)
  const other = client.announce(ELSEWHERE, 4, REQUEST)
  await settled()
  assert.equal(network.urls.length, 17)
  abort.abort()
  await impatient
  for (let answered = 0; answered < 41; answered++) {
    assert.ok(network.urls.length - answered <= 17)
    answers.shift()!({ status: 200, body: encode({}) })
    await settled()
  }
  await Promise.all([...announces, other])
  assert.equal(network.urls.length, 41)
})
