/**
 * Deletes what a torrent has put on the disk: its own files, and the folders that are empty then. What else was put there
 * stays, and nothing behind a symbolic link is touched.
 */
import { lstat, realpath, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errnoOf } from '../base/index.ts'
import type { TorrentInfo } from '../metainfo/index.ts'
import { unlinkIfThere } from './durable.ts'

/** `content` is the torrent's file or folder, its path without links; harmless when it is not there any more. */
export async function deleteContent(content: string, info: TorrentInfo): Promise<void> {
  // A link in its place is not its content.
  if (!((await lstat(content).catch(() => undefined))?.isSymbolicLink() === false)) return
  if (!info.multiFile) {
    await unlinkIfThere(content)
    return
  }
  const folders = new Set<string>([content])
  for (const file of info.files) {
    if (file.padding) continue
    const path = join(content, ...file.path)
    for (let folder = dirname(path); folder !== content; folder = dirname(folder)) {
      folders.add(folder)
    }
    if (await leadsOut(dirname(path))) continue
    await unlinkIfThere(path)
  }
  // The deepest first.
  for (const folder of [...folders].sort((a, b) => b.length - a.length)) {
    await rmdir(folder).catch((error: unknown) => {
      if (!['ENOENT', 'ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw error
    })
  }
}

async function leadsOut(folder: string): Promise<boolean> {
  const real = await realpath(folder).catch(() => undefined)
  return real !== folder
}
