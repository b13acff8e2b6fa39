/**
 * The devices of a node, opened together as one pool, and what can be done to them while it runs: taken
 * back when they were missing, grown, logged.
 *
 * Invariants:
 * - a device that cannot be opened keeps none of the others from being used; only when none can be
 *   opened is it an error, that of the first;
 * - an image is made only when none of the devices is there: where one is, another that is missing is a
 *   disk that was not plugged in, and an empty one in its place would hide that.
 */
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { SeedbedError } from '../base/index.ts'
import { AccessLogWriter } from '../block-device/index.ts'
import { type MountedVolume, Pool } from '../filesystem/index.ts'
import {
  discardNewStorage,
  imageBytesFor,
  openStorage,
  type Storage,
  type StorageOptions,
} from './storage.ts'

export interface DevicesOptions extends Omit<StorageOptions, 'accessLog' | 'onFailure'> {
  /** From mounting on; with several devices each has its own file, with its number behind the name. */
  readonly accessLog?: string
  onLogFailure?(path: string, error: Error): void
  /** A device takes no more writes: once for each. */
  onFailure?(device: string, error: Error): void
}

export interface AbsentDevice {
  readonly path: string
  readonly error: SeedbedError
}

/** What a look at the devices found. */
export type DeviceChange =
  | { readonly state: 'open' | 'grown'; readonly volume: MountedVolume }
  | { readonly state: 'absent'; readonly path: string; readonly error: SeedbedError }

export class Devices {
  readonly paths: readonly string[]
  readonly pool: Pool
  readonly #options: DevicesOptions
  readonly #open: Map<string, Storage>
  readonly #absent = new Map<string, SeedbedError>()

  private constructor(
    paths: readonly string[],
    options: DevicesOptions,
    open: Map<string, Storage>,
    absent: Map<string, SeedbedError>,
  ) {
    this.paths = paths
    this.#options = options
    this.#open = open
    this.#absent = absent
    const volumes: MountedVolume[] = []
    for (const { volume } of open.values()) volumes.push(volume)
    this.pool = new Pool(volumes)
  }

  /** As openStorage rejects, when not one of them can be opened. */
  static async open(named: readonly string[], options: DevicesOptions): Promise<Devices> {
    const paths = [...new Set(named)]
    const none = !paths.some((path) => existsSync(path))
    const results = await Promise.allSettled(
      paths.map((path) => openOne(paths, path, options, none)),
    )
    const open = new Map<string, Storage>()
    const absent = new Map<string, SeedbedError>()
    const uuids = new Map<string, string>()
    for (const [i, result] of results.entries()) {
      const path = paths[i]!
      if (result.status === 'rejected') {
        if (!(result.reason instanceof SeedbedError)) {
          for (const { volume } of open.values()) await volume.close()
          throw result.reason
        }
        absent.set(path, result.reason)
        continue
      }
      const { uuid } = result.value.volume.stats()
      const twin = uuids.get(uuid)
      if (twin !== undefined) {
        await result.value.volume.close()
        absent.set(path, sameVolume(path, twin))
        continue
      }
      uuids.set(uuid, path)
      open.set(path, result.value)
    }
    if (open.size === 0) throw absent.get(paths[0]!)!
    return new Devices(paths, options, open, absent)
  }

  /** Those that could not be opened, or were given up, in the order in which they were named. */
  get absent(): readonly AbsentDevice[] {
    return this.paths.flatMap((path) => {
      const error = this.#absent.get(path)
      return error === undefined ? [] : [{ path, error }]
    })
  }

  /** This run formatted it. */
  wasCreated(volume: MountedVolume): boolean {
    return this.#storageOf(volume)?.created === true
  }

  /**
   * Looks again: opens what was absent, and gives volumes what their devices gained. What cannot be opened
   * or grown is told, and stays as it was.
   */
  async refresh(): Promise<DeviceChange[]> {
    const changes: DeviceChange[] = []
    for (const { path } of this.absent) {
      try {
        const storage = await openOne(this.paths, path, this.#options, false)
        const twin = this.pool.volumes.find(
          (other) => other.stats().uuid === storage.volume.stats().uuid,
        )
        if (twin !== undefined) {
          await storage.volume.close()
          throw sameVolume(path, twin.path)
        }
        this.pool.add(storage.volume)
        this.#open.set(path, storage)
        this.#absent.delete(path)
        changes.push({ state: 'open', volume: storage.volume })
      } catch (error) {
        changes.push({ state: 'absent', path, error: asCoded(error) })
      }
    }
    for (const volume of this.pool.volumes) {
      if (volume.readOnly || volume.failure !== undefined) continue
      try {
        const { blocksBefore, blocksAfter } = await volume.grow()
        if (blocksAfter > blocksBefore) changes.push({ state: 'grown', volume })
      } catch (error) {
        changes.push({ state: 'absent', path: volume.path, error: asCoded(error) })
      }
    }
    return changes
  }

  /** Gives a device up, until a `refresh` finds it well. Nothing of it may be in use. */
  async giveUp(volume: MountedVolume, error: SeedbedError): Promise<void> {
    const path = volume.path
    this.pool.delete(volume)
    this.#open.delete(path)
    this.#absent.set(path, error)
    // It failed: that its last writes fail as well is no news.
    await volume.close().catch(() => {})
  }

  /** The files that a log at `base` goes to, by device; whether one is being written. */
  logs(base: string): { device: string; path: string; on: boolean }[] {
    return [...this.#open].map(([device, { logged }]) => ({
      device,
      path: logPath(base, this.paths, device),
      on: logged.log !== undefined,
    }))
  }

  /** Begins to note what is asked of each device. As AccessLogWriter.create rejects: then of none. */
  async startLogs(base: string): Promise<void> {
    const begun: [Storage, AccessLogWriter][] = []
    try {
      for (const [path, storage] of this.#open) {
        const log = await AccessLogWriter.create(logPath(base, this.paths, path), {
          clock: this.#options.clock,
          deviceBytes: storage.logged.sizeBytes,
          onFailure: (error) => this.#options.onLogFailure?.(path, error),
        })
        begun.push([storage, log])
      }
    } catch (error) {
      for (const [, log] of begun) await log.close()
      throw error
    }
    for (const [storage, log] of begun) storage.logged.log = log
  }

  /** Everything noted is in the files when this resolves. */
  async stopLogs(): Promise<void> {
    for (const { logged } of this.#open.values()) {
      const { log } = logged
      logged.log = undefined
      await log?.close()
    }
  }

  /** Closes; images that were made for a run that could not start go again. */
  async discard(): Promise<void> {
    for (const storage of this.#open.values()) await discardNewStorage(storage)
  }

  #storageOf(volume: MountedVolume): Storage | undefined {
    return this.#open.get(volume.path)
  }
}

async function openOne(
  paths: readonly string[],
  path: string,
  options: DevicesOptions,
  mayMake: boolean,
): Promise<Storage> {
  const { accessLog, onLogFailure, onFailure, create, imageBytes, ...rest } = options
  const there = existsSync(path)
  const making = create === true && (there || mayMake)
  return openStorage(path, {
    ...rest,
    create: making,
    ...(making && !there ? { imageBytes: imageBytes ?? (await shareOf(paths, path)) } : {}),
    ...(onFailure === undefined ? {} : { onFailure: (error) => onFailure(path, error) }),
    ...(accessLog === undefined
      ? {}
      : {
          accessLog: {
            path: logPath(accessLog, paths, path),
            onFailure: (error) => onLogFailure?.(path, error),
          },
        }),
  })
}

/** Several images that are made in one folder divide the room there. */
function shareOf(paths: readonly string[], path: string): Promise<number> {
  const folder = dirname(path)
  const made = paths.filter((other) => dirname(other) === folder).length
  return imageBytesFor(folder, made)
}

function logPath(base: string, paths: readonly string[], device: string): string {
  return paths.length === 1 ? base : `${base}.${paths.indexOf(device) + 1}`
}

function sameVolume(path: string, twin: string): SeedbedError {
  return new SeedbedError('FS_SAME_VOLUME', `${path} holds the same volume as ${twin}`, {
    mend: 'One is a copy of the other: leave one of them out.',
  })
}

function asCoded(error: unknown): SeedbedError {
  if (error instanceof SeedbedError) return error
  throw error
}
