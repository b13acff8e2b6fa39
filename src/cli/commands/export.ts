/** `seedbed export`: a torrent on a volume becomes ordinary files. */
import { Command } from 'commander'
import { SeedbedError, toHex } from '../../base/index.ts'
import { describeStored, exportPath, exportTorrent } from '../../node/index.ts'
import { printEvent } from '../events.ts'
import { findTorrent, withPlace } from '../offline.ts'
import { dataOption, deviceOption, jsonOption, type PlaceOptions, placesOf } from '../options.ts'
import { Output } from '../output.ts'
import { untilInterrupted } from '../signals.ts'

interface ExportFlags extends PlaceOptions {
  readonly json?: boolean
  readonly out: string
}

export function exportCommand(): Command {
  return new Command('export')
    .description('write the files of a torrent, verifying every piece')
    .argument('<operand...>', 'devices or images, then the beginnings of info-hashes')
    .requiredOption('--out <dir>', 'folder that the files go into')
    .addOption(dataOption())
    .addOption(deviceOption())
    .addOption(jsonOption())
    .action(run)
}

async function run(operands: readonly string[], flags: ExportFlags): Promise<void> {
  const output = new Output(flags.json === true)
  const { paths, rest } = placesOf(operands, flags)
  if (rest.length === 0) {
    throw new SeedbedError('TORRENT_UNKNOWN', 'no info-hash was given', {
      mend: '`seedbed ls` lists them.',
    })
  }
  await untilInterrupted(output, async (signal) => {
    await withPlace(output, paths, true, async (place) => {
      for (const prefix of rest) {
        const stored = findTorrent(place, prefix)
        const described = await describeStored(stored)
        const { info } = described
        const target = await exportTorrent(place.store, stored, described, {
          outDir: flags.out,
          signal,
          onProgress: (bytes) =>
            printEvent(output, {
              event: 'progress',
              phase: 'export',
              path: exportPath(flags.out, info),
              bytes,
              totalBytes: info.contentBytes,
            }),
        })
        printEvent(output, {
          event: 'complete',
          infoHash: toHex(info.infoHash),
          name: info.name,
          bytes: info.contentBytes,
          path: target,
        })
      }
    })
  })
}
