/**
 * Which torrents there are: by all of their names, and by the marks that stand for these in an encryption handshake.
 *
 * Invariants:
 * - A name is one torrent's; a hybrid's two names are the same one's. That holds also while it is being made on the volume,
 *   when nothing answers to its name yet.
 * - A torrent answers to every name that it has, or learns, until it is removed.
 */
import { toHex, toLatin1 } from '../base/index.ts'
import type { TorrentInfo } from '../metainfo/index.ts'
import { torrentMark } from './encryption/key-exchange.ts'
import { engineError } from './errors.ts'
import type { TorrentNames } from './torrent-names.ts'

export class Registry<T extends { readonly names: TorrentNames }> {
  readonly #torrents = new Set<T>()
  readonly #byName = new Map<string, T>()
  /** Names by what stands for them. */
  readonly #marks = new Map<string, Uint8Array>()
  readonly #making = new Map<string, Promise<unknown>>()

  /** In the order of their coming. */
  values(): SetIterator<T> {
    return this.#torrents.values()
  }

  get(name: Uint8Array): T | undefined {
    return this.#byName.get(toLatin1(name))
  }

  nameOf(mark: Uint8Array): Uint8Array | undefined {
    return this.#marks.get(toLatin1(mark))
  }

  /** Throws ENGINE_EXISTS when one of the names is another's. */
  refuseTwice({ all }: TorrentNames): void {
    for (const name of all) {
      const key = toLatin1(name)
      if (this.#byName.has(key) || this.#making.has(key)) throw exists(name)
    }
  }

  /** Its names are nobody else's (`refuseTwice`). */
  add(torrent: T): void {
    this.#torrents.add(torrent)
    for (const name of torrent.names.all) this.#register(torrent, name)
  }

  /** What a magnet is called besides is known: returns what is new of it. Throws ENGINE_EXISTS when another torrent is called so. */
  learn(torrent: T, info: TorrentInfo): readonly Uint8Array[] {
    const names = torrent.names.learn(info)
    for (const name of names) {
      if (this.#byName.has(toLatin1(name))) throw exists(name)
      this.#register(torrent, name)
    }
    return names
  }

  #register(torrent: T, name: Uint8Array): void {
    this.#byName.set(toLatin1(name), torrent)
    this.#marks.set(toLatin1(torrentMark(name)), name)
  }

  /** False when it was not there. */
  remove(torrent: T): boolean {
    if (!this.#torrents.delete(torrent)) return false
    for (const name of torrent.names.all) {
      // One that it has learnt, and another has.
      if (this.get(name) !== torrent) continue
      this.#byName.delete(toLatin1(name))
      this.#marks.delete(toLatin1(torrentMark(name)))
    }
    return true
  }

  // --- While it is made on the volume ---

  /** The name is taken until `made` has settled; returns what that gives. */
  async whileMaking<R>(name: Uint8Array, made: Promise<R>): Promise<R> {
    const key = toLatin1(name)
    this.#making.set(key, made)
    try {
      return await made
    } finally {
      this.#making.delete(key)
    }
  }

  /** Resolves when nothing of that name is being made, or of any name; however that has ended. */
  async settled(name?: Uint8Array): Promise<void> {
    const made =
      name === undefined ? [...this.#making.values()] : [this.#making.get(toLatin1(name))]
    await Promise.allSettled(made)
  }
}

function exists(name: Uint8Array): Error {
  return engineError('ENGINE_EXISTS', `torrent ${toHex(name)} is in the engine already`)
}
