/**
 * The care that a running node takes of its devices: looks at them again when it is asked to, notes what is asked of them, and
 * scrubs what they hold.
 *
 * Invariant: one refresh runs at a time, none after `stop`.
 */
import { errnoOf, SeedbedError, toHex } from '../base/index.ts'
import type { MountedVolume } from '../filesystem/index.ts'
import { describeStored } from './described.ts'
import type { DeviceRoom, NodeEvent } from './events.ts'
import type { NodeOptions } from './node-options.ts'
import type { Place } from './place.ts'
import { Scrubber } from './scrubber.ts'
import type { Served } from './served.ts'

export class Upkeep {
  readonly #options: NodeOptions
  readonly #place: Place
  readonly #served: Served
  readonly #scrubber: Scrubber | undefined
  #refreshing: Promise<void> | undefined
  #stopped = false

  /** Scrubs begin. */
  constructor(options: NodeOptions, place: Place, served: Served) {
    this.#options = options
    this.#place = place
    this.#served = served
    this.#scrubber = this.#beginScrubs()
  }

  /**
   * Looks at the devices again: takes back what was absent or failed, gives volumes what their devices
   * gained, and tries torrents again that failed. A second call joins the first.
   */
  refresh(): Promise<void> {
    if (this.#stopped) return Promise.resolve()
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined
    })
    return this.#refreshing
  }

  async #refresh(): Promise<void> {
    const place = this.#place
    if (place.kind === 'pool') {
      for (const volume of [...place.store.volumes]) {
        if (volume.failure === undefined) continue
        for (const { infoHash } of volume.torrents()) await this.#served.release(infoHash)
        await place.devices.giveUp(volume, asSeedbedError(volume.failure))
      }
      for (const change of await place.devices.refresh()) {
        if (change.state === 'absent') {
          this.#options.onEvent(deviceTrouble('absent', change.path, change.error))
          continue
        }
        const { state, volume } = change
        this.#options.onEvent({ event: 'device', state, ...roomOf(volume) })
      }
    }
    for (const torrent of [...this.#served.engine.torrents()]) {
      if (torrent.error !== undefined && torrent.stored !== undefined) {
        await this.#served.release(torrent.infoHash)
      }
    }
    for (const stored of [...this.#place.store.torrents()]) {
      if (this.#served.engine.get(stored.infoHash) === undefined) await this.#served.open(stored)
    }
  }

  /** Begins to note what is asked of the devices in files at `base`, or ends it. Of a folder nothing is noted. */
  async toggleAccessLog(base: string): Promise<void> {
    const place = this.#place
    if (place.kind === 'folder') return
    const { devices } = place
    const was = devices.logs(base)
    if (was.some(({ on }) => on)) await devices.stopLogs()
    else await devices.startLogs(base)
    for (const log of devices.logs(base)) this.#options.onEvent({ event: 'access-log', ...log })
  }

  #beginScrubs(): Scrubber | undefined {
    const { scrub, clock, random, logger, onEvent } = this.#options
    if (scrub === undefined) return undefined
    return new Scrubber(
      {
        clock,
        random,
        logger,
        stores: () =>
          this.#place.kind === 'folder' ? [this.#place.store] : volumesOf(this.#place),
        describe: describeStored,
        heal: (stored, info, pieces) => this.#served.heal(stored, info, pieces),
        scrubbed: (info, report) =>
          onEvent({
            event: 'scrubbed',
            infoHash: toHex(info.infoHash),
            name: info.name,
            ...report,
          }),
      },
      scrub,
    )
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#scrubber?.stop()
    await this.#refreshing?.catch(() => {})
  }
}

export function volumesOf(place: Place): readonly MountedVolume[] {
  return place.kind === 'pool' ? place.store.volumes : []
}

export function roomOf(volume: MountedVolume): DeviceRoom {
  const { totalBytes, freeBytes, torrents } = volume.room()
  return { device: volume.path, torrents, totalBytes, freeBytes }
}

export function deviceTrouble(state: 'absent' | 'failed', device: string, error: Error): NodeEvent {
  const code = errnoOf(error) ?? 'DEVICE_IO'
  return { event: 'device', state, device, code, message: error.message }
}

function asSeedbedError(error: Error): SeedbedError {
  return error instanceof SeedbedError ? error : new SeedbedError('FS_FAILED', error.message)
}
