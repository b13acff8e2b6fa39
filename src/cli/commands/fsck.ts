/** `seedbed fsck`: check a volume; exits with the bits of fsck(8). */
import { Command } from 'commander'
import { openFileDevice } from '../../block-device/index.ts'
import { fsck } from '../../filesystem/index.ts'
import { FSCK_EXIT } from '../exit-codes.ts'
import { formatName } from '../format.ts'
import { dataOption, deviceOption, devicesOf, jsonOption, type PlaceOptions } from '../options.ts'
import { Output } from '../output.ts'

interface FsckOptions extends PlaceOptions {
  readonly json?: boolean
  readonly repair?: boolean
}

export function fsckCommand(): Command {
  return new Command('fsck')
    .description('check the structure of a volume; exit status as fsck(8)')
    .argument('[device...]', 'devices or images')
    .addOption(dataOption())
    .addOption(deviceOption())
    .option('--repair', 'mend what can be mended without losing anything')
    .addOption(jsonOption())
    .action(run)
}

async function run(operands: readonly string[], options: FsckOptions): Promise<void> {
  const output = new Output(options.json === true)
  let status = FSCK_EXIT.clean
  for (const path of devicesOf(operands, options)) status |= await check(output, path, options)
  process.exitCode = status
}

/** Its bits of the exit status. */
async function check(output: Output, path: string, options: FsckOptions): Promise<number> {
  try {
    const device = await openFileDevice(path, {
      readOnly: options.repair !== true,
      exclusive: true,
    })
    try {
      const report = await fsck(device, {
        repair: options.repair === true,
        onProgress: (done, total) => output.progress(`fsck ${path}`, done, total, String),
      })
      output.endProgress()
      for (const problem of report.problems) {
        const place = problem.place === undefined ? '' : ` at byte ${problem.place}`
        const of = problem.infoHash === undefined ? '' : ` of ${problem.infoHash}`
        const where = `${problem.check}${of}${place}`
        output.text(`${problem.severity}: ${where}: ${formatName(problem.what)}`)
        if (problem.repair !== undefined) output.text(`  repair: ${problem.repair}`)
      }
      const state = report.uncorrected > 0 ? `${report.uncorrected} problems left` : 'sound'
      output.result(
        { device: path, ...report },
        `${path}: ${state}, ${report.corrected} mended; ${report.torrents} torrents, ${report.dataBlocks} data blocks, ${report.freeBlocks} free`,
      )
      return (
        (report.corrected > 0 ? FSCK_EXIT.corrected : 0) |
        (report.uncorrected > 0 ? FSCK_EXIT.uncorrected : 0)
      )
    } finally {
      await device.close()
    }
  } catch (error) {
    output.error(error)
    return FSCK_EXIT.operational
  }
}
