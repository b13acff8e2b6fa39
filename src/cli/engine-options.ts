/**
 * The flags of commands that run an engine (`get`, `up`): where it listens, how many it is connected to, how it speaks to
 * them and how it finds them; and what these flags are to a node.
 */
import { isIP } from 'node:net'
import { type Command, InvalidArgumentError, Option } from 'commander'
import {
  type EncryptionPolicy,
  encryptionPolicies,
  type NodeOptions,
  type PeerLimits,
  type UtpPolicy,
  utpPolicies,
} from '../node/index.ts'
import { parseCount, parsePort, parseSize } from './options.ts'

const MIB = 2 ** 20

export interface EngineFlags {
  readonly peerPort: number
  readonly bind: readonly string[]
  readonly cache: number
  readonly maxConnections: number
  readonly maxConnectionsPerTorrent?: number
  readonly maxConnectionsPerAddress?: number
  readonly maxHalfOpen: number
  readonly uploadSlots: number
  readonly maxUploadSlots?: number
  readonly upRate?: number
  readonly downRate?: number
  readonly encryption: EncryptionPolicy
  readonly utp: UtpPolicy
  readonly portMapping: boolean
  readonly gateway?: string
  readonly lsd?: boolean
  readonly dht?: boolean
  readonly dhtNode?: readonly HostPort[]
}

/** Adds them all, in the order of the help; `peerPort` is the default. */
export function addEngineOptions(command: Command, peerPort: number): Command {
  return [...portOptions(peerPort), ...connectionOptions(), ...wayOptions()].reduce(
    (to, option) => to.addOption(option),
    command,
  )
}

function portOptions(peerPort: number): Option[] {
  return [
    new Option('--peer-port <n>', 'port for peers, TCP and UDP; 0 lets the system choose')
      .default(peerPort)
      .argParser(parsePort),
    new Option('--bind <address...>', 'addresses to listen on').default(['0.0.0.0', '::']),
    new Option(
      '--no-port-mapping',
      'do not ask the router, where it is of a private network, to let others in to the peer port (PCP, NAT-PMP)',
    ),
    new Option(
      '--gateway <address>',
      'the router to ask, in place of that of the default route',
    ).argParser(parseAddress),
  ]
}

function connectionOptions(): Option[] {
  return [
    new Option('--cache <bytes>', 'memory for stripes being downloaded')
      .default(256 * MIB, '256MiB')
      .argParser(parseSize),
    new Option('--max-connections <n>', 'peers connected at once')
      .default(500)
      .argParser(parseCount),
    new Option(
      '--max-connections-per-torrent <n>',
      'of them, peers of one torrent (default: all)',
    ).argParser(parseCount),
    new Option(
      '--max-connections-per-address <n>',
      'of them, from one IPv4 address or IPv6 /64 (default: a quarter, at least 8)',
    ).argParser(parseCount),
    new Option('--max-half-open <n>', 'of them, in the making').default(16).argParser(parseCount),
    new Option('--upload-slots <n>', 'peers of one torrent that may download at a time')
      .default(16)
      .argParser(parseCount),
    new Option(
      '--max-upload-slots <n>',
      'peers of all torrents that may download at a time (default: no limit)',
    ).argParser(parseCount),
    new Option(
      '--up-rate <bytes>',
      'upload no more than this a second, to all peers together',
    ).argParser(parseSize),
    new Option(
      '--down-rate <bytes>',
      'download no more than this a second, from all peers together',
    ).argParser(parseSize),
  ]
}

/** How peers are spoken to, and found. */
function wayOptions(): Option[] {
  return [
    new Option('--encryption <policy>', 'of what is said to peers')
      .choices(encryptionPolicies)
      .default('offered'),
    new Option(
      '--utp <policy>',
      'uTP, on the UDP side of the peer port: taken, and tried where TCP fails (on), or first (prefer)',
    )
      .choices(utpPolicies)
      .default('on'),
    new Option('--lsd', 'find peers, and be found, on the local networks too (BEP 14)'),
    new Option('--dht', 'find peers, and be found, by the public DHT too'),
    new Option(
      '--dht-node <host:port...>',
      `nodes of the DHT to begin with, in place of ${PUBLIC_DHT_NODES.map(({ host }) => host).join(', ')}; implies --dht`,
    ).argParser(parseDhtNodes),
  ]
}

type EngineOptions = Pick<
  NodeOptions,
  | 'peerPort'
  | 'bind'
  | 'cacheBytes'
  | 'maxConnections'
  | 'limits'
  | 'rates'
  | 'encryption'
  | 'utp'
  | 'portMapping'
  | 'lsd'
  | 'dht'
>

/** `dhtState` is the file that keeps what the DHT learns, if any does. */
export function engineOptionsOf(flags: EngineFlags, dhtState?: string): EngineOptions {
  const bootstrap = dhtNodesOf(flags)
  return {
    peerPort: flags.peerPort,
    bind: flags.bind,
    cacheBytes: flags.cache,
    maxConnections: flags.maxConnections,
    limits: limitsOf(flags),
    rates: { up: flags.upRate, down: flags.downRate },
    encryption: flags.encryption,
    utp: flags.utp,
    ...(flags.portMapping && {
      portMapping: flags.gateway === undefined ? {} : { gateway: flags.gateway },
    }),
    lsd: flags.lsd === true,
    ...(bootstrap !== undefined && {
      dht: { bootstrap, ...(dhtState !== undefined && { statePath: dhtState }) },
    }),
  }
}

function parseAddress(text: string): string {
  if (isIP(text) === 0) throw new InvalidArgumentError('an IPv4 or IPv6 address')
  return text
}

/** Limits of peers beside --max-connections. */
function limitsOf(flags: EngineFlags): PeerLimits {
  const { maxConnectionsPerTorrent, maxConnectionsPerAddress, maxUploadSlots } = flags
  return {
    maxHalfOpen: flags.maxHalfOpen,
    uploadSlots: flags.uploadSlots,
    ...(maxConnectionsPerTorrent !== undefined && { maxConnectionsPerTorrent }),
    ...(maxConnectionsPerAddress !== undefined && { maxConnectionsPerAddress }),
    ...(maxUploadSlots !== undefined && { maxUploadSlots }),
  }
}

/** Whom to begin with; undefined when the DHT is not wanted. */
function dhtNodesOf({ dht, dhtNode }: EngineFlags): readonly HostPort[] | undefined {
  if (dhtNode !== undefined) return dhtNode
  return dht === true ? PUBLIC_DHT_NODES : undefined
}

/** Nodes that have been there for many years, run by makers of BitTorrent clients. */
const PUBLIC_DHT_NODES: readonly HostPort[] = [
  { host: 'dht.libtorrent.org', port: 25401 },
  { host: 'dht.transmissionbt.com', port: 6881 },
  { host: 'router.bittorrent.com', port: 6881 },
]

interface HostPort {
  readonly host: string
  readonly port: number
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
