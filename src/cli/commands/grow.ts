/** `seedbed grow`: a volume takes all of a device that became larger, or of an image made larger. */
import { Command, Option } from 'commander'
import { growStorage } from '../../node/index.ts'
import { formatBytes } from '../format.ts'
import { withVolume } from '../offline.ts'
import {
  dataOption,
  deviceOption,
  devicesOf,
  jsonOption,
  type PlaceOptions,
  parseSize,
} from '../options.ts'
import { Output } from '../output.ts'

interface GrowFlags extends PlaceOptions {
  readonly json?: boolean
  readonly size?: number
}

export function growCommand(): Command {
  return new Command('grow')
    .description('let a volume have all of a device or image that became larger')
    .argument('[device...]', 'devices or images')
    .addOption(dataOption())
    .addOption(deviceOption())
    .addOption(
      new Option('--size <bytes>', 'make an image file as large as this first').argParser(
        parseSize,
      ),
    )
    .addOption(jsonOption())
    .action(run)
}

async function run(operands: readonly string[], flags: GrowFlags): Promise<void> {
  const output = new Output(flags.json === true)
  for (const path of devicesOf(operands, flags)) await grow(output, path, flags.size)
}

async function grow(output: Output, path: string, size: number | undefined): Promise<void> {
  const { blockBytes, blocksBefore, blocksAfter } = await growStorage(path, size)
  await withVolume(path, true, async ({ volume }) => {
    const stats = volume.stats()
    const before = formatBytes(blocksBefore * blockBytes)
    output.result(
      { event: 'grown', device: path, blocksBefore, ...stats },
      blocksAfter === blocksBefore
        ? `${path} has all of its device already: ${blocksBefore} blocks (${before})`
        : `${path} has grown from ${before} to ${formatBytes(blocksAfter * blockBytes)}, ${formatBytes(stats.freeBlocks * blockBytes)} free`,
    )
  })
}
