/** `seedbed df`: how full volumes are. */
import { Command } from 'commander'
import { exitCodeOf } from '../exit-codes.ts'
import { formatBytes, formatName, formatPercent, formatTable } from '../format.ts'
import { withVolume } from '../offline.ts'
import { dataOption, deviceOption, jsonOption, type PlaceOptions, placeOf } from '../options.ts'
import { Output } from '../output.ts'

interface DfFlags extends PlaceOptions {
  readonly json?: boolean
}

export function dfCommand(): Command {
  return new Command('df')
    .description('tell how full volumes are')
    .argument('[device...]', 'devices or images')
    .addOption(dataOption())
    .addOption(deviceOption())
    .addOption(jsonOption())
    .action(run)
}

/** A volume that cannot be told about does not keep the others from it; the first sets the status. */
async function run(devices: readonly string[], flags: DfFlags): Promise<void> {
  const output = new Output(flags.json === true)
  const rows: string[][] = []
  const paths = devices.length > 0 ? devices : [placeOf([], flags).path]
  let status = 0
  for (const path of paths) {
    try {
      rows.push(await rowOf(output, path))
    } catch (error) {
      output.error(error)
      if (status === 0) status = exitCodeOf(error)
    }
  }
  if (rows.length > 0) {
    const header = ['DEVICE', 'LABEL', 'SIZE', 'USED', 'FREE', 'USE', 'TORRENTS']
    output.text(formatTable(header, rows, [2, 3, 4, 5, 6]))
  }
  process.exitCode = status
}

function rowOf(output: Output, path: string): Promise<string[]> {
  return withVolume(path, true, async ({ volume }) => {
    const { uuid, label, blockBytes, totalBlocks, freeBlocks, torrents } = volume.stats()
    const totalBytes = totalBlocks * blockBytes
    const freeBytes = freeBlocks * blockBytes
    const usedBytes = totalBytes - freeBytes
    output.object({ device: path, uuid, label, totalBytes, usedBytes, freeBytes, torrents })
    return [
      formatName(path),
      formatName(label),
      formatBytes(totalBytes),
      formatBytes(usedBytes),
      formatBytes(freeBytes),
      formatPercent(usedBytes, totalBytes),
      String(torrents),
    ]
  })
}
