/**
 * How the allocators age: a volume is filled with torrents of random sizes, half of them are removed at
 * random, it is filled again, ten times; then where the writes of the last filling went. No data is
 * moved: the order of places is all that is asked.
 */
import { below, seededRandom } from '../../../src/base/index.ts'
import { MemoryDevice } from '../../../src/block-device/index.ts'
import {
  type AllocatorKind,
  formatVolume,
  type MountedVolume,
  mountVolume,
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

export async function benchAging(context: SuiteContext): Promise<void> {
  const sizeBytes = context.quick ? 16 * GIB : 256 * GIB
  const cycles = context.quick ? 2 : 10
  for (const allocator of ['sequential', 'ordered'] as const) {
    const places = await age(allocator, sizeBytes, cycles)
    const share = (holds: (step: number) => boolean): number => {
      const steps = places.slice(1).map((place, i) => (place - places[i]!) / BLOCK_BYTES)
      return (100 * steps.filter(holds).length) / steps.length
    }
    const common = { suite: 'fs', unit: '% of blocks', better: 'more' } as const
    const note = `${sizeBytes / GIB} GiB in blocks of 4 MiB, filled ${cycles + 1} times; the last filling`
    const adjacent = [share((step) => step === 1)]
    const forward = [share((step) => step >= 1 && step <= 64)]
    context.report(
      lineOf({
        ...common,
        name: `aged-${allocator}-next`,
        values: adjacent,
        note: `${note}: the block behind the last one`,
      }),
    )
    context.report(
      lineOf({
        ...common,
        name: `aged-${allocator}-forward`,
        values: forward,
        note: `${note}: at most 256 MiB forward`,
      }),
    )
  }
}

/** Places of the writes of the last filling, in order. */
async function age(allocator: AllocatorKind, sizeBytes: number, cycles: number): Promise<number[]> {
  const random = seededRandom(5)
  const tap = new Tap(new MemoryDevice({ sizeBytes }))
  let places: number[] = []
  tap.onDropped = (place) => places.push(place)
  await formatVolume(tap, formatOptions())
  const volume = await mountVolume(tap, mountOptions({ allocator }))
  let held: Made[] = []
  let next = 0
  const fillUp = async (): Promise<void> => {
    for (;;) {
      const blocks = 1 + below(random, LARGEST_BLOCKS)
      if (volume.stats().freeBlocks < blocks + 8) return
      held.push(await put(volume, tap, next++, blocks))
    }
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
  await volume.close()
  return places
}

async function put(volume: MountedVolume, tap: Tap, number: number, blocks: number): Promise<Made> {
  const made = madeTorrent(number, blocks * BLOCK_BYTES, MIB)
  const stored = await volume.create(made, made.info)
  const sector = new Uint8Array(512)
  tap.dropping = true
  for (let at = 0; at < made.totalBytes; at += BLOCK_BYTES) await stored.write(at, sector)
  tap.dropping = false
  await volume.sync()
  return made
}
