/**
 * A torrent in the making: data on the device, nothing durable that refers to it. When the process
 * dies its blocks are simply free again at the next mount.
 */
import { BlockIo, type IoHost } from './block-io.ts'
import { BlockMap } from './block-map.ts'
import { fsError } from './errors.ts'
import type { InfoRecord } from './info-record.ts'
import type { Inode } from './inode.ts'
import type { MapLayout } from './layout.ts'
import type { Beside, MappedTorrent, StagedTorrent } from './types.ts'

export interface StagedHost extends IoHost {
  addTorrent(
    layout: MapLayout,
    infoHash: Uint8Array,
    record: InfoRecord,
    fill: (inode: Inode) => void,
  ): Promise<MappedTorrent>
  freeBlock(block: number): void
  /** Blocks that a torrent in the making may still come to need; negative when it needs them no more. */
  promise(blocks: number): void
}

export class Staged implements StagedTorrent {
  readonly #host: StagedHost
  readonly #layout: MapLayout
  readonly #map: BlockMap
  readonly #io: BlockIo
  #over = false

  constructor(host: StagedHost, layout: MapLayout, filler: NonNullable<Beside['filler']>) {
    this.#host = host
    this.#layout = layout
    this.#map = new BlockMap(layout.blocks, layout.spanBlocks)
    this.#map.setFiller(filler, layout.blockBytes, layout.totalBytes)
    host.promise(layout.blocks - this.#map.known)
    this.#io = new BlockIo(
      host,
      layout.totalBytes,
      this.#map,
      async () => {},
      () => {},
    )
  }

  write(offset: number, source: Uint8Array): Promise<void> {
    return this.#io.write(offset, source)
  }

  async commit(
    infoHash: Uint8Array,
    infoBytes: Uint8Array,
    attributes: Uint8Array = new Uint8Array(0),
    layers: Uint8Array = new Uint8Array(0),
  ): Promise<MappedTorrent> {
    this.#assertOpen()
    await this.#io.retire()
    this.#assertOpen()
    if (this.#map.known !== this.#layout.blocks) {
      this.#io.revive()
      throw fsError(
        'FS_HOLE',
        `${this.#layout.blocks - this.#map.known} blocks of the staged torrent were not written`,
      )
    }
    this.#over = true
    try {
      const fill = (inode: Inode): void => {
        for (let block = 0; block < this.#layout.blocks; block++) {
          inode.map.set(block, this.#map.get(block))
        }
        inode.have.setAll()
      }
      const record = { infoBytes, attributes, layers }
      return await this.#host.addTorrent(this.#layout, infoHash, record, fill)
    } catch (error) {
      // Refused (FS_EXISTS, FS_FULL, ...): the caller may try again or abort.
      this.#over = false
      this.#io.revive()
      throw error
    }
  }

  abort(): void {
    if (this.#over) return
    this.#over = true
    void this.#io.retire().then(() => {
      this.#host.promise(this.#map.known - this.#layout.blocks)
      for (const block of this.#map.places()) this.#host.freeBlock(block)
    })
  }

  #assertOpen(): void {
    if (this.#over) throw fsError('FS_REMOVED', 'the staged torrent is committed or aborted')
  }
}
