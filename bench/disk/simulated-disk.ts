/**
 * A disk that spins, as a block device of this machine: the program of server.ts, its file, and a loop device with
 * direct I/O over it. Linux, root, koffi, losetup. Its bytes lie in memory, or in a folder that is named.
 *
 * ```
 * /dev/shm/seedbed-disk-PID-…/backing    the bytes, in memory: a file that has lost its name
 *                             mnt/disk    the same, in the time of a disk (FUSE)
 * /dev/loopN                              the block device over it
 * ```
 *
 * The drive has no write cache, so the device says "write through" and the kernel sends no flushes; it sorts with
 * mq-deadline, as Debian does for a disk that spins. Without an elevator neither drive nor kernel sorts.
 *
 * Invariants: what was started and mounted here is gone when this process ends, however it ends short of SIGKILL;
 * what a killed one left is taken away before the next disk is made.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Child } from '../../test/interop/peers/child.ts'
import type { Access } from '../spin/picture.ts'
import { type DiskStats, readDiskLog } from './disk-log.ts'
import { FILE_NAME, TRANSFER_BYTES } from './fuse.ts'

const MEMORY = '/dev/shm'
const PREFIX = 'seedbed-disk-'
const ANSWER_LIMIT_MS = 60_000
const UMOUNT_LIMIT_MS = 120_000
const DETACH_LOOK_MS = 20
const DETACH_LOOKS = 250

export interface SimulatedDiskOptions {
  readonly sizeBytes: number
  /** Requests that the drive sorts; 1: neither it nor the kernel sorts. */
  readonly queueDepth: number
  readonly seed: number
  /** Dirty pages of this device that the kernel may hold. */
  readonly dirtyBytes: number
  /** A folder for the bytes, where they are too many for memory: on a filesystem that is quicker than the disk. */
  readonly backing?: string
}

/** Why there can be no such disk here, in words; undefined when there can. What it tries it takes away. */
export function whyNoDisk(): string | undefined {
  if (process.platform !== 'linux') return 'a simulated disk needs Linux'
  if (process.getuid?.() !== 0) return 'a simulated disk needs root'
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK)
  } catch {
    return 'a simulated disk needs /dev/fuse'
  }
  try {
    createRequire(import.meta.url)('koffi')
  } catch {
    return 'a simulated disk needs koffi (npm install koffi)'
  }
  try {
    accessSync(MEMORY, constants.W_OK)
  } catch {
    return `a simulated disk needs ${MEMORY}`
  }
  recoverDisks()
  const directory = mkdtempSync(join(MEMORY, `${PREFIX}${process.pid}-`))
  try {
    const image = join(directory, 'image')
    writeFileSync(image, '')
    truncateSync(image, 2 ** 20)
    const device = output('losetup', ['-f', '--show', image])
    if (device === undefined) return 'a simulated disk needs losetup and a free loop device'
    spawnSync('losetup', ['-d', device], { stdio: 'ignore' })
    const words = ['-t', 'tmpfs', 'seedbed-bench-probe', directory]
    if (output('mount', words) === undefined) return 'a simulated disk needs the right to mount'
    unmount(directory)
    return undefined
  } finally {
    takeAway(directory)
  }
}

/** Of a command that succeeded. */
function output(command: string, words: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync(command, words, { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : undefined
}

const running = new Set<string>()
let watching = false

export class SimulatedDisk {
  readonly sizeBytes: number
  /** The block device. */
  readonly device: string
  readonly #directory: string
  readonly #server: Child

  private constructor(sizeBytes: number, directory: string, server: Child, device: string) {
    this.sizeBytes = sizeBytes
    this.#directory = directory
    this.#server = server
    this.device = device
  }

  static async start(options: SimulatedDiskOptions): Promise<SimulatedDisk> {
    recoverDisks()
    watchTheEnd()
    const directory = mkdtempSync(join(MEMORY, `${PREFIX}${process.pid}-`))
    running.add(directory)
    const folder = join(directory, 'mnt')
    mkdirSync(folder)
    const { sizeBytes, queueDepth, seed } = options
    const backing = join(options.backing ?? directory, basename(directory))
    const task = { folder, backing, sizeBytes, queueDepth, seed }
    const program = fileURLToPath(new URL('./server.js', import.meta.url))
    const server = new Child('simulated disk', process.execPath, [program, JSON.stringify(task)])
    try {
      await server.event('serving', ANSWER_LIMIT_MS)
      const file = join(folder, FILE_NAME)
      const words = ['-f', '--show', '--direct-io=on', file]
      const device = execFileSync('losetup', words, { encoding: 'utf8' }).trim()
      tune(device, options)
      return new SimulatedDisk(sizeBytes, directory, server, device)
    } catch (error) {
      await server.kill()
      takeAway(directory)
      throw error
    }
  }

  /** With or without the time of a disk; requests that wait are done at once without. */
  async setDelay(on: boolean): Promise<void> {
    await this.#ask({ do: 'delay', on }, 'delay')
  }

  /** A fresh disk as far as head, figures and log go; its bytes stay. */
  async begin(): Promise<void> {
    await this.#ask({ do: 'begin' }, 'begun')
  }

  /** Since `begin`. */
  async stats(): Promise<DiskStats> {
    return (await this.#ask({ do: 'stats' }, 'stats')) as unknown as DiskStats
  }

  /** Every request since `begin`, in the order of the head. */
  async log(): Promise<Access[]> {
    const path = join(this.#directory, 'log')
    await this.#ask({ do: 'log', path }, 'log')
    const accesses = readDiskLog(path)
    rmSync(path)
    return accesses
  }

  async stop(): Promise<void> {
    try {
      await this.setDelay(false)
      takeAway(this.#directory)
      await this.#server.end(ANSWER_LIMIT_MS)
    } finally {
      await this.#server.kill()
      takeAway(this.#directory)
    }
  }

  #ask(command: object, answer: string): Promise<object> {
    const seen = this.#server.events.length
    this.#server.say(JSON.stringify(command))
    return this.#server.event(answer, ANSWER_LIMIT_MS, seen)
  }
}

/** Takes away what processes that were killed have left. */
export function recoverDisks(): void {
  for (const name of readdirSync(MEMORY)) {
    const pid = Number(new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1] ?? Number.NaN)
    if (!Number.isNaN(pid) && pid !== process.pid && !isAlive(pid)) takeAway(join(MEMORY, name))
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Everything above the folder, and the folder; harmless when it is gone. */
function takeAway(directory: string): void {
  const folder = join(directory, 'mnt')
  for (const device of loopDevicesOver(join(folder, FILE_NAME))) {
    for (const place of mountsOf((source) => source === device)) unmount(place)
    detach(device)
  }
  for (const place of mountsOf((_source, place) => place === folder)) unmount(place)
  rmSync(directory, { recursive: true, force: true })
  running.delete(directory)
}

/** A device that somebody else looks at goes when he has closed it. */
function detach(device: string): void {
  spawnSync('losetup', ['-d', device], { stdio: 'ignore', timeout: UMOUNT_LIMIT_MS })
  const sleeping = new Int32Array(new SharedArrayBuffer(4))
  for (let i = 0; i < DETACH_LOOKS && backingOf(basename(device)) !== undefined; i++) {
    Atomics.wait(sleeping, 0, 0, DETACH_LOOK_MS)
  }
}

/** Waits for what is dirty; where that cannot be had it is taken out of sight. */
export function unmount(place: string): void {
  const { status } = spawnSync('umount', [place], { stdio: 'ignore', timeout: UMOUNT_LIMIT_MS })
  if (status !== 0) spawnSync('umount', ['-l', place], { stdio: 'ignore' })
}

function loopDevicesOver(file: string): string[] {
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .filter((name) => backingOf(name) === file)
    .map((name) => `/dev/${name}`)
}

function backingOf(loop: string): string | undefined {
  try {
    return readFileSync(`/sys/block/${loop}/loop/backing_file`, 'utf8').trimEnd()
  } catch {
    return undefined
  }
}

/** The last first: what was mounted in another mount goes before it. */
function mountsOf(matches: (source: string, place: string) => boolean): string[] {
  const places: string[] = []
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    const [source, place] = line.split(' ')
    if (source !== undefined && place !== undefined && matches(source, place)) places.push(place)
  }
  return places.reverse()
}

function tune(device: string, { queueDepth, dirtyBytes }: SimulatedDiskOptions): void {
  const name = basename(device)
  const queue = (what: string, value: string): void =>
    writeFileSync(`/sys/block/${name}/queue/${what}`, value)
  queue('scheduler', queueDepth === 1 ? 'none' : 'mq-deadline')
  queue('rotational', '1')
  queue('write_cache', 'write through')
  queue('max_sectors_kb', `${TRANSFER_BYTES / 1024}`)
  const numbers = readFileSync(`/sys/block/${name}/dev`, 'utf8').trim()
  writeFileSync(`/sys/class/bdi/${numbers}/strict_limit`, '1')
  writeFileSync(`/sys/class/bdi/${numbers}/max_bytes`, `${dirtyBytes}`)
}

/** The servers go with their parent (Child); what they served is taken away after them. */
function watchTheEnd(): void {
  if (watching) return
  watching = true
  process.on('exit', () => {
    for (const directory of running) takeAway(directory)
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => process.exit(128 + (signal === 'SIGINT' ? 2 : 15)))
  }
}
