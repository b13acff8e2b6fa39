/** The parts of the filesystem: checksums, layouts, allocators, slabs. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { CRC_START, finishCrc, seededRandom, updateCrc } from '../../src/base/index.ts'
import { makeAllocator } from '../../src/filesystem/allocator.ts'
import { allocatorConformance } from '../../src/filesystem/allocator-conformance.ts'
import { Geometry } from '../../src/filesystem/geometry.ts'
import {
  blockOfPiece,
  blocksOfTwin,
  firstPieceFrom,
  lastBlockOfPiece,
  layoutFor,
  twinOfBlock,
} from '../../src/filesystem/layout.ts'
import { Sealer } from '../../src/filesystem/sector.ts'
import { Slabs } from '../../src/filesystem/slabs.ts'
import { BLOCK, KIB, MIB } from './support.ts'

describe('CRC32C', () => {
  const crc = (bytes: Uint8Array): number => finishCrc(updateCrc(CRC_START, bytes, 0, bytes.length))

  test('gives the values of RFC 3720, appendix B.4', () => {
    assert.equal(crc(new TextEncoder().encode('123456789')), 0xe3069283)
    assert.equal(crc(new Uint8Array(32)), 0x8a9136aa)
    assert.equal(crc(new Uint8Array(32).fill(0xff)), 0x62a8ab43)
    assert.equal(crc(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e)
  })

  test('may be taken in parts of any length', () => {
    const bytes = new Uint8Array(100)
    seededRandom(1).fill(bytes)
    for (let cut = 0; cut <= 100; cut++) {
      const state = updateCrc(updateCrc(CRC_START, bytes, 0, cut), bytes, cut, 100)
      assert.equal(finishCrc(state), crc(bytes))
    }
  })
})

test('a sector is valid only for its volume, place, kind and owner, and unchanged', () => {
  const uuid = new Uint8Array(16).fill(3)
  const sealer = new Sealer(uuid, 512)
  const sector = new Uint8Array(512)
  seededRandom(1).fill(sector)
  sealer.seal(sector, 0, 5120, 4, 99n, 7)
  assert.ok(sealer.valid(sector, 0, 5120, 4, 99n))
  assert.equal(sealer.generation(sector, 0), 7)
  assert.ok(!sealer.valid(sector, 0, 5632, 4, 99n), 'misdirected')
  assert.ok(!sealer.valid(sector, 0, 5120, 3, 99n), 'another kind')
  assert.ok(!sealer.valid(sector, 0, 5120, 4, 98n), 'a former owner')
  assert.ok(!new Sealer(new Uint8Array(16), 512).valid(sector, 0, 5120, 4, 99n), 'foreign')
  for (let bit = 0; bit < 512 * 8; bit++) {
    sector[bit >> 3]! ^= 1 << (bit & 7)
    assert.ok(!sealer.valid(sector, 0, 5120, 4, 99n), `bit ${bit}`)
    sector[bit >> 3]! ^= 1 << (bit & 7)
  }
})

describe('layout', () => {
  const geometries = [
    new Geometry(BLOCK, 512, 1000),
    new Geometry(4 * MIB, 512, 1000),
    new Geometry(4 * MIB, 4096, 1000),
    new Geometry(16 * MIB, 512, 1000),
  ]

  test('is what format.md says for the default sizes', () => {
    const layout = layoutFor(geometries[1]!, 2 ** 40, 256 * KIB)
    assert.ok(typeof layout === 'object')
    assert.deepEqual([layout.twinBlocks, layout.headerBlocks], [82, 61])
    const large = layoutFor(geometries[1]!, 2 ** 50, 4 * MIB)
    assert.ok(typeof large === 'object')
    assert.deepEqual([large.spanBlocks, large.spans], [491_520, 547])
    assert.equal(geometries[1]!.torrentsMax, 126_945)
    assert.equal(geometries[2]!.torrentsMax, 130_305)
  })

  test('each block and each piece belongs to one twin, which has room for them', () => {
    const sizes = fc.record({
      geometry: fc.constantFrom(...geometries),
      blocks: fc.integer({ min: 1, max: 3_000_000 }),
      spare: fc.integer({ min: 0, max: BLOCK - 1 }),
      pieceBytes: fc.oneof(
        fc.integer({ min: 12, max: 28 }).map((k) => 2 ** k),
        fc.integer({ min: 5000, max: 2 ** 28 }),
      ),
      random: fc.array(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), {
        minLength: 8,
        maxLength: 8,
      }),
    })
    fc.assert(
      fc.property(sizes, ({ geometry, blocks, spare, pieceBytes, random }) => {
        const layout = layoutFor(geometry, blocks * geometry.blockBytes - spare, pieceBytes)
        if (typeof layout === 'string') return
        for (const part of random) {
          const block = Math.floor(part * layout.blocks)
          const { span, twin } = twinOfBlock(layout, block)
          const { first, count, capacity } = blocksOfTwin(layout, span, twin)
          assert.ok(block >= first && block < first + count)
          const pieces = firstPieceFrom(layout, first + count) - firstPieceFrom(layout, first)
          const header = span < 0 && twin === 0 ? 128 : 0
          assert.ok(4 * capacity + Math.ceil(pieces / 8) <= geometry.payloadBytes - header)
          const piece = Math.floor(part * layout.pieces)
          const home = blockOfPiece(layout, piece)
          assert.ok(
            firstPieceFrom(layout, home) <= piece && piece < firstPieceFrom(layout, home + 1),
          )
          assert.ok(lastBlockOfPiece(layout, piece) < layout.blocks)
        }
      }),
      { seed: 42, numRuns: 300 },
    )
  })

  test('says when a torrent cannot be mapped', () => {
    assert.equal(layoutFor(geometries[3]!, 2 ** 40, 1024), 'unmappable')
    assert.equal(layoutFor(geometries[0]!, 2 ** 52, 16 * MIB), 'too large')
    assert.equal(typeof layoutFor(geometries[3]!, 100_000, 1024), 'object')
  })
})

for (const kind of ['sequential', 'ordered'] as const) {
  describe(`${kind} allocator`, () => {
    allocatorConformance({
      test: (name, body) => void test(name, body),
      make: (totalBlocks) => makeAllocator(kind, totalBlocks),
    })
  })
}

test('the sequential allocator goes round', () => {
  const allocator = makeAllocator('sequential', 6, 4)
  assert.deepEqual(
    Array.from({ length: 3 }, () => allocator.allocate('data')),
    [4, 5, 1],
  )
  allocator.free(4)
  assert.equal(allocator.allocate('data'), 2)
  assert.equal(allocator.cursor, 3)
})

test('the ordered allocator takes data from the front, metadata from the back', () => {
  const allocator = makeAllocator('ordered', 100)
  assert.deepEqual(
    (['data', 'metadata', 'data', 'metadata'] as const).map((what) => allocator.allocate(what)),
    [1, 99, 2, 98],
  )
  allocator.free(1)
  allocator.free(99)
  assert.deepEqual([allocator.allocate('data'), allocator.allocate('metadata')], [1, 99])
})

describe('slabs', () => {
  test('give lowest block, lowest slot first; slot 0 in use is not given again', () => {
    const allocator = makeAllocator('ordered', 100)
    const slabs = new Slabs(new Geometry(BLOCK, 512, 100), allocator)
    const slots = Array.from({ length: 70 }, () => slabs.allocate(0)!)
    assert.deepEqual([slots[0]!.slot, slots[1]!.slot, slots[63]!.slot], [0, 1, 63])
    assert.notEqual(slots[64]!.block, slots[0]!.block)
    // The second block is the lower one here: free slots of it come first.
    slabs.free(slots[5]!)
    slabs.free(slots[66]!)
    assert.deepEqual(slabs.allocate(0), slots[66])
    const others = [slots[1]!, slots[2]!]
    for (const slot of others) slabs.free(slot)
    const again = Array.from({ length: 3 }, () => slabs.allocate(0)!)
    assert.ok(again.every(({ block, slot }) => !(block === slots[0]!.block && slot === 0)))
  })

  test('an empty slab block goes back, and only then', () => {
    const allocator = makeAllocator('sequential', 100)
    const slabs = new Slabs(new Geometry(BLOCK, 512, 100), allocator)
    const slots = [slabs.allocate(5)!, slabs.allocate(5)!]
    assert.equal(slabs.blockCount, 1)
    assert.equal(slabs.free(slots[0]!), 0)
    assert.equal(slabs.free(slots[1]!), slots[1]!.block)
    assert.equal(slabs.blockCount, 0)
    assert.equal(allocator.freeBlocks, 99)
    assert.throws(() => slabs.free(slots[0]!))
  })

  test('classes that a block or a sector does not allow are not used', () => {
    const small = new Geometry(BLOCK, 4096, 100)
    assert.deepEqual([small.classMin, small.classMax], [3, 6])
    assert.equal(small.classFor(1), 3)
    assert.equal(small.classFor(BLOCK + 1), undefined)
  })
})

test('the torrents that a list has room for are those of docs/limits.md', () => {
  const page = readFileSync(new URL('../../../docs/limits.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| (\d+) ([KM])iB[^|]*\| +([\d,]+) \| +([\d,]+) \|$/gm)]
  assert.equal(rows.length, 5)
  for (const [, size, unit, small, large] of rows) {
    const blockBytes = Number(size) * (unit === 'K' ? 1024 : 1024 * 1024)
    const told = [small!, large!].map((figure) => Number(figure.replaceAll(',', '')))
    const real = [512, 4096].map((sector) => new Geometry(blockBytes, sector, 100).torrentsMax)
    assert.deepEqual(told, real, `${size} ${unit}iB`)
  }
})
