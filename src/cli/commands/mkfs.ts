/** `seedbed mkfs`: make a volume on a device or in an image file. */
import { existsSync } from 'node:fs'
import { unlink } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { Command, Option } from 'commander'
import { openFileDevice } from '../../block-device/index.ts'
import { formatVolume } from '../../filesystem/index.ts'
import { imageBytesFor, makeDataDir, systemClock, systemRandom } from '../../node/index.ts'
import { formatBytes } from '../format.ts'
import { withVolume } from '../offline.ts'
import {
  dataOption,
  deviceOption,
  jsonOption,
  type PlaceOptions,
  parseSize,
  placeOf,
} from '../options.ts'
import { Output } from '../output.ts'

interface MkfsOptions extends PlaceOptions {
  readonly json?: boolean
  readonly size?: number
  readonly blockSize?: number
  readonly label?: string
  readonly force?: boolean
}

export function mkfsCommand(): Command {
  return new Command('mkfs')
    .description('make a volume on a raw device or in a (sparse) image file')
    .argument('[device]', 'device or image')
    .addOption(dataOption())
    .addOption(deviceOption())
    .addOption(
      new Option('--size <bytes>', 'size of an image file to be made').argParser(parseSize),
    )
    .addOption(
      new Option(
        '--block-size <bytes>',
        'filesystem block, 64KiB to 16MiB (default: 4MiB)',
      ).argParser(parseSize),
    )
    .option('--label <text>', 'name of the volume')
    .option('--force', 'erase whatever the device holds')
    .addOption(jsonOption())
    .action((device: string | undefined, options: MkfsOptions) =>
      run(device === undefined ? [] : [device], options),
    )
}

async function run(operands: readonly string[], options: MkfsOptions): Promise<void> {
  const output = new Output(options.json === true)
  const path = placeOf(operands, options)
  const isNew = !existsSync(path)
  const folder = dirname(resolve(path))
  if (isNew) await makeDataDir(folder)
  const device = await openFileDevice(
    path,
    isNew ? { create: { bytes: options.size ?? (await imageBytesFor(folder)) } } : {},
  )
  try {
    await formatVolume(device, {
      clock: systemClock,
      random: systemRandom(),
      label: options.label ?? '',
      force: options.force === true,
      ...(options.blockSize === undefined ? {} : { blockBytes: options.blockSize }),
    })
  } catch (error) {
    await device.close()
    if (isNew) await unlink(path)
    throw error
  }
  await device.close()
  await withVolume(path, true, async ({ volume }) => {
    const stats = volume.stats()
    output.result(
      { event: 'formatted', device: path, ...stats },
      `made volume ${stats.uuid} on ${path}: ${stats.totalBlocks} blocks of ${formatBytes(stats.blockBytes)}, ${formatBytes(stats.freeBlocks * stats.blockBytes)} free`,
    )
  })
}
