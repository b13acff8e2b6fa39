/** ext4 and XFS on a simulated disk: made, mounted, aged, unmounted. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { below, type Random } from '../../src/base/index.ts'
import { FILLING } from '../spin/aging.ts'
import { unmount } from './simulated-disk.ts'

export type Filesystem = 'ext4' | 'xfs'

const BLOCK_BYTES = 4 * 2 ** 20
/** Nothing that runs behind the back of what is measured; what is freed needs no telling. */
const MAKE: Readonly<Record<Filesystem, readonly [string, ...string[]]>> = {
  ext4: ['mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=1,lazy_journal_init=1,nodiscard'],
  xfs: ['mkfs.xfs', '-q', '-f', '-K'],
}
const MOUNT: Readonly<Record<Filesystem, string>> = {
  ext4: 'noinit_itable',
  xfs: 'defaults',
}

export function canMake(filesystem: Filesystem): boolean {
  return spawnSync(MAKE[filesystem][0], ['-V'], { stdio: 'ignore' }).status === 0
}

export function makeFilesystem(filesystem: Filesystem, device: string): void {
  const [command, ...words] = MAKE[filesystem]
  execFileSync(command, [...words, device], { stdio: 'pipe' })
}

export function mountFilesystem(filesystem: Filesystem, device: string, place: string): void {
  mkdirSync(place, { recursive: true })
  execFileSync('mount', ['-t', filesystem, '-o', MOUNT[filesystem], device, place], {
    stdio: 'pipe',
  })
}

/** Returns when all that was dirty is on the disk. */
export function unmountFilesystem(place: string): void {
  execFileSync('sync', ['-f', place])
  unmount(place)
}

/**
 * As `ageVolume`, with files: filled with files of many sizes, a third of them removed at random, filled again,
 * round after round; ten grow side by side, by runs. Nothing is written: fallocate takes room in one
 * stretch where there is one, which is kinder to the filesystem than what a client does.
 */
export function ageFilesystem(
  place: string,
  random: Random,
  rounds: number,
  fullFraction: number,
): void {
  const held: string[] = []
  let made = 0
  const fill = (): void => {
    const { bavail, blocks, bsize } = statfsSync(place)
    const freeBlocks = Math.floor((bavail * bsize) / BLOCK_BYTES)
    const totalBlocks = Math.floor((blocks * bsize) / BLOCK_BYTES)
    let room = freeBlocks - Math.floor(totalBlocks * (1 - fullFraction))
    const active: { path: string; blocks: number; done: number }[] = []
    for (;;) {
      while (active.length < FILLING.atOnce && room > 0) {
        const blocks = Math.min(1 + below(random, FILLING.largestBlocks), room)
        room -= blocks
        const path = join(place, `filling ${made++}`)
        held.push(path)
        active.push({ path, blocks, done: 0 })
      }
      if (active.length === 0) return
      const turn = below(random, active.length)
      const filling = active[turn]!
      const run = Math.min(FILLING.runBlocks, filling.blocks - filling.done)
      const offset = `${filling.done * BLOCK_BYTES}`
      execFileSync('fallocate', ['-o', offset, '-l', `${run * BLOCK_BYTES}`, filling.path])
      filling.done += run
      if (filling.done === filling.blocks) active.splice(turn, 1)
    }
  }
  fill()
  for (let round = 0; round < rounds; round++) {
    for (let i = Math.floor(held.length / 3); i > 0; i--) {
      const [gone] = held.splice(below(random, held.length), 1)
      rmSync(gone!)
    }
    execFileSync('sync', ['-f', place])
    fill()
  }
}
