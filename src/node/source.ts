/**
 * What a PATH on the command line holds: a file, or a folder walked to the last file, with the sizes
 * and times that prove later that nothing changed underneath.
 *
 * Invariants: `entries` are regular files, readable when they were looked at, in no particular order;
 * a link inside the folder counts as what it points to if that lies inside the folder too, and is
 * left out otherwise (publishing a folder must not publish what lies outside of it).
 */
import { constants } from 'node:fs'
import { access, readdir, realpath, stat } from 'node:fs/promises'
import { basename, join, resolve, sep } from 'node:path'
import { errnoOf, type SeedbedError } from '../base/index.ts'
import { nodeError } from './errors.ts'

export interface SourceEntry {
  /** Below the source's name. */
  readonly path: readonly string[]
  readonly absolutePath: string
  readonly bytes: number
  /** Its owner may run it. */
  readonly executable: boolean
  readonly modifiedMs: number
  readonly inode: number
}

export interface Source {
  readonly root: string
  readonly name: string
  readonly multiFile: boolean
  readonly entries: readonly SourceEntry[]
  readonly totalBytes: number
  /** Left out: links that lead outside or nowhere, sockets, pipes, devices. */
  readonly skipped: readonly string[]
}

function unreadable(path: string, cause: unknown): SeedbedError {
  const errno = errnoOf(cause)
  if (errno === 'ENOENT') {
    return nodeError('SOURCE_MISSING', `${path} does not exist`, {
      mend: 'Check the path for a typing mistake.',
      cause,
    })
  }
  return nodeError('SOURCE_UNREADABLE', `${path} cannot be read (${errno ?? String(cause)})`, {
    mend: 'Give this user permission to read it, or take it out of the folder.',
    cause,
  })
}

/** Walks `path`. SOURCE_MISSING, SOURCE_UNREADABLE, SOURCE_KIND, SOURCE_EMPTY. Reads no content. */
export async function readSource(path: string): Promise<Source> {
  const root = resolve(path)
  const top = await stat(root).catch((error: unknown) => {
    throw unreadable(path, error)
  })
  const entries: SourceEntry[] = []
  const skipped: string[] = []
  const addFile = async (absolutePath: string, components: readonly string[]): Promise<void> => {
    try {
      const found = await stat(absolutePath)
      await access(absolutePath, constants.R_OK)
      entries.push({
        path: components,
        absolutePath,
        bytes: found.size,
        executable: (found.mode & constants.S_IXUSR) !== 0,
        modifiedMs: found.mtimeMs,
        inode: found.ino,
      })
    } catch (error) {
      throw unreadable(absolutePath, error)
    }
  }
  if (top.isFile()) {
    await addFile(root, [basename(root)])
  } else if (top.isDirectory()) {
    await walk(root, await realpath(root), addFile, skipped)
  } else {
    throw nodeError('SOURCE_KIND', `${path} is neither a file nor a folder`, {
      mend: 'Share a regular file or a folder.',
    })
  }
  const totalBytes = entries.reduce((sum, entry) => sum + entry.bytes, 0)
  if (totalBytes === 0) {
    throw nodeError('SOURCE_EMPTY', `${path} holds no bytes to share`, {
      mend: 'A torrent needs at least one byte of content.',
    })
  }
  const name = basename(root)
  return { root, name, multiFile: top.isDirectory(), entries, totalBytes, skipped }
}

async function walk(
  root: string,
  realRoot: string,
  addFile: (absolutePath: string, components: readonly string[]) => Promise<void>,
  skipped: string[],
): Promise<void> {
  // The real paths of the folders on the way down: a link to one of them would never end.
  const pending: { components: string[]; above: readonly string[] }[] = [
    { components: [], above: [realRoot] },
  ]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const folder = join(root, ...next.components)
    const children = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
      throw unreadable(folder, error)
    })
    for (const child of children) {
      const components = [...next.components, child.name]
      const absolutePath = join(folder, child.name)
      if (child.isFile()) {
        await addFile(absolutePath, components)
      } else if (child.isDirectory()) {
        pending.push({ components, above: [...next.above, await realpath(absolutePath)] })
      } else if (child.isSymbolicLink()) {
        const target = await realpath(absolutePath).catch(() => undefined)
        const kind = target === undefined ? undefined : await stat(target)
        const inside = target?.startsWith(realRoot + sep) === true
        if (inside && kind?.isFile() === true) await addFile(absolutePath, components)
        else if (inside && kind?.isDirectory() === true && !next.above.includes(target!)) {
          pending.push({ components, above: [...next.above, target!] })
        } else skipped.push(absolutePath)
      } else {
        skipped.push(absolutePath)
      }
    }
  }
}
