/**
 * Files that are open, shared by all torrents of a folder: the ones not used for longest are closed when
 * there are too many.
 *
 * Invariants: at most `limit` files are open, and as many more as are in use; a file that was written is
 * closed only after its data was made durable, and a failure of that is told to the next who syncs it;
 * after `closeAll` nothing is open.
 */
import type { FileHandle } from 'node:fs/promises'
import type { Access } from './safe-open.ts'

interface OpenFile {
  readonly key: string
  readonly path: string
  readonly handle: Promise<FileHandle>
  users: number
  written: boolean
}

export class OpenFiles {
  readonly #limit: number
  /** The one not used for longest first. */
  readonly #files = new Map<string, OpenFile>()
  readonly #closing = new Set<Promise<void>>()
  /** By path: data that was lost when a file was closed. */
  readonly #lost = new Map<string, unknown>()

  constructor(limit: number) {
    this.#limit = limit
  }

  get open(): number {
    return this.#files.size
  }

  /** Runs `action` with the file of `path` open; `opener` opens it when it is not. */
  async use<T>(
    path: string,
    access: Access,
    opener: () => Promise<FileHandle>,
    action: (file: FileHandle) => Promise<T>,
  ): Promise<T> {
    const key = `${access} ${path}`
    let entry = this.#files.get(key)
    if (entry === undefined) {
      entry = { key, path, handle: opener(), users: 0, written: false }
    } else this.#files.delete(key)
    this.#files.set(key, entry)
    entry.users++
    try {
      const handle = await entry.handle.catch((error: unknown) => {
        // The next one tries anew.
        if (this.#files.get(key) === entry) this.#files.delete(key)
        throw error
      })
      if (access !== 'read') entry.written = true
      return await action(handle)
    } finally {
      entry.users--
      this.#trim()
    }
  }

  /** What `sync` of this path has to know: data written to it was lost. Told once. */
  takeLoss(path: string): unknown {
    const loss = this.#lost.get(path)
    this.#lost.delete(path)
    return loss
  }

  /** Closes those whose path `concerns`; the caller sees to it that nobody uses them. */
  async closeWhere(concerns: (path: string) => boolean): Promise<void> {
    for (const entry of [...this.#files.values()]) {
      if (entry.users === 0 && concerns(entry.path)) this.#close(entry)
    }
    await Promise.all(this.#closing)
  }

  closeAll(): Promise<void> {
    return this.closeWhere(() => true)
  }

  #trim(): void {
    if (this.#files.size <= this.#limit) return
    for (const entry of this.#files.values()) {
      if (entry.users > 0) continue
      this.#close(entry)
      if (this.#files.size <= this.#limit) return
    }
  }

  #close(entry: OpenFile): void {
    this.#files.delete(entry.key)
    const done = closeDurably(entry).then(
      () => {
        this.#closing.delete(done)
      },
      (error: unknown) => {
        this.#closing.delete(done)
        this.#lost.set(entry.path, error)
      },
    )
    this.#closing.add(done)
  }
}

async function closeDurably({ handle, written }: OpenFile): Promise<void> {
  const file = await handle
  try {
    if (written) await file.datasync()
  } finally {
    await file.close()
  }
}
