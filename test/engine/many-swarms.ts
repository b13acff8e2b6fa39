/**
 * Small swarms of real engines made from a seed: honest peers and others that corrupt, vanish and stall, disks
 * that fail or rot, caches of a block or two, pieces of odd sizes; in a quarter of them the first seed super-seeds, in half of them
 * hashing takes its time. The same seed makes
 * the same swarm, to the last byte.
 *
 * What is asked of each: every honest download completes with the right bytes; no volume marks a piece that
 * is wrong (fake-volume.ts); no chunk that an honest peer sends is another than the content's.
 */
import assert from 'node:assert/strict'
import { below, type Random, seededRandom, toHex } from '../../src/base/index.ts'
import { CHUNK_BYTES } from '../../src/engine/geometry.ts'
import type { Engine, EngineTorrent } from '../../src/engine/index.ts'
import { WireReader } from '../../src/engine/wire/reader.ts'
import type { FakeLink } from './fake-network.ts'
import type { FakeVolume } from './fake-volume.ts'
import { SlowHasher, unevenMs } from './slow-hasher.ts'
import { assertSame, type Content, Swarm } from './swarm.ts'

const BLOCK_BYTES = 4 * CHUNK_BYTES
/** Virtual; a stalled peer is found after one. */
const MAX_MS = 30 * 60_000

type Kind = 'honest' | 'corrupt' | 'vanish' | 'stall' | 'bad disk' | 'full disk' | 'rot'
const KINDS: readonly Kind[] = [
  'honest',
  'corrupt',
  'vanish',
  'stall',
  'bad disk',
  'full disk',
  'rot',
]

interface Member {
  readonly address: string
  readonly kind: Kind
  readonly volume: FakeVolume
  readonly engine: Engine
  readonly torrent: EngineTorrent
}

export interface SwarmReport {
  /** What took part, for people. */
  readonly what: string
  readonly honest: number
  readonly hashFailures: number
  readonly virtualMs: number
}

/** Throws when the swarm with this seed breaks a promise. */
export async function runSwarm(seed: number): Promise<SwarmReport> {
  const random = seededRandom(seed)
  const pick = <T>(some: readonly T[]): T => some[below(random, some.length)]!
  const pieceBytes = pick([
    CHUNK_BYTES,
    CHUNK_BYTES,
    2 * CHUNK_BYTES,
    BLOCK_BYTES,
    3 * BLOCK_BYTES,
    CHUNK_BYTES + 1 + below(random, 3 * BLOCK_BYTES),
  ])
  const totalBytes = 1 + below(random, 10 * BLOCK_BYTES)
  const kinds = new Map<string, Kind>([['10.0.0.1', 'honest']])
  const others = 1 + below(random, 4)
  for (let i = 0; i < others; i++) {
    // The first is, and half of the others are.
    const kind = i === 0 || below(random, 2) === 0 ? 'honest' : pick(KINDS)
    kinds.set(`10.0.1.${i}`, kind)
  }
  const judge = new Judge()
  const swarm = new Swarm(seed, { ...hostile(random, kinds, judge) }, BLOCK_BYTES)
  // What is v2, or both, has pieces of powers of two.
  const isEven = Number.isInteger(Math.log2(pieceBytes))
  const format = isEven && seed % 5 < 2 ? (['v2', 'hybrid'] as const)[seed % 5]! : 'v1'
  const content =
    format === 'v1'
      ? swarm.content(totalBytes, pieceBytes)
      : swarm.published(format, [totalBytes], pieceBytes)
  judge.content = content
  const members = await join(swarm, random, kinds, content, seed % 4 === 3)
  const started = swarm.clock.monotonicMs()
  // Who rots says so in time, and is mended by the others.
  const honest = members.filter(({ kind }) => kind === 'honest' || kind === 'rot')
  let due = members.length
  const ended = (): boolean =>
    due === 0 && honest.every(({ torrent }) => torrent.progress().state === 'seeding')
  for (const { kind, address, engine, torrent, volume } of members) {
    const afterMs = below(random, 2_000)
    swarm.clock.after(afterMs, () => {
      due--
      if (kind === 'vanish') {
        swarm.internet.cut(address)
        void engine.remove(content.info.infoHash)
      } else if (kind === 'rot') void torrent.forget(rotten(volume, content, random))
      else if (kind === 'bad disk') volume.failWith = new Error('a sector that cannot be written')
      else if (kind === 'full disk') volume.failWith = new Error('no free block')
    })
  }
  await settle(swarm, ended, MAX_MS, () => `${describe(kinds)}: ${swarm.report()}`)
  const virtualMs = swarm.clock.monotonicMs() - started
  for (const { volume } of honest) assertSame(volume, content)
  let over = false
  const stopped = swarm.engines.map((engine) => engine.stop().catch(() => {}))
  void Promise.all(stopped).then(() => {
    over = true
  })
  await settle(
    swarm,
    () => over,
    60_000,
    () => 'the engines do not stop',
  )
  for (const { volume } of honest) assertSame(volume.afterCrash(), content)
  assert.deepEqual(judge.wrong, [], 'what honest peers sent')
  const hashFailures = members.reduce(
    (sum, { torrent }) => sum + torrent.progress().hashFailures,
    0,
  )
  return { what: describe(kinds), honest: honest.length, hashFailures, virtualMs }
}

async function join(
  swarm: Swarm,
  random: Random,
  kinds: ReadonlyMap<string, Kind>,
  content: Content,
  hidesFirst: boolean,
): Promise<Member[]> {
  const { seed } = swarm
  const members: Member[] = []
  for (const [address, kind] of kinds) {
    const isSeed = address === '10.0.0.1' || ['corrupt', 'stall', 'vanish', 'rot'].includes(kind)
    const volume = isSeed ? await swarm.holding(content) : swarm.volume()
    const engine = await swarm.engine(address, volume, {
      cacheBytes: BLOCK_BYTES * (1 + below(random, 8)),
      encryption: 'off',
      ...(seed % 2 === 0 ? {} : { hasher: slowHasher(swarm) }),
    })
    const known = members.map((member) => ({ host: member.address, port: 6881 }))
    const superSeed = address === '10.0.0.1' && hidesFirst
    const layers = content.layers ?? new Map()
    const options = { trackers: [], peers: known, superSeed, layers }
    const torrent = isSeed
      ? engine.open(volume.get(content.info.infoHash)!, content.info, options)
      : await engine.add(content.info, options)
    members.push({ address, kind, volume, engine, torrent })
  }
  return members
}

/** It has chance of its own: with and without it a seed makes the same peers and content. */
function slowHasher({ seed, clock, engines }: Swarm): SlowHasher {
  const random = seededRandom(seed * 16 + engines.length)
  return new SlowHasher({ clock, random, tookMs: unevenMs, lostPercent: 1 })
}

/** Spoils some of the pieces; says which. */
function rotten(volume: FakeVolume, content: Content, random: Random): number[] {
  const { info } = content
  const stored = volume.stored.get(toHex(info.infoHash))!
  const pieces = Array.from({ length: info.pieceCount }, (_, piece) => piece)
  const bad = pieces.filter(() => below(random, 3) === 0)
  for (const piece of bad) stored.data[piece * info.pieceBytes]! ^= 0xff
  return bad
}

/** What the network does to those who are not honest, and shows the judge of those who are. */
function hostile(
  random: Random,
  kinds: ReadonlyMap<string, Kind>,
  judge: Judge,
): Partial<FakeLink> {
  return {
    latencyMs: 1 + below(random, 30),
    bytesPerMs: 200 + below(random, 2_000),
    tamper: (from, bytes, stream) => {
      const kind = kinds.get(from)
      if (kind === 'corrupt' && bytes.length > 1_000 && below(random, 2) === 0) {
        bytes[bytes.length - 1 - below(random, 500)]! ^= 1 + below(random, 255)
      } else if (kind === 'honest' || kind === 'rot') judge.see(stream, bytes)
    },
    // A peer that stalls says hello and unchokes; what it owes never comes.
    swallow: (from, bytes) => kinds.get(from) === 'stall' && bytes.length > 1_000,
  }
}

/** Reads what honest peers send, and compares the chunks with the content. */
class Judge {
  content: Content | undefined
  readonly wrong: string[] = []
  readonly #readers = new Map<object, WireReader>()

  see(stream: object, bytes: Uint8Array): void {
    let reader = this.#readers.get(stream)
    if (reader === undefined) {
      reader = this.#reader()
      this.#readers.set(stream, reader)
    }
    reader.push(bytes)
  }

  #reader(): WireReader {
    let into = new Uint8Array(0)
    const nothing = (): void => {}
    return new WireReader({
      onHandshake: nothing,
      onKeepAlive: nothing,
      onChoke: nothing,
      onUnchoke: nothing,
      onInterested: nothing,
      onNotInterested: nothing,
      onHave: nothing,
      onPort: nothing,
      onBitfield: nothing,
      onRequest: nothing,
      onCancel: nothing,
      onReject: nothing,
      onSuggest: nothing,
      onAllowedFast: nothing,
      onHaveAll: nothing,
      onHaveNone: nothing,
      onExtended: nothing,
      onHashRequest: nothing,
      onHashes: nothing,
      onHashReject: nothing,
      onPieceStart: (_piece, _begin, length) => {
        into = new Uint8Array(length)
        return into
      },
      onPieceEnd: (piece, begin, length) => {
        const { info, bytes } = this.content!
        const from = piece * info.pieceBytes + begin
        const right = Buffer.compare(into, bytes.subarray(from, from + length)) === 0
        if (!right) this.wrong.push(`piece ${piece} from ${begin}`)
      },
    })
  }
}

/** Lets time pass, event by event, until `done`. */
async function settle(
  swarm: Swarm,
  done: () => boolean,
  maxMs: number,
  report: () => string,
): Promise<void> {
  const endMs = swarm.clock.monotonicMs() + maxMs
  for (;;) {
    // The fake volume answers in a turn of its own.
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
    if (done()) return
    if (!swarm.clock.step(endMs)) assert.fail(`not done after ${maxMs} ms: ${report()}`)
  }
}

function describe(kinds: ReadonlyMap<string, Kind>): string {
  return [...kinds.values()].join(', ')
}
