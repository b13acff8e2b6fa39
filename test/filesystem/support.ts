/** What the filesystem's tests share: made-up torrents with real hashes, and volumes on memory. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { ManualClock, SeedbedError, seededRandom } from '../../src/base/index.ts'
import { type BlockDevice, MemoryDevice } from '../../src/block-device/index.ts'
import {
  type FormatOptions,
  formatVolume,
  fsck,
  type MountedVolume,
  type MountOptions,
  mountVolume,
  type StoredTorrent,
  type TorrentGeometry,
} from '../../src/filesystem/index.ts'

export const KIB = 1024
export const MIB: number = 1024 * 1024
export const BLOCK: number = 64 * KIB

/** A torrent whose every byte follows from its seed; `info` hashes to its info-hash. */
export interface Sample extends TorrentGeometry {
  readonly info: Uint8Array
  readonly attributes: Uint8Array
  readonly pieces: number
  bytes(offset: number, count: number): Uint8Array
  /** The same memory for every caller: read it, never change it. */
  piece(index: number): Uint8Array
}

const PIECES_KEPT = 64

export function sample(
  seed: number,
  totalBytes: number,
  pieceBytes: number,
  infoLength = 100,
): Sample {
  const info = new Uint8Array(infoLength)
  seededRandom(seed).fill(info)
  const infoHash = new Uint8Array(createHash('sha1').update(info).digest())
  const bytes = (offset: number, count: number): Uint8Array => {
    const out = new Uint8Array(count)
    for (let i = 0; i < count; i++) {
      const at = offset + i
      out[i] = (Math.imul(Math.floor(at / 4) + seed * 7919, 0x9e3779b1) >>> ((at % 4) * 8)) ^ seed
    }
    return out
  }
  const known = new Map<number, Uint8Array>()
  return {
    infoHash,
    totalBytes,
    pieceBytes,
    info,
    attributes: new TextEncoder().encode(`attributes of ${seed}`),
    pieces: Math.ceil(totalBytes / pieceBytes),
    bytes,
    piece: (index) => {
      let piece = known.get(index)
      if (piece === undefined) {
        const start = index * pieceBytes
        piece = bytes(start, Math.min(pieceBytes, totalBytes - start))
        if (known.size < PIECES_KEPT) known.set(index, piece)
      }
      return piece
    },
  }
}

export function formatOptions(more: Partial<FormatOptions> = {}): FormatOptions {
  return { random: seededRandom(1), clock: new ManualClock(1_000), blockBytes: BLOCK, ...more }
}

export function mountOptions(more: Partial<MountOptions> = {}): MountOptions {
  return { random: seededRandom(2), clock: new ManualClock(5_000), ...more }
}

export async function freshVolume(
  blocks = 64,
  more: Partial<FormatOptions> = {},
): Promise<{ device: MemoryDevice; volume: MountedVolume }> {
  const format = formatOptions(more)
  const device = new MemoryDevice({ sizeBytes: blocks * format.blockBytes! })
  await formatVolume(device, format)
  return { device, volume: await mountVolume(device, mountOptions()) }
}

/** The same bytes, opened again. */
export function again(device: MemoryDevice): MemoryDevice {
  return new MemoryDevice({
    sizeBytes: device.sizeBytes,
    sectorBytes: device.sectorBytes,
    image: device.image,
  })
}

/** Writes a piece, block by block, and marks it. */
export async function putPiece(
  stored: StoredTorrent,
  from: Sample,
  piece: number,
  block: number = BLOCK,
): Promise<void> {
  const start = piece * from.pieceBytes
  const data = from.piece(piece)
  for (let done = 0; done < data.length; ) {
    const count = Math.min(block - ((start + done) % block), data.length - done)
    await stored.write(start + done, data.subarray(done, done + count))
    done += count
  }
  stored.markHave(piece)
}

/** All pieces that the torrent says it has are what they should be. */
export async function assertVerifies(stored: StoredTorrent, from: Sample): Promise<void> {
  for (let piece = 0; piece < stored.pieceCount; piece++) {
    if (!stored.have.has(piece)) continue
    const expected = from.piece(piece)
    const target = new Uint8Array(expected.length)
    await stored.read(piece * from.pieceBytes, target)
    assert.ok(Buffer.from(target).equals(Buffer.from(expected)), `piece ${piece} is what it was`)
  }
}

export async function assertFsckClean(device: BlockDevice): Promise<void> {
  const report = await fsck(device)
  const bad = report.problems.filter((problem) => problem.severity !== 'notice')
  assert.deepEqual(bad, [])
  assert.equal(report.freeBlocks + report.dataBlocks + report.metadataBlocks, report.totalBlocks)
}

export const hasCode =
  (...codes: string[]) =>
  (error: unknown): boolean =>
    error instanceof SeedbedError && codes.includes(error.code)
