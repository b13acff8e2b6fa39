/**
 * Reads ranges of the files of a source straight into the caller's memory, keeping open only what is
 * being read, and proving at the end of each file that it did not change since it was looked at.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { errnoOf, type SeedbedError } from '../base/index.ts'
import { nodeError } from './errors.ts'
import type { SourceEntry } from './source.ts'

export class SourceReader {
  readonly #entries: readonly (SourceEntry | undefined)[]
  readonly #open = new Map<number, Promise<FileHandle>>()

  /** `entries` in the order of the torrent's files; those of undefined are not read. */
  constructor(entries: readonly (SourceEntry | undefined)[]) {
    this.#entries = entries
  }

  /** Fills `target` from `offset` of file `index`. SOURCE_CHANGED, SOURCE_UNREADABLE. */
  async read(index: number, offset: number, target: Uint8Array): Promise<void> {
    const entry = this.#entries[index]!
    let opening = this.#open.get(index)
    if (opening === undefined) {
      opening = open(entry.absolutePath, 'r')
      this.#open.set(index, opening)
    }
    try {
      const file = await opening
      let done = 0
      while (done < target.length) {
        const { bytesRead } = await file.read(target, done, target.length - done, offset + done)
        if (bytesRead === 0) throw changed(entry)
        done += bytesRead
      }
      if (offset + target.length === entry.bytes) {
        const now = await file.stat()
        this.#open.delete(index)
        await file.close()
        if (now.size !== entry.bytes || now.mtimeMs !== entry.modifiedMs) throw changed(entry)
      }
    } catch (error) {
      if (errnoOf(error) === 'SOURCE_CHANGED') throw error
      throw nodeError(
        'SOURCE_UNREADABLE',
        `${entry.absolutePath} cannot be read (${errnoOf(error) ?? String(error)})`,
        { mend: 'Give this user permission to read it, and check the disk.', cause: error },
      )
    }
  }

  async close(): Promise<void> {
    const files = await Promise.allSettled(this.#open.values())
    this.#open.clear()
    for (const file of files) if (file.status === 'fulfilled') await file.value.close()
  }
}

function changed(entry: SourceEntry): SeedbedError {
  return nodeError('SOURCE_CHANGED', `${entry.absolutePath} changed while it was imported`, {
    mend: 'Share it again once nothing writes to it any more.',
  })
}
