/**
 * Suite `engine`: what the engine moves over loopback when storage is memory, and what it costs: as a
 * downloader from one seeder and from ten, as a seeder to one peer and to fifty; the memory of idle torrents.
 * When they are named, downloads to a disk that spins and seeding from it, against other clients on
 * ext4 and XFS. Method: bench/README.md.
 */
import { peerVersion } from '../../test/interop/peers/presence.ts'
import type { Suite } from '../suite.ts'
import { benchDisk } from './engine/disk.ts'
import { benchDiskSeed } from './engine/disk-seed.ts'
import { benchLoopback } from './engine/loopback.ts'
import { benchMemory } from './engine/memory.ts'
import { inMemory } from './engine/ram.ts'
import { benchSeeding } from './engine/seeding.ts'

const IN_MEMORY = ['memory', 'seed', 'download', 'download-10x']

export const engine: Suite = {
  name: 'engine',
  about: 'download and seed over loopback from memory; memory of idle torrents',
  parts: [...IN_MEMORY, 'disk', 'disk-seed'],
  async run(context) {
    if (peerVersion('libtorrent') === undefined) {
      context.log('libtorrent is not installed: figures without a peer')
    }
    if (context.named('disk')) await benchDisk(context)
    if (context.named('disk-seed')) await benchDiskSeed(context)
    if (!IN_MEMORY.some((part) => context.runs(part))) return
    await inMemory(context, async (bench) => {
      await bench.warmUp()
      if (context.runs('memory')) await benchMemory(bench)
      if (context.runs('seed')) await benchSeeding(bench)
      await benchLoopback(bench)
    })
  },
}
