/** What the parts of suite `fs` share: torrents that need no data to exist, and a device that is listened to. */
import { createHash } from 'node:crypto'
import { seededRandom, systemClock } from '../../../src/base/index.ts'
import type { BlockDevice } from '../../../src/block-device/index.ts'
import type { FormatOptions, MountOptions, TorrentGeometry } from '../../../src/filesystem/index.ts'

export const MIB: number = 2 ** 20
export const GIB: number = 2 ** 30
export const BLOCK_BYTES: number = 4 * MIB
const INFO_BYTES = 600

export interface Made extends TorrentGeometry {
  readonly info: Uint8Array
}

/** The info dictionary is only as long as a real one: the filesystem does not read it. */
export function madeTorrent(number: number, totalBytes: number, pieceBytes: number): Made {
  const info = Buffer.alloc(INFO_BYTES, 'x')
  info.writeUInt32LE(number)
  const infoHash = new Uint8Array(createHash('sha1').update(info).digest())
  return { info, infoHash, totalBytes, pieceBytes }
}

export function formatOptions(): FormatOptions {
  return { random: seededRandom(1), clock: systemClock, blockBytes: BLOCK_BYTES, force: true }
}

export function mountOptions(more: Partial<MountOptions> = {}): MountOptions {
  return { random: seededRandom(2), clock: systemClock, ...more }
}

export interface TapOptions {
  /** Flushes are left out: for building what is measured afterwards. */
  readonly noFlush?: boolean
}

/** A device in front of another: counts, and drops writes of data while `dropping`. */
export class Tap implements BlockDevice {
  readonly label: string
  readonly sizeBytes: number
  readonly sectorBytes: number
  readonly readOnly = false
  readonly #beneath: BlockDevice
  readonly #noFlush: boolean
  dropping = false
  writes = 0
  writtenBytes = 0
  flushes = 0
  /** Of dropped writes, in order. */
  onDropped: (offset: number) => void = () => {}

  constructor(beneath: BlockDevice, options: TapOptions = {}) {
    this.#beneath = beneath
    this.#noFlush = options.noFlush ?? false
    this.label = beneath.label
    this.sizeBytes = beneath.sizeBytes
    this.sectorBytes = beneath.sectorBytes
  }

  read(offset: number, target: Uint8Array): Promise<void> {
    return this.#beneath.read(offset, target)
  }

  async write(offset: number, source: Uint8Array): Promise<void> {
    if (this.dropping) return this.onDropped(offset)
    this.writes++
    this.writtenBytes += source.length
    await this.#beneath.write(offset, source)
  }

  async flush(): Promise<void> {
    this.flushes++
    if (!this.#noFlush) await this.#beneath.flush()
  }

  async discard(): Promise<void> {}

  async close(): Promise<void> {
    if (this.#noFlush) await this.#beneath.flush()
    await this.#beneath.close()
  }
}
