/**
 * One contender, one scenario, one fresh disk: torrents are downloaded, and read back cold.
 *
 * The clock starts when the seeders have sent the first byte of payload, and stops when the client has ended and the
 * filesystem is unmounted, so nothing is dirty: for seedbed on the raw device, when its process has ended. What the disk says of
 * itself covers the same time. Then the filesystem is mounted anew, which forgets every page, and all torrents are
 * read in file order and compared.
 */

import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { seededRandom, systemClock } from '../../src/base/index.ts'
import { allocateAligned, openFileDevice, readAccessLog } from '../../src/block-device/index.ts'
import { formatVolume, mountVolume } from '../../src/filesystem/index.ts'
import { parseMetainfo } from '../../src/metainfo/index.ts'
import { ageVolume } from '../spin/aging.ts'
import type { Access } from '../spin/picture.ts'
import { readInOrder } from '../spin/read-back.ts'
import type { Scenario } from '../spin/scenario.ts'
import { allWhole, type Contender, end, startDownloads } from './contenders.ts'
import { type DiskStats, statsSince } from './disk-log.ts'
import { ageFilesystem, makeFilesystem, mountFilesystem, unmountFilesystem } from './filesystems.ts'
import type { RunningSeeders } from './seeders.ts'
import { SimulatedDisk, unmount } from './simulated-disk.ts'

const LIMIT_MS = 1_800_000
const BLOCK_BYTES = 4 * 2 ** 20
/** Writes under way while the limit is measured: enough that the disk never waits for us. */
const DEPTH = 4
/** Writes of metadata are smaller. */
const DATA_BYTES = 128 * 1024

export interface Phase {
  readonly seconds: number
  readonly stats: DiskStats
}

export interface Run {
  readonly write: Phase
  readonly read: Phase
  readonly accesses: readonly Access[]
  /** User and system seconds of the client and of the seeders. */
  readonly cpuSeconds: number
  readonly seedersCpuSeconds: number
  /** Of writes of data as seedbed asked the raw device for them. */
  readonly meanDataWriteBytes?: number
}

/** `backing`: where its bytes lie when they do not lie in memory. */
export function startDisk(scenario: Scenario, backing?: string): Promise<SimulatedDisk> {
  const { diskBytes, queueDepth, cacheBytes, seed } = scenario
  return SimulatedDisk.start({
    sizeBytes: diskBytes,
    queueDepth,
    seed,
    dirtyBytes: cacheBytes,
    ...(backing === undefined ? {} : { backing }),
  })
}

/** Seconds of the payload in one sequential stream past the page cache, there and back. */
export async function measureLimit(
  scenario: Scenario,
  backing?: string,
): Promise<{ write: number; read: number }> {
  const disk = await startDisk(scenario, backing)
  try {
    const device = await openFileDevice(disk.device)
    const stream = async (kind: 'read' | 'write'): Promise<number> => {
      await disk.begin()
      const bytes = scenario.torrents * scenario.torrentBytes
      let next = 0
      const begunMs = systemClock.monotonicMs()
      const lane = async (): Promise<void> => {
        const block = allocateAligned(BLOCK_BYTES)
        while (next < bytes) {
          const at = next
          next += BLOCK_BYTES
          await device[kind](at, block)
        }
      }
      await Promise.all(Array.from({ length: DEPTH }, lane))
      await device.flush()
      return (systemClock.monotonicMs() - begunMs) / 1000
    }
    const write = await stream('write')
    const read = await stream('read')
    await device.close()
    return { write, read }
  } finally {
    await disk.stop()
  }
}

export async function runContender(
  contender: Contender,
  scenario: Scenario,
  seeders: RunningSeeders,
  /** For mounts, logs and what clients keep; nothing large. */
  directory: string,
  backing?: string,
): Promise<Run> {
  const { filesystem } = contender
  const mounted = join(directory, 'mnt')
  const disk = await startDisk(scenario, backing)
  try {
    const storage = filesystem === undefined ? disk.device : mounted
    await prepare(contender, scenario, disk, mounted)
    const accessLog = filesystem === undefined ? join(directory, 'access.log') : undefined
    const seedersCpu = seeders.child.cpuSeconds()
    const firstByte = await seeders.watch()
    await disk.begin()
    // What was read to start is in the log, and not in the figures.
    const begun = firstByte().then(async (startMs) => ({ startMs, stats: await disk.stats() }))
    // Whoever fails before it has a better reason.
    begun.catch(() => {})
    const child = startDownloads(contender, {
      storage,
      torrents: seeders.torrents,
      parallel: scenario.parallel,
      cacheBytes: scenario.cacheBytes,
      dataDir: join(directory, 'client'),
      ...(accessLog === undefined ? {} : { accessLog }),
    })
    let cpuSeconds = 0
    const watch = setInterval(() => {
      if (child.ending === undefined) cpuSeconds = child.cpuSeconds()
    }, 500)
    try {
      await allWhole(contender, child, LIMIT_MS)
      await end(contender, child, LIMIT_MS)
    } finally {
      clearInterval(watch)
      await child.kill()
    }
    if (filesystem !== undefined) unmountFilesystem(mounted)
    const endMs = systemClock.monotonicMs()
    const { startMs, stats } = await begun
    const write = {
      seconds: (endMs - startMs) / 1000,
      stats: statsSince(stats, await disk.stats()),
    }
    const accesses = await disk.log()
    const seedersCpuSeconds = seeders.child.cpuSeconds() - seedersCpu
    const read = await readBack(contender, disk, mounted, seeders.torrents)
    return {
      write,
      read,
      accesses,
      cpuSeconds,
      seedersCpuSeconds,
      ...(accessLog === undefined ? {} : { meanDataWriteBytes: await meanDataWrite(accessLog) }),
    }
  } finally {
    unmount(mounted)
    await disk.stop()
  }
}

/** A filesystem that is new, or old, and has nothing in memory; none of this takes the disk's time. */
export async function prepare(
  { filesystem }: Contender,
  scenario: Scenario,
  disk: SimulatedDisk,
  mounted: string,
): Promise<void> {
  const random = seededRandom(scenario.seed)
  const { agingRounds } = scenario
  await disk.setDelay(false)
  if (filesystem === undefined) {
    const device = await openFileDevice(disk.device)
    const options = { clock: systemClock, random }
    await formatVolume(device, options)
    if (agingRounds > 0) {
      const volume = await mountVolume(device, options)
      await ageVolume(volume, random, agingRounds, FULL)
      await volume.close()
    } else await device.close()
  } else {
    makeFilesystem(filesystem, disk.device)
    mountFilesystem(filesystem, disk.device, mounted)
    if (agingRounds > 0) {
      ageFilesystem(mounted, random, agingRounds, FULL)
      unmountFilesystem(mounted)
      mountFilesystem(filesystem, disk.device, mounted)
    }
  }
  await disk.setDelay(true)
}

const FULL = 0.9

async function readBack(
  { filesystem }: Contender,
  disk: SimulatedDisk,
  mounted: string,
  torrents: readonly string[],
): Promise<Phase> {
  const infos = torrents.map((path) => parseMetainfo(readFileSync(path)).info)
  const measure = async (read: () => Promise<void>): Promise<Phase> => {
    await disk.begin()
    const begunMs = systemClock.monotonicMs()
    await read()
    const seconds = (systemClock.monotonicMs() - begunMs) / 1000
    return { seconds, stats: await disk.stats() }
  }
  if (filesystem === undefined) {
    const device = await openFileDevice(disk.device, { readOnly: true })
    const options = { clock: systemClock, random: seededRandom(1), readOnly: true }
    const volume = await mountVolume(device, options)
    const phase = await measure(async () => {
      for (const [number, { infoHash, totalBytes }] of infos.entries()) {
        const stored = volume.get(infoHash)!
        await readInOrder(number, totalBytes, (at, bytes) => stored.read(at, bytes))
      }
    })
    await volume.close()
    return phase
  }
  mountFilesystem(filesystem, disk.device, mounted)
  const phase = await measure(async () => {
    for (const [number, { name, totalBytes }] of infos.entries()) {
      const file = await open(join(mounted, name))
      await readInOrder(number, totalBytes, async (at, bytes) => {
        await file.read(bytes, 0, bytes.length, at)
      })
      await file.close()
    }
  })
  unmountFilesystem(mounted)
  return phase
}

/** Of data: writes of metadata are left out. */
async function meanDataWrite(path: string): Promise<number> {
  let writes = 0
  let bytes = 0
  await readAccessLog(path, (operation, _us, _offset, length) => {
    if (operation !== 'write' || length < DATA_BYTES) return
    writes++
    bytes += length
  })
  return bytes / writes
}
