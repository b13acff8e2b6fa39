/** Flags that several commands share, and the one way in which each is read. */
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { InvalidArgumentError, Option } from 'commander'
import { encryptionPolicies, imagePath, type PeerLimits, utpPolicies } from '../node/index.ts'
import { parseBytes } from './format.ts'

export { jsonOption, logLevelOption, makeLogger } from './log-options.ts'

const MIB = 2 ** 20
export const DEFAULT_TRACKER_PORT = 6969
export const DEFAULT_PEER_PORT = 6881

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

export const peerPortOption = (preset: number): Option =>
  new Option('--peer-port <n>', 'port for peers, TCP and UDP; 0 lets the system choose')
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

export const torrentConnectionsOption = (): Option =>
  new Option(
    '--max-connections-per-torrent <n>',
    'of them, peers of one torrent (default: all)',
  ).argParser(parseCount)

export const addressConnectionsOption = (): Option =>
  new Option(
    '--max-connections-per-address <n>',
    'of them, from one IPv4 address or IPv6 /64 (default: a quarter, at least 8)',
  ).argParser(parseCount)

export const halfOpenOption = (): Option =>
  new Option('--max-half-open <n>', 'of them, in the making').default(16).argParser(parseCount)

export const uploadSlotsOption = (): Option =>
  new Option('--upload-slots <n>', 'peers of one torrent that may download at a time')
    .default(16)
    .argParser(parseCount)

export const maxUploadSlotsOption = (): Option =>
  new Option(
    '--max-upload-slots <n>',
    'peers of all torrents that may download at a time (default: no limit)',
  ).argParser(parseCount)

/** Limits of peers beside --max-connections. */
export interface LimitFlags {
  readonly maxConnectionsPerTorrent?: number
  readonly maxConnectionsPerAddress?: number
  readonly maxHalfOpen: number
  readonly uploadSlots: number
  readonly maxUploadSlots?: number
}

export function limitsOf(flags: LimitFlags): PeerLimits {
  const { maxConnectionsPerTorrent, maxConnectionsPerAddress, maxUploadSlots } = flags
  return {
    maxHalfOpen: flags.maxHalfOpen,
    uploadSlots: flags.uploadSlots,
    ...(maxConnectionsPerTorrent !== undefined && { maxConnectionsPerTorrent }),
    ...(maxConnectionsPerAddress !== undefined && { maxConnectionsPerAddress }),
    ...(maxUploadSlots !== undefined && { maxUploadSlots }),
  }
}

export const upRateOption = (): Option =>
  new Option(
    '--up-rate <bytes>',
    'upload no more than this a second, to all peers together',
  ).argParser(parseSize)

export const downRateOption = (): Option =>
  new Option(
    '--down-rate <bytes>',
    'download no more than this a second, from all peers together',
  ).argParser(parseSize)

export const superSeedOption = (): Option =>
  new Option(
    '--super-seed',
    'begin swarms with about one copy uploaded: show each peer a few pieces only, until the peers have all (BEP 16)',
  )

export const encryptionOption = (): Option =>
  new Option('--encryption <policy>', 'of what is said to peers')
    .choices(encryptionPolicies)
    .default('offered')

export const utpOption = (): Option =>
  new Option(
    '--utp <policy>',
    'uTP, on the UDP side of the peer port: taken, and tried where TCP fails (on), or first (prefer)',
  )
    .choices(utpPolicies)
    .default('on')

export const lsdOption = (): Option =>
  new Option('--lsd', 'find peers, and be found, on the local networks too (BEP 14)')

export const dhtOption = (): Option =>
  new Option('--dht', 'find peers, and be found, by the public DHT too')

export const dhtNodeOption = (): Option =>
  new Option(
    '--dht-node <host:port...>',
    `nodes of the DHT to begin with, in place of ${PUBLIC_DHT_NODES.map(({ host }) => host).join(', ')}; implies --dht`,
  ).argParser(parseDhtNodes)

/** Nodes that have been there for many years, run by makers of BitTorrent clients. */
const PUBLIC_DHT_NODES: readonly HostPort[] = [
  { host: 'dht.libtorrent.org', port: 25401 },
  { host: 'dht.transmissionbt.com', port: 6881 },
  { host: 'router.bittorrent.com', port: 6881 },
]

export interface HostPort {
  readonly host: string
  readonly port: number
}

export interface DhtFlags {
  readonly dht?: boolean
  readonly dhtNode?: readonly HostPort[]
}

/** Whom to begin with; undefined when the DHT is not wanted. */
export function dhtNodesOf({ dht, dhtNode }: DhtFlags): readonly HostPort[] | undefined {
  if (dhtNode !== undefined) return dhtNode
  return dht === true ? PUBLIC_DHT_NODES : undefined
}

function parseDhtNodes(text: string, before: readonly HostPort[] | undefined): HostPort[] {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? []
  const host = bracketed ?? plain
  const number = Number(port)
  if (host === undefined || !(number >= 1 && number <= 65535)) {
    throw new InvalidArgumentError('a node is HOST:PORT, an IPv6 address in brackets')
  }
  return [...(before ?? []), { host, port: number }]
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
