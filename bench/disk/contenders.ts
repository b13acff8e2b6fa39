/**
 * Who downloads to the simulated disk: seedbed to the raw device and to a folder, libtorrent and aria2 to files. All get
 * the same torrents from the same seeders, so many at a time, and the same memory: `cacheBytes` of their own
 * (seedbed's stripes, libtorrent's queue, aria2's cache), and beneath files as many dirty pages.
 */
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ARIA2 } from '../../test/interop/peers/aria2.ts'
import { Child } from '../../test/interop/peers/child.ts'
import { LIBTORRENT_PYTHON } from '../../test/interop/peers/libtorrent.ts'
import { peerVersion } from '../../test/interop/peers/presence.ts'
import { canMake, type Filesystem } from './filesystems.ts'
import type { NodeTask } from './node-process.ts'

export type Client = 'seedbed' | 'libtorrent' | 'aria2'

export interface Contender {
  readonly name: string
  readonly client: Client
  /** None: the raw device. */
  readonly filesystem?: Filesystem
  /** Room for whole files is taken first (fallocate): read back better, written worse. */
  readonly preallocates?: boolean
}

export const CONTENDERS: readonly Contender[] = [
  { name: 'seedbed', client: 'seedbed' },
  { name: 'seedbed-ext4', client: 'seedbed', filesystem: 'ext4' },
  { name: 'seedbed-xfs', client: 'seedbed', filesystem: 'xfs' },
  ...(['libtorrent', 'aria2'] as const).flatMap((client) =>
    (['ext4', 'xfs'] as const).flatMap((filesystem): Contender[] => [
      { name: `${client}-${filesystem}`, client, filesystem },
      { name: `${client}-${filesystem}-whole`, client, filesystem, preallocates: true },
    ]),
  ),
]

/** What takes part unless others are asked for: rivals as they write best. */
export const DEFAULT_CONTENDERS: readonly string[] = CONTENDERS.filter(
  ({ preallocates }) => preallocates !== true,
).map(({ name }) => name)

/** As a line names it. */
export function describe({ client, filesystem, preallocates }: Contender): string {
  const version = client === 'seedbed' ? 'files' : peerVersion(client)
  const how = preallocates === true ? ', files preallocated' : ''
  return `${client} ${version} on ${filesystem === 'xfs' ? 'XFS' : filesystem}${how}`
}

/** Why it cannot take part, or undefined. */
export function whyNot({ client, filesystem }: Contender): string | undefined {
  if (filesystem !== undefined && !canMake(filesystem)) return `mkfs.${filesystem} is not installed`
  if (client !== 'seedbed' && peerVersion(client) === undefined) return `${client} is not installed`
  return undefined
}

export interface Downloads {
  /** The device, or the folder. */
  readonly storage: string
  readonly torrents: readonly string[]
  readonly parallel: number
  readonly cacheBytes: number
  /** For what a client keeps beside the content. */
  readonly dataDir: string
  /** Where seedbed notes what it asks of the raw device. */
  readonly accessLog?: string
}

/** Its process; `allWhole` and `end` say what it means that it is done. */
export function startDownloads(contender: Contender, downloads: Downloads): Child {
  switch (contender.client) {
    case 'seedbed':
      return startNode({ ...downloads, folder: contender.filesystem !== undefined })
    case 'libtorrent':
      return startLibtorrent(downloads, contender, false)
    case 'aria2':
      return startAria2(downloads, contender)
  }
}

/** Every piece of every torrent is verified. */
export async function allWhole(contender: Contender, child: Child, limitMs: number): Promise<void> {
  if (contender.client === 'aria2') await child.succeed(limitMs)
  else {
    const { event, message } = await child.event(
      ({ event }) => event === 'done' || event === 'failed',
      limitMs,
    )
    if (event === 'failed') throw child.failure(`failed: ${String(message)}`)
  }
}

/** It has written what it held, and is gone. */
export async function end(contender: Contender, child: Child, limitMs: number): Promise<void> {
  if (contender.client === 'aria2') return
  child.closeStdin()
  await child.succeed(limitMs)
}

/** `within`: words in front of the command. */
export function startNode(task: NodeTask, within: readonly string[] = []): Child {
  mkdirSync(task.dataDir, { recursive: true })
  const program = fileURLToPath(new URL('./node-process.js', import.meta.url))
  // As src/cli/launch.cts: threads for disks.
  const env = { UV_THREADPOOL_SIZE: '16' }
  const [command, ...words] = [...within, process.execPath, program, JSON.stringify(task)]
  return new Child('seedbed', command!, words, { env })
}

/** `seed`: the files are taken for whole, unchecked. */
export function startLibtorrent(
  downloads: Downloads,
  { preallocates = false }: Contender,
  seed: boolean,
  within: readonly string[] = [],
): Child {
  // This file runs as dist/bench/disk/contenders.js; the script stays in the source tree.
  const script = resolve(
    fileURLToPath(new URL('.', import.meta.url)),
    '../../../bench/disk/libtorrent_downloads.py',
  )
  const { storage, torrents, parallel, cacheBytes } = downloads
  const task = { directory: storage, torrents, parallel, queued: cacheBytes, preallocates, seed }
  const [command, ...words] = [...within, LIBTORRENT_PYTHON, script, JSON.stringify(task)]
  return new Child('libtorrent', command!, words)
}

function startAria2(
  { storage, torrents, parallel, cacheBytes, dataDir }: Downloads,
  { preallocates }: Contender,
): Child {
  mkdirSync(dataDir, { recursive: true })
  return new Child('aria2', ARIA2, [
    '--no-conf=true',
    `--dir=${storage}`,
    '--listen-port=20000-60000',
    '--interface=127.0.0.1',
    '--enable-dht=false',
    '--enable-dht6=false',
    '--bt-enable-lpd=false',
    '--enable-peer-exchange=false',
    `--file-allocation=${preallocates === true ? 'falloc' : 'none'}`,
    `--disk-cache=${cacheBytes}`,
    `--max-concurrent-downloads=${parallel}`,
    '--seed-time=0',
    '--quiet=true',
    '--show-console-readout=false',
    '--console-log-level=notice',
    `--log=${join(dataDir, 'aria2.log')}`,
    '--log-level=notice',
    `--stop-with-process=${process.pid}`,
    ...torrents,
  ])
}
