/** Peer exchange: the message, the gossip, and swarms whose members know only one of the others. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeDictionary, getBytes } from '../../src/bencode/index.ts'
import { type Gossip, PeerExchange } from '../../src/engine/peer-exchange.ts'
import { encodeExtendedHandshake } from '../../src/engine/wire/extended.ts'
import * as messages from '../../src/engine/wire/messages.ts'
import { encodePex, MAX_PEX_PEERS, PEX_ENCRYPTION, parsePex } from '../../src/engine/wire/pex.ts'
import { buildInfo, type TorrentInfo } from '../../src/metainfo/index.ts'
import { RawPeer } from './raw-peer.ts'
import { Swarm } from './swarm.ts'

const MINUTE_MS = 60_000

test('peers are read as they were written, fifty of each family', () => {
  const peer4 = { host: '10.0.0.1', port: 6881, flags: 2 }
  const peer6 = { host: '2001:db8::5', port: 7, flags: 0 }
  const bare = ({ host, port }: typeof peer4) => ({ host, port })
  assert.deepEqual(parsePex(encodePex([peer6, peer4], [])), [bare(peer4), bare(peer6)])
  assert.deepEqual(parsePex(encodePex([], [peer4])), [], 'those that left are nobody to connect to')
  const many = Array.from({ length: 80 }, (_, i) => ({ ...peer4, port: 1000 + i }))
  assert.equal(parsePex(encodePex(many, [])).length, MAX_PEX_PEERS)
})

test('any payload is peers or a broken protocol', () => {
  const whole = encodePex([{ host: '10.0.0.1', port: 6881, flags: 2 }], [])
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 }), (at, byte) => {
      const bytes = whole.slice()
      bytes[at] = byte
      try {
        for (const { port } of parsePex(bytes)) assert.ok(port > 0)
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'ENGINE_PROTOCOL')
      }
    }),
    { numRuns: 500 },
  )
})

class Listener implements Gossip {
  readonly outgoing = true
  readonly isSeed = false
  readonly wantsPex = true
  readonly listenPort = 6881
  readonly transport = 'tcp'
  readonly holepunches = false
  readonly encrypts: boolean = false
  readonly host: string
  readonly heard: string[][] = []

  constructor(host: string) {
    this.host = host
  }

  sendPex(payload: Uint8Array): void {
    this.heard.push(parsePex(payload).map(({ host }) => host))
  }
}

const sorted = (heard: readonly string[][]): string[][] => heard.map((hosts) => [...hosts].sort())

test('who is new is told of the others at once, and everybody once a minute of who came', () => {
  const exchange = new PeerExchange<Listener>(0)
  const peers = Array.from({ length: 120 }, (_, i) => new Listener(`10.0.0.${i}`))
  const [a, b, c] = peers as [Listener, Listener, Listener]
  exchange.tick(0, [a])
  assert.deepEqual(a.heard, [], 'there is nobody to tell of')
  for (let ms = 1000; ms <= 3 * MINUTE_MS; ms += 1000) exchange.tick(ms, [a, b, c])
  // At first of the others; then one message for all tells each of itself, too, which it will find out.
  assert.deepEqual(sorted(a.heard), [
    ['10.0.0.1', '10.0.0.2'],
    ['10.0.0.0', '10.0.0.1', '10.0.0.2'],
  ])
  for (let ms = 3 * MINUTE_MS; ms <= 9 * MINUTE_MS; ms += 1000) exchange.tick(ms, peers)
  for (const { host, heard } of peers) {
    assert.ok(heard.every((hosts) => hosts.length <= MAX_PEX_PEERS))
    assert.ok(heard.length <= 8, 'no more than a message a minute, and one at first')
    if (host !== '10.0.0.0') continue
    assert.equal(new Set(heard.flat()).size, 120, 'all that came are told of, in the end')
  }
})

test('who was told of all shortly before the others is not told twice, and misses nothing', () => {
  const exchange = new PeerExchange<Listener>(0)
  const told: [number, string[]][] = []
  class Late extends Listener {
    override sendPex(payload: Uint8Array): void {
      super.sendPex(payload)
      told.push([nowMs, this.heard.at(-1)!.sort()])
    }
  }
  const [a, b, c] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'].map((host) => new Listener(host))
  const late = new Late('10.0.0.9')
  let nowMs = 0
  for (; nowMs <= 3 * MINUTE_MS; nowMs += 1000) {
    const peers = [a!, ...(nowMs >= 50_000 ? [late] : []), ...(nowMs >= 55_000 ? [b!] : [])]
    exchange.tick(nowMs, nowMs >= MINUTE_MS + 10_000 ? [...peers, c!] : peers)
  }
  assert.deepEqual(told, [
    [50_000, ['10.0.0.1']],
    [2 * MINUTE_MS, ['10.0.0.1', '10.0.0.2', '10.0.0.3']],
  ])
})

test('of what a peer says too often nothing is believed', () => {
  const exchange = new PeerExchange<Listener>(0)
  const liar = new Listener('10.6.6.6')
  const payload = encodePex([{ host: '10.0.0.1', port: 6881, flags: 0 }], [])
  const believed = [0, 1, 1000, 44_000, MINUTE_MS, MINUTE_MS + 1].map(
    (ms) => exchange.receive(liar, payload, ms).length,
  )
  assert.deepEqual(believed, [1, 0, 0, 0, 1, 0])
})

/** A seeder, a leecher that knows it, and one that knows only that leecher: how many peers the last one gets to. */
async function chain(seed: number, hide: boolean): Promise<number> {
  // So slow that the first leecher is not complete meanwhile, when it would leave the seeder.
  const swarm = new Swarm(seed, { bytesPerMs: 2 })
  const content = swarm.content(2_000_000, 64 * 1024)
  const { info } = content
  const shown: TorrentInfo = !hide
    ? info
    : buildInfo({
        name: info.name,
        multiFile: false,
        files: info.files,
        pieceBytes: info.pieceBytes,
        pieceHashes: info.pieceHashes,
        private: true,
      })
  const volume = await swarm.holding({ bytes: content.bytes, info: shown })
  const seeder = await swarm.engine('10.0.0.1', volume)
  seeder.open(volume.get(shown.infoHash)!, shown, { trackers: [] })
  const near = await swarm.engine('10.0.0.2', swarm.volume())
  const far = await swarm.engine('10.0.0.3', swarm.volume())
  await near.add(shown, { trackers: [], peers: [{ host: '10.0.0.1', port: 6881 }] })
  const torrent = await far.add(shown, {
    trackers: [],
    peers: [{ host: '10.0.0.2', port: 6881 }],
  })
  const endMs = swarm.clock.monotonicMs() + 3 * MINUTE_MS
  await swarm.until(() => swarm.clock.monotonicMs() >= endMs, 4 * MINUTE_MS, 200)
  const { peers } = torrent.progress()
  await swarm.stop()
  return peers
}

test('a peer is found through another one, unless the torrent is private', async () => {
  assert.equal(await chain(80, false), 2)
  assert.equal(await chain(80, true), 1)
})

test('who would rather be connected to encrypted is told of as such', async () => {
  for (const encryption of ['offered', 'preferred'] as const) {
    const swarm = new Swarm(81, { bytesPerMs: 2 })
    const content = swarm.content(2_000_000, 64 * 1024)
    const volume = await swarm.holding(content)
    const seeder = await swarm.engine('10.0.0.1', volume, { encryption })
    seeder.open(volume.get(content.info.infoHash)!, content.info, { trackers: [] })
    // In plaintext, so that it has nothing to go by but the seeder's word.
    const near = await swarm.engine('10.0.0.2', swarm.volume(), { encryption: 'off' })
    await near.add(content.info, { trackers: [], peers: [{ host: '10.0.0.1', port: 6881 }] })
    swarm.clock.advance(1_000)
    const peer = new RawPeer(swarm, '10.0.0.3', '10.0.0.2')
    let flags: number | undefined
    peer.onMetadata = (payload) => {
      flags = getBytes(decodeDictionary(payload), 'added.f')?.[0]
    }
    peer.handshake(content.info.infoHash)
    peer.bare(messages.writeHaveNone)
    peer.extended(0, encodeExtendedHandshake({ messages: new Map([['ut_pex', 9]]) }))
    await swarm.until(() => flags !== undefined, 10_000)
    assert.equal(flags! & PEX_ENCRYPTION, encryption === 'preferred' ? PEX_ENCRYPTION : 0)
    await swarm.stop()
  }
})
