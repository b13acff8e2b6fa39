/** Flags that several commands share, and the one way in which each is read. */
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { InvalidArgumentError, Option } from 'commander'
import { imagePath } from '../node/index.ts'
import { parseBytes } from './format.ts'

export { jsonOption, logLevelOption, makeLogger } from './log-options.ts'

export const DEFAULT_TRACKER_PORT = 6969

export interface CommonOptions {
  readonly json?: boolean
}

export interface PlaceOptions {
  readonly data?: string
  readonly device?: readonly string[]
}

/** $XDG_DATA_HOME/seedbed. */
export function defaultDataDir(): string {
  const base = process.env.XDG_DATA_HOME || join(homedir(), '.local', 'share')
  return join(base, 'seedbed')
}

export const dataOption = (): Option =>
  new Option('--data <dir>', `data directory (default: ${'$XDG_DATA_HOME/seedbed'})`)

export const deviceOption = (): Option =>
  new Option(
    '--device <path>',
    'raw block device or image file that holds the volume; again for more of them',
  ).argParser((path: string, before: readonly string[] | undefined) => [...(before ?? []), path])

export const filesOption = (): Option =>
  new Option(
    '--files <dir>',
    'keep torrents as ordinary files in this folder, and share PATHs from where they lie',
  ).conflicts(['device', 'imageSize', 'accessLog'])

export const onlyOption = (): Option =>
  new Option(
    '--only <glob...>',
    'of what is downloaded, only files that match: * and ? within a name, ** across folders',
  )

export const sequentialOption = (): Option =>
  new Option('--sequential', 'download the beginning before the end, not the rarest first')

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
 * The volumes that a command works on: those of --device, or the first operands that name files, or the
 * image in the data directory. Returns the operands that are left.
 */
export function placesOf(
  operands: readonly string[],
  options: PlaceOptions,
): { paths: readonly string[]; rest: readonly string[] } {
  if (options.device !== undefined) return { paths: options.device, rest: operands }
  if (options.data !== undefined) return { paths: [imagePath(options.data)], rest: operands }
  const end = operands.findIndex(
    (operand) => !existsSync(operand) && /^[0-9a-f]{4,40}$/i.test(operand),
  )
  const paths = end === -1 ? operands : operands.slice(0, end)
  if (paths.length > 0) return { paths, rest: operands.slice(paths.length) }
  return { paths: [imagePath(defaultDataDir())], rest: operands }
}

/** As `placesOf`, where all operands are devices or images. */
export function devicesOf(operands: readonly string[], options: PlaceOptions): readonly string[] {
  const named = [...(options.device ?? []), ...operands]
  return named.length > 0 ? named : placesOf([], options).paths
}

/** As `devicesOf`, where one volume is made. */
export function placeOf(operands: readonly string[], options: PlaceOptions): string {
  const paths = devicesOf(operands, options)
  if (paths.length > 1) throw new InvalidArgumentError('one device or image at a time')
  return paths[0]!
}

/** Of "90s", "12h", "30d"; a number alone is seconds. */
export function parseDurationMs(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(s|min|h|d)?$/.exec(text.trim())
  const unitMs = { s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 }[match?.[2] ?? 's']!
  const durationMs = Math.round(Number(match?.[1] ?? 0) * unitMs)
  if (durationMs < 1) {
    throw new InvalidArgumentError('a time is a number with a unit: s, min, h or d, such as 30d')
  }
  return durationMs
}
