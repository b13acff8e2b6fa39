/** seedbed as users run it: the command, as a process, read through `--json`. */
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Child, type ChildEvent } from './child.ts'
import type { Within } from './namespace.ts'

// This file runs as dist/test/interop/peers/seedbed.js.
const main = resolve(dirname(fileURLToPath(import.meta.url)), '../../../src/cli/launch.cjs')

export const READY_LIMIT_MS = 30_000

export function seedbed(parameters: readonly string[], within?: Within): Child {
  const plain: [string, string[]] = [process.execPath, [main, ...parameters]]
  const [command, words] = within?.wrap(...plain) ?? plain
  return new Child(`seedbed ${parameters[0] ?? ''}`, command, words)
}

/** The JSON objects that an offline command printed on stdout. */
export async function seedbedJson(
  parameters: readonly string[],
  limitMs = 60_000,
): Promise<Record<string, unknown>[]> {
  const child = seedbed([...parameters, '--json'])
  await child.succeed(limitMs)
  return child.jsonLines
}

export interface UpOptions {
  /** Files, folders, .torrent files, magnet links. */
  readonly paths?: readonly string[]
  readonly data: string
  readonly host: string
  readonly more?: readonly string[]
  readonly within?: Within
}

export interface Up {
  readonly child: Child
  /** Announce URLs as it prints them. */
  readonly trackers: readonly string[]
  /** The one that begins with http. */
  readonly httpTracker: string
  readonly udpTracker: string
  readonly peerPort: number
}

/** `seedbed up`, on ports that the system chooses, ready when this resolves. */
export async function up(options: UpOptions): Promise<Up> {
  const { paths = [], data, host, more = [] } = options
  const fixed = ['--tracker-port', '0', '--peer-port', '0', '--host', host, '--bind', host]
  const parameters = ['up', ...paths, '--data', data, ...fixed, '--json', ...more]
  const child = seedbed(parameters, options.within)
  const ready = await child.event('ready', READY_LIMIT_MS)
  const trackers = (ready.tracker as { readonly urls: readonly string[] }).urls
  return {
    child,
    trackers,
    httpTracker: trackers.find((url) => url.startsWith('http:')) ?? '',
    udpTracker: trackers.find((url) => url.startsWith('udp:')) ?? '',
    peerPort: Number(ready.peerPort),
  }
}

export interface Shared {
  /** When it was told, on the monotonic clock of this process. */
  readonly atMs: number
  /** Lower-case hexadecimal. */
  readonly infoHash: string
  readonly magnet: string
  readonly torrentFile: string
  readonly name: string
  readonly bytes: number
}

/** The `shared` event of the torrent of that name. */
export async function shared(child: Child, name: string, limitMs: number): Promise<Shared> {
  const event = await child.event(
    (event) => event.event === 'shared' && event.name === name,
    limitMs,
  )
  return event as ChildEvent & Shared
}

/** The first signal drains; it must end well. */
export async function drain(child: Child): Promise<void> {
  child.signal('SIGTERM')
  await child.succeed(30_000)
}

/** Where `--data DIR` keeps the volume. */
export function imageOf(data: string): string {
  return join(data, 'seedbed.img')
}
