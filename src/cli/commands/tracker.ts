/** `seedbed tracker`: the tracker alone, by its configuration; checks and prints configurations. */
import { Command, Option } from 'commander'
import { systemClock, systemRandom } from '../../base/index.ts'
import {
  checkNamedFiles,
  type Endpoint,
  handedSockets,
  type LoadedConfig,
  loadConfig,
  loadConfigFile,
  type Reloaded,
  renderDefaults,
  showEndpoint,
  startTrackerService,
  type TrackerService,
} from '../../tracker/index.ts'
import { jsonOption, logLevelOption, makeLogger } from '../log-options.ts'
import { Output } from '../output.ts'
import { catchSignals, onSignal } from '../signals.ts'
import { packageVersion } from '../version.ts'

const RELOAD_SIGNALS = ['SIGHUP', 'SIGUSR1'] as const

interface TrackerCommandOptions {
  readonly config?: string
  readonly check?: boolean
  readonly printDefaults?: boolean
  readonly json?: boolean
  readonly logLevel: string
}

export function trackerCommand(): Command {
  return new Command('tracker')
    .description('run the tracker alone, by a configuration in YAML (one of chihaya will do)')
    .addOption(
      new Option('--config <file>', 'the configuration; without it the defaults run').env(
        'SEEDBED_TRACKER_CONFIG',
      ),
    )
    .addOption(new Option('--check', 'only check the configuration, and the files that it names'))
    .addOption(
      new Option('--print-defaults', 'print a configuration of all defaults, with comments'),
    )
    .addOption(jsonOption())
    .addOption(logLevelOption())
    .action(tracker)
}

async function tracker(options: TrackerCommandOptions): Promise<void> {
  const serves = options.check !== true && options.printDefaults !== true
  const output = new Output(options.json === true, serves)
  if (options.printDefaults === true) {
    process.stdout.write(renderDefaults())
    return
  }
  const load = (): LoadedConfig =>
    options.config === undefined
      ? loadConfig({ environment: process.env })
      : loadConfigFile(options.config, process.env)
  const loaded = load()
  const { config, notices } = loaded
  for (const notice of notices) output.notice(notice)
  if (options.check === true) {
    await checkNamedFiles(loaded)
    output.result({ event: 'checked', notices }, 'the configuration is right')
    return
  }
  const signals = catchSignals()
  const logger = makeLogger(options.logLevel)
  const reread = async (): Promise<Reloaded> => reload(await starting, load, output)
  const starting: Promise<TrackerService> = startTrackerService({
    config,
    clock: systemClock,
    random: systemRandom(),
    logger,
    version: packageVersion(),
    reread,
    handed: handedSockets(process.env, process.pid),
  })
  // From the beginning, and to the end: a SIGHUP that nobody hears would end the process, swarms unkept. SIGUSR1 is how chihaya is told to
  // reload; node, if nobody hears it, opens its debugger.
  const onReload = (): void => {
    reread().catch(() => {})
  }
  const deaf = RELOAD_SIGNALS.map((name) => onSignal(name, onReload))
  const service = await starting
  output.object({
    event: 'ready',
    tracker: {
      http: service.http,
      https: service.https,
      udp: service.udp,
      metrics: service.metrics,
    },
  })
  const [path = ''] = config.http.announceRoutes
  tell(output, 'http', service.http, path)
  tell(output, 'https', service.https, path)
  tell(output, 'udp', service.udp, '')
  if (config.websocket.enabled) {
    tell(output, 'ws', service.http, path)
    tell(output, 'wss', service.https, path)
  }
  for (const endpoint of service.metrics) {
    output.text(`metrics  http://${showEndpoint(endpoint)}/metrics`)
  }
  output.text('tracking; Ctrl-C stops')
  await signals.ended
  output.result({ event: 'stopping', signal: signals.received }, `${signals.received}: stopping`)
  await service.stop()
  output.result({ event: 'stopped' }, 'stopped')
  for (const stopListening of deaf) stopListening()
  signals.dispose()
}

function tell(
  output: Output,
  protocol: string,
  endpoints: readonly Endpoint[],
  path: string,
): void {
  for (const endpoint of endpoints) {
    output.text(`tracker  ${protocol}://${showEndpoint(endpoint)}${path}`)
  }
}

/** A configuration with mistakes is told, changes nothing, and rejects. */
async function reload(
  service: TrackerService,
  load: () => LoadedConfig,
  output: Output,
): Promise<Reloaded> {
  try {
    const { config, notices } = load()
    for (const notice of notices) output.notice(notice)
    const reloaded = await service.reload(config)
    const { restart, kept } = reloaded
    const waits = restart.length === 0 ? '' : `; these keys need a restart: ${restart.join(', ')}`
    const stays = kept.length === 0 ? '' : `; what was before stays: ${kept.join('; ')}`
    output.result({ event: 'reloaded', ...reloaded }, `configuration reloaded${waits}${stays}`)
    return reloaded
  } catch (error) {
    output.error(error)
    throw error
  }
}
