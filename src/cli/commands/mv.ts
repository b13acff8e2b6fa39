/** `seedbed mv`: torrents move to another device, or to or from a folder of ordinary files. */
import { Command, Option } from 'commander'
import { SeedbedError, toHex } from '../../base/index.ts'
import { parseInfo } from '../../metainfo/index.ts'
import { moveTorrent, openPlace, systemClock, systemRandom } from '../../node/index.ts'
import { formatBytes, formatName } from '../format.ts'
import { findTorrent, withPlace } from '../offline.ts'
import { dataOption, deviceOption, jsonOption, type PlaceOptions, placesOf } from '../options.ts'
import { Output } from '../output.ts'
import { untilInterrupted } from '../signals.ts'

interface MvFlags extends PlaceOptions {
  readonly json?: boolean
  readonly to?: string
  readonly toFiles?: string
}

export function mvCommand(): Command {
  return new Command('mv')
    .description('move torrents to another device or folder, verifying every piece')
    .argument('<operand...>', 'devices, images or folder, then the beginnings of info-hashes')
    .addOption(new Option('--to <path>', 'device or image that holds a volume, or folder'))
    .addOption(
      new Option('--to-files <dir>', 'folder of ordinary files, made if need be').conflicts('to'),
    )
    .addOption(dataOption())
    .addOption(deviceOption())
    .addOption(jsonOption())
    .action(run)
}

async function run(operands: readonly string[], flags: MvFlags): Promise<void> {
  const output = new Output(flags.json === true)
  const { paths, rest } = placesOf(operands, flags)
  const to = flags.toFiles ?? flags.to
  if (rest.length === 0 || to === undefined) {
    const what = to === undefined ? 'no place to move to' : 'no info-hash'
    throw new SeedbedError('TORRENT_UNKNOWN', `${what} was given`, {
      mend: 'Say `seedbed mv FROM HASH… --to PLACE`; `seedbed ls` lists the info-hashes.',
    })
  }
  await untilInterrupted(output, async (signal) => {
    await withPlace(output, paths, false, async (from) => {
      const wanted = rest.map((prefix) => findTorrent(from, prefix))
      const folder = flags.toFiles !== undefined
      const place = await openPlace([to], {
        clock: systemClock,
        random: systemRandom(),
        folder,
        create: folder,
      })
      try {
        for (const stored of wanted) {
          const info = parseInfo(await stored.readInfo())
          const { movedBytes, rottenPieces } = await moveTorrent(
            from.store,
            place.store,
            stored,
            info,
            {
              signal,
              onProgress: (bytes, total) =>
                output.progress(`mv ${formatName(info.name)}`, bytes, total),
            },
          )
          const infoHash = toHex(stored.infoHash)
          const lost =
            rottenPieces.length === 0 ? '' : `, ${rottenPieces.length} rotten pieces left behind`
          output.result(
            { event: 'moved', infoHash, name: info.name, bytes: movedBytes, to, rottenPieces },
            `moved ${formatName(info.name)}, ${formatBytes(movedBytes)}, to ${to}${lost}`,
          )
        }
      } finally {
        await place.store.close()
      }
    })
  })
}
