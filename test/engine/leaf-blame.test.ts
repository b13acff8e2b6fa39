/** Wrong chunks of v2 are found by their leaves, cost a chunk each, and name who sent them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../src/base/index.ts'
import { Geometry } from '../../src/engine/geometry.ts'
import type { HashJob } from '../../src/engine/hash-requests.ts'
import type { EngineStatus } from '../../src/engine/index.ts'
import { LeafBlame } from '../../src/engine/leaf-blame.ts'
import { LeafHasher, MerkleTree, merkleHeight, PieceHashes } from '../../src/metainfo/index.ts'
import { assertSame, BLOCK_BYTES, Swarm } from './swarm.ts'

const CHUNK = 16_384
const PIECE = BLOCK_BYTES / 2
const PER_PIECE = PIECE / CHUNK

/** Three pieces and something; `spoil` is what arrived in place of the content. */
function scene(): {
  clock: ManualClock
  blame: LeafBlame
  arrived: Uint8Array
  jobs: HashJob[]
  judged: [number, readonly number[] | undefined][]
  leavesOf: (piece: number) => Uint8Array
  willing: { ask: boolean }
} {
  const swarm = new Swarm(52)
  const { info, bytes, layers } = swarm.published('v2', [3 * PIECE + 20_000], PIECE)
  const hashes = new PieceHashes(info, layers)
  const geometry = new Geometry(info.totalBytes, PIECE, BLOCK_BYTES)
  const clock = new ManualClock()
  const arrived = bytes.slice()
  const jobs: HashJob[] = []
  const judged: [number, readonly number[] | undefined][] = []
  const willing = { ask: true }
  const blame = new LeafBlame(hashes, geometry, clock, {
    chunk: (piece, chunk) => {
      const from = piece * PIECE + chunk * CHUNK
      return arrived.subarray(from, from + geometry.chunkLength(piece, chunk))
    },
    ask: (job) => {
      if (willing.ask) jobs.push(job)
      return willing.ask
    },
    judged: (piece, wrong) => judged.push([piece, wrong]),
  })
  const leavesOf = (piece: number): Uint8Array => {
    const hasher = new LeafHasher(PER_PIECE)
    hasher.update(bytes.subarray(piece * PIECE, Math.min((piece + 1) * PIECE, bytes.length)))
    const tree = new MerkleTree(hasher.finish(), 0, merkleHeight(PER_PIECE))
    return tree.hashes({ baseLayer: 0, index: 0, length: PER_PIECE, proofLayers: 0 })!
  }
  return { clock, blame, arrived, jobs, judged, leavesOf, willing }
}

test('proven leaves tell the wrong chunks, at once when they are known, also of a short piece', () => {
  const { blame, arrived, jobs, judged, leavesOf } = scene()
  arrived[PIECE + 2 * CHUNK + 7]! ^= 1
  arrived[PIECE + 5 * CHUNK]! ^= 1
  assert.equal(blame.failed(1), 'wait')
  const [job] = jobs
  assert.deepEqual(job!.range, { baseLayer: 0, index: 8, length: 8, proofLayers: 0 })
  assert.equal(job!.isOver!(), false)
  assert.ok(!job!.proves(leavesOf(0)))
  assert.ok(job!.proves(leavesOf(1)))
  job!.take(leavesOf(1))
  assert.deepEqual(judged, [[1, [2, 5]]])
  arrived[PIECE + 2 * CHUNK + 7]! ^= 1
  assert.deepEqual(blame.failed(1), [5])
  blame.verified(1)
  assert.equal(blame.failed(1), 'wait')
  arrived[3 * PIECE + CHUNK + 9]! ^= 1
  assert.equal(blame.failed(3), 'wait')
  assert.ok(jobs[2]!.proves(leavesOf(3)))
  jobs[2]!.take(leavesOf(3))
  assert.deepEqual(judged.at(-1), [3, [1]])
  blame.stop()
})

test('nobody to ask, or no answer in five seconds: all of the piece is in doubt, once', () => {
  const { clock, blame, arrived, jobs, judged, leavesOf, willing } = scene()
  arrived[0]! ^= 1
  willing.ask = false
  assert.equal(blame.failed(0), undefined)
  willing.ask = true
  assert.equal(blame.failed(0), 'wait')
  clock.advance(4_999)
  assert.deepEqual(judged, [])
  clock.advance(1)
  assert.deepEqual(judged, [[0, undefined]])
  assert.ok(jobs[0]!.isOver!())
  jobs[0]!.take(leavesOf(0))
  assert.equal(judged.length, 1)
  assert.equal(blame.failed(0), 'wait')
  blame.stop()
  clock.advance(60_000)
  assert.equal(judged.length, 1)
})

interface Outcome {
  readonly misdeeds: EngineStatus['misdeeds']
  readonly hashFailures: number
  /** Fetched beyond the content, in chunks. */
  readonly waste: number
}

/** Of 64 chunks: each piece comes from several peers. */
const LARGE_PIECE = 64 * CHUNK

/** A liar among honest seeds: one byte of what it sends is wrong now and then. */
async function lied(format: 'v1' | 'v2' | 'hybrid', seed: number): Promise<Outcome> {
  const liar = '10.0.2.1'
  let sent = 0
  const link = {
    latencyMs: 5,
    bytesPerMs: 400,
    tamper: (from: string, bytes: Uint8Array) => {
      if (from === liar && bytes.length > CHUNK && ++sent % 3 === 0) bytes[bytes.length - 200]! ^= 1
    },
  }
  const swarm = new Swarm(seed, link, 2 * LARGE_PIECE)
  const content = swarm.published(format, [12 * LARGE_PIECE + 5], LARGE_PIECE)
  const { info } = content
  const layers = content.layers ?? new Map()
  const hosts = ['10.0.0.1', '10.0.0.2', liar]
  for (const host of hosts) {
    const volume = await swarm.holding(content)
    const engine = await swarm.engine(host, volume, { encryption: 'off' })
    engine.open(volume.get(info.infoHash)!, info, { trackers: [], layers })
  }
  const volume = swarm.volume()
  const engine = await swarm.engine('10.0.1.1', volume, { encryption: 'off' })
  const peers = hosts.map((host) => ({ host, port: 6881 }))
  const torrent = await engine.add(info, { trackers: [], layers, peers })
  await swarm.until(() => torrent.progress().state === 'seeding', 600_000)
  assertSame(volume, content)
  const { downloadedBytes, hashFailures } = torrent.progress()
  await swarm.stop()
  const waste = (downloadedBytes - info.contentBytes) / CHUNK
  return { misdeeds: engine.status().misdeeds, hashFailures, waste }
}

test('a corrupting peer among honest ones: of v2 one chunk is fetched again, of v1 the piece', async (t) => {
  const outcomes = {
    v1: await lied('v1', 8),
    v2: await lied('v2', 8),
    hybrid: await lied('hybrid', 8),
  }
  for (const [format, { misdeeds, hashFailures, waste }] of Object.entries(outcomes)) {
    const { corruptChunks } = misdeeds
    t.diagnostic(
      `${format}: ${hashFailures} pieces failed, ${corruptChunks} chunks found, ${waste.toFixed(1)} fetched in vain`,
    )
    assert.ok(hashFailures > 0)
    assert.equal(misdeeds.bans, 1, 'the liar, and nobody else')
    assert.equal(misdeeds.corruptPieces, hashFailures)
    assert.equal(corruptChunks > 0, format !== 'v1')
  }
  assert.ok(outcomes.v2.waste < outcomes.v1.waste / 2, 'v2 fetches less in vain')
})
