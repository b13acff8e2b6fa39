/** Super-seeding (BEP 16): the rules alone, what a peer is told, and how often each byte leaves the seed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Bitfield, toHex } from '../../src/base/index.ts'
import type { EngineTorrent } from '../../src/engine/index.ts'
import { type ShownPeer, SuperSeed } from '../../src/engine/super-seed.ts'
import * as messages from '../../src/engine/wire/messages.ts'
import { RawPeer } from './raw-peer.ts'
import { assertSame, BLOCK_BYTES, Swarm } from './swarm.ts'

class Shown implements ShownPeer {
  readonly pieces: { has: Bitfield }
  readonly revealed: number[] = []
  all = false
  readonly upload: ShownPeer['upload'] = {
    reveal: (piece) => void this.revealed.push(piece),
    revealAll: () => {
      this.all = true
    },
  }

  constructor(pieceCount: number) {
    this.pieces = { has: new Bitfield(pieceCount) }
  }

  has(seed: SuperSeed, piece: number, nowMs: number): void {
    this.pieces.has.set(piece)
    seed.had(this, piece, nowMs)
  }
}

function scene(pieceCount: number, peers: number): { seed: SuperSeed; peers: Shown[] } {
  const seed = new SuperSeed(pieceCount)
  const all = Array.from({ length: peers }, () => new Shown(pieceCount))
  for (const peer of all) seed.met(peer, 0)
  seed.tick(0)
  return { seed, peers: all }
}

test('each peer is shown two pieces, no two the same', () => {
  const { peers } = scene(20, 3)
  assert.deepEqual(
    peers.map(({ revealed }) => revealed),
    [
      [0, 1],
      [2, 3],
      [4, 5],
    ],
  )
})

test('the next is shown when another peer has got the last, not when the peer itself has it', () => {
  const { seed, peers } = scene(20, 3)
  const [a, b, c] = peers as [Shown, Shown, Shown]
  a.has(seed, 0, 1000)
  a.has(seed, 1, 1000)
  assert.equal(a.revealed.length, 2)
  b.has(seed, 0, 2000)
  assert.deepEqual(a.revealed, [0, 1, 6])
  c.has(seed, 0, 2000)
  assert.equal(a.revealed.length, 3)
})

test('who is alone, or has what all others have, is shown the next at once', () => {
  const alone = scene(20, 1)
  alone.peers[0]!.has(alone.seed, 0, 1000)
  assert.deepEqual(alone.peers[0]!.revealed, [0, 1, 2])
  const { seed, peers } = scene(20, 2)
  const [a, b] = peers as [Shown, Shown]
  a.has(seed, 0, 1000)
  seed.gone(b)
  seed.tick(1000)
  // 2 and 3, which b was being shown, are nobody's any more.
  assert.deepEqual(a.revealed, [0, 1, 2])
})

test('a piece that nobody fetches, or that is passed on to nobody, is not waited for for ever', () => {
  const { seed, peers } = scene(4, 2)
  const [a, b] = peers as [Shown, Shown]
  a.has(seed, 0, 1000)
  seed.tick(59_000)
  assert.deepEqual(
    [a.revealed, b.revealed],
    [
      [0, 1],
      [2, 3],
    ],
  )
  // Nobody wanted 1, 2 and 3: each may be shown to the other now.
  seed.tick(60_000)
  assert.deepEqual(
    [a.revealed, b.revealed],
    [
      [0, 1, 2],
      [2, 3, 1],
    ],
  )
  // And nobody takes 0 from a.
  seed.tick(61_000)
  assert.deepEqual(
    [a.revealed, b.revealed],
    [
      [0, 1, 2, 3],
      [2, 3, 1],
    ],
  )
})

test('who has nothing to fetch here and gets nothing from others is shown what others have, too', () => {
  const { seed, peers } = scene(4, 2)
  const [a, b] = peers as [Shown, Shown]
  for (const piece of [0, 1]) a.has(seed, piece, 1000)
  for (const piece of [2, 3]) b.has(seed, piece, 1000)
  seed.tick(30_000)
  assert.equal(a.revealed.length, 2)
  seed.tick(31_000)
  assert.deepEqual(a.revealed, [0, 1, 2])
  assert.deepEqual(b.revealed, [2, 3, 0])
})

test('it is over with two copies of everything, or with another seed', () => {
  const two = scene(2, 4)
  const [a, b, c, d] = two.peers as [Shown, Shown, Shown, Shown]
  a.has(two.seed, 0, 0)
  b.has(two.seed, 0, 0)
  c.has(two.seed, 1, 0)
  assert.equal(two.seed.over, false)
  d.has(two.seed, 1, 0)
  assert.equal(two.seed.over, true)
  assert.deepEqual(
    two.peers.map(({ all }) => all),
    [true, true, true, true],
  )
  const seeds = scene(100, 2)
  seeds.peers[1]!.pieces.has.setAll()
  seeds.seed.heard(seeds.peers[1]!, 0)
  assert.equal(seeds.seed.over, true)
})

test('whatever peers do: a piece is shown to a second one only when it is lost, spread, or long waited for', () => {
  const step = fc.tuple(fc.constantFrom('has', 'has', 'has', 'gone', 'met'), fc.nat(), fc.nat())
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const pieceCount = 12
      const seed = new SuperSeed(pieceCount)
      const peers = new Set<Shown>()
      // No time passes, so nothing is waited for too long.
      for (const [what, x, y] of steps) {
        if (seed.over) break
        const before = [...peers].map((peer) => ({ peer, count: peer.revealed.length }))
        const copies = (piece: number): number =>
          [...peers].filter((peer) => peer.pieces.has.has(piece)).length
        const peer = [...peers][x % Math.max(1, peers.size)]
        if (what === 'met' || peer === undefined) {
          const fresh = new Shown(pieceCount)
          peers.add(fresh)
          seed.met(fresh, 0)
        } else if (what === 'gone') {
          peers.delete(peer)
          seed.gone(peer)
        } else {
          // Of what it is shown, or another has.
          const may = Array.from({ length: pieceCount }, (_, piece) => piece).filter(
            (piece) =>
              !peer.pieces.has.has(piece) && (peer.revealed.includes(piece) || copies(piece) > 0),
          )
          if (may.length === 0) continue
          peer.has(seed, may[y % may.length]!, 0)
        }
        seed.tick(0)
        if (seed.over) break
        for (const { peer, count } of before) {
          for (const piece of peers.has(peer) ? peer.revealed.slice(count) : []) {
            assert.equal(copies(piece), 0, `piece ${piece} is there`)
          }
        }
      }
    }),
    { numRuns: 300, seed: 16 },
  )
})

const PIECE = BLOCK_BYTES / 8

test('a peer hears of nothing, then of two pieces, is served these alone, and hears of all when another seed comes', async () => {
  const swarm = new Swarm(16)
  const content = swarm.content(32 * PIECE, PIECE)
  const volume = await swarm.holding(content)
  const engine = await swarm.engine('10.0.0.1', volume)
  const options = { trackers: [], superSeed: true }
  engine.open(volume.get(content.info.infoHash)!, content.info, options)
  const meet = async (id: number, fast: boolean): Promise<RawPeer> => {
    const peer = new RawPeer(swarm, `10.0.${id}.1`, '10.0.0.1')
    peer.handshake(content.info.infoHash, id, fast)
    await swarm.until(() => peer.count('extended 0') > 0, 5_000)
    return peer
  }
  const peer = await meet(1, true)
  const old = await meet(2, false)
  peer.bare(messages.writeHaveNone)
  await swarm.until(() => peer.count('have ') === 2 + 1 && old.count('have ') === 2, 5_000)
  assert.equal(peer.count('have none'), 1)
  assert.equal(old.count('have none') + old.count('bitfield') + old.count('have all'), 0)
  assert.equal(peer.count('allowed fast'), 0)
  const shown = peer.log.filter((line) => /^have \d/.test(line)).map((l) => Number(l.slice(5)))
  assert.deepEqual(shown, [0, 1])
  peer.bare(messages.writeInterested)
  await swarm.until(() => peer.count('unchoke') === 1, 15_000)
  peer.request(20, 0, 16_384)
  peer.request(1, 0, 16_384)
  await swarm.until(() => peer.count('piece 1 0') === 1 && peer.count('reject 20 0') === 1, 5_000)
  const other = await meet(3, true)
  other.bare(messages.writeHaveAll)
  await swarm.until(() => peer.count('have ') === 1 + 32 && old.count('have ') === 32, 5_000)
  peer.request(20, 0, 16_384)
  await swarm.until(() => peer.count('piece 20 0') === 1, 5_000)
  await swarm.stop()
})

/** Bytes that left the seed, in copies of the content, before its peers had each piece between them; and in the end. */
async function spread(
  superSeed: boolean,
  seedNumber: number,
): Promise<{ first: number; ms: number }> {
  const LEECHERS = 10
  const PIECES = 96
  const swarm = new Swarm(seedNumber)
  const content = swarm.content(PIECES * PIECE, PIECE)
  const { info } = content
  const holding = await swarm.holding(content)
  const rates = { up: 400_000 }
  const seeder = await swarm.engine('10.0.0.1', holding, { rates })
  const source = seeder.open(holding.get(info.infoHash)!, info, { trackers: [], superSeed })
  const torrents: EngineTorrent[] = []
  const volumes = []
  const union = new Bitfield(PIECES)
  const hosts = ['10.0.0.1', ...Array.from({ length: LEECHERS }, (_, i) => `10.0.1.${i}`)]
  const peers = hosts.map((host) => ({ host, port: 6881 }))
  for (const host of hosts.slice(1)) {
    const volume = swarm.volume()
    volumes.push(volume)
    const engine = await swarm.engine(host, volume, { rates })
    const torrent = await engine.add(info, { trackers: [], peers })
    torrent.on('piece', (piece) => union.set(piece))
    torrents.push(torrent)
  }
  const beganMs = swarm.clock.monotonicMs()
  await swarm.until(() => union.full, 30 * 60_000)
  const first = source.progress().uploadedBytes / info.totalBytes
  const done = (): boolean => torrents.every((torrent) => torrent.progress().state === 'seeding')
  await swarm.until(done, 30 * 60_000)
  const ms = swarm.clock.monotonicMs() - beganMs
  for (const volume of volumes) assertSame(volume, content)
  assert.equal(toHex(source.infoHash), toHex(info.infoHash))
  await swarm.stop()
  return { first, ms }
}

test('the swarm has all when one copy has left the seed, and little more where it deals without hiding', async (t) => {
  const [plain, hidden] = [await spread(false, 7), await spread(true, 7)]
  t.diagnostic(
    `copies uploaded by the seed: ${plain.first.toFixed(2)} plain, ${hidden.first.toFixed(2)} super`,
  )
  t.diagnostic(`all complete after ${plain.ms} ms plain, ${hidden.ms} ms super`)
  assert.ok(hidden.first < 1.1, `${hidden.first} copies`)
  assert.ok(plain.first < 1.35, `${plain.first} copies without`)
})
