/**
 * Opens the files of a torrent, whose names a stranger chose, without ever leaving the folder they belong
 * in: no symbolic link that leads out is followed, nothing but regular files is opened, nothing that is
 * there is made anew.
 *
 * `boundary` is a real path (no link in it): the folder, or the file itself. Whoever can change the folder
 * while a path is being walked can do anything to it anyway: races with other processes are not defended.
 */
import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, realpath, symlink } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { errnoOf } from '../base/index.ts'
import { plainFileError } from './errors.ts'

const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR } = constants
/** Absent on Windows. */
const O_NOFOLLOW: number = constants.O_NOFOLLOW ?? 0
/** Absent on macOS, too; nobody asks for it there (direct-writes.ts). */
const O_DIRECT: number = constants.O_DIRECT ?? 0

export type Access = 'read' | 'write' | 'direct'

function isInside(boundary: string, path: string): boolean {
  return path === boundary || path.startsWith(boundary.endsWith(sep) ? boundary : boundary + sep)
}

function outside(path: string): Error {
  return plainFileError('FILES_LINK', `${path} leads out of its folder through a symbolic link`, {
    mend: 'Put the file itself there.',
  })
}

/** The real path of a regular file; undefined when there is nothing. FILES_LINK, FILES_TAKEN. */
export async function locate(path: string, boundary: string): Promise<string | undefined> {
  let real: string
  try {
    real = await realpath(path)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
    const dangling = await lstat(path).catch(() => undefined)
    if (dangling !== undefined) throw outside(path)
    return undefined
  }
  if (!isInside(boundary, real)) throw outside(path)
  if (!(await lstat(real)).isFile()) {
    throw plainFileError('FILES_TAKEN', `${path} is there, and is no file`)
  }
  return real
}

/** Opens what `locate` found. `direct`: to be written past the page cache; EINVAL where that cannot be. */
export function openThere(real: string, access: Access): Promise<FileHandle> {
  const flags = access === 'read' ? O_RDONLY : access === 'write' ? O_RDWR : O_RDWR | O_DIRECT
  return open(real, flags | O_NOFOLLOW)
}

/** Makes the file, of `bytes` bytes without any on the disk, and the folders to it, told to `made`. */
export async function makeFile(
  path: string,
  boundary: string,
  bytes: number,
  made: (folder: string) => void,
): Promise<FileHandle> {
  const folder = dirname(path)
  await makeFolders(folder, boundary, made)
  const real = await realpath(folder)
  if (!isInside(boundary, real)) throw outside(folder)
  const file = await open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o666)
  made(folder)
  try {
    await file.truncate(bytes)
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/**
 * Makes a symbolic link to `target`, which lies in the same torrent and need not be there, and the folders to
 * it, told to `made`. Where something is already, that stays.
 */
export async function makeLink(
  path: string,
  boundary: string,
  target: string,
  made: (folder: string) => void,
): Promise<void> {
  const folder = dirname(path)
  await makeFolders(folder, boundary, made)
  const real = await realpath(folder)
  if (!isInside(boundary, real)) throw outside(folder)
  try {
    await symlink(relative(folder, target), path)
    made(folder)
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
  }
}

async function makeFolders(
  folder: string,
  boundary: string,
  made: (folder: string) => void,
): Promise<void> {
  let at = boundary
  for (const name of folder.slice(boundary.length).split(sep)) {
    if (name === '') continue
    const above = at
    at = join(at, name)
    try {
      await mkdir(at)
      made(above)
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error
      const there = await lstat(at)
      if (there.isSymbolicLink()) {
        if (!isInside(boundary, await realpath(at))) throw outside(at)
      } else if (!there.isDirectory()) {
        throw plainFileError('FILES_TAKEN', `${at} is there, and is no folder`)
      }
    }
  }
}
