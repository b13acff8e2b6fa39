/**
 * How the allocators age: a volume is filled with torrents of random sizes, several at a time as a
 * node downloads them; half of them are removed at random, it is filled again, ten times. `aged` is where
 * the writes of the last filling went; `churn` where those of one more filling went during which a torrent
 * is removed whenever there is no room. No data is moved: the order of places is all that is asked.
 */
import { below, seededRandom } from '../../../src/base/index.ts'
import { MemoryDevice } from '../../../src/block-device/index.ts'
import {
  type AllocatorKind,
  formatVolume,
  mountVolume,
  type StoredTorrent,
} from '../../../src/filesystem/index.ts'
import { lineOf, type SuiteContext } from '../../suite.ts'
import {
  BLOCK_BYTES,
  formatOptions,
  GIB,
  type Made,
  MIB,
  madeTorrent,
  mountOptions,
  Tap,
} from './common.ts'

const LARGEST_BLOCKS = 200
const FORWARD_BLOCKS = 64
/** Downloads that go on side by side: their blocks come to lie between each other's. */
const AT_ONCE = 8

interface Download {
  readonly stored: StoredTorrent
  readonly blocks: number
  done: number
}

export async function benchAging(context: SuiteContext): Promise<void> {
  const sizeBytes = context.quick ? 16 * GIB : 256 * GIB
  const cycles = context.quick ? 2 : 10
  for (const allocator of ['sequential', 'ordered'] as const) {
    const { aged, churn } = await age(allocator, sizeBytes, cycles)
    const filled = `${sizeBytes / GIB} GiB in blocks of 4 MiB, filled ${cycles + 1} times`
    for (const [name, places] of Object.entries({ aged, churn })) {
      const share = (stepMax: number): number => {
        const steps = places.slice(1).map((place, i) => (place - places[i]!) / BLOCK_BYTES)
        return (100 * steps.filter((step) => step >= 1 && step <= stepMax).length) / steps.length
      }
      const report = (what: string, stepMax: number, note: string): void =>
        context.report(
          lineOf({
            suite: 'fs',
            unit: '% of blocks',
            better: 'more',
            name: `${name}-${allocator}-${what}`,
            values: [share(stepMax)],
            note: `${filled}; ${note}`,
          }),
        )
      report('next', 1, 'the block behind the one written last')
      report('forward', FORWARD_BLOCKS, 'at most 256 MiB forward of it')
    }
  }
}

/** Places of the writes of the last two fillings, in order. */
async function age(
  allocator: AllocatorKind,
  sizeBytes: number,
  cycles: number,
): Promise<{ aged: number[]; churn: number[] }> {
  const random = seededRandom(5)
  const sector = new Uint8Array(512)
  const tap = new Tap(new MemoryDevice({ sizeBytes }))
  let places: number[] = []
  tap.onDropped = (place) => places.push(place)
  await formatVolume(tap, formatOptions())
  const volume = await mountVolume(tap, mountOptions({ allocator }))
  let held: Made[] = []
  let next = 0
  /** Until it is full; or, making room, until `blocksMin` blocks were written. */
  const fillUp = async (blocksMin = 0): Promise<void> => {
    const active: Download[] = []
    let spoken = 0
    for (;;) {
      while (active.length < AT_ONCE) {
        const blocks = 1 + below(random, LARGEST_BLOCKS)
        const hasRoom = (): boolean => volume.stats().freeBlocks - spoken >= blocks + 8
        while (!hasRoom() && places.length < blocksMin) {
          const index = below(random, held.length)
          if (active.some(({ stored }) => stored === volume.get(held[index]!.infoHash))) continue
          const [gone] = held.splice(index, 1)
          await volume.remove(gone!.infoHash)
          await volume.sync()
        }
        if (!hasRoom()) break
        spoken += blocks
        const made = madeTorrent(next++, blocks * BLOCK_BYTES, MIB)
        held.push(made)
        active.push({ stored: await volume.create(made, made.info), blocks, done: 0 })
      }
      if (active.length === 0) break
      const turn = below(random, active.length)
      const download = active[turn]!
      tap.dropping = true
      await download.stored.write(download.done++ * BLOCK_BYTES, sector)
      tap.dropping = false
      spoken--
      if (download.done === download.blocks) active.splice(turn, 1)
    }
    await volume.sync()
  }
  await fillUp()
  for (let cycle = 0; cycle < cycles; cycle++) {
    const kept: Made[] = []
    for (const made of held) {
      if (below(random, 2) === 0) kept.push(made)
      else await volume.remove(made.infoHash)
    }
    await volume.sync()
    held = kept
    places = []
    await fillUp()
  }
  const aged = places
  places = []
  await fillUp(sizeBytes / BLOCK_BYTES)
  await volume.close()
  return { aged, churn: places }
}
