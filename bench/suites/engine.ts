/**
 * Suite `engine`: what the engine moves over loopback when storage is memory, and what it costs: as a
 * downloader from one seeder and from ten, as a seeder to one peer and to fifty; the memory of idle torrents
 * and of connections. Method: bench/README.md.
 */
import { peerVersion } from '../../test/interop/peers/presence.ts'
import type { Suite } from '../suite.ts'
import { benchLoopback } from './engine/loopback.ts'
import { benchMemory } from './engine/memory.ts'
import { inMemory } from './engine/ram.ts'
import { benchSeeding } from './engine/seeding.ts'

export const engine: Suite = {
  name: 'engine',
  about: 'download and seed over loopback from memory; memory of idle torrents and connections',
  parts: ['memory', 'seed', 'download', 'download-10x'],
  async run(context) {
    if (peerVersion('libtorrent') === undefined) {
      context.log('libtorrent is not installed: figures without a peer')
    }
    await inMemory(context, async (bench) => {
      await bench.warmUp()
      if (context.runs('memory')) await benchMemory(bench)
      if (context.runs('seed')) await benchSeeding(bench)
      await benchLoopback(bench)
    })
  },
}
