/** Bytes of metadata that a download of 1 GiB writes: counted, so exact, and the same on any machine. */
import { allocateAligned, MemoryDevice } from '../../../src/block-device/index.ts'
import { formatVolume, mountVolume } from '../../../src/filesystem/index.ts'
import { lineOf, type SuiteContext } from '../../suite.ts'
import { formatOptions, GIB, MIB, madeTorrent, mountOptions, Tap } from './common.ts'

const PIECE_BYTES = 256 * 1024
const SYNC_EVERY_S = 5
const TARGET_MIB = 1

export async function benchMetadata(context: SuiteContext): Promise<void> {
  for (const rateMib of [100, 10, 1]) {
    for (const order of ['in order', 'at random'] as const) {
      const { mib, syncs } = await download(rateMib * SYNC_EVERY_S, order)
      context.report(
        lineOf({
          suite: 'fs',
          name: `metadata-${rateMib}${order === 'in order' ? '' : '-random'}`,
          unit: 'MiB/GiB',
          better: 'less',
          values: [mib],
          target: TARGET_MIB,
          note: `pieces of 256 KiB ${order} at ${rateMib} MiB/s, a sync every ${SYNC_EVERY_S} s: ${syncs} syncs`,
        }),
      )
    }
  }
}

async function download(
  mibPerSync: number,
  order: 'in order' | 'at random',
): Promise<{ mib: number; syncs: number }> {
  const tap = new Tap(new MemoryDevice({ sizeBytes: 2 * GIB }))
  await formatVolume(tap, formatOptions())
  const volume = await mountVolume(tap, mountOptions())
  const made = madeTorrent(1, GIB, PIECE_BYTES)
  const before = tap.writtenBytes
  const stored = await volume.create(made, made.info)
  const data = allocateAligned(PIECE_BYTES)
  const pieces = GIB / PIECE_BYTES
  const perSync = (mibPerSync * MIB) / PIECE_BYTES
  let syncs = 0
  for (let done = 0; done < pieces; done++) {
    // An odd factor visits every piece of a power of two once, far from the one before.
    const piece = order === 'in order' ? done : (done * 1597) % pieces
    tap.dropping = true
    await stored.write(piece * PIECE_BYTES, data)
    tap.dropping = false
    stored.markHave(piece)
    stored.downloadedBytes += PIECE_BYTES
    if ((done + 1) % perSync === 0) {
      await volume.sync()
      syncs++
    }
  }
  await volume.close()
  return { mib: (tap.writtenBytes - before) / MIB, syncs }
}
