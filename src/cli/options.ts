/** Flags that several commands share, and the one way in which each is read. */
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { InvalidArgumentError, Option } from 'commander'
import { pino } from 'pino'
import type { Logger } from '../base/index.ts'
import { encryptionPolicies, imagePath } from '../node/index.ts'
import { parseBytes } from './format.ts'

const MIB = 2 ** 20
export const DEFAULT_TRACKER_PORT = 6969
export const DEFAULT_PEER_PORT = 6881

export interface CommonOptions {
  readonly json?: boolean
}

export interface PlaceOptions {
  readonly data?: string
  readonly device?: string
}

/** $XDG_DATA_HOME/seedbed. */
export function defaultDataDir(): string {
  const base = process.env.XDG_DATA_HOME || join(homedir(), '.local', 'share')
  return join(base, 'seedbed')
}

export const jsonOption = (): Option => new Option('--json', 'print one JSON object a line')

export const dataOption = (): Option =>
  new Option('--data <dir>', `data directory (default: ${'$XDG_DATA_HOME/seedbed'})`)

export const deviceOption = (): Option =>
  new Option('--device <path>', 'raw block device or image file that holds the volume')

export const filesOption = (): Option =>
  new Option(
    '--files <dir>',
    'keep torrents as ordinary files in this folder, and share PATHs from where they lie',
  ).conflicts(['device', 'imageSize', 'accessLog'])

export const peerPortOption = (preset: number): Option =>
  new Option('--peer-port <n>', 'TCP port for peers; 0 lets the system choose')
    .default(preset)
    .argParser(parsePort)

export const bindOption = (): Option =>
  new Option('--bind <address...>', 'addresses to listen on').default(['0.0.0.0', '::'])

export const cacheOption = (): Option =>
  new Option('--cache <bytes>', 'memory for stripes being downloaded')
    .default(256 * MIB, '256MiB')
    .argParser(parseSize)

export const connectionsOption = (): Option =>
  new Option('--max-connections <n>', 'peers connected at once').default(500).argParser(parseCount)

export const encryptionOption = (): Option =>
  new Option('--encryption <policy>', 'of what is said to peers')
    .choices(encryptionPolicies)
    .default('offered')

export const logLevelOption = (): Option =>
  new Option('--log-level <level>', 'logs on stderr')
    .choices(['debug', 'info', 'warn', 'error', 'silent'])
    .default('warn')

export function makeLogger(level: string): Logger {
  return pino({ level, base: null }, pino.destination({ dest: 2, sync: true })) as Logger
}

export function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (!(port <= 65535)) throw new InvalidArgumentError('a port is a number from 0 to 65535')
  return port
}

export function parseSize(text: string): number {
  const bytes = parseBytes(text)
  if (bytes === undefined || bytes === 0) {
    throw new InvalidArgumentError('a size is a number with a unit, such as 512MiB or 2GB')
  }
  return bytes
}

export function parseCount(text: string): number {
  const count = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (count < 1) throw new InvalidArgumentError('a whole number of at least 1')
  return count
}

/**
 * The volume that an offline command works on: --device, or the first operand when it names a file,
 * or the image in the data directory. Returns the operands that are left.
 */
export function placeOf(
  operands: readonly string[],
  options: PlaceOptions,
): { path: string; rest: readonly string[] } {
  if (options.device !== undefined) return { path: options.device, rest: operands }
  if (options.data !== undefined) return { path: imagePath(options.data), rest: operands }
  const [first, ...rest] = operands
  if (first !== undefined && (existsSync(first) || !/^[0-9a-f]{4,40}$/i.test(first))) {
    return { path: first, rest }
  }
  return { path: imagePath(defaultDataDir()), rest: operands }
}
