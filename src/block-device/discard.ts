/**
 * Discard without native code: `fallocate --punch-hole` for image files, `blkdiscard` for devices, one
 * child at a time. Advisory: where the tool or the support is missing it goes quiet for good.
 */
import { spawn } from 'node:child_process'

export class Discarder {
  readonly #fd: number
  readonly #isBlock: boolean
  #supported = process.platform === 'linux'
  #last: Promise<void> = Promise.resolve()

  constructor(fd: number, isBlock: boolean) {
    this.#fd = fd
    this.#isBlock = isBlock
  }

  discard(offset: number, bytes: number): Promise<void> {
    this.#last = this.#last.then(() => this.#run(offset, bytes))
    return this.#last
  }

  #run(offset: number, bytes: number): Promise<void> {
    if (!this.#supported || bytes === 0) return Promise.resolve()
    // The child gets our descriptor, so that it works on this file whatever the path means by now.
    // blkdiscard opens exclusively unless forced, and we are the holder.
    const range = ['-o', String(offset), '-l', String(bytes), '/proc/self/fd/3']
    const [tool, args] = this.#isBlock
      ? ['blkdiscard', ['-f', ...range]]
      : ['fallocate', ['-p', ...range]]
    return new Promise((resolve) => {
      const child = spawn(tool as string, args as string[], {
        stdio: ['ignore', 'ignore', 'ignore', this.#fd],
      })
      child.on('error', () => {
        this.#supported = false
        resolve()
      })
      child.on('close', (code) => {
        if (code !== 0) this.#supported = false
        resolve()
      })
    })
  }
}
