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
import { type Clock, toHex } from '../base/index.ts'
import { type AlignedPool, type BlockDevice, Scratch } from '../block-device/index.ts'
import { type IoHost, makeBouncePool } from './block-io.ts'
import type { BlockMap } from './block-map.ts'
import { fsError } from './errors.ts'
import type { Geometry } from './geometry.ts'
import { growHeader } from './grow.ts'
import { formatUuid } from './header.ts'
import { HeaderTwin } from './header-twin.ts'
import { type InfoRecord, matchesInfoHash, recordBytes, writeInfoRecord } from './info-record.ts'
import type { Inode } from './inode.ts'
import { layoutFor, type MapLayout } from './layout.ts'
import { MetadataWriter, settleAll, type TwinUpdate } from './metadata-writer.ts'
import { RootList } from './root-list.ts'
import type { Scan } from './scan.ts'
import type { Sealer } from './sector.ts'
import { Space } from './space.ts'
import { Staged, type StagedHost } from './staged.ts'
import { type RecordChange, type TorrentHost, VolumeTorrent } from './torrent.ts'
import type {
  AllocatorStats,
  Beside,
  GrowReport,
  MappedTorrent,
  MountedVolume,
  MountOptions,
  Problem,
  Room,
  StagedTorrent,
  TorrentGeometry,
  VolumeStats,
} from './types.ts'
import { Unsynced } from './unsynced.ts'

/** A torrent that mount would not serve. */
interface Refusal {
  readonly index: number
  readonly problem: Problem
}

interface Entry {
  readonly index: number
  readonly torrent: VolumeTorrent
}

/** A torrent that is to be created. */
interface Creation {
  readonly layout: MapLayout
  readonly infoHash: Uint8Array
  readonly record: InfoRecord
  readonly fill: (inode: Inode) => void
  resolve(torrent: VolumeTorrent): void
  reject(error: unknown): void
}

interface Created extends Entry {
  readonly creation: Creation
  readonly name: string
  readonly inode: Inode
}

const NOTHING = new Uint8Array(0)
const CREATIONS_AT_ONCE = 64
/** Memory for reading their info records that is kept. */
const RECORDS_AT_ONCE = 16

export class MountedFilesystem implements MountedVolume, IoHost, TorrentHost, StagedHost {
  readonly device: BlockDevice
  readonly geometry: Geometry
  readonly bounce: AlignedPool = makeBouncePool()
  readonly scratch: Scratch = new Scratch(RECORDS_AT_ONCE)
  readonly readOnly: boolean
  readonly problems: readonly Problem[]
  readonly #header: HeaderTwin
  readonly #writer: MetadataWriter
  readonly #clock: Clock
  readonly #spareBytes: () => number
  readonly #space: Space
  readonly #root: RootList
  readonly #torrents = new Map<string, Entry>()
  /** Waiting for their turn. */
  readonly #creations: Creation[] = []
  /** Names of those being written. */
  readonly #creating = new Set<string>()
  readonly #refused = new Map<string, Refusal>()
  readonly #unsynced: Unsynced
  #lane: Promise<unknown> = Promise.resolve()
  #waitingSync: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(device: BlockDevice, scan: Scan, options: MountOptions, readOnly: boolean) {
    this.device = device
    this.geometry = scan.geometry
    this.readOnly = readOnly
    this.problems = scan.problems
    this.#clock = options.clock
    this.#spareBytes = options.spareBytes ?? (() => Number.POSITIVE_INFINITY)
    const { geometry, allocator, slabs, sealer } = scan
    this.#space = new Space(device, geometry, allocator, slabs, options.random)
    const { onBarrier, onFailure } = options
    this.#writer = new MetadataWriter(device, geometry, sealer, onBarrier, onFailure)
    this.#unsynced = new Unsynced(this.#writer)
    const { region, entries, unsettled } = scan.root
    this.#root = new RootList(geometry, region, entries, unsettled)
    this.#header = new HeaderTwin(scan.header)
    for (const [index, inode] of scan.inodes) {
      const refusal = scan.refused.get(index)
      const name = toHex(inode.infoHash)
      if (refusal !== undefined) this.#refused.set(name, { index, problem: refusal })
      else {
        const torrent = new VolumeTorrent(this, inode)
        this.#torrents.set(name, { index, torrent })
        this.promise(inode.layout.blocks - inode.map.known)
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

  get path(): string {
    return this.device.label
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
    const { freeBlocks, metadataBlocks, promisedBlocks } = this.#space
    const { uuid, label, formatVersion, deviceBytes } = this.#header.header
    return {
      uuid: formatUuid(uuid),
      label,
      formatVersion,
      deviceBytes,
      blockBytes,
      totalBlocks: blockCount,
      freeBlocks,
      dataBlocks: blockCount - freeBlocks - metadataBlocks,
      metadataBlocks,
      promisedBlocks,
      torrents: this.#torrents.size,
      torrentsMax: this.geometry.torrentsMax,
    }
  }

  room(): Room {
    const { blockCount, blockBytes } = this.geometry
    const freeBytes = this.#space.freeBlocks * blockBytes
    return {
      totalBytes: blockCount * blockBytes,
      freeBytes,
      largestBytes: freeBytes,
      torrents: this.#torrents.size,
    }
  }

  spareBytes(): number {
    return this.#spareBytes()
  }

  allocatorStats(): AllocatorStats {
    return this.#space.stats()
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
    { layers = NOTHING, filler = [] }: Beside = {},
  ): Promise<MappedTorrent> {
    this.assertUsable(true)
    const layout = this.layoutOf(geometry.totalBytes, geometry.pieceBytes)
    const record = { infoBytes, attributes, layers }
    this.promise(layout.blocks)
    try {
      const torrent = await this.addTorrent(layout, geometry.infoHash, record, ({ map }) =>
        map.setFiller(filler, layout.blockBytes, layout.totalBytes),
      )
      this.promise(-torrent.inode.map.known)
      return torrent
    } catch (error) {
      this.promise(-layout.blocks)
      throw error
    }
  }

  stage(
    totalBytes: number,
    pieceBytes: number,
    filler: NonNullable<Beside['filler']> = [],
  ): StagedTorrent {
    this.assertUsable(true)
    return new Staged(this, this.layoutOf(totalBytes, pieceBytes), filler)
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
      this.#unsynced.forget(torrent)
      await this.#clearRootEntry(index)
      // Nothing durable refers to it any more.
      this.promise(torrent.inode.map.known - torrent.inode.layout.blocks)
      this.#space.release(torrent.inode)
    })
  }

  grow(): Promise<GrowReport> {
    return this.#exclusively(async () => {
      this.assertUsable(true)
      this.device.remeasure?.()
      this.#header.set({ cursor: this.#space.cursor })
      const report = await growHeader(this.#writer, this.#header)
      if (report.blocksAfter > report.blocksBefore) this.#space.grow(report.blocksAfter)
      return report
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
      await this.#space.discardsSettled()
      await this.#writer.write(this.#writer.capture([this.#headerUpdate(true)]))
      await this.#writer.barrier('close')
    } finally {
      for (const { torrent } of this.#torrents.values()) await torrent.io.retire()
      await this.#space.discardsSettled()
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

  allocateData(map: BlockMap, block: number): Promise<number> {
    return this.#space.allocateData(map, block)
  }

  async allocateSpan(torrent: VolumeTorrent, span: number): Promise<void> {
    const { inode } = torrent
    const made = await this.#space.takeSpan(inode, span)
    if (made === undefined) return
    inode.head.dirty.add(inode.tableTwinOf(this.geometry, span))
    this.#unsynced.noteSpan(made, torrent)
  }

  quiet(): Promise<void> | undefined {
    return this.#writer.quiet()
  }

  noteData(): void {
    this.#unsynced.noteData()
  }

  noteDirty(torrent: VolumeTorrent): void {
    this.#unsynced.noteDirty(torrent)
  }

  noteTaken(): void {
    this.promise(-1)
  }

  promise(blocks: number): void {
    this.#space.promisedBlocks += blocks
  }

  freeBlock(block: number): void {
    this.#space.freeBlock(block)
  }

  /**
   * Writes the info record anew, with this changed, and lets a sync name it: the sync's first flush makes
   * the record durable, its second the i-node that refers to it. Only then the record before is free.
   */
  rewriteRecord(torrent: VolumeTorrent, change: RecordChange): Promise<void> {
    return this.#exclusively(async () => {
      this.assertUsable(true)
      torrent.io.assertLive()
      const { inode } = torrent
      const record = {
        infoBytes: await torrent.readInfo(),
        attributes: change.attributes ?? (await torrent.readAttributes()),
        layers: change.layers ?? (await torrent.readLayers()),
      }
      checkRecord(record)
      const chain = await this.#space.takeRecord(recordBytes(record))
      await this.#writer.guard(() =>
        writeInfoRecord(this.device, this.geometry, this.#writer.sealer, chain, record),
      )
      const before = inode.info
      inode.info = chain
      inode.attributesBytes = record.attributes.length
      inode.layersBytes = record.layers.length
      inode.head.dirty.add(0)
      this.noteDirty(torrent)
      await this.#syncNow()
      this.#space.freeSlots(before)
    })
  }

  /** Creates a torrent whose map and have-bits `fill` provides. Order: create. */
  addTorrent(
    layout: MapLayout,
    infoHash: Uint8Array,
    record: InfoRecord,
    fill: (inode: Inode) => void,
  ): Promise<VolumeTorrent> {
    return new Promise((resolve, reject) => {
      const isFirst = this.#creations.length === 0
      this.#creations.push({ layout, infoHash, record, fill, resolve, reject })
      // Those who come until it is their turn are created together, behind the same barriers.
      if (isFirst) {
        void this.#exclusively(() => this.#writer.transaction(() => this.#createWaiting()))
      }
    })
  }

  // Within.

  async #createWaiting(): Promise<void> {
    while (this.#creations.length > 0) {
      await this.#createAll(this.#creations.splice(0, CREATIONS_AT_ONCE))
    }
  }

  async #createAll(creations: readonly Creation[]): Promise<void> {
    const created: Created[] = []
    for (const creation of creations) {
      try {
        created.push(await this.#prepare(creation))
      } catch (error) {
        creation.reject(error)
      }
    }
    if (created.length === 0) return
    try {
      await this.#publish(created)
    } catch (error) {
      for (const { creation } of created) creation.reject(error)
      return
    }
    for (const { creation, torrent } of created) creation.resolve(torrent)
  }

  /** Takes the name, the root entry and the slots of a new torrent; nothing is written yet. */
  async #prepare(creation: Creation): Promise<Created> {
    const { layout, infoHash, record, fill } = creation
    this.#writer.assertSound()
    const name = this.#checkNew(infoHash, record)
    const index = this.#freeRootEntry()
    const identity = {
      infoHash: infoHash.slice(),
      addedAtMs: Math.max(0, Math.floor(this.#clock.wallMs())),
      infoBytes: record.infoBytes.length,
      attributesBytes: record.attributes.length,
      layersBytes: record.layers.length,
    }
    const inode = await this.#space.takeInode(layout, identity, fill)
    const torrent = new VolumeTorrent(this, inode)
    this.#root.set(index, inode.head.reference)
    this.#creating.add(name)
    return { creation, name, index, inode, torrent }
  }

  async #publish(created: readonly Created[]): Promise<void> {
    const { sealer } = this.#writer
    await this.#writer.guard(() =>
      settleAll(
        created.map(({ creation: { record }, inode: { info } }) =>
          writeInfoRecord(this.device, this.geometry, sealer, info, record),
        ),
      ),
    )
    await settleAll(
      created.flatMap(({ inode }) =>
        [...inode.slots()].map((slot) => this.#writer.writeFresh(slot, inode)),
      ),
    )
    await this.#writer.barrier('create-inode')
    const twins = new Set(created.map(({ index }) => this.#root.twinOf(index)))
    const updates = [...twins].map((twin) => this.#root.update(twin))
    await this.#writer.write(this.#writer.capture(updates))
    await this.#writer.barrier('create-root')
    for (const twin of twins) this.#root.behind.add(twin)
    for (const { name, index, torrent } of created) {
      this.#creating.delete(name)
      this.#torrents.set(name, { index, torrent })
    }
  }

  #exclusively<T>(action: () => Promise<T>): Promise<T> {
    const own = this.#lane.then(action)
    this.#lane = own.catch(() => {})
    return own
  }

  #checkNew(infoHash: Uint8Array, record: InfoRecord): string {
    if (infoHash.length !== 20) throw fsError('FS_RANGE', 'an info-hash has 20 bytes')
    checkRecord(record)
    const name = toHex(infoHash)
    if (this.#torrents.has(name) || this.#creating.has(name) || this.#refused.has(name)) {
      throw fsError('FS_EXISTS', `torrent ${name} is there already`, this.#mendOf(name))
    }
    if (!matchesInfoHash(record.infoBytes, infoHash)) {
      throw fsError('FS_INFO_ROTTEN', `the info dictionary given for ${name} has another hash`)
    }
    return name
  }

  #mendOf(name: string): { mend?: string } {
    const problem = this.#refused.get(name)?.problem
    return problem === undefined
      ? {}
      : {
          mend: `It is damaged (${problem.what}): \`seedbed rm\` removes it, then it can be added anew.`,
        }
  }

  #freeRootEntry(): number {
    const index = this.#root.freeEntry()
    if (index !== -1) return index
    throw fsError('FS_ROOT_FULL', `the root block lists ${this.geometry.torrentsMax} torrents`, {
      mend: 'Remove torrents, add another device, or use a volume with larger blocks.',
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
    await this.#writer.transaction(async () => {
      await this.#writer.write(this.#writer.capture([this.#root.update(twin)]))
      await this.#writer.barrier('remove-root')
      await this.#writer.write(this.#writer.capture([this.#root.update(twin)]))
      await this.#writer.barrier('remove-twin')
    })
    this.#root.behind.delete(twin)
  }

  async #syncNow(): Promise<void> {
    const updates = this.#root.catchUp()
    for (const { torrent } of this.#torrents.values()) torrent.noteTotals()
    await this.#unsynced.publish(updates)
    this.#space.startDiscards()
  }

  #headerUpdate(clean: boolean): TwinUpdate {
    this.#header.set({ clean, cursor: this.#space.cursor })
    return this.#header.update()
  }
}

/** Throws FS_RANGE: the i-node counts the bytes of each part in 32 bits. */
function checkRecord({ infoBytes, attributes, layers }: InfoRecord): void {
  for (const { length } of [infoBytes, attributes, layers]) {
    if (length >= 2 ** 32) throw fsError('FS_RANGE', 'a part of an info record of 4 GiB and more')
  }
}
