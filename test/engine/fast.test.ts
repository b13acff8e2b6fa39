/** The fast extension (BEP 6): what a choked peer may ask for, what is suggested, what becomes of hints. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bitfield } from '../../src/base/index.ts'
import { allowedFast } from '../../src/engine/allowed-fast.ts'
import * as messages from '../../src/engine/wire/messages.ts'
import { RawPeer } from './raw-peer.ts'
import { BLOCK_BYTES, type Content, Swarm } from './swarm.ts'

const CHUNK = 16_384
const PIECE = BLOCK_BYTES / 8

test("the sets are the BEP's own, and stay the same in a network", () => {
  const infoHash = new Uint8Array(20).fill(0xaa)
  const seven = [1059, 431, 808, 1217, 287, 376, 1188]
  assert.deepEqual(allowedFast('80.4.4.200', infoHash, 1313, 7), seven)
  assert.deepEqual(allowedFast('80.4.4.200', infoHash, 1313, 9), [...seven, 353, 508])
  assert.deepEqual(allowedFast('80.4.4.3', infoHash, 1313, 7), seven)
  assert.notDeepEqual(allowedFast('80.4.5.3', infoHash, 1313, 7), seven)
  assert.deepEqual([...allowedFast('1.2.3.4', infoHash, 3)].sort(), [0, 1, 2])
  assert.deepEqual(allowedFast('2001:db8::1', infoHash, 1313), [])
})

async function scene(
  seed: number,
  holding: 'all' | 'nothing',
  options = {},
): Promise<{ swarm: Swarm; content: Content; meet: (id: number) => Promise<RawPeer> }> {
  const swarm = new Swarm(seed)
  const content = swarm.content(64 * PIECE, PIECE)
  const volume = await swarm.holding(content, () => holding === 'all')
  const engine = await swarm.engine('10.0.0.1', volume, options)
  engine.open(volume.get(content.info.infoHash)!, content.info, { trackers: [] })
  const meet = async (id: number): Promise<RawPeer> => {
    const peer = new RawPeer(swarm, `10.0.${id}.1`, '10.0.0.1')
    peer.handshake(content.info.infoHash, id)
    await swarm.until(() => peer.count('extended 0') > 0, 5_000)
    return peer
  }
  return { swarm, content, meet }
}

test('under a limit of what may be sent nobody is allowed anything while it is choked', async () => {
  const { swarm, meet } = await scene(6, 'all', { uploadSlots: 0, rates: { up: 100_000 } })
  const peer = await meet(1)
  peer.bare(messages.writeHaveNone)
  peer.bare(messages.writeInterested)
  peer.request(3, 0, CHUNK)
  await swarm.until(() => peer.count('reject') === 1, 5_000)
  assert.equal(peer.count('allowed fast'), 0)
  await swarm.stop()
})

test('who has nothing may ask for ten pieces though it is choked, twice over; for others not', async () => {
  const { swarm, content, meet } = await scene(1, 'all', { uploadSlots: 0 })
  const peer = await meet(1)
  peer.bare(messages.writeHaveNone)
  peer.bare(messages.writeInterested)
  await swarm.until(() => peer.count('allowed fast') === 10, 5_000)
  const allowed = peer.log
    .filter((line) => line.startsWith('allowed fast'))
    .map((line) => Number(line.split(' ')[2]))
  assert.deepEqual(allowed, allowedFast('10.0.1.1', content.info.infoHash, 64))
  const one = allowed[3]!
  const other = Array.from({ length: 64 }, (_, piece) => piece).find((p) => !allowed.includes(p))!
  peer.request(other, 0, CHUNK)
  for (let i = 0; i < 5; i++) peer.request(one, (i % 2) * CHUNK, CHUNK)
  await swarm.until(() => peer.count('piece') === 4 && peer.count('reject') === 2, 5_000)
  assert.equal(peer.count('unchoke'), 0)
  assert.equal(peer.count(`piece ${one}`), 4)
  assert.equal(peer.count(`reject ${other}`), 1)
  const from = one * PIECE
  assert.deepEqual(peer.chunks[0]!.bytes, content.bytes.slice(from, from + CHUNK))
  // Who has something is to earn it.
  const rich = await meet(2)
  rich.bare(messages.writeHaveAll)
  await swarm.until(() => true, 1_000)
  assert.equal(rich.count('allowed fast'), 0)
  await swarm.stop()
})

test('a choked leecher asks for what it is allowed, and for nothing else until it is unchoked', async () => {
  const { swarm, meet } = await scene(2, 'nothing')
  const peer = await meet(1)
  peer.bare(messages.writeHaveAll)
  await swarm.until(() => peer.count('interested') === 1, 5_000)
  assert.equal(peer.count('request'), 0)
  for (const piece of [40, 7]) {
    peer.say(messages.HAVE_BYTES, (b) => messages.writeAllowedFast(b, 0, piece))
  }
  await swarm.until(() => peer.count('request') === 4, 5_000)
  for (const piece of [40, 7]) assert.equal(peer.count(`request ${piece} `), 2)
  peer.bare(messages.writeUnchoke)
  await swarm.until(() => peer.count('request') > 4, 5_000)
  await swarm.stop()
})

function sayBitfield(peer: RawPeer, has: (piece: number) => boolean): void {
  const bits = new Bitfield(64)
  for (let piece = 0; piece < 64; piece++) if (has(piece)) bits.set(piece)
  peer.say(messages.BITFIELD_HEADER_BYTES + bits.bytes.length, (b) =>
    messages.writeBitfield(b, 0, bits.bytes),
  )
}

function suggestionsTo(peer: RawPeer): number[] {
  return peer.log
    .filter((line) => line.startsWith('suggest'))
    .map((line) => Number(line.split(' ')[1]))
}

test('what one has asked for, and is in memory now, is suggested to the others', async () => {
  const { swarm, meet } = await scene(3, 'all')
  const one = await meet(1)
  const other = await meet(2)
  sayBitfield(one, (piece) => piece !== 33)
  sayBitfield(other, (piece) => piece === 33)
  for (const peer of [one, other]) peer.bare(messages.writeInterested)
  await swarm.until(() => one.count('unchoke') > 0 && other.count('unchoke') > 0, 30_000)
  one.request(33, 0, CHUNK)
  await swarm.until(() => other.count('suggest') > 0, 10_000)
  const suggested = suggestionsTo(other)
  // A block of the read cache is a block of this volume: eight pieces.
  for (const piece of suggested) assert.equal(Math.floor(piece / 8), 4)
  assert.equal(new Set(suggested).size, suggested.length)
  await swarm.stop()
})

test('what no peer has is dealt to them, other pieces to each; what one had goes to the others when it leaves', async () => {
  const { swarm, meet } = await scene(5, 'all')
  const peers = [await meet(1), await meet(2), await meet(3)]
  for (const peer of peers) {
    // Nobody is told of what somebody has.
    sayBitfield(peer, (piece) => piece < 8)
    peer.bare(messages.writeInterested)
  }
  await swarm.until(() => peers.every((peer) => suggestionsTo(peer).length === 16), 30_000)
  const dealt = peers.flatMap(suggestionsTo)
  assert.equal(new Set(dealt).size, dealt.length)
  assert.ok(dealt.every((piece) => piece >= 8))
  const [one, two, three] = peers as [RawPeer, RawPeer, RawPeer]
  const unasked = suggestionsTo(three)
  // Eight are left: who has a piece that it was told of is told of the next.
  for (const piece of suggestionsTo(one).slice(0, 8)) {
    one.say(messages.HAVE_BYTES, (b) => messages.writeHave(b, 0, piece))
  }
  await swarm.until(() => suggestionsTo(one).length === 24, 10_000)
  assert.equal(new Set(peers.flatMap(suggestionsTo)).size, 56)
  three.socket.destroy()
  await swarm.until(() => true, 1_000)
  for (const piece of suggestionsTo(two).slice(0, 16)) {
    two.say(messages.HAVE_BYTES, (b) => messages.writeHave(b, 0, piece))
  }
  await swarm.until(() => suggestionsTo(two).length === 32, 10_000)
  assert.deepEqual(suggestionsTo(two).slice(16).sort(), [...unasked].sort())
  await swarm.stop()
})

test('a suggestion comes first among equally rare pieces', async () => {
  const { swarm, meet } = await scene(4, 'nothing')
  const peer = await meet(1)
  peer.bare(messages.writeHaveAll)
  peer.say(messages.HAVE_BYTES, (b) => messages.writeSuggest(b, 0, 43))
  peer.bare(messages.writeUnchoke)
  await swarm.until(() => peer.count('request') > 0, 5_000)
  const first = Number(peer.log.find((line) => line.startsWith('request'))!.split(' ')[1])
  assert.equal(Math.floor(first / 8), Math.floor(43 / 8))
  await swarm.stop()
})
