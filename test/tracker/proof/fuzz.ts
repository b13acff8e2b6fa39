/**
 * Packets, requests and messages that were right and then were changed at random, given to the handlers behind both front ends: nothing
 * is thrown, every call returns, no answer is longer than allowed, and what is passed on is JSON.
 */
import assert from 'node:assert/strict'
import { below, ManualClock, type Random, seededRandom } from '../../../src/base/index.ts'
import { createPeerStore } from '../../../src/peer-store/index.ts'
import { Announcer } from '../../../src/tracker/announce.ts'
import { ConnectionIds, makeConnectionIds } from '../../../src/tracker/connection-id.ts'
import { Counters } from '../../../src/tracker/counters.ts'
import { HookList } from '../../../src/tracker/hooks/hook.ts'
import { HttpHead, MAX_HEAD_BYTES, parseHead } from '../../../src/tracker/http-codec.ts'
import { HttpHandler } from '../../../src/tracker/http-handler.ts'
import { settle } from '../../../src/tracker/options.ts'
import { parseProxyHeader } from '../../../src/tracker/proxy-protocol.ts'
import { MAX_REPLY_BYTES, UdpHandler } from '../../../src/tracker/udp-handler.ts'
import { Arena } from '../../../src/tracker/websocket/arena.ts'
import { Frame, parseFrame } from '../../../src/tracker/websocket/frames.ts'
import { SignalHandler, type SignalPeer } from '../../../src/tracker/websocket/handler.ts'
import type { Member } from '../../../src/tracker/websocket/swarms.ts'
import { Swarms } from '../../../src/tracker/websocket/swarms.ts'
import { mutate } from '../../mutate.ts'
import { hashOf, webSocketAnnounce } from './load.ts'

const ADDRESSES = [Uint8Array.of(192, 0, 2, 7), new Uint8Array(16).fill(0x20)]

/** `count` mutations for each codec; the seed is in the message of a failure. */
export function fuzz(seed: number, count: number): { readonly answered: number } {
  const random = seededRandom(seed)
  let answered = 0
  const fuzzers = [udpFuzzer(random), httpFuzzer(random), signalFuzzer(random), frameFuzzer(random)]
  for (let n = 0; n < count; n++) {
    for (const once of fuzzers) {
      try {
        if (once()) answered++
      } catch (error) {
        throw new Error(`seed ${seed}, round ${n}: ${(error as Error).message}`, { cause: error })
      }
    }
  }
  return { answered }
}

function parts(random: Random) {
  const clock = new ManualClock(1e6)
  const store = createPeerStore({ clock, random, maxMemoryBytes: 16 * 2 ** 20 })
  const settings = settle({ http: { announceRoutes: ['/announce', '/:key/announce'] } })
  return { clock, store, settings, counters: new Counters() }
}

function udpFuzzer(random: Random): () => boolean {
  const { clock, store, settings, counters } = parts(random)
  const connectionIds = new ConnectionIds(clock, makeConnectionIds(clock, random))
  const announcer = new Announcer(store, settings.udp.policy, new HookList())
  const handler = new UdpHandler({ ...settings.udp, store, counters, connectionIds, announcer })
  const connect = Buffer.alloc(16)
  connect.writeBigUInt64BE(0x41727101980n)
  const announce = Buffer.concat([
    Buffer.alloc(98),
    Buffer.of(2, 9),
    Buffer.from('/announce'),
    Buffer.of(2, 3),
    Buffer.from('?x='),
    Buffer.of(1, 0),
  ])
  announce.writeUInt32BE(1, 8)
  const scrape = Buffer.alloc(16 + 20 * 74)
  scrape.writeUInt32BE(2, 8)
  const seeds = [connect, announce, scrape]
  return () => {
    const address = ADDRESSES[below(random, 2)]!
    const seed = seeds[below(random, 3)]!
    const proven = seed !== connect && below(random, 8) > 0
    if (proven) connectionIds.issue(address, seed)
    else if (seed !== connect) random.fill(seed.subarray(0, 8))
    const packet = mutate(seed, random, 2048)
    const stillProven = packet.length >= 16 && connectionIds.isValid(address, packet, 0)
    const length = handler.handle(packet, address)
    assert.ok(length <= MAX_REPLY_BYTES[address.length === 4 ? 4 : 6], `${length} bytes`)
    if (!stillProven)
      assert.ok(length <= packet.length, 'an unproven address gets no more than it sent')
    return length > 0
  }
}

function httpFuzzer(random: Random): () => boolean {
  const { store, settings, counters } = parts(random)
  const { http } = settings
  const announcer = new Announcer(store, http.policy, new HookList())
  const { maxWanted } = http.policy
  const handler = new HttpHandler({ ...http, store, counters, announcer, maxWanted })
  const head = new HttpHead()
  const escaped = '%5a'.repeat(20)
  const seeds = [
    `GET /announce?info_hash=${escaped}&peer_id=-PR0001-000000000000&port=1&uploaded=0&downloaded=0&left=1&compact=0 HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n`,
    `GET /k/announce?info_hash=${escaped}&peer_id=-PR0001-000000000000&port=1&uploaded=0&downloaded=0&left=0&numwant=99&event=paused&ipv6=[::1]:1 HTTP/1.0\r\n\r\n`,
    `GET /scrape?${Array.from({ length: 60 }, () => `info_hash=${escaped}`).join('&')} HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4, ::1\r\n\r\n`,
    'GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
  ].map((text) => Buffer.from(text))
  const proxy = Buffer.concat([
    Buffer.from([
      0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11, 0, 12,
    ]),
    Buffer.alloc(12, 9),
  ])
  return () => {
    parseProxyHeader(mutate(proxy, random, 4096))
    const request = mutate(seeds[below(random, seeds.length)]!, random, MAX_HEAD_BYTES + 64)
    const parsed = parseHead(request, 0, request.length, head)
    if (parsed === 'more') return false
    const address = ADDRESSES[below(random, 2)]!
    if (parsed === 'request') {
      assert.ok(head.length <= request.length)
      handler.handle(request, head, address)
    } else handler.refuse(parsed, address, 'close', head.isHead)
    const answer = handler.reply.subarray(handler.start, handler.end)
    assert.ok(answer.length > 0 && handler.end <= handler.reply.length)
    const text = Buffer.from(answer).toString('latin1')
    const [top, ...rest] = text.split('\r\n\r\n')
    const announcedBytes = Number(/Content-Length: (\d+)/.exec(top!)![1])
    if (!head.isHead) assert.equal(rest.join('\r\n\r\n').length, announcedBytes)
    return true
  }
}

class FuzzPeer implements SignalPeer {
  readonly members: Member[] = []
  readonly address: Uint8Array
  readonly target = Buffer.from('/')
  readonly queryStart = 1
  readonly passkeyStart = -1
  readonly passkeyEnd = -1
  frames = 0
  readonly #most: number
  readonly #arena: Arena

  constructor(address: Uint8Array, most: number, arena: Arena) {
    this.address = address
    this.#most = most
    this.#arena = arena
  }

  send(from: number, end: number): void {
    const frame = this.#arena.memory.subarray(from, end)
    assert.ok(frame.length <= this.#most, `${frame.length} bytes`)
    const short = frame[1]!
    const start = short === 127 ? 10 : short === 126 ? 4 : 2
    const message = JSON.parse(utf8.decode(frame.subarray(start))) as Record<string, unknown>
    assert.ok(message.action === 'announce' || message.action === 'scrape')
    this.frames++
  }

  challenge(): void {}
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** A message is taken for JSON exactly when it is: node's own reader is the model. */
function signalFuzzer(random: Random): () => boolean {
  const { settings, counters } = parts(random)
  const swarms = new Swarms(random)
  const arena = new Arena()
  const { policy } = settings.websocket
  const common = { swarms, policy, counters, limiter: null, arena, second: () => 1 }
  const handler = new SignalHandler({ ...common, hooks: new HookList() })
  const most = 4096
  const peers = Array.from(
    { length: 4 },
    (_, n) => new FuzzPeer(ADDRESSES[n % 2]!, 2 * most + 512, arena),
  )
  const messages = [
    webSocketAnnounce(1, 1, 2).subarray(8),
    webSocketAnnounce(2, 1, 0).subarray(6 + 2),
    Buffer.from(
      JSON.stringify({
        action: 'announce',
        info_hash: hashOf(1).toString('latin1'),
        peer_id: '-PR0001-000000000001',
        to_peer_id: '-PR0001-000000000002',
        offer_id: '\u00ff'.repeat(20),
        answer: { type: 'answer', sdp: 'é\u{1f600}\\"\n', n: [1.5e-7, -0, true, null, {}, []] },
      }),
    ),
    Buffer.from(JSON.stringify({ action: 'scrape', info_hash: ['a'.repeat(20), '\0'.repeat(20)] })),
  ]
  return () => {
    const bytes = mutate(messages[below(random, messages.length)]!, random, most)
    let model: unknown
    let isJson = true
    try {
      model = JSON.parse(utf8.decode(bytes))
    } catch {
      isJson = false
    }
    const isMessage = isJson && typeof model === 'object' && model !== null && !Array.isArray(model)
    const peer = peers[below(random, peers.length)]!
    const before = peer.frames
    // Node reads past a byte order mark, and deeper than we do.
    const hasMark = bytes[0] === 0xef
    assert.equal(
      handler.handle(bytes, 0, bytes.length, peer),
      isMessage && !hasMark,
      'as JSON.parse',
    )
    arena.endTurn(true)
    return peer.frames > before
  }
}

function frameFuzzer(random: Random): () => boolean {
  const frame = new Frame()
  const seeds = [
    webSocketAnnounce(1, 1, 1),
    Buffer.concat([Buffer.of(0x89, 0x82, 1, 2, 3, 4), Buffer.from('ab')]),
    Buffer.of(0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 9, 9, 9, 9),
  ]
  return () => {
    const bytes = mutate(seeds[below(random, seeds.length)]!, random, 4096)
    let at = 0
    let frames = 0
    while (at < bytes.length) {
      const parsed = parseFrame(bytes, at, bytes.length, 2048, frame)
      if (parsed !== 'frame') break
      assert.ok(frame.start <= frame.end && frame.end <= bytes.length && frame.end > at)
      assert.ok(frame.end - frame.start <= 2048)
      at = frame.end
      frames++
    }
    return frames > 0
  }
}
