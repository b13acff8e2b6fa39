/**
 * Runs work on a simulated device, then visits what a power cut could have left of it, and judges each
 * state by what had been promised at that moment.
 *
 * The work notes what it is about to do and what it was promised as marks in the device's log:
 * - `creating`, `created`, `removing`, `removed`: a torrent may be there, must, may, must not;
 * - `synced`: these pieces must be there from now on; `clearing`: this one need not be any more;
 * - `keeping`, `kept`: its piece layers may be these, must be these or later ones;
 * - `grown`: the volume must have this many blocks from now on.
 */
import { type Random, SeedbedError, toHex } from '../../src/base/index.ts'
import {
  type BlockDevice,
  type CrashOptions,
  crashStates,
  type OverlayDevice,
  SimulatedDevice,
  type SparseImage,
} from '../../src/block-device/index.ts'
import {
  type BarrierName,
  formatVolume,
  fsck,
  growVolume,
  type MountedVolume,
  mountVolume,
  type StoredTorrent,
} from '../../src/filesystem/index.ts'
import { formatOptions, mountOptions, type Sample } from './support.ts'

export type Mark =
  | { readonly kind: 'formatted' }
  | { readonly kind: 'creating' | 'created' | 'removing' | 'removed'; readonly sample: Sample }
  | { readonly kind: 'synced'; readonly sample: Sample; readonly pieces: readonly number[] }
  | { readonly kind: 'clearing'; readonly sample: Sample; readonly piece: number }
  | { readonly kind: 'keeping' | 'kept'; readonly sample: Sample; readonly layers: string }
  | { readonly kind: 'grown'; readonly blocks: number }

export interface Verdict {
  readonly states: number
  readonly bad: number
  /** What was wrong with the first bad state. */
  readonly first: string | undefined
}

/** Thrown inside a run where the process is to die. */
export class Killed extends Error {}

/** The beginning of a device, before it became larger. */
class Beginning implements BlockDevice {
  readonly label = 'beginning'
  readonly readOnly = false
  sizeBytes: number
  readonly sectorBytes: number
  readonly #whole: BlockDevice
  readonly #visibleBytes: () => number

  constructor(whole: BlockDevice, visibleBytes: () => number) {
    this.#whole = whole
    this.#visibleBytes = visibleBytes
    this.sizeBytes = visibleBytes()
    this.sectorBytes = whole.sectorBytes
  }

  remeasure(): void {
    this.sizeBytes = this.#visibleBytes()
  }

  read(offset: number, target: Uint8Array): Promise<void> {
    return this.#whole.read(offset, target)
  }

  write(offset: number, source: Uint8Array): Promise<void> {
    return this.#whole.write(offset, source)
  }

  flush(): Promise<void> {
    return this.#whole.flush()
  }

  discard(offset: number, bytes: number): Promise<void> {
    return this.#whole.discard(offset, bytes)
  }

  close(): Promise<void> {
    return this.#whole.close()
  }
}

/** One run: a device, volumes mounted on it one after the other, and notes of what they promised. */
export class CrashRun {
  readonly device: SimulatedDevice
  readonly random: Random
  readonly samples: Map<string, Sample> = new Map()
  /** How often each was created, for runs that create the same torrent again. */
  readonly lives: Map<Sample, number> = new Map()
  volume!: MountedVolume
  /** How much of the device can be seen yet; set it before `format`. */
  visibleBlocks: number
  killAt: BarrierName | undefined
  #barrier: BarrierName | undefined
  #layers = 0

  constructor(blocks: number, random: Random, without?: BarrierName, image?: SparseImage) {
    this.random = random
    this.visibleBlocks = blocks
    this.device = new SimulatedDevice({
      sizeBytes: blocks * 65_536,
      jitter: random,
      ...(image === undefined ? {} : { image }),
    })
    this.device.lie = () => this.#barrier === without
  }

  mark(mark: Mark): void {
    this.device.mark(mark)
  }

  #visible(): BlockDevice {
    return new Beginning(this.device, () => this.visibleBlocks * 65_536)
  }

  async format(): Promise<void> {
    await formatVolume(this.#visible(), formatOptions({ onBarrier: (name) => this.#passing(name) }))
    this.mark({ kind: 'formatted' })
  }

  async mount(): Promise<void> {
    this.device.reopen()
    this.killAt = undefined
    this.volume = await mountVolume(
      this.#visible(),
      mountOptions({
        random: this.random,
        // Takes freed blocks again at once: the harder case.
        allocator: 'ordered',
        onBarrier: (name) => this.#passing(name),
      }),
    )
  }

  /** The device shows `blocks`, and the volume takes them. Dies at barrier `killAt` of it, counted from 0. */
  async grow(blocks: number, killAt?: number): Promise<void> {
    this.device.reopen()
    this.visibleBlocks = blocks
    let passed = 0
    await growVolume(this.#visible(), {
      onBarrier: (name) => {
        this.#passing(name)
        if (passed++ === killAt) throw new Killed(name)
      },
    })
    this.mark({ kind: 'grown', blocks })
  }

  /** The device shows `blocks`, and the mounted volume takes them while `meanwhile` goes on. */
  async growMounted(blocks: number, meanwhile: () => Promise<void>): Promise<void> {
    this.visibleBlocks = blocks
    await Promise.all([
      this.volume.grow().then(() => this.mark({ kind: 'grown', blocks })),
      meanwhile(),
    ])
  }

  async create(sample: Sample): Promise<StoredTorrent> {
    this.samples.set(toHex(sample.infoHash), sample)
    this.mark({ kind: 'creating', sample })
    const stored = await this.volume.create(sample, sample.info, sample.attributes)
    this.mark({ kind: 'created', sample })
    return stored
  }

  /** Syncs; what was marked before the call is promised when it resolves. */
  async sync(meanwhile: () => Promise<void> = async () => {}): Promise<void> {
    const promised = [...this.volume.torrents()].map((stored) => {
      const pieces: number[] = []
      for (let i = 0; i < stored.pieceCount; i++) if (stored.have.has(i)) pieces.push(i)
      return { kind: 'synced', sample: this.samples.get(toHex(stored.infoHash))!, pieces } as const
    })
    const sync = this.volume.sync()
    await Promise.all([
      sync.then(() => promised.forEach((mark) => void this.mark(mark))),
      meanwhile(),
    ])
  }

  /** Gives the torrent piece layers that tell themselves apart from all before. */
  async keepLayers(stored: StoredTorrent): Promise<void> {
    const sample = this.samples.get(toHex(stored.infoHash))!
    // More than one slot of the smallest class holds.
    const layers = `layers ${++this.#layers} `.repeat(150)
    this.mark({ kind: 'keeping', sample, layers })
    await stored.keepLayers(Buffer.from(layers))
    this.mark({ kind: 'kept', sample, layers })
  }

  async remove(sample: Sample): Promise<void> {
    this.mark({ kind: 'removing', sample })
    await this.volume.remove(sample.infoHash)
    this.mark({ kind: 'removed', sample })
  }

  async commit(sample: Sample): Promise<void> {
    this.samples.set(toHex(sample.infoHash), sample)
    const staged = this.volume.stage(sample.totalBytes, sample.pieceBytes)
    for (let at = 0; at < sample.totalBytes; at += 65_536) {
      await staged.write(at, sample.bytes(at, Math.min(65_536, sample.totalBytes - at)))
    }
    this.mark({ kind: 'creating', sample })
    await staged.commit(sample.infoHash, sample.info, sample.attributes)
    this.mark({ kind: 'created', sample })
    const pieces = Array.from({ length: sample.pieces }, (_, i) => i)
    this.mark({ kind: 'synced', sample, pieces })
  }

  #passing(name: BarrierName): void {
    this.#barrier = name
    if (this.killAt === name) throw new Killed(name)
  }
}

/** Visits the crash states of `run`. */
export async function judge(
  run: CrashRun,
  options: CrashOptions,
  more: { readonly rot?: boolean; readonly stopAtBad?: boolean } = {},
): Promise<Verdict> {
  let states = 0
  let bad = 0
  let first: string | undefined
  for (const state of crashStates(run.device, options)) {
    states++
    const wrong = await judgeState(state.device, state.marks as Mark[], more.rot ?? false)
    if (wrong === undefined) continue
    bad++
    first ??= `${state.what}: ${wrong}`
    if (more.stopAtBad === true) break
  }
  return { states, bad, first }
}

interface Expected {
  readonly must: Map<string, Set<number>>
  readonly may: Set<string>
  readonly samples: Map<string, Sample>
  /** What the layers of each may be. */
  readonly layers: Map<string, string[]>
  formatted: boolean
  blocks: number
}

function expectedFrom(marks: readonly Mark[]): Expected {
  const must = new Map<string, Set<number>>()
  const may = new Set<string>()
  const samples = new Map<string, Sample>()
  const layers = new Map<string, string[]>()
  const expected = { must, may, samples, layers, formatted: false, blocks: 0 }
  const promised = new Map<string, Set<number>>()
  for (const mark of marks) {
    if (mark.kind === 'formatted') {
      expected.formatted = true
      continue
    }
    if (mark.kind === 'grown') {
      expected.blocks = mark.blocks
      continue
    }
    const name = toHex(mark.sample.infoHash)
    samples.set(name, mark.sample)
    if (mark.kind === 'creating') {
      may.add(name)
      promised.set(name, new Set())
      layers.set(name, [''])
    } else if (mark.kind === 'keeping') layers.get(name)!.push(mark.layers)
    else if (mark.kind === 'kept') {
      const known = layers.get(name)!
      known.splice(0, known.indexOf(mark.layers))
    } else if (mark.kind === 'created') must.set(name, promised.get(name)!)
    else if (mark.kind === 'removing') must.delete(name)
    else if (mark.kind === 'removed') may.delete(name)
    else if (mark.kind === 'synced') {
      for (const piece of mark.pieces) promised.get(name)?.add(piece)
    } else if (mark.kind === 'clearing') promised.get(name)?.delete(mark.piece)
  }
  return expected
}

/** What is wrong with a state, or undefined. `rot`: the current copy of the first root twin has rotted too. */
async function judgeState(
  device: OverlayDevice,
  marks: readonly Mark[],
  rot: boolean,
): Promise<string | undefined> {
  if (rot) rotRoot(device)
  return judgeDevice(device, marks, rot)
}

/**
 * What is wrong with what is on `device`, if these promises were made; undefined: nothing. Mounts it
 * and closes it. `rot`: the newest change may be lost.
 */
export async function judgeDevice(
  device: BlockDevice,
  marks: readonly Mark[],
  rot = false,
): Promise<string | undefined> {
  const expected = expectedFrom(marks)
  try {
    const report = await fsck(device)
    const error = report.problems.find((problem) => problem.severity !== 'notice')
    if (error !== undefined) return `fsck: ${error.what}`
    const { freeBlocks, dataBlocks, metadataBlocks, totalBlocks } = report
    if (freeBlocks + dataBlocks + metadataBlocks !== totalBlocks) return 'blocks do not add up'
    const volume = await mountVolume(device, mountOptions())
    const wrong = await judgeVolume(volume, expected, rot)
    await volume.close()
    return wrong
  } catch (error) {
    const code = error instanceof SeedbedError ? error.code : ''
    if (code === 'FS_FOREIGN' && !expected.formatted) return undefined
    return `${code} ${error}`
  }
}

async function judgeVolume(
  volume: MountedVolume,
  expected: Expected,
  rot: boolean,
): Promise<string | undefined> {
  for (const [name, pieces] of expected.must) {
    // Rot of the newest copy may cost the newest change; it may never bring an old one back.
    if (rot) break
    const stored = volume.get(expected.samples.get(name)!.infoHash)
    if (stored === undefined) return `torrent ${name.slice(0, 8)} was promised and is gone`
    for (const piece of pieces) {
      if (!stored.have.has(piece)) return `piece ${piece} was promised and is gone`
    }
  }
  const { totalBlocks, dataBlocks } = volume.stats()
  if (totalBlocks < expected.blocks) return `the volume has shrunk again, to ${totalBlocks} blocks`
  let blocks = 0
  for (const stored of volume.torrents()) {
    const name = toHex(stored.infoHash)
    const sample = expected.samples.get(name)
    if (sample === undefined || !expected.may.has(name))
      return `torrent ${name} was removed, or never made`
    const layers = Buffer.from(await stored.readLayers()).toString()
    if (!expected.layers.get(name)!.includes(layers)) {
      return `layers that are not its own: ${layers.slice(0, 10)}`
    }
    const wrong = await judgeTorrent(stored, sample)
    if (wrong !== undefined) return wrong
    blocks += stored.allocatedBlocks
  }
  if (blocks !== dataBlocks) return 'data blocks without a torrent'
  return undefined
}

let scratch = new Uint8Array(0)

async function judgeTorrent(stored: StoredTorrent, sample: Sample): Promise<string | undefined> {
  if (Buffer.compare(await stored.readInfo(), sample.info) !== 0) return 'another info dictionary'
  if (Buffer.compare(await stored.readAttributes(), sample.attributes) !== 0)
    return 'other attributes'
  for (let piece = 0; piece < stored.pieceCount; piece++) {
    if (!stored.have.has(piece)) continue
    const expected = sample.piece(piece)
    if (scratch.length < expected.length) scratch = new Uint8Array(expected.length)
    const target = scratch.subarray(0, expected.length)
    await stored.read(piece * sample.pieceBytes, target)
    if (Buffer.compare(target, expected) !== 0) {
      return `piece ${piece} is not what it should be, and has its have-bit`
    }
  }
  return undefined
}

/** Makes the newer of the two first root sectors unreadable, as a later read of the disk might find it. */
function rotRoot(device: OverlayDevice): void {
  const places = [512, 512 * 64]
  const generations = places.map((place) => {
    const sector = new Uint8Array(512)
    device.peek(place, sector)
    return new DataView(sector.buffer).getUint32(504, true)
  })
  const newest = generations[1]! > generations[0]! ? 1 : 0
  device.poke(places[newest]!, new Uint8Array(512).fill(0xee))
}
