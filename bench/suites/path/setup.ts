/** What the parts of suite `path` share: sizes, places, the warm-up, a volume that was written before. */
import { mkdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFile } from '../../../test/interop/content.ts'
import { seedbed } from '../../../test/interop/peers/seedbed.ts'
import type { SuiteContext } from '../../suite.ts'

const MIB = 2 ** 20
/** Page cache that the warm-up touches: more than any one round uses. */
const WARM_UP_BYTES = 4096 * MIB
const WARM_UP_QUICK_BYTES = 512 * MIB
/** Room beside the content for the volume's metadata. */
const VOLUME_EXTRA_BYTES = 256 * MIB

/** What storage should reach now, in MB/s (10^6 bytes). */
export const STORAGE_TARGET = 300

export class PathBench {
  readonly context: SuiteContext
  readonly contentBytes: number
  readonly rounds: number
  readonly content: string
  #used: string | undefined

  constructor(context: SuiteContext) {
    this.context = context
    this.contentBytes = (context.quick ? 128 : 1024) * MIB
    this.rounds = context.quick ? 1 : 5
    this.content = this.at('content.bin')
  }

  at(...names: readonly string[]): string {
    return join(this.context.directory, ...names)
  }

  /** 10^6 bytes a second. */
  rate(elapsedMs: number): number {
    return this.contentBytes / 1000 / elapsedMs
  }

  /** An empty directory of that name. */
  async fresh(name: string): Promise<string> {
    const path = this.at(name)
    await rm(path, { recursive: true, force: true })
    mkdirSync(path, { recursive: true })
    return path
  }

  /** On a virtual machine the first touch of memory is slow, because the host has to find it. */
  async warmUp(): Promise<void> {
    const path = this.at('warm-up')
    await makeFile(path, this.context.quick ? WARM_UP_QUICK_BYTES : WARM_UP_BYTES, 'warm-up')
    await rm(path)
  }

  /**
   * An image whose every byte was written before, newly formatted: a volume in use. What the
   * filesystem below spends on the first write to a sparse file is not what is measured.
   */
  async usedVolume(): Promise<string> {
    if (this.#used === undefined) {
      this.#used = this.at('used.img')
      await makeFile(this.#used, this.contentBytes + VOLUME_EXTRA_BYTES, 'used volume')
    }
    await seedbed(['mkfs', '--device', this.#used, '--force', '--json']).succeed(60_000)
    return this.#used
  }
}
