/**
 * `seedbed get`: a source becomes ordinary files. They grow in a hidden folder beside their place, each piece
 * verified before it is written, and move there whole, durable, or not at all. With a device the torrent is
 * downloaded onto its volume, stays there, and is exported, verified again on the way. A run that is cut short
 * leaves what it has, named after the info-hash: the next one goes on from there.
 */
import { rename, rm, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { delay, errnoOf, toHex } from '../base/index.ts'
import { type EngineTorrent, priorities } from '../engine/index.ts'
import type { TorrentInfo } from '../metainfo/index.ts'
import { describeStored } from './described.ts'
import { nodeError } from './errors.ts'
import type { NodeEvent } from './events.ts'
import { checkExport, checkOutDir, exportPath, exportTorrent, outFailed } from './export.ts'
import { readFetchSource } from './fetch-source.ts'
import { syncDirectory } from './file-writer.ts'
import { downloadEvent, SeedbedNode } from './node.ts'
import type { NodeOptions } from './node-options.ts'
import { type Selection, selectFiles } from './selection.ts'
import { selectionIn } from './served.ts'
import { checkRoom } from './storage.ts'

const PROGRESS_MS = 500

export interface GetOptions
  extends Omit<NodeOptions, 'devices' | 'dataDir' | 'tracker' | 'onEvent'> {
  readonly source: string
  readonly outDir: string
  /** Download onto one of these devices or images, and leave the torrent there. */
  readonly devices?: readonly string[]
  /** Patterns of the files that are wanted (selection.ts); not with `devices`. */
  readonly only?: readonly string[]
  readonly sequential?: boolean
  readonly signal: AbortSignal
  onEvent(event: NodeEvent): void
}

/** Resolves with the path of the exported file or folder. */
export async function get(options: GetOptions): Promise<string> {
  const { outDir } = options
  const source = await readFetchSource(options.source, options.network)
  const named = source.kind === 'magnet' ? source.magnet : source.metainfo.info
  if (source.kind === 'metainfo') await checkExport(outDir, source.metainfo.info)
  else await checkOutDir(outDir)
  const temporary = join(outDir, `.${toHex(named.infoHash).slice(0, 16)}.seedbed`)
  const node = await SeedbedNode.start({
    ...options,
    devices: options.devices ?? [temporary],
    folder: options.devices === undefined,
    dataDir: outDir,
    // Completion is told once, when the files are there.
    onEvent: (event) => {
      if (event.event !== 'complete') options.onEvent(event)
    },
  })
  const meant = options.only ?? selectionIn(source)
  // Onto a device comes all of it: what is exported from there is whole.
  const only = options.devices === undefined ? meant : meant && ['**']
  let worthKeeping = false
  try {
    const { sequential = false } = options
    const torrent = await node.served.fetch(source, {
      sequential,
      ...(only === undefined ? {} : { only }),
    })
    try {
      await downloaded(torrent, options)
      if (options.devices === undefined) return await movedOut(node, torrent, only, options)
      return await exported(node, torrent, options)
    } catch (error) {
      worthKeeping = torrent.progress().haveBytes > 0
      throw error
    }
  } finally {
    await node.stop()
    if (options.devices === undefined && !worthKeeping) await rm(temporary, { recursive: true })
  }
}

/** Moves the whole content to its place. Nothing serves it any more. */
async function movedOut(
  node: SeedbedNode,
  torrent: EngineTorrent,
  only: Selection | undefined,
  { outDir, onEvent }: GetOptions,
): Promise<string> {
  // One that has nothing to do has let go of it.
  const { info } = await describeStored(torrent.stored!)
  const content = node.contentPath(torrent.infoHash)
  await node.stop()
  await checkExport(outDir, info)
  if (only !== undefined && info.multiFile) await dropSkipped(content, info, only)
  const path = exportPath(outDir, info)
  try {
    await rename(content, path)
    await syncDirectory(outDir)
  } catch (error) {
    throw outFailed(path, error)
  }
  const infoHash = toHex(info.infoHash)
  onEvent({ event: 'complete', infoHash, name: info.name, bytes: info.contentBytes, path })
  return path
}

/** Pieces reach into files that are not wanted: what there is of those is not left behind. */
async function dropSkipped(content: string, info: TorrentInfo, only: Selection): Promise<void> {
  const wanted = selectFiles(info, only)
  const folders = new Set<string>()
  for (const [at, file] of info.files.entries()) {
    const path = join(content, ...file.path)
    if (file.padding || wanted[at] !== priorities.skip) continue
    await rm(path, { force: true })
    for (let folder = dirname(path); folder !== content; folder = dirname(folder)) {
      folders.add(folder)
    }
  }
  for (const folder of [...folders].sort((a, b) => b.length - a.length)) {
    await rmdir(folder).catch((error: unknown) => {
      if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(errnoOf(error) ?? '')) throw error
    })
  }
}

async function downloaded(torrent: EngineTorrent, options: GetOptions): Promise<void> {
  const { onEvent, clock, signal, outDir } = options
  const ended = endOf(torrent, signal)
  let roomChecked = false
  for (;;) {
    const progress = torrent.progress()
    onEvent(downloadEvent(torrent, progress))
    if (torrent.error !== undefined) throw torrent.error
    if (signal.aborted) {
      throw nodeError('INTERRUPTED', 'the download was interrupted', {
        mend: 'Run the same command again: it goes on from what it has.',
      })
    }
    if (torrent.info !== undefined && !roomChecked) {
      roomChecked = true
      await checkExport(outDir, torrent.info)
      const here = options.devices === undefined ? progress.haveBytes : 0
      await checkRoom(outDir, progress.wantedBytes - here)
    }
    if (progress.state === 'seeding') return
    await Promise.race([ended, delay(clock, PROGRESS_MS)])
  }
}

/** Resolves when the torrent is complete or failed, or the signal comes. */
function endOf(torrent: EngineTorrent, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    torrent.on('complete', () => resolve())
    torrent.on('failed', () => resolve())
    signal.addEventListener('abort', () => resolve())
  })
}

async function exported(
  node: SeedbedNode,
  torrent: EngineTorrent,
  { outDir, signal, onEvent }: GetOptions,
): Promise<string> {
  const described = await describeStored(torrent.stored!)
  const { info } = described
  const path = await exportTorrent(node.store, torrent.stored!, described, {
    outDir,
    signal,
    onProgress: (bytes) =>
      onEvent({
        event: 'progress',
        phase: 'export',
        path: join(outDir, info.name),
        bytes,
        totalBytes: info.contentBytes,
      }),
  })
  const infoHash = toHex(info.infoHash)
  onEvent({ event: 'complete', infoHash, name: info.name, bytes: info.contentBytes, path })
  return path
}
