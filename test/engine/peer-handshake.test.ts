/** By which name a torrent is called in our handshake, and what is known of who answers. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PeerHandshake } from '../../src/engine/peer-handshake.ts'
import { TorrentNames } from '../../src/engine/torrent-names.ts'
import { type Handshake, parseHandshake } from '../../src/engine/wire/handshake.ts'
import { SentByWriter } from './sent-by-writer.ts'

const V1 = new Uint8Array(20).fill(1)
const V2 = new Uint8Array(32).fill(2)
const V2_NAME = V2.slice(0, 20)
const OURS = new Uint8Array(20).fill(7)
const THEIRS = new Uint8Array(20).fill(8)

const plain = (): TorrentNames => new TorrentNames(V1)
const hybrid = (): TorrentNames => new TorrentNames(V1, V2)

function scene(names: TorrentNames, name?: Uint8Array, dhtPort?: number) {
  const wire = new SentByWriter()
  const handshake = new PeerHandshake({ names, peerId: OURS, dhtPort: () => dhtPort }, name)
  const sent = (): Handshake => {
    handshake.send(wire.writer, '10.0.0.9')
    return parseHandshake(wire.take())!
  }
  const hear = (infoHash: Uint8Array, supportsV2 = false): void =>
    handshake.receive({
      infoHash,
      peerId: THEIRS,
      supportsExtended: true,
      supportsFast: true,
      supportsV2,
      supportsDht: false,
    })
  return { handshake, sent, hear }
}

for (const [what, names, said, v2, answer, speaksV2] of [
  ['a torrent of v1 answers by its only name', plain, V1, true, V1, false],
  ['a hybrid answers by v1 to who knows nothing else', hybrid, V1, false, V1, false],
  ['a hybrid answers by v2 to who knows it', hybrid, V1, true, V2_NAME, true],
  ['a hybrid answers by v2 to who says that name', hybrid, V2_NAME, false, V2_NAME, true],
] as const) {
  test(what, () => {
    const { handshake, sent, hear } = scene(names())
    assert.equal(handshake.outgoing, false)
    assert.equal(handshake.peerId, undefined)
    hear(said, v2)
    assert.deepEqual(handshake.peerId, THEIRS)
    assert.ok(handshake.supportsFast)
    assert.deepEqual(sent().infoHash, answer)
    assert.equal(handshake.speaksV2, speaksV2)
  })
}

test('who connects calls the torrent by the name that it was found by, whatever the answer says', () => {
  const { handshake, sent, hear } = scene(hybrid(), V1)
  assert.ok(handshake.outgoing)
  assert.deepEqual(sent().infoHash, V1)
  hear(V2_NAME, true)
  assert.ok(handshake.speaksV2)
  assert.deepEqual(sent().infoHash, V1)
})

test('v2 is spoken once the torrent is known to have it', () => {
  const names = plain()
  const { handshake, hear } = scene(names, V1)
  hear(V1, true)
  assert.ok(!handshake.speaksV2)
  names.learn({ infoHash: V1, infoHashV2: V2 } as Parameters<TorrentNames['learn']>[0])
  assert.ok(handshake.speaksV2)
})

test('our handshake offers v2 where the torrent has it, and the DHT where that may be spoken of', () => {
  const told = (names: TorrentNames, dhtPort?: number): readonly [boolean, boolean] => {
    const { supportsV2, supportsDht } = scene(names, V1, dhtPort).sent()
    return [supportsV2, supportsDht]
  }
  assert.deepEqual(told(plain()), [false, false])
  assert.deepEqual(told(hybrid()), [true, false])
  assert.deepEqual(told(plain(), 6881), [false, true])
})

test('a handshake for another torrent is refused, and its sender known', () => {
  const { handshake, hear } = scene(hybrid())
  assert.throws(() => hear(new Uint8Array(20).fill(3)), { code: 'ENGINE_PROTOCOL' })
  assert.deepEqual(handshake.peerId, THEIRS)
})
