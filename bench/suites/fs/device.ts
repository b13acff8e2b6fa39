/** What needs a real device: sequential fill, random reads, create and unlink. */
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { below, seededRandom, systemClock } from '../../../src/base/index.ts'
import {
  allocateAligned,
  type BlockDevice,
  openFileDevice,
} from '../../../src/block-device/index.ts'
import { formatVolume, type MountedVolume, mountVolume } from '../../../src/filesystem/index.ts'
import { attachLoop } from '../../../test/block-device/loop.ts'
import { interleave } from '../../statistics.ts'
import { lineOf, type SuiteContext } from '../../suite.ts'
import { BLOCK_BYTES, formatOptions, GIB, MIB, madeTorrent, mountOptions } from './common.ts'

const CHUNK_BYTES = 16_384
const DEPTH = 32
const FILL_RATIO_TARGET = 0.9
const PIECE_BYTES = MIB

interface Place {
  readonly context: SuiteContext
  readonly path: string
  /** Of data that is written and read. */
  readonly dataBytes: number
  readonly rounds: number
}

export async function benchDevice(context: SuiteContext): Promise<void> {
  const dataBytes = context.quick ? 256 * MIB : 2 * GIB
  const image = join(context.directory, 'device.img')
  // Written before: what the filesystem beneath spends on allocating it is not what is measured.
  const args = ['if=/dev/zero', `of=${image}`, 'bs=4M', `count=${dataBytes / BLOCK_BYTES + 16}`]
  execFileSync('dd', [...args, 'conv=fsync'], { stdio: 'pipe' })
  const loop = attachLoop(image, 4096)
  if (loop === undefined)
    context.log('no loop device (needs root and losetup): an image file instead')
  const rounds = context.quick ? 1 : 5
  const place: Place = { context, path: loop?.path ?? image, dataBytes, rounds }
  try {
    await benchFill(place)
    await benchReads(place)
    await benchCreate(place)
  } finally {
    loop?.detach()
  }
}

async function freshVolume(path: string): Promise<MountedVolume> {
  const device = await openFileDevice(path)
  await formatVolume(device, formatOptions())
  return mountVolume(device, mountOptions())
}

/** One torrent, written from its first stripe to its last and marked as held; the volume stays open. */
async function fill(place: Place): Promise<{ volume: MountedVolume; elapsedMs: number }> {
  const volume = await freshVolume(place.path)
  const made = madeTorrent(1, place.dataBytes, PIECE_BYTES)
  const stored = await volume.create(made, made.info)
  const stripe = allocateAligned(BLOCK_BYTES)
  seededRandom(3).fill(stripe)
  const begunMs = systemClock.monotonicMs()
  for (let at = 0; at < place.dataBytes; at += BLOCK_BYTES) {
    await stored.write(at, stripe)
    for (let piece = at / PIECE_BYTES; piece < (at + BLOCK_BYTES) / PIECE_BYTES; piece++) {
      stored.markHave(piece)
    }
  }
  await volume.sync()
  return { volume, elapsedMs: systemClock.monotonicMs() - begunMs }
}

async function benchFill(place: Place): Promise<void> {
  const { context, dataBytes } = place
  const rate = (elapsedMs: number): number => dataBytes / 1000 / elapsedMs
  const ours = async (): Promise<number> => {
    const { volume, elapsedMs } = await fill(place)
    await volume.close()
    return rate(elapsedMs)
  }
  const dd = async (): Promise<number> => {
    const count = `count=${dataBytes / BLOCK_BYTES}`
    const args = ['if=/dev/zero', `of=${place.path}`, 'bs=4M', count, 'oflag=direct']
    const begunMs = systemClock.monotonicMs()
    execFileSync('dd', [...args, 'conv=notrunc,fdatasync'], { stdio: 'pipe' })
    return rate(systemClock.monotonicMs() - begunMs)
  }
  const fio = fioOf(place, 'fill')
  const results = await interleave<'seedbed' | 'dd' | 'fio', number>(
    [['seedbed', ours], ['dd', dd], ...fio.contenders],
    place.rounds,
    (name, round, value) => context.log(`fill, round ${round}: ${name} ${value.toFixed(0)} MB/s`),
  )
  const values = results.get('seedbed')!
  const line = { suite: 'fs', name: 'fill', unit: 'MB/s', better: 'more', values } as const
  const note = `one stripe of 4 MiB at a time, O_DIRECT, synced at the end; the ratio should reach ${FILL_RATIO_TARGET}`
  const version = execFileSync('dd', ['--version'], { encoding: 'utf8' }).split('\n')[0]!
  context.report(lineOf({ ...line, note }, { peer: version, values: results.get('dd')! }))
  context.report(lineOf(line, { peer: fio.version, values: results.get('fio') }))
}

async function benchReads(place: Place): Promise<void> {
  const { context, dataBytes } = place
  const { volume } = await fill(place)
  const stored = [...volume.torrents()][0]!
  const count = context.quick ? 4_000 : 40_000
  const rate = async (
    read: (offset: number, target: Uint8Array) => Promise<void>,
  ): Promise<number> => {
    const random = seededRandom(4)
    let left = count
    const begunMs = systemClock.monotonicMs()
    const reader = async (): Promise<void> => {
      const target = allocateAligned(CHUNK_BYTES)
      while (left-- > 0) await read(below(random, dataBytes / CHUNK_BYTES) * CHUNK_BYTES, target)
    }
    await Promise.all(Array.from({ length: DEPTH }, reader))
    return (count / (systemClock.monotonicMs() - begunMs)) * 1000
  }
  // The device as the volume has it open, under the filesystem.
  const { device } = volume as MountedVolume & { readonly device: BlockDevice }
  const fio = fioOf(place, 'random-reads')
  const results = await interleave<'volume' | 'device' | 'fio', number>(
    [
      ['volume', () => rate((offset, target) => stored.read(offset, target))],
      ['device', () => rate((offset, target) => device.read(offset, target))],
      ...fio.contenders,
    ],
    place.rounds,
    (name, round, value) =>
      context.log(`random reads, round ${round}: ${name} ${value.toFixed(0)}/s`),
  )
  await volume.close()
  const values = results.get('volume')!
  const threads = process.env.UV_THREADPOOL_SIZE ?? '4 (default)'
  const note = `16 KiB, ${DEPTH} at a time; threads of libuv that issue them: ${threads}`
  const line = { suite: 'fs', name: 'random-reads', unit: '1/s', better: 'more', values } as const
  const peer = 'the device without the filesystem'
  context.report(lineOf({ ...line, note }, { peer, values: results.get('device')! }))
  context.report(lineOf(line, { peer: fio.version, values: results.get('fio') }))
}

async function benchCreate({ context, path, rounds }: Place): Promise<void> {
  const torrents = context.quick ? 50 : 500
  const creates: number[] = []
  const removes: number[] = []
  for (let round = 0; round < rounds; round++) {
    const volume = await freshVolume(path)
    const made = Array.from({ length: torrents }, (_, i) => madeTorrent(i, 100 * MIB, MIB))
    const begunMs = systemClock.monotonicMs()
    for (const each of made) await volume.create(each, each.info)
    const createdMs = systemClock.monotonicMs()
    for (const each of made) await volume.remove(each.infoHash)
    creates.push((torrents / (createdMs - begunMs)) * 1000)
    removes.push((torrents / (systemClock.monotonicMs() - createdMs)) * 1000)
    await volume.close()
  }
  const common = { suite: 'fs', unit: '1/s', better: 'more' } as const
  const note = 'one after the other, each durable: two flushes'
  context.report(lineOf({ ...common, name: 'create', values: creates, note }))
  context.report(lineOf({ ...common, name: 'unlink', values: removes, note }))
}

interface Fio {
  readonly version: string
  /** None where it is not installed. */
  readonly contenders: readonly (readonly ['fio', () => Promise<number>])[]
}

/** The same by fio. */
function fioOf(place: Place, what: 'fill' | 'random-reads'): Fio {
  const version = spawnSync('fio', ['--version'], { encoding: 'utf8' })
  if (version.status !== 0) return { version: 'fio', contenders: [] }
  const reads = ['--rw=randread', `--bs=${CHUNK_BYTES}`, `--iodepth=${DEPTH}`]
  const job =
    what === 'fill'
      ? ['--rw=write', '--bs=4M', '--iodepth=1', '--end_fsync=1']
      : [...reads, '--runtime=5', '--time_based']
  const args = ['--name=bench', `--filename=${place.path}`, `--size=${place.dataBytes}`, ...job]
  const run = async (): Promise<number> => {
    const options = ['--direct=1', '--ioengine=libaio', '--output-format=json']
    const out = execFileSync('fio', [...args, ...options], { encoding: 'utf8' })
    const [result] = (JSON.parse(out) as { jobs: { write: FioFigure; read: FioFigure }[] }).jobs
    return what === 'fill' ? result!.write.bw_bytes / 1e6 : result!.read.iops
  }
  return { version: version.stdout.trim(), contenders: [['fio', run]] }
}

interface FioFigure {
  readonly bw_bytes: number
  readonly iops: number
}
