/**
 * The volume against a naive model: random sequences of operations, with remounts, over small blocks
 * and every kind of piece size. Each sequence ends with a remount, a comparison and a clean fsck.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { toHex } from '../../src/base/index.ts'
import { MemoryDevice } from '../../src/block-device/index.ts'
import {
  type AllocatorKind,
  formatVolume,
  type MountedVolume,
  mountVolume,
} from '../../src/filesystem/index.ts'
import {
  again,
  assertFsckClean,
  BLOCK,
  formatOptions,
  hasCode,
  mountOptions,
  putPiece,
  type Sample,
  sample,
} from './support.ts'

const PIECES = [16_384, 30_001, 65_536, 98_304]
const BLOCKS = 40

interface ModelTorrent {
  readonly sample: Sample
  have: Set<number>
  uploaded: number
}

interface Model {
  torrents: Map<number, ModelTorrent>
}

interface Real {
  device: MemoryDevice
  volume: MountedVolume
  allocator: AllocatorKind
}

type Command = fc.AsyncCommand<Model, Real>

/** Torrents go by a small number, so that commands meet each other. */
const makeSample = (id: number): Sample =>
  sample(1000 + id, 1 + ((id * 7_919_993) % (6 * BLOCK)), PIECES[id % PIECES.length]!)

class Create implements Command {
  readonly id: number
  constructor(id: number) {
    this.id = id
  }
  check = (): boolean => true
  async run(model: Model, real: Real): Promise<void> {
    const from = makeSample(this.id)
    const create = real.volume.create(from, from.info, from.attributes)
    if (model.torrents.has(this.id)) await assert.rejects(create, hasCode('FS_EXISTS'))
    else {
      try {
        await create
      } catch (error) {
        assert.ok(hasCode('FS_FULL')(error), String(error))
        assert.equal(real.volume.get(from.infoHash), undefined)
        return
      }
      model.torrents.set(this.id, { sample: from, have: new Set(), uploaded: 0 })
    }
  }
  toString = (): string => `create ${this.id}`
}

class Put implements Command {
  readonly id: number
  readonly part: number
  constructor(id: number, part: number) {
    this.id = id
    this.part = part
  }
  check = (model: Readonly<Model>): boolean => model.torrents.has(this.id)
  async run(model: Model, real: Real): Promise<void> {
    const known = model.torrents.get(this.id)!
    const piece = Math.floor(this.part * known.sample.pieces)
    try {
      await putPiece(real.volume.get(known.sample.infoHash)!, known.sample, piece)
    } catch (error) {
      assert.ok(hasCode('FS_FULL')(error), String(error))
      return
    }
    known.have.add(piece)
  }
  toString = (): string => `put ${this.id} ${this.part}`
}

class Clear implements Command {
  readonly id: number
  readonly part: number
  constructor(id: number, part: number) {
    this.id = id
    this.part = part
  }
  check = (model: Readonly<Model>): boolean => model.torrents.has(this.id)
  async run(model: Model, real: Real): Promise<void> {
    const known = model.torrents.get(this.id)!
    const piece = Math.floor(this.part * known.sample.pieces)
    real.volume.get(known.sample.infoHash)!.clearHave(piece)
    known.have.delete(piece)
  }
  toString = (): string => `clear ${this.id} ${this.part}`
}

class Remove implements Command {
  readonly id: number
  constructor(id: number) {
    this.id = id
  }
  check = (): boolean => true
  async run(model: Model, real: Real): Promise<void> {
    const remove = real.volume.remove(makeSample(this.id).infoHash)
    if (model.torrents.delete(this.id)) await remove
    else await assert.rejects(remove, hasCode('FS_UNKNOWN_TORRENT'))
  }
  toString = (): string => `remove ${this.id}`
}

class Stage implements Command {
  readonly id: number
  readonly commit: boolean
  constructor(id: number, commit: boolean) {
    this.id = id
    this.commit = commit
  }
  check = (): boolean => true
  async run(model: Model, real: Real): Promise<void> {
    const from = makeSample(this.id)
    const staged = real.volume.stage(from.totalBytes, from.pieceBytes)
    try {
      for (let at = 0; at < from.totalBytes; at += BLOCK) {
        await staged.write(at, from.bytes(at, Math.min(BLOCK, from.totalBytes - at)))
      }
      if (!this.commit) return staged.abort()
      await staged.commit(from.infoHash, from.info, from.attributes)
    } catch (error) {
      const code = model.torrents.has(this.id) ? ['FS_EXISTS', 'FS_FULL'] : ['FS_FULL']
      assert.ok(hasCode(...code)(error), String(error))
      return staged.abort()
    }
    assert.ok(!model.torrents.has(this.id))
    const have = new Set(Array.from({ length: from.pieces }, (_, i) => i))
    model.torrents.set(this.id, { sample: from, have, uploaded: 0 })
  }
  toString = (): string => `stage ${this.id} ${this.commit ? 'commit' : 'abort'}`
}

class Sync implements Command {
  check = (): boolean => true
  async run(_model: Model, real: Real): Promise<void> {
    await Promise.all([real.volume.sync(), real.volume.sync()])
  }
  toString = (): string => 'sync'
}

class Count implements Command {
  readonly id: number
  readonly bytes: number
  constructor(id: number, bytes: number) {
    this.id = id
    this.bytes = bytes
  }
  check = (model: Readonly<Model>): boolean => model.torrents.has(this.id)
  async run(model: Model, real: Real): Promise<void> {
    const known = model.torrents.get(this.id)!
    known.uploaded += this.bytes
    real.volume.get(known.sample.infoHash)!.uploadedBytes += this.bytes
  }
  toString = (): string => `count ${this.id} ${this.bytes}`
}

class Remount implements Command {
  check = (): boolean => true
  async run(model: Model, real: Real): Promise<void> {
    await real.volume.close()
    await assertFsckClean(again(real.device))
    real.device = again(real.device)
    real.allocator = real.allocator === 'ordered' ? 'sequential' : 'ordered'
    real.volume = await mountVolume(real.device, mountOptions({ allocator: real.allocator }))
    assert.deepEqual(real.volume.problems, [])
    await compare(model, real.volume)
  }
  toString = (): string => 'remount'
}

async function compare(model: Model, volume: MountedVolume): Promise<void> {
  const names = [...volume.torrents()].map((stored) => toHex(stored.infoHash)).sort()
  const expected = [...model.torrents.values()].map(({ sample: s }) => toHex(s.infoHash)).sort()
  assert.deepEqual(names, expected)
  let dataBlocks = 0
  for (const { sample: from, have, uploaded } of model.torrents.values()) {
    const stored = volume.get(from.infoHash)!
    assert.equal(stored.have.count, have.size)
    assert.equal(stored.uploadedBytes, uploaded)
    assert.deepEqual(Buffer.from(await stored.readInfo()), Buffer.from(from.info))
    for (const piece of have) {
      assert.ok(stored.have.has(piece))
      const bytes = from.piece(piece)
      const target = new Uint8Array(bytes.length)
      await stored.read(piece * from.pieceBytes, target)
      assert.ok(Buffer.from(target).equals(bytes))
    }
    dataBlocks += stored.allocatedBlocks
  }
  const stats = volume.stats()
  assert.equal(stats.dataBlocks, dataBlocks)
  assert.equal(stats.freeBlocks + stats.dataBlocks + stats.metadataBlocks, stats.totalBlocks)
}

test('any sequence of operations gives what the model says', async () => {
  const id = fc.integer({ min: 0, max: 7 })
  const part = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true })
  const commands = [
    id.map((i) => new Create(i)),
    fc.tuple(id, part).map(([i, p]) => new Put(i, p)),
    fc.tuple(id, part).map(([i, p]) => new Put(i, p)),
    fc.tuple(id, part).map(([i, p]) => new Clear(i, p)),
    id.map((i) => new Remove(i)),
    fc.tuple(id, fc.boolean()).map(([i, commit]) => new Stage(i, commit)),
    fc.constant(new Sync()),
    fc.tuple(id, fc.integer({ min: 0, max: 2 ** 40 })).map(([i, bytes]) => new Count(i, bytes)),
    fc.constant(new Remount()),
  ]
  const runs = process.env.SEEDBED_LONG === '1' ? 600 : 60
  await fc.assert(
    fc.asyncProperty(fc.commands(commands, { maxCommands: 60, size: '+1' }), async (sequence) => {
      const device = new MemoryDevice({ sizeBytes: BLOCKS * BLOCK })
      await formatVolume(device, formatOptions())
      const volume = await mountVolume(device, mountOptions())
      const model: Model = { torrents: new Map() }
      const real: Real = { device, volume, allocator: 'sequential' }
      await fc.asyncModelRun(() => ({ model, real }), sequence)
      await new Remount().run(model, real)
      await real.volume.close()
    }),
    { seed: 20_261_121, numRuns: runs },
  )
})
