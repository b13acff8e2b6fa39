/**
 * What was written and marked, and is not durable yet. The order in which it becomes so is "Sync" in
 * docs/internals/format.md.
 *
 * Invariant: a publication covers what was noted before it began, and nothing later: what comes while
 * it waits for the device belongs to the next one.
 */
import type { Inode, MapSlot } from './inode.ts'
import { type MetadataWriter, type TwinUpdate, twinUpdate } from './metadata-writer.ts'
import type { VolumeTorrent } from './torrent.ts'

export class Unsynced {
  readonly #writer: MetadataWriter
  readonly #dirty = new Set<VolumeTorrent>()
  /** Continuations that are not on the device yet, by torrent. */
  readonly #newSpans = new Map<MapSlot, VolumeTorrent>()
  #dataWritten = false

  constructor(writer: MetadataWriter) {
    this.#writer = writer
  }

  noteData(): void {
    this.#dataWritten = true
  }

  /** Its map, have-bits or totals have changed. */
  noteDirty(torrent: VolumeTorrent): void {
    this.#dirty.add(torrent)
  }

  noteSpan(slot: MapSlot, torrent: VolumeTorrent): void {
    this.#newSpans.set(slot, torrent)
    this.#dirty.add(torrent)
  }

  /** The torrent is being removed: nothing of it is to be published any more. */
  forget(torrent: VolumeTorrent): void {
    this.#dirty.delete(torrent)
    for (const [slot, owner] of this.#newSpans) {
      if (owner === torrent) this.#newSpans.delete(slot)
    }
  }

  /** Makes it durable, and `others` with it; without anything to publish the device is left alone. */
  async publish(others: readonly TwinUpdate[]): Promise<void> {
    const updates = [...others]
    for (const torrent of this.#dirty) updates.push(...this.#updatesOf(torrent.inode))
    if (updates.length === 0 && !this.#dataWritten) return
    const captured = this.#writer.capture(updates)
    const newSpans = [...this.#newSpans.keys()]
    this.#newSpans.clear()
    this.#dirty.clear()
    this.#dataWritten = false
    await this.#writer.transaction(async () => {
      for (const slot of newSpans) await this.#writer.writeFresh(slot)
      await this.#writer.barrier('sync-data')
      if (updates.length === 0) return
      await this.#writer.write(captured)
      await this.#writer.barrier('sync-map')
    })
  }

  #updatesOf(inode: Inode): TwinUpdate[] {
    const { geometry } = this.#writer
    const updates: TwinUpdate[] = []
    for (const slot of inode.slots()) {
      for (const twin of slot.dirty) {
        updates.push(twinUpdate(geometry, inode, slot, twin))
      }
      slot.dirty.clear()
    }
    inode.storedUploadedBytes = inode.uploadedBytes
    inode.storedDownloadedBytes = inode.downloadedBytes
    return updates
  }
}
