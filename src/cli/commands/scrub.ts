/** `seedbed scrub`: reads and hashes again all that a volume says it holds. */
import { Command, Option } from 'commander'
import { SeedbedError, toHex } from '../../base/index.ts'
import {
  describeStored,
  type Place,
  type ScrubReport,
  scrubTorrent,
  systemClock,
} from '../../node/index.ts'
import type { StoredTorrent } from '../../torrent-store/index.ts'
import { EXIT } from '../exit-codes.ts'
import { formatName } from '../format.ts'
import { deviceOf, findTorrent, withPlace } from '../offline.ts'
import {
  dataOption,
  deviceOption,
  jsonOption,
  type PlaceOptions,
  parseSize,
  placesOf,
} from '../options.ts'
import { Output } from '../output.ts'
import { describeScrub } from '../scrub-report.ts'
import { untilInterrupted } from '../signals.ts'

const PROGRESS_MS = 1000

interface ScrubFlags extends PlaceOptions {
  readonly json?: boolean
  readonly rate?: number
  readonly dryRun?: boolean
}

export function scrubCommand(): Command {
  return new Command('scrub')
    .description('read and hash all pieces again; what has rotted is to be downloaded anew')
    .argument(
      '[operand...]',
      'devices, images or folder, then the beginnings of info-hashes (default: all)',
    )
    .addOption(dataOption())
    .addOption(deviceOption())
    .addOption(
      new Option(
        '--rate <bytes>',
        'read no more than this a second, of each device (default: unbounded)',
      ).argParser(parseSize),
    )
    .option('--dry-run', 'only report: change nothing on the volume')
    .addOption(jsonOption())
    .action(run)
}

async function run(operands: readonly string[], flags: ScrubFlags): Promise<void> {
  const output = new Output(flags.json === true)
  const { paths, rest } = placesOf(operands, flags)
  let status: number = EXIT.ok
  const found = (code: number): void => {
    if (status !== EXIT.corrupt) status = code
  }
  await untilInterrupted(output, async (signal) => {
    await withPlace(output, paths, flags.dryRun === true, async (place) => {
      const wanted =
        rest.length === 0
          ? [...place.store.torrents()]
          : rest.map((prefix) => findTorrent(place, prefix))
      if (place.problems.some(({ severity }) => severity === 'error')) {
        found(EXIT.corrupt)
        output.text('some torrents cannot be read at all; see seedbed fsck')
      }
      // Devices do not disturb each other: each is scrubbed by itself.
      const devices = new Map<string, StoredTorrent[]>()
      for (const stored of wanted) {
        const device = deviceOf(place, stored)
        devices.set(device, [...(devices.get(device) ?? []), stored])
      }
      const bar = devices.size > 1 ? barOfAll(output, wanted) : barOfEach(output)
      const scrub = async (torrents: readonly StoredTorrent[]): Promise<void> => {
        for (const stored of torrents) {
          await scrubOne(output, place, stored, flags, signal, bar, found)
        }
      }
      const ended = await Promise.allSettled([...devices.values()].map(scrub))
      for (const one of ended) if (one.status === 'rejected') throw one.reason
    })
    process.exitCode ||= status
  })
}

async function scrubOne(
  output: Output,
  place: Place,
  stored: StoredTorrent,
  flags: ScrubFlags,
  signal: AbortSignal,
  bar: Bar,
  found: (code: number) => void,
): Promise<void> {
  try {
    const described = await describeStored(stored)
    const { info } = described
    const report = await scrubTorrent(place.store, stored, described, {
      clock: systemClock,
      signal,
      clear: flags.dryRun !== true,
      ...(flags.rate === undefined ? {} : { rateBytes: flags.rate }),
      onProgress: progressOf(output, stored, info.name, bar),
    })
    tell(output, stored, info.name, report)
    if (report.rottenPieces.length > 0) found(EXIT.rot)
  } catch (error) {
    // A damaged info dictionary: its pieces cannot be judged; the others can.
    if (
      !(error instanceof SeedbedError) ||
      !/^(FS_INFO_ROTTEN|LAYERS_MISSING|METAINFO_)/.test(error.code)
    ) {
      throw error
    }
    const infoHash = toHex(stored.infoHash)
    const { code, message } = error
    output.result({ event: 'failed', infoHash, code, message }, `${infoHash}: ${message}`)
    found(EXIT.corrupt)
  }
}

/** Shows that `bytes` of the `totalBytes` of a torrent were read. */
type Bar = (name: string, bytes: number, totalBytes: number) => void

const barOfEach =
  (output: Output): Bar =>
  (name, bytes, totalBytes) =>
    output.progress(`scrub ${formatName(name)}`, bytes, totalBytes)

/** Of several that are scrubbed side by side: all in one. */
function barOfAll(output: Output, wanted: readonly StoredTorrent[]): Bar {
  let allBytes = 0
  for (const { have, pieceBytes, totalBytes } of wanted) {
    allBytes += Math.min(have.count * pieceBytes, totalBytes)
  }
  const done = new Map<string, number>()
  let doneBytes = 0
  return (name, bytes) => {
    doneBytes += bytes - (done.get(name) ?? 0)
    done.set(name, bytes)
    output.progress('scrub', doneBytes, Math.max(allBytes, doneBytes))
  }
}

/** The bar for people; for scripts an object a second. */
function progressOf(
  output: Output,
  stored: StoredTorrent,
  name: string,
  bar: Bar,
): (bytes: number, totalBytes: number) => void {
  const infoHash = toHex(stored.infoHash)
  let toldMs = systemClock.monotonicMs()
  return (bytes, totalBytes) => {
    bar(name, bytes, totalBytes)
    const nowMs = systemClock.monotonicMs()
    if (nowMs - toldMs < PROGRESS_MS) return
    toldMs = nowMs
    output.object({ event: 'progress', phase: 'scrub', infoHash, name, bytes, totalBytes })
  }
}

function tell(output: Output, stored: StoredTorrent, name: string, report: ScrubReport): void {
  output.result(
    { event: 'scrubbed', infoHash: toHex(stored.infoHash), name, ...report },
    describeScrub(name, report, '`seedbed up` downloads them again'),
  )
}
