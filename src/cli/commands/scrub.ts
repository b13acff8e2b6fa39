/** `seedbed scrub`: reads and hashes again all that a volume says it holds. */
import { Command, Option } from 'commander'
import { errnoOf, SeedbedError, toHex } from '../../base/index.ts'
import { parseInfo } from '../../metainfo/index.ts'
import { type ScrubReport, scrubTorrent, systemClock } from '../../node/index.ts'
import type { StoredTorrent } from '../../torrent-store/index.ts'
import { EXIT } from '../exit-codes.ts'
import { formatBytes, formatName } from '../format.ts'
import { findTorrent, withPlace } from '../offline.ts'
import {
  dataOption,
  deviceOption,
  jsonOption,
  type PlaceOptions,
  parseSize,
  placeOf,
} from '../options.ts'
import { Output } from '../output.ts'
import { catchSignals, exitStatusOf } from '../signals.ts'

const PROGRESS_MS = 1000
/** Of pieces, for people; --json has them all. */
const SHOWN_MAX = 20

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
      'device, image or folder, then the beginnings of info-hashes (default: all)',
    )
    .addOption(dataOption())
    .addOption(deviceOption())
    .addOption(
      new Option(
        '--rate <bytes>',
        'read no more than this a second (default: unbounded)',
      ).argParser(parseSize),
    )
    .option('--dry-run', 'only report: change nothing on the volume')
    .addOption(jsonOption())
    .action(run)
}

async function run(operands: readonly string[], flags: ScrubFlags): Promise<void> {
  const output = new Output(flags.json === true)
  const signals = catchSignals()
  const { path, rest } = placeOf(operands, flags)
  let status: number = EXIT.ok
  try {
    await withPlace(path, flags.dryRun === true, async (place) => {
      const { store } = place
      const wanted =
        rest.length === 0 ? [...store.torrents()] : rest.map((prefix) => findTorrent(place, prefix))
      if (place.problems.length > 0) status = EXIT.corrupt
      if (status !== EXIT.ok) output.text('some torrents cannot be read at all; see seedbed fsck')
      for (const stored of wanted) {
        try {
          const info = parseInfo(await stored.readInfo())
          const report = await scrubTorrent(store, stored, info, {
            clock: systemClock,
            signal: signals.signal,
            ...(flags.rate === undefined ? {} : { rateBytes: flags.rate }),
            onProgress: progressOf(output, stored, info.name),
          })
          tell(output, stored, info.name, report)
          if (report.rottenPieces.length > 0 && status === EXIT.ok) status = EXIT.rot
        } catch (error) {
          // A damaged info dictionary: its pieces cannot be judged; the others can.
          if (!(error instanceof SeedbedError) || !/^(FS_INFO_ROTTEN|METAINFO_)/.test(error.code)) {
            throw error
          }
          const infoHash = toHex(stored.infoHash)
          const { code, message } = error
          output.result({ event: 'failed', infoHash, code, message }, `${infoHash}: ${message}`)
          status = EXIT.corrupt
        }
      }
    })
    process.exitCode = status
  } catch (error) {
    if (errnoOf(error) !== 'INTERRUPTED' || signals.received === undefined) throw error
    output.error(error)
    process.exitCode = exitStatusOf(signals.received)
  } finally {
    signals.dispose()
  }
}

/** A bar for people; for scripts an object a second. */
function progressOf(
  output: Output,
  stored: StoredTorrent,
  name: string,
): (bytes: number, totalBytes: number) => void {
  const infoHash = toHex(stored.infoHash)
  let toldMs = systemClock.monotonicMs()
  return (bytes, totalBytes) => {
    output.progress(`scrub ${formatName(name)}`, bytes, totalBytes)
    const nowMs = systemClock.monotonicMs()
    if (nowMs - toldMs < PROGRESS_MS) return
    toldMs = nowMs
    output.object({ event: 'progress', phase: 'scrub', infoHash, name, bytes, totalBytes })
  }
}

function tell(output: Output, stored: StoredTorrent, name: string, report: ScrubReport): void {
  const { checkedPieces, checkedBytes, rottenPieces, unreadablePieces, unsteadyPieces } = report
  const lines = [
    `${formatName(name)}: ${checkedPieces} pieces (${formatBytes(checkedBytes)}), ${rottenPieces.length} rotten`,
  ]
  if (rottenPieces.length > 0) {
    const unreadable = unreadablePieces.length
    const detail = unreadable === 0 ? '' : `, ${unreadable} of them unreadable`
    lines.push(`  rotten: ${shown(rottenPieces)}${detail}`)
    lines.push(
      report.cleared
        ? '  not offered any more; `seedbed up` downloads them again'
        : '  left as they are',
    )
  }
  if (unsteadyPieces.length > 0) {
    lines.push(`  right only when read again (cable, memory?): ${shown(unsteadyPieces)}`)
  }
  output.result(
    { event: 'scrubbed', infoHash: toHex(stored.infoHash), name, ...report },
    lines.join('\n'),
  )
}

function shown(pieces: readonly number[]): string {
  const more = pieces.length - SHOWN_MAX
  const list = pieces.slice(0, SHOWN_MAX).join(', ')
  return more > 0 ? `${list} and ${more} more` : list
}
