/**
 * The files of a torrent, made from its bytes in order. Each is durable before it is closed; a few close side
 * by side, because closing means waiting for the disk.
 *
 * Invariants: nothing is written over a file that is there; `finish` resolves only when every file, the empty
 * ones too, and every folder is durable.
 */
import { type FileHandle, mkdir, open, symlink } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileSpans, type TorrentInfo } from '../metainfo/index.ts'

export class FileWriter {
  readonly #info: TorrentInfo
  readonly #root: string
  readonly #directories = new Set<string>()
  readonly #closing = new Set<Promise<void>>()
  #current: { index: number; file: FileHandle } | undefined
  #chain: Promise<void> = Promise.resolve()
  /** The first close that failed: its file is not durable. */
  #failure: unknown

  constructor(info: TorrentInfo, root: string) {
    this.#info = info
    this.#root = root
  }

  /** Ranges come in order; the memory is in use until the promise settles. */
  write(offset: number, bytes: Uint8Array): Promise<void> {
    const result = this.#chain.then(() => this.#write(offset, bytes))
    this.#chain = result.catch(() => {})
    return result
  }

  async #write(offset: number, bytes: Uint8Array): Promise<void> {
    let at = 0
    for (const span of fileSpans(this.#info, offset, bytes.length)) {
      const file = this.#info.files[span.fileIndex]!
      if (!file.padding) {
        const handle = await this.#open(span.fileIndex)
        let done = 0
        while (done < span.bytes) {
          const { bytesWritten } = await handle.write(
            bytes,
            at + done,
            span.bytes - done,
            span.fileOffset + done,
          )
          done += bytesWritten
        }
      }
      at += span.bytes
    }
  }

  async #open(index: number): Promise<FileHandle> {
    if (this.#current?.index === index) return this.#current.file
    this.#retire()
    // Bounded: closing means fsync, which a disk does one after the other anyway.
    while (this.#closing.size >= 8) await Promise.race(this.#closing)
    const file = await this.#create(index)
    this.#current = { index, file }
    return file
  }

  async #create(index: number): Promise<FileHandle> {
    const executable = this.#info.files[index]!.executable === true
    return open(await this.#placeFor(index), 'wx', executable ? 0o777 : 0o666)
  }

  /** The path of a file, whose folder is there. */
  async #placeFor(index: number): Promise<string> {
    const path = join(this.#root, ...this.#info.files[index]!.path)
    const directory = dirname(path)
    if (!this.#directories.has(directory)) {
      await mkdir(directory, { recursive: true })
      this.#directories.add(directory)
    }
    return path
  }

  #retire(): void {
    const file = this.#current?.file
    this.#current = undefined
    if (file === undefined) return
    const done = closeDurably(file).then(
      () => {
        this.#closing.delete(done)
      },
      (error: unknown) => {
        this.#closing.delete(done)
        this.#failure ??= error
      },
    )
    this.#closing.add(done)
  }

  /** Makes the empty files and the links, and everything durable. */
  async finish(): Promise<void> {
    await this.#chain
    this.#retire()
    await Promise.all(this.#closing)
    if (this.#failure !== undefined) throw this.#failure
    for (const [index, file] of this.#info.files.entries()) {
      if (file.bytes > 0 || file.padding) continue
      if (file.symlink === undefined) await closeDurably(await this.#create(index))
      else {
        const path = await this.#placeFor(index)
        // The metainfo room lets no target through that lies elsewhere.
        await symlink(relative(dirname(path), join(this.#root, ...file.symlink)), path)
      }
    }
    for (const directory of this.#directories) await syncDirectory(directory)
  }

  async close(): Promise<void> {
    await this.#chain
    this.#retire()
    await Promise.all(this.#closing)
  }
}

async function closeDurably(file: FileHandle): Promise<void> {
  try {
    await file.datasync()
  } finally {
    await file.close()
  }
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
