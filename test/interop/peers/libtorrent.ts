/** libtorrent as a peer: the Python script beside this file, in the system's Python. */
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Child, type ChildEvent } from './child.ts'
import type { Within } from './namespace.ts'

/** Debian puts the binding into the system's Python, whichever `python3` is first on the path. */
export const LIBTORRENT_PYTHON: string = process.env.LIBTORRENT_PYTHON ?? '/usr/bin/python3'

// This file runs as dist/test/interop/peers/libtorrent.js; the script stays in the source tree.
const repository = resolve(dirname(fileURLToPath(import.meta.url)), '../../../..')
const script = resolve(repository, 'test/interop/peers/libtorrent_peer.py')

/** A .torrent file or a magnet link. */
export type Source = { readonly torrent: string } | { readonly magnet: string }

export type Encryption = 'required' | 'preferred' | 'offered' | 'off'

export interface LibtorrentOptions {
  readonly source: Source
  /** Parent of the torrent's file or folder. */
  readonly directory: string
  /** Address that it listens on and connects from. */
  readonly host: string
  readonly seed: boolean
  /** Bytes a second; 0 or absent = as fast as it can. */
  readonly uploadLimit?: number
  /** Bytes a second; 0 or absent = as fast as it can. */
  readonly downloadLimit?: number
  /** Announce URLs in place of those of the source; an empty list: none. */
  readonly trackers?: readonly string[]
  /** `ADDRESS:PORT` that it connects to. */
  readonly peers?: readonly string[]
  /** Tell and hear of others by peer exchange. */
  readonly pex?: boolean
  /** Print `met` for every peer: `host`, `port`, `by` (the ways it was found: `tracker`, `dht`, `pex`, `lsd`), `encrypted`. */
  readonly tellPeers?: boolean
  /** Ask the local network. */
  readonly lsd?: boolean
  /** A seeder that serves what lies there, unseen. */
  readonly unchecked?: boolean
  readonly within?: Within
  /** `required`: RC4 or nothing. Absent: `offered`, both are taken and plaintext is preferred. */
  readonly encryption?: Encryption
  /** Over uTP alone; absent: over TCP alone. */
  readonly utp?: boolean
  /** Speak to the DHT, beginning with the node at this UDP port of `host`; 0: with nobody. */
  readonly dhtPort?: number
}

export function libtorrent(options: LibtorrentOptions): Child {
  const { host } = options
  const address = host.includes(':') ? `[${host}]` : host
  const plain: [string, string[]] = [LIBTORRENT_PYTHON, [script, ...parametersOf(options, address)]]
  const [command, words] = options.within?.wrap(...plain) ?? plain
  return new Child(`libtorrent ${options.seed ? 'seeder' : 'leecher'}`, command, words)
}

function parametersOf(options: LibtorrentOptions, address: string): string[] {
  const { source, trackers = [] } = options
  return [
    'peer',
    '--save-path',
    options.directory,
    '--listen',
    `${address}:0`,
    ...('torrent' in source ? ['--torrent', source.torrent] : ['--magnet', source.magnet]),
    ...(options.seed ? ['--seed'] : []),
    ...(options.unchecked === true ? ['--unchecked'] : []),
    ...(options.encryption === undefined ? [] : ['--encryption', options.encryption]),
    ...(options.pex === true ? ['--pex'] : []),
    ...(options.lsd === true ? ['--lsd'] : []),
    ...(options.tellPeers === true ? ['--tell-peers'] : []),
    ...(options.peers ?? []).flatMap((peer) => ['--peer', peer]),
    ...(options.utp === true ? ['--utp'] : []),
    ...(options.dhtPort === undefined ? [] : ['--dht', `${options.dhtPort}`]),
    ...(options.uploadLimit === undefined ? [] : ['--upload-limit', `${options.uploadLimit}`]),
    ...(options.downloadLimit === undefined
      ? []
      : ['--download-limit', `${options.downloadLimit}`]),
    ...trackers.flatMap((url) => ['--tracker', url]),
    ...(options.trackers !== undefined && trackers.length === 0 ? ['--no-tracker'] : []),
  ]
}

/** Payload bytes that it has sent and received so far. */
export async function libtorrentStats(
  peer: Child,
): Promise<{ readonly uploaded: number; readonly downloaded: number }> {
  const seen = peer.events.length
  peer.say('stats')
  const stats = await peer.event('stats', 20_000, seen)
  return { uploaded: Number(stats.uploaded), downloaded: Number(stats.downloaded) }
}

/** Says goodbye to the tracker, writes what it holds, ends. */
export async function endLibtorrent(peer: Child): Promise<void> {
  peer.closeStdin()
  await peer.succeed(20_000)
}

export interface CreatedTorrent {
  /** Lower-case hexadecimal, 40 digits: of v2 alone the first of its hash. */
  readonly infoHash: string
  readonly magnet: string
  readonly torrentFile: string
}

/** A .torrent of `path` written to `torrentFile` by libtorrent's own maker. */
export async function createTorrent(
  path: string,
  torrentFile: string,
  pieceBytes: number,
  trackers: readonly string[],
  format: 'v1' | 'v2' | 'hybrid' = 'v1',
): Promise<CreatedTorrent> {
  const urls = trackers.flatMap((url) => ['--tracker', url])
  const maker = new Child('libtorrent create', LIBTORRENT_PYTHON, [
    script,
    'create',
    path,
    torrentFile,
    '--piece-bytes',
    `${pieceBytes}`,
    '--format',
    format,
    ...urls,
  ])
  await maker.succeed(120_000)
  const created: ChildEvent = await maker.event('created', 0)
  return {
    infoHash: String(created.infoHash),
    magnet: String(created.magnet),
    torrentFile,
  }
}
