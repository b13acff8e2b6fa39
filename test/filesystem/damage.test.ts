/** Failing disks and damaged metadata: detected, contained, never believed. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { below, ManualClock, SeedbedError, seededRandom, toHex } from '../../src/base/index.ts'
import {
  type BlockDevice,
  MemoryDevice,
  type OperationKind,
  SimulatedDevice,
} from '../../src/block-device/index.ts'
import {
  formatVolume,
  fsck,
  type MountedVolume,
  mountVolume,
  probe,
} from '../../src/filesystem/index.ts'
import {
  again,
  assertFsckClean,
  assertVerifies,
  BLOCK,
  formatOptions,
  freshVolume,
  hasCode,
  KIB,
  mountOptions,
  putPiece,
  type Sample,
  sample,
} from './support.ts'

const SAMPLES = [1, 2, 3].map((seed) => sample(seed, 4 * BLOCK + 700, 16 * KIB, 700))

/** A volume with three torrents, twice synced so that both copies of the sectors are in use. */
async function populated(): Promise<MemoryDevice> {
  const { device, volume } = await freshVolume(48)
  for (const from of SAMPLES) {
    const stored = await volume.create(from, from.info, from.attributes)
    for (const piece of [0, 5]) await putPiece(stored, from, piece)
    await volume.sync()
    await putPiece(stored, from, 9)
  }
  await volume.close()
  return device
}

const byName = new Map(SAMPLES.map((from) => [toHex(from.infoHash), from]))

async function assertOnlyTruth(volume: MountedVolume): Promise<void> {
  for (const stored of volume.torrents()) {
    const from: Sample = byName.get(toHex(stored.infoHash))!
    assert.ok(from !== undefined, 'a torrent that never was')
    await assertVerifies(stored, from)
    try {
      assert.deepEqual(await stored.readInfo(), from.info)
      assert.deepEqual(await stored.readAttributes(), from.attributes)
    } catch (error) {
      if (!hasCode('FS_INFO_ROTTEN', 'FS_ATTRIBUTES_ROTTEN')(error)) throw error
    }
  }
}

async function metadataSectors(device: MemoryDevice): Promise<number[]> {
  const places: number[] = []
  const sector = new Uint8Array(512)
  const volume = await mountVolume(again(device), mountOptions({ readOnly: true }))
  const written: number[] = []
  const data = new Set<number>()
  for (const stored of volume.torrents()) {
    const inode = (stored as unknown as { inode: { map: { places(): Iterable<number> } } }).inode
    for (const place of inode.map.places()) data.add(place)
  }
  for (let block = 0; block < 48; block++) {
    if (data.has(block)) continue
    for (let at = block * BLOCK; at < (block + 1) * BLOCK; at += 512) {
      await device.read(at, sector)
      if (sector.some((byte) => byte !== 0)) written.push(at)
    }
  }
  places.push(...written)
  return places
}

describe('damage', () => {
  test('one damaged metadata sector costs no torrent, and fsck mends it', async () => {
    const device = await populated()
    const sectors = await metadataSectors(again(device))
    assert.ok(sectors.length > 130)
    const random = seededRandom(11)
    for (const place of sectors) {
      // The root list is long and all alike.
      if (place < BLOCK && place > 2 * 512 && place < BLOCK - 512 && below(random, 10) > 0) continue
      const image = device.image.copy()
      const hurt = new MemoryDevice({ sizeBytes: device.sizeBytes, image })
      const sector = new Uint8Array(512)
      await hurt.read(place, sector)
      sector[below(random, 512)]! ^= 1 << below(random, 8)
      await hurt.write(place, sector)
      const report = await fsck(hurt, { repair: true })
      assert.ok(report.problems.length > 0, `byte ${place} is found`)
      assert.equal(report.refusedTorrents, 0)
      const volume = await mountVolume(hurt, mountOptions())
      assert.equal([...volume.torrents()].length, 3)
      await assertOnlyTruth(volume)
      await volume.close()
      const second = await fsck(again(hurt))
      const remaining = second.problems.filter((problem) => problem.check !== 'info record')
      assert.deepEqual(remaining, [], `byte ${place} is mended`)
    }
  })

  test('metadata damaged anywhere, any amount, is never believed, and nothing crashes or hangs', async () => {
    const device = await populated()
    const sectors = await metadataSectors(again(device))
    const interesting = sectors.filter(
      (place) => place >= BLOCK || place < 1024 || place === BLOCK / 2,
    )
    let refusals = 0
    for (let seed = 0; seed < 300; seed++) {
      const random = seededRandom(seed)
      const hurt = new MemoryDevice({ sizeBytes: device.sizeBytes, image: device.image.copy() })
      for (let count = 1 + below(random, 12); count > 0; count--) {
        const place = interesting[below(random, interesting.length)]!
        const sector = new Uint8Array(512)
        await hurt.read(place, sector)
        const kind = below(random, 3)
        if (kind === 0) sector[below(random, 512)]! ^= 1 << below(random, 8)
        else if (kind === 1) random.fill(sector)
        else await hurt.read(interesting[below(random, interesting.length)]!, sector)
        await hurt.write(place, sector)
      }
      try {
        const report = await fsck(hurt)
        const volume = await mountVolume(hurt, mountOptions())
        assert.equal([...volume.torrents()].length, report.torrents)
        refusals += report.refusedTorrents
        await assertOnlyTruth(volume)
        await volume.close()
      } catch (error) {
        if (!(error instanceof SeedbedError)) throw error
        assert.ok(['FS_FOREIGN', 'FS_CORRUPT'].includes(error.code), error.code)
        refusals++
      }
    }
    assert.ok(refusals > 20, `${refusals} refusals`)
  })

  test('sectors sealed with nonsense in them are refused by their content', async () => {
    // Who knows the UUID can seal anything: numbers are compared before they are used.
    const device = await populated()
    const { Sealer } = await import('../../src/filesystem/sector.ts')
    const { readId } = await import('../../src/filesystem/little-endian.ts')
    const header = new Uint8Array(512)
    device.image.read(0, header)
    const sealer = new Sealer(header.slice(24, 40), 512)
    const sectors = (await metadataSectors(again(device))).filter(
      (place) => place >= BLOCK || place <= 512,
    )
    let refused = 0
    for (let seed = 0; seed < 400; seed++) {
      const random = seededRandom(seed)
      const hurt = new MemoryDevice({ sizeBytes: device.sizeBytes, image: device.image.copy() })
      const place = sectors[below(random, sectors.length)]!
      const sector = new Uint8Array(512)
      await hurt.read(place, sector)
      const kind = [1, 2, 3, 4, 5, 6, 7].find((k) =>
        sealer.valid(sector, 0, place, k, readId(sector, 496)),
      )
      if (kind === undefined || kind === 6) continue
      for (let count = 1 + below(random, 4); count > 0; count--) {
        const at = below(random, kind === 3 ? 124 : 200) & ~3
        const value = [0, 0xffffffff, 1, 0x7fffffff, random.uint32()][below(random, 5)]!
        new DataView(sector.buffer).setUint32(at, value, true)
      }
      sealer.seal(sector, 0, place, kind, readId(sector, 496), 1000)
      await hurt.write(place, sector)
      try {
        const report = await fsck(hurt)
        refused += report.refusedTorrents
        const volume = await mountVolume(hurt, mountOptions())
        for (const stored of volume.torrents()) await stored.readInfo().catch(() => {})
        assert.ok(volume.stats().freeBlocks >= 0)
        await volume.close()
      } catch (error) {
        if (!(error instanceof SeedbedError)) throw error
        refused++
      }
    }
    assert.ok(refused > 100, `${refused} refused`)
  })

  test('a block with two owners: both are refused, the others work', async () => {
    const device = await populated()
    const volume = await mountVolume(again(device), mountOptions())
    type Inner = { inode: { map: { get(b: number): number; set(b: number, p: number): void } } }
    const [first, second, third] = [...volume.torrents()] as unknown as (Inner & {
      infoHash: Uint8Array
    })[]
    second!.inode.map.set(3, first!.inode.map.get(0))
    const write = volume.get(second!.infoHash)!
    write.markHave(12)
    await volume.sync()
    const report = await fsck(again(device))
    assert.equal(report.clean, false)
    assert.equal(report.refusedTorrents, 2)
    assert.deepEqual(
      report.problems.filter((p) => p.severity === 'error').map((p) => p.check),
      ['owners', 'owners'],
    )
    const other = await mountVolume(again(device), mountOptions())
    assert.deepEqual(
      [...other.torrents()].map((stored) => stored.infoHash),
      [third!.infoHash],
    )
    assert.equal(other.problems.length, 2)
    const from = byName.get(toHex(first!.infoHash))!
    await assert.rejects(other.create(from, from.info), hasCode('FS_EXISTS'))
    await assert.rejects(other.remove(from.infoHash), hasCode('FS_CORRUPT'))
    await other.close()
  })

  test('a root sector lost in both copies: read-only mount only', async () => {
    const device = await populated()
    for (const place of [512, BLOCK / 2]) await device.image.write(place, new Uint8Array(512))
    await assert.rejects(mountVolume(again(device), mountOptions()), hasCode('FS_CORRUPT'))
    const volume = await mountVolume(again(device), mountOptions({ readOnly: true }))
    assert.equal([...volume.torrents()].length, 0)
    await volume.close()
  })

  test('a torrent with a damaged map is refused, keeps its blocks, and can be removed', async () => {
    const { device, volume } = await freshVolume(48)
    const large = sample(60, 300 * BLOCK, 16 * KIB)
    const stored = await volume.create(large, large.info)
    for (const piece of [0, 400, 1100]) await putPiece(stored, large, piece)
    await volume.close()
    const { region } = (
      stored as unknown as {
        inode: { head: { region: { placeOf(t: number, c: number): number } } }
      }
    ).inode.head
    for (const copy of [0, 1]) device.image.write(region.placeOf(1, copy), new Uint8Array(512))
    const second = await mountVolume(again(device), mountOptions())
    assert.equal(second.get(large.infoHash), undefined)
    assert.equal(second.stats().dataBlocks, 2, 'the blocks of the readable twins')
    await assert.rejects(second.create(large, large.info), hasCode('FS_EXISTS'))
    await second.remove(large.infoHash)
    await second.close()
    const third = await mountVolume(again(device), mountOptions())
    assert.deepEqual(third.problems, [])
    assert.equal(third.stats().freeBlocks, 47)
    await third.close()
    await assertFsckClean(again(device))
  })

  test('an i-node lost in both copies: that torrent is refused, its slot stays reserved', async () => {
    const device = await populated()
    const before = await mountVolume(again(device), mountOptions({ readOnly: true }))
    const [lost] = [...before.torrents()] as unknown as {
      inode: { head: { region: { placeOf(t: number, c: number): number } } }
    }[]
    const { region } = lost!.inode.head
    for (const copy of [0, 1]) device.image.write(region.placeOf(0, copy), new Uint8Array(512))
    const volume = await mountVolume(again(device), mountOptions())
    assert.equal([...volume.torrents()].length, 2)
    assert.equal(volume.problems.filter((problem) => problem.check === 'i-node').length, 1)
    const extra = sample(50, BLOCK, BLOCK)
    await putPiece(await volume.create(extra, extra.info), extra, 0)
    for (const stored of volume.torrents()) {
      if (byName.has(toHex(stored.infoHash)))
        await assertVerifies(stored, byName.get(toHex(stored.infoHash))!)
    }
    await volume.close()
  })
})

describe('input/output errors', () => {
  const work = async (device: BlockDevice): Promise<void> => {
    const volume = await mountVolume(device, mountOptions())
    const [a, b] = [sample(21, 3 * BLOCK, 16 * KIB), sample(22, BLOCK, BLOCK)]
    const stored = await volume.create(a, a.info)
    for (const piece of [0, 1, 7]) await putPiece(stored, a, piece)
    await volume.sync()
    await putPiece(await volume.create(b, b.info), b, 0)
    await volume.sync()
    await volume.remove(a.infoHash)
    await volume.close()
  }

  const sweep = async (kinds: readonly OperationKind[], forever: boolean): Promise<number> => {
    for (let at = 0; ; at++) {
      const device = new SimulatedDevice({ sizeBytes: 24 * BLOCK, record: false })
      await formatVolume(device, formatOptions())
      device.fault = { at, kinds, forever }
      let failed = false
      try {
        await work(device)
      } catch (error) {
        failed = true
        assert.ok(error instanceof SeedbedError, `operation ${at}: ${error}`)
      }
      const count = kinds.reduce((sum, kind) => sum + device.counts[kind], 0)
      device.fault = undefined
      device.reopen()
      const after = new MemoryDevice({ sizeBytes: device.sizeBytes, image: device.image })
      await assertFsckClean(after)
      const volume = await mountVolume(after, mountOptions())
      for (const stored of volume.torrents()) {
        for (const from of [sample(21, 3 * BLOCK, 16 * KIB), sample(22, BLOCK, BLOCK)]) {
          if (toHex(stored.infoHash) === toHex(from.infoHash)) await assertVerifies(stored, from)
        }
      }
      await volume.close()
      if (!failed && at >= count) return at
    }
  }

  for (const kind of ['read', 'write', 'flush', 'discard'] as const) {
    for (const forever of [false, true]) {
      test(`the n-th ${kind} fails ${forever ? 'for good' : 'once'}: a coded error, and a sound volume`, async () => {
        assert.ok((await sweep([kind], forever)) > 0)
      })
    }
  }

  test('after a failed flush nothing is acknowledged any more, and reads go on', async () => {
    const device = new SimulatedDevice({ sizeBytes: 24 * BLOCK, record: false })
    await formatVolume(device, formatOptions())
    const volume = await mountVolume(device, mountOptions())
    const from = sample(1, 3 * BLOCK, BLOCK)
    const stored = await volume.create(from, from.info)
    await putPiece(stored, from, 0)
    device.fault = { at: 0, kinds: ['flush'] }
    await assert.rejects(volume.sync(), hasCode('FS_FAILED'))
    await assert.rejects(volume.sync(), hasCode('FS_FAILED'))
    await assert.rejects(stored.write(0, from.bytes(0, 1)), hasCode('FS_FAILED'))
    await assert.rejects(volume.remove(from.infoHash), hasCode('FS_FAILED'))
    assert.throws(() => stored.markHave(1), hasCode('FS_FAILED'))
    assert.equal(volume.failure?.name, 'SeedbedError')
    await assertVerifies(stored, from)
    await volume.close()
  })

  test('a failed write of data is the caller’s to know; the volume goes on', async () => {
    const device = new SimulatedDevice({ sizeBytes: 24 * BLOCK, record: false })
    await formatVolume(device, formatOptions())
    const volume = await mountVolume(device, mountOptions())
    const from = sample(1, 3 * BLOCK, BLOCK)
    const stored = await volume.create(from, from.info)
    device.fault = { at: 0, kinds: ['write'] }
    await assert.rejects(stored.write(0, from.bytes(0, BLOCK)), hasCode('DEVICE_IO'))
    await putPiece(stored, from, 0)
    await volume.sync()
    await assertVerifies(stored, from)
    await volume.close()
  })
})

describe('what is no volume, or not ours to change', () => {
  const blank = (): MemoryDevice => new MemoryDevice({ sizeBytes: 64 * BLOCK })

  test('a blank device is blank, and not mounted', async () => {
    const device = blank()
    assert.deepEqual(await probe(device), { kind: 'blank' })
    await assert.rejects(mountVolume(device, mountOptions()), hasCode('FS_FOREIGN'))
    await assert.rejects(fsck(device), hasCode('FS_FOREIGN'))
  })

  test('mkfs does not overwrite what it knows, or does not know, unless forced', async () => {
    const marks: readonly [string, number, string | number[]][] = [
      ['ext2/3/4', 1080, [0x53, 0xef]],
      ['XFS', 0, 'XFSB'],
      ['btrfs', 65_600, '_BHRfS_M'],
      ['NTFS', 3, 'NTFS    '],
      ['a GUID partition table', 512, 'EFI PART'],
      ['a partition table (MBR)', 510, [0x55, 0xaa]],
      ['swap space', 4086, 'SWAPSPACE2'],
      ['LUKS', 0, [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe]],
      ['LVM2', 536, 'LVM2 001'],
      ['ZFS', 131_072 + 5 * 1024, [0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0]],
    ]
    for (const [what, at, bytes] of marks) {
      const device = blank()
      device.image.write(at, typeof bytes === 'string' ? Buffer.from(bytes) : new Uint8Array(bytes))
      assert.deepEqual(await probe(device), { kind: 'foreign', what })
      await assert.rejects(formatVolume(device, formatOptions()), hasCode('FS_FOREIGN'))
      await formatVolume(device, formatOptions({ force: true }))
      assert.equal((await probe(device)).kind, 'seedbed')
    }
    const device = blank()
    device.image.write(300_000, new Uint8Array([1]))
    assert.deepEqual(await probe(device), { kind: 'unknown' })
    await assert.rejects(formatVolume(device, formatOptions()), hasCode('FS_FOREIGN'))
  })

  test('a volume is recognised by its label, and survives a second mkfs only unforced', async () => {
    const device = blank()
    await formatVolume(device, formatOptions({ label: 'größer' }))
    const found = await probe(device)
    assert.ok(found.kind === 'seedbed')
    assert.equal(found.label, 'größer')
    assert.match(
      found.uuid,
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    )
    await assert.rejects(formatVolume(device, formatOptions()), hasCode('FS_FOREIGN'))
  })

  test('an older volume with other block sizes does not shine through', async () => {
    const device = new MemoryDevice({ sizeBytes: 256 * BLOCK })
    await formatVolume(device, formatOptions({ blockBytes: 16 * BLOCK }))
    await formatVolume(device, formatOptions({ random: seededRandom(9), force: true }))
    const zero = new Uint8Array(512)
    await device.write(0, zero)
    const volume = await mountVolume(again(device), mountOptions())
    assert.equal(volume.blockBytes, BLOCK)
    await volume.close()
    await device.write(0, zero)
    await device.write(BLOCK - 512, zero)
    await assert.rejects(mountVolume(again(device), mountOptions()), hasCode('FS_FOREIGN'))
  })

  test('a shrunk device, and a newer format, are refused', async () => {
    const device = blank()
    await formatVolume(device, formatOptions())
    const shrunk = new MemoryDevice({ sizeBytes: 63 * BLOCK, image: device.image })
    await assert.rejects(mountVolume(shrunk, mountOptions()), hasCode('FS_DEVICE_SHRUNK'))
    const grown = new MemoryDevice({ sizeBytes: 100 * BLOCK, image: device.image })
    await (await mountVolume(grown, mountOptions())).close()
    const large = new MemoryDevice({
      sizeBytes: 64 * BLOCK,
      sectorBytes: 4096,
      image: device.image,
    })
    await assert.rejects(mountVolume(large, mountOptions()), hasCode('FS_SECTOR'))
    const { Sealer } = await import('../../src/filesystem/sector.ts')
    for (const [place, copies] of [
      [8, 'version'],
      [20, 'features'],
    ] as const) {
      const newer = new MemoryDevice({ sizeBytes: 64 * BLOCK, image: device.image.copy() })
      const sector = new Uint8Array(512)
      await newer.read(0, sector)
      sector[place] = 2
      new Sealer(sector.slice(24, 40), 512).seal(sector, 0, 0, 1, 0n, 100)
      await newer.write(0, sector)
      await assert.rejects(mountVolume(newer, mountOptions()), hasCode('FS_NEWER_FORMAT'), copies)
      await assert.rejects(
        formatVolume(newer, formatOptions()),
        hasCode('FS_NEWER_FORMAT', 'FS_FOREIGN'),
      )
    }
  })

  test('mkfs refuses sizes that cannot work', async () => {
    const device = blank()
    for (const options of [
      { blockBytes: 100_000 },
      { blockBytes: 2 ** 25 },
      { sectorBytes: 1024 },
    ]) {
      await assert.rejects(formatVolume(device, formatOptions(options)), hasCode('FS_GEOMETRY'))
    }
    const label = 'x'.repeat(65)
    await assert.rejects(formatVolume(device, formatOptions({ label })), hasCode('FS_GEOMETRY'))
    const tiny = new MemoryDevice({ sizeBytes: 3 * BLOCK })
    await assert.rejects(formatVolume(tiny, formatOptions()), hasCode('FS_TOO_SMALL'))
  })

  test('the metadata sector follows the physical sector of the device', async () => {
    for (const [sectorBytes, physicalSectorBytes, expected] of [
      [512, 512, 512],
      [512, 4096, 4096],
      [4096, 4096, 4096],
    ] as const) {
      const device = new MemoryDevice({ sizeBytes: 64 * BLOCK, sectorBytes, physicalSectorBytes })
      await formatVolume(device, {
        random: seededRandom(1),
        clock: new ManualClock(),
        blockBytes: BLOCK,
      })
      const volume = await mountVolume(device, mountOptions())
      assert.equal(volume.sectorBytes, expected)
      const from = sample(1, 3 * BLOCK + 10, 48 * KIB)
      const stored = await volume.create(from, from.info)
      for (let piece = 0; piece < from.pieces; piece++) await putPiece(stored, from, piece)
      await volume.sync()
      await assertVerifies(stored, from)
      await volume.close()
    }
  })
})
