/** Which pieces each of several partial seeders holds: a part of each torrent, drawn from a seed; together all. */
import { Bitfield, below, seededRandom, toHex } from '../../src/base/index.ts'
import type { TorrentInfo } from '../../src/metainfo/index.ts'

export interface SharesOptions {
  /** Seeders. */
  readonly count: number
  /** Of the pieces that one holds. */
  readonly share: number
  readonly seed: number
}

export interface Shared {
  /** Of the payload (payload.ts). */
  readonly number: number
  readonly info: TorrentInfo
  /** By seeder. */
  readonly has: readonly Bitfield[]
}

export class Shares {
  readonly #options: SharesOptions
  readonly #torrents = new Map<string, Shared>()

  constructor(options: SharesOptions) {
    this.#options = options
  }

  add(number: number, info: TorrentInfo): void {
    const { count, share, seed } = this.#options
    const random = seededRandom(seed * 1_000 + number)
    const has = Array.from({ length: count }, () => new Bitfield(info.pieceCount))
    for (let piece = 0; piece < info.pieceCount; piece++) {
      has[below(random, count)]!.set(piece)
      for (const bits of has) if (random.uint32() < share * 2 ** 32) bits.set(piece)
    }
    this.#torrents.set(toHex(info.infoHash), { number, info, has })
  }

  find(infoHash: Uint8Array): Shared | undefined {
    return this.#torrents.get(toHex(infoHash))
  }
}
