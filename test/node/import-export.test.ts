/** Files to torrent to files, over volumes whose blocks are small, so that few bytes make many. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import fc from 'fast-check'
import { ManualClock, seededRandom } from '../../src/base/index.ts'
import { MemoryDevice } from '../../src/block-device/index.ts'
import { formatVolume, fsck, type MountedVolume, mountVolume } from '../../src/filesystem/index.ts'
import { buildInfo, type TorrentFormat } from '../../src/metainfo/index.ts'
import { checkExport } from '../../src/node/export.ts'
import {
  describeStored,
  encodeAttributes,
  exportTorrent,
  importSource,
  readSource,
  scrubTorrent,
} from '../../src/node/index.ts'
import { madeTorrent } from '../metainfo/made.ts'
import { describedAs } from './described.ts'

const BLOCK_BYTES = 64 * 1024
const attributes = encodeAttributes({ trackers: [] })
const release = (): Promise<void> => Promise.resolve()

let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'seedbed-import-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

interface Bench {
  readonly device: MemoryDevice
  readonly volume: MountedVolume
}

async function bench(sizeBytes = 64 * BLOCK_BYTES): Promise<Bench> {
  const options = { clock: new ManualClock(), random: seededRandom(1) }
  const device = new MemoryDevice({ sizeBytes })
  await formatVolume(device, { ...options, blockBytes: BLOCK_BYTES })
  return { device, volume: await mountVolume(device, options) }
}

async function assertSound(device: MemoryDevice): Promise<void> {
  const { sizeBytes, image } = device
  const report = await fsck(new MemoryDevice({ sizeBytes, image }))
  assert.deepEqual(report.problems, [])
}

function fill(path: string, bytes: number, seed: number): void {
  mkdirSync(dirname(path), { recursive: true })
  const content = new Uint8Array(bytes)
  seededRandom(seed).fill(content)
  writeFileSync(path, content)
}

function digests(folder: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(folder, name)
    if (!statSync(path).isFile()) continue
    found.set(name, createHash('sha256').update(readFileSync(path)).digest('hex'))
  }
  return found
}

test('any tree comes back as it went in, and fsck finds nothing', async () => {
  const tree = fc.uniqueArray(
    fc.record({
      path: fc.array(fc.constantFrom('a', 'b', 'ü', 'long name'), { minLength: 1, maxLength: 3 }),
      leaf: fc.integer({ min: 0, max: 999 }),
      bytes: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 3 * BLOCK_BYTES })),
    }),
    { selector: (file) => `${file.path.join('/')}/${file.leaf}`, minLength: 1, maxLength: 12 },
  )
  let round = 0
  const formats = fc.constantFrom<TorrentFormat>('v1', 'v2', 'hybrid')
  await fc.assert(
    fc.asyncProperty(tree, formats, async (files, format) => {
      fc.pre(files.some((file) => file.bytes > 0))
      const folder = join(root, `in-${round}`)
      const outDir = join(root, `out-${round++}`)
      for (const [seed, file] of files.entries()) {
        fill(join(folder, ...file.path, `${file.leaf}.bin`), file.bytes, seed)
      }
      const { device, volume } = await bench()
      const source = await readSource(folder)
      const options = { attributes, release, format }
      const { stored, info, layers, known } = await importSource(volume, source, options)
      assert.equal(known, false)
      assert.equal(stored.complete, true)
      assert.equal(info.format, format)
      const described = await describeStored(stored)
      assert.deepEqual(described, { info, layers })
      const report = await scrubTorrent(volume, stored, described, { clock: new ManualClock() })
      assert.deepEqual([report.checkedPieces, report.rottenPieces], [info.pieceCount, []])
      const path = await exportTorrent(volume, stored, described, { outDir })
      // BEP 52: a file alone in a tree of v2 has no folder.
      const alone = format === 'v2' && !info.multiFile
      if (alone) assert.deepEqual(readFileSync(path), readFileSync(join(folder, info.name)))
      else assert.deepEqual(digests(path), digests(folder))
      assert.deepEqual(readdirSync(outDir), [info.name], 'nothing but the result is left')
      await volume.close()
      await assertSound(device)
    }),
    { numRuns: 30, seed: 20261121 },
  )
})

test('importing the same content again takes no blocks', async () => {
  fill(join(root, 'x/file'), 5 * BLOCK_BYTES + 3, 7)
  const { volume } = await bench()
  const source = await readSource(join(root, 'x'))
  const first = await importSource(volume, source, { attributes, release })
  const { freeBlocks } = volume.stats()
  const second = await importSource(volume, source, { attributes, release })
  assert.equal(second.known, true)
  assert.equal(second.stored, first.stored)
  assert.equal(volume.stats().freeBlocks, freeBlocks)
})

test('a file that grows or shrinks meanwhile ends the import, and nothing is left of it', async () => {
  const path = join(root, 'x/file')
  fill(path, 3 * BLOCK_BYTES, 7)
  const { device, volume } = await bench()
  const { freeBlocks } = volume.stats()
  const source = await readSource(join(root, 'x'))
  appendFileSync(path, 'more')
  await assert.rejects(importSource(volume, source, { attributes, release }), {
    code: 'SOURCE_CHANGED',
  })
  const shrunk = await readSource(join(root, 'x'))
  writeFileSync(path, 'less')
  await assert.rejects(importSource(volume, shrunk, { attributes, release }), {
    code: 'SOURCE_CHANGED',
  })
  assert.equal(volume.stats().freeBlocks, freeBlocks)
  assert.equal(volume.stats().torrents, 0)
  await volume.close()
  await assertSound(device)
})

test('what does not fit is refused before a byte is read', async () => {
  fill(join(root, 'x/file'), 40 * BLOCK_BYTES, 7)
  const { volume } = await bench(16 * BLOCK_BYTES)
  const source = await readSource(join(root, 'x'))
  let progressed = false
  const importing = importSource(volume, source, {
    attributes,
    release,
    onProgress: () => {
      progressed = true
    },
  })
  await assert.rejects(importing, { code: 'NODE_NO_SPACE' })
  assert.equal(progressed, false)
})

test('an interrupted import leaves nothing', async () => {
  fill(join(root, 'x/file'), 20 * BLOCK_BYTES, 7)
  const { volume } = await bench()
  const { freeBlocks } = volume.stats()
  const controller = new AbortController()
  const importing = importSource(volume, await readSource(join(root, 'x')), {
    attributes,
    release,
    signal: controller.signal,
    onProgress: (bytes) => {
      if (bytes > 5 * BLOCK_BYTES) controller.abort()
    },
  })
  await assert.rejects(importing, { code: 'INTERRUPTED' })
  assert.equal(volume.stats().freeBlocks, freeBlocks)
})

test('rot on the disk is found by the export, which leaves no files', async () => {
  fill(join(root, 'x/file'), 9 * BLOCK_BYTES, 7)
  const { device, volume } = await bench()
  const source = await readSource(join(root, 'x'))
  const { stored, info } = await importSource(volume, source, { attributes, release })
  const sector = new Uint8Array(readFileSync(join(root, 'x/file')).subarray(0, 512))
  const offset = await find(device, sector)
  sector[17]! ^= 1
  await device.write(offset, sector)
  const outDir = join(root, 'out')
  await assert.rejects(exportTorrent(volume, stored, describedAs(info), { outDir }), {
    code: 'EXPORT_CORRUPT',
  })
  assert.deepEqual(readdirSync(outDir), [])
})

test('an export never overwrites, and refuses what is not whole', async () => {
  fill(join(root, 'x/file'), 9 * BLOCK_BYTES, 7)
  const { volume } = await bench()
  const source = await readSource(join(root, 'x'))
  const { stored, info } = await importSource(volume, source, { attributes, release })
  await assert.rejects(exportTorrent(volume, stored, describedAs(info), { outDir: root }), {
    code: 'OUT_EXISTS',
  })
  stored.clearHave(0)
  const outDir = join(root, 'out')
  await assert.rejects(exportTorrent(volume, stored, describedAs(info), { outDir }), {
    code: 'EXPORT_INCOMPLETE',
  })
  assert.equal(existsSync(outDir), false)
})

test('a name that the filesystem cannot hold is refused before anything is downloaded', async () => {
  const { volume } = await bench()
  fill(join(root, 'x/file'), BLOCK_BYTES, 7)
  const { info } = await importSource(volume, await readSource(join(root, 'x')), {
    attributes,
    release,
  })
  const long = { ...info, name: 'é'.repeat(200) }
  await assert.rejects(checkExport(join(root, 'out'), long), {
    code: 'OUT_FAILED',
    message: /ENAMETOOLONG/,
    mend: /another one/,
  })
  await checkExport(join(root, 'out'), info)
})

async function find(device: MemoryDevice, sector: Uint8Array): Promise<number> {
  const read = new Uint8Array(sector.length)
  for (let offset = 0; offset < device.sizeBytes; offset += sector.length) {
    await device.read(offset, read)
    if (Buffer.from(read).equals(sector)) return offset
  }
  throw new Error('the content is nowhere on the device')
}

test('blocks that are filler alone are not taken', async () => {
  // Pieces of 256 KiB, blocks of 64 KiB: what follows a small file is mostly whole blocks.
  const large = join(root, 'x/large')
  fill(large, 1_000, 1)
  truncateSync(large, 64 * 2 ** 20)
  for (const name of ['a', 'b', 'c']) fill(join(root, 'x', name), 70_000, 2)
  const source = await readSource(join(root, 'x'))
  for (const format of ['v2', 'hybrid'] as const) {
    const { device, volume } = await bench(1100 * BLOCK_BYTES)
    const options = { attributes, release, format }
    const { stored, info } = await importSource(volume, source, options)
    assert.equal(info.pieceBytes, 4 * BLOCK_BYTES)
    // Two blocks for each small file, of its piece's four.
    assert.equal(volume.get(info.infoHash)!.allocatedBlocks, 64 * 16 + 3 * 2)
    const described = await describeStored(stored)
    const path = await exportTorrent(volume, stored, described, { outDir: join(root, format) })
    assert.deepEqual(digests(path), digests(source.root))
    await volume.close()
    await assertSound(device)
  }
})

test('a v2 torrent that has rotted is not exported, and a scrub finds the piece', async () => {
  fill(join(root, 'x/file'), 5 * BLOCK_BYTES + 3, 7)
  const { device, volume } = await bench()
  const source = await readSource(join(root, 'x/file'))
  const options = { attributes, release, format: 'v2' } as const
  const { stored, info } = await importSource(volume, source, options)
  await volume.sync()
  const [{ place } = { place: 0 }] = [...volume.get(info.infoHash)!.extents()]
  await device.write((place + 1) * BLOCK_BYTES, new Uint8Array(512))
  const described = await describeStored(stored)
  const outDir = join(root, 'out')
  await assert.rejects(exportTorrent(volume, stored, described, { outDir }), {
    code: 'EXPORT_CORRUPT',
  })
  const report = await scrubTorrent(volume, stored, described, { clock: new ManualClock() })
  assert.deepEqual(report.rottenPieces, [4])
  await stored.keepLayers(new Uint8Array(0))
  const without = await describeStored(stored)
  await assert.rejects(scrubTorrent(volume, stored, without, { clock: new ManualClock() }), {
    code: 'LAYERS_MISSING',
  })
  await volume.close()
})

test('programs and links come out as what they are', async () => {
  fill(join(root, 'x/bin/tool'), 100, 1)
  chmodSync(join(root, 'x/bin/tool'), 0o755)
  fill(join(root, 'x/text'), 100, 2)
  const source = await readSource(join(root, 'x'))
  for (const format of ['v1', 'v2', 'hybrid'] as const) {
    const { volume } = await bench()
    const { stored } = await importSource(volume, source, { attributes, release, format })
    const described = await describeStored(stored)
    const path = await exportTorrent(volume, stored, described, { outDir: join(root, format) })
    assert.notEqual(statSync(join(path, 'bin/tool')).mode & 0o100, 0)
    assert.equal(statSync(join(path, 'text')).mode & 0o100, 0)
  }
  const { volume } = await bench()
  const made = madeTorrent('links', [{ path: ['d', 'file'], bytes: 1_000 }], 'v1', 16_384)
  const link = { bytes: 0, padding: false, symlink: ['d', 'file'] }
  const info = buildInfo({
    ...made.layout,
    pieceHashes: made.info.pieceHashes,
    files: [...made.layout.files, { ...link, path: ['e', 'f', 'link'] }],
  })
  const stored = await volume.create(info, info.infoBytes)
  await stored.write(0, made.space)
  stored.markHave(0)
  const path = await exportTorrent(volume, stored, describedAs(info), { outDir: join(root, 'l') })
  assert.equal(readlinkSync(join(path, 'e/f/link')), '../../d/file')
  assert.deepEqual(readFileSync(join(path, 'e/f/link')), Buffer.from(made.space))
})
