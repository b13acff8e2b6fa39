/**
 * Reads all metadata of a volume, believing nothing: what mount builds on, and what fsck reports.
 *
 * Invariants: no block has two owners among the torrents that are returned as sound; every block and
 * slot that a readable sector names is marked as in use, also when its torrent is refused; no count or
 * number from the device is used before it was compared with the geometry.
 */
import { toHex } from '../base/index.ts'
import { allocateAligned, type BlockDevice } from '../block-device/index.ts'
import { type Allocator, type AllocatorKind, makeAllocator } from './allocator.ts'
import { type FoundRoot, findRoot } from './found-root.ts'
import {
  type Geometry,
  REFERENCE_BYTES,
  type Reference,
  readReference,
  slotBytes,
} from './geometry.ts'
import { type FoundHeader, geometryOf, refuseMisfit } from './header.ts'
import { infoCapacity, readNextOfChain } from './info-record.ts'
import {
  decodeHead,
  decodeMapTwin,
  dropUnmappedPieces,
  type Inode,
  kindOf,
  type MapSlot,
  makeMapSlot,
} from './inode.ts'
import { Owners } from './owners.ts'
import { KIND_INODE, KIND_ROOT, KIND_TABLE, NO_OWNER, Sealer } from './sector.ts'
import { Slabs } from './slabs.ts'
import { chooseTwin, TwinRegion } from './twins.ts'
import type { Problem } from './types.ts'

const RUN_BYTES = 1024 * 1024

/** A copy of a twin that is not valid while the other is: repaired by writing it again. */
export interface RottenCopy {
  readonly place: number
  readonly goodPlace: number
  readonly kind: number
  readonly owner: bigint
}

export interface Scan {
  readonly geometry: Geometry
  readonly sealer: Sealer
  readonly header: FoundHeader
  readonly root: FoundRoot
  /** By index of the root entry. */
  readonly inodes: Map<number, Inode>
  readonly refused: Map<number, Problem>
  readonly problems: Problem[]
  readonly rotten: RottenCopy[]
  readonly droppedBits: Map<number, number>
  readonly allocator: Allocator
  readonly slabs: Slabs
  readonly torrentsRead: number
}

export type ScanProgress = (done: number, total: number) => void

export async function scanVolume(
  device: BlockDevice,
  found: FoundHeader,
  allocatorKind: AllocatorKind,
  onProgress: ScanProgress = () => {},
): Promise<Scan> {
  const { header } = found.current
  const geometry = geometryOf(header)
  refuseMisfit(device, header)
  const scanner = new Scanner(device, found, geometry, allocatorKind)
  await scanner.run(onProgress)
  return scanner
}

class Scanner implements Scan {
  readonly geometry: Geometry
  readonly sealer: Sealer
  readonly header: FoundHeader
  readonly inodes = new Map<number, Inode>()
  readonly refused = new Map<number, Problem>()
  readonly problems: Problem[] = []
  readonly rotten: RottenCopy[] = []
  readonly droppedBits = new Map<number, number>()
  readonly allocator: Allocator
  readonly slabs: Slabs
  torrentsRead = 0
  root!: FoundRoot
  readonly #device: BlockDevice
  #scratch: Uint8Array = new Uint8Array(0)

  constructor(
    device: BlockDevice,
    header: FoundHeader,
    geometry: Geometry,
    allocatorKind: AllocatorKind,
  ) {
    this.#device = device
    this.header = header
    this.geometry = geometry
    this.sealer = new Sealer(header.current.header.uuid, geometry.sectorBytes)
    this.allocator = makeAllocator(allocatorKind, geometry.blockCount, header.current.header.cursor)
    this.slabs = new Slabs(geometry, this.allocator)
  }

  async run(onProgress: ScanProgress): Promise<void> {
    await this.#readRoot()
    const order = this.#plausibleEntries()
    for (const run of this.#runsOf(order)) {
      await this.#readRun(run)
      this.torrentsRead += run.length
      onProgress(this.torrentsRead, order.length)
    }
    this.#refuseContested(order)
    this.#refuseDuplicates(order)
  }

  async #readRoot(): Promise<void> {
    const memory = this.#scratchOf(this.geometry.blockBytes)
    await this.#readSalvaging(0, memory)
    this.root = findRoot(this.geometry, this.sealer, memory, (region, twin, good) =>
      this.#noteRotten(region, twin, good, KIND_ROOT, NO_OWNER),
    )
    for (const twin of this.root.lost) {
      this.#report({
        check: 'root',
        severity: 'error',
        what: `the root list's sector ${twin} is damaged in both copies; the torrents that it lists are unknown, and so are their blocks`,
        place: this.root.region.placeOf(twin, 0),
      })
    }
  }

  /** Indexes of root entries that can be read at all, ascending by place. */
  #plausibleEntries(): number[] {
    const { geometry, root } = this
    const order: number[] = []
    for (let index = 0; index < root.entries.length; index++) {
      const reference = root.entries[index]
      if (reference === undefined) continue
      if (geometry.plausible(reference)) order.push(index)
      else this.#refuse(index, 'reference', 'its reference in the root list is out of range')
    }
    const place = (index: number): number => geometry.placeOf(root.entries[index]!)
    return order.sort((a, b) => place(a) - place(b))
  }

  /** Groups neighbours in one slab block that one read can fetch. */
  *#runsOf(order: readonly number[]): Generator<number[]> {
    const { geometry, root } = this
    let run: number[] = []
    let start = 0
    for (const index of order) {
      const reference = root.entries[index]!
      const place = geometry.placeOf(reference)
      const end = place + slotBytes(reference.slabClass)
      const first = run.length > 0 ? root.entries[run[0]!]! : undefined
      if (first !== undefined && (first.block !== reference.block || end - start > RUN_BYTES)) {
        yield run
        run = []
      }
      if (run.length === 0) start = place
      run.push(index)
    }
    if (run.length > 0) yield run
  }

  async #readRun(run: readonly number[]): Promise<void> {
    const { geometry, root } = this
    const start = geometry.placeOf(root.entries[run[0]!]!)
    let end = start
    for (const index of run) {
      const reference = root.entries[index]!
      end = Math.max(end, geometry.placeOf(reference) + slotBytes(reference.slabClass))
    }
    const memory = this.#scratchOf(end - start)
    await this.#readSalvaging(start, memory)
    for (const index of run) await this.#readInode(index, memory, start)
  }

  async #readInode(index: number, memory: Uint8Array, start: number): Promise<void> {
    const { geometry, sealer } = this
    const reference = this.root.entries[index]!
    const from = geometry.placeOf(reference) - start
    const half = slotBytes(reference.slabClass) / 2
    const probe = new TwinRegion(start + from, half, 1, geometry.sectorBytes)
    const at = [from, from + half] as const
    const choice = chooseTwin(sealer, memory, at, probe, 0, KIND_INODE, reference.id)
    if (choice.copy === undefined) {
      return this.#refuse(
        index,
        'i-node',
        'the first sector of its i-node is damaged in both copies',
      )
    }
    const decoded = decodeHead(geometry, reference, memory, at[choice.copy])
    if (typeof decoded === 'string')
      return this.#refuse(index, 'i-node', `its i-node has ${decoded}`)
    const { inode, infoSlots } = decoded
    this.inodes.set(index, inode)
    this.#readTwins(index, inode, inode.head, memory, from)
    await this.#walkInfoChain(index, inode, infoSlots)
    for (const slot of inode.spans) {
      if (slot === undefined) continue
      const own = allocateAligned(slotBytes(slot.reference.slabClass))
      await this.#readSalvaging(geometry.placeOf(slot.reference), own)
      this.#readTwins(index, inode, slot, own, 0)
    }
    const dropped = dropUnmappedPieces(inode)
    if (dropped > 0) {
      this.droppedBits.set(index, dropped)
      this.#report({
        check: 'have-bits',
        severity: 'notice',
        what: `${dropped} have-bits without their blocks are not counted: normal after a crash`,
        infoHash: toHex(inode.infoHash),
      })
    }
  }

  /** All twins of a slot, from `memory[from..]`. */
  #readTwins(index: number, inode: Inode, slot: MapSlot, memory: Uint8Array, from: number): void {
    const { geometry, sealer } = this
    const { region, reference } = slot
    for (let twin = 0; twin < region.twins; twin++) {
      const first = from + twin * geometry.sectorBytes
      const at = [first, first + region.stride] as const
      const kind = kindOf(inode, slot, twin)
      const choice = chooseTwin(sealer, memory, at, region, twin, kind, reference.id)
      if (choice.copy === undefined) {
        const place = region.placeOf(twin, 0)
        this.#refuse(index, 'map', 'a sector of its map is damaged in both copies', place)
        continue
      }
      if (!choice.both) this.#noteRotten(region, twin, choice.copy, kind, reference.id)
      const wrong =
        kind === KIND_TABLE
          ? this.#readTable(inode, twin, memory, at[choice.copy])
          : inode.layout.spans > 0 && slot.span < 0
            ? undefined
            : decodeMapTwin(geometry, inode, slot, twin, memory, at[choice.copy])
      if (wrong !== undefined) this.#refuse(index, 'map', `its map is out of range: ${wrong}`)
    }
  }

  #readTable(inode: Inode, twin: number, memory: Uint8Array, at: number): string | undefined {
    const { geometry } = this
    const first = (twin - 1) * geometry.referencesPerSector
    let wrong: string | undefined
    for (let i = 0; i < geometry.referencesPerSector && first + i < inode.spans.length; i++) {
      const reference = readReference(memory, at + i * REFERENCE_BYTES)
      if (reference === undefined) continue
      if (geometry.plausible(reference) && reference.slabClass === geometry.classMax) {
        const span = first + i
        inode.spans[span] = makeMapSlot(geometry, span, reference, inode.layout.spanTwins)
      } else wrong = `continuation ${first + i}`
    }
    return wrong
  }

  /** One slot needs no reading; a longer chain is followed, so that its slots are known to be in use. */
  async #walkInfoChain(index: number, inode: Inode, infoSlots: number): Promise<void> {
    const { geometry } = this
    const chain = [...inode.info]
    const bytes = inode.recordBytes
    const slotsMax = Math.ceil(bytes / infoCapacity(geometry, geometry.classMax)) + 1
    if (infoSlots < 1 || infoSlots > slotsMax) {
      return this.#refuse(
        index,
        'info record',
        'the length of its info record contradicts its sizes',
      )
    }
    while (chain.length < infoSlots) {
      let next: Reference | undefined | null
      try {
        next = await readNextOfChain(this.#device, geometry, this.sealer, chain.at(-1)!)
      } catch {
        next = null
      }
      if (next === null || next === undefined || !geometry.plausible(next)) {
        inode.info = chain
        return this.#refuse(index, 'info record', 'its info record is damaged or ends early')
      }
      chain.push(next)
    }
    inode.info = chain
    let room = 0
    for (const reference of chain) room += infoCapacity(geometry, reference.slabClass)
    if (room < bytes) {
      this.#refuse(index, 'info record', 'its info record is smaller than what it should hold')
    }
  }

  #refuseContested(order: readonly number[]): void {
    const owners = new Owners(this.root.entries, this.inodes, this.allocator, this.slabs)
    owners.claimAll(order)
    for (const { index, block } of owners.wrong()) {
      const place = block * this.geometry.blockBytes
      this.#refuse(index, 'owners', `block ${block} has two owners`, place)
    }
  }

  #refuseDuplicates(order: readonly number[]): void {
    const seen = new Set<string>()
    for (const index of order) {
      const inode = this.inodes.get(index)
      if (inode === undefined || this.refused.has(index)) continue
      const name = toHex(inode.infoHash)
      if (seen.has(name)) this.#refuse(index, 'duplicate', 'another torrent has the same info-hash')
      seen.add(name)
    }
  }

  /** Memory that holds until the next call: what is decoded is copied out of it. */
  #scratchOf(bytes: number): Uint8Array {
    if (this.#scratch.length < bytes) this.#scratch = allocateAligned(bytes)
    return this.#scratch.subarray(0, bytes)
  }

  /** Reads a range; where that fails, sector by sector, leaving zeros for what cannot be read. */
  async #readSalvaging(place: number, memory: Uint8Array): Promise<void> {
    try {
      await this.#device.read(place, memory)
    } catch {
      const step = this.geometry.sectorBytes
      for (let at = 0; at < memory.length; at += step) {
        const sector = memory.subarray(at, at + step)
        try {
          await this.#device.read(place + at, sector)
        } catch {
          sector.fill(0)
        }
      }
    }
  }

  #noteRotten(region: TwinRegion, twin: number, good: 0 | 1, kind: number, owner: bigint): void {
    const place = region.placeOf(twin, 1 - good)
    this.rotten.push({ place, goodPlace: region.placeOf(twin, good), kind, owner })
    this.#report({
      check: 'copies',
      severity: 'notice',
      what: 'one copy of a metadata sector is not valid, the other is used: normal after a power cut',
      place,
      repair: 'write it again from the other copy; loses nothing',
    })
  }

  #report(problem: Problem): void {
    this.problems.push(problem)
  }

  #refuse(index: number, check: Problem['check'], what: string, at?: number): void {
    if (this.refused.has(index)) return
    const inode = this.inodes.get(index)
    const reference = this.root.entries[index]!
    const problem: Problem = {
      check,
      severity: 'error',
      what: `torrent refused: ${what}`,
      place: at ?? this.geometry.placeOf(reference),
      ...(inode === undefined ? {} : { infoHash: toHex(inode.infoHash) }),
    }
    this.refused.set(index, problem)
    this.#report(problem)
  }
}
