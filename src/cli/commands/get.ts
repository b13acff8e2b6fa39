/** `seedbed get`: download, verify, export. */
import { Command } from 'commander'
import { errnoOf } from '../../base/index.ts'
import {
  type EncryptionPolicy,
  get,
  imagePath,
  nodeNetwork,
  systemClock,
  systemRandom,
  type UtpPolicy,
} from '../../node/index.ts'
import { printEvent } from '../events.ts'
import {
  addressConnectionsOption,
  bindOption,
  cacheOption,
  connectionsOption,
  dataOption,
  deviceOption,
  dhtNodeOption,
  dhtNodesOf,
  dhtOption,
  downRateOption,
  encryptionOption,
  type HostPort,
  halfOpenOption,
  jsonOption,
  type LimitFlags,
  limitsOf,
  logLevelOption,
  lsdOption,
  makeLogger,
  maxUploadSlotsOption,
  onlyOption,
  peerPortOption,
  sequentialOption,
  torrentConnectionsOption,
  uploadSlotsOption,
  upRateOption,
  utpOption,
} from '../options.ts'
import { Output } from '../output.ts'
import { catchSignals, exitStatusOf } from '../signals.ts'

interface GetFlags extends LimitFlags {
  readonly json?: boolean
  readonly out: string
  readonly data?: string
  readonly device?: readonly string[]
  readonly only?: readonly string[]
  readonly sequential?: boolean
  readonly peerPort: number
  readonly bind: readonly string[]
  readonly cache: number
  readonly maxConnections: number
  readonly upRate?: number
  readonly downRate?: number
  readonly encryption: EncryptionPolicy
  readonly utp: UtpPolicy
  readonly lsd?: boolean
  readonly dht?: boolean
  readonly dhtNode?: readonly HostPort[]
  readonly logLevel: string
}

export function getCommand(): Command {
  return new Command('get')
    .description('download a torrent, verify every piece, and write the ordinary files')
    .argument('<source>', 'magnet link, .torrent file, or its http(s) URL')
    .requiredOption('--out <dir>', 'folder that the file or folder goes into')
    .addOption(dataOption().hideHelp())
    .addOption(deviceOption())
    .addOption(onlyOption().conflicts(['device', 'data']))
    .addOption(sequentialOption())
    .addOption(peerPortOption(0))
    .addOption(bindOption())
    .addOption(cacheOption())
    .addOption(connectionsOption())
    .addOption(torrentConnectionsOption())
    .addOption(addressConnectionsOption())
    .addOption(halfOpenOption())
    .addOption(uploadSlotsOption())
    .addOption(maxUploadSlotsOption())
    .addOption(upRateOption())
    .addOption(downRateOption())
    .addOption(encryptionOption())
    .addOption(utpOption())
    .addOption(lsdOption())
    .addOption(dhtOption())
    .addOption(dhtNodeOption())
    .addOption(jsonOption())
    .addOption(logLevelOption())
    .action(run)
}

async function run(source: string, flags: GetFlags): Promise<void> {
  const output = new Output(flags.json === true)
  const signals = catchSignals()
  const logger = makeLogger(flags.logLevel)
  const devices = flags.device ?? (flags.data === undefined ? undefined : [imagePath(flags.data)])
  const dhtNodes = dhtNodesOf(flags)
  try {
    await get({
      source,
      outDir: flags.out,
      sequential: flags.sequential === true,
      ...(flags.only === undefined ? {} : { only: flags.only }),
      ...(devices === undefined ? {} : { devices }),
      peerPort: flags.peerPort,
      bind: flags.bind,
      cacheBytes: flags.cache,
      maxConnections: flags.maxConnections,
      limits: limitsOf(flags),
      rates: { up: flags.upRate, down: flags.downRate },
      encryption: flags.encryption,
      utp: flags.utp,
      lsd: flags.lsd === true,
      ...(dhtNodes === undefined ? {} : { dht: { bootstrap: dhtNodes } }),
      clock: systemClock,
      random: systemRandom(),
      network: nodeNetwork({ clock: systemClock, logger }),
      logger,
      signal: signals.signal,
      onEvent: (event) => printEvent(output, event),
    })
  } catch (error) {
    if (errnoOf(error) !== 'INTERRUPTED' || signals.received === undefined) throw error
    output.error(error)
    process.exitCode = exitStatusOf(signals.received)
  } finally {
    signals.dispose()
  }
}
