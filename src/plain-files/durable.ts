/** Small files replaced as a whole, durably, and folders made durable; and files read and written to the end. */
import { type FileHandle, open, rename, unlink } from 'node:fs/promises'
import { errnoOf } from '../base/index.ts'
import type { Scratch } from '../block-device/index.ts'

/**
 * Whoever reads `path` finds the old bytes or all of the new ones, whenever the power is cut. The new name
 * itself is durable after `syncFolder` of its folder.
 */
export async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
  const next = `${path}.new`
  const file = await open(next, 'w')
  try {
    await writeAll(file, bytes, 0)
    await file.datasync()
  } finally {
    await file.close()
  }
  await rename(next, path)
}

/** Names made, moved and taken away in the folder are durable afterwards. */
export async function syncFolder(path: string): Promise<void> {
  // Windows opens no folders, and keeps its names by a journal.
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

export async function unlinkIfThere(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT') throw error
  })
}

export async function writeAll(file: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done)
    done += bytesWritten
  }
}

/** The bytes of a file, handed to `use` in memory of `scratch`: gone when that has settled. */
export async function readInto<T>(
  path: string,
  scratch: Scratch,
  use: (bytes: Uint8Array) => T,
): Promise<T> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    return await scratch.lend(size, async (memory) =>
      use(memory.subarray(0, await readAll(file, memory.subarray(0, size), 0))),
    )
  } finally {
    await file.close()
  }
}

/** Bytes read: fewer than asked for at the end of the file. */
export async function readAll(file: FileHandle, target: Uint8Array, at: number): Promise<number> {
  let done = 0
  while (done < target.length) {
    const { bytesRead } = await file.read(target, done, target.length - done, at + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}
