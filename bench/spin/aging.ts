/**
 * Makes a volume old: filled with torrents of many sizes, a third of them removed at random, filled again,
 * round after round. Downloads go on side by side and write a run of stripes each in turn, which is what the
 * engine does (write-queue.ts). No payload is written: one sector of a block makes the volume allocate it.
 */
import { below, type Random } from '../../src/base/index.ts'
import type { MountedVolume, StoredTorrent } from '../../src/filesystem/index.ts'
import { buildInfo } from '../../src/metainfo/index.ts'

/** How a disk is filled; also where it holds files (disk/filesystems.ts). */
export const FILLING = {
  /** Sizes are uniform from 1 to this many blocks of 4 MiB. */
  largestBlocks: 200,
  atOnce: 10,
  runBlocks: 16,
} as const

interface Filling {
  readonly stored: StoredTorrent
  readonly blocks: number
  done: number
}

export async function ageVolume(
  volume: MountedVolume,
  random: Random,
  rounds: number,
  fullFraction: number,
): Promise<void> {
  const sector = new Uint8Array(volume.sectorBytes)
  const held: Uint8Array[] = []
  let made = 0
  const begin = async (blocks: number): Promise<Filling> => {
    const totalBytes = blocks * volume.blockBytes
    const info = buildInfo({
      name: `filling ${made++}`,
      multiFile: false,
      files: [{ path: ['filling'], bytes: totalBytes, padding: false }],
      pieceBytes: volume.blockBytes,
      pieceHashes: new Uint8Array(20 * blocks),
    })
    held.push(info.infoHash)
    return { stored: await volume.create(info, info.infoBytes), blocks, done: 0 }
  }
  const fill = async (): Promise<void> => {
    const { totalBlocks } = volume.stats()
    let room = volume.stats().freeBlocks - Math.floor(totalBlocks * (1 - fullFraction))
    const active: Filling[] = []
    for (;;) {
      while (active.length < FILLING.atOnce && room > 0) {
        const blocks = Math.min(1 + below(random, FILLING.largestBlocks), room)
        room -= blocks
        active.push(await begin(blocks))
      }
      if (active.length === 0) break
      const turn = below(random, active.length)
      const filling = active[turn]!
      const end = Math.min(filling.done + FILLING.runBlocks, filling.blocks)
      for (; filling.done < end; filling.done++) {
        await filling.stored.write(filling.done * volume.blockBytes, sector)
      }
      if (filling.done === filling.blocks) active.splice(turn, 1)
    }
    await volume.sync()
  }
  await fill()
  for (let round = 0; round < rounds; round++) {
    for (let i = Math.floor(held.length / 3); i > 0; i--) {
      const [gone] = held.splice(below(random, held.length), 1)
      await volume.remove(gone!)
    }
    await volume.sync()
    await fill()
  }
}
