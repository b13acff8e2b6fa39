/**
 * The article's benchmark in virtual time: the real engine and the real filesystem on a disk that is a model
 * (disk-model.ts), fed by partial seeders (seeders.ts) faster than the disk can write. Everything is
 * deterministic: one scenario has one result.
 *
 * What is told of a download goes from adding the first torrent until the last one is complete, which
 * means synced. `limit` is the time of the same payload in one sequential stream.
 */
import { ManualClock, type Random, seededRandom, silentLogger } from '../../src/base/index.ts'
import { DISK_7200, DiskModel, SpinningDevice } from '../../src/block-device/index.ts'
import { type EngineTorrent, startEngine } from '../../src/engine/index.ts'
import { formatVolume, type MountedVolume, mountVolume } from '../../src/filesystem/index.ts'
import type { TorrentInfo } from '../../src/metainfo/index.ts'
import { ageVolume } from './aging.ts'
import { payloadTorrent } from './payload.ts'
import { PayloadDevice } from './payload-device.ts'
import type { Access } from './picture.ts'
import { readInOrder } from './read-back.ts'
import { Seeders } from './seeders.ts'

const MIB = 1024 * 1024

export interface Scenario {
  readonly name: string
  readonly torrents: number
  readonly torrentBytes: number
  readonly pieceBytes: number
  /** Downloads at a time. */
  readonly parallel: number
  readonly cacheBytes: number
  readonly diskBytes: number
  /** 32, or 1 for a disk without an elevator. */
  readonly queueDepth: number
  /** Rounds of deleting and refilling before, up to 90 %; 0 for a fresh disk. */
  readonly agingRounds: number
  readonly seed: number
}

export const SCALED: Omit<Scenario, 'name'> = {
  torrents: 25,
  torrentBytes: 128 * MIB,
  pieceBytes: 256 * 1024,
  parallel: 10,
  cacheBytes: 128 * MIB,
  diskBytes: 8192 * MIB,
  queueDepth: 32,
  agingRounds: 0,
  seed: 1,
}

export interface DiskFigures {
  readonly seconds: number
  /** Of the raw sequential limit. */
  readonly fraction: number
  readonly seeks: number
  readonly seeksPerGib: number
  /** Milliseconds in which the head was moving or transferring. */
  readonly busyFraction: number
}

export interface ScenarioResult {
  readonly write: DiskFigures & {
    readonly dataWrites: number
    readonly meanDataWriteBytes: number
    readonly otherWrites: number
    readonly meanWriteBytes: number
  }
  /** All torrents, one after the other, in file order, after the caches were dropped. */
  readonly read: DiskFigures
  /** Every request of the download, in the order of the head. */
  readonly accesses: readonly Access[]
}

/** Writes of metadata are smaller. */
const DATA_BYTES = 128 * 1024

export async function runScenario(scenario: Scenario): Promise<ScenarioResult> {
  const clock = new ManualClock(1_000)
  const random = seededRandom(scenario.seed)
  const payload = new PayloadDevice(scenario.diskBytes)
  const storage = { clock, random }
  await formatVolume(payload, storage)
  if (scenario.agingRounds > 0) {
    const young = await mountVolume(payload, storage)
    await ageVolume(young, random, scenario.agingRounds, 0.9)
    await young.close()
  }
  const model = (): DiskModel =>
    new DiskModel({ ...DISK_7200, sizeBytes: scenario.diskBytes }, seededRandom(scenario.seed + 1))
  const spin = (): SpinningDevice =>
    new SpinningDevice({ device: payload, model: model(), clock, queueDepth: scenario.queueDepth })

  const device = spin()
  const volume = await settled(clock, mountVolume(device, storage))
  const accesses: Access[] = []
  device.onServed = (kind, offset, bytes) => {
    accesses.push({ ms: clock.monotonicMs() - startMs, kind, offset, bytes })
  }
  const infos: TorrentInfo[] = []
  for (let i = 0; i < scenario.torrents; i++) {
    infos.push(payloadTorrent(i, scenario.torrentBytes, scenario.pieceBytes))
  }
  const before = snapshot(device.model)
  const startMs = clock.monotonicMs()
  await download(scenario, clock, random, volume, infos)
  const writeMs = clock.monotonicMs() - startMs
  const writes = accesses.filter(({ kind }) => kind === 'write')
  const data = writes.filter(({ bytes }) => bytes >= DATA_BYTES)
  const sum = (some: readonly Access[]): number => some.reduce((all, { bytes }) => all + bytes, 0)
  const payloadBytes = scenario.torrents * scenario.torrentBytes
  const write = {
    ...figures(device.model, before, payloadBytes, writeMs),
    dataWrites: data.length,
    meanDataWriteBytes: sum(data) / data.length,
    otherWrites: writes.length - data.length,
    meanWriteBytes: sum(writes) / writes.length,
  }
  await settled(clock, volume.close())

  const cold = spin()
  const again = await settled(clock, mountVolume(cold, { ...storage, readOnly: true }))
  const readBefore = snapshot(cold.model)
  const readStartMs = clock.monotonicMs()
  await settled(clock, readBack(again, infos))
  const read = figures(cold.model, readBefore, payloadBytes, clock.monotonicMs() - readStartMs)
  await settled(clock, again.close())
  return { write, read, accesses }
}

async function download(
  scenario: Scenario,
  clock: ManualClock,
  random: Random,
  volume: MountedVolume,
  infos: readonly TorrentInfo[],
): Promise<void> {
  const { parallel, seed } = scenario
  const seeders = new Seeders({
    clock,
    count: 5,
    share: 0.5,
    // One torrent alone could fill the disk: the network is never what one waits for.
    bytesPerMs: 40_000,
    seed,
  })
  for (const [i, info] of infos.entries()) seeders.shares.add(i, info)
  const engine = await startEngine({
    volume,
    network: seeders.network,
    clock,
    random: seededRandom(random.uint32()),
    logger: silentLogger,
    peerPort: 6881,
    bind: ['0.0.0.0'],
    cacheBytes: scenario.cacheBytes,
    maxConnections: 2_000,
  })
  let next = 0
  let complete = 0
  let failed: Error | undefined
  const add = (): void => {
    const info = infos[next++]
    if (info === undefined) return
    engine.add(info, { trackers: [], peers: seeders.peers }).then(
      (torrent: EngineTorrent) => {
        torrent.on('complete', () => {
          complete++
          add()
        })
        torrent.on('failed', (error) => {
          failed = error
        })
      },
      (error: Error) => {
        failed = error
      },
    )
  }
  for (let i = 0; i < parallel; i++) add()
  await turn(clock, () => {
    if (failed !== undefined) throw failed
    return complete === infos.length
  })
  // Settled in the same virtual moment: what follows is not part of the download.
  await settled(clock, engine.stop())
}

async function readBack(volume: MountedVolume, infos: readonly TorrentInfo[]): Promise<void> {
  for (const [number, info] of infos.entries()) {
    const stored = volume.get(info.infoHash)!
    if (!stored.complete) throw new Error(`${info.name} is not complete`)
    await readInOrder(number, info.totalBytes, (at, bytes) => stored.read(at, bytes))
  }
}

interface Snapshot {
  readonly seeks: number
  readonly busyMs: number
}

function snapshot({ seeks, busyMs }: DiskModel): Snapshot {
  return { seeks, busyMs }
}

function figures(model: DiskModel, before: Snapshot, bytes: number, ms: number): DiskFigures {
  const seeks = model.seeks - before.seeks
  return {
    seconds: ms / 1000,
    fraction: model.sequentialMs(bytes) / ms,
    seeks,
    seeksPerGib: seeks / (bytes / 2 ** 30),
    busyFraction: (model.busyMs - before.busyMs) / ms,
  }
}

/** Lets virtual time pass until `done`; between two events everything settles that can. */
export async function turn(clock: ManualClock, done: () => boolean): Promise<void> {
  for (;;) {
    await new Promise((resolve) => setImmediate(resolve))
    if (done()) return
    if (!clock.step()) throw new Error('nothing is left to happen')
  }
}

export async function settled<T>(clock: ManualClock, promise: Promise<T>): Promise<T> {
  let over = false
  const end = (): void => {
    over = true
  }
  promise.then(end, end)
  await turn(clock, () => over)
  return promise
}
