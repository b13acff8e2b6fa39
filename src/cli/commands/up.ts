/** `seedbed up`: tracker, storage and engine in one process; shares what it is given, seeds what it has. */

import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { delay, inLanes } from '../../base/index.ts'
import type { TorrentFormat } from '../../metainfo/index.ts'
import {
  type FetchSource,
  imagePath,
  looksLikeFetchSource,
  makeDataDir,
  nodeNetwork,
  reachableHosts,
  readFetchSource,
  readSource,
  SeedbedNode,
  type Source,
  systemClock,
  systemRandom,
} from '../../node/index.ts'
import { addEngineOptions, type EngineFlags, engineOptionsOf } from '../engine-options.ts'
import { printEvent } from '../events.ts'
import {
  DEFAULT_TRACKER_PORT,
  dataOption,
  defaultDataDir,
  deviceOption,
  filesOption,
  jsonOption,
  logLevelOption,
  makeLogger,
  onlyOption,
  parseDurationMs,
  parsePort,
  parseSize,
  sequentialOption,
} from '../options.ts'
import { Output } from '../output.ts'
import { catchSignals, exitStatusOf, onSignal } from '../signals.ts'

const DEFAULT_PEER_PORT = 6881
const PROGRESS_MS = 1000
/** Of .torrent files and URLs. */
const READ_AT_ONCE = 16
/** Torrents that are made together share their flushes. */
const ADDED_AT_ONCE = 16
/** Reports of progress to one of status. */
const STATUS_EVERY = 10

interface UpOptions extends EngineFlags {
  readonly json?: boolean
  readonly data?: string
  readonly device?: readonly string[]
  readonly files?: string
  readonly only?: readonly string[]
  readonly sequential?: boolean
  readonly imageSize?: number
  readonly accessLog?: string
  readonly scrubRate?: number
  readonly scrubEvery: number
  readonly trackerPort: number
  readonly host?: readonly string[]
  readonly superSeed?: boolean
  readonly format: TorrentFormat
  readonly webSeed?: readonly string[]
  readonly logLevel: string
}

export function upCommand(): Command {
  const command = new Command('up')
    .description('run tracker and storage node: share PATHs, seed all that the volume holds')
    .argument(
      '[path...]',
      'file or folder to share; or a magnet link, .torrent file or URL to mirror',
    )
    .addOption(dataOption())
    .addOption(deviceOption())
    .addOption(filesOption())
    .addOption(onlyOption())
    .addOption(sequentialOption())
    .addOption(
      new Option('--image-size <bytes>', 'size of an image that has to be made (sparse)').argParser(
        parseSize,
      ),
    )
    .addOption(
      new Option('--format <format>', 'of the torrents that PATHs become')
        .choices(['v1', 'v2', 'hybrid'])
        .default('v1'),
    )
    .option(
      '--access-log <file>',
      'note every access to the device, for `seedbed plot`; SIGUSR2 ends and begins it',
    )
    .addOption(
      new Option(
        '--scrub-rate <bytes>',
        'read and hash again what is held, no more than this a second of each device',
      ).argParser(parseSize),
    )
    .addOption(
      new Option('--scrub-every <time>', 'how often such a scrub begins anew')
        .default(30 * 86_400_000, '30d')
        .argParser(parseDurationMs),
    )
    .addOption(
      new Option('--tracker-port <n>', 'UDP and TCP port of the tracker; 0 lets the system choose')
        .default(DEFAULT_TRACKER_PORT)
        .argParser(parsePort),
    )
    .addOption(
      new Option('--host <host...>', 'names or addresses under which others reach this machine'),
    )
  return addEngineOptions(command, DEFAULT_PEER_PORT)
    .option(
      '--super-seed',
      'begin swarms with about one copy uploaded: show each peer a few pieces only, until the peers have all (BEP 16)',
    )
    .addOption(
      new Option(
        '--web-seed <url...>',
        'where a web server has what is shared: the file, or the folder above (BEP 19)',
      ),
    )
    .addOption(jsonOption())
    .addOption(logLevelOption())
    .action(up)
}

/** What was asked for, in order. Rejects with what is wrong with the first that something is wrong with. */
async function readArguments(
  paths: readonly string[],
  network: ReturnType<typeof nodeNetwork>,
): Promise<{ fetches: FetchSource[]; shares: Source[] }> {
  const fetches: FetchSource[] = []
  const shares: Source[] = []
  await inLanes([...paths.entries()], READ_AT_ONCE, async ([place, path]) => {
    if (looksLikeFetchSource(path)) fetches[place] = await readFetchSource(path, network)
    else shares[place] = await readSource(path)
  })
  // Their places are those on the command line: the lists have gaps, which go.
  return { fetches: fetches.flat(), shares: shares.flat() }
}

async function up(paths: readonly string[], options: UpOptions): Promise<void> {
  const output = new Output(options.json === true)
  const signals = catchSignals()
  const logger = makeLogger(options.logLevel)
  const network = nodeNetwork({ clock: systemClock, logger })
  // Everything that can be wrong with what was asked for is found before anything is made.
  const { fetches, shares } = await readArguments(paths, network)
  const dataDir = options.data ?? defaultDataDir()
  await makeDataDir(dataDir)
  // From the first moment on: what comes before the node runs is answered by its start.
  let running: SeedbedNode | undefined
  const asked = (what: string, action: (node: SeedbedNode) => Promise<void>) => (): void => {
    if (running === undefined) return
    action(running).catch((error: unknown) => logger.error({ err: error }, `${what} failed`))
  }
  const logBase = options.accessLog ?? join(dataDir, 'access.log')
  const ignoring = [
    onSignal(
      'SIGHUP',
      asked('looking at the devices again', (node) => node.upkeep.refresh()),
    ),
    onSignal(
      'SIGUSR2',
      asked('the access log', (node) => node.upkeep.toggleAccessLog(logBase)),
    ),
  ]
  const node = await SeedbedNode.start({
    devices:
      options.files === undefined ? (options.device ?? [imagePath(dataDir)]) : [options.files],
    folder: options.files !== undefined,
    dataDir,
    tracker: {
      port: options.trackerPort,
      hosts: options.host ?? reachableHosts(networkInterfaces()),
    },
    format: options.format,
    ...engineOptionsOf(options, join(dataDir, 'dht')),
    superSeed: options.superSeed === true,
    ...(options.webSeed === undefined ? {} : { webSeeds: options.webSeed }),
    clock: systemClock,
    random: systemRandom(),
    network,
    logger,
    signal: signals.signal,
    ...(options.imageSize === undefined ? {} : { imageBytes: options.imageSize }),
    ...(options.accessLog === undefined ? {} : { accessLog: options.accessLog }),
    ...(options.scrubRate === undefined
      ? {}
      : { scrub: { rateBytes: options.scrubRate, everyMs: options.scrubEvery } }),
    onEvent: (event) => printEvent(output, event),
  })
  const fetching = {
    sequential: options.sequential === true,
    ...(options.only === undefined ? {} : { only: options.only }),
  }
  running = node
  try {
    await inLanes(fetches, ADDED_AT_ONCE, async (source) => {
      if (!signals.signal.aborted) await node.served.fetch(source, fetching)
    })
    // One after the other: each is read and written in order.
    await inLanes(shares, 1, async (source) => {
      if (!signals.signal.aborted) await node.sharing.share(source, signals.signal)
    })
    if (!signals.signal.aborted) output.text('seeding; Ctrl-C stops')
    for (let second = 0; !signals.signal.aborted; second++) {
      if (second % STATUS_EVERY === 0) node.reportStatus()
      node.reportProgress()
      await Promise.race([delay(systemClock, PROGRESS_MS), signals.ended])
    }
  } catch (error) {
    if (!signals.signal.aborted) throw error
    // An import that was cut short is work not done.
    process.exitCode = exitStatusOf(signals.received!)
  } finally {
    if (signals.received !== undefined) {
      printEvent(output, { event: 'stopping', signal: signals.received })
    }
    node.reportStatus()
    await node.stop()
    printEvent(output, { event: 'stopped' })
    for (const ignore of ignoring) ignore()
    signals.dispose()
  }
}
