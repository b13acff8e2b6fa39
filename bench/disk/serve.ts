/**
 * One seeder, one fresh disk: whole torrents lie on it, leechers come at random, and for a window of time it is counted
 * what they get and what the disk does for it. The seeder starts with nothing in memory, and may use so much.
 */
import { join } from 'node:path'
import { delay, systemClock } from '../../src/base/index.ts'
import type { Scenario } from '../spin/scenario.ts'
import { allWhole, type Contender, end, startLibtorrent, startNode } from './contenders.ts'
import { statsSince } from './disk-log.ts'
import { mountFilesystem, unmountFilesystem } from './filesystems.ts'
import { received, startLeechers } from './leechers.ts'
import { MemoryLimit } from './memory-limit.ts'
import { prepare, startDisk } from './run.ts'
import type { RunningSeeders } from './seeders.ts'
import { unmount } from './simulated-disk.ts'

const LIMIT_MS = 600_000

export interface Load {
  readonly leechers: number
  readonly joinMs: number
  /** Counted, after all have joined. */
  readonly windowMs: number
  /** Of the seeder's process and the pages that it has the kernel keep. */
  readonly memoryBytes: number
}

export interface Served {
  /** Payload that arrived in the window. */
  readonly bytes: number
  readonly seconds: number
  readonly unchoked: number
  readonly seeks: number
  readonly readBytes: number
  readonly busyMs: number
  readonly cpuSeconds: number
}

export async function runSeeder(
  contender: Contender,
  scenario: Scenario,
  load: Load,
  seeders: RunningSeeders,
  directory: string,
  backing?: string,
): Promise<Served> {
  const { filesystem } = contender
  const mounted = join(directory, 'mnt')
  const limit = MemoryLimit.make('seeder', load.memoryBytes)
  if (limit === undefined) throw new Error('there are no memory control groups here')
  const disk = await startDisk(scenario, backing)
  try {
    await prepare(contender, scenario, disk, mounted)
    // Downloaded, so that it lies as it comes to lie; but in no time.
    await disk.setDelay(false)
    const { torrents } = seeders
    const storage = filesystem === undefined ? disk.device : mounted
    const { parallel, cacheBytes } = scenario
    const dataDir = join(directory, 'client')
    const downloads = { storage, torrents, parallel, cacheBytes, dataDir }
    const start = (seed: boolean, within: readonly string[]) =>
      contender.client === 'seedbed'
        ? startNode(
            { ...downloads, folder: filesystem !== undefined, ...(seed ? { torrents: [] } : {}) },
            within,
          )
        : startLibtorrent(
            { ...downloads, ...(seed ? { parallel: torrents.length } : {}) },
            contender,
            seed,
            within,
          )
    const downloader = start(false, [])
    try {
      await allWhole(contender, downloader, LIMIT_MS)
      await end(contender, downloader, LIMIT_MS)
    } finally {
      await downloader.kill()
    }
    if (filesystem !== undefined) {
      unmountFilesystem(mounted)
      mountFilesystem(filesystem, disk.device, mounted)
    }
    await disk.setDelay(true)
    const seeder = start(true, limit.within)
    try {
      const { port } = await seeder.event('listening', LIMIT_MS)
      if (contender.client === 'libtorrent') await allWhole(contender, seeder, LIMIT_MS)
      const { leechers, joinMs } = load
      const child = startLeechers({ port: Number(port), torrents, leechers, joinMs, seed: 1 })
      try {
        await delay(systemClock, 1.5 * joinMs)
        const [before, statsBefore] = [await received(child), await disk.stats()]
        const cpuBefore = seeder.cpuSeconds()
        await delay(systemClock, load.windowMs)
        const [after, statsAfter] = [await received(child), await disk.stats()]
        const { seeks, readBytes, busyMs } = statsSince(statsBefore, statsAfter)
        return {
          bytes: after.bytes - before.bytes,
          seconds: (after.atMs - before.atMs) / 1000,
          unchoked: after.unchoked,
          seeks,
          readBytes,
          busyMs,
          cpuSeconds: seeder.cpuSeconds() - cpuBefore,
        }
      } finally {
        await child.kill()
      }
    } finally {
      await seeder.kill()
    }
  } finally {
    unmount(mounted)
    await disk.stop()
    await limit.remove()
  }
}
