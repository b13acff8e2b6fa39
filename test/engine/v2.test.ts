/** BitTorrent v2 and hybrids between engines, and against peers that say what the test wants. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { below, seededRandom, toHex } from '../../src/base/index.ts'
import type { Engine } from '../../src/engine/index.ts'
import { TorrentNames } from '../../src/engine/torrent-names.ts'
import * as messages from '../../src/engine/wire/messages.ts'
import {
  type HashRange,
  type Magnet,
  merkleHeight,
  merkleLeaves,
  PieceHashes,
  pieceLayerOf,
  proofLayersTo,
  provesRange,
  readPieceLayers,
  type TorrentFormat,
} from '../../src/metainfo/index.ts'
import type { FakeVolume } from './fake-volume.ts'
import { RawPeer } from './raw-peer.ts'
import { assertSame, type Content, Swarm } from './swarm.ts'

const KIB = 1024
/** A large file of many pieces, some of one, some smaller than a leaf, an empty one. */
const SIZES = [1_300_000, 5, 0, 100_000, 16_384, 700_001, 32_768]
const none = { trackers: [] }
const seedPeers = [{ host: '10.0.0.1', port: 6881 }]

/** An engine that has all of `content`. */
async function seeding(swarm: Swarm, content: Content, address = '10.0.0.1'): Promise<Engine> {
  const volume = await swarm.holding(content)
  const engine = await swarm.engine(address, volume)
  const { layers = new Map() } = content
  engine.open(volume.get(content.info.infoHash)!, content.info, { ...none, layers })
  return engine
}

function isSeeding(engine: Engine, content: Content): () => boolean {
  return () => {
    const torrent = engine.get(content.info.infoHash)
    if (torrent?.error !== undefined) throw torrent.error
    return torrent?.progress().state === 'seeding'
  }
}

function assertLayers(volume: FakeVolume, content: Content): void {
  const stored = [...volume.stored.values()][0]!
  const kept = readPieceLayers(content.info, stored.layers, { prove: true })
  assert.deepEqual(kept, content.layers)
}

for (const format of ['v2', 'hybrid'] as const) {
  for (const pieceBytes of [16 * KIB, 64 * KIB, 512 * KIB]) {
    test(`a ${format} torrent in pieces of ${pieceBytes / KIB} KiB, from its .torrent file`, async () => {
      const swarm = new Swarm(520)
      const content = swarm.published(format, SIZES, pieceBytes)
      await seeding(swarm, content)
      const volume = swarm.volume()
      const leecher = await swarm.engine('10.0.0.2', volume)
      const { info, layers = new Map() } = content
      const torrent = await leecher.add(info, { ...none, layers, peers: seedPeers })
      await swarm.until(isSeeding(leecher, content), 60_000)
      assertSame(volume, content)
      assertLayers(volume, content)
      const { haveBytes, totalBytes, hashFailures } = torrent.progress()
      const bytes = SIZES.reduce((sum, size) => sum + size, 0)
      assert.deepEqual([haveBytes, totalBytes, hashFailures], [bytes, bytes, 0])
      await swarm.stop()
    })
  }
}

const magnetOf = ({ info }: Content, more: Partial<Magnet>): Magnet => ({
  infoHash: info.infoHash,
  name: undefined,
  trackers: [],
  peers: seedPeers,
  totalBytes: undefined,
  ...more,
})

const magnets: readonly (readonly [
  string,
  TorrentFormat,
  (content: Content) => Partial<Magnet>,
])[] = [
  ['v2 by its only name', 'v2', ({ info }) => ({ infoHashV2: info.infoHashV2 })],
  ['a hybrid by both names', 'hybrid', ({ info }) => ({ infoHashV2: info.infoHashV2 })],
  ['a hybrid by its v1 name', 'hybrid', () => ({})],
  [
    'a hybrid by its v2 name',
    'hybrid',
    ({ info }) => ({ infoHash: info.infoHashV2!.slice(0, 20), infoHashV2: info.infoHashV2 }),
  ],
]

for (const [what, format, more] of magnets) {
  test(`${what}, from a magnet link: dictionary, layers, content`, async () => {
    const swarm = new Swarm(521)
    const content = swarm.published(format, SIZES, 32 * KIB)
    await seeding(swarm, content)
    const volume = swarm.volume()
    const leecher = await swarm.engine('10.0.0.2', volume)
    const magnet = magnetOf(content, more(content))
    leecher.addMagnet(magnet, none)
    await swarm.until(isSeeding(leecher, content), 120_000)
    const stored = volume.stored.get(toHex(magnet.infoHash))!
    assert.ok(stored.complete)
    assert.equal(Buffer.compare(stored.data, content.bytes), 0)
    await swarm.until(() => stored.layers.length > 0, 10_000)
    assertLayers(volume, content)
    for (const name of [content.info.infoHash, content.info.infoHashV2!.slice(0, 20)]) {
      assert.equal(leecher.get(name), leecher.get(magnet.infoHash))
    }
    await leecher.remove(content.info.infoHash)
    assert.equal([...leecher.torrents()].length, 0)
    assert.equal(leecher.get(content.info.infoHashV2!.slice(0, 20)), undefined)
    await swarm.stop()
  })
}

test('a dictionary has to have all the hashes that were asked for', () => {
  const { info } = new Swarm(522).published('hybrid', SIZES, 32 * KIB)
  const { infoHash, infoHashV2, infoBytes } = info
  const other = new Uint8Array(32).fill(7)
  const judge = (...names: ConstructorParameters<typeof TorrentNames>): string =>
    new TorrentNames(...names).judge(infoBytes)
  assert.equal(judge(infoHash), 'right')
  assert.equal(judge(infoHash, infoHashV2), 'right')
  assert.equal(judge(infoHashV2!.slice(0, 20), infoHashV2), 'right')
  assert.equal(judge(other.slice(0, 20)), 'wrong')
  assert.equal(judge(infoHash, other), 'torn')
  assert.equal(judge(other.slice(0, 20), infoHashV2), 'torn')
  // The first 20 bytes of a name are not enough.
  const near = Uint8Array.from(infoHashV2!)
  near[31]! ^= 1
  assert.equal(judge(near.slice(0, 20), near), 'wrong')
})

test('layers of more pieces than one message has hashes', async () => {
  const swarm = new Swarm(529)
  const content = swarm.published(
    'v2',
    [600 * 16 * KIB, 513 * 16 * KIB, 1_025 * 16 * KIB - 1],
    16 * KIB,
  )
  await seeding(swarm, content)
  const volume = swarm.volume()
  const leecher = await swarm.engine('10.0.0.2', volume)
  const torrent = await leecher.add(content.info, { ...none, peers: seedPeers })
  await swarm.until(() => torrent.progress().state !== 'metadata', 60_000)
  assertLayers(volume, content)
  await swarm.stop()
})

test('layers that a .torrent file lacks, or has wrong, come from peers', async () => {
  for (const format of ['v2', 'hybrid'] as const) {
    const swarm = new Swarm(523)
    const content = swarm.published(format, SIZES, 32 * KIB)
    await seeding(swarm, content)
    const volume = swarm.volume()
    const leecher = await swarm.engine('10.0.0.2', volume)
    const [[root, layer]] = [...content.layers!]
    const layers = new Map([[root!, layer!]])
    const torrent = await leecher.add(content.info, { ...none, layers, peers: seedPeers })
    await swarm.until(isSeeding(leecher, content), 60_000)
    assert.equal(torrent.error, undefined)
    assertSame(volume, content)
    await swarm.until(() => [...volume.stored.values()][0]!.layers.length > 0, 10_000)
    assertLayers(volume, content)
    await swarm.stop()
  }
})

test('what was downloaded of v2 before a restart is gone on from, its layers with it', async () => {
  const swarm = new Swarm(524, { bytesPerMs: 200 })
  const content = swarm.published('v2', SIZES, 32 * KIB)
  const { info, layers = new Map() } = content
  await seeding(swarm, content)
  const volume = swarm.volume()
  const first = await swarm.engine('10.0.0.2', volume)
  const torrent = await first.add(info, { ...none, layers, peers: seedPeers })
  await swarm.until(() => torrent.progress().havePieces > 20, 60_000)
  await swarm.settled(first.stop())
  const held = [...volume.stored.values()][0]!.have.count
  assert.ok(held > 10)
  const second = await swarm.engine('10.0.0.2', volume)
  const kept = readPieceLayers(info, [...volume.stored.values()][0]!.layers, { prove: false })
  const again = second.open(volume.get(info.infoHash)!, info, {
    ...none,
    layers: kept,
    peers: seedPeers,
  })
  assert.ok(again.progress().havePieces >= held)
  await swarm.until(isSeeding(second, content), 60_000)
  assertSame(volume, content)
  await swarm.stop()
})

interface Scene {
  readonly swarm: Swarm
  readonly content: Content
  readonly engine: Engine
  meet(name?: Uint8Array, supportsV2?: boolean, address?: string): Promise<RawPeer>
}

async function scene(format: TorrentFormat, pieceBytes = 32 * KIB): Promise<Scene> {
  const swarm = new Swarm(525)
  const content = swarm.published(format, SIZES, pieceBytes)
  const engine = await seeding(swarm, content)
  const meet = async (
    name = content.info.infoHash,
    supportsV2 = true,
    address = '10.0.9.1',
  ): Promise<RawPeer> => {
    const peer = new RawPeer(swarm, address, '10.0.0.1')
    peer.handshake(name, 1, true, supportsV2)
    await swarm.until(() => peer.count('extended 0') > 0 || peer.closed, 5_000)
    return peer
  }
  return { swarm, content, engine, meet }
}

test('a hybrid answers to both names, and by that of v2 where that is understood', async () => {
  const { swarm, content, meet } = await scene('hybrid')
  const { infoHash, infoHashV2 } = content.info
  const v1 = toHex(infoHash)
  const v2 = toHex(infoHashV2!).slice(0, 40)
  for (const [name, supportsV2, answer] of [
    [infoHash, false, v1],
    [infoHash, true, v2],
    [infoHashV2!.slice(0, 20), true, v2],
    [infoHashV2!.slice(0, 20), false, v2],
  ] as const) {
    const peer = await meet(name, supportsV2)
    assert.equal(peer.count(`handshake ${answer}`), 1)
    peer.socket.destroy()
  }
  await swarm.stop()
})

test('an answer for another torrent ends the connection', async () => {
  const { swarm, content } = await scene('hybrid')
  const leecher = await swarm.engine('10.0.0.2', swarm.volume())
  const torrent = leecher.addMagnet(magnetOf(content, { peers: [] }), none)
  const raw = swarm.internet.host('10.0.0.3')
  let closed = 0
  await raw.listen(['0.0.0.0'], 6881, (socket) => {
    socket.onData = (bytes) => {
      const answer = Uint8Array.from(bytes)
      answer.fill(9, 28, 68)
      socket.write(answer)
    }
    socket.onClose = () => {
      closed++
    }
  })
  torrent.addPeers([{ host: '10.0.0.3', port: 6881 }])
  await swarm.until(() => closed > 0, 10_000)
  await swarm.stop()
})

test('one who knows v1 alone gets pieces of a hybrid with their filler, as zeros', async () => {
  const { swarm, content, meet } = await scene('hybrid')
  const { info } = content
  const hashes = new PieceHashes(info)
  const peer = await meet(info.infoHash, false)
  peer.bare(messages.writeInterested)
  await swarm.until(() => peer.count('unchoke') > 0, 30_000)
  for (let piece = 0; piece < info.pieceCount; piece++) {
    const length = hashes.pieceLength(piece)
    for (let begin = 0; begin < length; begin += 16_384) {
      peer.request(piece, begin, Math.min(16_384, length - begin))
    }
  }
  const chunks = Math.ceil(content.bytes.length / 16_384)
  await swarm.until(() => peer.chunks.length >= chunks, 60_000)
  for (const { piece, begin, bytes } of peer.chunks) {
    const at = piece * info.pieceBytes + begin
    assert.equal(Buffer.compare(bytes, content.bytes.subarray(at, at + bytes.length)), 0)
  }
  assert.equal(peer.closed, false)
  await swarm.stop()
})

test('the last piece of v2 may be asked for as if it were whole', async () => {
  const { swarm, content, meet } = await scene('v2')
  const { info } = content
  const peer = await meet()
  peer.bare(messages.writeInterested)
  await swarm.until(() => peer.count('unchoke') > 0, 30_000)
  const last = info.pieceCount - 1
  peer.request(last, 0, 16_384)
  peer.request(last, 16_384, 16_384)
  await swarm.until(() => peer.chunks.length === 2, 10_000)
  const whole = Buffer.concat(peer.chunks.map(({ bytes }) => bytes))
  const rest = content.bytes.subarray(last * info.pieceBytes)
  assert.equal(Buffer.compare(whole.subarray(0, rest.length), rest), 0)
  assert.ok(whole.subarray(rest.length).every((byte) => byte === 0))
  peer.request(last, info.pieceBytes - 1, 2)
  await swarm.until(() => peer.closed, 5_000)
  await swarm.stop()
})

/** All ranges that can be asked of a file's tree at its leaves and its pieces, and their proofs to the root. */
function* ranges(bytes: number, pieceLayer: number): Generator<HashRange> {
  const height = merkleHeight(merkleLeaves(bytes))
  for (const baseLayer of new Set([0, Math.min(pieceLayer, height)])) {
    for (let span = height === baseLayer ? 1 : 0; span <= height - baseLayer; span++) {
      for (let index = 0; index < 2 ** (height - baseLayer); index += 2 ** span) {
        const proofLayers = proofLayersTo(height, baseLayer)
        yield { baseLayer, index, length: 2 ** span, proofLayers }
      }
    }
  }
}

test('hashes are given for leaves and pieces of every file, and prove themselves', async () => {
  const { swarm, content, meet } = await scene('v2', 64 * KIB)
  const { info } = content
  const peer = await meet()
  const asked: (readonly [Uint8Array, HashRange, number])[] = []
  for (const { piecesRoot, bytes } of info.files) {
    if (piecesRoot === undefined) continue
    for (const range of ranges(bytes, pieceLayerOf(info))) {
      asked.push([piecesRoot, range, merkleHeight(merkleLeaves(bytes))])
    }
  }
  assert.ok(asked.length > 100)
  for (const [at, [root, range]] of asked.entries()) {
    peer.hashRequest(root, range)
    await swarm.until(() => peer.received.length + peer.count('hash reject') > at, 10_000, 40)
  }
  // 1.3 MB are 128 leaves: the largest range of leaves that was asked for is whole.
  assert.equal(peer.count('hash reject'), 0)
  for (const [at, [root, range, height]] of asked.entries()) {
    assert.ok(provesRange(peer.received[at]!, range, root, height), JSON.stringify(range))
  }
  await swarm.stop()
})

test('what no tree has is refused: the connection stays', async () => {
  const { swarm, content, meet } = await scene('v2', 64 * KIB)
  const file = content.info.files.find(({ bytes }) => bytes === 1_300_000)!
  const root = file.piecesRoot!
  const random = seededRandom(1)
  const peer = await meet()
  const absurd: readonly (readonly [Uint8Array, Partial<HashRange>])[] = [
    [new Uint8Array(32), {}],
    [root, { baseLayer: 40 }],
    [root, { baseLayer: 7, length: 2 }],
    [root, { index: 1 }],
    [root, { index: 2 ** 31 }],
    [root, { length: 0 }],
    [root, { length: 2 ** 31 }],
    [root, { length: 1024 }],
    [root, { proofLayers: 2 ** 31 }],
    // Between leaves and pieces: nobody has to have those.
    [root, { baseLayer: 1, proofLayers: 0 }],
    ...Array.from({ length: 200 }, () => {
      const any = (): number => random.uint32() >>> below(random, 32)
      const range = { baseLayer: any(), index: any(), length: 600 + any(), proofLayers: any() }
      return [root, range] as const
    }),
  ]
  for (const [at, [of, range]] of absurd.entries()) {
    peer.hashRequest(of, { baseLayer: 2, index: 0, length: 2, proofLayers: 4, ...range })
    await swarm.until(() => peer.count('hash reject') > at, 5_000, 40)
  }
  assert.equal(peer.received.length, 0)
  assert.equal(peer.closed, false)
  await swarm.stop()
})

test('a flood of requests for hashes is answered at a bounded rate, and then cut off', async () => {
  const { swarm, content, meet } = await scene('v2')
  const root = content.info.files.find(({ bytes }) => bytes === 1_300_000)!.piecesRoot!
  const peer = await meet()
  const range = { baseLayer: 1, index: 0, length: 64, proofLayers: 5 }
  for (let i = 0; i < 1_000; i++) peer.hashRequest(root, range)
  await swarm.until(() => peer.count('hash') >= 1_000, 900, 20)
  assert.ok(peer.received.length <= 128, `${peer.received.length} answers in a second`)
  assert.ok(peer.count('hash reject') > 800)
  for (let i = 0; i < 10_000 && !peer.closed; i++) peer.hashRequest(root, range)
  await swarm.until(() => peer.closed, 5_000)
  assert.equal(swarm.engines[0]!.status().misdeeds.floods, 1)
  await swarm.stop()
})

test('hashes that nobody asked for are passed over, a stream of them is cut off', async () => {
  const { swarm, content, meet } = await scene('v2')
  const root = content.info.files.find(({ bytes }) => bytes === 1_300_000)!.piecesRoot!
  const range = { baseLayer: 1, index: 0, length: 2, proofLayers: 0 }
  const peer = await meet()
  peer.hashes(root, range, new Uint8Array(64))
  peer.say(53, (b) => b.set([0, 0, 0, 49, 23]))
  await swarm.until(() => true, 1_000)
  assert.equal(peer.closed, false)
  for (let i = 0; i < 100; i++) peer.hashes(root, range, new Uint8Array(64))
  await swarm.until(() => peer.closed, 5_000)
  assert.equal(swarm.engines[0]!.status().misdeeds.floods, 1)
  await swarm.stop()
})

test('hashes in absurd number end the connection', async () => {
  const { swarm, content, meet } = await scene('v2')
  const root = content.info.files.find(({ bytes }) => bytes === 1_300_000)!.piecesRoot!
  const peer = await meet()
  const range = { baseLayer: 1, index: 0, length: 1024, proofLayers: 0 }
  peer.hashes(root, range, new Uint8Array(32 * 1024))
  await swarm.until(() => peer.closed, 5_000)
  assert.equal(swarm.engines[0]!.status().misdeeds.oversized, 1)
  await swarm.stop()
})

/** A peer that listens, has the dictionary, and answers requests for hashes as the test says. */
async function liar(
  swarm: Swarm,
  content: Content,
  address: string,
  answer: (peer: RawPeer, root: Uint8Array, range: HashRange) => void,
): Promise<RawPeer> {
  const peer = new RawPeer(swarm, address, '10.0.0.2')
  peer.answerHashes = (root, range) => answer(peer, root, range)
  peer.handshake(content.info.infoHash, Number(address.split('.').at(-1)), true, true)
  await swarm.until(() => peer.count('extended 0') > 0 || peer.closed, 5_000)
  return peer
}

test('wrong proofs ban their sender; refusals, silence and half answers only cost time', async () => {
  const swarm = new Swarm(526)
  const content = swarm.published('v2', SIZES, 32 * KIB)
  const volume = swarm.volume()
  const leecher = await swarm.engine('10.0.0.2', volume)
  const torrent = await leecher.add(content.info, none)
  assert.equal(torrent.progress().state, 'metadata')
  const wrong = await liar(swarm, content, '10.0.8.1', (peer, root, range) =>
    peer.hashes(root, range, new Uint8Array(32 * (range.length + 8))),
  )
  await swarm.until(() => wrong.closed, 10_000)
  const zeros = await liar(swarm, content, '10.0.8.2', (peer, root, range) => {
    const uncles = range.proofLayers - (Math.log2(range.length) - 1)
    peer.hashes(root, range, new Uint8Array(32 * (range.length + Math.max(0, uncles))))
  })
  await swarm.until(() => zeros.closed, 10_000)
  const refusing = await liar(swarm, content, '10.0.8.3', (peer, root, range) =>
    peer.say(53, (b) => {
      b.set([0, 0, 0, 49, 23])
      b.set(root, 5)
      new DataView(b.buffer).setUint32(37, range.baseLayer)
      new DataView(b.buffer).setUint32(41, range.index)
      new DataView(b.buffer).setUint32(45, range.length)
      new DataView(b.buffer).setUint32(49, range.proofLayers)
    }),
  )
  const silent = await liar(swarm, content, '10.0.8.4', () => {})
  await swarm.until(
    () => silent.count('hash request') > 0 && refusing.count('hash request') > 0,
    60_000,
  )
  assert.equal(torrent.progress().state, 'metadata')
  await seeding(swarm, content)
  torrent.addPeers(seedPeers)
  await swarm.until(isSeeding(leecher, content), 120_000)
  assert.ok(refusing.count('hash request') <= 4 + Math.ceil(120 / 30) * 4, 'refusals are heeded')
  assertSame(volume, content)
  await swarm.stop()
})

test('a torrent whose layers nobody could hold fails', async () => {
  const swarm = new Swarm(527)
  const leecher = await swarm.engine('10.0.0.2', swarm.volume())
  const content = swarm.published('v2', [100_000], 16 * KIB)
  const file = { ...content.info.files[0]!, bytes: 2 ** 50 }
  const info = { ...content.info, files: [file], totalBytes: 2 ** 50, contentBytes: 2 ** 50 }
  const torrent = await leecher.add(info, none)
  await swarm.until(() => torrent.error !== undefined, 5_000)
  assert.match(torrent.error!.message, /piece layers of/)
  await swarm.stop()
})

test('a hybrid whose parts are of different content fails when that is seen', async () => {
  const swarm = new Swarm(528)
  const content = swarm.published('hybrid', SIZES, 32 * KIB)
  await seeding(swarm, content)
  const pieceHashes = Uint8Array.from(content.info.pieceHashes)
  pieceHashes[0]! ^= 1
  const leecher = await swarm.engine('10.0.0.2', swarm.volume())
  const info = { ...content.info, pieceHashes }
  const { layers = new Map() } = content
  const torrent = await leecher.add(info, { ...none, layers, peers: seedPeers })
  await swarm.until(() => torrent.error !== undefined, 60_000)
  assert.equal((torrent.error as Error & { code: string }).code, 'ENGINE_TORN')
  await swarm.stop()
})

test('the two names of a hybrid are one torrent', async () => {
  const { swarm, content, engine } = await scene('hybrid')
  const { infoHashV2 } = content.info
  const byV2 = magnetOf(content, { infoHash: infoHashV2!.slice(0, 20), infoHashV2 })
  assert.throws(() => engine.addMagnet(byV2, none), { code: 'ENGINE_EXISTS' })
  await swarm.stop()
})
