/**
 * What an idle torrent costs in memory: resident bytes of `seedbed up` with them, less those
 * of one without, by their number. The torrents are whole as far as anybody can tell (1 GiB in 1,024 pieces each,
 * noted in a folder of ordinary files; their files are not looked at before somebody asks). What connections cost is in suite `swarm`.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '../../../src/base/index.ts'
import { buildInfo } from '../../../src/metainfo/index.ts'
import { encodeAttributes } from '../../../src/node/index.ts'
import { openPlainFolder } from '../../../src/plain-files/index.ts'
import type { Child } from '../../../test/interop/peers/child.ts'
import { drain, up } from '../../../test/interop/peers/seedbed.ts'
import { lineOf } from '../../suite.ts'
import type { PathBench } from '../path/setup.ts'

const HOST = '127.0.0.1'
const PIECES = 1024
/** For announces to be answered, and garbage to be collected. */
const SETTLE_MS = 10_000

export async function benchMemory(bench: PathBench): Promise<void> {
  const count = bench.context.quick ? 500 : 10_000
  const full = await bench.fresh('idle')
  await fill(full, count)
  const rounds = bench.context.quick ? 1 : 3
  const values: number[] = []
  const seconds: number[] = []
  for (let round = 0; round < rounds; round++) {
    const bare = await resident(bench, await bench.fresh('idle-none'))
    const { bytes, readySeconds } = await resident(bench, full)
    values.push((bytes - bare.bytes) / count)
    seconds.push(readySeconds)
    bench.context.log(
      `${count} idle torrents: ${bytes} bytes resident, ${bare.bytes} without, ready in ${readySeconds.toFixed(1)} s`,
    )
  }
  const common = { suite: 'engine', better: 'less', note: `of ${count}` } as const
  bench.context.report(lineOf({ ...common, name: 'idle-torrent', unit: 'bytes', values }))
  bench.context.report(
    lineOf({
      ...common,
      name: 'idle-start',
      unit: 's',
      values: seconds,
      note: `${count} torrents`,
    }),
  )
}

async function fill(directory: string, count: number): Promise<void> {
  const folder = await openPlainFolder(directory, { clock: systemClock })
  const pieceHashes = new Uint8Array(20 * PIECES)
  for (let i = 0; i < count; i++) {
    new DataView(pieceHashes.buffer).setUint32(0, i)
    const info = buildInfo({
      name: `idle ${i}`,
      multiFile: false,
      files: [{ path: ['content'], bytes: PIECES * 2 ** 20, padding: false }],
      pieceBytes: 2 ** 20,
      pieceHashes,
    })
    const stored = await folder.create(info, info.infoBytes, encodeAttributes({ trackers: [] }))
    for (let piece = 0; piece < PIECES; piece++) stored.markHave(piece)
  }
  await folder.close()
}

async function resident(
  bench: PathBench,
  files: string,
): Promise<{ bytes: number; readySeconds: number }> {
  const data = await bench.fresh('memory-data')
  const startMs = systemClock.monotonicMs()
  const { child } = await up({ data, host: HOST, more: ['--files', files] })
  const readySeconds = (systemClock.monotonicMs() - startMs) / 1000
  await delay(SETTLE_MS)
  const bytes = residentBytes(child)
  await drain(child)
  return { bytes, readySeconds }
}

function residentBytes(child: Child): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
}
