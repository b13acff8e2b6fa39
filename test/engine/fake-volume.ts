/**
 * A volume in memory that keeps the promises of the interface and checks that the engine keeps its own:
 * no write across a block, no read of what was never written, no piece marked that is not its content.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { Bitfield, toHex } from '../../src/base/index.ts'
import type {
  About,
  StoredTorrent,
  TorrentGeometry,
  TorrentStore,
} from '../../src/torrent-store/index.ts'

export interface FakeVolume extends TorrentStore {
  /** Every write: where in the torrent, and how long. */
  readonly writes: { readonly offset: number; readonly length: number }[]
  syncs: number
  /** Set to make writes fail. */
  failWith: Error | undefined
  /** What a power cut leaves: another volume with what was synced. */
  afterCrash(): FakeVolume
  readonly stored: Map<string, FakeStored>
}

export class FakeStored implements StoredTorrent {
  readonly infoHash: Uint8Array
  readonly totalBytes: number
  readonly pieceBytes: number
  readonly pieceCount: number
  readonly addedAtMs = 0
  readonly usedBytes = 0
  failure: Error | undefined
  uploadedBytes = 0
  downloadedBytes = 0
  data: Uint8Array
  /** Something is not durable yet. */
  touched = true
  readonly written: Uint8Array
  readonly have: Bitfield
  readonly infoBytes: Uint8Array
  readonly pieceHashes: Uint8Array | undefined
  readonly #volume: FakeVolume

  constructor(
    volume: FakeVolume,
    geometry: TorrentGeometry,
    infoBytes: Uint8Array,
    pieceHashes?: Uint8Array,
  ) {
    this.#volume = volume
    this.infoHash = geometry.infoHash
    this.totalBytes = geometry.totalBytes
    this.pieceBytes = geometry.pieceBytes
    this.pieceCount = Math.ceil(geometry.totalBytes / geometry.pieceBytes)
    this.have = new Bitfield(this.pieceCount)
    this.data = new Uint8Array(geometry.totalBytes)
    this.written = new Uint8Array(Math.ceil(geometry.totalBytes / volume.blockBytes))
    this.infoBytes = infoBytes
    this.pieceHashes = pieceHashes
  }

  get disk(): object {
    return this.#volume
  }

  position(offset: number): number {
    return offset
  }

  get complete(): boolean {
    return this.have.full
  }

  async readInfo(): Promise<Uint8Array> {
    return this.infoBytes
  }

  async readAttributes(): Promise<Uint8Array> {
    return new Uint8Array(0)
  }

  async peek<T>(look: (about: About) => T): Promise<T> {
    return look({ infoBytes: this.infoBytes, attributes: new Uint8Array(0) })
  }

  readonly aboutPosition = 0

  layers: Uint8Array = new Uint8Array(0)
  /** Blocks that are wholly filler. */
  readonly filler: Set<number> = new Set()

  async readLayers(): Promise<Uint8Array> {
    return this.layers
  }

  async keepAttributes(): Promise<void> {}

  async keepLayers(layers: Uint8Array): Promise<void> {
    this.layers = layers
  }

  async write(offset: number, source: Uint8Array): Promise<void> {
    const { blockBytes } = this.#volume
    const block = Math.floor(offset / blockBytes)
    assert.ok(source.length > 0 && offset + source.length <= this.totalBytes)
    assert.equal(Math.floor((offset + source.length - 1) / blockBytes), block, 'crosses a block')
    assert.ok(!this.filler.has(block), 'writes filler')
    // The device reads the memory later than the call.
    await new Promise((resolve) => setImmediate(resolve))
    if (this.#volume.failWith !== undefined) throw this.#volume.failWith
    this.#volume.writes.push({ offset, length: source.length })
    this.data.set(source, offset)
    this.written[block] = 1
    this.touched = true
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    assert.ok(this.mapped(offset, target.length), 'reads what was never written')
    await new Promise((resolve) => setImmediate(resolve))
    target.set(this.data.subarray(offset, offset + target.length))
  }

  mapped(offset: number, bytes: number): boolean {
    const { blockBytes } = this.#volume
    const last = Math.floor((offset + bytes - 1) / blockBytes)
    for (let block = Math.floor(offset / blockBytes); block <= last; block++) {
      if (this.written[block] === 0 && !this.filler.has(block)) return false
    }
    return true
  }

  async doubted(): Promise<readonly number[]> {
    return []
  }

  markHave(piece: number): void {
    if (this.pieceHashes !== undefined) {
      const from = piece * this.pieceBytes
      const bytes = this.data.subarray(from, Math.min(from + this.pieceBytes, this.totalBytes))
      const digest = createHash('sha1').update(bytes).digest()
      const right = this.pieceHashes.subarray(piece * 20, piece * 20 + 20)
      assert.deepEqual(new Uint8Array(digest), Uint8Array.from(right), `piece ${piece} is a lie`)
    }
    this.touched = true
    assert.ok(this.have.set(piece), `piece ${piece} is marked twice`)
  }

  clearHave(piece: number): void {
    this.touched = true
    this.have.clear(piece)
  }

  sync(): Promise<void> {
    return this.#volume.sync()
  }
}

/** `hashesOf` lets it check every piece that is marked. */
export function fakeVolume(
  blockBytes: number,
  hashesOf: (infoHash: string) => Uint8Array | undefined = () => undefined,
): FakeVolume {
  const durable = new Map<string, { data: Uint8Array; have: Uint8Array; written: Uint8Array }>()
  const stored = new Map<string, FakeStored>()
  const volume: FakeVolume = {
    stored,
    blockBytes,
    readOnly: false,
    writes: [],
    syncs: 0,
    failWith: undefined,
    torrents: () => stored.values(),
    get: (infoHash) => stored.get(toHex(infoHash)),
    async create(geometry, infoBytes, _attributes, beside) {
      const key = toHex(geometry.infoHash)
      const torrent = new FakeStored(volume, geometry, infoBytes, hashesOf(key))
      torrent.layers = beside?.layers ?? torrent.layers
      for (const { offset, bytes } of beside?.filler ?? []) {
        const end = Math.min(offset + bytes, geometry.totalBytes)
        const last = end === geometry.totalBytes ? end : end - (end % blockBytes)
        for (let at = Math.ceil(offset / blockBytes) * blockBytes; at < last; at += blockBytes) {
          torrent.filler.add(at / blockBytes)
        }
      }
      stored.set(key, torrent)
      return torrent
    },
    async remove(infoHash) {
      stored.delete(toHex(infoHash))
    },
    async sync() {
      volume.syncs++
      for (const key of durable.keys()) if (!stored.has(key)) durable.delete(key)
      for (const [key, torrent] of stored) {
        if (!torrent.touched && durable.has(key)) continue
        torrent.touched = false
        const { data, have, written } = torrent
        durable.set(key, { data: data.slice(), have: have.bytes.slice(), written: written.slice() })
      }
      await new Promise((resolve) => setImmediate(resolve))
    },
    async close() {},
    afterCrash() {
      const after = fakeVolume(blockBytes, hashesOf)
      for (const [key, torrent] of stored) {
        const copy = new FakeStored(after, torrent, torrent.infoBytes, torrent.pieceHashes)
        const kept = durable.get(key)
        if (kept !== undefined) {
          copy.data.set(kept.data)
          copy.written.set(kept.written)
          const have = Bitfield.fromWire(kept.have, torrent.pieceCount)!
          for (let i = 0; i < have.length; i++) if (have.has(i)) copy.have.set(i)
        }
        after.stored.set(key, copy)
      }
      return after
    },
  }
  return volume
}
