/**
 * Mount of many complete torrents, in a process of its own for each mount: `node mount.js IMAGE` mounts
 * once and prints what it took. The image is in the page cache and read through it.
 */
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../../src/base/index.ts'
import { openFileDevice } from '../../../src/block-device/index.ts'
import { formatVolume, mountVolume } from '../../../src/filesystem/index.ts'
import { lineOf, type SuiteContext } from '../../suite.ts'
import { BLOCK_BYTES, formatOptions, MIB, madeTorrent, mountOptions, Tap } from './common.ts'

const TORRENT_BYTES = 100 * MIB
const TARGET_S = 2

interface Mounted {
  readonly torrents: number
  readonly elapsedS: number
  /** Live after a collection, on V8's heap and beside it. */
  readonly heapBytes: number
}

export async function benchMount(context: SuiteContext): Promise<void> {
  const counts = context.quick ? [1_000, 10_000] : [1_000, 10_000, 100_000]
  for (const torrents of counts) {
    const image = join(context.directory, 'mount.img')
    await build(image, torrents, context)
    const runs = Array.from({ length: context.quick ? 2 : 6 }, () => mountOnce(image)).slice(1)
    rmSync(image)
    const common = { suite: 'fs', better: 'less' } as const
    context.report(
      lineOf({
        ...common,
        name: `mount-${torrents}`,
        unit: 's',
        values: runs.map((run) => run.elapsedS),
        ...(torrents === 100_000 ? { target: TARGET_S } : {}),
        note: 'complete torrents of 100 MiB; image in the page cache',
      }),
    )
    const values = runs.map((run) => run.heapBytes / run.torrents)
    context.report(
      lineOf({ ...common, name: `memory-${torrents}`, unit: 'bytes a torrent', values }),
    )
  }
}

function mountOnce(image: string): Mounted {
  const program = fileURLToPath(import.meta.url)
  const args = ['--expose-gc', program, image]
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as Mounted
}

/** Every block of every torrent is allocated, none is written: mount reads metadata only. */
async function build(image: string, torrents: number, context: SuiteContext): Promise<void> {
  const blocks = torrents * (TORRENT_BYTES / BLOCK_BYTES) + 1024
  const file = await openFileDevice(image, {
    create: { bytes: blocks * BLOCK_BYTES },
    direct: false,
  })
  const tap = new Tap(file, { noFlush: true })
  await formatVolume(tap, formatOptions())
  const volume = await mountVolume(tap, mountOptions())
  const sector = new Uint8Array(512)
  for (let number = 0; number < torrents; number++) {
    const made = madeTorrent(number, TORRENT_BYTES, MIB)
    const staged = volume.stage(made.totalBytes, made.pieceBytes)
    tap.dropping = true
    for (let at = 0; at < made.totalBytes; at += BLOCK_BYTES) await staged.write(at, sector)
    tap.dropping = false
    await staged.commit(made.infoHash, made.info)
  }
  await volume.close()
  context.log(`mount: ${torrents} torrents made`)
}

async function measure(image: string): Promise<Mounted> {
  const collect = (globalThis as { gc?: () => void }).gc!
  const liveBytes = (): number => {
    collect()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return heapUsed + arrayBuffers
  }
  const before = liveBytes()
  const begunMs = systemClock.monotonicMs()
  const volume = await mountVolume(await openFileDevice(image, { direct: false }), mountOptions())
  const elapsedS = (systemClock.monotonicMs() - begunMs) / 1000
  const mounted = {
    torrents: volume.stats().torrents,
    elapsedS,
    heapBytes: liveBytes() - before,
  }
  await volume.close()
  return mounted
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(JSON.stringify(await measure(process.argv[2]!)))
}
