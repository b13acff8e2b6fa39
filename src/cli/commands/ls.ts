/** `seedbed ls`: the torrents of a volume. */
import { Command } from 'commander'
import { formatBytes, formatName, formatPercent, formatTable } from '../format.ts'
import { deviceOf, infoOf, summaryOf, withPlace } from '../offline.ts'
import { dataOption, deviceOption, devicesOf, jsonOption, type PlaceOptions } from '../options.ts'
import { Output } from '../output.ts'

interface LsOptions extends PlaceOptions {
  readonly json?: boolean
}

export function lsCommand(): Command {
  return new Command('ls')
    .description('list the torrents of a volume or folder')
    .argument('[device...]', 'devices or images, or a folder of files')
    .addOption(dataOption())
    .addOption(deviceOption())
    .addOption(jsonOption())
    .action(ls)
}

async function ls(operands: readonly string[], options: LsOptions): Promise<void> {
  const output = new Output(options.json === true)
  const paths = devicesOf(operands, options)
  await withPlace(output, paths, true, async (place) => {
    const several = paths.length > 1
    const rows: string[][] = []
    for (const stored of place.store.torrents()) {
      const info = await infoOf(stored)
      const entry = { ...summaryOf(stored, info), device: deviceOf(place, stored) }
      output.object(entry)
      rows.push([
        entry.infoHash,
        entry.format ?? '',
        formatBytes(entry.bytes),
        entry.complete ? 'whole' : formatPercent(entry.havePieces, entry.pieceCount),
        formatBytes(entry.uploadedBytes),
        ...(several ? [formatName(entry.device)] : []),
        formatName(entry.name ?? '(info damaged)'),
      ])
    }
    const device = several ? ['DEVICE'] : []
    const header = ['INFO-HASH', 'FORMAT', 'SIZE', 'HAVE', 'UPLOADED', ...device, 'NAME']
    output.text(formatTable(header, rows, [2, 3, 4]))
    const damaged = place.problems.filter(({ severity }) => severity === 'error').length
    if (damaged > 0) output.notice(`${damaged} more cannot be read; see \`seedbed fsck\``)
  })
}
