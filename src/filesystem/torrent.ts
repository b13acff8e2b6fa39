/**
 * A torrent on a mounted volume.
 *
 * Invariant: whatever changes the map or the have-bits marks the twin that carries them as dirty, and
 * the torrent with it.
 */
import { assert, type Bitfield } from '../base/index.ts'
import type { Scratch } from '../block-device/index.ts'
import { BlockIo, type IoHost } from './block-io.ts'
import { fsError } from './errors.ts'
import { type InfoRecord, matchesInfoHash, readInfoRecord } from './info-record.ts'
import type { Inode } from './inode.ts'
import { blockOfPiece, twinOfBlock } from './layout.ts'
import type { Sealer } from './sector.ts'
import type { About, Extent, MappedTorrent, StoredTorrent } from './types.ts'

/** Whether the torrent lies on a volume, where it has a map. */
export function isMapped(stored: StoredTorrent): stored is MappedTorrent {
  return stored instanceof VolumeTorrent
}

/** What of an info record is to be another. */
export type RecordChange = Partial<Pick<InfoRecord, 'attributes' | 'layers'>>

export interface TorrentHost extends IoHost {
  /** For info records. */
  readonly scratch: Scratch
  readonly sealer: Sealer
  readonly failure: Error | undefined
  noteDirty(torrent: VolumeTorrent): void
  sync(): Promise<void>
  allocateSpan(torrent: VolumeTorrent, span: number): Promise<void>
  rewriteRecord(torrent: VolumeTorrent, change: RecordChange): Promise<void>
}

export class VolumeTorrent implements MappedTorrent {
  readonly inode: Inode
  readonly io: BlockIo
  readonly #host: TorrentHost

  constructor(host: TorrentHost, inode: Inode) {
    this.#host = host
    this.inode = inode
    this.io = new BlockIo(
      host,
      inode.layout.totalBytes,
      inode.map,
      async (block) => {
        const { span } = twinOfBlock(inode.layout, block)
        if (span >= 0 && inode.spans[span] === undefined) await host.allocateSpan(this, span)
      },
      (block) => this.#touch(block),
    )
  }

  get infoHash(): Uint8Array {
    return this.inode.infoHash
  }

  get totalBytes(): number {
    return this.inode.layout.totalBytes
  }

  get pieceBytes(): number {
    return this.inode.layout.pieceBytes
  }

  get pieceCount(): number {
    return this.inode.layout.pieces
  }

  get have(): Bitfield {
    return this.inode.have
  }

  get complete(): boolean {
    return this.inode.have.full
  }

  get addedAtMs(): number {
    return this.inode.addedAtMs
  }

  get allocatedBlocks(): number {
    return this.inode.map.allocated
  }

  get usedBytes(): number {
    return this.inode.map.allocated * this.#host.geometry.blockBytes
  }

  get failure(): Error | undefined {
    return this.#host.failure
  }

  get uploadedBytes(): number {
    return this.inode.uploadedBytes
  }

  set uploadedBytes(bytes: number) {
    this.inode.uploadedBytes = bytes
  }

  get downloadedBytes(): number {
    return this.inode.downloadedBytes
  }

  set downloadedBytes(bytes: number) {
    this.inode.downloadedBytes = bytes
  }

  async readInfo(): Promise<Uint8Array> {
    const info = await this.#readRecord(this.inode.infoBytes)
    if (!matchesInfoHash(info, this.infoHash)) {
      throw fsError('FS_INFO_ROTTEN', 'the info dictionary has another hash than the torrent', {
        mend: 'Remove the torrent and add it again.',
      })
    }
    return info
  }

  readAttributes(): Promise<Uint8Array> {
    const { infoBytes, attributesBytes } = this.inode
    return this.#readBeside(infoBytes, infoBytes + attributesBytes)
  }

  readLayers(): Promise<Uint8Array> {
    const { recordBytes, layersBytes } = this.inode
    if (layersBytes === 0) return Promise.resolve(new Uint8Array(0))
    return this.#readBeside(recordBytes - layersBytes, recordBytes)
  }

  peek<T>(look: (about: About) => T): Promise<T> {
    const { infoBytes, attributesBytes } = this.inode
    const bytes = infoBytes + attributesBytes
    return this.#host.scratch.lend(bytes, async (memory) =>
      look(await this.#readAbout(memory.subarray(0, bytes), infoBytes)),
    )
  }

  async #readAbout(record: Uint8Array, infoBytes: number): Promise<About> {
    try {
      await this.#fill(record)
      const about = {
        infoBytes: record.subarray(0, infoBytes),
        attributes: record.subarray(infoBytes),
      }
      if (matchesInfoHash(about.infoBytes, this.infoHash)) return about
    } catch {
      // Which of them is damaged is told below.
    }
    return { infoBytes: await this.readInfo(), attributes: await this.readAttributes() }
  }

  get aboutPosition(): number {
    return this.#host.geometry.placeOf(this.inode.info[0]!)
  }

  keepLayers(layers: Uint8Array): Promise<void> {
    return this.#host.rewriteRecord(this, { layers })
  }

  keepAttributes(attributes: Uint8Array): Promise<void> {
    return this.#host.rewriteRecord(this, { attributes })
  }

  async #readBeside(from: number, to: number): Promise<Uint8Array> {
    try {
      return (await this.#readRecord(to)).slice(from)
    } catch (cause) {
      if (!(cause instanceof Error) || !('code' in cause) || cause.code !== 'FS_INFO_ROTTEN') {
        throw cause
      }
      throw fsError('FS_ATTRIBUTES_ROTTEN', cause.message, { cause })
    }
  }

  write(offset: number, source: Uint8Array): Promise<void> {
    return this.io.write(offset, source)
  }

  read(offset: number, target: Uint8Array): Promise<void> {
    return this.io.read(offset, target)
  }

  mapped(offset: number, bytes: number): boolean {
    return this.io.mapped(offset, bytes)
  }

  extents(): IterableIterator<Extent> {
    return this.inode.map.extents()
  }

  get disk(): object {
    return this.#host.device
  }

  position(offset: number): number {
    const { blockBytes } = this.#host.geometry
    return this.inode.map.get(Math.floor(offset / blockBytes)) * blockBytes + (offset % blockBytes)
  }

  markHave(piece: number): void {
    this.#checkPiece(piece)
    if (!this.inode.pieceMapped(piece)) {
      throw fsError('FS_HOLE', `piece ${piece} was not written as a whole`)
    }
    if (this.inode.have.set(piece)) this.#touch(blockOfPiece(this.inode.layout, piece))
  }

  clearHave(piece: number): void {
    this.#checkPiece(piece)
    if (this.inode.have.clear(piece)) this.#touch(blockOfPiece(this.inode.layout, piece))
  }

  doubted(): Promise<readonly number[]> {
    return Promise.resolve([])
  }

  sync(): Promise<void> {
    return this.#host.sync()
  }

  /** Transfer totals are plain fields: a sync looks whether they moved. */
  noteTotals(): void {
    const { inode } = this
    const moved =
      inode.uploadedBytes !== inode.storedUploadedBytes ||
      inode.downloadedBytes !== inode.storedDownloadedBytes
    if (!moved) return
    assert(
      Number.isSafeInteger(inode.uploadedBytes) &&
        Number.isSafeInteger(inode.downloadedBytes) &&
        inode.uploadedBytes >= 0 &&
        inode.downloadedBytes >= 0,
      'transfer totals are counts of bytes',
    )
    inode.head.dirty.add(0)
    this.#host.noteDirty(this)
  }

  /** Have-bits were dropped at mount: all map twins are to be written again. */
  touchAll(): void {
    const { inode } = this
    for (const slot of inode.slots()) {
      for (let twin = 0; twin < slot.region.twins; twin++) slot.dirty.add(twin)
    }
    this.#host.noteDirty(this)
  }

  #touch(block: number): void {
    const { inode } = this
    const { span, twin } = twinOfBlock(inode.layout, block)
    const slot = inode.slotOf(span)
    assert(slot !== undefined, `block ${block} has no continuation`)
    slot.dirty.add(twin)
    this.#host.noteDirty(this)
  }

  #checkPiece(piece: number): void {
    this.#host.assertUsable(true)
    this.io.assertLive()
    if (!Number.isInteger(piece) || piece < 0 || piece >= this.pieceCount) {
      throw fsError('FS_RANGE', `piece ${piece} of ${this.pieceCount}`)
    }
  }

  async #readRecord(bytes: number): Promise<Uint8Array> {
    const record = new Uint8Array(bytes)
    await this.#fill(record)
    return record
  }

  async #fill(record: Uint8Array): Promise<void> {
    const { device, geometry, sealer, scratch } = this.#host
    this.#host.assertUsable(false)
    this.io.assertLive()
    const { info } = this.inode
    try {
      await this.io.during(() => readInfoRecord(device, geometry, sealer, info, record, scratch))
    } catch (error) {
      if (this.inode.info === info) throw error
      // Another record took its place meanwhile, and somebody else its slots.
      await this.#fill(record)
    }
  }
}
