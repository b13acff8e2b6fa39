/**
 * A mounted filesystem: creates, removes and syncs torrents. The orders of writes are those of
 * docs/internals/format.md, "Orders of writes"; the barriers have the names used there.
 *
 * Invariants:
 * - changes of metadata follow each other (`#exclusively`); data is written beside them;
 * - a sync publishes what was written and marked before it began, nothing later;
 * - a block or slot is free in memory only when nothing durable refers to it;
 * - a torrent is in `#torrents` only while its root entry is durable.
 */
import { assert, type Clock, type Random, toHex } from '../base/index.ts'
import type { AlignedPool, BlockDevice } from '../block-device/index.ts'
import type { Allocator } from './allocator.ts'
import { type IoHost, makeBouncePool } from './block-io.ts'
import { Discards } from './discards.ts'
import { fsError } from './errors.ts'
import type { Geometry, Reference } from './geometry.ts'
import { encodeHeader, formatUuid, type Header } from './header.ts'
import { infoClasses, matchesInfoHash, writeInfoRecord } from './info-record.ts'
import { encodeTwin, Inode, kindOf, type MapSlot, makeMapSlot } from './inode.ts'
import { layoutFor, type MapLayout } from './layout.ts'
import { MetadataWriter, type TwinUpdate } from './metadata-writer.ts'
import { RootList } from './root-list.ts'
import type { Scan } from './scan.ts'
import { KIND_HEADER, NO_OWNER, type Sealer } from './sector.ts'
import type { Slabs } from './slabs.ts'
import { Staged, type StagedHost } from './staged.ts'
import { type TorrentHost, VolumeTorrent } from './torrent.ts'
import { TwinRegion } from './twins.ts'
import type {
  AllocatorStats,
  MappedTorrent,
  MountedVolume,
  MountOptions,
  Problem,
  StagedTorrent,
  TorrentGeometry,
  VolumeStats,
} from './types.ts'

/** A torrent that mount would not serve. */
interface Refusal {
  readonly index: number
  readonly problem: Problem
}

interface Entry {
  readonly index: number
  readonly torrent: VolumeTorrent
}

const NOTHING = new Uint8Array(0)

export class MountedFilesystem implements MountedVolume, IoHost, TorrentHost, StagedHost {
  readonly device: BlockDevice
  readonly geometry: Geometry
  readonly bounce: AlignedPool = makeBouncePool()
  readonly readOnly: boolean
  readonly problems: readonly Problem[]
  readonly #header: Header
  readonly #headerRegion: TwinRegion
  readonly #writer: MetadataWriter
  readonly #clock: Clock
  readonly #random: Random
  readonly #allocator: Allocator
  readonly #slabs: Slabs
  readonly #discards: Discards
  readonly #root: RootList
  readonly #torrents = new Map<string, Entry>()
  readonly #refused = new Map<string, Refusal>()
  readonly #dirty = new Set<VolumeTorrent>()
  /** Continuations that are not on the device yet, by torrent. */
  readonly #newSpans = new Map<MapSlot, VolumeTorrent>()
  #dataWritten = false
  #lane: Promise<unknown> = Promise.resolve()
  #waitingSync: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(device: BlockDevice, scan: Scan, options: MountOptions, readOnly: boolean) {
    this.device = device
    this.geometry = scan.geometry
    this.readOnly = readOnly
    this.problems = scan.problems
    this.#clock = options.clock
    this.#random = options.random
    this.#allocator = scan.allocator
    this.#slabs = scan.slabs
    this.#discards = new Discards(device, scan.geometry, scan.allocator)
    this.#writer = new MetadataWriter(device, scan.geometry, scan.sealer, options.onBarrier)
    const { region, entries, unsettled } = scan.root
    this.#root = new RootList(scan.geometry, region, entries, unsettled)
    const { current, first, last } = scan.header
    this.#header = current.header
    const { blockBytes, sectorBytes } = scan.geometry
    this.#headerRegion = new TwinRegion(0, blockBytes - sectorBytes, 1, sectorBytes)
    const copy = current === first ? 0 : 1
    this.#headerRegion.set(0, copy, current.generation)
    assert(first !== undefined || last !== undefined, 'a header was found')
    for (const [index, inode] of scan.inodes) {
      const refusal = scan.refused.get(index)
      const name = toHex(inode.infoHash)
      if (refusal !== undefined) this.#refused.set(name, { index, problem: refusal })
      else {
        const torrent = new VolumeTorrent(this, inode)
        this.#torrents.set(name, { index, torrent })
        if (scan.droppedBits.has(index)) torrent.touchAll()
      }
    }
  }

  /** The first writes of a writable mount: see format.md, "Mount". */
  async begin(): Promise<void> {
    await this.#writer.barrier('mount')
    const updates = [...this.#root.catchUp(), this.#headerUpdate(false)]
    await this.#writer.write(this.#writer.capture(updates))
    await this.#writer.barrier('mount')
  }

  get blockBytes(): number {
    return this.geometry.blockBytes
  }

  get sectorBytes(): number {
    return this.geometry.sectorBytes
  }

  get sealer(): Sealer {
    return this.#writer.sealer
  }

  get failure(): Error | undefined {
    return this.#writer.failure
  }

  stats(): VolumeStats {
    const { blockCount, blockBytes } = this.geometry
    const metadataBlocks = 1 + this.#slabs.blockCount
    const freeBlocks = this.#allocator.freeBlocks + this.#discards.blocksInFlight
    return {
      uuid: formatUuid(this.#header.uuid),
      label: this.#header.label,
      formatVersion: this.#header.formatVersion,
      deviceBytes: this.#header.deviceBytes,
      blockBytes,
      totalBlocks: blockCount,
      freeBlocks,
      dataBlocks: blockCount - freeBlocks - metadataBlocks,
      metadataBlocks,
      torrents: this.#torrents.size,
      torrentsMax: this.geometry.torrentsMax,
    }
  }

  allocatorStats(): AllocatorStats {
    const { kind, cursor, freeBlocks } = this.#allocator
    let freeExtents = 0
    let largestFreeExtentBlocks = 0
    for (const { blocks } of this.#allocator.freeExtents()) {
      freeExtents++
      largestFreeExtentBlocks = Math.max(largestFreeExtentBlocks, blocks)
    }
    const slabs = this.#slabs.stats()
    return { kind, cursor, freeBlocks, freeExtents, largestFreeExtentBlocks, slabs }
  }

  *torrents(): IterableIterator<MappedTorrent> {
    for (const { torrent } of this.#torrents.values()) yield torrent
  }

  get(infoHash: Uint8Array): MappedTorrent | undefined {
    return this.#torrents.get(toHex(infoHash))?.torrent
  }

  async create(
    geometry: TorrentGeometry,
    infoBytes: Uint8Array,
    attributes: Uint8Array = NOTHING,
  ): Promise<MappedTorrent> {
    this.assertUsable(true)
    const layout = this.layoutOf(geometry.totalBytes, geometry.pieceBytes)
    return this.addTorrent(layout, geometry.infoHash, infoBytes, attributes, () => {})
  }

  stage(totalBytes: number, pieceBytes: number): StagedTorrent {
    this.assertUsable(true)
    return new Staged(this, this.layoutOf(totalBytes, pieceBytes))
  }

  async remove(infoHash: Uint8Array): Promise<void> {
    this.assertUsable(true)
    const name = toHex(infoHash)
    await this.#exclusively(async () => {
      this.#writer.assertSound()
      const entry = this.#torrents.get(name)
      if (entry === undefined) return this.#removeRefused(name)
      const { index, torrent } = entry
      await torrent.io.retire()
      this.#torrents.delete(name)
      this.#dirty.delete(torrent)
      await this.#clearRootEntry(index)
      this.#release(torrent.inode)
    })
  }

  async sync(): Promise<void> {
    this.assertUsable(true)
    // A sync that has not begun yet will see all that this one would.
    this.#waitingSync ??= this.#exclusively(async () => {
      this.#waitingSync = undefined
      await this.#syncNow()
    })
    await this.#waitingSync
  }

  close(): Promise<void> {
    this.#closing ??= this.#exclusively(() => this.#closeNow())
    return this.#closing
  }

  async #closeNow(): Promise<void> {
    try {
      if (this.readOnly || this.failure !== undefined) return
      for (const { torrent } of this.#torrents.values()) await torrent.io.retire()
      await this.#syncNow()
      await this.#discards.settled()
      await this.#writer.write(this.#writer.capture([this.#headerUpdate(true)]))
      await this.#writer.barrier('close')
    } finally {
      for (const { torrent } of this.#torrents.values()) await torrent.io.retire()
      await this.#discards.settled()
      await this.device.close()
    }
  }

  // What torrents ask of their volume.

  assertUsable(forWrite: boolean): void {
    if (this.#closing !== undefined) throw fsError('FS_CLOSED', 'the volume is closed')
    if (!forWrite) return
    if (this.readOnly) throw fsError('FS_READ_ONLY', `${this.device.label} is mounted read-only`)
    this.#writer.assertSound()
  }

  layoutOf(totalBytes: number, pieceBytes: number): MapLayout {
    const whole = Number.isSafeInteger(totalBytes) && Number.isSafeInteger(pieceBytes)
    if (!whole || totalBytes < 1 || pieceBytes < 1 || pieceBytes >= 2 ** 32) {
      throw fsError('FS_RANGE', `${totalBytes} bytes in pieces of ${pieceBytes}`)
    }
    const layout = layoutFor(this.geometry, totalBytes, pieceBytes)
    if (layout === 'too large') {
      throw fsError('FS_TORRENT_TOO_LARGE', `${totalBytes} bytes in pieces of ${pieceBytes}`)
    }
    if (layout === 'unmappable') {
      throw fsError(
        'FS_GEOMETRY',
        `pieces of ${pieceBytes} bytes are too small for blocks of ${this.blockBytes}`,
        { mend: 'Use a volume with smaller blocks, or with 4096-byte metadata sectors.' },
      )
    }
    return layout
  }

  async allocateData(): Promise<number> {
    for (;;) {
      const block = this.#allocator.allocate('data')
      if (block !== 0) return block
      await this.#waitForRoom()
    }
  }

  /** The slot of a new continuation. */
  async allocateSpan(torrent: VolumeTorrent, span: number): Promise<void> {
    const { inode } = torrent
    while (inode.spans[span] === undefined) {
      const slot = this.#slabs.allocate(this.geometry.classMax)
      if (slot === undefined) {
        await this.#waitForRoom()
        continue
      }
      const made = makeMapSlot(
        this.geometry,
        span,
        { ...slot, id: this.#newId() },
        inode.layout.spanTwins,
      )
      inode.spans[span] = made
      this.#newSpans.set(made, torrent)
      inode.head.dirty.add(inode.tableTwinOf(this.geometry, span))
      this.noteDirty(torrent)
    }
  }

  noteData(): void {
    this.#dataWritten = true
  }

  noteDirty(torrent: VolumeTorrent): void {
    this.#dirty.add(torrent)
  }

  freeBlock(block: number): void {
    this.#allocator.free(block)
    this.#discards.add(block)
  }

  /** Creates a torrent whose map and have-bits `fill` provides. Order: create. */
  addTorrent(
    layout: MapLayout,
    infoHash: Uint8Array,
    infoBytes: Uint8Array,
    attributes: Uint8Array,
    fill: (inode: Inode) => void,
  ): Promise<VolumeTorrent> {
    return this.#exclusively(async () => {
      this.#writer.assertSound()
      const name = this.#checkNew(infoHash, infoBytes, attributes)
      const index = this.#freeRootEntry()
      const inode = await this.#allocateInode(layout, infoHash, infoBytes, attributes, fill)
      const { info } = inode
      await this.#writer.guard(() =>
        writeInfoRecord(
          this.device,
          this.geometry,
          this.#writer.sealer,
          info,
          infoBytes,
          attributes,
        ),
      )
      for (const slot of inode.slots()) await this.#writer.writeFresh(slot, inode)
      await this.#writer.barrier('create-inode')
      this.#root.set(index, inode.head.reference)
      const twin = this.#root.twinOf(index)
      await this.#writer.write(this.#writer.capture([this.#root.update(twin)]))
      await this.#writer.barrier('create-root')
      this.#root.behind.add(twin)
      const torrent = new VolumeTorrent(this, inode)
      this.#torrents.set(name, { index, torrent })
      return torrent
    })
  }

  // Within.

  #exclusively<T>(action: () => Promise<T>): Promise<T> {
    const own = this.#lane.then(action)
    this.#lane = own.catch(() => {})
    return own
  }

  #checkNew(infoHash: Uint8Array, infoBytes: Uint8Array, attributes: Uint8Array): string {
    if (infoHash.length !== 20) throw fsError('FS_RANGE', 'an info-hash has 20 bytes')
    if (infoBytes.length >= 2 ** 32 || attributes.length >= 2 ** 32) {
      throw fsError('FS_RANGE', 'an info dictionary or attributes of 4 GiB and more')
    }
    const name = toHex(infoHash)
    if (this.#torrents.has(name) || this.#refused.has(name)) {
      throw fsError('FS_EXISTS', `torrent ${name} is there already`, this.#mendOf(name))
    }
    if (!matchesInfoHash(infoBytes, infoHash)) {
      throw fsError('FS_INFO_ROTTEN', `the info dictionary given for ${name} has another hash`)
    }
    return name
  }

  #mendOf(name: string): { mend?: string } {
    const problem = this.#refused.get(name)?.problem
    return problem === undefined
      ? {}
      : { mend: `It is damaged (${problem.what}); see fsck for what can be done.` }
  }

  #freeRootEntry(): number {
    const index = this.#root.freeEntry()
    if (index !== -1) return index
    throw fsError('FS_ROOT_FULL', `the root block lists ${this.geometry.torrentsMax} torrents`, {
      mend: 'Remove torrents, or use a volume with larger blocks.',
    })
  }

  /** Takes all slots that a new i-node needs, or none. */
  async #allocateInode(
    layout: MapLayout,
    infoHash: Uint8Array,
    infoBytes: Uint8Array,
    attributes: Uint8Array,
    fill: (inode: Inode) => void,
  ): Promise<Inode> {
    const taken: Reference[] = []
    const take = async (slabClass: number, id: bigint): Promise<Reference> => {
      for (;;) {
        const slot = this.#slabs.allocate(slabClass)
        if (slot === undefined) await this.#waitForRoom()
        else {
          const reference = { ...slot, id }
          taken.push(reference)
          return reference
        }
      }
    }
    try {
      const head = await take(layout.slabClass, this.#newId())
      const infoId = this.#newId()
      const info: Reference[] = []
      for (const slabClass of infoClasses(this.geometry, infoBytes.length + attributes.length)) {
        info.push(await take(slabClass, infoId))
      }
      const inode = new Inode(this.geometry, layout, head, {
        infoHash: infoHash.slice(),
        addedAtMs: Math.max(0, Math.floor(this.#clock.wallMs())),
        infoBytes: infoBytes.length,
        attributesBytes: attributes.length,
        info,
      })
      fill(inode)
      for (let span = 0; span < layout.spans; span++) {
        if (!inode.map.segmentInUse(span)) continue
        const reference = await take(this.geometry.classMax, this.#newId())
        inode.spans[span] = makeMapSlot(this.geometry, span, reference, layout.spanTwins)
      }
      return inode
    } catch (error) {
      for (const reference of taken) this.#slabs.free(reference)
      throw error
    }
  }

  async #waitForRoom(): Promise<void> {
    if (this.#discards.blocksInFlight > 0) return this.#discards.settled()
    throw fsError('FS_FULL', `${this.device.label} has no free filesystem block`, {
      mend: 'Remove torrents.',
    })
  }

  /**
   * Forgets a torrent that mount refused. What it used comes back at the next mount: which of its
   * blocks can be trusted to be its own is not for a damaged map to say.
   */
  async #removeRefused(name: string): Promise<void> {
    const refusal = this.#refused.get(name)
    if (refusal === undefined) throw fsError('FS_UNKNOWN_TORRENT', `no torrent ${name}`)
    if (refusal.problem.check === 'owners') {
      throw fsError('FS_CORRUPT', `${name} shares blocks with another torrent`, {
        mend: 'With one of them gone the other would be believed with its bytes. Copy what is sound elsewhere, then make the volume anew.',
      })
    }
    await this.#clearRootEntry(refusal.index)
    this.#refused.delete(name)
  }

  async #clearRootEntry(index: number): Promise<void> {
    const twin = this.#root.twinOf(index)
    this.#root.set(index, undefined)
    await this.#writer.write(this.#writer.capture([this.#root.update(twin)]))
    await this.#writer.barrier('remove-root')
    await this.#writer.write(this.#writer.capture([this.#root.update(twin)]))
    await this.#writer.barrier('remove-twin')
    this.#root.behind.delete(twin)
  }

  /** Gives back what a torrent used; nothing durable refers to it any more. */
  #release(inode: Inode): void {
    for (const place of inode.map.places()) this.freeBlock(place)
    const slots = [...inode.info]
    for (const slot of inode.slots()) slots.push(slot.reference)
    for (const reference of slots) {
      const emptied = this.#slabs.free(reference)
      if (emptied !== 0) this.#discards.add(emptied)
    }
    for (const [slot, torrent] of this.#newSpans) {
      if (torrent.inode === inode) this.#newSpans.delete(slot)
    }
  }

  async #syncNow(): Promise<void> {
    const updates: TwinUpdate[] = this.#root.catchUp()
    for (const { torrent } of this.#torrents.values()) torrent.noteTotals()
    for (const torrent of this.#dirty) updates.push(...this.#updatesOf(torrent.inode))
    if (updates.length > 0 || this.#dataWritten) {
      // From here on, what is written or marked belongs to the next sync.
      const captured = this.#writer.capture(updates)
      const newSpans = [...this.#newSpans.keys()]
      this.#newSpans.clear()
      this.#dirty.clear()
      this.#dataWritten = false
      for (const slot of newSpans) await this.#writer.writeFresh(slot)
      await this.#writer.barrier('sync-data')
      if (updates.length > 0) {
        await this.#writer.write(captured)
        await this.#writer.barrier('sync-map')
      }
    }
    this.#discards.start()
  }

  #updatesOf(inode: Inode): TwinUpdate[] {
    const updates: TwinUpdate[] = []
    for (const slot of inode.slots()) {
      for (const twin of slot.dirty) {
        updates.push({
          region: slot.region,
          twin,
          kind: kindOf(inode, slot, twin),
          owner: slot.reference.id,
          encode: (memory, from) => encodeTwin(this.geometry, inode, slot, twin, memory, from),
        })
      }
      slot.dirty.clear()
    }
    inode.storedUploadedBytes = inode.uploadedBytes
    inode.storedDownloadedBytes = inode.downloadedBytes
    return updates
  }

  #headerUpdate(clean: boolean): TwinUpdate {
    const header: Header = { ...this.#header, clean, cursor: this.#allocator.cursor }
    return {
      region: this.#headerRegion,
      twin: 0,
      kind: KIND_HEADER,
      owner: NO_OWNER,
      encode: (memory, from) =>
        encodeHeader(memory.subarray(from, from + this.geometry.sectorBytes), header),
    }
  }

  #newId(): bigint {
    for (;;) {
      const id = BigInt(this.#random.uint32()) * 2n ** 32n + BigInt(this.#random.uint32())
      if (id !== 0n) return id
    }
  }
}
