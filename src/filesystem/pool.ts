/**
 * Several volumes as one. A torrent lives wholly on one of them, where there was most room when it was
 * added; what happens to a device happens to its torrents and to no others.
 *
 * Invariants:
 * - a pool is nothing but its volumes: it knows nothing that is not on them, in whatever order they come;
 * - an info-hash is one torrent. Of copies on several volumes the one with the most pieces is served,
 *   then the one added first, then the one whose volume was named first; the others lie there untouched,
 *   are told among the problems, and go when the torrent is removed: all of them, the served one last;
 * - what is served stays served: a volume that comes later hides its own copies of what is there.
 */
import { assert, toHex } from '../base/index.ts'
import { fsError } from './errors.ts'
import type {
  Beside,
  MappedTorrent,
  MountedVolume,
  Problem,
  Room,
  StagedTorrent,
  TorrentGeometry,
  Volume,
} from './types.ts'

export class Pool implements Volume {
  /** The largest of its volumes when it was made: a multiple of all others, as all are powers of two. */
  readonly blockBytes: number
  readonly sectorBytes: number
  #volumes: readonly MountedVolume[] = []
  /** Copies of torrents that another volume serves, and what is to be said about them. */
  readonly #hidden = new Map<MappedTorrent, Problem>()
  /** Info-hashes of torrents that are being made. */
  readonly #making = new Set<string>()
  /** Volumes whose failure was told by a sync. */
  readonly #toldFailures = new WeakSet<MountedVolume>()

  /** At least one. FS_SAME_VOLUME. The pool owns them: closing it closes them. */
  constructor(volumes: readonly MountedVolume[]) {
    assert(volumes.length > 0, 'a pool of no volumes')
    this.blockBytes = Math.max(...volumes.map((volume) => volume.blockBytes))
    this.sectorBytes = Math.max(...volumes.map((volume) => volume.sectorBytes))
    for (const volume of volumes) this.#admit(volume, compareCopies)
  }

  get volumes(): readonly MountedVolume[] {
    return this.#volumes
  }

  get readOnly(): boolean {
    return this.#volumes.every((volume) => volume.readOnly)
  }

  /** What mounting its volumes found, and copies that are not served. */
  get problems(): readonly Problem[] {
    return [...this.#volumes.flatMap((volume) => volume.problems), ...this.#hidden.values()]
  }

  /** One more, while the others are in use. FS_SAME_VOLUME. */
  add(volume: MountedVolume): void {
    this.#admit(volume, () => 0)
  }

  /** One less; closing it is the caller's. Nothing of it may be in use. */
  delete(volume: MountedVolume): void {
    this.#volumes = this.#volumes.filter((other) => other !== volume)
    for (const stored of volume.torrents()) this.#hidden.delete(stored)
  }

  /** The volume on which it lies. */
  volumeOf(stored: MappedTorrent): MountedVolume {
    const found = this.#volumes.find((volume) => volume.get(stored.infoHash) === stored)
    assert(found !== undefined, 'a torrent of another pool')
    return found
  }

  /** Where a torrent of that size would be made now; undefined when no volume takes writes. */
  choose(totalBytes: number): MountedVolume | undefined {
    return this.#candidates(totalBytes)[0]
  }

  room(): Room {
    let totalBytes = 0
    let freeBytes = 0
    let largestBytes = 0
    let torrents = -this.#hidden.size
    for (const volume of this.#volumes) {
      const room = volume.room()
      totalBytes += room.totalBytes
      freeBytes += room.freeBytes
      torrents += room.torrents
      if (takesWrites(volume)) largestBytes = Math.max(largestBytes, room.largestBytes)
    }
    return { totalBytes, freeBytes, largestBytes, torrents }
  }

  *torrents(): IterableIterator<MappedTorrent> {
    for (const volume of this.#volumes) {
      for (const stored of volume.torrents()) if (!this.#hidden.has(stored)) yield stored
    }
  }

  get(infoHash: Uint8Array): MappedTorrent | undefined {
    for (const volume of this.#volumes) {
      const stored = volume.get(infoHash)
      if (stored !== undefined && !this.#hidden.has(stored)) return stored
    }
    return undefined
  }

  create(
    geometry: TorrentGeometry,
    infoBytes: Uint8Array,
    attributes?: Uint8Array,
    beside?: Beside,
  ): Promise<MappedTorrent> {
    return this.#reserving(geometry.infoHash, () =>
      this.#onFirst(geometry.totalBytes, (volume) =>
        volume.create(geometry, infoBytes, attributes, beside),
      ),
    )
  }

  stage(totalBytes: number, pieceBytes: number, filler?: Beside['filler']): StagedTorrent {
    let refusal: unknown = this.#refusal()
    for (const [tried, volume] of this.#candidates(totalBytes).entries()) {
      try {
        const staged = volume.stage(totalBytes, pieceBytes, filler)
        return {
          write: (offset, source) => staged.write(offset, source),
          commit: (infoHash, infoBytes, attributes, layers) =>
            this.#reserving(infoHash, () => staged.commit(infoHash, infoBytes, attributes, layers)),
          abort: () => staged.abort(),
        }
      } catch (error) {
        if (tried === 0) refusal = error
      }
    }
    throw refusal
  }

  async remove(infoHash: Uint8Array): Promise<void> {
    const served = this.get(infoHash)
    if (served === undefined) return this.#removeRefused(infoHash)
    for (const volume of this.#volumes) {
      const copy = volume.get(infoHash)
      if (copy === undefined || copy === served) continue
      await volume.remove(infoHash)
      this.#hidden.delete(copy)
    }
    await this.volumeOf(served).remove(infoHash)
  }

  /**
   * Syncs all volumes that can be written to, and rejects after all have settled, with the first error.
   * `StoredTorrent.failure` says which torrents it concerns. A volume that failed is told once, as long as
   * there are others.
   */
  async sync(): Promise<void> {
    const writable = this.#volumes.filter(
      (volume) => !volume.readOnly && !this.#toldFailures.has(volume),
    )
    if (writable.length === 0) throw this.#refusal()
    const results = await Promise.allSettled(writable.map((volume) => volume.sync()))
    for (const volume of writable) {
      if (volume.failure !== undefined) this.#toldFailures.add(volume)
    }
    throwFirst(results)
  }

  async close(): Promise<void> {
    throwFirst(await Promise.allSettled(this.#volumes.map((volume) => volume.close())))
  }

  /** `prefer` is below 0 when the newcomer's copy is to be served instead of the one that is. */
  #admit(
    volume: MountedVolume,
    prefer: (newcomer: MappedTorrent, served: MappedTorrent) => number,
  ): void {
    const { uuid } = volume.stats()
    const twin = this.#volumes.find((other) => other.stats().uuid === uuid)
    if (twin !== undefined) {
      throw fsError('FS_SAME_VOLUME', `${volume.path} holds the same volume as ${twin.path}`, {
        mend: 'Leave one of them out. Both have been used since one was copied? Then they differ.',
      })
    }
    for (const stored of volume.torrents()) {
      const served = this.get(stored.infoHash)
      if (served === undefined) continue
      const other = this.volumeOf(served)
      if (prefer(stored, served) < 0) this.#hide(served, other, volume)
      else this.#hide(stored, volume, other)
    }
    this.#volumes = [...this.#volumes, volume]
  }

  #hide(stored: MappedTorrent, on: MountedVolume, instead: MountedVolume): void {
    const infoHash = toHex(stored.infoHash)
    this.#hidden.set(stored, {
      check: 'duplicate',
      severity: 'warning',
      what: `torrent ${infoHash} lies on ${instead.path} as well, and is used from there; the copy on ${on.path} (${stored.have.count} of ${stored.pieceCount} pieces) takes ${stored.allocatedBlocks} blocks`,
      infoHash,
      repair: 'removing the torrent removes all of its copies',
    })
  }

  /** Where a torrent may be made, best first: where it fits, then where most is neither used nor promised. */
  #candidates(totalBytes: number): MountedVolume[] {
    return this.#volumes
      .filter(takesWrites)
      .map((volume) => {
        const { freeBlocks, promisedBlocks, blockBytes } = volume.stats()
        const spareBytes = volume.spareBytes()
        return {
          volume,
          fits: Math.min(freeBlocks * blockBytes, spareBytes) >= totalBytes,
          openBytes: Math.min((freeBlocks - promisedBlocks) * blockBytes, spareBytes),
        }
      })
      .sort((a, b) => Number(b.fits) - Number(a.fits) || b.openBytes - a.openBytes)
      .map(({ volume }) => volume)
  }

  /** Tries the candidates in turn; when all refuse, what the best one said is the answer. */
  async #onFirst<T>(totalBytes: number, action: (volume: MountedVolume) => Promise<T>): Promise<T> {
    let refusal: unknown = this.#refusal()
    for (const [tried, volume] of this.#candidates(totalBytes).entries()) {
      try {
        return await action(volume)
      } catch (error) {
        if (tried === 0) refusal = error
      }
    }
    throw refusal
  }

  /** Nobody else makes a torrent of that info-hash meanwhile, on whatever volume. FS_EXISTS. */
  async #reserving<T>(infoHash: Uint8Array, action: () => Promise<T>): Promise<T> {
    const name = toHex(infoHash)
    if (this.#making.has(name) || this.get(infoHash) !== undefined) {
      throw fsError('FS_EXISTS', `torrent ${name} is there already`)
    }
    this.#making.add(name)
    try {
      return await action()
    } finally {
      this.#making.delete(name)
    }
  }

  /** A torrent that mount would not serve is known to its own volume only. */
  async #removeRefused(infoHash: Uint8Array): Promise<void> {
    const name = toHex(infoHash)
    const holder = this.#volumes.find((volume) =>
      volume.problems.some((problem) => problem.infoHash === name),
    )
    if (holder === undefined) throw fsError('FS_UNKNOWN_TORRENT', `no torrent ${name}`)
    await holder.remove(infoHash)
  }

  /** Why nothing can be written anywhere. */
  #refusal(): Error {
    const failed = this.#volumes.find((volume) => volume.failure !== undefined)?.failure
    return failed ?? fsError('FS_READ_ONLY', 'no volume of the pool can be written to')
  }
}

function takesWrites(volume: MountedVolume): boolean {
  return !volume.readOnly && volume.failure === undefined
}

/** Below 0 when `a` is the better copy. */
function compareCopies(a: MappedTorrent, b: MappedTorrent): number {
  return b.have.count - a.have.count || a.addedAtMs - b.addedAtMs
}

function throwFirst(results: readonly PromiseSettledResult<void>[]): void {
  for (const result of results) if (result.status === 'rejected') throw result.reason
}
