/** Peers behind NATs that meet through one that both are connected to (BEP 55). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Holepunch, type Punchable } from '../../src/engine/holepunch.ts'
import { priorities } from '../../src/engine/index.ts'
import {
  encodeHolepunch,
  type HolepunchMessage,
  parseHolepunch,
} from '../../src/engine/wire/holepunch.ts'
import type { FakeSocket } from './fake-network.ts'
import { Swarm } from './swarm.ts'

const KIB = 1024
const MINUTE_MS = 60_000

test('a message that was written reads the same, and any bytes are one or none', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('rendezvous', 'connect', 'error'),
      fc.oneof(fc.ipV4(), fc.constantFrom('2001:db8::7', '::1')),
      fc.integer({ min: 1, max: 65_535 }),
      fc.nat(4),
      (kind, host, port, code) => {
        const message: HolepunchMessage = { kind, host, port, error: kind === 'error' ? code : 0 }
        assert.deepEqual(parseHolepunch(encodeHolepunch(message)!), message)
      },
    ),
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const message = parseHolepunch(bytes)
      if (message !== null) assert.ok(message.port > 0)
    }),
  )
  // libtorrent and others put a code behind every message.
  const long = Buffer.concat([
    encodeHolepunch({ kind: 'connect', host: '10.0.0.1', port: 5, error: 0 })!,
    Buffer.alloc(4),
  ])
  assert.equal(parseHolepunch(long)?.kind, 'connect')
})

class Fake implements Punchable {
  readonly host: string
  readonly port: number
  readonly listenPort: number | undefined = 6881
  readonly transport = 'utp'
  readonly holepunches: boolean
  closed = false
  readonly heard: string[] = []

  constructor(host: string, port = 6881, holepunches = true) {
    this.host = host
    this.port = port
    this.holepunches = holepunches
  }

  sendHolepunch(payload: Uint8Array): void {
    const { kind, host, port, error } = parseHolepunch(payload)!
    this.heard.push(`${kind} ${host} ${port}${error > 0 ? ` ${error}` : ''}`)
  }
}

function relay(...peers: Fake[]): {
  punched: string[]
  holepunch: Holepunch<Fake>
  host: { nowMs: number }
} {
  const punched: string[] = []
  const host = {
    nowMs: 0,
    peers: new Set(peers),
    punch: (host: string, port: number) => punched.push(`${host} ${port}`),
  }
  return { punched, host, holepunch: new Holepunch<Fake>(host) }
}

const ask = (host: string, port = 6881): Uint8Array =>
  encodeHolepunch({ kind: 'rendezvous', host, port, error: 0 })!

test('a relay tells both of each other, by the port that the NAT gave them', () => {
  const [near, far] = [new Fake('10.0.0.1', 1111), new Fake('10.0.0.2', 2222)]
  const { holepunch } = relay(near, far)
  holepunch.onMessage(near, ask('10.0.0.2'))
  assert.deepEqual(near.heard, ['connect 10.0.0.2 2222'])
  assert.deepEqual(far.heard, ['connect 10.0.0.1 1111'])
})

test('a relay says why it does not', () => {
  const near = new Fake('10.0.0.1')
  const mute = new Fake('10.0.0.2', 6881, false)
  const { holepunch } = relay(near, mute, new Fake('2001:db8::1'))
  for (const host of ['10.0.0.9', '10.0.0.2', '10.0.0.1', '2001:db8::1']) {
    holepunch.onMessage(near, ask(host))
  }
  assert.deepEqual(near.heard, [
    'error 10.0.0.9 6881 2',
    'error 10.0.0.2 6881 3',
    'error 10.0.0.1 6881 4',
    'error 2001:db8::1 6881 1',
  ])
  assert.deepEqual(mute.heard, [])
})

test('who asks too often is not heard, nor who orders too often', () => {
  const [near, far] = [new Fake('10.0.0.1'), new Fake('10.0.0.2')]
  const { holepunch, punched, host } = relay(near, far)
  for (let i = 0; i < 100; i++) holepunch.onMessage(near, ask('10.0.0.2'))
  assert.equal(far.heard.length, 20)
  for (let i = 1; i <= 100; i++) {
    const order = encodeHolepunch({ kind: 'connect', host: `10.9.9.${i}`, port: 7, error: 0 })!
    holepunch.onMessage(near, order)
  }
  assert.equal(punched.length, 20)
  host.nowMs += MINUTE_MS
  holepunch.onMessage(near, ask('10.0.0.2'))
  assert.equal(far.heard.length, 21)
})

test('whoever told of an address is asked when it cannot be reached, once in five minutes', () => {
  const [gone, teller, mute] = [
    new Fake('10.0.0.1'),
    new Fake('10.0.0.2'),
    new Fake('10.0.0.3', 1, false),
  ]
  const { holepunch, host } = relay(gone, teller, mute)
  const address = { host: '10.7.7.7', port: 77 }
  for (const peer of [gone, teller, mute]) holepunch.told(peer, [address])
  gone.closed = true
  holepunch.unreached('10.8.8.8', 77)
  for (let i = 0; i < 3; i++) holepunch.unreached('10.7.7.7', 77)
  assert.deepEqual(teller.heard, ['rendezvous 10.7.7.7 77'])
  host.nowMs += 5 * MINUTE_MS
  holepunch.unreached('10.7.7.7', 77)
  assert.equal(teller.heard.length, 2)
  for (let i = 0; i < 5_000; i++) holepunch.told(teller, [{ host: '10.1.1.1', port: 1 + i }])
  assert.ok(holepunch.size <= 2_000)
})

/**
 * Two behind NATs, one of which has the second half, and between them somebody who has the first half, gives little of it and
 * wants no more. Answers whether the other one gets the second half in ten minutes.
 */
async function throughNats(allows: boolean): Promise<boolean> {
  const nated = new Set(['10.0.0.2', '10.0.0.3'])
  const swarm = new Swarm(7, {
    isBehindNat: (host) => nated.has(host),
    tamper: (_from, bytes, stream) => {
      const { remoteAddress } = stream as FakeSocket
      for (let at = 0; at + 2 < bytes.length; at++) {
        // One of them does not hear of the other, or they would try to connect at the same moment by chance.
        const isPex = bytes[at] === 20 && bytes[at + 1] === 2 && bytes[at + 2] === 0x64
        if (isPex && remoteAddress === '10.0.0.2') bytes[at + 1] = 98
        // An extended message (20) with our number for ut_holepunch becomes one that nobody knows.
        const isHolepunch = bytes[at] === 10 && bytes[at + 1] === 20 && bytes[at + 2] === 4
        if (isHolepunch && !allows) bytes[at + 2] = 99
      }
    },
  })
  const content = swarm.content(512 * KIB, 64 * KIB, [256 * KIB, 256 * KIB])
  const first = (piece: number): boolean => piece < 4
  const second = (piece: number): boolean => piece >= 4
  const open = async (host: string, keep: (piece: number) => boolean, isRelay: boolean) => {
    const volume = await swarm.holding(content, keep)
    const engine = await swarm.engine(host, volume, {
      utp: 'on',
      ...(isRelay ? { rates: { up: 100 } } : {}),
    })
    const stored = [...volume.torrents()][0]!
    const torrent = engine.open(stored, content.info, {
      trackers: [],
      peers: isRelay ? [] : [{ host: '10.0.0.1', port: 6881 }],
      ...(isRelay ? { priorities: () => [priorities.normal, priorities.skip] } : {}),
    })
    if (!isRelay) await swarm.until(() => torrent.progress().peers > 0, 30_000)
    return { torrent, stored }
  }
  await open('10.0.0.1', first, true)
  await open('10.0.0.2', second, false)
  const { torrent, stored } = await open('10.0.0.3', () => false, false)
  const endMs = swarm.clock.monotonicMs() + 10 * MINUTE_MS
  const done = (): boolean => [4, 5, 6, 7].every((piece) => stored.have.has(piece))
  await swarm.until(() => done() || swarm.clock.monotonicMs() >= endMs, 11 * MINUTE_MS, 50)
  assert.equal(torrent.progress().utpPeers > 0, done())
  const isDone = done()
  await swarm.stop()
  return isDone
}

test('two behind NATs meet through a third, and only so', async () => {
  assert.equal(await throughNats(true), true)
  assert.equal(await throughNats(false), false)
})
