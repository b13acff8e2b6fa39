/** `seedbed get`: download, verify, export. */
import { Command } from 'commander'
import { get, imagePath, nodeNetwork, systemClock, systemRandom } from '../../node/index.ts'
import { addEngineOptions, type EngineFlags, engineOptionsOf } from '../engine-options.ts'
import { printEvent } from '../events.ts'
import {
  dataOption,
  deviceOption,
  jsonOption,
  logLevelOption,
  makeLogger,
  onlyOption,
  sequentialOption,
} from '../options.ts'
import { Output } from '../output.ts'
import { untilInterrupted } from '../signals.ts'

interface GetFlags extends EngineFlags {
  readonly json?: boolean
  readonly out: string
  readonly data?: string
  readonly device?: readonly string[]
  readonly only?: readonly string[]
  readonly sequential?: boolean
  readonly logLevel: string
}

export function getCommand(): Command {
  const command = new Command('get')
    .description('download a torrent, verify every piece, and write the ordinary files')
    .argument('<source>', 'magnet link, .torrent file, or its http(s) URL')
    .requiredOption('--out <dir>', 'folder that the file or folder goes into')
    .addOption(dataOption().hideHelp())
    .addOption(deviceOption())
    .addOption(onlyOption().conflicts(['device', 'data']))
    .addOption(sequentialOption())
  return addEngineOptions(command, 0)
    .addOption(jsonOption())
    .addOption(logLevelOption())
    .action(run)
}

async function run(source: string, flags: GetFlags): Promise<void> {
  const output = new Output(flags.json === true)
  const logger = makeLogger(flags.logLevel)
  const devices = flags.device ?? (flags.data === undefined ? undefined : [imagePath(flags.data)])
  await untilInterrupted(output, async (signal) => {
    await get({
      source,
      outDir: flags.out,
      sequential: flags.sequential === true,
      ...(flags.only === undefined ? {} : { only: flags.only }),
      ...(devices === undefined ? {} : { devices }),
      ...engineOptionsOf(flags),
      clock: systemClock,
      random: systemRandom(),
      network: nodeNetwork({ clock: systemClock, logger }),
      logger,
      signal,
      onEvent: (event) => printEvent(output, event),
    })
  })
}
