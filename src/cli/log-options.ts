/** The flags of what a command prints and logs: apart from options.ts, because the tracker needs no more and should load no more. */
import { Option } from 'commander'
import { pino } from 'pino'
import type { Logger } from '../base/index.ts'

export const jsonOption = (): Option => new Option('--json', 'print one JSON object a line')

export const logLevelOption = (): Option =>
  new Option('--log-level <level>', 'logs on stderr')
    .choices(['debug', 'info', 'warn', 'error', 'silent'])
    .default('warn')

export function makeLogger(level: string): Logger {
  return pino({ level, base: null }, pino.destination({ dest: 2, sync: true })) as Logger
}
