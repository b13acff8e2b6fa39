/** Rot is found piece by piece, forgotten durably, and nothing else is touched. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Clock, ManualClock, SeedbedError, seededRandom } from '../../src/base/index.ts'
import { type BlockDevice, MemoryDevice, type SparseImage } from '../../src/block-device/index.ts'
import {
  formatVolume,
  fsck,
  type MountedVolume,
  mountVolume,
  type StoredTorrent,
} from '../../src/filesystem/index.ts'
import { buildInfo, type TorrentInfo } from '../../src/metainfo/index.ts'
import { scrubTorrent } from '../../src/node/index.ts'
import { describedAs } from './described.ts'

const BLOCK = 64 * 1024
const DEVICE_BYTES = 272 * BLOCK
const options = { clock: new ManualClock(), random: seededRandom(3) }

/** Fails to read the device bytes of `bad`, `times` times. */
class WeakDevice extends MemoryDevice {
  bad: { readonly offset: number; times: number } | undefined
  onRead: (bytes: number) => void = () => {}

  override async read(offset: number, target: Uint8Array): Promise<void> {
    this.onRead(target.length)
    const { bad } = this
    if (bad !== undefined && bad.times > 0) {
      if (bad.offset >= offset && bad.offset < offset + target.length) {
        bad.times--
        throw new SeedbedError('DEVICE_IO', 'a defect, as it was told to')
      }
    }
    await super.read(offset, target)
  }
}

interface Bench {
  readonly device: WeakDevice
  readonly volume: MountedVolume
  readonly stored: StoredTorrent
  readonly info: TorrentInfo
  readonly content: Uint8Array
}

async function bench(
  totalBytes: number,
  pieceBytes: number,
  held = [] as number[],
): Promise<Bench> {
  const device = new WeakDevice({ sizeBytes: DEVICE_BYTES })
  await formatVolume(device, { ...options, blockBytes: BLOCK })
  const volume = await mountVolume(device, options)
  const content = new Uint8Array(totalBytes)
  seededRandom(totalBytes).fill(content)
  const pieces = Math.ceil(totalBytes / pieceBytes)
  const pieceHashes = new Uint8Array(pieces * 20)
  for (let i = 0; i < pieces; i++) {
    const piece = content.subarray(i * pieceBytes, (i + 1) * pieceBytes)
    pieceHashes.set(createHash('sha1').update(piece).digest(), i * 20)
  }
  const info = buildInfo({
    name: 'content',
    multiFile: false,
    files: [{ path: ['content'], bytes: totalBytes, padding: false }],
    pieceBytes,
    pieceHashes,
    private: false,
  })
  const stored = await volume.create(info, info.infoBytes)
  for (let i = 0; i < pieces; i++) {
    if (held.length > 0 && !held.includes(i)) continue
    await putPiece(stored, content, i)
  }
  await volume.sync()
  return { device, volume, stored, info, content }
}

async function putPiece(stored: StoredTorrent, content: Uint8Array, piece: number): Promise<void> {
  const end = Math.min((piece + 1) * stored.pieceBytes, stored.totalBytes)
  for (let at = piece * stored.pieceBytes; at < end; ) {
    const to = Math.min(end, (Math.floor(at / BLOCK) + 1) * BLOCK)
    await stored.write(at, content.subarray(at, to))
    at = to
  }
  stored.markHave(piece)
}

/** The device byte at which byte `at` of the content lies. */
function placeOf({ device, content }: Bench, at: number): number {
  const wanted = content.subarray(at, at + 16)
  const block = new Uint8Array(BLOCK)
  for (let start = 0; start < DEVICE_BYTES; start += BLOCK) {
    device.image.read(start, block)
    const found = Buffer.from(block.buffer).indexOf(wanted)
    if (found !== -1) return start + found
  }
  throw new Error('the content is not on the device')
}

function flipBit(image: SparseImage, place: number, bit = 3): void {
  const sector = new Uint8Array(512)
  const start = place - (place % 512)
  image.read(start, sector)
  sector[place - start]! ^= 1 << bit
  image.write(start, sector)
}

const heldPieces = (stored: StoredTorrent): number[] =>
  Array.from({ length: stored.pieceCount }, (_, i) => i).filter((i) => stored.have.has(i))

async function remount({ device, info }: Bench): Promise<StoredTorrent> {
  const { sizeBytes, image } = device
  const again = (): BlockDevice => new MemoryDevice({ sizeBytes, image })
  assert.deepEqual((await fsck(again())).problems, [])
  return (await mountVolume(again(), options)).get(info.infoHash)!
}

test('whatever bits flip, exactly their pieces are found and forgotten, durably', async () => {
  const shape = fc.record({
    totalBytes: fc.integer({ min: 1000, max: 40 * BLOCK }),
    pieceBytes: fc.constantFrom(16_384, 30_001, BLOCK, 5 * BLOCK),
    holes: fc.array(fc.nat(200), { maxLength: 20 }),
    flips: fc.array(fc.tuple(fc.nat(), fc.nat(7)), { minLength: 1, maxLength: 5 }),
  })
  await fc.assert(
    fc.asyncProperty(shape, async ({ totalBytes, pieceBytes, holes, flips }) => {
      const pieces = Math.ceil(totalBytes / pieceBytes)
      const held = Array.from({ length: pieces }, (_, i) => i).filter((i) => !holes.includes(i))
      fc.pre(held.length > 0)
      const made = await bench(totalBytes, pieceBytes, held)
      const hurt = new Map<number, [place: number, bit: number]>()
      for (const [chance, bit] of flips) {
        const at = chance % (totalBytes - 16)
        const piece = Math.floor(at / pieceBytes)
        // All bytes looked for have to be of pieces that are there.
        if (!held.includes(piece) || !held.includes(Math.floor((at + 15) / pieceBytes))) continue
        if (Math.floor(at / BLOCK) === Math.floor((at + 15) / BLOCK)) {
          if (!hurt.has(piece)) hurt.set(piece, [placeOf(made, at), bit])
        }
      }
      for (const [place, bit] of hurt.values()) flipBit(made.device.image, place, bit)
      const rotten = [...hurt.keys()].sort((a, b) => a - b)

      const { volume, stored, info } = made
      let told = 0
      const report = await scrubTorrent(volume, stored, describedAs(info), {
        ...options,
        onProgress: (bytes, total) => {
          told = total - bytes
        },
      })
      assert.deepEqual(report.rottenPieces, rotten)
      assert.deepEqual(report.unreadablePieces, [])
      assert.deepEqual(report.unsteadyPieces, [])
      assert.equal(report.checkedPieces, held.length)
      assert.equal(told, 0, 'the progress ends at the whole')
      const left = held.filter((piece) => !rotten.includes(piece))
      assert.deepEqual(heldPieces(stored), left)
      assert.deepEqual(heldPieces(await remount(made)), left, 'the power may fail now')
    }),
    { numRuns: 40, seed: 20261122 },
  )
})

test('a piece that was forgotten can be written again, and then the scrub is content', async () => {
  const made = await bench(10 * BLOCK, BLOCK)
  const { volume, stored, info, content, device } = made
  flipBit(device.image, placeOf(made, 3 * BLOCK + 77))
  assert.deepEqual(
    (await scrubTorrent(volume, stored, describedAs(info), options)).rottenPieces,
    [3],
  )
  await putPiece(stored, content, 3)
  await volume.sync()
  const report = await scrubTorrent(volume, stored, describedAs(info), options)
  assert.deepEqual(report.rottenPieces, [])
  assert.equal(report.checkedBytes, 10 * BLOCK)
  assert.ok(stored.complete)
})

test('what cannot be read is rotten, its neighbours in the same read are not', async () => {
  const made = await bench(20 * BLOCK, 16_384)
  const { volume, stored, info, device } = made
  device.bad = { offset: placeOf(made, 5 * 16_384 + 100), times: Number.POSITIVE_INFINITY }
  const report = await scrubTorrent(volume, stored, describedAs(info), options)
  assert.deepEqual(report.rottenPieces, [5])
  assert.deepEqual(report.unreadablePieces, [5])
  assert.equal(heldPieces(stored).length, 79)
})

test('what fails once and is right when read again keeps its have-bit, and is told', async () => {
  const made = await bench(2 * BLOCK, BLOCK)
  const { volume, stored, info, device } = made
  device.bad = { offset: placeOf(made, 100), times: 1 }
  const report = await scrubTorrent(volume, stored, describedAs(info), options)
  assert.deepEqual(report.rottenPieces, [])
  assert.deepEqual(report.unsteadyPieces, [0, 1], 'one read fetched both')
  assert.ok(stored.complete)
})

test('a dry run changes nothing, nor does a read-only volume', async () => {
  const made = await bench(4 * BLOCK, BLOCK)
  flipBit(made.device.image, placeOf(made, 10))
  const dry = await scrubTorrent(made.volume, made.stored, describedAs(made.info), {
    ...options,
    clear: false,
  })
  assert.deepEqual([dry.rottenPieces, dry.cleared], [[0], false])
  assert.ok(made.stored.complete)
  const { sizeBytes, image } = made.device
  const readOnly = new MemoryDevice({ sizeBytes, image, readOnly: true })
  const volume = await mountVolume(readOnly, options)
  const stored = volume.get(made.info.infoHash)!
  const report = await scrubTorrent(volume, stored, describedAs(made.info), options)
  assert.deepEqual([report.rottenPieces, report.cleared], [[0], false])
})

/** Time passes only while somebody waits. */
class WaitingClock extends ManualClock implements Clock {
  override after(delayMs: number, task: () => void): () => void {
    const cancel = super.after(delayMs, task)
    queueMicrotask(() => this.advance(delayMs))
    return cancel
  }
}

test('the rate is kept, and a stall is not made up for', async () => {
  const { volume, stored, info, device } = await bench(256 * BLOCK, 256 * BLOCK)
  const clock = new WaitingClock()
  const beginsMs: number[] = []
  device.onRead = (bytes) => {
    if (bytes < BLOCK) return
    const nowMs = clock.monotonicMs()
    // Sixty-four blocks are one window.
    if (beginsMs.length < 4 * 64) beginsMs.push(nowMs)
    if (beginsMs.length === 2 * 64) clock.advance(60_000)
  }
  const report = await scrubTorrent(volume, stored, describedAs(info), {
    clock,
    rateBytes: 2 ** 20,
  })
  assert.deepEqual(report.rottenPieces, [])
  const windows = [0, 1, 2, 3].map((i) => beginsMs[i * 64]!)
  assert.deepEqual(windows, [0, 4_000, 64_000, 68_000])
})

test('an interrupted scrub has durably forgotten what it had found', async () => {
  const made = await bench(80 * BLOCK, BLOCK)
  const { volume, stored, info, device } = made
  flipBit(device.image, placeOf(made, 10))
  const controller = new AbortController()
  const scrubbing = scrubTorrent(volume, stored, describedAs(info), {
    clock: new WaitingClock(),
    rateBytes: 1,
    signal: controller.signal,
    onProgress: () => controller.abort(),
  })
  await assert.rejects(scrubbing, { code: 'INTERRUPTED' })
  const left = heldPieces(await remount(made))
  assert.equal(left.includes(0), false)
  assert.equal(left.length, 79)
})
