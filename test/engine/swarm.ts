/** Swarms in one process: engines on a fake network, on a clock that the test advances. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  ManualClock,
  type Random,
  seededRandom,
  silentLogger,
  toHex,
} from '../../src/base/index.ts'
import { type Engine, type EngineOptions, startEngine } from '../../src/engine/index.ts'
import {
  buildInfo,
  encodePieceLayers,
  fillerOf,
  PieceHashes,
  type PieceLayers,
  type TorrentFormat,
  type TorrentInfo,
} from '../../src/metainfo/index.ts'
import { madeTorrent } from '../metainfo/made.ts'
import { FakeInternet, type FakeLink } from './fake-network.ts'
import { type FakeStored, type FakeVolume, fakeVolume } from './fake-volume.ts'

export interface Content {
  readonly bytes: Uint8Array
  readonly info: TorrentInfo
  /** Of v2. */
  readonly layers?: PieceLayers
}

/** One file, or several of these sizes. */
export function makeContent(
  totalBytes: number,
  pieceBytes: number,
  random: Random,
  fileBytes?: readonly number[],
): Content {
  const bytes = new Uint8Array(totalBytes)
  const words = new Uint32Array(Math.ceil(totalBytes / 4))
  for (let i = 0; i < words.length; i++) words[i] = random.uint32()
  bytes.set(new Uint8Array(words.buffer, 0, totalBytes))
  const count = Math.ceil(totalBytes / pieceBytes)
  const pieceHashes = new Uint8Array(20 * count)
  for (let piece = 0; piece < count; piece++) {
    const part = bytes.subarray(piece * pieceBytes, (piece + 1) * pieceBytes)
    pieceHashes.set(createHash('sha1').update(part).digest(), 20 * piece)
  }
  const info = buildInfo({
    name: 'content',
    multiFile: fileBytes !== undefined,
    files: (fileBytes ?? [totalBytes]).map((size, i) => ({
      path: [fileBytes === undefined ? 'content' : `${i}`],
      bytes: size,
      padding: false,
    })),
    pieceBytes,
    pieceHashes,
  })
  return { bytes, info }
}

export const BLOCK_BYTES: number = 256 * 1024

export class Swarm {
  readonly clock: ManualClock = new ManualClock(1_000_000)
  readonly internet: FakeInternet
  readonly seed: number
  readonly blockBytes: number
  readonly #engines: Engine[] = []
  #hashes = new Map<string, Uint8Array>()
  #random: Random

  constructor(seed: number, link: Partial<FakeLink> = {}, blockBytes: number = BLOCK_BYTES) {
    this.seed = seed
    this.blockBytes = blockBytes
    this.#random = seededRandom(seed)
    this.internet = new FakeInternet(this.clock, { latencyMs: 5, bytesPerMs: 10_000, ...link })
  }

  content(totalBytes: number, pieceBytes: number, fileBytes?: readonly number[]): Content {
    const content = makeContent(totalBytes, pieceBytes, this.#random, fileBytes)
    this.#hashes.set(toHex(content.info.infoHash), content.info.pieceHashes)
    return content
  }

  /** Files of these sizes, in a format. */
  published(format: TorrentFormat, bytes: readonly number[], pieceBytes: number): Content {
    const entries = bytes.map((size, i) => ({ path: [`d${i % 3}`, `file ${i}`], bytes: size }))
    const seed = this.#random.uint32()
    const { info, layers, space } = madeTorrent('content', entries, format, pieceBytes, seed)
    if (format !== 'v2') this.#hashes.set(toHex(info.infoHash), info.pieceHashes)
    return { bytes: space, info, layers }
  }

  volume(): FakeVolume {
    return fakeVolume(this.blockBytes, (key) => this.#hashes.get(key))
  }

  async engine(
    address: string,
    volume: FakeVolume,
    options: Partial<EngineOptions> = {},
  ): Promise<Engine> {
    const engine = await startEngine({
      volume,
      network: this.internet.host(address),
      clock: this.clock,
      random: seededRandom(this.#random.uint32()),
      logger: silentLogger,
      peerPort: 6881,
      bind: ['0.0.0.0'],
      cacheBytes: 16 * this.blockBytes,
      readCacheBytes: 4 * this.blockBytes,
      maxConnections: 100,
      ...options,
    })
    this.#engines.push(engine)
    return engine
  }

  get engines(): readonly Engine[] {
    return this.#engines
  }

  /** A volume that holds all of `content`, or the pieces that `keep` accepts. */
  async holding(
    content: Content,
    keep: (piece: number) => boolean = () => true,
  ): Promise<FakeVolume> {
    const volume = this.volume()
    const { info, bytes } = content
    const stored = (await volume.create(info, info.infoBytes, undefined, {
      layers: encodePieceLayers(content.layers ?? new Map()),
      filler: fillerOf(info),
    })) as FakeStored
    stored.data.set(bytes)
    const hashes = new PieceHashes(info)
    for (let piece = 0; piece < info.pieceCount; piece++) {
      if (!keep(piece)) continue
      const from = piece * info.pieceBytes
      const to = from + hashes.contentLength(piece)
      const last = Math.floor((to - 1) / this.blockBytes)
      for (let block = Math.floor(from / this.blockBytes); block <= last; block++) {
        stored.written[block] = 1
      }
      stored.markHave(piece)
    }
    return volume
  }

  /** Lets time pass until `done`, at most `maxMs` of it. */
  async until(done: () => boolean, maxMs: number, stepMs = 20): Promise<void> {
    const endMs = this.clock.monotonicMs() + maxMs
    while (!done()) {
      assert.ok(
        this.clock.monotonicMs() < endMs,
        `not done after ${maxMs} ms (seed ${this.seed}): ${this.report()}`,
      )
      this.clock.advance(stepMs)
      for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve))
    }
  }

  report(): string {
    return this.#engines
      .flatMap((engine) => [...engine.torrents()])
      .map((torrent) => {
        const { state, havePieces, pieceCount, peers, hashFailures } = torrent.progress()
        return `${state} ${havePieces}/${pieceCount} ${peers} peers ${hashFailures} bad ${torrent.error ?? ''}`
      })
      .join('; ')
  }

  /** Lets time pass until `promise` is settled. */
  async settled<T>(promise: Promise<T>, maxMs = 60_000): Promise<T> {
    let over = false
    const end = (): void => {
      over = true
    }
    promise.then(end, end)
    await this.until(() => over, maxMs)
    return promise
  }

  async stop(): Promise<void> {
    await this.settled(Promise.all(this.#engines.map((engine) => engine.stop())))
  }
}

export function assertSame(volume: FakeVolume, content: Content): void {
  const stored = volume.stored.get(toHex(content.info.infoHash))!
  assert.ok(stored.complete, 'complete')
  assert.ok(Buffer.compare(stored.data, content.bytes) === 0, 'identical content')
}
